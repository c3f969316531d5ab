"""Finds runs whose orchestration has ended under them, and has what they left rolled back; and runs that the platform
lost, which are started again from their rows (`shared.liveness`).

Terminating an orchestration runs no compensation and doesn't reach its children (durable-extension#153): they go on
building. So, one tick after the other and never sleeping: the run is marked, after which no act of it does anything any
more; its children are stopped; when none runs, and no call of theirs can still be under way, another run undoes what
was made; when that has ended, so does the dead one. Every tick decides from what the rows and Durable say now, so that
any of this can be repeated, or be cut off anywhere.
"""

import logging
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.clock import timestamp, utc_now
from shared.errors import DeploymentException, Failure
from shared.process import logs
from shared.process.blocking import in_arm_thread, in_tables_thread
from shared.recovery.orphans import doubt_about_records
from shared.recovery.runs.liveness import (
    BROKE_OFF,
    Broken,
    Condition,
    Dead,
    Fine,
    Missing,
    RestartMove,
    Stop,
    Wait,
    condition_of,
    may_stand_still,
)
from shared.recovery.runs.restarts import (
    RESTART_REASON,
    begin_restart,
    confirm_end,
    continue_restart,
    start_run,
    statuses_of_children,
    terminate,
)
from shared.recovery.runs.ticks import awake_since
from shared.settings import current_settings
from shared.spoke.records import TERMINAL, RunRow, SpokeRow
from shared.tables.client import ConcurrentUpdate
from shared.tables.records import Records, begin_removal
from shared.timestamps import parse_timestamp
from shared.writers.instances import NOT_KNOWN, NOT_THERE, UNFINISHED, status_and_output_of

if TYPE_CHECKING:
    from azure.durable_functions import DurableOrchestrationClient

log = logging.getLogger(__name__)

NOTE = "The orchestration was terminated; rolled back by the sweeper"
CODE = "OrchestrationTerminated"

_MEANWHILE = {"deploy": "rolling_back", "rollback": "rolling_back", "delete": "deleting"}
_SUCCESSOR = {"deploy": "rollback", "rollback": "rollback", "delete": "delete"}


# --- what to do: pure ---


@dataclass(frozen=True)
class Mark:
    """Write into run and spoke that the orchestration is dead: from then on nothing of it acts."""

    status: str
    error: dict[str, Any]


@dataclass(frozen=True)
class HandOver:
    """Start another run, of this kind, that undoes what the dead one left."""

    kind: str


@dataclass(frozen=True)
class Close:
    """What came after the dead run has ended, and so does it."""

    status: str
    left_behind: list[dict[str, Any]] = field(default_factory=list)


Move = Mark | Stop | Wait | HandOver | Close


def belongs_to(spoke: SpokeRow | None, run: RunRow) -> bool:
    """Whether the run is the newest of its spoke."""
    return spoke is not None and spoke.deployment_id == run.deployment_id


def next_move(
    run: RunRow,
    spoke: SpokeRow | None,
    instance: str,
    children: Mapping[str, str],
    now: datetime,
    last_calls: timedelta,
) -> Move:
    """What a dead run needs next. instance, and by instance id children: what `status_of` says of them.

    last_calls: how long after the mark an act that had asked for its run's row before may still be at its one write.
    """
    if spoke is None:
        return Close("failed")
    if not belongs_to(spoke, run):
        if spoke.status not in TERMINAL:
            return Wait()
        rest_is_left = spoke.status == "rollback_failed"
        return Close("rollback_failed", spoke.left_behind) if rest_is_left else Close("failed")
    found_at = _found_at(run)
    if found_at is None:
        return Mark(_MEANWHILE[run.kind], _termination(run, instance, now).public())
    everything = {run.deployment_id: instance, **children}
    if alive := tuple(each for each, status in everything.items() if status in UNFINISHED):
        return Stop(alive)
    if NOT_KNOWN in everything.values() or now - found_at < last_calls:
        return Wait()
    return HandOver(_SUCCESSOR[run.kind])


def _found_at(run: RunRow) -> datetime | None:
    """When the sweeper marked this run, None when it hasn't."""
    details = (run.error or {}).get("details") or {}
    if details.get("code") != CODE or details.get("run") != run.deployment_id:
        return None
    return parse_timestamp(details["found_at"])


def _termination(run: RunRow, instance: str, now: datetime) -> Failure:
    ending = {NOT_THERE: "was purged", "Terminated": "was terminated"}.get(instance, f"ended early ({instance})")
    details: dict[str, Any] = {"run": run.deployment_id, "found_at": timestamp(now)}
    if run.error:
        details["cause"] = run.error
    return Failure(
        DeploymentException,
        CODE,
        f"The orchestration of this run {ending}; what it had made is rolled back by the sweeper.",
        "To cancel a deployment use DELETE, which rolls back at once.",
        details,
    )


# --- doing it: thin ---

Done = Move | RestartMove | Condition


async def sweep(client: "DurableOrchestrationClient", now: datetime | None = None) -> dict[str, Done]:
    """One tick. Answers what was done for which run; runs of which nothing is known to be wrong are left out."""
    now = now or utc_now()
    done: dict[str, Done] = {}
    # Less than a tick: the other hubs' next one waits for this.
    if (in_doubt := await in_arm_thread(current_settings().arm_look_seconds, doubt_about_records)) is not None:
        log.warning("%s", in_doubt.message)
        return done
    awake = await in_tables_thread(awake_since, current_settings(), now)
    for run in await in_tables_thread(Records().runs_looked_after):
        move = await _guarded(run, _look_at(client, run, now, awake))
        if not isinstance(move, Fine):
            done[run.deployment_id] = move
    for run in await in_tables_thread(Records().unconfirmed_runs):
        await _guarded(run, confirm_end(client, run, now, awake))
    return done


async def _guarded(run: RunRow, look: Awaitable[Done]) -> Done:
    """One run's failure must not keep the others waiting."""
    with logs.context(deployment_id=run.deployment_id, spoke_id=run.spoke_id):
        try:
            return await look
        except ConcurrentUpdate:
            log.info("The run was changed just now; the next tick looks again")
        except Exception:  # the SDK raises bare Exceptions
            log.exception("The run could not be looked after; the next tick tries again")
    return Fine()


async def _look_at(client: "DurableOrchestrationClient", run: RunRow, now: datetime, awake: datetime) -> Done:
    instance, output = await status_and_output_of(client, run.deployment_id)
    last_calls = timedelta(seconds=current_settings().policy.last_call_seconds)
    if _found_at(run) is not None:
        return Fine() if instance == NOT_KNOWN else await _sweep_one(client, run, instance, now, last_calls)
    if run.restart:
        return await continue_restart(client, run, instance, now, last_calls)
    steps = await in_tables_thread(Records().steps, run.deployment_id) if may_stand_still(run, now, awake) else ()
    condition = condition_of(run, steps, instance, now, awake)
    if isinstance(condition, Dead) and instance == "Terminated" and output == RESTART_REASON:
        condition = Broken(BROKE_OFF)  # a terminate of an earlier restart came late
    match condition:
        case Dead():
            return await _sweep_one(client, run, instance, now, last_calls)
        case Broken():
            if not belongs_to(await in_tables_thread(Records().spoke, run.spoke_id), run):
                return await _sweep_one(client, run, instance, now, last_calls)
            run = await begin_restart(run, condition, now)
            await continue_restart(client, run, instance, now, last_calls)
        case Missing(since):
            if since:
                log.warning("The run has no instance; if the next tick finds none either, it is rolled back")
            await in_tables_thread(Records().change_run, run, missing_since=since)
    return condition


async def _sweep_one(
    client: "DurableOrchestrationClient", run: RunRow, instance: str, now: datetime, last_calls: timedelta
) -> Move:
    spoke = await in_tables_thread(Records().spoke, run.spoke_id)
    children = await statuses_of_children(client, run.deployment_id) if belongs_to(spoke, run) else {}
    move = next_move(run, spoke, instance, children, now, last_calls)
    match move:
        case Mark():
            log.warning("The orchestration is dead (%s): its children are stopped, then it is rolled back", instance)
            run, spoke = await in_tables_thread(_mark, run, spoke, move)
            after = next_move(run, spoke, instance, children, now, last_calls)
            if isinstance(after, Stop):
                await terminate(client, after.instance_ids, NOTE)
        case Stop():
            await terminate(client, move.instance_ids, NOTE)
        case HandOver() if spoke is not None:
            successor = await in_tables_thread(_hand_over, run, spoke, move)
            await start_run(client, successor)
            log.warning("What the dead run left is taken away by %s", successor.deployment_id)
        case Close():
            await in_tables_thread(_close, run, move)
    return move


def _mark(run: RunRow, spoke: SpokeRow | None, move: Mark) -> tuple[RunRow, SpokeRow | None]:
    changes = {"status": move.status, "error": move.error}
    return Records().change_together(run, spoke, run_changes={**changes, "note": NOTE}, spoke_changes=changes)


def _hand_over(run: RunRow, spoke: SpokeRow, move: HandOver) -> RunRow:
    """The spoke belongs to a new run. The dead one is ended by the tick that finds the new one finished."""
    note, kept = f"{NOTE}; it was {run.deployment_id}", run.result.get("kept", [])
    return begin_removal(spoke, move.kind, force=run.force, kept=kept, note=note)


def _close(run: RunRow, move: Close) -> None:
    records, now = Records(), timestamp()
    cut_off = [
        replace(step, status="cancelled", message=NOTE, timestamp=now)
        for step in records.steps(run.deployment_id)
        if step.status in ("pending", "in_progress")
    ]
    changes = {"status": move.status, "left_behind": move.left_behind, "completed_at": now, "note": NOTE}
    records.change_together(run, None, run_changes=changes, steps=cut_off)
