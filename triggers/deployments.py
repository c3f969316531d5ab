"""/deployments: a single run, also long after it ended."""

from typing import Any

import azure.durable_functions as df

from shared.blocking import in_tables_thread
from shared.saga.progress import progress_of
from shared.tables.records import Records
from triggers.http.queries import deployment_id, unknown_deployment
from triggers.http.responses import Answer
from triggers.http.wiring import Call, http_function

blueprint = df.Blueprint()


@http_function(blueprint, "GET", "deployments/{deployment_id}")
async def get_deployment(call: Call) -> Answer:
    """How far a run is, or how it ended."""
    wanted = deployment_id(call.request.route_params)
    return Answer(200, await in_tables_thread(_run, wanted))


def _run(wanted: str) -> dict[str, Any]:
    records = Records()
    run = records.run(wanted)
    if run is None:
        raise unknown_deployment(wanted)
    return progress_of(run, records.steps(wanted))
