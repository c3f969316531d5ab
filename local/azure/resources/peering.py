"""Virtual network peerings. An operation on one has its own VNet Updating until it ends, not the remote one."""

from __future__ import annotations

from typing import ClassVar

from local.azure.arm import Arm, Call
from local.azure.ids import ResourceId
from local.azure.operations import Operation
from local.azure.resources import peering_rules
from local.azure.resources.kind import Kind
from local.azure.store import Json, Resource


class Peering(Kind):
    """Microsoft.Network/virtualNetworks/virtualNetworkPeerings."""

    type: ClassVar[str] = peering_rules.TYPE
    operation_noun: ClassVar[str] = "VirtualNetworkPeering"
    put_seconds: ClassVar[float] = 5
    put_retry_after: ClassVar[float] = 10
    has_location: ClassVar[bool] = False
    has_tags: ClassVar[bool] = False

    def holds(self, arm: Arm, target: ResourceId) -> list[str]:
        """The peering and its own VNet."""
        return [str(target), str(target.parent)]

    def check_free(self, arm: Arm, call: Call, target: ResourceId, verb: str) -> None:
        """Only when no operation runs on either VNet, else 400 and not 409 or 429."""
        existing = arm.store.get(str(target))
        properties = existing.properties if existing and verb == "delete" else call.body.get("properties") or {}
        peering_rules.check_states(arm, str(target.parent), peering_rules.remote_of(properties), str(target), verb)

    def check(self, arm: Arm, call: Call, target: ResourceId, existing: Resource | None) -> None:
        """Everything else."""
        peering_rules.check(arm, str(target.parent), str(target), call.body)

    def store(self, arm: Arm, call: Call, target: ResourceId, existing: Resource | None) -> Resource:
        """And the other side may become Connected."""
        sync = call.query.get("syncremoteaddressspace", "").lower() == "true"
        return peering_rules.store(arm, self.written_id(target), call.body, sync=sync)

    def provisioned(self, arm: Arm, resource: Resource, operation: Operation) -> None:
        """The VNet's etag changes again."""
        peering_rules.touch(arm, peering_rules.vnet_of(resource))

    def removed(self, arm: Arm, resource: Resource, operation: Operation) -> None:
        """The other side becomes Disconnected."""
        peering_rules.remove(arm, resource)

    def show(self, arm: Arm, resource: Resource, call: Call | None = None) -> Json:
        """With its VNet's etag."""
        vnet = arm.store.get(peering_rules.vnet_of(resource))
        return peering_rules.show(arm, resource, vnet or resource)

    def check_preconditions(self, arm: Arm, call: Call, resource_id: str, existing: Resource | None) -> None:
        """If-Match is compared with the VNet's etag, which the peering shows as its own."""
        vnet = arm.store.get(resource_id.rsplit("/", 2)[0])
        super().check_preconditions(arm, call, resource_id, vnet if existing else None)
