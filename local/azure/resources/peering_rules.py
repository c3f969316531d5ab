"""Peerings: what two VNets have to be, and the states of the two sides.

The first side is Initiated; the second one's PUT makes both Connected at once; deleting one leaves the other
Disconnected, and only writing that other one again brings it back to Initiated.

`remoteAddressSpace` is what a side knows of the other VNet, `remoteVirtualNetworkAddressSpace` what that VNet has. Once
connected, only a PUT with `?syncRemoteAddressSpace=true` brings the first up to the second (bicep#18379). A side that
doesn't know the other VNet's present space is LocalNotInSync; its other side is RemoteNotInSync meanwhile, and a PUT of
that one changes nothing (azure-powershell: TestVirtualNetworkPeeringSync; ansible-collections/azure#1025).
"""

from __future__ import annotations

import copy

from local.azure import addresses, errors, ids
from local.azure.arm import Arm
from local.azure.resources import references
from local.azure.store import Json, Resource

VNET = "Microsoft.Network/virtualNetworks"
TYPE = f"{VNET}/virtualNetworkPeerings"
MOST_PEERINGS = 500
_FLAGS = {
    "allowVirtualNetworkAccess": True,
    "allowForwardedTraffic": False,
    "allowGatewayTransit": False,
    "useRemoteGateways": False,
    "doNotVerifyRemoteGateways": False,
    "peerCompleteVnets": True,
}
# Of one side: whether it, and whether its other side, knows the present address space over there.
_SYNC_LEVELS = {
    (True, True): "FullyInSync",
    (True, False): "RemoteNotInSync",
    (False, True): "LocalNotInSync",
    (False, False): "LocalAndRemoteNotInSync",
}
_READ_ONLY = (
    "provisioningState",
    "peeringState",
    "peeringSyncLevel",
    "remoteAddressSpace",
    "remoteVirtualNetworkAddressSpace",
)


def vnet_of(peering: Resource) -> str:
    """The id of the VNet that a peering belongs to."""
    return peering.id.rsplit("/", 2)[0]


def remote_of(properties: Json) -> str:
    """The id of the VNet on the other side."""
    return str((properties.get("remoteVirtualNetwork") or {}).get("id") or "")


def peerings_of(arm: Arm, vnet_id: str) -> list[Resource]:
    """All peerings of a VNet."""
    return arm.store.children(vnet_id, TYPE)


def other_side(arm: Arm, vnet_id: str, remote_id: str) -> Resource | None:
    """The remote VNet's peering that leads back."""
    for peering in peerings_of(arm, remote_id):
        if ids.key(remote_of(peering.properties)) == ids.key(vnet_id):
            return peering
    return None


def check(arm: Arm, vnet_id: str, peering_id: str, body: Json, own_space: list[str] | None = None) -> None:
    """Everything that a peering's PUT is refused for, but for the states of the VNets."""
    properties = body.get("properties") or {}
    remote_id = remote_of(properties)
    if not remote_id:
        raise errors.by_network(
            "PeeringRemoteVnetNotSpecified", f"Remote virtual network of the peering {peering_id} is not specified."
        )
    references.check_type(remote_id, VNET, "properties.remoteVirtualNetwork")
    own, remote = arm.store.get(vnet_id), arm.store.get(remote_id)
    if remote is None:
        raise errors.invalid_reference(remote_id, peering_id)
    if ids.key(remote_id) == ids.key(vnet_id):
        raise errors.by_network(
            "VnetCannotBePeeredWithItself",
            f"Cannot create or update peering {peering_id}. A virtual network cannot be peered with itself.",
        )
    existing = arm.store.get(peering_id)
    if existing is None and len(peerings_of(arm, vnet_id)) >= MOST_PEERINGS:
        raise errors.by_network(  # the limit is documented, its code is not
            "VirtualNetworkPeeringLimitReached",
            f"Cannot create peering {peering_id}. Virtual network {vnet_id} has the maximum of {MOST_PEERINGS} peerings.",
        )
    if existing is not None and ids.key(remote_of(existing.properties)) != ids.key(remote_id):
        raise errors.by_network(
            "ChangingRemoteVirtualNetworkNotAllowed",
            f"The remote virtual network of the peering {peering_id} cannot be changed.",
        )
    for other in peerings_of(arm, vnet_id):
        if other.key != ids.key(peering_id) and ids.key(remote_of(other.properties)) == remote.key:
            raise errors.by_network(
                "AnotherPeeringAlreadyReferencesRemoteVnet",
                f"Peering {other.id} already references remote virtual network {remote.id}. Cannot add another "
                "peering referencing the same remote virtual network.",
            )
    space = own_space if own_space is not None else addresses.of_space(own.properties if own else {})
    check_spaces(arm, vnet_id, space, remote, peering_id)
    _check_gateways(arm, vnet_id, remote, peering_id, properties)
    back = other_side(arm, vnet_id, remote.id)
    if back is not None and back.properties.get("peeringState") == "Disconnected":
        raise errors.by_network(
            "RemotePeeringIsDisconnected",
            f"Cannot create or update peering {peering_id} because remote peering {back.id} referencing parent virtual "
            f"network {vnet_id} is in Disconnected state. Update or re-create the remote peering to get it back to "
            "Initiated state. Peering gets Disconnected when remote vnet or remote peering is deleted and re-created.",
        )


def check_states(arm: Arm, vnet_id: str, remote_id: str, peering_id: str, verb: str) -> None:
    """400 ReferencedResourceNotProvisioned while either VNet is being written, and for a PUT also when its last
    write has failed."""
    unfit = ("Updating", "Deleting") if verb == "delete" else ("Updating", "Deleting", "Failed")
    for each in (vnet_id, remote_id):
        vnet = arm.store.get(each)
        if vnet is not None and (state := arm.state_of(vnet)) in unfit:
            raise errors.referenced_resource_not_provisioned(vnet.id, peering_id, state, arm.last_operation_on(vnet))


def check_spaces(arm: Arm, vnet_id: str, space: list[str], remote: Resource, peering_id: str) -> None:
    """The two VNets' ranges, and those of what either is peered with already."""
    remote_space = addresses.of_space(remote.properties)
    if pairs := addresses.overlapping(space, remote_space):
        raise errors.by_network(
            "VnetAddressSpacesOverlap",
            f"Cannot create or update peering {peering_id}. Virtual networks {vnet_id} and {remote.id} cannot be "
            f"peered because their address spaces overlap. Overlapping address prefixes: {', '.join(pairs)}",
        )
    for first, first_space, second in ((vnet_id, space, remote.id), (remote.id, remote_space, vnet_id)):
        for peering in peerings_of(arm, second):
            third = remote_of(peering.properties)
            if ids.key(third) in (ids.key(first), ids.key(second)):
                continue
            third_space = (peering.properties.get("remoteVirtualNetworkAddressSpace") or {}).get("addressPrefixes")
            if pairs := addresses.overlapping(first_space, third_space or []):
                raise errors.by_network(
                    "VnetAddressSpaceOverlapsWithAlreadyPeeredVnet",
                    f"Cannot create or update peering {peering_id}. Virtual networks {first} and {second} cannot be "
                    "peered because address space of the first virtual network overlaps with address space of virtual "
                    f"network {third} already peered with the second virtual network. Overlapping address prefixes: "
                    f"{', '.join(pairs[::2])}. For more information please refer to https://aka.ms/VnetPeeringInfo",
                )


def gateways_of(arm: Arm, vnet_id: str) -> list[Resource]:
    """The virtual network gateways in a VNet's GatewaySubnet, VPN and ExpressRoute alike, that are ready.

    One that is still being made doesn't count: the property doNotVerifyRemoteGateways is about just this [D].
    """
    found = arm.store.referrers(f"{vnet_id}/subnets/GatewaySubnet", "Microsoft.Network/virtualNetworkGateways")
    return [each for each in found if arm.state_of(each) == "Succeeded"]


def _check_gateways(arm: Arm, vnet_id: str, remote: Resource, peering_id: str, properties: Json) -> None:
    if not properties.get("useRemoteGateways"):
        return
    back = other_side(arm, vnet_id, remote.id)
    transit = back is None or back.properties.get("allowGatewayTransit")
    if not gateways_of(arm, remote.id) or not transit:
        raise errors.by_network(
            "RemoteVnetHasNoGateways",
            f"Peering {peering_id} cannot have UseRemoteGateway flag set to true because remote virtual network "
            f"{remote.id} referenced by the peering does not have any gateways.",
        )
    for other in peerings_of(arm, vnet_id):
        if other.key != ids.key(peering_id) and other.properties.get("useRemoteGateways"):
            raise errors.by_network(
                "AnotherPeeringAlreadyUsesRemoteGateways",
                f"Peering {peering_id} cannot have UseRemoteGateways flag set to true, because another peering "
                f"{other.id} already has UseRemoteGateways flag set to true.",
            )


def store(arm: Arm, peering_id: str, body: Json, *, sync: bool = False) -> Resource:
    """Write down one side; when the other side leads back, both are Connected at once.

    sync: what `syncRemoteAddressSpace=true` asks for.
    """
    vnet_id = peering_id.rsplit("/", 2)[0]
    existing = arm.store.get(peering_id)
    given = body.get("properties") or {}
    remote_id = remote_of(given)
    properties = {name: given.get(name, default) for name, default in _FLAGS.items()}
    for name, value in given.items():
        if name not in properties and name not in _READ_ONLY:
            properties[name] = copy.deepcopy(value)
    properties["remoteVirtualNetwork"] = {"id": remote_id}
    properties["provisioningState"] = "Succeeded"
    before = existing.properties if existing else {}
    properties["resourceGuid"] = before.get("resourceGuid") or arm.new_guid()
    was_connected = before.get("peeringState") == "Connected"
    known = before.get("remoteAddressSpace") if was_connected and not sync else None
    properties["remoteAddressSpace"] = known or _space_of(arm, remote_id)
    properties["routeServiceVips"] = {}
    if properties["useRemoteGateways"]:
        properties["remoteGateways"] = [{"id": each.id} for each in gateways_of(arm, remote_id)]
    back = other_side(arm, vnet_id, remote_id)
    properties["peeringState"] = "Initiated" if back is None else "Connected"
    if back is not None and back.properties.get("peeringState") != "Connected":
        newly = {"peeringState": "Connected", "remoteAddressSpace": _space_of(arm, vnet_id)}
        arm.store.change(back, properties=back.properties | newly)
    stored = arm.store.put(Resource(existing.id if existing else peering_id, TYPE, {"properties": properties}))
    if back is not None:
        touch(arm, remote_id)
    touch(arm, vnet_id)
    _refresh_sync_levels(arm, stored)
    return arm.store.get(stored.id) or stored


def _space_of(arm: Arm, vnet_id: str) -> Json:
    vnet = arm.store.get(vnet_id)
    return {"addressPrefixes": addresses.of_space(vnet.properties if vnet else {})}


def _refresh_sync_levels(arm: Arm, peering: Resource) -> None:
    """Both sides: which of them knows the other VNet's present address space."""
    back = other_side(arm, vnet_of(peering), remote_of(peering.properties))
    sides = [peering] if back is None else [peering, back]
    present = [_space_of(arm, remote_of(side.properties)) for side in sides]
    knows = [side.properties.get("remoteAddressSpace") == space for side, space in zip(sides, present, strict=True)]
    if back is None:
        knows.append(False)
    for number, side in enumerate(sides):
        level = _SYNC_LEVELS[knows[number], knows[1 - number]]
        more = {"peeringSyncLevel": level, "remoteVirtualNetworkAddressSpace": present[number]}
        arm.store.change(side, properties=side.properties | more)


def remove(arm: Arm, peering: Resource) -> None:
    """Take one side away: the other becomes Disconnected."""
    remote_id = remote_of(peering.properties)
    back = other_side(arm, vnet_of(peering), remote_id)
    arm.store.delete(peering.id)
    touch(arm, vnet_of(peering))
    if back is not None:
        disconnect(arm, back)


def disconnect(arm: Arm, peering: Resource) -> None:
    """Its other side, or the VNet there, is gone."""
    arm.store.change(peering, properties=peering.properties | {"peeringState": "Disconnected"})
    touch(arm, vnet_of(peering))


def address_space_changed(arm: Arm, vnet: Resource) -> None:
    """The other sides of its peerings have to be synchronised."""
    for peering in peerings_of(arm, vnet.id):
        _refresh_sync_levels(arm, peering)
        if other_side(arm, vnet.id, remote_of(peering.properties)) is not None:
            touch(arm, remote_of(peering.properties))


def touch(arm: Arm, vnet_id: str) -> None:
    """A VNet's etag changes with its peerings, its own and the other sides' ([R])."""
    vnet = arm.store.get(vnet_id)
    if vnet is not None:
        arm.store.change(vnet, etag=arm.new_etag())


def show(arm: Arm, peering: Resource, vnet: Resource) -> Json:
    """One side, with its VNet's etag."""
    properties = dict(peering.properties)
    properties["provisioningState"] = arm.state_of(peering)
    return {"name": peering.name, "id": peering.id, "etag": vnet.etag, "properties": properties, "type": TYPE}
