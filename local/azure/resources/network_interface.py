"""Network interfaces: addresses from a subnet, and what keeps one from being deleted."""

from __future__ import annotations

import hashlib
import ipaddress
from typing import Any, ClassVar

from local.azure import addresses, errors, ids
from local.azure.arm import Arm, Call, Reply
from local.azure.ids import ResourceId
from local.azure.operations import Operation
from local.azure.resources import peering_rules, references, subnet_rules
from local.azure.resources.kind import Kind, plain_location
from local.azure.resources.network_security_group import NetworkSecurityGroup
from local.azure.resources.simple import PublicIPAddress
from local.azure.store import Json, Resource

VM = "Microsoft.Compute/virtualMachines"


def even(resource_id: str) -> bool:
    """A choice that is the same for the same resource."""
    return hashlib.sha256(ids.key(resource_id).encode()).digest()[0] % 2 == 0


class NetworkInterface(Kind):
    """Microsoft.Network/networkInterfaces.

    Since the end of 2022 a PUT often has no operation and its body is Succeeded already; at other times it has one.
    Both happen here, by the name; `POST /_local/limits {"nic_operations": "always" | "never" | "by_name"}` chooses.
    """

    type: ClassVar[str] = "Microsoft.Network/networkInterfaces"
    operation_noun: ClassVar[str] = "NetworkInterface"
    read_only: ClassVar[frozenset[str]] = Kind.read_only | {"macAddress", "virtualMachine", "primary"}

    def put_operation_seconds(self, arm: Arm, call: Call, existing: Resource | None) -> float:
        """3 seconds, or done at once."""
        choice = arm.store.meta("nic_operations", "by_name")
        with_operation = even(call.path) if choice == "by_name" else choice == "always"
        return self.put_seconds if with_operation else 0

    def check(self, arm: Arm, call: Call, target: ResourceId, existing: Resource | None) -> None:
        """References, and addresses that can be had."""
        nic_id = str(target)
        properties = call.body.get("properties") or {}
        configurations = properties.get("ipConfigurations") or []
        if not configurations:
            raise errors.by_network(
                "NetworkInterfaceMustHaveIpConfiguration",
                f"Network interface {nic_id} must have one or more IP configurations.",
            )
        location = plain_location(call.body["location"])
        if group_id := (properties.get("networkSecurityGroup") or {}).get("id"):
            at = "properties.networkSecurityGroup"
            group = references.found(arm, group_id, NetworkSecurityGroup.type, at, nic_id, location)
            references.refuse_unsettled(arm, group, nic_id)
        names: set[str] = set()
        for number, each in enumerate(configurations):
            name, inner = str(each.get("name", "")).lower(), each.get("properties") or {}
            if name and name in names:
                raise errors.cannot_parse(
                    "DuplicateResourceName",
                    f"Resource {nic_id} has two child resources with the same name ({each['name']}).",
                )
            names.add(name)
            at = f"properties.ipConfigurations[{number}].properties"
            if public_id := (inner.get("publicIPAddress") or {}).get("id"):
                public = references.found(
                    arm, public_id, PublicIPAddress.type, f"{at}.publicIPAddress", nic_id, location
                )
                _refuse_taken(arm, public, nic_id)
            self._check_subnet(arm, nic_id, (inner.get("subnet") or {}).get("id"), f"{at}.subnet", location)

    @staticmethod
    def _check_subnet(arm: Arm, nic_id: str, subnet_id: str | None, at: str, location: str) -> None:
        if not subnet_id:
            raise errors.by_network(
                "IpConfigurationMustReferenceSubnet", f"IP configurations of {nic_id} must reference a subnet."
            )
        references.check_type(subnet_id, subnet_rules.TYPE, at)
        vnet_id = subnet_id.rsplit("/", 2)[0]
        vnet, subnet = arm.store.get(vnet_id), arm.store.get(subnet_id)
        if vnet is None:
            raise errors.parent_of_reference_not_found(vnet_id, nic_id)
        if subnet is None or not references.is_near(vnet, nic_id, location):
            raise errors.invalid_reference(subnet_id, nic_id)
        references.refuse_unsettled(arm, subnet, nic_id)

    def become(self, arm: Arm, call: Call, target: ResourceId, existing: Resource | None) -> Json:
        """With an address for each configuration."""
        properties = super().become(arm, call, target, existing)
        nic_id = existing.id if existing else self.written_id(target)
        before = {each["name"].lower(): each for each in (existing.properties["ipConfigurations"] if existing else [])}
        given: dict[str, str] = {}
        for index, each in enumerate(properties["ipConfigurations"]):
            name = each.setdefault("name", f"ipconfig{index + 1}")
            inner = each.setdefault("properties", {})
            inner["privateIPAddress"] = self._address(arm, nic_id, name, inner, before.get(name.lower()), given)
            given[inner["privateIPAddress"]] = f"{nic_id}/ipConfigurations/{name}"
            inner.setdefault("privateIPAllocationMethod", "Dynamic")
            inner.setdefault("privateIPAddressVersion", "IPv4")
            inner.setdefault("primary", index == 0)
            inner["provisioningState"] = "Succeeded"
            each["id"] = f"{nic_id}/ipConfigurations/{name}"
            each["type"] = "Microsoft.Network/networkInterfaces/ipConfigurations"
        suffix = hashlib.sha256(nic_id.encode()).hexdigest()[:26]
        dns = {
            "dnsServers": [],
            "appliedDnsServers": [],
            "internalDomainNameSuffix": f"{suffix}.bx.internal.cloudapp.net",
        }
        properties["dnsSettings"] = dns | (properties.get("dnsSettings") or {})
        properties.setdefault("enableAcceleratedNetworking", False)
        properties.setdefault("enableIPForwarding", False)
        properties.setdefault("vnetEncryptionSupported", False)
        properties |= {"hostedWorkloads": [], "tapConfigurations": [], "nicType": "Standard", "auxiliaryMode": "None"}
        if existing is not None and "macAddress" in existing.properties:
            properties["macAddress"] = existing.properties["macAddress"]
        return properties

    @staticmethod
    def _address(arm: Arm, nic_id: str, name: str, inner: Json, before: Json | None, given: dict[str, str]) -> str:
        """One that is free: in the subnet, and of those that this PUT has just `given` to other configurations."""
        subnet = arm.store.get(inner["subnet"]["id"])
        assert subnet is not None
        taken = taken_in(arm, subnet, f"{nic_id}/ipConfigurations/{name}") | given
        networks = [ipaddress.ip_network(each) for each in addresses.of_subnet(subnet.properties)]
        if str(inner.get("privateIPAllocationMethod", "Dynamic")).lower() == "static":
            return _checked_static(arm, subnet, networks, str(inner.get("privateIPAddress")), taken, nic_id, name)
        if before is not None and _subnet_of(before) == subnet.key:
            return str(before["properties"]["privateIPAddress"])
        for network in networks:
            if network.version == 4 and (free := addresses.first_free(network, set(taken))):
                return free
        raise errors.by_network(
            "SubnetIsFull",
            f"Subnet {subnet.name} with address prefix {','.join(map(str, networks))} does not have enough capacity "
            "for 1 IP addresses.",
        )

    def written(self, arm: Arm, call: Call, resource: Resource, existing: Resource | None) -> None:
        """The etag of the VNet changes ([inf])."""
        self._touch_vnets(arm, resource)

    @staticmethod
    def _touch_vnets(arm: Arm, resource: Resource) -> None:
        for vnet in {
            peering_rules.vnet_of(subnet)
            for each in resource.properties.get("ipConfigurations") or []
            if (subnet := arm.store.get(_subnet_of(each)))
        }:
            peering_rules.touch(arm, vnet)

    def delete(self, arm: Arm, call: Call, target: ResourceId) -> Reply:
        """202 or 200, both with an operation ([R])."""
        reply = super().delete(arm, call, target)
        if reply.status == 202 and even(call.path):
            reply.status = 200
        return reply

    def blocks_delete(self, arm: Arm, resource: Resource) -> None:
        """Reserved after a failed VM, or on a VM, also while that one's delete is running."""
        refuse_reserved(arm, resource, None)
        for vm in arm.store.referrers(resource.id, VM):
            raise errors.by_network(
                "NicInUse",
                f"Network Interface {resource.id} is used by existing resource {vm.id}. In order to delete the network "
                "interface, it must be dissociated from the resource. To learn more, see aka.ms/deletenic.",
            )

    def removed(self, arm: Arm, resource: Resource, operation: Operation) -> None:
        """The VNet shows it no longer."""
        self._touch_vnets(arm, resource)

    def show(self, arm: Arm, resource: Resource, call: Call | None = None) -> Json:
        """With the VM that it is on."""
        shown = super().show(arm, resource, call)
        shown["kind"] = "Regular"
        properties = shown["properties"]
        properties["ipConfigurations"] = [
            each | {"etag": resource.etag} for each in resource.properties.get("ipConfigurations") or []
        ]
        for vm in arm.store.referrers(resource.id, VM):
            if not vm.hidden.get("failed_creation"):
                properties |= {"virtualMachine": {"id": vm.id}, "primary": True, "allowPort25Out": True}
        return shown


def _refuse_taken(arm: Arm, public: Resource, nic_id: str) -> None:
    for user in arm.store.referrers(public.id):
        if user.key != ids.key(nic_id):
            raise errors.by_network(
                "PublicIPAddressInUse",
                f"Resource {nic_id} is referencing public IP address {public.id} that is already allocated to resource "
                f"{user.id}.",
            )


def refuse_reserved(arm: Arm, nic: Resource, vm_id: str | None) -> None:
    """For 180 s after a VM failed to be made, its NIC is kept for that VM."""
    reserved_for, until = nic.hidden.get("reserved_for"), nic.hidden.get("reserved_until", 0)
    if reserved_for and until > arm.clock.now() and (vm_id is None or ids.key(vm_id) != ids.key(reserved_for)):
        raise errors.by_network(
            "NicReservedForAnotherVm",
            "Nic(s) in request is reserved for another Virtual Machine for 180 seconds. Please provide another nic(s) "
            f"or retry after 180 seconds. Reserved VM: {reserved_for}",
        )


def _subnet_of(configuration: Json) -> str:
    found: Any = ((configuration.get("properties") or {}).get("subnet") or {}).get("id")
    return ids.key(str(found or ""))


def taken_in(arm: Arm, subnet: Resource, but: str = "") -> dict[str, str]:
    """The addresses of a subnet that are in use, and by which configuration."""
    taken = {}
    for user in arm.store.referrers(subnet.id):
        for value in user.properties.values():
            for each in value if isinstance(value, list) else []:
                inner = each.get("properties") if isinstance(each, dict) else None
                if not isinstance(inner, dict) or _subnet_of(each) != subnet.key:
                    continue
                configuration = str(each.get("id") or user.id)
                if inner.get("privateIPAddress") and ids.key(configuration) != ids.key(but):
                    taken[str(inner["privateIPAddress"])] = configuration
    return taken


def _checked_static(
    arm: Arm, subnet: Resource, networks: list[Any], text: str, taken: dict[str, str], nic_id: str, name: str
) -> str:
    vnet_id = peering_rules.vnet_of(subnet)
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise errors.by_network(
            "InvalidPrivateIPAddress", f"Private static IP address {text} of {nic_id} is not an IP address."
        ) from None
    if not any(address in each for each in networks):
        for other in arm.store.children(vnet_id, subnet.type):
            if any(address in ipaddress.ip_network(each) for each in addresses.of_subnet(other.properties)):
                raise errors.by_network(
                    "PrivateIPAddressNotInSubnet",
                    f"Private static IP address {text} does not belong to the range of subnet prefix "
                    f"{','.join(map(str, networks))}.",
                )
        raise errors.by_network(
            "PrivateIPAddressNotInAnySubnet",
            f"Private static IP address {text} does not belong to the range of any subnet in the virtual network "
            f"{vnet_id}.",
        )
    if any(int(address) in addresses.kept_by_azure(each) for each in networks):
        raise errors.by_network(
            "PrivateIPAddressInReservedRange",
            f"Private static IP address {text} falls within reserved IP range of subnet prefix "
            f"{','.join(map(str, networks))}.",
        )
    if text in taken:
        raise errors.by_network(
            "PrivateIPAddressIsAllocated",
            f"IP configuration {nic_id}/ipConfigurations/{name} is using the private IP address {text} which is "
            f"already allocated to resource {taken[text]}.",
        )
    return text


def address_availability(arm: Arm, vnet: Resource, text: str) -> Json:
    """CheckIPAddressAvailability [R]: whether an address is free, and a few that are."""
    for subnet in arm.store.children(vnet.id, "Microsoft.Network/virtualNetworks/subnets"):
        for each in addresses.of_subnet(subnet.properties):
            network = ipaddress.ip_network(each)
            try:
                inside = ipaddress.ip_address(text) in network
            except ValueError:
                inside = False
            if not inside:
                continue
            taken = set(taken_in(arm, subnet))
            reserved = int(ipaddress.ip_address(text)) in addresses.kept_by_azure(network)
            if text not in taken and not reserved:
                return {"available": True, "isPlatformReserved": False}
            others: list[str] = []
            while len(others) < 5 and (free := addresses.first_free(network, taken | set(others))):
                others.append(free)
            return {"available": False, "availableIPAddresses": others, "isPlatformReserved": reserved}
    raise errors.by_network(
        "PrivateIPAddressNotInAnySubnet",
        f"Private static IP address {text} does not belong to the range of any subnet in the virtual network {vnet.id}.",
    )
