"""Names that the spoke needs and somebody else has. Pure."""

from collections.abc import Iterable
from typing import Any

from shared.arm.reconcile import made_by
from shared.checks.findings import ERROR, Finding
from shared.spoke.plan import SpokePlan
from shared.spoke.resource_ids import ResourceIds, name_of, same_id, type_of

Document = dict[str, Any]


def needed_ids(plan: SpokePlan, ids: ResourceIds) -> tuple[str, ...]:
    """What the deployment makes that has a name of its own in the spoke group."""
    return (
        ids.vnet(plan.vnet_name),
        ids.nsg(plan.nsg_name),
        ids.nic(plan.nic_name),
        ids.vm(plan.vm_name),
        ids.disk(plan.os_disk_name),
    )


def perhaps_in_the_way(plan: SpokePlan, ids: ResourceIds, resources: Iterable[Document]) -> list[str]:
    """Which needed ids the group's list shows, not made by this spoke's run. The list can lag behind: look each up."""
    owned = made_by(plan.made_by)
    listed = {str(resource.get("id", "")).lower(): resource for resource in resources}
    return [
        needed
        for needed in needed_ids(plan, ids)
        if (resource := listed.get(needed.lower())) is not None and not owned(resource)
    ]


def name_findings(
    plan: SpokePlan, ids: ResourceIds, in_the_way: Iterable[Document], hub_vnet: Document | None
) -> list[Finding]:
    """VNet, NSG, NIC, VM, disk and peering of these names don't exist, or are this run's own."""
    owned = made_by(plan.made_by)
    found = [_taken(str(document["id"])) for document in in_the_way if not owned(document)]
    if same_id(ids.vnet(plan.vnet_name), ids.hub_vnet):
        found.append(_taken(ids.hub_vnet))
    peerings = ((hub_vnet or {}).get("properties") or {}).get("virtualNetworkPeerings") or []
    own_vnet = ids.vnet(plan.vnet_name)
    for peering in peerings:
        remote = str(((peering.get("properties") or {}).get("remoteVirtualNetwork") or {}).get("id", ""))
        named_like_ours = str(peering.get("name", "")).lower() == plan.hub_peering_name.lower()
        if named_like_ours != same_id(remote, own_vnet):
            found.append(_taken(str(peering.get("id") or ids.hub_peering(str(peering.get("name"))))))
    return found


def _taken(resource_id: str) -> Finding:
    kind = type_of(resource_id).rsplit("/", 1)[-1]
    return Finding(
        "names",
        ERROR,
        "ResourceInTheWay",
        f"{kind} {name_of(resource_id)} exists already and was not made by this deployment",
        "Choose another name or spoke_id, or remove it yourself if nobody needs it; nothing of it was changed.",
        "ValidationException",
        resource_id,
    )
