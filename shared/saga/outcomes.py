"""What an activity answers, and what it is asked: the contract between `run_step` and the activities.

An activity ends in one of four ways. It never sits and waits: what takes long is started and reported as `Pending`
with the operation to ask after, and `run_step` calls again.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from shared.data import as_data, from_data
from shared.errors import Failure


@dataclass(frozen=True)
class Operation:
    """A long operation of Azure Resource Manager that is under way.

    url: the `Azure-AsyncOperation` or `Location` URL, replayed verbatim (it can be signed, and 3 KB long).
    form: `status` (the URL answers a body with a status) or `location` (202 until it is over).
    """

    url: str
    form: str = "status"


@dataclass(frozen=True)
class Done:
    """The work is finished. `result` goes to the steps that need it (`{"private_ip": "10.11.1.4"}`)."""

    message: str
    result: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pending:
    """Call again. `reason` is what a person reads meanwhile; `wait` is in seconds, None for the policy's default.

    operation: only when it changed; the one that the call came with stays otherwise. wait_in_full: a refusal's
    Retry-After, which is not shortened to the polling interval.  forget_operation: the one that the call came with
    is over.  wakes: the writer (`gateway` or `hub`) that has to be started, if it doesn't run.  woken: a writer wakes this
    step when its row is applied or has failed, so that the step need not ask until then.
    """

    reason: str
    wait: float | None = None
    operation: Operation | None = None
    wait_in_full: bool = False
    forget_operation: bool = False
    wakes: str | None = None
    woken: bool = False


@dataclass(frozen=True)
class Failed:
    """It did not work. `failure.transient` says whether `run_step` tries again."""

    failure: Failure


@dataclass(frozen=True)
class Cancelled:
    """The run doesn't want this any more: cancelled by DELETE, terminated, or already over. Nothing was done."""

    reason: str


Ended = Done | Failed | Cancelled
Outcome = Ended | Pending


_KINDS: dict[str, type[Outcome]] = {"done": Done, "pending": Pending, "failed": Failed, "cancelled": Cancelled}


def outcome_as_data(outcome: Outcome) -> dict[str, Any]:
    """The outcome as the JSON that crosses the activity boundary."""
    return {"outcome": type(outcome).__name__.lower(), **as_data(outcome)}


def outcome_from_data(data: dict[str, Any]) -> Outcome:
    """The outcome that `outcome_as_data` wrote."""
    return from_data(_KINDS[data["outcome"]], data)


@dataclass(frozen=True)
class Call:
    """What an activity is asked.

    deployment_id: the run.  spoke_id: None before the run's row was read.  name: the step, undo or record activity.
    number: its place in the run's list of steps, None for activities that are no step of their own.  given: results of
    earlier steps.  attempt: 1 for the first try.  operation: the long operation that an earlier call of this attempt
    started.  again: why the attempt before did not work; it may not have come to say so in the step's row.
    execution: of the run's row; one of an earlier execution does nothing any more.  slept: how often in a row it has waited
    for a writer, and was not woken.  is_repeated: an earlier call of the step was made, so that its row is there.
    """

    deployment_id: str
    spoke_id: int | None
    name: str
    number: int | None = None
    given: dict[str, Any] = field(default_factory=dict)
    attempt: int = 1
    operation: Operation | None = None
    again: str = ""
    execution: int = 1
    slept: int = 0
    is_repeated: bool = False

    def after(self, outcome: Pending) -> "Call":
        """The next call when nothing wakes it before: it asks after the operation that is under way."""
        operation = outcome.operation or (None if outcome.forget_operation else self.operation)
        return replace(self, operation=operation, slept=self.slept + 1 if outcome.woken else 0, is_repeated=True)

    def another_try(self, why: str) -> "Call":
        """The first call of the next attempt."""
        return replace(self, attempt=self.attempt + 1, operation=None, again=why, slept=0, is_repeated=True)

    def woken(self) -> "Call":
        """The same call for a step that was woken."""
        return replace(self, slept=0)
