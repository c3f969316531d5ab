"""Starts the writers of what is shared, when they don't run: one instance per gateway, one per hub."""

import logging
from typing import TYPE_CHECKING, Any

from shared.saga.instances import WRITE_GATEWAY, WRITE_HUB, gateway_writer_id, hub_writer_id
from shared.settings import current_settings
from shared.writers.instance_status import NOT_KNOWN, UNFINISHED, status_of

if TYPE_CHECKING:
    from azure.durable_functions import DurableOrchestrationClient

log = logging.getLogger(__name__)


async def ensure_writer_runs(client: "DurableOrchestrationClient", which: str) -> None:
    """Makes sure that the writer (`gateway` or `hub`) runs. Can be repeated: Durable refuses a second instance of an id.

    Trouble is logged and left to the next call: every waiter asks again at its next poll.
    """
    name, instance_id, given = _writer(which)
    try:
        if await status_of(client, instance_id) in UNFINISHED | {NOT_KNOWN}:
            return
        await client.start_new(name, instance_id=instance_id, client_input=given)
    except Exception as error:  # noqa: BLE001 - the SDK raises bare Exceptions, also for an instance that runs already
        log.debug("%s was not started: %s", instance_id, error)
        return
    log.debug("%s started", instance_id)


def _writer(which: str) -> tuple[str, str, dict[str, Any]]:
    settings = current_settings()
    if which == "gateway":
        from shared.writers.gateway.timing import gateway_writer_input

        return WRITE_GATEWAY, gateway_writer_id(settings.hub_agw_name), gateway_writer_input(settings)
    from shared.writers.peering.rows import hub_writer_input

    return WRITE_HUB, hub_writer_id(settings.hub_vnet_name), hub_writer_input(settings)
