"""Where an activity works: in a thread of its hub, so that the worker's own threads are left to the orchestrators.

What is over in a few seconds is waited for inside: an answer and another call of the activity would cost the Durable engine
more than the wait. Operations of a few seconds are, and short refusals of a busy Azure, which takes so many requests a
second. A call that waits holds one of the host's places for activities and no thread. So that others find places, only so
many wait at a time; what comes after them is answered, and called again by `run_step`.
"""

from dataclasses import replace
from typing import Protocol, TypeGuard

from shared import clock
from shared.errors import HubSpokeException
from shared.process.blocking import in_activity_thread, in_tables_thread
from shared.process.deadline import CALL_SECONDS
from shared.saga.outcomes import Call, Failed, Outcome, Pending
from shared.saga.step_run import wait_after
from shared.settings import at, current_settings, has_several_hubs
from shared.tables.places import hub_of_run

# The places for activities in host.json (`maxConcurrentActivityFunctions`) are these and the threads for those that work.
MOST_WAITING = 96
# So many of the longest polls, or of the first pauses after a refusal, are waited inside altogether: 10 seconds by default.
LONGEST_WAIT = 2.0

# Only the worker's one event loop counts here.
_waiting = 0


class StepCall(Protocol):
    """One call of an activity."""

    def act(self, call: Call) -> Outcome:
        """Does the work. What `passes_soon` of its outcome is recorded by `leave` only."""

    def leave(self, call: Call, outcome: Outcome) -> Outcome:
        """Records such an outcome, and answers it."""


def passes_soon(outcome: Outcome) -> TypeGuard[Pending | Failed]:
    """Whether the activity is to be called again: at once, or after as long as Azure says."""
    throttled = isinstance(outcome, Failed) and outcome.failure.transient and outcome.failure.retry_after is not None
    return isinstance(outcome, Pending) or throttled


async def carry_out(step: StepCall, call: Call, *, takes_seconds: bool, call_seconds: float = CALL_SECONDS) -> Outcome:
    """What the step answers in the end, or what it answers when that takes longer, or too many wait already.

    takes_seconds: its operation does, and is waited for.  call_seconds: the longest that one call of it may take.
    """
    try:
        hub = await in_tables_thread(hub_of_run, call.deployment_id) if has_several_hubs() else current_settings()
        with at(hub):  # in threads of that hub
            return await _carry_out(step, call, takes_seconds, call_seconds)
    except HubSpokeException as overdue:
        return Failed(overdue.failure)


async def _carry_out(step: StepCall, call: Call, takes_seconds: bool, call_seconds: float) -> Outcome:
    global _waiting
    policy = current_settings().policy
    waited, has_place = 0.0, False
    try:
        while True:
            outcome = await in_activity_thread(call_seconds, step.act, call)
            if not passes_soon(outcome):
                return outcome
            if isinstance(outcome, Pending):
                following, most = call.after(outcome), policy.poll_max_seconds if takes_seconds else 0.0
                outcome = replace(outcome, operation=following.operation)
                if takes_seconds and not outcome.wait_in_full:
                    # Azure asks to be polled after three seconds, when hardly one of these operations is over: each poll is
                    # one of the requests that it takes a second.
                    outcome = replace(outcome, wait=max(outcome.wait or 0.0, policy.poll_default_seconds))
            else:
                following, most = call, policy.retry_first_seconds
            seconds = wait_after(call, outcome, policy)
            if not most or waited + seconds > LONGEST_WAIT * most or not (has_place or _waiting < MOST_WAITING):
                return await in_activity_thread(call_seconds, step.leave, call, outcome)
            if not has_place:
                _waiting, has_place = _waiting + 1, True
            await clock.sleep(seconds)
            waited, call = waited + seconds, following
    finally:
        _waiting -= has_place
