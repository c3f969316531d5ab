"""Subnets, written by themselves."""

from __future__ import annotations

from typing import ClassVar

from local.azure import addresses
from local.azure.arm import Arm, Call
from local.azure.ids import ResourceId
from local.azure.operations import Operation
from local.azure.resources import subnet_rules, virtual_network
from local.azure.resources.kind import Kind
from local.azure.store import Json, Resource


class Subnet(Kind):
    """Microsoft.Network/virtualNetworks/subnets."""

    type: ClassVar[str] = subnet_rules.TYPE
    operation_noun: ClassVar[str] = "Subnet"
    put_seconds: ClassVar[float] = 4
    has_location: ClassVar[bool] = False
    has_tags: ClassVar[bool] = False

    def holds(self, arm: Arm, target: ResourceId) -> list[str]:
        """The subnet and its VNet."""
        return [str(target), str(target.parent)]

    def check_free(self, arm: Arm, call: Call, target: ResourceId, verb: str) -> None:
        """Parallel writes in one VNet get 409."""
        virtual_network.refuse_second_write(arm, call, str(target.parent))

    def check(self, arm: Arm, call: Call, target: ResourceId, existing: Resource | None) -> None:
        """Together with the VNet's other subnets."""
        vnet = arm.store.get(str(target.parent))
        if vnet is None:
            return
        others = [
            {"name": each.name, "properties": each.properties}
            for each in arm.store.children(vnet.id, self.type)
            if each.name.lower() != target.name.lower()
        ]
        outer = [addresses.parse(each, vnet.id) for each in addresses.of_space(vnet.properties)]
        wanted = {"name": target.name, "properties": call.body.get("properties") or {}}
        subnet_rules.check_all(arm, vnet.id, outer, [*others, wanted], vnet.location)

    def store(self, arm: Arm, call: Call, target: ResourceId, existing: Resource | None) -> Resource:
        """The VNet's etag changes with it."""
        stored = subnet_rules.store(arm, self.written_id(target), call.body, call.api_version)
        self._touch(arm, target)
        return stored

    @staticmethod
    def _touch(arm: Arm, target: ResourceId) -> None:
        vnet = arm.store.get(str(target.parent))
        if vnet is not None:
            arm.store.change(vnet, etag=arm.new_etag())

    def provisioned(self, arm: Arm, resource: Resource, operation: Operation) -> None:
        """The VNet's etag changes again."""
        self._touch_by_id(arm, resource)

    def removed(self, arm: Arm, resource: Resource, operation: Operation) -> None:
        """And when it goes."""
        self._touch_by_id(arm, resource)

    @staticmethod
    def _touch_by_id(arm: Arm, resource: Resource) -> None:
        vnet = arm.store.get(resource.id.rsplit("/", 2)[0])
        if vnet is not None:
            arm.store.change(vnet, etag=arm.new_etag())

    def blocks_delete(self, arm: Arm, resource: Resource) -> None:
        """In use."""
        subnet_rules.refuse_delete_in_use(arm, resource)

    def show(self, arm: Arm, resource: Resource, call: Call | None = None) -> Json:
        """With its VNet's etag."""
        vnet = arm.store.get(resource.id.rsplit("/", 2)[0])
        return subnet_rules.show(arm, resource, vnet or resource)

    def check_preconditions(self, arm: Arm, call: Call, resource_id: str, existing: Resource | None) -> None:
        """If-Match is compared with the VNet's etag, which the subnet shows as its own."""
        vnet = arm.store.get(resource_id.rsplit("/", 2)[0])
        super().check_preconditions(arm, call, resource_id, vnet if existing else None)
