"""Starts runs, the first time and again from their rows, and stops what is left of the execution before.

Thin: `shared.recovery.runs.liveness` decides. Everything is written into the run's row under its ETag before it is done, so that of two
timers one does it, and that a tick that was cut off is repeated by the next one.
"""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

from shared.clock import timestamp
from shared.process.blocking import in_tables_thread
from shared.recovery.runs.liveness import (
    STARTING,
    STOPPING,
    Broken,
    Confirm,
    Fine,
    RestartMove,
    Start,
    Stop,
    next_end_move,
    next_restart_move,
    note_of,
)
from shared.saga.instances import ORCHESTRATOR_OF_KIND, step_instance_id
from shared.saga.steps import CHILDREN
from shared.spoke.records import Restart, RunRow
from shared.tables.records import Records
from shared.writers.instances import NOT_KNOWN, NOT_THERE, UNFINISHED, status_and_output_of, status_of

if TYPE_CHECKING:
    from azure.durable_functions import DurableOrchestrationClient

log = logging.getLogger(__name__)

# The reason of our terminates: an instance that ended with it was not ended by a person.
RESTART_REASON = "Stopped to be started again from its rows"


async def begin_restart(run: RunRow, how: Broken, now: datetime) -> RunRow:
    """Gives the run its next execution; from then on nothing of the present one does anything. `ConcurrentUpdate` on a lost race."""
    restart, note = Restart(how.cause, STOPPING, timestamp(now), how.since, how.step), note_of(run, how)
    log.warning("event=run_stands_still %s", note)
    changes: dict[str, Any] = {"execution": run.execution + 1, "restart": restart, "note": note, "missing_since": None}
    return await in_tables_thread(Records().change_run, run, **changes)


async def continue_restart(
    client: "DurableOrchestrationClient", run: RunRow, instance: str, now: datetime, last_calls: timedelta
) -> RestartMove:
    """The next thing that a run which is being started again needs; what was done."""
    restart, children = run.restart, dict[str, str]()
    assert restart is not None
    if restart.phase == STOPPING and instance not in UNFINISHED | {NOT_KNOWN}:
        children = await statuses_of_children(client, run.deployment_id)
    move = next_restart_move(run, instance, children, now, last_calls)
    match move:
        case Stop(instance_ids):
            await terminate(client, instance_ids, RESTART_REASON)
        case Broken():
            await begin_restart(run, move, now)
        case Start():
            starting = replace(restart, phase=STARTING, at=timestamp(now))
            run = await in_tables_thread(Records().change_run, run, restart=starting)
            await start_run(client, run)
    return move


async def confirm_end(client: "DurableOrchestrationClient", run: RunRow, now: datetime, awake: datetime) -> Fine:
    """Sees to it that the orchestration of an ended run ends, too, and says what the record says."""
    instance, output = await status_and_output_of(client, run.deployment_id)
    stopped_by_us = instance == "Terminated" and output == RESTART_REASON
    match next_end_move(run, instance, stopped_by_us, now, awake):
        case Stop(instance_ids):
            log.warning("The run is %s, and its orchestration stands still: it is ended", run.status)
            await terminate(client, instance_ids, RESTART_REASON)
        case Start():
            await start_run(client, run)
        case Confirm():
            await in_tables_thread(Records().change_run, run, confirmed=True)
    return Fine()


async def start_run(client: "DurableOrchestrationClient", run: RunRow) -> None:
    """Starts a run's orchestration. If this is cut off, a timer does it: the row says that it has to be started."""
    await client.start_new(ORCHESTRATOR_OF_KIND[run.kind], instance_id=run.deployment_id)
    log.warning("%s is started (execution %d)", run.deployment_id, run.execution)


async def statuses_of_children(client: "DurableOrchestrationClient", deployment_id: str) -> dict[str, str]:
    """By instance id, the status of every child that there may be, those that were begun again included."""
    children = await asyncio.gather(*(_tries_of(client, deployment_id, name) for name in CHILDREN))
    return {instance_id: status for tries in children for instance_id, status in tries.items()}


async def _tries_of(client: "DurableOrchestrationClient", deployment_id: str, name: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number in count(1):
        instance_id = step_instance_id(deployment_id, name, number)
        found[instance_id] = status = await status_of(client, instance_id)
        if status in (NOT_THERE, NOT_KNOWN):
            break
    return found


async def terminate(client: "DurableOrchestrationClient", instance_ids: Iterable[str], reason: str) -> None:
    """Terminates these, as far as that works now."""
    for instance_id in instance_ids:
        try:
            await client.terminate(instance_id, reason)
        except Exception as error:  # noqa: BLE001 - the SDK raises bare Exceptions, also for one that has just ended
            log.warning("%s could not be stopped, the next tick tries again: %s", instance_id, error)
