"""The one writer of the hub's peerings: carries out what `shared.writers.peering.schedule` decides."""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from shared.saga.instances import is_writer_id
from shared.writers.peering.schedule import Calls, HubSchedule, next_calls

if TYPE_CHECKING:
    from azure.durable_functions import DurableOrchestrationContext

Data = dict[str, Any]


def write_hub(context: "DurableOrchestrationContext") -> Generator[Any, Any, None]:
    """Calls and sleeps as the schedule says, until no row is pending.

    No input is read: one generation leaves what it knows to the next in the writer's row. All else is in the rows and in
    Azure, so that a writer that broke off is resumed from there.
    """
    if not is_writer_id(context.instance_id):
        return
    state = HubSchedule(context.instance_id, context.new_uuid())
    while calls := next_calls(state, context.current_utc_datetime):
        answers = yield from _carry_out(context, calls)
        state = state.after(calls, answers, context.current_utc_datetime)
    if not state.is_finished:
        context.continue_as_new(None)


def _carry_out(context: "DurableOrchestrationContext", calls: Calls) -> Generator[Any, Any, list[Data] | None]:
    """The activities' answers, None when one of them broke off."""
    tasks = [context.call_activity(call.activity, call.payload) for call in calls.activities]
    if calls.until:
        tasks.append(context.create_timer(calls.until))
    try:
        answers = yield context.task_all(tasks)
    except Exception:  # noqa: BLE001 - Durable raises a bare Exception for whatever broke in an activity
        return None
    return list(answers[: len(calls.activities)])
