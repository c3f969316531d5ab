"""Where an activity works: in a thread of its hub, so that the worker's own threads are left to the orchestrators.

Operations of a few seconds are waited for inside: an answer and another call of the activity would cost the Durable engine
more than the wait. A call that waits holds one of the host's places for activities and no thread. So that others find
places, only so many wait at a time; what comes after them is answered `Pending`, and asked after by `run_step`.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

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
# So many of the longest polls are waited inside, altogether: 7.5 seconds by default.
LONGEST_WAIT_POLLS = 1.5

# Only the worker's one event loop counts here.
_waiting = 0


class StepCall(Protocol):
    """One call of an activity. perform: answers it.  act: the same, but that nothing is recorded of `Pending`: it is called
    again, or `leave` is given what is answered as pending, and answers it."""

    def perform(self, call: Call) -> Outcome: ...

    def act(self, call: Call) -> Outcome: ...

    def leave(self, call: Call, outcome: Pending) -> Outcome: ...


async def work_in_thread(step: StepCall, call: Call, *, call_seconds: float = CALL_SECONDS) -> Outcome:
    """What the step answers. call_seconds: the longest that it may take."""
    return await _at_its_hub(call, lambda: in_activity_thread(call_seconds, step.perform, call))


async def wait_inside(step: StepCall, call: Call, *, call_seconds: float = CALL_SECONDS) -> Outcome:
    """What the step answers in the end, or that it is pending when that takes longer, or too many wait already.

    call_seconds: the longest that one call of it may take.
    """
    return await _at_its_hub(call, lambda: _wait_inside(step, call, call_seconds))


async def _at_its_hub(call: Call, work: Callable[[], Awaitable[Outcome]]) -> Outcome:
    """In threads of the hub that the call is about."""
    try:
        hub = await in_tables_thread(hub_of_run, call.deployment_id) if has_several_hubs() else current_settings()
        with at(hub):
            return await work()
    except HubSpokeException as overdue:
        return Failed(overdue.failure)


async def _wait_inside(step: StepCall, call: Call, call_seconds: float) -> Outcome:
    global _waiting
    policy = current_settings().policy
    left, has_place = LONGEST_WAIT_POLLS * policy.poll_max_seconds, False
    try:
        while True:
            outcome = await in_activity_thread(call_seconds, step.act, call)
            if not isinstance(outcome, Pending):
                return outcome
            seconds = wait_after(call, outcome, policy)
            following = call.after(outcome)
            full = not has_place and _waiting >= MOST_WAITING
            if full or seconds > left:
                # Where many wait none is in a hurry: by then it is over.
                wait = max(outcome.wait or 0.0, policy.poll_max_seconds) if full else outcome.wait
                outcome = replace(outcome, operation=following.operation, wait=wait)
                return await in_activity_thread(call_seconds, step.leave, call, outcome)
            if not has_place:
                _waiting, has_place = _waiting + 1, True
            await clock.sleep(seconds)
            left, call = left - seconds, following
    finally:
        _waiting -= has_place
