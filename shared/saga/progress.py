"""How far a run is, as callers read it: one shape for the API's answers and for Durable's custom status. Pure."""

from typing import Any

from shared.saga.steps import STEPS, UNDOS
from shared.spoke.records import WELL, RunRow, StepRow

CUSTOM_STATUS_MESSAGE = 120


def blank_step(name: str) -> dict[str, Any]:
    """A step that hasn't begun."""
    return {"step_name": name, "status": "pending", "timestamp": None, "message": "", "attempts": 0}


def percentage(kind: str, status: str, steps: list[dict[str, Any]], undos: list[dict[str, Any]]) -> int:
    """How much is done, 0 to 100; 100 only when the run has ended as it was meant to."""
    if status in WELL:
        return 100
    counted = steps if kind == "deploy" else undos
    done = sum(1 for step in counted if step["status"] == "completed")
    return min(99, 100 * done // len(counted)) if counted else 0


def step_lists(kind: str, rows: dict[str, dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """`(deployment_steps, rollback_steps)` of a run: all steps of a deployment from the start, `pending` first; of a
    rollback only what was begun or noted; of a delete all undos, and no deployment steps."""
    steps = [rows.get(step.name) or blank_step(step.name) for step in STEPS] if kind == "deploy" else []
    if kind == "deploy":
        undos = [rows[undo.name] for undo in UNDOS if undo.name in rows]
    else:
        undos = [rows.get(undo.name) or blank_step(undo.name) for undo in UNDOS]
    return steps, undos


def progress_of(run: RunRow, rows: list[StepRow]) -> dict[str, Any]:
    """`spoke_id, deployment_id, status, deployment_steps, rollback_steps, progress_percentage` of a run, and its error."""
    by_name = {
        row.step_name: {
            "step_name": row.step_name,
            "status": row.status,
            "timestamp": row.timestamp,
            "message": row.message,
            "attempts": row.attempts,
        }
        for row in rows
    }
    steps, undos = step_lists(run.kind, by_name)
    return {
        "spoke_id": run.spoke_id,
        "deployment_id": run.deployment_id,
        "client_name": run.client_name,
        "kind": run.kind,
        "status": "in_progress" if run.status == "accepted" else run.status,
        "deployment_steps": steps,
        "rollback_steps": undos,
        "progress_percentage": percentage(run.kind, run.status, steps, undos),
        "created_at": run.created_at,
        "completed_at": run.completed_at,
        "cancel_requested": run.cancel_requested,
        "error": run.error,
        "left_behind": run.left_behind,
        "note": run.note,
        "execution": run.execution,
        "stalled": run.stalled,
    }


def custom_status(
    *, deployment_id: str, spoke_id: int | None, kind: str, status: str, rows: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """The same for Durable's custom status, each message cut: 16 KB is the limit, and exceeding it kills an instance."""
    cut = {name: {**row, "message": row["message"][:CUSTOM_STATUS_MESSAGE]} for name, row in rows.items()}
    steps, undos = step_lists(kind, cut)
    return {
        "spoke_id": spoke_id,
        "deployment_id": deployment_id,
        "status": status,
        "deployment_steps": steps,
        "rollback_steps": undos,
        "progress_percentage": percentage(kind, status, steps, undos),
    }
