"""Names by which the stories, their children and the writers find each other in Durable Functions. Pure."""

from typing import Any

DEPLOY_SPOKE = "deploy_spoke"
DELETE_SPOKE = "delete_spoke"
RUN_STEP = "run_step"
WRITE_GATEWAY = "write_gateway"
WRITE_HUB = "write_hub"

ORCHESTRATOR_OF_KIND = {"deploy": DEPLOY_SPOKE, "delete": DELETE_SPOKE, "rollback": DELETE_SPOKE}


def run_input(
    *, deployment_id: str, spoke_id: int, client_name: str, kind: str, policy: dict[str, float]
) -> dict[str, Any]:
    """What a story is started with: all that it needs to decide, nothing that is secret."""
    return {
        "deployment_id": deployment_id,
        "spoke_id": spoke_id,
        "client_name": client_name,
        "kind": kind,
        "policy": policy,
    }


def step_instance_id(deployment_id: str, step: str) -> str:
    """The sub-orchestration that carries one step to rest."""
    return f"{deployment_id}:{step}"


def gateway_writer_id(hub_agw_name: str) -> str:
    """The one instance that writes a gateway."""
    return f"gateway-{hub_agw_name.lower()}"


def hub_writer_id(hub_vnet_name: str) -> str:
    """The one instance that writes the hub's peerings."""
    return f"hub-{hub_vnet_name.lower()}"
