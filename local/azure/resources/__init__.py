"""The resource types, one module each."""

from __future__ import annotations

from local.azure.resources.application_gateway import ApplicationGateway
from local.azure.resources.disk import Disk
from local.azure.resources.kind import Kind
from local.azure.resources.network_interface import NetworkInterface
from local.azure.resources.network_security_group import NetworkSecurityGroup, SecurityRule
from local.azure.resources.peering import Peering
from local.azure.resources.simple import (
    FirewallPolicy,
    LoadBalancer,
    NatGateway,
    PrivateEndpoint,
    PublicIPAddress,
    RouteTable,
    VirtualNetworkGateway,
)
from local.azure.resources.subnet import Subnet
from local.azure.resources.virtual_machine import VirtualMachine
from local.azure.resources.virtual_network import VirtualNetwork

KINDS: dict[str, Kind] = {
    kind.type.lower(): kind
    for kind in (
        ApplicationGateway(),
        Disk(),
        FirewallPolicy(),
        LoadBalancer(),
        NatGateway(),
        NetworkInterface(),
        NetworkSecurityGroup(),
        Peering(),
        PrivateEndpoint(),
        PublicIPAddress(),
        RouteTable(),
        SecurityRule(),
        Subnet(),
        VirtualMachine(),
        VirtualNetwork(),
        VirtualNetworkGateway(),
    )
}
