"""Timers that look after what nobody else does: runs whose orchestration has ended under them, resources without a record."""

from typing import TYPE_CHECKING

import azure.durable_functions as df

from shared.blocking import in_arm_thread
from shared.deadline import ACTIVITY_SECONDS
from shared.recovery.dead_runs import sweep
from shared.recovery.orphans import sweep_orphans
from triggers.http.wiring import timer_function

if TYPE_CHECKING:
    from azure.durable_functions import DurableOrchestrationClient

blueprint = df.Blueprint()

# Seconds, minutes, hours, days, months, days of the week; apart from the other timers.
EVERY_MINUTE = "20 * * * * *"
EVERY_FIVE_MINUTES = "50 */5 * * * *"


@timer_function(blueprint, EVERY_MINUTE)
async def sweep_terminated_runs(client: "DurableOrchestrationClient") -> None:
    """Stops the children of dead orchestrations and has another run undo what they left."""
    await sweep(client)


@timer_function(blueprint, EVERY_FIVE_MINUTES)
async def report_orphans(client: "DurableOrchestrationClient") -> None:
    """Reports resources of ours that no record knows; removes them when `SWEEP_DELETE_ORPHANS` says so."""
    await in_arm_thread(ACTIVITY_SECONDS, sweep_orphans)
