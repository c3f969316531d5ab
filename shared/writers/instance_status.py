"""What Durable Functions says of an instance: one of its statuses, that it isn't there, or nothing that can be relied on."""

import asyncio
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from azure.durable_functions import DurableOrchestrationClient

log = logging.getLogger(__name__)

# The two answers of `status_of` that are no status of Durable's.
NOT_THERE = "NotThere"
NOT_KNOWN = "NotKnown"

UNFINISHED = frozenset({"Running", "Pending", "ContinuedAsNew", "Suspended"})
FINISHED = frozenset({"Completed", "Failed", "Terminated", "Canceled"})

_STATUSES = UNFINISHED | FINISHED
SECONDS_FOR_AN_ANSWER = 30.0


async def status_of(client: "DurableOrchestrationClient", instance_id: str) -> str:
    """The status of an instance (`Running`, …), `NOT_THERE` (404), or `NOT_KNOWN`: any other answer, or none. Never raises.

    The SDK's `get_status` takes 400 and 500 for an answer and gives an object without a status, exactly as for 404; so
    the HTTP status is read here.
    """
    return (await status_and_output_of(client, instance_id))[0]


async def status_and_output_of(client: "DurableOrchestrationClient", instance_id: str) -> tuple[str, Any]:
    """The same with the instance's output, which is the reason of one that is `Terminated`."""
    url = f"{client._orchestration_bindings.rpc_base_url}instances/{quote(instance_id, safe='')}"
    try:
        code, answer = await asyncio.wait_for(client._get_async_request(url), SECONDS_FOR_AN_ANSWER)
    except Exception as error:  # noqa: BLE001 - no connection, no JSON, no answer in time: it is not known
        log.warning("The status of %s is not known: %s", instance_id, type(error).__name__)
        return NOT_KNOWN, None
    return _read(instance_id, code, answer)


def _read(instance_id: str, code: int, answer: Any) -> tuple[str, Any]:
    if code == 404:
        return NOT_THERE, None
    status = answer.get("runtimeStatus") if isinstance(answer, dict) else None
    if code in (200, 202) and status in _STATUSES:
        return str(status), answer.get("output")
    log.warning("The status of %s is not known: the answer is %d", instance_id, code)
    return NOT_KNOWN, None
