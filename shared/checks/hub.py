"""The hub's VNet: there, at work, with room for one more peering; and the way out that the settings name. Pure."""

from collections.abc import Iterable
from typing import Any

from shared.arm.reconcile import provisioning_state
from shared.checks.findings import ERROR, Finding
from shared.checks.precedence import earlier_deployments
from shared.settings import Settings
from shared.spoke.plan import SpokePlan
from shared.spoke.records import RunRow
from shared.spoke.resource_ids import ResourceIds, name_of

Document = dict[str, Any]

# Azure's limit for one VNet (azure-docs: networking limits).
PEERINGS_PER_VNET = 500

# Another run's write is under way; the writers wait for it, so it is no finding.
_AT_WORK = frozenset({"succeeded", "updating"})
FIND_HUB = "Check HUB_RESOURCE_GROUP, HUB_VNET_NAME and HUB_AGW_NAME."


def hub_vnet_findings(ids: ResourceIds, hub_vnet: Document | None) -> list[Finding]:
    """The hub's VNet exists and isn't broken."""
    if hub_vnet is None:
        return [
            Finding(
                "hub_vnet",
                ERROR,
                "HubNotFound",
                f"The hub's VNet {ids.hub_vnet_name} isn't there",
                FIND_HUB,
                resource=ids.hub_vnet,
            )
        ]
    state = provisioning_state(hub_vnet)
    if state.lower() in _AT_WORK:
        return []
    return [
        Finding(
            "hub_vnet",
            ERROR,
            "HubNotReady",
            f"The hub's VNet {ids.hub_vnet_name} is {state}",
            "See in the Portal what failed, and mend the VNet; Azure refuses peerings onto it until then.",
            resource=ids.hub_vnet,
        )
    ]


def peering_findings(
    plan: SpokePlan, ids: ResourceIds, hub_vnet: Document, runs: Iterable[RunRow] = ()
) -> list[Finding]:
    """The hub's VNet has room for one more peering; this spoke's own, left by an earlier try, doesn't count.

    runs: ours that have not ended; the earlier ones have their peerings before this one.
    """
    peered = {
        str(((peering.get("properties") or {}).get("remoteVirtualNetwork") or {}).get("id", "")).lower()
        for peering in (hub_vnet.get("properties") or {}).get("virtualNetworkPeerings") or []
    }
    coming = {ids.vnet(run.plan.vnet_name).lower() for run in earlier_deployments(plan, runs)}
    others = (peered | coming) - {ids.vnet(plan.vnet_name).lower()}
    if len(others) < PEERINGS_PER_VNET:
        return []
    return [
        Finding(
            "hub_peerings",
            ERROR,
            "HubFull",
            f"The hub's VNet {ids.hub_vnet_name} has or will have {len(others)} of {PEERINGS_PER_VNET} peerings",
            "Delete spokes or peerings that nobody needs, or use a second hub.",
            resource=ids.hub_vnet,
        )
    ]


def outbound_findings(settings: Settings, resource: Document | None) -> list[Finding]:
    """The NAT gateway or route table that `SPOKE_OUTBOUND` names is there."""
    kind, _, resource_id = settings.spoke_outbound.partition(":")
    if kind not in ("nat", "route") or resource is not None:
        return []
    return [
        Finding(
            "settings",
            ERROR,
            "OutboundNotFound",
            f"{name_of(resource_id)}, which SPOKE_OUTBOUND names, isn't there",
            "Correct SPOKE_OUTBOUND, or create it.",
            resource=resource_id,
        )
    ]
