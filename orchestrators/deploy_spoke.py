"""The deployment of a spoke, from the first check to the finished record, or back."""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from shared.saga.instances import DEPLOY_SPOKE
from shared.saga.saga import DeploymentFailed, Saga, StepsFailed
from shared.saga.steps import (
    CREATE_NIC,
    CREATE_NSG,
    CREATE_PEERING,
    CREATE_SUBNETS,
    CREATE_VM,
    CREATE_VNET,
    SAVE_TO_STORAGE,
    UPDATE_AGW,
    VALIDATE_CONFIG,
    Result,
)

if TYPE_CHECKING:
    from azure.durable_functions import DurableOrchestrationContext


def deploy_spoke(context: "DurableOrchestrationContext") -> Generator[Any, Any, dict[str, Any]]:
    """Builds one spoke and publishes it. No step waits for anything that it doesn't need.

    Steps know the spoke's plan from its record; what one finds out for another is handed on here. When a step fails,
    everything that was begun is undone and recorded; then this raises, so that Durable's status and the Portal say
    `Failed`.
    """
    saga = Saga(context, DEPLOY_SPOKE)
    if not (yield from saga.begin()):
        return {"deployment_id": saga.deployment_id, "status": saga.status}
    spoke: Result = {}
    try:
        saga.resume_rollback()
        checked = yield from saga.run(VALIDATE_CONFIG)
        yield from saga.run_together(CREATE_VNET, CREATE_NSG)
        yield from saga.run(CREATE_SUBNETS)
        nic = yield from saga.run(CREATE_NIC)
        peering, vm, site = yield from saga.run_together(
            CREATE_PEERING, CREATE_VM.given(checked), UPDATE_AGW.given(nic)
        )
        spoke = {**checked, **nic, **peering, **vm, **site}
        yield from saga.run(SAVE_TO_STORAGE.given(spoke))
    except StepsFailed as cause:
        left_behind = yield from saga.roll_back(cause)
        if left_behind is None:
            return saga.finished(spoke)
        ending = f"left behind: {len(left_behind)}" if left_behind else "rolled back, nothing is left"
        raise DeploymentFailed(f"{cause.step}: {cause.failure.message} ({ending})") from None
    return saga.finished(spoke)
