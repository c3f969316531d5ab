"""Carries one activity to rest: calls it, sleeps on a durable timer, calls again. Never raises."""

from collections.abc import Generator
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from shared.data import as_data, from_data
from shared.saga.instances import WAKE
from shared.saga.outcomes import Call, Cancelled, Done, Failed, Outcome, outcome_as_data, outcome_from_data
from shared.saga.step_run import (
    WAITS_A_GENERATION,
    GiveUp,
    StepRun,
    Wait,
    broken_call,
    is_a_step_of,
    next_move,
)
from shared.timestamps import as_timestamp

if TYPE_CHECKING:
    from azure.durable_functions import DurableOrchestrationContext

GIVE_UP_STEP = "give_up_step"
_NO_STEP = Cancelled("This is no step of a run.")


def run_step(context: "DurableOrchestrationContext") -> Generator[Any, Any, dict[str, Any] | None]:
    """One step, from its first call to its last. Answers `{"outcome", …, "attempts", "at"}`.

    Continues as new after every tenth wait, with its whole state as the input, so that an hour of polling stays cheap.
    The event `wake` ends its longer waits. That is a hint, which can get lost, come late or twice: what is to be done, the
    next call of the activity finds in the rows.
    Its input is read only when a run has started it as its child: others end at once, whatever they were started with.
    """
    parent = context.parent_instance_id
    if not parent:
        return outcome_as_data(_NO_STEP)
    given: Any = context.get_input()
    run = from_data(StepRun, given).begun(context.current_utc_datetime)
    if not is_a_step_of(parent, context.instance_id, run.call):
        return outcome_as_data(_NO_STEP)
    ended = yield from _generation(context, run)
    if not isinstance(ended, StepRun):
        return ended
    context.continue_as_new(as_data(ended))
    return None


def _generation(context: "DurableOrchestrationContext", run: StepRun) -> Generator[Any, Any, dict[str, Any] | StepRun]:
    """The step's answer, or the state with which the next generation begins."""
    waits, has_slept = 0, False
    while waits < WAITS_A_GENERATION:
        if run.sleep is not None:
            if has_slept:
                return run
            run, has_slept = (yield from _sleep(context, run, run.sleep)), True
            if run.call.slept:
                return run
        asked_at = context.current_utc_datetime
        outcome = yield from _call(context, run.call.name, run.call)
        now = context.current_utc_datetime
        move = next_move(run, outcome, now, spent=(now - asked_at).total_seconds())
        match move:
            case GiveUp():
                return (yield from _give_up(context, move, run))
            case Wait(can_be_woken=True):
                run = replace(move.then, sleep=move.seconds)
            case Wait():
                run = move.then
                yield context.create_timer(context.current_utc_datetime + timedelta(seconds=move.seconds))
            case Done() | Failed() | Cancelled():
                return _finished(context, move, run)
        waits += 1
    return run


def _call(context: "DurableOrchestrationContext", activity: str, call: Call) -> Generator[Any, Any, Outcome]:
    try:
        answer = yield context.call_activity(activity, as_data(call))
    except Exception as error:  # noqa: BLE001 - Durable raises a bare Exception for whatever broke in an activity
        return broken_call(error)
    return outcome_from_data(answer)


def _sleep(context: "DurableOrchestrationContext", run: StepRun, seconds: float) -> Generator[Any, Any, StepRun]:
    """The state after a wait that the event `wake` can end.

    Once a generation: a `task_any` that names an event already waited for is sent without it. And an event that comes after
    the timer is given to the wait that is over, so that who waits for a writer goes on in the next generation.
    """
    woken = context.wait_for_external_event(WAKE)
    timer: Any = context.create_timer(context.current_utc_datetime + timedelta(seconds=seconds))
    first = yield context.task_any([woken, timer])
    run = replace(run, sleep=None)
    if first != woken:
        return run
    timer.cancel()
    return replace(run, call=run.call.woken())


def _give_up(context: "DurableOrchestrationContext", move: GiveUp, run: StepRun) -> Generator[Any, Any, dict[str, Any]]:
    """Has the failure written into the step's row: the activity itself last said that it was waiting."""
    step, failure = run.call, as_data(move.failure)
    given = {"step": step.name, "number": step.number, "attempts": step.attempt, "failure": failure}
    call = Call(step.deployment_id, step.spoke_id, GIVE_UP_STEP, given=given)
    for attempt in range(1, WAITS_A_GENERATION):
        outcome = yield from _call(context, GIVE_UP_STEP, call)
        if not (isinstance(outcome, Failed) and outcome.failure.transient):
            break
        seconds = run.policy.refusal_wait(call.deployment_id, call.name, attempt, outcome.failure.retry_after)
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=seconds))
    return _finished(context, Failed(move.failure), run)


def _finished(context: "DurableOrchestrationContext", outcome: Outcome, run: StepRun) -> dict[str, Any]:
    at = as_timestamp(context.current_utc_datetime)
    return {**outcome_as_data(outcome), "attempts": run.call.attempt, "at": at}
