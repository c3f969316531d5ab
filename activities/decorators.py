"""Turns a typed function into an activity: `(call, run) -> Outcome` becomes what Durable calls, JSON in, JSON out.

In the same call it asks the run's row whether the work is still wanted, writes the step's row before and after, and
turns whatever is raised into a `Failed` outcome, because exception types do not survive the activity boundary.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from activities.waiting_inside import carry_out, passes_soon
from shared.arm.cancellation import RunCancelledError, cancellation_guard
from shared.clock import timestamp, utc_now
from shared.data import from_data
from shared.errors import Failure
from shared.process import logs
from shared.process.blocking import in_tables_thread
from shared.process.deadline import ACTIVITY_SECONDS, CALL_SECONDS, Deadline, within
from shared.process.share import share_of_activities
from shared.recovery.runs.liveness import DUE_SLACK
from shared.saga.outcomes import Call, Cancelled, Done, Failed, Outcome, Pending, outcome_as_data
from shared.saga.policy import Policy
from shared.saga.step_run import wait_after
from shared.saga.steps import BEGIN_RUN
from shared.settings import Settings, at
from shared.spoke.records import MAY_ACT, MAY_UNDO, RunRow, StepRow
from shared.tables.client import ConcurrentUpdate
from shared.tables.places import check_configured, gateway_of
from shared.tables.records import Records, run_and_hub
from shared.timestamps import parse_timestamp
from shared.writers.instances import ensure_writer_runs

Typed = Callable[[Call, RunRow], Outcome]

log = logging.getLogger(__name__)

_GONE = "The run's record is gone."
_SUPERSEDED = "The run has been started again from its rows; this call belongs to an earlier execution of it."


class Kind(Enum):
    """What an activity does for its run, which decides in which states of the run it may."""

    ACT = "act"
    """A step of a deployment: only while the run is in progress and not cancelled."""
    UNDO = "undo"
    """Only while the run is rolling back or deleting."""
    RECORD = "record"
    """On the run's own rows, also when the settings no longer have its hub: the activity judges the run's state itself."""

    def refusal(self, run: RunRow) -> str | None:
        """Why the run doesn't want this any more, None when it does."""
        allowed_in = {Kind.ACT: MAY_ACT, Kind.UNDO: MAY_UNDO}.get(self)
        if allowed_in is not None and run.status not in allowed_in:
            return f"The run is {run.status.replace('_', ' ')}, not in progress."
        if self is Kind.ACT and run.cancel_requested:
            return "The deployment was cancelled."
        return None


def activity(kind: Kind, *, takes_seconds: bool = False, through_writer: bool = False) -> Callable[[Typed], Any]:
    """Makes an activity of a typed function; its `perform` takes the `Call`, and answers the outcome without a worker.

    takes_seconds: Azure needs a few seconds for its operation; they are waited for inside the activity (`carry_out`).
    through_writer: a writer does the work: the activity takes a durable client, and `Pending(wakes=…)` makes sure that the
    writer runs.
    """

    def decorate(function: Typed) -> Any:
        # The worker refuses generic annotations on what it calls (azure-functions-durable-python#468): plain dict.
        async def plain(payload: dict) -> dict:  # type: ignore[type-arg]
            step = _StepCall(function, kind)
            return outcome_as_data(await carry_out(step, from_data(Call, payload), takes_seconds=takes_seconds))

        async def with_client(payload: dict, client: Any) -> dict:  # type: ignore[type-arg]
            return outcome_as_data(await _perform_and_wake(_StepCall(function, kind), from_data(Call, payload), client))

        wrapper: Any = with_client if through_writer else plain
        # Without `__wrapped__`, by which the worker would find the parameters of the inner function.
        wrapper.__name__ = wrapper.__qualname__ = function.__name__
        wrapper.__doc__, wrapper.__module__ = function.__doc__, function.__module__
        wrapper.perform = lambda call: _StepCall(function, kind).perform(call)
        return wrapper

    return decorate


async def _perform_and_wake(step: "_StepCall", call: Call, client: Any) -> Outcome:
    outcome: Outcome = Failed(Deadline(CALL_SECONDS).failure())
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CALL_SECONDS):
            outcome = await in_tables_thread(step.perform, call)
            if isinstance(outcome, Pending) and outcome.wakes and step.begun:
                with at(step.begun.place):
                    await ensure_writer_runs(client, outcome.wakes)
    return outcome


@dataclass(frozen=True)
class _Begun:
    """The run, the gateway of its spoke, the step's row, and when the run still wanted the step."""

    run: RunRow
    place: Settings
    row: StepRow | None
    wanted_at: datetime


class _StepCall:
    """One call of an activity by Durable. The rows are read once, however often the typed function is asked meanwhile."""

    def __init__(self, function: Typed, kind: Kind) -> None:
        self.begun: _Begun | None = None
        self._function = function
        self._kind = kind

    def perform(self, call: Call) -> Outcome:
        """The outcome, which the step's row says when this returns."""
        outcome = self.act(call)
        return self.leave(call, outcome) if passes_soon(outcome) else outcome

    def act(self, call: Call) -> Outcome:
        """The same, but that nothing is recorded of what `passes_soon`: it is asked again, or left by `leave`."""
        return self._bounded(call, lambda: self._acted(call))

    def leave(self, call: Call, outcome: Outcome) -> Outcome:
        """Records what is answered in the end, and answers it."""
        return self._bounded(call, lambda: self._recorded(call, outcome))

    def _bounded(self, call: Call, work: Callable[[], Outcome]) -> Outcome:
        with logs.context(deployment_id=call.deployment_id, spoke_id=call.spoke_id, step=call.name):
            try:
                with within(CALL_SECONDS):
                    return work()
            except Exception as error:  # noqa: BLE001 - the boundary: nothing may leave an activity but data
                return _logged(call, Failed(logs.failure_of(error)))

    def _acted(self, call: Call) -> Outcome:
        if self.begun is None and (cancelled := self._begin(call)):
            return _logged(call, cancelled)
        assert self.begun is not None
        outcome = self._outcome(call, self.begun)
        return _logged(call, outcome if passes_soon(outcome) else self._recorded(call, outcome))

    def _begin(self, call: Call) -> Cancelled | None:
        """Why nothing is to be done; None when the step's row says by now that it is under way."""
        run, hub = run_and_hub(call.deployment_id)
        if run is None:
            return Cancelled(_GONE)
        place = gateway_of(run.plan, hub)
        with at(place):
            if refusal := self._refusal(call, run):
                if refusal != _SUPERSEDED and (row := _row_of(call)):
                    _write_step(call, row, "cancelled", refusal)
                return Cancelled(refusal)
            wanted_at = utc_now()
            self.begun = _Begun(run, place, _begun_row(call), wanted_at)
        return None

    def _refusal(self, call: Call, run: RunRow | None) -> str | None:
        """Why the run doesn't want this call any more, None when it does."""
        if run is None:
            return _GONE
        # What begins a run learns by that how often it has been started.
        is_superseded = call.execution != run.execution and call.name != BEGIN_RUN
        return _SUPERSEDED if is_superseded else self._kind.refusal(run)

    def _outcome(self, call: Call, begun: _Begun) -> Outcome:
        try:
            with (
                at(begun.place),
                share_of_activities(),
                cancellation_guard(lambda: self._refusal(call, Records().run(call.deployment_id)), begun.wanted_at),
                within(ACTIVITY_SECONDS),
            ):
                if self._kind is not Kind.RECORD:
                    check_configured(begun.run.plan)
                return self._function(call, begun.run)
        except RunCancelledError as no_longer:
            return Cancelled(str(no_longer))
        except Exception as error:  # noqa: BLE001 - becomes data, and the step's row must say so
            return Failed(logs.failure_of(error))

    def _recorded(self, call: Call, outcome: Outcome) -> Outcome:
        """The outcome, which the step's row says by now."""
        assert self.begun is not None
        before, policy = self.begun.row, from_data(Policy, self.begun.run.policy)
        with at(self.begun.place):
            match outcome:
                case Done(message=message):
                    _write_step(call, before, "completed", message, outcome=outcome)
                case Pending(reason=reason) | Failed(failure=Failure(message=reason, transient=True)):
                    due = timestamp(utc_now() + timedelta(seconds=wait_after(call, outcome, policy)))
                    _write_step(call, before, "in_progress", reason, due=due)
                case Failed():
                    _write_end(call, before, outcome)
                case Cancelled(reason=reason) if reason != _SUPERSEDED:
                    _write_step(call, before, "cancelled", reason)
        return outcome


def _row_of(call: Call) -> StepRow | None:
    return Records().step(call.deployment_id, call.number) if call.number is not None else None


def _begun_row(call: Call) -> StepRow | None:
    """The step's row, which says that this attempt is under way; None for what is no step of its own.

    The first call of a step has no row yet, as a rule: it is not read, but inserted.
    """
    before = _row_of(call) if call.is_repeated else None
    if before is not None and before.attempts >= call.attempt:
        return before
    why = call.again or (before.message if before else "")
    return _write_step(call, before, "in_progress", why, due=timestamp()) or before


def _write_step(
    call: Call, before: StepRow | None, status: str, message: str, *, due: str = "", outcome: Outcome | None = None
) -> StepRow | None:
    """Writes the step's row when it says something new.

    Under its ETag: a write whose reply was lost, or the step's own transaction, may have come to more than was read. What
    a later execution of the run wrote stays. due: when the activity is called again.
    """
    if call.number is None:
        return None
    while not _says_as_much(before, status, call, message, due):
        step, attempts = (call.name, call.number), call.attempt
        row = step_row(call, before, step, status=status, attempts=attempts, message=message, due=due, outcome=outcome)
        try:
            return Records().write_step(row, over=before)
        except ConcurrentUpdate:
            before = _row_of(call)
    return before


def step_row(
    call: Call,
    before: StepRow | None,
    step: tuple[str, int],
    *,
    status: str,
    attempts: int,
    message: str,
    due: str = "",
    outcome: Outcome | None = None,
) -> StepRow:
    """What follows the row that a step of the call's run had before: the attempts count on, the start stays.

    step: its name and number.
    """
    name, number = step
    now = timestamp()
    return StepRow(
        call.deployment_id,
        number,
        name,
        status,
        max(attempts, before.attempts if before else 0),
        message,
        timestamp=now,
        started_at=before.started_at if before else now,
        due=due,
        execution=call.execution,
        outcome=outcome_as_data(outcome) if outcome else None,
    )


def _write_end(call: Call, before: StepRow | None, outcome: Failed) -> None:
    """Writes that the step has failed permanently. When the table doesn't answer the saga's next record does it: the row may
    say so already, and another attempt would take it back."""
    try:
        _write_step(call, before, "failed", outcome.failure.message, outcome=outcome)
    except Exception as error:  # noqa: BLE001 - the failure is the step's answer, whatever becomes of its row
        log.warning("That %s has failed could not be written just now: %s", call.name, logs.failure_of(error).message)


def _says_as_much(row: StepRow | None, status: str, call: Call, message: str, due: str) -> bool:
    if row is None:
        return False
    if row.execution > call.execution:
        return True
    if row.status == "completed" and status in ("in_progress", "cancelled"):
        return True  # done is done: the call that said so lost its reply, and is only being repeated
    if (row.status, row.message) != (status, message) or row.attempts < call.attempt:
        return False
    # A poll that finds nothing new is not worth a write; but by this a timer sees that the step is alive.
    return not due or (bool(row.due) and parse_timestamp(due) - parse_timestamp(row.due) < DUE_SLACK)


def _logged(call: Call, outcome: Outcome) -> Outcome:
    """The outcome, of which the log says a line."""
    match outcome:
        case Done(message=message):
            log.info("%s: %s", call.name, message)
        case Pending(reason=reason):
            log.debug("%s waits: %s", call.name, reason)
        case Failed(failure=failure) if failure.transient:
            log.warning("%s, attempt %d: %s (%s); trying again", call.name, call.attempt, failure.message, failure.code)
        case Failed(failure=failure):
            log.error("%s failed: %s (%s)", call.name, failure.message, failure.code)
        case Cancelled(reason=reason):
            log.warning("%s was not done: %s", call.name, reason)
    return outcome
