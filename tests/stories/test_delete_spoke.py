"""The story of a removal: every undo, in the order of a rollback; repeatable until nothing is left."""

from collections.abc import Callable

import pytest

from shared.steps import UNDOS
from tests.stories.theatre import RUN, Script, Theatre, script

NewTheatre = Callable[[Script], Theatre]
UNDO_NAMES = tuple(undo.name for undo in UNDOS)


def test_a_delete_runs_every_undo_and_completes(new_theatre: NewTheatre) -> None:
    theatre = new_theatre(script())
    status = theatre.delete()
    assert (status.runtime_status, status.output["status"]) == ("Completed", "deleted")
    assert theatre.script.performed == list(UNDO_NAMES)
    assert theatre.script.recorded["record_outcome"] == {"status": "deleted", "left_behind": []}
    assert status.custom_status["progress_percentage"] == 100
    assert status.custom_status["deployment_steps"] == []


def test_a_finished_rollback_is_a_failed_deployment_all_the_same(new_theatre: NewTheatre) -> None:
    theatre = new_theatre(script())
    status = theatre.delete("rollback")
    assert status.runtime_status == "Failed"
    assert theatre.script.recorded["record_outcome"] == {"status": "failed", "left_behind": []}


@pytest.mark.parametrize("undo", UNDO_NAMES)
def test_a_failing_undo_stops_only_those_that_need_it(new_theatre: NewTheatre, undo: str) -> None:
    theatre = new_theatre(script(fails={undo}))
    assert theatre.delete().runtime_status == "Failed"
    outcome = theatre.script.recorded["record_outcome"]
    skipped: set[str] = set()
    for each in UNDOS:
        if {undo, *skipped} & set(each.needs):
            skipped.add(each.name)
    assert outcome["status"] == "rollback_failed"
    assert [left["step"] for left in outcome["left_behind"]] == [
        name for name in UNDO_NAMES if name in {undo, *skipped}
    ]
    assert theatre.script.performed == [name for name in UNDO_NAMES if name not in skipped]
    shown = theatre.steps()
    assert shown[undo] == "failed"
    assert {shown[name] for name in skipped} <= {"pending"}


def test_what_is_left_is_told_even_when_nobody_could_look(new_theatre: NewTheatre) -> None:
    theatre = new_theatre(script(fails={"delete_nic", "list_left_behind"}))
    theatre.delete()
    left = theatre.script.recorded["record_outcome"]["left_behind"]
    assert [each["step"] for each in left] == ["delete_nic", "delete_vnet", "delete_nsg", "release_reservations"]


@pytest.mark.parametrize("undo", UNDO_NAMES)
def test_a_terminated_child_is_a_failed_undo(new_theatre: NewTheatre, undo: str) -> None:
    theatre = new_theatre(script(hangs={undo}))
    theatre.begin("delete")
    theatre.until(lambda: undo in theatre.script.performed)
    theatre.stage.terminate(f"{RUN}:{undo}", "by hand")
    theatre.stage.run_to_end(RUN)
    outcome = theatre.script.recorded["record_outcome"]
    assert outcome["status"] == "rollback_failed"
    assert outcome["left_behind"][0]["step"] == undo
