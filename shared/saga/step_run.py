"""What `run_step` decides after each call of an activity: finish, or wait how long and call again. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.errors import UNEXPECTED, AzureResourceException, DeploymentException, Failure
from shared.saga.instances import is_step_of
from shared.saga.outcomes import Call, Cancelled, Done, Ended, Failed, Outcome, Pending
from shared.saga.policy import LONGEST_WAIT_OF_A_STEP, Policy
from shared.saga.steps import CHILDREN

# After so many waits run_step continues as new: its history is replayed from the top at every wait.
WAITS_A_GENERATION = 10
# An unexpected error can be the moment's (a process that has just started) or the code's: after so many it is final.
UNEXPECTED_ATTEMPTS = 5


@dataclass(frozen=True)
class StepRun:
    """The whole state of one `run_step`; its input at every continue-as-new.

    deadline: moment (ISO 8601) after which a step that isn't finished has failed, None before the first call.
    deadline_seconds: None for what keeps trying until it works.
    unexpected: how many attempts have ended in an unexpected error by now.  sleep: seconds that it waits, unless it is
    woken, before its next call; what the generation before left to do.
    """

    call: Call
    policy: Policy
    deadline_seconds: float | None
    deadline: str | None = None
    unexpected: int = 0
    sleep: float | None = None

    @property
    def keeps_trying(self) -> bool:
        return self.deadline_seconds is None

    def begun(self, now: datetime) -> "StepRun":
        """With its deadline fixed, at the first call."""
        if self.deadline or self.deadline_seconds is None:
            return self
        return replace(self, deadline=(now + timedelta(seconds=self.deadline_seconds)).isoformat())

    def is_overdue(self, now: datetime) -> bool:
        return self.deadline is not None and now >= datetime.fromisoformat(self.deadline)


@dataclass(frozen=True)
class Wait:
    """Call again after `seconds`, in the state `then`. can_be_woken: or as soon as the event `wake` comes."""

    seconds: float
    then: StepRun
    can_be_woken: bool = False


@dataclass(frozen=True)
class GiveUp:
    """The deadline has passed, or unexpected errors go on: record this failure, then rest."""

    failure: Failure


def next_move(run: StepRun, outcome: Outcome, now: datetime, spent: float = 0.0) -> Ended | Wait | GiveUp:
    """What follows from an activity's answer: the step's outcome when it has finished. A wait never reaches beyond the
    deadline.

    spent: the seconds that the activity took, which the pace of polls counts in; that of an operation begins with its
    first answer.
    """
    match outcome:
        case Done() | Cancelled():
            return outcome
        case Failed(failure) if not failure.transient and not run.keeps_trying:
            return outcome
        case Failed(failure):
            if run.is_overdue(now):
                return GiveUp(_overdue(run, failure.message, failure))
            unexpected = run.unexpected + (failure.code == UNEXPECTED)
            if unexpected >= UNEXPECTED_ATTEMPTS and not run.keeps_trying:
                return GiveUp(failure.permanent())
            seconds = wait_after(run.call, outcome, run.policy)
            then = replace(run, call=run.call.another_try(failure.message), unexpected=unexpected)
            return _wait(run, now, seconds, then)
        case Pending():
            if run.is_overdue(now):
                return GiveUp(_overdue(run, outcome.reason, None))
            seconds = wait_after(run.call, outcome, run.policy, spent)
            return _wait(run, now, seconds, replace(run, call=run.call.after(outcome)))


def _wait(run: StepRun, now: datetime, seconds: float, then: StepRun) -> Wait:
    """Each longer wait can be ended: by the writer that the step waits for, or by a DELETE that has cancelled its run."""
    can_be_woken = then.call.slept > 0 or seconds > run.policy.poll_max_seconds
    seconds = min(seconds, LONGEST_WAIT_OF_A_STEP) if seconds > 0 else 0.0
    if run.deadline is not None:
        left = (datetime.fromisoformat(run.deadline) - now).total_seconds()
        seconds = max(min(seconds, left), 0.0)
    return Wait(seconds, then, can_be_woken)


def is_a_step_of(run_id: str, instance_id: str, call: Call) -> bool:
    """Whether an instance may carry out this call: one of the run's own, for an activity that runs have."""
    return call.deployment_id == run_id and call.name in CHILDREN and is_step_of(run_id, call.name, instance_id)


def wait_after(call: Call, outcome: Pending | Failed, policy: Policy, spent: float = 0.0) -> float:
    """Seconds until an activity that answered this is called again, its deadline left aside."""
    if isinstance(outcome, Failed):
        return policy.refusal_wait(call.deployment_id, call.name, call.attempt, outcome.failure.retry_after)
    if outcome.woken:
        return policy.unwoken_wait(call.slept, outcome.wait or 0.0)
    if outcome.wait_in_full and outcome.wait is not None:
        return outcome.wait
    return policy.poll_wait(outcome.wait, 0.0 if outcome.operation else spent)


def broken_call(error: Exception) -> Failed:
    """An activity that gave no outcome at all: its process died, or it ran into the function timeout."""
    return Failed(
        Failure(
            DeploymentException,
            "ActivityBroke",
            "An activity broke off before it could answer.",
            details={"reason": str(error)[:300]},
            transient=True,
        )
    )


def _overdue(run: StepRun, last: str, failure: Failure | None) -> Failure:
    return Failure(
        failure.error if failure else AzureResourceException,
        "DeadlineExceeded",
        f"{run.call.name} did not finish within {run.deadline_seconds:g} seconds. Last seen: {last}",
        (failure.hint if failure else None)
        or "See in the Portal what the resource waits for, then retry the deployment.",
        {**(failure.details if failure else {}), **({"last_code": failure.code} if failure else {})},
    )
