"""The one writer of the shared Application Gateway: pass after pass, until no row is pending."""

from collections.abc import Generator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from shared.saga.instances import is_writer_id
from shared.saga.policy import BROKEN_CALL_SECONDS, writer_wait

if TYPE_CHECKING:
    from azure.durable_functions import DurableOrchestrationContext

RECONCILE_GATEWAY = "gateway_round"
POLL_GATEWAY = "poll_gateway"
# After so many activities a writer continues as new: its history is replayed from the top at every one of them.
CALLS_A_GENERATION = 20

Data = dict[str, Any]


def write_gateway(context: "DurableOrchestrationContext") -> Generator[Any, Any, None]:
    """Reads, writes once, polls, and reads again, until an activity answers `{"end": True}`.

    Others answer `{"state", "wait"}`: what the next one is asked, and the seconds before it. Nothing is handed to the
    next generation, and no input is read: all that counts is in the rows and in Azure.
    """
    if not is_writer_id(context.instance_id):
        return
    state: Data = {}
    for _ in range(CALLS_A_GENERATION):
        activity = POLL_GATEWAY if state.get("operation") else RECONCILE_GATEWAY
        try:
            answer: Data = yield context.call_activity(activity, {**state, "instance_id": context.instance_id})
        except Exception:  # noqa: BLE001 - Durable raises a bare Exception for whatever broke in an activity
            answer = {"state": {}, "wait": BROKEN_CALL_SECONDS}
        if answer.get("end"):
            return
        state = {**state, **answer["state"], "due": answer.get("due", state.get("due"))}
        seconds = writer_wait(answer["wait"])
        if seconds > 0:
            yield context.create_timer(context.current_utc_datetime + timedelta(seconds=seconds))
    context.continue_as_new(None)
