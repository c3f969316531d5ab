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
from shared.settings import at, current_settings, has_several_hubs
from shared.tables.places import hub_of_run

# Half of `maxConcurrentActivityFunctions` in host.json.
MOST_WAITING = 12
# So many of the longest polls are waited inside, altogether: 7.5 seconds by default.
LONGEST_WAIT_POLLS = 1.5

# Only the worker's one event loop counts here.
_waiting = 0


async def wait_inside(
    act: Callable[[Call], Outcome],
    leave: Callable[[Call, Pending], Outcome],
    call: Call,
    *,
    call_seconds: float = CALL_SECONDS,
) -> Outcome:
    """What `act` answers in the end, or that it is pending when that takes longer, or too many wait already.

    leave: is given what is answered as pending, and answers it.  call_seconds: the longest that one call of each may take.
    """
    try:
        hub = await in_tables_thread(hub_of_run, call.deployment_id) if has_several_hubs() else current_settings()
        with at(hub):  # in threads of that hub
            return await _wait_inside(act, leave, call, call_seconds)
    except HubSpokeException as overdue:
        return Failed(overdue.failure)


async def _wait_inside(
    act: Callable[[Call], Outcome], leave: Callable[[Call, Pending], Outcome], call: Call, call_seconds: float
) -> Outcome:
    policy = current_settings().policy
    left = LONGEST_WAIT_POLLS * policy.poll_max_seconds
    while True:
        outcome = await in_arm_thread(call_seconds, act, call)
        if not isinstance(outcome, Pending):
            return outcome
        seconds = wait_after(call, outcome, policy)
        following = call.after(outcome)
        if seconds > left or not await _waited(seconds):
            return await in_arm_thread(call_seconds, leave, call, replace(outcome, operation=following.operation))
        left, call = left - seconds, following


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
