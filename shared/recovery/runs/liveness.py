"""Whether the orchestration of an unfinished run is alive, and what is done when it isn't. Pure.

Durable's word is not enough: an orchestration whose queue message was lost is `Running` for ever, one whose worker died
while it was replayed is `Failed` permanently (durable-extension#2922). Both are started again from the run's rows, under the
same id. Only `Terminated` is a person's decision; such a run is rolled back (`shared.recovery.runs.dead_runs`).

A restart: the row gets the next `execution`, so that no call of the old one does anything any more; the orchestration and
its children are terminated; when none of them runs, and no write of theirs can be under way, the orchestration is started
again and goes on where its rows say. The phase stands in the row, so that any of this can be repeated or cut off anywhere.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.spoke.records import WELL, RunRow, StepRow
from shared.timestamps import as_timestamp, parse_timestamp
from shared.writers.instances import NOT_KNOWN, NOT_THERE, UNFINISHED

# A run of which nothing was called for so long after a call was due stands still.
STANDS_STILL_AFTER = timedelta(minutes=10)
# A step's row says when its next call is due, to this: a poll that finds nothing new is not written each time.
DUE_SLACK = timedelta(seconds=60)
# Two looks that find no instance, so far apart, prove that it is gone.
MISSING_FOR = timedelta(seconds=60)
# After so many executions a run is given up, and rolled back.
MOST_EXECUTIONS = 10

STANDS_STILL = "stands_still"
BROKE_OFF = "broke_off"
STOPPING = "stopping"
STARTING = "starting"


# --- what a look at a run says ---


@dataclass(frozen=True)
class Fine:
    """Nothing is known to be wrong: nothing is done."""


@dataclass(frozen=True)
class Missing:
    """Since when no instance of it is there; None when it is there again. Noted, and looked at again."""

    since: str | None


@dataclass(frozen=True)
class Dead:
    """It was terminated: it is rolled back."""


@dataclass(frozen=True)
class Broken:
    """The platform lost it: it is started again from its rows."""

    cause: str
    since: str | None = None
    step: str | None = None


Condition = Fine | Missing | Dead | Broken


def condition_of(
    run: RunRow, steps: Iterable[StepRow], instance: str, now: datetime, awake_since: datetime
) -> Condition:
    """The condition of a run that isn't finished and isn't being started again.

    instance: what `status_of` says.  awake_since: since when timers have run without a gap; while the app was down nothing
    could be called.
    """
    if instance == NOT_KNOWN:
        return Fine()
    if instance == NOT_THERE:
        return _missing(run, now)
    if instance == "Failed":
        return _broken(run, Broken(BROKE_OFF))
    if instance not in UNFINISHED:
        return Dead()
    still = standing_still(run, steps)
    if now - max(parse_timestamp(still.since or run.created_at), awake_since) > STANDS_STILL_AFTER + DUE_SLACK:
        return _broken(run, still)
    return Missing(None) if run.missing_since else Fine()


def may_stand_still(run: RunRow, now: datetime, awake_since: datetime) -> bool:
    """Whether its steps need be read at all: not while it is young."""
    begun = max(parse_timestamp(run.resumed_at or run.created_at), awake_since)
    return now - begun > STANDS_STILL_AFTER + DUE_SLACK


def standing_still(run: RunRow, steps: Iterable[StepRow]) -> Broken:
    """Since when a run would stand still, if its orchestration did: of the steps that are under way the one whose call is
    longest overdue; when none is, since the last thing that happened."""
    begun = run.resumed_at or run.created_at
    under_way = [step for step in steps if step.status == "in_progress"]
    if under_way:
        step = min(under_way, key=_due)
        return Broken(STANDS_STILL, max(_due(step), begun), step.step_name)
    return Broken(STANDS_STILL, max([begun, *(step.timestamp for step in steps)]))


def _due(step: StepRow) -> str:
    return step.due or step.timestamp


def _missing(run: RunRow, now: datetime) -> Condition:
    if run.status == "accepted":
        return Fine()  # not started yet, which is another timer's business
    if run.missing_since is None:
        return Missing(as_timestamp(now))
    return Dead() if now - parse_timestamp(run.missing_since) >= MISSING_FOR else Fine()


def _broken(run: RunRow, how: Broken) -> Condition:
    return how if run.execution < MOST_EXECUTIONS else Dead()


# --- the restart ---


@dataclass(frozen=True)
class Stop:
    """Terminate these instances, and look again."""

    instance_ids: tuple[str, ...]


@dataclass(frozen=True)
class Wait:
    """Look again at the next tick."""


@dataclass(frozen=True)
class Start:
    """Start the orchestration under its own id."""


RestartMove = Stop | Wait | Start | Broken


def next_restart_move(
    run: RunRow, instance: str, children: Mapping[str, str], now: datetime, last_calls: timedelta
) -> RestartMove:
    """What a run that is being started again needs next.

    children: by instance id, what `status_of` says of each child that there may be.  last_calls: how long after the stop
    a write of the old execution may still be under way.
    """
    restart = run.restart
    assert restart is not None
    if instance == NOT_KNOWN:
        return Wait()
    if restart.phase == STARTING:
        if instance not in UNFINISHED:
            return Start()
        if now - parse_timestamp(restart.at) <= STANDS_STILL_AFTER:
            return Wait()
        return Broken(restart.cause, restart.since, restart.step)  # the new execution never began, either
    if instance in UNFINISHED:
        return Stop((run.deployment_id,))  # its children when it has ended, or it would begin them again
    if alive := tuple(each for each, status in children.items() if status in UNFINISHED):
        return Stop(alive)
    if NOT_KNOWN in children.values() or now - parse_timestamp(restart.at) < last_calls:
        return Wait()
    return Start()


# --- the end ---


@dataclass(frozen=True)
class Confirm:
    """The orchestration of an ended run has ended as its record says, or it can't be asked any more."""


def next_end_move(
    run: RunRow, instance: str, stopped_by_us: bool, now: datetime, awake_since: datetime
) -> Confirm | Stop | Start | Fine:
    """What an ended run needs, so that Durable's status URL tells the same as its record: its orchestration may have lost its
    last message, or its worker in its last episode, after the record was written.

    An orchestration that is started of an ended run does nothing, and ends as the record says. stopped_by_us: it was
    terminated for just that.
    """
    if instance == NOT_KNOWN:
        return Fine()
    if instance in UNFINISHED:
        ended = max(parse_timestamp(run.completed_at or run.created_at), awake_since)
        return Stop((run.deployment_id,)) if now - ended > STANDS_STILL_AFTER + DUE_SLACK else Fine()
    if stopped_by_us or instance == ("Failed" if run.status in WELL else "Completed"):
        return Start()
    return Confirm()


def note_of(run: RunRow, how: Broken) -> str:
    """What the run's record says from now on."""
    if how.cause == BROKE_OFF:
        why = "its orchestration had broken off with its worker"
    else:
        why = f"{how.step or 'its orchestration'} had stood still since {how.since}"
    return f"Started again from its rows (execution {run.execution + 1}): {why}."
