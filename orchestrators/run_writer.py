"""What both writers have in common: an activity, a durable timer, the next activity, and a new generation in time."""

from collections.abc import Callable, Generator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from shared.saga.policy import BROKEN_CALL_SECONDS, writer_wait

if TYPE_CHECKING:
    from azure.durable_functions import DurableOrchestrationContext

# After so many activities a writer continues as new: its history is replayed from the top at every one of them.
CALLS_A_GENERATION = 20

State = dict[str, Any]


def run_writer(
    context: "DurableOrchestrationContext", activity_for: Callable[[State], str]
) -> Generator[Any, Any, None]:
    """Calls the activity that a state asks for until one answers `{"end": True}`.

    An activity answers `{"state", "wait"}`: what the next one is asked, and the seconds before it. Nothing is handed to the
    next generation, and no input is read: all that counts is in the rows and in Azure.
    """
    state: State = {}
    for _ in range(CALLS_A_GENERATION):
        answer = yield from _ask(context, activity_for(state), {**state, "instance_id": context.instance_id})
        if answer.get("end"):
            return
        state = {**state, **answer["state"], "due": answer.get("due", state.get("due"))}
        yield from sleep(context, writer_wait(answer["wait"]))
    context.continue_as_new(None)


def sleep(context: "DurableOrchestrationContext", seconds: float) -> Generator[Any, Any, None]:
    if seconds > 0:
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=seconds))


def _ask(context: "DurableOrchestrationContext", activity: str, state: State) -> Generator[Any, Any, State]:
    try:
        answer: State = yield context.call_activity(activity, state)
    except Exception:  # noqa: BLE001 - Durable raises a bare Exception for whatever broke in an activity
        return {"state": {}, "wait": BROKEN_CALL_SECONDS}
    return answer
