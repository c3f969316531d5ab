"""The story of a removal: every undo, in the order of a rollback; repeatable until nothing is left."""

from collections.abc import Callable

import pytest

from local.functions.durable.faults import Fault
from shared.saga.steps import UNDOS
from tests.stories.saga_harness import SagaHarness, ScriptedActivities, assert_undone, script

NewHarness = Callable[[ScriptedActivities], SagaHarness]
UNDO_NAMES = tuple(undo.name for undo in UNDOS)


def test_a_delete_runs_every_undo_and_completes(new_harness: NewHarness) -> None:
    harness = new_harness(script())
    status = harness.delete()
    assert (status.runtime_status, status.output["status"]) == ("Completed", "deleted")
    assert_undone(harness.script.performed, UNDO_NAMES)
    assert harness.script.recorded["record_outcome"] == {"status": "deleted", "left_behind": []}
    assert status.custom_status["progress_percentage"] == 100
    assert status.custom_status["deployment_steps"] == []


def test_a_finished_rollback_is_a_failed_deployment_all_the_same(new_harness: NewHarness) -> None:
    harness = new_harness(script())
    status = harness.delete("rollback")
    assert status.runtime_status == "Failed"
    assert harness.script.recorded["record_outcome"] == {"status": "failed", "left_behind": []}


@pytest.mark.parametrize("undo", UNDO_NAMES)
def test_a_failing_undo_stops_only_those_that_need_it(new_harness: NewHarness, undo: str) -> None:
    harness = new_harness(script(fails={undo}))
    assert harness.delete().runtime_status == "Failed"
    outcome = harness.script.recorded["record_outcome"]
    skipped: set[str] = set()
    for each in UNDOS:
        if {undo, *skipped} & set(each.needs):
            skipped.add(each.name)
    assert outcome["status"] == "rollback_failed"
    assert [left["step"] for left in outcome["left_behind"]] == [
        name for name in UNDO_NAMES if name in {undo, *skipped}
    ]
    assert_undone(harness.script.performed, [name for name in UNDO_NAMES if name not in skipped])
    shown = harness.steps()
    assert shown[undo] == "failed"
    assert {shown[name] for name in skipped} <= {"pending"}


def test_what_is_left_is_recorded_even_when_azure_could_not_be_read(new_harness: NewHarness) -> None:
    harness = new_harness(script(fails={"delete_nic", "list_left_behind"}))
    harness.delete()
    left = harness.script.recorded["record_outcome"]["left_behind"]
    assert [each["step"] for each in left] == ["delete_nic", "delete_vnet", "delete_nsg", "release_reservations"]


@pytest.mark.parametrize("undo", UNDO_NAMES)
def test_an_undo_that_breaks_off_again_and_again_has_failed(new_harness: NewHarness, undo: str) -> None:
    harness = new_harness(script())
    harness.stage.faults.add(Fault("fail", instance=f":{undo}", times=None))
    harness.delete()
    outcome = harness.script.recorded["record_outcome"]
    assert outcome["status"] == "rollback_failed"
    assert outcome["left_behind"][0]["step"] == undo
