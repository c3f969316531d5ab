"""Records as callers see them."""

from typing import Any

from shared.settings import Settings
from shared.spoke.documents.resources import os_of
from shared.spoke.plan import SpokePlan
from shared.spoke.records import RunRow, SpokeRow
from shared.tables.places import gateway_of
from shared.timestamps import parse_timestamp


def spoke_view(
    spoke: SpokeRow, run: RunRow | SpokeRow | None, settings: Settings, peering_status: str | None = None
) -> dict[str, Any]:
    """A spoke with its newest run. What isn't known yet is null.

    run: the spoke itself will do as long as its newest run is its deployment.  peering_status: of a completed spoke, as
    the hub's writer has seen it since.
    """
    plan, result = spoke.plan, spoke.result
    where = {"hub": settings.hub_name} if settings.several else {}
    served_by = {"gateway": gateway_of(plan, settings).hub_agw_name} if settings.several else {}
    completed = spoke.status == "completed"
    seen = peering_status if completed else None
    return {
        "spoke_id": spoke.spoke_id,
        "client_name": spoke.client_name,
        "status": spoke.status,
        **where,
        "vnet": {
            "name": plan.vnet_name,
            "address_space": plan.address_prefix,
            "subnets": [{"name": name, "address_prefix": prefix} for name, prefix in plan.subnets],
            "peering_status": seen or result.get("peering_status") or ("Connected" if completed else None),
        },
        "vm": {
            "name": plan.vm_name,
            "private_ip": result.get("private_ip"),
            "size": plan.vm_size,
            "os": result.get("vm", {}).get("os") or os_of(settings.vm_image),
        },
        "agw": {
            "backend_pool_name": plan.backend_pool_name,
            "routing_rule_name": plan.routing_rule_name,
            "host_name": plan.host_name,
            "configured": completed,
            **served_by,
        },
        "deployment": deployment_view(spoke.deployment_id, run, plan),
        "error": spoke.error,
        "left_behind": spoke.left_behind,
    }


def deployment_view(deployment_id: str, run: RunRow | SpokeRow | None, plan: SpokePlan) -> dict[str, Any]:
    """The newest run of a spoke, in short."""
    return {
        "deployment_id": deployment_id,
        "made_by": plan.made_by,
        "created_at": run.created_at if run else None,
        "completed_at": run.completed_at if run else None,
        "duration_seconds": duration_seconds(run) if run else None,
        "stalled": run.stalled if isinstance(run, RunRow) else None,
    }


def run_view(run: RunRow) -> dict[str, Any]:
    """One run in a list of runs."""
    return {
        "deployment_id": run.deployment_id,
        "spoke_id": run.spoke_id,
        "client_name": run.client_name,
        "kind": run.kind,
        "status": run.status,
        "created_at": run.created_at,
        "completed_at": run.completed_at,
        "duration_seconds": duration_seconds(run),
        "cancel_requested": run.cancel_requested,
        "error": run.error,
        "left_behind": run.left_behind,
        "note": run.note,
        "execution": run.execution,
        "stalled": run.stalled,
    }


def duration_seconds(run: RunRow | SpokeRow) -> float | None:
    """How long a run took, None while it is under way."""
    if run.completed_at is None:
        return None
    return round((parse_timestamp(run.completed_at) - parse_timestamp(run.created_at)).total_seconds(), 3)
