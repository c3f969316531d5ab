"""Progress never lies: looked at again and again, a run only ever moves on."""

from typing import Any

from shared.data import as_data
from shared.saga.progress import progress_of
from shared.saga.steps import STEPS, UNDOS
from shared.settings import at
from shared.spoke.records import TERMINAL
from shared.tables.places import hub_of_run
from shared.tables.records import Records

Document = dict[str, Any]

_RUN_MOVES = {
    # Looked at now and then: what lay between two looks is not seen.
    "in_progress": {"in_progress", "completed", "rolling_back", "deleting", "deleted", "failed", "rollback_failed"},
    "rolling_back": {"rolling_back", "failed", "rollback_failed"},
    # `failed` when someone has ended it, and its successor has deleted the spoke.
    "deleting": {"deleting", "deleted", "rollback_failed", "failed"},
}
_STEP_MOVES = {
    "pending": {"pending", "in_progress", "completed", "failed", "cancelled"},
    "in_progress": {"in_progress", "completed", "failed", "cancelled"},
}


def assert_moves_on(before: Document | None, now: Document | None) -> None:
    """What one look at a run may say after another. Both are answers of `…/progress`."""
    assert now is not None
    _assert_speaks_truly(now)
    if before is None:
        return
    assert now["status"] in _RUN_MOVES.get(before["status"], {before["status"]}), (before["status"], now["status"])
    assert now["progress_percentage"] >= before["progress_percentage"], (before, now)
    for kind in ("deployment_steps", "rollback_steps"):
        later = {step["step_name"]: step for step in now[kind]}
        for earlier in before[kind]:
            step = later[earlier["step_name"]]
            allowed = _STEP_MOVES.get(earlier["status"], {earlier["status"]})
            assert step["status"] in allowed, f"{earlier} became {step}"
            assert step["attempts"] >= earlier["attempts"], f"{earlier} became {step}"
            assert (step["timestamp"] or "") >= (earlier["timestamp"] or ""), f"{earlier} became {step}"


def _assert_speaks_truly(progress: Document) -> None:
    names = [step["step_name"] for step in progress["deployment_steps"]]
    undos = [step["step_name"] for step in progress["rollback_steps"]]
    if names:
        assert names == [step.name for step in STEPS]
    assert undos == [undo.name for undo in UNDOS if undo.name in undos]
    whole = progress["status"] in ("completed", "deleted")
    assert (progress["progress_percentage"] == 100) == whole, progress
    if progress["status"] in TERMINAL:
        assert _under_way(progress) == [], progress
    if progress["status"] == "completed":
        assert {step["status"] for step in progress["deployment_steps"]} == {"completed"}, progress
    for step in (*progress["deployment_steps"], *progress["rollback_steps"]):
        if step["status"] not in ("pending", "cancelled"):
            assert step["attempts"] >= 1, step
            assert step["timestamp"], step
        if step["status"] == "failed":
            assert step["message"], step


def _under_way(progress: Document) -> list[str]:
    """Steps that are said to be going on. What was noted and not begun when all was over is `pending`, with its reason."""
    steps = (*progress["deployment_steps"], *progress["rollback_steps"])
    return [step["step_name"] for step in steps if step["status"] == "in_progress"]


def progress_now(deployment_id: str) -> Document | None:
    """The progress of a run in whichever hub, None when there is no such run."""
    with at(hub_of_run(deployment_id)):
        records = Records()
        run = records.run(deployment_id)
        return as_data(progress_of(run, records.steps(deployment_id))) if run else None


class Watcher:
    """Looks at one run, and remembers the last look."""

    def __init__(self, deployment_id: str) -> None:
        self.deployment_id = deployment_id
        self.last: Document | None = None
        self.looks: list[Document] = []

    def look(self) -> None:
        now = progress_now(self.deployment_id)
        if now is None:
            return
        assert_moves_on(self.last, now)
        if now != self.last:
            self.looks.append(now)
        self.last = now
