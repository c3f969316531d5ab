"""Virtual networks.

A PUT is a full replacement: tags, peerings and DHCP options that are left out are cleared; `subnets` left out stay
since api-version 2023-09-01, `[]` or null deletes them all, a list replaces. A VNet takes one
write at a time: another one gets 409 AnotherOperationInProgress, but a second PUT of the whole VNet supersedes the
first (1.2).
"""

from __future__ import annotations

import copy
import re
from typing import ClassVar

from local.azure import addresses, errors, ids
from local.azure.arm import Arm, Call
from local.azure.ids import ResourceId
from local.azure.operations import Operation
from local.azure.resources import peering_rules, subnet_rules
from local.azure.resources.kind import Kind, plain_location
from local.azure.store import Json, Resource

SUBNETS = "Microsoft.Network/virtualNetworks/subnets"
PEERINGS = "Microsoft.Network/virtualNetworks/virtualNetworkPeerings"
SUBNETS_STAY_SINCE = "2023-09-01"

_NAME = re.compile(r"^\w[\w.-]{0,62}\w$")


def superseded(arm: Arm, running: Operation, successor: Operation) -> None:
    """The earlier of two PUTs ends Canceled."""
    arm.operations.cancel(
        running,
        {
            "code": "Canceled",
            "message": "Operation was canceled.",
            "details": [
                {
                    "code": "CanceledAndSupersededDueToAnotherOperation",
                    "message": f"Operation {running.name} ({running.id}) was canceled and superseded by operation "
                    f"{successor.name} ({successor.id}).",
                }
            ],
        },
    )


def refuse_second_write(arm: Arm, call: Call, vnet_id: str) -> None:
    """409 AnotherOperationInProgress with the address of the operation that runs."""
    running = arm.operations.holding(vnet_id)
    if running is not None:
        raise errors.another_operation_in_progress(arm.operations.base_url(running, call.host))


def _refuse_overlaps(name: str, outer: list[addresses.Network]) -> None:
    for index, one in enumerate(outer):
        if any(one.version == other.version and one.overlaps(other) for other in outer[:index]):
            raise errors.by_network(
                "NetcfgAddressSpaceOverlaps",
                f"Address space of the virtual network {name} has overlapping prefixes: {one}.",
            )


def _check_removed_subnets(arm: Arm, existing: Resource, wanted: list[Json]) -> None:
    names = {str(each.get("name", "")).lower() for each in wanted}
    for subnet in arm.store.children(existing.id, SUBNETS):
        if subnet.name.lower() not in names:
            subnet_rules.refuse_delete_in_use(arm, subnet)


def _check_peerings(arm: Arm, vnet_id: str, wanted: list[Json], prefixes: list[str], existing: Resource | None) -> None:
    """New ones as if each were put by itself; those that are there, when the address space changes."""
    for each in wanted:
        peering_id = f"{vnet_id}/virtualNetworkPeerings/{each.get('name')}"
        peering = arm.store.get(peering_id)
        if peering is None:
            peering_rules.check(arm, vnet_id, peering_id, each, prefixes)
        elif existing is not None and prefixes != addresses.of_space(existing.properties):
            remote = arm.store.get(peering_rules.remote_of(peering.properties))
            if remote is not None:
                peering_rules.check_spaces(arm, vnet_id, prefixes, remote, peering_id)


class VirtualNetwork(Kind):
    """Microsoft.Network/virtualNetworks."""

    type: ClassVar[str] = "Microsoft.Network/virtualNetworks"
    operation_noun: ClassVar[str] = "VirtualNetwork"
    put_seconds: ClassVar[float] = 4
    put_retry_after: ClassVar[float] = 3

    def check_name(self, target: ResourceId) -> None:
        """2 to 64 characters."""
        if not _NAME.match(target.name):
            raise errors.by_network(
                "InvalidResourceName",
                f"Resource name {target.name} is invalid. The name can be up to 64 characters long. It must begin with "
                "a word character, and it must end with a word character or with '_'. The name may contain word "
                "characters or '.', '-', '_'.",
            )

    def holds(self, arm: Arm, target: ResourceId) -> list[str]:
        """The VNet and all that is in it: the children are Updating too."""
        return [str(target)] + [each.id for each in arm.store.children(str(target))]

    def check_free(self, arm: Arm, call: Call, target: ResourceId, verb: str) -> None:
        """One write at a time, except that a PUT of the whole supersedes another one."""
        running = arm.operations.holding(str(target))
        if running is None:
            return
        if verb == "put" and running.verb == "put" and ids.key(running.target) == ids.key(str(target)):
            return
        refuse_second_write(arm, call, str(target))

    def check(self, arm: Arm, call: Call, target: ResourceId, existing: Resource | None) -> None:
        """Ranges, subnets, and that nothing in use is taken away."""
        vnet_id = str(target)
        properties = call.body.get("properties") or {}
        space = properties.get("addressSpace")
        prefixes = addresses.of_space(properties) if isinstance(space, dict) else []
        if not prefixes:
            raise errors.by_network(
                "AddressSpaceNotSpecified" if space is None else "VnetAddressSpaceIsEmpty",
                f"Address space of the virtual network {vnet_id} is not specified.",
            )
        outer = [addresses.parse(each, vnet_id) for each in prefixes]
        _refuse_overlaps(target.name, outer)
        wanted = self._wanted_subnets(arm, call, existing)
        subnet_rules.check_all(arm, vnet_id, outer, wanted, plain_location(call.body["location"]))
        if existing is not None:
            _check_removed_subnets(arm, existing, wanted)
        _check_peerings(arm, vnet_id, properties.get("virtualNetworkPeerings") or [], prefixes, existing)

    def _wanted_subnets(self, arm: Arm, call: Call, existing: Resource | None) -> list[Json]:
        properties = call.body.get("properties") or {}
        if "subnets" not in properties and call.api_version >= SUBNETS_STAY_SINCE and existing is not None:
            return [
                {"name": each.name, "properties": each.properties} for each in arm.store.children(existing.id, SUBNETS)
            ]
        return list(properties.get("subnets") or [])

    def become(self, arm: Arm, call: Call, target: ResourceId, existing: Resource | None) -> Json:
        """The VNet's own properties; its children are kept beside it."""
        properties = copy.deepcopy(call.body.get("properties") or {})
        for child in ("subnets", "virtualNetworkPeerings", "enableVmProtection"):
            properties.pop(child, None)
        properties.setdefault("enableDdosProtection", False)
        return properties

    def written(self, arm: Arm, call: Call, resource: Resource, existing: Resource | None) -> None:
        """The children are replaced too."""
        wanted = self._wanted_subnets(arm, call, existing)
        names = {str(each["name"]).lower() for each in wanted}
        for subnet in arm.store.children(resource.id, SUBNETS):
            if subnet.name.lower() not in names:
                arm.store.delete(subnet.id)
        for each in wanted:
            subnet_rules.store(arm, f"{resource.id}/subnets/{each['name']}", each, call.api_version)
        self._replace_peerings(arm, call, resource)
        if existing is not None and addresses.of_space(existing.properties) != addresses.of_space(resource.properties):
            peering_rules.address_space_changed(arm, resource)

    @staticmethod
    def _replace_peerings(arm: Arm, call: Call, resource: Resource) -> None:
        wanted = (call.body.get("properties") or {}).get("virtualNetworkPeerings") or []
        names = {str(each.get("name", "")).lower() for each in wanted}
        for peering in arm.store.children(resource.id, PEERINGS):
            if peering.name.lower() not in names:
                peering_rules.remove(arm, peering)
        for each in wanted:
            peering_id = f"{resource.id}/virtualNetworkPeerings/{each['name']}"
            if arm.store.get(peering_id) is None:
                peering_rules.store(arm, peering_id, each)

    def start(
        self, arm: Arm, call: Call, resource: Resource, verb: str, seconds: float, retry_after: float, **more: object
    ) -> Operation:
        """A PUT takes the place of the one that runs."""
        running = arm.operations.holding(resource.id)
        operation = super().start(arm, call, resource, verb, seconds, retry_after, **more)
        if running is not None:
            superseded(arm, running, operation)
        return operation

    def provisioned(self, arm: Arm, resource: Resource, operation: Operation) -> None:
        """The children have finished with it."""
        for child in arm.store.children(resource.id):
            if child.properties.get("provisioningState") != "Succeeded":
                arm.store.change(child, properties=child.properties | {"provisioningState": "Succeeded"})

    def blocks_delete(self, arm: Arm, resource: Resource) -> None:
        """A subnet in use keeps the VNet [R]."""
        for subnet in arm.store.children(resource.id, SUBNETS):
            subnet_rules.refuse_delete_in_use(arm, subnet)

    def removed(self, arm: Arm, resource: Resource, operation: Operation) -> None:
        """Its subnets and its peerings go; the other sides become Disconnected."""
        for peering in arm.store.children(resource.id, PEERINGS):
            peering_rules.remove(arm, peering)
        for peering in arm.store.referrers(resource.id, PEERINGS):
            peering_rules.disconnect(arm, peering)
        for subnet in arm.store.children(resource.id, SUBNETS):
            arm.store.delete(subnet.id)

    def show(self, arm: Arm, resource: Resource, call: Call | None = None) -> Json:
        """With its children in it."""
        shown = super().show(arm, resource, call)
        shown["properties"] |= {
            "subnets": [subnet_rules.show(arm, each, resource) for each in arm.store.children(resource.id, SUBNETS)],
            "virtualNetworkPeerings": [
                peering_rules.show(arm, each, resource) for each in arm.store.children(resource.id, PEERINGS)
            ],
        }
        return shown
