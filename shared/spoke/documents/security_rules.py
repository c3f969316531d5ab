"""The spoke's network security group, one for the four subnets: who may talk to whom. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.errors import ConfigurationException
from shared.spoke.addresses import collapsed_ipv4
from shared.spoke.documents.raw import Document, address_prefixes, id_in, listed, properties_of
from shared.spoke.documents.resources import resource_document
from shared.spoke.plan import SpokePlan
from shared.spoke.resource_ids import name_of, same_id

if TYPE_CHECKING:
    from shared.settings import Settings

PLATFORM = "168.63.129.16"
# Not in the Internet: RFC 1918, and the shared range of RFC 6598.
PRIVATE_SPACES = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")


@dataclass(frozen=True)
class Gap:
    """A rule that can't be written, because the hub lacks what it is about.

    code, message, hint: as of a finding.  stops: no spoke works without this rule.
    """

    code: str
    message: str
    hint: str
    stops: bool = True


@dataclass(frozen=True)
class HubNetwork:
    """What the rules need to know of the hub, read from Azure: IPv4 only, without overlaps.

    gateway_prefixes: of the gateway's own subnet, from which backends are reached and probed.  operator_prefixes: from
    where operators may come by SSH.  address_spaces: of the hub's VNet.  gaps: why one of the first two is empty.
    """

    gateway_prefixes: tuple[str, ...]
    operator_prefixes: tuple[str, ...]
    address_spaces: tuple[str, ...]
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True)
class OutboundRules:
    """The settings that the outbound rules follow.

    allowed: `SPOKE_ALLOWED_DESTINATIONS`.  denied: `SPOKE_DENIED_DESTINATIONS`.  routed: whether the subnets have a route
    table; the tag VirtualNetwork then holds its routes, the default route included.
    """

    allowed: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    routed: bool = False


def outbound_rules(settings: "Settings") -> OutboundRules:
    """What the settings say of a new spoke's way out."""
    routed = settings.spoke_outbound.startswith("route:")
    return OutboundRules(settings.spoke_allowed_destinations, settings.spoke_denied_destinations, routed)


def prefixes_of(subnet: Document | None) -> tuple[str, ...]:
    """A subnet's prefixes: Azure writes one into `addressPrefix`, several into `addressPrefixes`."""
    properties = properties_of(subnet)
    found = properties.get("addressPrefixes") or [properties.get("addressPrefix")]
    return tuple(prefix for prefix in found if prefix)


def hub_network(hub_vnet: Document, gateway: Document, operators: tuple[str, ...] | None) -> HubNetwork:
    """The hub as its VNet and gateway tell it. operators: `MANAGEMENT_SOURCE_PREFIXES`, None for the default, which is
    hub-subnet and, if there, AzureBastionSubnet."""
    subnets = listed(hub_vnet, "subnets")
    gateway_prefixes, gap = _gateway_prefixes(hub_vnet, gateway, subnets)
    gaps = [gap] if gap else []
    if operators is None:
        default = [each for each in subnets if each["name"].lower() in ("hub-subnet", "azurebastionsubnet")]
        operators = collapsed_ipv4(prefix for subnet in default for prefix in prefixes_of(subnet))
        if not operators:
            gaps.append(_no_operators([str(each["name"]) for each in default]))
    return HubNetwork(gateway_prefixes, operators, collapsed_ipv4(address_prefixes(hub_vnet)), tuple(gaps))


def _gateway_prefixes(
    hub_vnet: Document, gateway: Document, subnets: Iterable[Document]
) -> tuple[tuple[str, ...], Gap | None]:
    """The IPv4 prefixes of the gateway's subnet, or why there are none."""
    name = str(gateway.get("name") or name_of(str(gateway.get("id", "")))) or "the Application Gateway"
    ids = [id_in(each, "subnet") for each in listed(gateway, "gatewayIPConfigurations")]
    found: list[str] = []
    for subnet_id in ids or [""]:
        subnet = next((each for each in subnets if same_id(str(each.get("id", "")), subnet_id)), None)
        if subnet is None:
            return (), _no_gateway_subnet(name, hub_vnet, subnet_id)
        found += prefixes_of(subnet)
    prefixes = collapsed_ipv4(found)
    if prefixes:
        return prefixes, None
    message = f"The subnet {name_of(ids[0])} of {name} has no IPv4 prefix, and spokes have IPv4 only"
    return (), Gap("GatewaySubnetHasNoIPv4", message, "Give the gateway's subnet an IPv4 prefix.")


def _no_gateway_subnet(name: str, hub_vnet: Document, subnet_id: str) -> Gap:
    """Peerings are not transitive: a gateway in another VNet reaches no spoke, however it is peered with the hub."""
    vnet_id = subnet_id.lower().partition("/subnets/")[0]
    own = name_of(str(hub_vnet.get("id", ""))) or "the hub"
    if vnet_id and not same_id(vnet_id, str(hub_vnet.get("id", ""))):
        other = name_of(subnet_id.partition("/subnets/")[0])
        message = f"{name} is in the VNet {other}, not in the hub's VNet {own}: it can't reach a spoke, which is peered with the hub alone"
        hint = (
            "Set HUB_VNET_NAME to the gateway's VNet, or HUB_AGW_NAME to a gateway whose subnet is in the hub's VNet."
        )
        return Gap("GatewayOutsideHub", message, hint)
    missing = f"the subnet {name_of(subnet_id)}" if subnet_id else "a subnet"
    message = f"{name} has no subnet in the hub's VNet {own}: {missing} isn't there"
    return Gap("GatewaySubnetNotFound", message, "See in the Portal in which subnet the gateway is, and repair it.")


def _no_operators(found: list[str]) -> Gap:
    lack = f"{' and '.join(found)} without an IPv4 prefix" if found else "no hub-subnet and no AzureBastionSubnet"
    return Gap(
        "NoOperatorPrefixes",
        f"The hub has {lack}: SSH to the spoke's VM is possible from inside the spoke only",
        "Set MANAGEMENT_SOURCE_PREFIXES to where operators come from, if they should.",
        stops=False,
    )


def security_rules(plan: SpokePlan, hub: HubNetwork, outbound: OutboundRules) -> list[Document]:
    """All rules of a spoke's group. Raises a `ConfigurationException` when the hub lacks what no spoke works without.

    Only AllowToHub, without destinations, AllowSshFromOperators, with a `Gap`, and DenyConnectedOut, with a route table,
    are left out.
    """
    for gap in hub.gaps:
        if gap.stops:
            raise ConfigurationException(f"{gap.message}.", code=gap.code, hint=gap.hint)
    web, app, db, management = ((prefix,) for prefix in plan.subnet_prefixes)
    spoke = (plan.address_prefix,)
    rules = [
        _rule(100, "AllowGatewayToWeb", "Inbound", hub.gateway_prefixes, web, "Tcp", ("80", "443")),
        _rule(110, "AllowWebToApp", "Inbound", web, app),
        _rule(120, "AllowAppToDb", "Inbound", app, db),
        _rule(130, "AllowSshFromManagement", "Inbound", management, spoke, "Tcp", ("22",)),
    ]
    if hub.operator_prefixes:
        rules.append(_rule(140, "AllowSshFromOperators", "Inbound", hub.operator_prefixes, spoke, "Tcp", ("22",)))
    within = (("Web", web), ("App", app), ("Db", db), ("Management", management))
    rules += [
        *(
            _rule(150 + number, f"AllowWithin{name}", "Inbound", subnet, subnet)
            for number, (name, subnet) in enumerate(within)
        ),
        _rule(4090, "AllowAzureLoadBalancer", "Inbound", "AzureLoadBalancer", "*"),
        _rule(4096, "DenyVirtualNetworkIn", "Inbound", "VirtualNetwork", "*", access="Deny"),
        _rule(100, "AllowSpokeOut", "Outbound", spoke, spoke),
    ]
    if outbound.allowed:
        rules.append(_rule(110, "AllowToHub", "Outbound", spoke, outbound.allowed))
    rules.append(_rule(4000, "AllowPlatform", "Outbound", "*", (PLATFORM,)))
    if not outbound.routed:
        rules.append(_rule(4095, "DenyConnectedOut", "Outbound", "*", "VirtualNetwork", access="Deny"))
    private = collapsed_ipv4((*hub.address_spaces, *PRIVATE_SPACES, *outbound.denied))
    rules.append(_rule(4096, "DenyPrivateOut", "Outbound", "*", private, access="Deny"))
    return rules


def nsg_document(plan: SpokePlan, hub: HubNetwork, outbound: OutboundRules) -> Document:
    """The group's whole document."""
    return resource_document(plan, {"securityRules": security_rules(plan, hub, outbound)})


def _rule(
    priority: int,
    name: str,
    direction: str,
    source: str | tuple[str, ...],
    destination: str | tuple[str, ...],
    protocol: str = "*",
    ports: tuple[str, ...] = ("*",),
    access: str = "Allow",
) -> Document:
    if not source or not destination:
        raise ValueError(f"{name} has no source or no destination")
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
