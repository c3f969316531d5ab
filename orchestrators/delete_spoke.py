"""The orchestration of a spoke's removal: by DELETE, or to finish a rollback that could not finish before."""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from shared.saga.instances import DELETE_SPOKE
from shared.saga.saga import DeploymentFailed, Saga

if TYPE_CHECKING:
    from azure.durable_functions import DurableOrchestrationContext

_STATUS_WHEN_GONE = {"delete": "deleted", "rollback": "failed"}


def delete_spoke(context: "DurableOrchestrationContext") -> Generator[Any, Any, dict[str, Any]]:
    """Runs every undo in the order of a rollback. Can be repeated until it is done."""
    saga = Saga(context, DELETE_SPOKE)
    if not (yield from saga.begin()):
        return {"deployment_id": saga.deployment_id, "status": saga.status}
    left_behind = yield from saga.undo_everything(_STATUS_WHEN_GONE[saga.kind])
    if left_behind:
        raise DeploymentFailed(f"left behind: {len(left_behind)}; the spoke's record names everything.")
    if saga.kind == "rollback":
        raise DeploymentFailed("The deployment had failed; its rollback is finished now and nothing is left.")
    return saga.finished()
