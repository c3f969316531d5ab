"""The hub's VNet: there, at work, with room for one more peering; and the way out that the settings name. Pure."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from shared.checks.findings import ERROR, WARNING, Finding
from shared.checks.subjects.names import earlier_deployments
from shared.errors import ConfigurationException, Failure
from shared.spoke.documents.raw import Document, id_in, listed, provisioning_state
from shared.spoke.documents.security_rules import hub_network
from shared.spoke.plan import SpokePlan
from shared.spoke.records import RunRow
from shared.spoke.resource_ids import ResourceIds, name_of
from shared.writers.peering.documents import hub_gateway

if TYPE_CHECKING:
    from shared.settings import Settings

# Azure's limit for one VNet (azure-docs: networking limits).
PEERINGS_PER_VNET = 500

# Another run's write is under way; the writers wait for it, so it is no finding.
_AT_WORK = frozenset({"succeeded", "updating"})
FIND_HUB = "Check HUB_RESOURCE_GROUP, HUB_VNET_NAME and HUB_AGW_NAME, or the hub's entry in HUBS."


def hub_not_found(resource_id: str) -> Failure:
    """The hub's VNet or its resource group isn't there."""
    kind = "VNet" if "/virtualNetworks/" in resource_id else "resource group"
    message = f"The hub's {kind} {name_of(resource_id)} isn't there."
    return Failure(ConfigurationException, "HubNotFound", message, FIND_HUB, {"resource": resource_id})


def flaw_of_hub(ids: ResourceIds, hub_vnet: Document | None) -> Failure | None:
    """Why no peering can be made onto the hub's VNet, None when one can."""
    if hub_vnet is None:
        return hub_not_found(ids.hub_vnet)
    state = provisioning_state(hub_vnet)
    if state.lower() in _AT_WORK:
        return None
    return Failure(
        ConfigurationException,
        "HubFailed",
        f"The hub's VNet {ids.hub_vnet_name} is in state {state}.",
        "See in the VNet's activity log what failed, and fix it; Azure refuses peerings onto it until then.",
        {"resource": ids.hub_vnet},
    )


def hub_vnet_findings(ids: ResourceIds, hub_vnet: Document | None) -> list[Finding]:
    """The hub's VNet exists and isn't broken."""
    flaw = flaw_of_hub(ids, hub_vnet)
    return [Finding("hub_vnet", ERROR, flaw.code, flaw.message, flaw.hint, resource=ids.hub_vnet)] if flaw else []


def peering_findings(
    plan: SpokePlan, ids: ResourceIds, hub_vnet: Document, runs: Iterable[RunRow] = ()
) -> list[Finding]:
    """The hub's VNet has room for one more peering; this spoke's own, left by an earlier try, doesn't count.

    runs: ours that have not ended; the earlier ones have their peerings before this one.
    """
    peered = {id_in(each, "remoteVirtualNetwork").lower() for each in listed(hub_vnet, "virtualNetworkPeerings")}
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
            "Delete spokes or peerings that aren't needed, or use a second hub.",
            resource=ids.hub_vnet,
        )
    ]


def network_findings(hub_vnet: Document, gateway: Document, settings: "Settings") -> list[Finding]:
    """Every rule of a spoke's network security group can be written: the gateway's subnet is in the hub, with IPv4."""
    gaps = hub_network(hub_vnet, gateway, settings.management_source_prefixes).gaps
    return [
        Finding(
            "gateway" if gap.stops else "hub_vnet",
            ERROR if gap.stops else WARNING,
            gap.code,
            gap.message,
            gap.hint,
            resource=str((gateway if gap.stops else hub_vnet).get("id", "")) or None,
        )
        for gap in gaps
    ]


def hub_gateway_findings(hub_vnet: Document, gateways: Iterable[Document]) -> list[Finding]:
    """The hub's virtual network gateway, if there is one, is ready; otherwise what that means for the peering."""
    gateways = tuple(gateways)
    gateway = hub_gateway(hub_vnet, gateways or None)
    if gateway.state == "not_ready":
        code, consequence = "HubGatewayNotReady", "the peering waits until it is ready"
        hint = "Wait for it, or cancel its change."
    elif gateway.state == "failed":
        code, consequence = "HubGatewayFailed", "the spoke is peered without it, and uses it once it works"
        hint = "See in the Portal what failed, and repair or delete the gateway."
    else:
        return []
    resource = next((str(each["id"]) for each in gateways if name_of(str(each["id"])) == gateway.name), None)
    return [Finding("hub_vnet", WARNING, code, f"{gateway.sentence}: {consequence}", hint, resource=resource)]


def outbound_is_elsewhere(settings: "Settings") -> bool:
    """Whether `SPOKE_OUTBOUND` names something of another subscription: a subnet can't use it, so it isn't read."""
    resource_id = settings.spoke_outbound.partition(":")[2].lower()
    return bool(resource_id) and not resource_id.startswith(f"/subscriptions/{settings.spoke_subscription_id.lower()}/")


def outbound_findings(plan: SpokePlan, settings: "Settings", resource: Document | None) -> list[Finding]:
    """The NAT gateway or route table that `SPOKE_OUTBOUND` names is there and can be used by the spoke's subnets: they
    have to be in its region and subscription (azure-docs#32363)."""
    kind, _, resource_id = settings.spoke_outbound.partition(":")
    if kind not in ("nat", "route"):
        return []
    named = f"{name_of(resource_id)}, which SPOKE_OUTBOUND names,"
    noun = "NAT gateway" if kind == "nat" else "route table"

    def found(code: str, what: str, hint: str, severity: str = ERROR) -> Finding:
        return Finding("settings", severity, code, f"{named} {what}", hint, resource=resource_id)

    if outbound_is_elsewhere(settings):
        hint = f"Set SPOKE_OUTBOUND to a {noun} of the subscription of AZURE_SUBSCRIPTION_ID."
        return [found("OutboundInAnotherSubscription", "is in another subscription than the spokes", hint)]
    if resource is None:
        return [found("OutboundNotFound", "isn't there", "Correct SPOKE_OUTBOUND, or create it.")]
    region = str(resource.get("location", "")).replace(" ", "").lower()
    if region and region != plan.location:
        hint = f"Use location {region}, or set SPOKE_OUTBOUND to a {noun} in {plan.location}."
        return [found("OutboundInAnotherRegion", f"is in {region}, and the spoke would be in {plan.location}", hint)]
    state = provisioning_state(resource)
    if state.lower() not in _AT_WORK:
        return [found("OutboundNotReady", f"is {state}", "See in the Portal what failed, and repair it.")]
    if kind == "nat" and not (listed(resource, "publicIpAddresses") or listed(resource, "publicIpPrefixes")):
        hint = "Give the NAT gateway a public IP address or prefix."
        return [found("OutboundHasNoAddress", "has no public address: VMs will have no way out", hint, WARNING)]
    return []
