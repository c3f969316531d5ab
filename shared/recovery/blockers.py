"""Blockers of a delete, unmanaged things in the spoke: read before anything is touched. Reads only."""

import logging
from collections.abc import Callable, Iterable
from typing import Any

from shared.arm.client import Arm, arm, describe
from shared.arm.failures import ArmError
from shared.checks.subjects.locks import forbidding, level_of, scope_of
from shared.recovery.leftovers import leftovers
from shared.saga.steps import UNDOS
from shared.spoke.documents.raw import Document, id_in, listed, properties_of
from shared.spoke.documents.resources import goes_with_its_vm
from shared.spoke.inventory import made_by, named_by
from shared.spoke.plan import SpokePlan
from shared.spoke.resource_ids import ResourceIds, name_of, same_id, type_of

log = logging.getLogger(__name__)

DATA_DISK = "data disk"

# Where a subnet names who uses it, and what that user is when its id doesn't tell.
_USERS = {
    "ipConfigurations": "resource",
    "ipConfigurationProfiles": "network profile",
    "privateEndpoints": "private endpoint",
    "serviceAssociationLinks": "service link",
    "resourceNavigationLinks": "resource link",
    "applicationGatewayIPConfigurations": "application gateway",
}
_KINDS = {
    "networkinterfaces": "network interface",
    "privateendpoints": "private endpoint",
    "loadbalancers": "load balancer",
    "virtualnetworkgateways": "virtual network gateway",
    "bastionhosts": "bastion",
    "azurefirewalls": "firewall",
    "applicationgateways": "application gateway",
    "virtualmachinescalesets": "scale set",
    "networkprofiles": "network profile",
}


def blockers_of_delete(plan: SpokePlan) -> list[dict[str, Any]]:
    """`{"kind", "resource", "message"}` of everything in the spoke that its run did not make, and of every lock on what
    is left of it.

    A VNet or NSG that isn't this spoke's is left alone by the delete, however it is used.
    """
    azure = arm()
    ids, owned = azure.ids.of(plan), made_by(plan.made_by)
    found: list[dict[str, Any]] = []
    for resource_id, unmanaged in (
        (ids.vnet(plan.vnet_name), unmanaged_in),
        (ids.vm(plan.vm_name), unmanaged_on),
        (ids.nsg(plan.nsg_name), unmanaged_behind),
    ):
        if (resource := azure.get(resource_id)) is not None and owned(resource):
            known = {each["resource"].lower() for each in found}
            found += [each for each in unmanaged(plan, ids, resource) if each["resource"].lower() not in known]
    locks = _readable_locks(azure, ids)
    if not blocking_locks(locks, lambda undo: named_by(undo, plan, ids)):
        return found
    return found + blocking_locks(locks, lambda undo: leftovers(azure, plan, undo))


def stays(blocker: dict[str, Any]) -> bool:
    """Whether a delete by force leaves it behind without failing: a data disk is only detached."""
    return bool(blocker["kind"] == DATA_DISK)


def _readable_locks(azure: Arm, ids: ResourceIds) -> list[Document]:
    """All locks of the hub's subscription and of the spoke's; none when the app's identity may not read them, which
    forbids no delete."""
    paths = dict.fromkeys((ids.subscription, ids.spoke_subscription))
    try:
        return [lock for path in paths for lock in azure.get_all(f"{path}/providers/Microsoft.Authorization/locks")]
    except ArmError as error:
        if error.status != 403:
            raise
        log.warning("Locks can't be looked for: %s", error.failure.message)
        return []


def unmanaged_in(plan: SpokePlan, ids: ResourceIds, vnet: Document) -> list[dict[str, Any]]:
    """Users of the subnets, delegations and peerings that are not ours. Pure."""
    found: dict[str, dict[str, Any]] = {}
    for subnet in listed(vnet, "subnets"):
        for user, kind in users_of(subnet):
            if not same_id(user, ids.nic(plan.nic_name)):
                message = f"The {kind} {name_of(user)} is in the subnet {subnet.get('name')}"
                found.setdefault(user.lower(), {"kind": kind, "resource": user, "message": message})
        for delegation in listed(subnet, "delegations"):
            service = properties_of(delegation).get("serviceName", "an Azure service")
            resource = str(delegation.get("id") or f"{subnet.get('id')}/delegations/{delegation.get('name')}")
            message = f"The subnet {subnet.get('name')} is delegated to {service}"
            found.setdefault(resource.lower(), {"kind": "delegation", "resource": resource, "message": message})
    for peering in listed(vnet, "virtualNetworkPeerings"):
        remote = id_in(peering, "remoteVirtualNetwork")
        if not same_id(remote, ids.hub_vnet):
            resource = str(peering.get("id") or ids.spoke_peering(plan.vnet_name, str(peering.get("name"))))
            message = f"The peering {name_of(resource)} connects the spoke with {name_of(remote) or 'another VNet'}"
            found.setdefault(resource.lower(), {"kind": "peering", "resource": resource, "message": message})
    return list(found.values())


def unmanaged_on(plan: SpokePlan, ids: ResourceIds, vm: Document) -> list[dict[str, Any]]:
    """Data disks, and NICs beside ours, that are attached to the spoke's VM. Pure."""
    properties = properties_of(vm)
    disks = (properties.get("storageProfile") or {}).get("dataDisks") or []
    nics = (properties.get("networkProfile") or {}).get("networkInterfaces") or []
    attached = [(DATA_DISK, str((disk.get("managedDisk") or {}).get("id") or disk.get("name")), disk) for disk in disks]
    attached += [
        ("network interface", str(nic.get("id")), nic)
        for nic in nics
        if not same_id(str(nic.get("id")), ids.nic(plan.nic_name))
    ]
    return [
        {
            "kind": kind,
            "resource": resource,
            "message": f"The {kind} {name_of(resource) or resource} is attached to the VM {plan.vm_name}"
            + (", with the delete option Delete" if goes_with_its_vm(reference) else ""),
        }
        for kind, resource, reference in attached
    ]


def unmanaged_behind(plan: SpokePlan, ids: ResourceIds, nsg: Document) -> list[dict[str, Any]]:
    """Subnets and interfaces that the spoke's NSG is on and that don't go with the spoke: it can't go before it is off
    them. Pure."""
    found = []
    for place, kind in (("subnets", "subnet"), ("networkInterfaces", "network interface")):
        for reference in listed(nsg, place):
            user = str(reference.get("id", ""))
            goes_too = user.lower().startswith(f"{ids.vnet(plan.vnet_name)}/".lower())
            if not goes_too and not same_id(user, ids.nic(plan.nic_name)):
                message = f"The {kind} {name_of(user)} has the network security group {plan.nsg_name}"
                found.append({"kind": kind, "resource": user, "message": message})
    return found


def users_of(subnet: Document) -> Iterable[tuple[str, str]]:
    """`(id of the whole resource, what it is)` of everyone who uses a subnet."""
    for place, otherwise in _USERS.items():
        for reference in listed(subnet, place):
            user = _whole(str(reference.get("id", "")))
            kind = _KINDS.get(type_of(user).rsplit("/", 1)[-1].lower(), otherwise)
            yield user, kind


def _whole(resource_id: str) -> str:
    """A resource's own id from that of one of its parts: `…/networkInterfaces/n` from `…/ipConfigurations/i`."""
    parts = resource_id.split("/")
    folded = [part.lower() for part in parts]
    if "providers" not in folded:
        return resource_id
    at = folded.index("providers")
    # A subnet's own links have no other id than the one under the subnet.
    if folded[at + 2 : at + 3] == ["virtualnetworks"]:
        return resource_id
    return "/".join(parts[: at + 4])


def blocking_locks(locks: Iterable[Document], found_by: Callable[[str], Iterable[str]]) -> list[dict[str, Any]]:
    """Locks on what a delete removes or changes, or above it. found_by: the ids that an undo removes, by its name."""
    found = {undo.name: tuple(found_by(undo.name)) for undo in UNDOS}
    changed = found.pop("remove_from_agw")
    deleted = [resource for ids in found.values() for resource in ids]
    return [
        {
            "kind": "lock",
            "resource": str(lock.get("id", "")),
            "message": f"The {level_of(lock)} lock {name_of(str(lock.get('id', '')))} on {scope_of(lock)} "
            f"forbids the {'change' if target in changed else 'delete'} of {describe(target)}",
        }
        for lock, target in forbidding(locks, changed=changed, deleted=deleted)
    ]
