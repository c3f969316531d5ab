"""What a spoke is made of. Pure. Leftovers, locks, name conflicts, the plan's report and orphans read it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from shared.spoke.documents.raw import Document
from shared.spoke.plan import SpokePlan
from shared.spoke.resource_ids import ResourceIds

Owner = Callable[[Document], bool]

# What tells that a part is this spoke's own: the resource's tag `deployment_id`; the client's row of `GatewaySites`; the
# spoke's row of `HubTurns` and the VNet that the side leads to; rows of `Spokes`, and no resource of Azure; the part that it
# is inside of and goes with.
Ownership = Literal["tags", "site_row", "peering_row", "reservations", "parent"]

# Types of resources with tags, as the ids have them in lower case, in the order in which they can go: a VM holds its disk
# and NIC, these hold the VNet, whose subnets hold the NSG. With the form of their names: the caller chooses those of `.+`.
TAGGED = {
    "virtualmachines": ".+",
    "disks": r".+-osdisk",
    "networkinterfaces": r".+-nic",
    "virtualnetworks": ".+",
    "networksecuritygroups": r"spoke-nsg-\d+",
}


@dataclass(frozen=True)
class Part:
    """undo: the activity that removes it.  id: of the resource; of reservations, what `left_behind` calls them."""

    undo: str
    id: str
    owned_by: Ownership = "tags"


def parts(plan: SpokePlan, ids: ResourceIds) -> list[Part]:
    """Every part of a spoke, there or not, in the order of the undos. ids: the spoke's own (`ResourceIds.of`)."""
    site, vnet = plan.site_names.by_collection(), plan.vnet_name
    return [
        *(Part("remove_from_agw", f"{ids.gateway}/{at}/{name}", "site_row") for at, name in site.items()),
        Part("delete_vm", ids.vm(plan.vm_name)),
        Part("delete_os_disk", ids.disk(plan.os_disk_name)),
        Part("delete_nic", ids.nic(plan.nic_name)),
        Part("delete_peering", ids.hub_peering(plan.hub_peering_name), "peering_row"),
        Part("delete_peering", ids.spoke_peering(vnet, plan.spoke_peering_name), "peering_row"),
        Part("delete_vnet", ids.vnet(vnet)),
        *(Part("delete_vnet", ids.subnet(vnet, name), "parent") for name, _ in plan.subnets),
        Part("delete_nsg", ids.nsg(plan.nsg_name)),
        Part("release_reservations", f"reservations of spoke {plan.spoke_id}", "reservations"),
    ]


def named_by(undo: str, plan: SpokePlan, ids: ResourceIds) -> list[str]:
    """The ids of what an undo removes, there or not, but for what goes with it."""
    return [part.id for part in parts(plan, ids) if part.undo == undo and part.owned_by != "parent"]


def made_by(deployment_id: str) -> Owner:
    """Ownership of what has tags: the `deployment_id` tag names the run that made the spoke."""

    def owns(document: Document) -> bool:
        tags = document.get("tags") or {}
        return any(key.lower() == "deployment_id" and value == deployment_id for key, value in tags.items())

    return owns
