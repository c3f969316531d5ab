"""How far a run is, as callers read it: one shape for the API's answers and for Durable's custom status. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from shared.data import StoredAs, as_data, taken_from
from shared.errors import ErrorCause
from shared.saga.steps import STEPS, UNDOS
from shared.spoke.records import WELL, LeftBehind, RunKind, RunRow, SpokeStatus, Stalled, StepRow, StepStatus

CUSTOM_STATUS_MESSAGE = 120


@dataclass(frozen=True)
class ProgressStep:
    """One step or undo of a run."""

    step_name: str
    status: StepStatus
    timestamp: str | None
    message: str
    attempts: int


@dataclass(frozen=True)
class Progress:
    """How far a run is, with all its steps, pending ones too."""

    spoke_id: int
    deployment_id: str
    client_name: str
    kind: RunKind
    status: SpokeStatus
    deployment_steps: list[ProgressStep]
    rollback_steps: list[ProgressStep]
    progress_percentage: int
    created_at: str
    completed_at: str | None
    cancel_requested: bool
    error: Annotated[dict[str, Any], StoredAs(ErrorCause)] | None
    left_behind: Annotated[list[dict[str, Any]], StoredAs(list[LeftBehind])]
    note: str | None
    execution: int
    """How often its orchestration was started from its records, from 1."""
    stalled: Stalled | None


def _pending(name: str) -> ProgressStep:
    return ProgressStep(name, "pending", None, "", 0)


def percentage(kind: str, status: str, steps: list[ProgressStep], undos: list[ProgressStep]) -> int:
    """How much is done, 0 to 100; 100 only when the run has ended as it was meant to."""
    if status in WELL:
        return 100
    counted = steps if kind == "deploy" else undos
    done = sum(1 for step in counted if step.status == "completed")
    return min(99, 100 * done // len(counted)) if counted else 0


def step_lists(kind: str, rows: Mapping[str, ProgressStep]) -> tuple[list[ProgressStep], list[ProgressStep]]:
    """`(deployment_steps, rollback_steps)` of a run: all steps of a deployment from the start, `pending` first; of a
    rollback only what was begun or noted; of a delete all undos, and no deployment steps."""
    if kind != "deploy":
        return [], [rows.get(undo.name) or _pending(undo.name) for undo in UNDOS]
    steps = [rows.get(step.name) or _pending(step.name) for step in STEPS]
    return steps, [rows[undo.name] for undo in UNDOS if undo.name in rows]


def progress_of(run: RunRow, rows: list[StepRow]) -> Progress:
    """How far a run is, by its row and those of its steps."""
    steps, undos = step_lists(run.kind, {row.step_name: taken_from(row, ProgressStep) for row in rows})
    return taken_from(
        run,
        Progress,
        status="in_progress" if run.status == "accepted" else run.status,
        deployment_steps=steps,
        rollback_steps=undos,
        progress_percentage=percentage(run.kind, run.status, steps, undos),
    )


def custom_status(
    *, deployment_id: str, spoke_id: int | None, kind: str, status: str, rows: Mapping[str, ProgressStep]
) -> dict[str, Any]:
    """The same for Durable's custom status, each message cut: 16 KB is the limit, and exceeding it kills an instance."""
    cut = {name: replace(row, message=row.message[:CUSTOM_STATUS_MESSAGE]) for name, row in rows.items()}
    steps, undos = step_lists(kind, cut)
    return {
        "spoke_id": spoke_id,
        "deployment_id": deployment_id,
        "status": status,
        "deployment_steps": as_data(steps),
        "rollback_steps": as_data(undos),
        "progress_percentage": percentage(kind, status, steps, undos),
    }
