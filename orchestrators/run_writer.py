"""What both writers have in common: an activity, a durable timer, the next activity, and a new generation in time."""

from collections.abc import Callable, Generator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from shared.saga.policy import writer_wait

if TYPE_CHECKING:
    from azure.durable_functions import DurableOrchestrationContext

# After so many activities a writer continues as new: its history is replayed from the top at every one of them.
CALLS_A_GENERATION = 20

State = dict[str, Any]


def run_writer(
    context: "DurableOrchestrationContext", activity_for: Callable[[State], str]
) -> Generator[Any, Any, None]:
    """Calls the activity that a state asks for until one answers `{"end": True}`.

    An activity answers `{"state", "wait"}`: what the next one is asked, and the seconds before it. All else that a writer
    knows is in the rows and in Azure, so that one which broke off goes on from there.
    """
    state: State = context.get_input()  # type: ignore[assignment] # the SDK says str; what was sent is a dict
    for _ in range(CALLS_A_GENERATION):
        answer = yield from _ask(context, activity_for(state), state)
        if answer.get("end"):
            return
        state = {**state, **answer["state"]}
        yield from sleep(context, writer_wait(state, answer["wait"]))
        if answer.get("round_is_over"):
            break
    context.continue_as_new(state)


def sleep(context: "DurableOrchestrationContext", seconds: float) -> Generator[Any, Any, None]:
    if seconds > 0:
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=seconds))


def _ask(context: "DurableOrchestrationContext", activity: str, state: State) -> Generator[Any, Any, State]:
    try:
        answer: State = yield context.call_activity(activity, state)
    except Exception:  # noqa: BLE001 - Durable raises a bare Exception for whatever broke in an activity
        return {"state": {}, "wait": 5 * state["poll_seconds"]}
    return answer
