"""Finds runs whose orchestration has ended under them, and has what they left rolled back.

Terminating an orchestration runs no compensation and doesn't reach its children (durable-extension#153): they go on
building. So, one tick after the other and never sleeping: the run is marked, after which no act of it does anything any
more; its children are stopped; when none runs, and no call of theirs can still be under way, another run undoes what
was made; when that has ended, so does the dead one. Every tick decides from what the rows and Durable say now, so that
any of this can be repeated, or be cut off anywhere.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared import logs
from shared.blocking import in_arm_thread, in_tables_thread
from shared.clock import parse_timestamp, timestamp, utc_now
from shared.deadline import ACTIVITY_SECONDS
from shared.errors import Failure
from shared.recovery.orphans import doubt_about_records
from shared.saga.instances import ORCHESTRATOR_OF_KIND, step_instance_id
from shared.saga.policy import Policy
from shared.saga.steps import CHILDREN
from shared.settings import current_settings
from shared.spoke.records import TERMINAL, RunRow, SpokeRow
from shared.tables.client import ConcurrentUpdate
from shared.tables.records import Records
from shared.tables.removals import begin_removal

if TYPE_CHECKING:
    from azure.durable_functions import DurableOrchestrationClient

log = logging.getLogger(__name__)

NOTE = "The orchestration was terminated; rolled back by the sweeper"
CODE = "OrchestrationTerminated"

# An act that had asked for its run's row before the mark may still be at its one write, which ends with ARM's timeout.
LAST_CALLS = timedelta(seconds=Policy().last_call_seconds)

_ALIVE = frozenset({"Running", "Pending", "ContinuedAsNew", "Suspended"})
_MEANWHILE = {"deploy": "rolling_back", "rollback": "rolling_back", "delete": "deleting"}
_SUCCESSOR = {"deploy": "rollback", "rollback": "rollback", "delete": "delete"}


# --- what to do: pure ---


@dataclass(frozen=True)
class Mark:
    """Write into run and spoke that the orchestration is dead: from then on nothing of it acts."""

    status: str
    error: dict[str, Any]


@dataclass(frozen=True)
class Stop:
    """Terminate these children, and look again."""

    children: tuple[str, ...]


@dataclass(frozen=True)
class Wait:
    """Look again at the next tick."""


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


def is_dead(run: RunRow, instance: str | None) -> bool:
    """Whether a run that has not ended has an orchestration that has.

    instance: its Durable status, None when there is none. An `accepted` run without one has not been started yet,
    which is another timer's business.
    """
    if run.status in TERMINAL or instance in _ALIVE:
        return False
    return instance is not None or run.status != "accepted"


def belongs_to(spoke: SpokeRow | None, run: RunRow) -> bool:
    """Whether the run is the newest of its spoke."""
    return spoke is not None and spoke.deployment_id == run.deployment_id


def next_move(
    run: RunRow,
    spoke: SpokeRow | None,
    instance: str | None,
    children: Mapping[str, str | None],
    now: datetime,
    last_calls: timedelta = LAST_CALLS,
) -> Move:
    """What a dead run needs next. children: the Durable status of each child, None for one that isn't there.

    last_calls: how long after the mark a call of an act may still be under way.
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
    alive = tuple(name for name, status in children.items() if status in _ALIVE)
    if alive:
        return Stop(alive)
    if now - found_at < last_calls:
        return Wait()
    return HandOver(_SUCCESSOR[run.kind])


def _found_at(run: RunRow) -> datetime | None:
    """When the sweeper marked this run, None when it hasn't."""
    details = (run.error or {}).get("details") or {}
    if details.get("code") != CODE or details.get("run") != run.deployment_id:
        return None
    return parse_timestamp(details["found_at"])


def _termination(run: RunRow, instance: str | None, now: datetime) -> Failure:
    ending = {None: "was purged", "Terminated": "was terminated"}.get(instance, f"ended early ({instance})")
    details: dict[str, Any] = {"run": run.deployment_id, "found_at": timestamp(now)}
    if run.error:
        details["cause"] = run.error
    return Failure(
        "DeploymentException",
        CODE,
        f"The orchestration of this run {ending}; what it had made is rolled back by the sweeper.",
        "To cancel a deployment use DELETE, which rolls back at once.",
        details,
    )


# --- doing it: thin ---


async def sweep(client: "DurableOrchestrationClient", now: datetime | None = None) -> dict[str, Move]:
    """One tick. Answers what was done for which dead run."""
    now = now or utc_now()
    done: dict[str, Move] = {}
    if (in_doubt := await in_arm_thread(ACTIVITY_SECONDS, doubt_about_records)) is not None:
        log.warning("%s", in_doubt.message)
        return done
    for run in await in_tables_thread(Records().runs_looked_after):
        with logs.context(deployment_id=run.deployment_id, spoke_id=run.spoke_id):
            try:
                instance = await _status(client, run.deployment_id)
                if is_dead(run, instance):
                    done[run.deployment_id] = await _sweep_one(client, run, instance, now)
            except ConcurrentUpdate:
                log.info("The run was changed just now; the next tick looks again")
            except Exception:  # the SDK raises bare Exceptions; one run's trouble must not keep the others waiting
                log.exception("The run could not be looked after; the next tick tries again")
    return done


async def _sweep_one(client: "DurableOrchestrationClient", run: RunRow, instance: str | None, now: datetime) -> Move:
    spoke = await in_tables_thread(Records().spoke, run.spoke_id)
    children: dict[str, str | None] = {}
    if belongs_to(spoke, run):
        children = {name: await _status(client, step_instance_id(run.deployment_id, name)) for name in CHILDREN}
    last_calls = timedelta(seconds=current_settings().policy.last_call_seconds)
    move = next_move(run, spoke, instance, children, now, last_calls)
    match move:
        case Mark():
            log.warning("The orchestration is dead (%s): its children are stopped, then it is rolled back", instance)
            run, spoke = await in_tables_thread(_mark, run, spoke, move)
            after = next_move(run, spoke, instance, children, now, last_calls)
            if isinstance(after, Stop):
                await _stop(client, run, after)
        case Stop():
            await _stop(client, run, move)
        case HandOver() if spoke is not None:
            await _start(client, await in_tables_thread(_hand_over, run, spoke, move))
        case Close():
            await in_tables_thread(_close, run, move)
    return move


def _mark(run: RunRow, spoke: SpokeRow | None, move: Mark) -> tuple[RunRow, SpokeRow | None]:
    changes = {"status": move.status, "error": move.error}
    return Records().change_together(run, spoke, run_changes={**changes, "note": NOTE}, spoke_changes=changes)


async def _stop(client: "DurableOrchestrationClient", run: RunRow, move: Stop) -> None:
    for name in move.children:
        child = step_instance_id(run.deployment_id, name)
        try:
            await client.terminate(child, NOTE)
        except Exception as error:  # noqa: BLE001 - the SDK raises bare Exceptions, also for a child that has just ended
            log.warning("%s could not be stopped, the next tick tries again: %s", child, error)


def _hand_over(run: RunRow, spoke: SpokeRow, move: HandOver) -> RunRow:
    """The spoke belongs to a new run. The dead one is ended by the tick that finds the new one at rest."""
    successor = begin_removal(spoke, move.kind, current_settings(), force=run.force)
    return Records().change_run(successor, note=f"{NOTE}; it was {run.deployment_id}")


async def _start(client: "DurableOrchestrationClient", run: RunRow) -> None:
    """Starts the successor. If this is cut off, the timer that looks after `accepted` runs does it."""
    await client.start_new(ORCHESTRATOR_OF_KIND[run.kind], instance_id=run.deployment_id)
    log.warning("What the dead run left is taken away by %s", run.deployment_id)


def _close(run: RunRow, move: Close) -> None:
    records, now = Records(), timestamp()
    cut_off = [
        replace(step, status="cancelled", message=NOTE, timestamp=now)
        for step in records.steps(run.deployment_id)
        if step.status in ("pending", "in_progress")
    ]
    changes = {"status": move.status, "left_behind": move.left_behind, "completed_at": now, "note": NOTE}
    records.change_together(run, None, run_changes=changes, steps=cut_off)


async def _status(client: "DurableOrchestrationClient", instance_id: str) -> str | None:
    status: Any = await client.get_status(instance_id)
    runtime_status = getattr(status, "runtime_status", None)
    return runtime_status.name if runtime_status is not None else None
