"""/deployments: a single run, also long after it ended; and how a run is started and answered."""

import logging
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import azure.durable_functions as df

from shared.data import taken_from
from shared.process import logs
from shared.process.blocking import in_tables_thread
from shared.saga.instances import ORCHESTRATOR_OF_KIND
from shared.saga.progress import Progress, progress_of
from shared.settings import at, current_settings
from shared.spoke.records import RunRow
from shared.tables.places import gateway_of
from shared.tables.records import Records, run_and_hub
from shared.writers.instances import UNFINISHED, status_of
from shared.writers.waiting import steps_as_of_now
from triggers.http.answers import Accepted
from triggers.http.queries import deployment_id, unknown_deployment
from triggers.http.responses import RETRY_AFTER_SECONDS, Answer
from triggers.http.wiring import Call, http_function
from triggers.use_cases import RunHandle

if TYPE_CHECKING:
    from azure.durable_functions import DurableOrchestrationClient

log = logging.getLogger(__name__)
blueprint = df.Blueprint()


@http_function(blueprint, "GET", "deployments/{deployment_id}", {200: Progress}, (404, 500, 503))
async def get_deployment(call: Call) -> Answer:
    """Show a run, also long after it ended."""
    wanted = deployment_id(call.request.route_params)
    return Answer(200, await in_tables_thread(_run, wanted))


def _run(wanted: str) -> Progress:
    run, hub = run_and_hub(wanted)
    if run is None:
        raise unknown_deployment(wanted)
    with at(hub):
        return progress_now(run)


def progress_now(run: RunRow) -> Progress:
    """How far a run of the present hub is."""
    steps = Records().steps(run.deployment_id)
    with at(gateway_of(run.plan, current_settings())):
        return progress_of(run, steps_as_of_now(run, steps))


async def start_run(client: "DurableOrchestrationClient", *, deployment_id: str, spoke_id: int, kind: str) -> bool:
    """Starts a run's orchestration; whether it runs. If not, the run's row is `accepted`, and a timer tries again.

    Durable refuses the id of an instance that isn't finished (409): another call has started the run already.
    """
    with logs.context(deployment_id=deployment_id, spoke_id=spoke_id):
        try:
            await client.start_new(ORCHESTRATOR_OF_KIND[kind], instance_id=deployment_id)
        except Exception as error:  # noqa: BLE001 - the SDK raises bare Exceptions; the run is kept and started again
            if await status_of(client, deployment_id) in UNFINISHED:
                log.info("%s runs already", deployment_id)
                return True
            log.error("%s could not be started and will be tried again: %s", deployment_id, error)
            return False
        log.info("%s started", deployment_id)
        return True


async def accepted(call: Call, handle: RunHandle) -> Answer:
    """202, after the orchestration has been started. It is kept in the records, so a failing start changes nothing."""
    begun = taken_from(handle, Accepted)
    if handle.deployment_id is None:
        return Answer(202, begun)
    if handle.start:
        await start_run(call.durable, deployment_id=handle.deployment_id, spoke_id=handle.spoke_id, kind=handle.kind)
    ours = f"{call.base}/deployments/{handle.deployment_id}"
    durable = durable_urls(call, handle.deployment_id, current_settings().durable_urls)
    headers = {
        "Location": durable.get("statusQueryGetUri", ours),
        "Operation-Location": ours,
        "Retry-After": str(RETRY_AFTER_SECONDS),
    }
    described = {each.name for each in fields(Accepted)}
    urls: dict[str, Any] = {name: url for name, url in durable.items() if name in described}
    return Answer(202, replace(begun, progress_url=f"{call.base}/spokes/{handle.spoke_id}/progress", **urls), headers)


def durable_urls(call: Call, deployment_id: str, how_much: str) -> dict[str, str]:
    """The Durable management payload. Each URL carries the key that opens all of them: `DURABLE_URLS` limits it."""
    if how_much == "none":
        return {}
    try:
        payload: dict[str, str] = call.durable.get_client_response_links(call.request, deployment_id)
    except ValueError:  # a Host header that makes no URL
        payload = call.durable.create_http_management_payload(deployment_id)
    if how_much == "status":
        return {name: payload[name] for name in ("id", "statusQueryGetUri")}
    return payload
