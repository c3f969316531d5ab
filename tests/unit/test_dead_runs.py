"""What the sweeper decides about a run whose orchestration has ended under it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.recovery.runs.dead_runs import Close, HandOver, Mark, next_move
from shared.recovery.runs.liveness import Stop, Wait
from shared.saga.steps import CHILDREN, STEP_NUMBERS
from shared.spoke.records import RunRow, SpokeRow
from shared.timestamps import parse_timestamp
from shared.writers.instances import NOT_KNOWN, NOT_THERE
from tests.activities.azure_stand_in import a_plan, a_run

NOW = parse_timestamp("2026-01-01T12:00:00.000Z")
LAST_CALLS = timedelta(seconds=75)
RUNNING = ["accepted", "in_progress", "rolling_back", "deleting"]
ALIVE = ["Running", "Pending", "ContinuedAsNew", "Suspended"]
ENDED = ["Terminated", "Failed", "Completed", "Canceled"]


def a_spoke(run: RunRow, **changes: Any) -> SpokeRow:
    spoke = SpokeRow(
        run.spoke_id, run.client_name, run.status, run.deployment_id, run.plan, 1, {}, created_at=run.created_at
    )
    return replace(spoke, **changes)


def marked(run: RunRow) -> RunRow:
    """The run as the sweeper's mark leaves it."""
    move = next_move(run, a_spoke(run), "Terminated", {}, NOW, LAST_CALLS)
    assert isinstance(move, Mark)
    return replace(run, status=move.status, error=move.error)


def test_every_child_of_an_orchestration_is_known() -> None:
    assert set(STEP_NUMBERS) < set(CHILDREN)
    assert {"begin_run", "begin_rollback", "record_outcome", "list_left_behind"} < set(CHILDREN)


@pytest.mark.parametrize(
    ("kind", "status"), [("deploy", "rolling_back"), ("rollback", "rolling_back"), ("delete", "deleting")]
)
def test_first_the_run_is_marked_so_that_no_act_of_it_does_anything(kind: str, status: str) -> None:
    run = a_run(a_plan(), kind=kind)
    move = next_move(run, a_spoke(run), "Terminated", {"create_vm": "Running"}, NOW, LAST_CALLS)
    assert isinstance(move, Mark)
    assert move.status == status
    assert "was terminated" in move.error["message"]
    assert "rolled back by the sweeper" in move.error["message"]


def test_the_cause_of_a_rollback_that_was_under_way_is_kept() -> None:
    run = a_run(a_plan(), status="rolling_back", error={"error": "AzureResourceException", "message": "no quota"})
    assert (marked(run).error or {})["details"]["cause"]["message"] == "no quota"


def test_then_its_children_are_stopped() -> None:
    run = marked(a_run(a_plan()))
    children = {"create_vm": "Running", "create_vnet": "Completed", "update_agw": "Pending", "create_nic": NOT_THERE}
    assert next_move(run, a_spoke(run), "Terminated", children, NOW, LAST_CALLS) == Stop(("create_vm", "update_agw"))


def test_then_the_last_calls_are_waited_for() -> None:
    run = marked(a_run(a_plan()))
    children = {"create_vm": "Terminated"}
    assert next_move(run, a_spoke(run), "Terminated", children, NOW + LAST_CALLS / 2, LAST_CALLS) == Wait()


@pytest.mark.parametrize(
    ("kind", "next_kind"), [("deploy", "rollback"), ("rollback", "rollback"), ("delete", "delete")]
)
def test_then_another_run_takes_over(kind: str, next_kind: str) -> None:
    run = marked(a_run(a_plan(), kind=kind))
    assert next_move(
        run, a_spoke(run), "Terminated", {"create_vm": "Terminated"}, NOW + LAST_CALLS, LAST_CALLS
    ) == HandOver(next_kind)


@pytest.mark.parametrize("status", RUNNING)
def test_then_that_run_is_waited_for(status: str) -> None:
    run = marked(a_run(a_plan()))
    spoke = a_spoke(run, deployment_id="rollback-client-1-2-bbbb", status=status)
    assert next_move(run, spoke, "Terminated", {}, NOW + timedelta(hours=1), LAST_CALLS) == Wait()


def test_at_last_the_dead_run_ends_as_its_successor_did() -> None:
    run = marked(a_run(a_plan()))
    gone = a_spoke(run, deployment_id="rollback-client-1-2-bbbb", status="failed")
    assert next_move(run, gone, "Terminated", {}, NOW, LAST_CALLS) == Close("failed")
    assert next_move(run, None, "Terminated", {}, NOW, LAST_CALLS) == Close("failed")
    left = [{"step": "delete_vm", "resource": "/vm", "reason": "locked"}]
    stuck = replace(gone, status="rollback_failed", left_behind=left)
    assert next_move(run, stuck, "Terminated", {}, NOW, LAST_CALLS) == Close("rollback_failed", left)


@given(
    st.sampled_from(["deploy", "rollback", "delete"]),
    st.dictionaries(st.sampled_from(CHILDREN), st.sampled_from([*ALIVE, *ENDED, NOT_THERE, NOT_KNOWN])),
    st.integers(0, 3600),
)
def test_nothing_is_undone_while_a_child_runs_or_a_last_call_may_be_under_way(
    kind: str, children: dict[str, str], seconds: int
) -> None:
    run = marked(a_run(a_plan(), kind=kind))
    move = next_move(run, a_spoke(run), "Terminated", children, NOW + timedelta(seconds=seconds), LAST_CALLS)
    at_rest = not any(status in {*ALIVE, NOT_KNOWN} for status in children.values())
    assert isinstance(move, HandOver) == (at_rest and timedelta(seconds=seconds) >= LAST_CALLS)


def test_a_successor_that_is_terminated_too_is_found_anew() -> None:
    first = marked(a_run(a_plan()))
    successor = a_run(first.plan, deployment_id="rollback-client-1-2-bbbb", kind="rollback", error=first.error)
    assert isinstance(next_move(successor, a_spoke(successor), "Terminated", {}, NOW, LAST_CALLS), Mark)
