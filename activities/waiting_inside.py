"""Operations of a few seconds are waited for inside their activity: an answer and another call of it would cost the Durable
engine more than the wait.

A call that waits holds one of the host's places for activities and no thread. So that others find places, only so many wait at
a time; what comes after them is answered `Pending`, and asked after by `run_step`.
"""

from collections.abc import Callable
from dataclasses import replace

from shared import clock
from shared.errors import HubSpokeException
from shared.process.blocking import in_arm_thread, in_tables_thread
from shared.process.deadline import CALL_SECONDS
from shared.saga.outcomes import Call, Failed, Outcome, Pending
from shared.saga.step_run import wait_after
from shared.settings import at, current_settings
from shared.tables.places import hub_of_run

# Half of `maxConcurrentActivityFunctions` in host.json.
MOST_WAITING = 12
# So many of the longest polls are waited inside, altogether: 7.5 seconds by default.
LONGEST_WAIT_POLLS = 1.5

# Only the worker's one event loop counts here.
_waiting = 0


async def wait_inside(perform: Callable[[Call], Outcome], call: Call, *, call_seconds: float = CALL_SECONDS) -> Outcome:
    """What `perform` answers in the end, or that it is pending when that takes longer, or too many wait already.

    call_seconds: the longest that one call of it may take.
    """
    policy = current_settings().policy
    left = LONGEST_WAIT_POLLS * policy.poll_max_seconds
    while True:
        outcome = await _performed(perform, call, call_seconds)
        if not isinstance(outcome, Pending):
            return outcome
        seconds = wait_after(call, outcome, policy)
        call = call.after(outcome)
        if seconds > left or not await _waited(seconds):
            return replace(outcome, operation=call.operation)
        left -= seconds


async def _performed(perform: Callable[[Call], Outcome], call: Call, seconds: float) -> Outcome:
    try:
        with at(await in_tables_thread(hub_of_run, call.deployment_id)):  # in a thread of that hub
            return await in_arm_thread(seconds, perform, call)
    except HubSpokeException as overdue:
        return Failed(overdue.failure)


async def _waited(seconds: float) -> bool:
    global _waiting
    if _waiting >= MOST_WAITING:
        return False
    _waiting += 1
    try:
        await clock.sleep(seconds)
    finally:
        _waiting -= 1
    return True
