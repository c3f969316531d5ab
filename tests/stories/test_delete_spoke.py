"""The story of a removal: every undo, in the order of a rollback; repeatable until nothing is left."""

from collections.abc import Callable

import pytest

from shared.saga.steps import UNDOS
from tests.stories.saga_harness import RUN, SagaHarness, ScriptedActivities, script

NewHarness = Callable[[ScriptedActivities], SagaHarness]
UNDO_NAMES = tuple(undo.name for undo in UNDOS)


def test_a_delete_runs_every_undo_and_completes(new_harness: NewHarness) -> None:
    harness = new_harness(script())
    status = harness.delete()
    assert (status.runtime_status, status.output["status"]) == ("Completed", "deleted")
    assert harness.script.performed == list(UNDO_NAMES)
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
    assert harness.script.performed == [name for name in UNDO_NAMES if name not in skipped]
    shown = harness.steps()
    assert shown[undo] == "failed"
    assert {shown[name] for name in skipped} <= {"pending"}


def test_what_is_left_is_told_even_when_nobody_could_look(new_harness: NewHarness) -> None:
    harness = new_harness(script(fails={"delete_nic", "list_left_behind"}))
    harness.delete()
    left = harness.script.recorded["record_outcome"]["left_behind"]
    assert [each["step"] for each in left] == ["delete_nic", "delete_vnet", "delete_nsg", "release_reservations"]


@pytest.mark.parametrize("undo", UNDO_NAMES)
def test_a_terminated_child_is_a_failed_undo(new_harness: NewHarness, undo: str) -> None:
    harness = new_harness(script(hangs={undo}))
    harness.begin("delete")
    harness.until(lambda: undo in harness.script.performed)
    harness.stage.terminate(f"{RUN}:{undo}", "by hand")
    harness.stage.run_to_end(RUN)
    outcome = harness.script.recorded["record_outcome"]
    assert outcome["status"] == "rollback_failed"
    assert outcome["left_behind"][0]["step"] == undo
