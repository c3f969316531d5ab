"""The spoke's network security group, one for the four subnets: who may talk to whom. Pure."""

import ipaddress
from dataclasses import dataclass
from typing import Any

from shared.spoke.plan import SpokePlan, our_tags

Document = dict[str, Any]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PLATFORM = "168.63.129.16"
PRIVATE_SPACES = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")


@dataclass(frozen=True)
class HubNetwork:
    """What the rules need to know of the hub, read from Azure.

    gateway_prefixes: of the gateway's own subnet, from which backends are reached and probed.  operator_prefixes: from
    where operators may come by SSH.  address_spaces: of the hub's VNet.
    """

    gateway_prefixes: tuple[str, ...]
    operator_prefixes: tuple[str, ...]
    address_spaces: tuple[str, ...]


def prefixes_of(subnet: Document) -> tuple[str, ...]:
    """A subnet's prefixes: Azure writes one into `addressPrefix`, several into `addressPrefixes`."""
    properties = subnet.get("properties") or {}
    found = properties.get("addressPrefixes") or [properties.get("addressPrefix")]
    return tuple(prefix for prefix in found if prefix)


def hub_network(hub_vnet: Document, gateway: Document, operators: tuple[str, ...] | None) -> HubNetwork:
    """The hub as its VNet and gateway tell it. operators: `MANAGEMENT_SOURCE_PREFIXES`, None for the default, which is
    hub-subnet and, if there, AzureBastionSubnet."""
    subnets = hub_vnet["properties"].get("subnets") or []
    by_name = {subnet["name"].lower(): subnet for subnet in subnets}
    configurations = gateway["properties"].get("gatewayIPConfigurations") or []
    gateway_subnet = str(configurations[0]["properties"]["subnet"]["id"]).lower() if configurations else ""
    own: Document = next((subnet for subnet in subnets if str(subnet.get("id", "")).lower() == gateway_subnet), {})
    if operators is None:
        default = (by_name.get("hub-subnet", {}), by_name.get("azurebastionsubnet", {}))
        operators = tuple(prefix for subnet in default for prefix in prefixes_of(subnet))
    return HubNetwork(prefixes_of(own), operators, tuple(hub_vnet["properties"]["addressSpace"]["addressPrefixes"]))


def nsg_document(plan: SpokePlan, hub: HubNetwork, allowed_destinations: tuple[str, ...]) -> Document:
    """The group's whole document. allowed_destinations: `SPOKE_ALLOWED_DESTINATIONS` (DNS, a proxy), may be empty."""
    web, app, db, management = ((prefix,) for prefix in plan.subnet_prefixes)
    spoke = (plan.address_prefix,)
    inbound = [
        _rule(100, "AllowGatewayToWeb", "Inbound", hub.gateway_prefixes, web, "Tcp", ("80", "443")),
        _rule(110, "AllowWebToApp", "Inbound", web, app),
        _rule(120, "AllowAppToDb", "Inbound", app, db),
        _rule(130, "AllowSshFromManagement", "Inbound", management, spoke, "Tcp", ("22",)),
        _rule(140, "AllowSshFromOperators", "Inbound", hub.operator_prefixes, spoke, "Tcp", ("22",)),
        *(
            _rule(150 + number, f"AllowWithin{name}", "Inbound", subnet, subnet)
            for number, (name, subnet) in enumerate(
                (("Web", web), ("App", app), ("Db", db), ("Management", management))
            )
        ),
        _rule(4090, "AllowAzureLoadBalancer", "Inbound", "AzureLoadBalancer", "*"),
        _rule(4096, "DenyVirtualNetworkIn", "Inbound", "VirtualNetwork", "*", access="Deny"),
    ]
    outbound = [
        _rule(100, "AllowSpokeOut", "Outbound", spoke, spoke),
        _rule(110, "AllowToHub", "Outbound", spoke, allowed_destinations),
        _rule(4000, "AllowPlatform", "Outbound", "*", (PLATFORM,)),
        _rule(4096, "DenyPrivateOut", "Outbound", "*", _distinct(hub.address_spaces + PRIVATE_SPACES), access="Deny"),
    ]
    return {
        "location": plan.location,
        "tags": our_tags(plan),
        # A rule without a source or a destination is no rule of ours: nobody is let in by an empty list.
        "properties": {"securityRules": [rule for rule in (*inbound, *outbound) if rule]},
    }


def _rule(
    priority: int,
    name: str,
    direction: str,
    source: str | tuple[str, ...],
    destination: str | tuple[str, ...],
    protocol: str = "*",
    ports: tuple[str, ...] = ("*",),
    access: str = "Allow",
) -> Document | None:
    if not source or not destination:
        return None
    return {
        "name": name,
        "properties": {
            "priority": priority,
            "direction": direction,
            "access": access,
            "protocol": protocol,
            "sourcePortRange": "*",
            **({"destinationPortRange": ports[0]} if len(ports) == 1 else {"destinationPortRanges": list(ports)}),
            **_prefixes("source", source),
            **_prefixes("destination", destination),
        },
    }


def _prefixes(side: str, value: str | tuple[str, ...]) -> Document:
    """Tags and `*` go into the singular property, CIDR lists into the plural one, where tags are refused."""
    if isinstance(value, str):
        return {f"{side}AddressPrefix": value}
    return {f"{side}AddressPrefixes": list(value)}


def _distinct(prefixes: tuple[str, ...]) -> tuple[str, ...]:
    """Without repetitions and without what a wider prefix of the list covers: overlapping entries are refused."""
    networks = [ipaddress.ip_network(prefix) for prefix in dict.fromkeys(prefixes)]
    return tuple(str(network) for network in networks if not any(_covers(other, network) for other in networks))


def _covers(wide: Network, narrow: Network) -> bool:
    if wide == narrow or wide.version != narrow.version:
        return False
    return wide.prefixlen < narrow.prefixlen and narrow.network_address in wide
