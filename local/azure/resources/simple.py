"""Resource types whose rules are few: public addresses, route tables, NAT gateways, and those that are only read."""

from __future__ import annotations

import hashlib
from typing import ClassVar

from local.azure import errors
from local.azure.arm import Arm, Call, Reply
from local.azure.ids import ResourceId
from local.azure.resources.kind import Kind
from local.azure.store import Json, Resource


def _refuse_in_use(arm: Arm, resource: Resource, code: str, noun: str) -> None:
    users = [each.id for each in arm.store.referrers(resource.id)]
    if users:
        raise errors.by_network(
            code,
            f"{noun} {resource.id} cannot be deleted because it is in use by the following resources: "
            f"{', '.join(users)}.",
        )


class PublicIPAddress(Kind):
    """Microsoft.Network/publicIPAddresses."""

    type: ClassVar[str] = "Microsoft.Network/publicIPAddresses"
    operation_noun: ClassVar[str] = "PublicIpAddress"

    def become(self, arm: Arm, call: Call, target: ResourceId, existing: Resource | None) -> Json:
        """With an address, from a range kept for documentation."""
        properties = super().become(arm, call, target, existing)
        number = hashlib.sha256(str(target).lower().encode()).digest()
        properties["ipAddress"] = f"203.0.113.{number[0] % 254 + 1}"
        properties.setdefault("publicIPAllocationMethod", "Dynamic")
        properties.setdefault("publicIPAddressVersion", "IPv4")
        properties.setdefault("idleTimeoutInMinutes", 4)
        return properties

    def blocks_delete(self, arm: Arm, resource: Resource) -> None:
        """On a NIC or a gateway [D]."""
        for user in arm.store.referrers(resource.id):
            raise errors.by_network(
                "PublicIPAddressCannotBeDeleted",
                f"Public IP address {resource.id} can not be deleted since it is still allocated to resource "
                f"{user.id}. In order to delete the public IP, disassociate/detach the Public IP address from the "
                "resource. To learn how to do this, see aka.ms/deletepublicip.",
            )


class RouteTable(Kind):
    """Microsoft.Network/routeTables."""

    type: ClassVar[str] = "Microsoft.Network/routeTables"
    operation_noun: ClassVar[str] = "RouteTable"

    def blocks_delete(self, arm: Arm, resource: Resource) -> None:
        """On a subnet."""
        _refuse_in_use(arm, resource, "InUseRouteTableCannotBeDeleted", "Route table")


class NatGateway(Kind):
    """Microsoft.Network/natGateways."""

    type: ClassVar[str] = "Microsoft.Network/natGateways"
    operation_noun: ClassVar[str] = "NatGateway"

    def blocks_delete(self, arm: Arm, resource: Resource) -> None:
        """On a subnet."""
        _refuse_in_use(arm, resource, "InUseNatGatewayCannotBeDeleted", "Nat Gateway")


class ReadOnlyKind(Kind):
    """A type that is planted with `PUT /_local/resources` and read through ARM."""

    def put(self, arm: Arm, call: Call, target: ResourceId) -> Reply:
        """Not here."""
        raise _not_supported(call)

    def delete(self, arm: Arm, call: Call, target: ResourceId) -> Reply:
        """Not here."""
        raise _not_supported(call)


def _not_supported(call: Call) -> errors.ArmError:
    return errors.by_gateway(
        405, "MethodNotAllowed", f"The request method '{call.method}' is not supported for this resource."
    )


class VirtualNetworkGateway(ReadOnlyKind):
    """Microsoft.Network/virtualNetworkGateways."""

    type: ClassVar[str] = "Microsoft.Network/virtualNetworkGateways"


class FirewallPolicy(ReadOnlyKind):
    """Microsoft.Network/ApplicationGatewayWebApplicationFirewallPolicies."""

    type: ClassVar[str] = "Microsoft.Network/ApplicationGatewayWebApplicationFirewallPolicies"


class PrivateEndpoint(ReadOnlyKind):
    """Microsoft.Network/privateEndpoints."""

    type: ClassVar[str] = "Microsoft.Network/privateEndpoints"


class LoadBalancer(ReadOnlyKind):
    """Microsoft.Network/loadBalancers."""

    type: ClassVar[str] = "Microsoft.Network/loadBalancers"
