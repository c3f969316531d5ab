"""When the orchestration of a run is taken for dead or lost, and what a restart does next."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clock import timestamp
from shared.recovery.runs.liveness import (
    BROKE_OFF,
    DUE_SLACK,
    MISSING_FOR,
    MOST_EXECUTIONS,
    STANDS_STILL,
    STANDS_STILL_AFTER,
    STARTING,
    STOPPING,
    Broken,
    Confirm,
    Dead,
    Fine,
    Missing,
    Start,
    Stop,
    Wait,
    condition_of,
    may_stand_still,
    next_end_move,
    next_restart_move,
)
from shared.spoke.records import Restart, RunRow, StepRow
from shared.tables.codec import as_entity, from_entity
from shared.timestamps import parse_timestamp
from shared.writers.instances import FINISHED, NOT_KNOWN, NOT_THERE, UNFINISHED
from tests.activities.azure_stand_in import a_plan, a_run

NOW = parse_timestamp("2026-01-01T12:00:00.000Z")
LONG_AGO = NOW - timedelta(hours=5)
TOO_LONG = STANDS_STILL_AFTER + DUE_SLACK + timedelta(seconds=1)
LAST_CALLS = timedelta(seconds=75)
UNFINISHED_RUNS = ["accepted", "in_progress", "rolling_back", "deleting"]


def the_run(**changes: Any) -> RunRow:
    return replace(a_run(a_plan(), created_at=timestamp(LONG_AGO), resumed_at=timestamp(LONG_AGO)), **changes)


def a_step(name: str, status: str = "in_progress", due: Any = None, at: Any = LONG_AGO) -> StepRow:
    moment = timestamp(at)
    return StepRow("deploy-x", 2, name, status, 1, "", moment, moment, due=timestamp(due) if due else "")


@given(st.sampled_from(UNFINISHED_RUNS), st.booleans())
def test_nothing_is_concluded_from_what_is_not_known(status: str, missing: bool) -> None:
    run = the_run(status=status, missing_since=timestamp(LONG_AGO) if missing else None)
    assert condition_of(run, (), NOT_KNOWN, NOW, LONG_AGO) == Fine()


@pytest.mark.parametrize("instance", ["Terminated", "Completed", "Canceled"])
@pytest.mark.parametrize("status", UNFINISHED_RUNS)
def test_a_run_that_an_operator_ended_is_dead(status: str, instance: str) -> None:
    assert condition_of(the_run(status=status), (), instance, NOW, LONG_AGO) == Dead()


@pytest.mark.parametrize("status", UNFINISHED_RUNS)
def test_a_run_whose_orchestration_failed_is_started_again(status: str) -> None:
    assert condition_of(the_run(status=status), (), "Failed", NOW, LONG_AGO) == Broken(BROKE_OFF)


def test_a_run_without_an_instance_is_dead_at_the_second_reading_a_minute_later() -> None:
    assert condition_of(the_run(), (), NOT_THERE, NOW, LONG_AGO) == Missing(timestamp(NOW))
    seen = the_run(missing_since=timestamp(NOW))
    assert condition_of(seen, (), NOT_THERE, NOW + MISSING_FOR / 2, LONG_AGO) == Fine()
    assert condition_of(seen, (), NOT_THERE, NOW + MISSING_FOR, LONG_AGO) == Dead()


def test_an_instance_that_is_there_again_clears_the_first_sighting() -> None:
    seen = the_run(missing_since=timestamp(LONG_AGO), resumed_at=timestamp(NOW))
    assert condition_of(seen, (), "Running", NOW, LONG_AGO) == Missing(None)


def test_an_accepted_run_that_was_never_started_is_another_timers_business() -> None:
    assert condition_of(the_run(status="accepted"), (), NOT_THERE, NOW, LONG_AGO) == Fine()


@pytest.mark.parametrize("instance", sorted(UNFINISHED))
def test_a_step_whose_call_is_long_overdue_stands_still(instance: str) -> None:
    steps = [a_step("create_vm", due=NOW - TOO_LONG), a_step("update_agw", due=NOW)]
    assert condition_of(the_run(), steps, instance, NOW, LONG_AGO) == Broken(
        STANDS_STILL, timestamp(NOW - TOO_LONG), "create_vm"
    )


def test_a_step_that_waits_for_as_long_as_it_was_told_does_not_stand_still() -> None:
    """Azure's longest Retry-After is about twenty minutes."""
    steps = [a_step("create_vm", due=NOW + timedelta(minutes=2), at=NOW - timedelta(minutes=20))]
    assert condition_of(the_run(), steps, "Running", NOW, LONG_AGO) == Fine()


def test_an_orchestration_that_does_not_follow_its_last_step_stands_still() -> None:
    steps = [a_step("create_vnet", "completed", at=NOW - TOO_LONG)]
    assert condition_of(the_run(), steps, "Running", NOW, LONG_AGO) == Broken(STANDS_STILL, timestamp(NOW - TOO_LONG))
    young = [a_step("create_vnet", "completed", at=NOW - STANDS_STILL_AFTER)]
    assert condition_of(the_run(), young, "Running", NOW, LONG_AGO) == Fine()


@pytest.mark.parametrize("instance", ["Pending", "Running"])
def test_a_run_that_never_began_stands_still(instance: str) -> None:
    run = the_run(status="accepted", resumed_at=None)
    assert condition_of(run, (), instance, NOW, LONG_AGO) == Broken(STANDS_STILL, timestamp(LONG_AGO))


def test_time_in_which_the_app_was_down_does_not_count() -> None:
    """After a restart everything is overdue at once, and messages that a killed host had taken come back only later."""
    steps = [a_step("create_vm", due=LONG_AGO)]
    assert condition_of(the_run(), steps, "Running", NOW, NOW - STANDS_STILL_AFTER) == Fine()
    assert isinstance(condition_of(the_run(), steps, "Running", NOW, NOW - TOO_LONG), Broken)


def test_a_run_that_was_just_started_again_does_not_stand_still() -> None:
    run = the_run(resumed_at=timestamp(NOW - STANDS_STILL_AFTER))
    assert condition_of(run, [a_step("create_vm", due=LONG_AGO)], "Running", NOW, LONG_AGO) == Fine()
    assert not may_stand_still(run, NOW, LONG_AGO)
    assert may_stand_still(the_run(), NOW, LONG_AGO)


@pytest.mark.parametrize("instance", ["Failed", "Running"])
def test_a_run_that_cannot_be_kept_running_is_given_up(instance: str) -> None:
    run = the_run(execution=MOST_EXECUTIONS)
    assert condition_of(run, [a_step("create_vm", due=LONG_AGO)], instance, NOW, LONG_AGO) == Dead()


# --- the restart ---


def in_phase(phase: str, since: timedelta) -> RunRow:
    return the_run(restart=Restart(STANDS_STILL, phase, timestamp(NOW - since), step="create_vm"))


def test_first_the_orchestration_is_stopped_then_its_children() -> None:
    """The other way round it would begin them again."""
    run = in_phase(STOPPING, timedelta())
    children = {"x:create_vm": "Running", "x:update_agw": "Pending", "x:create_nic": "Completed"}
    assert next_restart_move(run, "Running", children, NOW, LAST_CALLS) == Stop((run.deployment_id,))
    stop = Stop(("x:create_vm", "x:update_agw"))
    assert next_restart_move(run, "Terminated", children, NOW, LAST_CALLS) == stop


@given(
    st.sampled_from([*sorted(FINISHED), NOT_THERE, NOT_KNOWN]),
    st.lists(st.sampled_from([*sorted(UNFINISHED | FINISHED), NOT_THERE, NOT_KNOWN]), max_size=4),
    st.integers(0, 300),
)
def test_nothing_is_started_while_anything_of_the_old_execution_may_act(
    instance: str, statuses: list[str], seconds: int
) -> None:
    run = in_phase(STOPPING, timedelta(seconds=seconds))
    children = {f"x:{n}": status for n, status in enumerate(statuses)}
    move = next_restart_move(run, instance, children, NOW, LAST_CALLS)
    ended = not {instance, *statuses} & {*UNFINISHED, NOT_KNOWN}
    assert (move == Start()) == (ended and timedelta(seconds=seconds) >= LAST_CALLS)


@pytest.mark.parametrize("instance", [*sorted(FINISHED), NOT_THERE])
def test_a_start_that_was_cut_off_is_repeated(instance: str) -> None:
    run = in_phase(STARTING, timedelta())
    assert next_restart_move(run, instance, {}, NOW, LAST_CALLS) == Start()


def test_a_new_execution_is_waited_for_and_replaced_when_it_never_begins() -> None:
    run = in_phase(STARTING, STANDS_STILL_AFTER)
    assert next_restart_move(run, "Pending", {}, NOW, LAST_CALLS) == Wait()
    assert next_restart_move(run, NOT_KNOWN, {}, NOW, LAST_CALLS) == Wait()
    run = in_phase(STARTING, TOO_LONG)
    assert next_restart_move(run, "Pending", {}, NOW, LAST_CALLS) == Broken(STANDS_STILL, step="create_vm")


# --- the end ---


@pytest.mark.parametrize(("status", "instance"), [("completed", "Completed"), ("deleted", "Completed")])
@pytest.mark.parametrize(("wrong", "late"), [("Failed", "Running")])
def test_an_orchestration_that_missed_the_end_of_its_run_is_ended(
    status: str, instance: str, wrong: str, late: str
) -> None:
    run = the_run(status=status, completed_at=timestamp(NOW - TOO_LONG))
    assert next_end_move(run, instance, False, NOW, LONG_AGO) == Confirm()
    assert next_end_move(run, wrong, False, NOW, LONG_AGO) == Start()
    assert next_end_move(run, late, False, NOW, LONG_AGO) == Stop((run.deployment_id,))
    assert next_end_move(run, late, False, NOW, NOW) == Fine(), "the app was down"
    assert next_end_move(run, "Terminated", True, NOW, LONG_AGO) == Start()
    assert next_end_move(run, "Terminated", False, NOW, LONG_AGO) == Confirm()
    assert next_end_move(run, NOT_THERE, False, NOW, LONG_AGO) == Confirm()
    assert next_end_move(run, NOT_KNOWN, False, NOW, LONG_AGO) == Fine()


def test_a_failed_run_is_failed_in_durable_too() -> None:
    run = the_run(status="failed", completed_at=timestamp(NOW))
    assert next_end_move(run, "Failed", False, NOW, LONG_AGO) == Confirm()
    assert next_end_move(run, "Completed", False, NOW, LONG_AGO) == Start()


def test_a_restart_survives_its_row() -> None:
    run = in_phase(STOPPING, timedelta())
    assert from_entity(RunRow, as_entity(run, "hub")).restart == run.restart is not None
    assert from_entity(RunRow, as_entity(run, "hub")) == run
