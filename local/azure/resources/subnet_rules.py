"""What a subnet has to be, wherever it is written: by itself or as part of its VNet."""

from __future__ import annotations

import copy
from typing import Any

from local.azure import addresses, errors, ids
from local.azure.arm import Arm
from local.azure.resources import references
from local.azure.resources.kind import Kind
from local.azure.store import Json, Resource
from local.azure.store import references as mentioned

TYPE = "Microsoft.Network/virtualNetworks/subnets"
PRIVATE_BY_DEFAULT_SINCE = "2025-07-01"
REFERENCES = {
    "networkSecurityGroup": "Microsoft.Network/networkSecurityGroups",
    "routeTable": "Microsoft.Network/routeTables",
    "natGateway": "Microsoft.Network/natGateways",
}

_READ_ONLY = (
    "provisioningState",
    "ipConfigurations",
    "ipConfigurationProfiles",
    "privateEndpoints",
    "resourceNavigationLinks",
    "serviceAssociationLinks",
    "purpose",
    "applicationGatewayIPConfigurations",
)
_LINKS = ("serviceAssociationLinks", "resourceNavigationLinks")


def check_all(arm: Arm, vnet_id: str, outer: list[addresses.Network], subnets: list[Json], location: str) -> None:
    """All subnets of a VNet together: names, ranges, overlaps, references."""
    seen: set[str] = set()
    taken: list[addresses.Network] = []
    for number, subnet in enumerate(subnets):
        name = _checked_name(vnet_id, subnet, seen)
        seen.add(name.lower())
        subnet_id = f"{vnet_id}/subnets/{name}"
        properties = subnet.get("properties") or {}
        prefixes = addresses.of_subnet(properties)
        if not prefixes:
            raise errors.by_network(
                "AddressPrefixOrPrefixesNotSpecified", f"Address prefix of the subnet {subnet_id} is not specified."
            )
        networks = [addresses.parse(each, subnet_id) for each in prefixes]
        for network in networks:
            _check_range(vnet_id, name, network, outer, taken)
            taken.append(network)
        _refuse_range_that_loses_addresses(arm, subnet_id, networks)
        _check_references(arm, subnet_id, properties, f"properties.subnets[{number}].properties", location)


def _checked_name(vnet_id: str, subnet: Any, seen: set[str]) -> str:
    """The subnet's name; `seen` are those of the subnets before it, in lower case."""
    name = subnet.get("name") if isinstance(subnet, dict) else None
    if not isinstance(name, str) or not name:
        raise errors.cannot_parse("MissingResourceName", f"Resource {vnet_id} has a child without a name.")
    identity = ids.parse(f"{vnet_id}/subnets/{name}")
    if identity is None:
        raise errors.by_network("InvalidResourceName", f"Resource name {name} is invalid.")
    Kind().check_name(identity)
    if name.lower() in seen:
        raise errors.cannot_parse(
            "DuplicateResourceName", f"Resource {vnet_id} has two child resources with the same name ({name})."
        )
    return name


def _check_range(
    vnet_id: str, name: str, network: addresses.Network, outer: list[addresses.Network], taken: list[addresses.Network]
) -> None:
    vnet_name = vnet_id.rsplit("/", 1)[1]
    if not addresses.contains(outer, network):
        raise errors.by_network(
            "NetcfgSubnetRangeOutsideVnet",
            f"Subnet '{name}' is not valid because its IP address range is outside the IP address range of "
            f"virtual network '{vnet_name}'.",
        )
    if not _is_of_a_subnets_size(network):
        raise errors.by_network(
            "NetcfgInvalidSubnet", f"Subnet '{name}' is not valid in virtual network '{vnet_name}'."
        )
    if any(network.version == other.version and network.overlaps(other) for other in taken):
        raise errors.by_network(
            "NetcfgSubnetRangesOverlap",
            f"Subnet '{name}' is not valid because its IP address range overlaps with that of an existing "
            f"subnet in virtual network '{vnet_name}'.",
        )


def _check_references(arm: Arm, subnet_id: str, properties: Json, path: str, location: str) -> None:
    """What the subnet names must exist, and be settled when the subnet did not name it before."""
    existing = arm.store.get(subnet_id)
    for reference, kind in REFERENCES.items():
        other_id = (properties.get(reference) or {}).get("id")
        if not other_id:
            continue
        other = references.found(arm, other_id, kind, f"{path}.{reference}", subnet_id, location)
        if existing is None or other.key not in mentioned(existing.doc):
            references.refuse_unsettled(arm, other, subnet_id)


def _is_of_a_subnets_size(network: addresses.Network) -> bool:
    """IPv4: /29 or wider. IPv6: exactly /64 (azure-docs#35668)."""
    return network.prefixlen <= 29 if network.version == 4 else network.prefixlen == 64


def _refuse_range_that_loses_addresses(arm: Arm, subnet_id: str, networks: list[addresses.Network]) -> None:
    """A subnet with something in it keeps its prefixes, and may get more: of IPv6, for example [D]."""
    existing = arm.store.get(subnet_id)
    if existing is None:
        return
    kept = {str(each) for each in networks}
    lost = [each for each in addresses.of_subnet(existing.properties) if each not in kept]
    if lost and users_of(arm, existing):
        raise errors.by_network(
            "InUsePrefixCannotBeDeleted",
            f"IpPrefix {','.join(lost)} on Subnet {existing.name} has active allocations and cannot be deleted.",
        )


def store(arm: Arm, subnet_id: str, subnet: Json, api_version: str) -> Resource:
    """Write down a subnet as it was asked for."""
    existing = arm.store.get(subnet_id)
    given = copy.deepcopy(subnet.get("properties") or {})
    properties = {name: value for name, value in given.items() if name not in _READ_ONLY and value is not None}
    properties["provisioningState"] = "Succeeded"
    for name in _LINKS:
        if existing is not None and name in existing.properties:
            properties[name] = existing.properties[name]
    for delegation in properties.setdefault("delegations", []):
        delegation["id"] = f"{subnet_id}/delegations/{delegation.get('name')}"
        delegation["type"] = f"{TYPE}/delegations"
        delegation.setdefault("properties", {})["provisioningState"] = "Succeeded"
    properties.setdefault("privateEndpointNetworkPolicies", "Disabled")
    properties.setdefault("privateLinkServiceNetworkPolicies", "Enabled")
    if "defaultOutboundAccess" not in properties and api_version >= PRIVATE_BY_DEFAULT_SINCE:
        before = existing.properties.get("defaultOutboundAccess", True) if existing else False
        properties["defaultOutboundAccess"] = before
    return arm.store.put(Resource(existing.id if existing else subnet_id, TYPE, {"properties": properties}))


def users_of(arm: Arm, subnet: Resource) -> list[str]:
    """What is in a subnet: the ids of the configurations of NICs, gateways, private endpoints."""
    found = []
    for user in arm.store.referrers(subnet.id):
        found += list(_configurations(user, subnet.key))
    for name in _LINKS:
        found += [str(each.get("id")) for each in subnet.properties.get(name) or []]
    return found


def _configurations(user: Resource, subnet_key: str) -> list[str]:
    found = []
    for collection, value in user.properties.items():
        if collection == "subnet" and _points_to(value, subnet_key):
            found.append(user.id)
        if not isinstance(value, list):
            continue
        for each in value:
            inner = each.get("properties") if isinstance(each, dict) else None
            if isinstance(inner, dict) and _points_to(inner.get("subnet"), subnet_key):
                found.append(f"{user.id}/{collection}/{each.get('name')}")
    return found


def _points_to(value: Any, subnet_key: str) -> bool:
    return isinstance(value, dict) and isinstance(value.get("id"), str) and ids.key(value["id"]) == subnet_key


def refuse_delete_in_use(arm: Arm, subnet: Resource) -> None:
    """Also after a NIC's delete was accepted, until its operation has succeeded [R]."""
    users = users_of(arm, subnet)
    if users:
        raise errors.by_network(
            "InUseSubnetCannotBeDeleted",
            f"Subnet {subnet.name} is in use by {users[0]} and cannot be deleted. In order to delete the subnet, "
            "delete all the resources within the subnet. See aka.ms/deletesubnet.",
        )


def show(arm: Arm, subnet: Resource, vnet: Resource) -> Json:
    """A subnet, with what is in it: in the order of ids, whichever was written last."""
    properties = dict(subnet.properties)
    properties["provisioningState"] = arm.state_of(subnet)
    for each in sorted(users_of(arm, subnet)):
        if "/gatewayIPConfigurations/" in each:
            collection = "applicationGatewayIPConfigurations"
        elif "/privateendpoints/" in each.lower():
            collection = "privateEndpoints"
        elif any(name in each for name in _LINKS):
            continue
        else:
            collection = "ipConfigurations"
        properties[collection] = [*properties.get(collection, []), {"id": each}]
    return {"name": subnet.name, "id": subnet.id, "etag": vnet.etag, "properties": properties, "type": TYPE}
