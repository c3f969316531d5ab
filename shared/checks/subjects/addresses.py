"""Whose addresses the spoke's block would collide with. Pure."""

import ipaddress
from collections.abc import Iterable

from shared.checks.findings import ERROR, WARNING, Finding
from shared.errors import ValidationException
from shared.spoke.documents.raw import Document, address_prefixes, id_in, listed
from shared.spoke.plan import SpokePlan
from shared.spoke.resource_ids import ResourceIds, name_of, same_id


def address_findings(
    plan: SpokePlan, ids: ResourceIds, hub_vnet: Document | None, vnets: Iterable[Document], *, strict: bool
) -> list[Finding]:
    """The block overlaps neither with the hub nor with anything peered with it, nor (a warning, an error when strict)
    with any other VNet of the subscription. The spoke's own VNet doesn't count."""
    own = ids.vnet(plan.vnet_name)
    found: list[Finding] = []
    seen = [own, ids.hub_vnet]
    if shared := _overlap(plan, address_prefixes(hub_vnet)):
        found.append(_collision(plan, ERROR, "the hub", ids.hub_vnet, shared))
    for peering in listed(hub_vnet, "virtualNetworkPeerings"):
        remote = id_in(peering, "remoteVirtualNetwork")
        # As the other end last was in step, and as it is now.
        spaces = (
            *address_prefixes(peering, "remoteAddressSpace"),
            *address_prefixes(peering, "remoteVirtualNetworkAddressSpace"),
        )
        if not same_id(remote, own) and (shared := _overlap(plan, spaces)):
            seen.append(remote)
            named = f"{name_of(remote) or 'a VNet'}, which is peered with the hub"
            found.append(_collision(plan, ERROR, named, remote or str(peering.get("id")), shared))
    for vnet in vnets:
        vnet_id = str(vnet.get("id", ""))
        if any(same_id(vnet_id, other) for other in seen):
            continue
        if shared := _overlap(plan, address_prefixes(vnet)):
            named = f"the VNet {name_of(vnet_id)}, which is not peered with the hub"
            found.append(_collision(plan, ERROR if strict else WARNING, named, vnet_id, shared))
    return found


def _overlap(plan: SpokePlan, prefixes: Iterable[str]) -> str | None:
    block = ipaddress.ip_network(plan.address_prefix)
    for prefix in prefixes:
        other = ipaddress.ip_network(prefix, strict=False)
        if block.version == other.version and block.overlaps(other):
            return prefix
    return None


def _collision(plan: SpokePlan, severity: str, who: str, resource: str, prefix: str) -> Finding:
    return Finding(
        "address_block",
        severity,
        "AddressBlockInUse",
        f"The address block {plan.address_prefix} overlaps with {prefix} of {who}",
        "Use another spoke_id or address_prefix."
        if severity == ERROR
        else "It can be built, but the two can never be peered or routed to each other.",
        ValidationException,
        resource,
        {"field": "address_prefix", "value": plan.address_prefix},
    )
