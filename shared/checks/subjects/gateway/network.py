"""The subnet of the gateway: does its network security group or its route table keep Azure from taking a change. Pure.

Azure refuses every PUT of a v2 gateway for it (AKS-Construction#333, azure-docs#87202 and #22065), unless the gateway has
network isolation (azure-docs: private Application Gateway deployment).
"""

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from shared.checks.findings import ERROR, WARNING, Finding
from shared.spoke.documents.raw import Document, id_in, listed, properties_of
from shared.spoke.documents.rule_changes import one_or_many
from shared.spoke.documents.security_rules import prefixes_of
from shared.spoke.resource_ids import group_of, name_of, same_id

FIRST_PORT, LAST_PORT = 65200, 65535
ISOLATION_TAG = "EnhancedNetworkControl"
_ANYWHERE = frozenset({"*", "internet", "0.0.0.0/0"})
_HIGHEST_PRIORITY, _LOWEST_PRIORITY = 100, 4096
# What the gateway's subnet can have on it, by the name under which the checks know it.
ON_SUBNET = {"security_group": "networkSecurityGroup", "route_table": "routeTable"}
_HALVES = frozenset({"0.0.0.0/1", "128.0.0.0/1"})


@dataclass(frozen=True)
class GatewayNetwork:
    """What the gateway's instances live in, as ARM holds it; None for what isn't there or was not read."""

    subnet: Document | None = None
    security_group: Document | None = None
    route_table: Document | None = None


def subnet_of_gateway(hub_vnet: Document | None, gateway: Document | None) -> Document | None:
    """The hub's subnet that the gateway's instances are in; None when it is elsewhere, which is a finding of its own."""
    for part in listed(gateway, "gatewayIPConfigurations"):
        wanted = id_in(part, "subnet")
        for subnet in listed(hub_vnet, "subnets"):
            if same_id(subnet.get("id"), wanted):
                return subnet
    return None


def is_isolated(gateway: Document) -> bool:
    """Whether a gateway has network isolation: Azure tags it, and only such a one can do without a public address."""
    tags = {str(name).lower(): str(value).lower() for name, value in (gateway.get("tags") or {}).items()}
    if tags.get(ISOLATION_TAG.lower()) == "true":
        return True
    inner = [properties_of(each) for each in listed(gateway, "frontendIPConfigurations")]
    return bool(inner) and all(each.get("subnet") and not each.get("publicIPAddress") for each in inner)


def gateway_network_findings(gateway: Document, network: GatewayNetwork) -> list[Finding]:
    """Everything in the gateway's subnet for which Azure refuses a change (errors), or for which it works badly."""
    found: list[Finding] = []
    isolated = is_isolated(gateway)
    if network.security_group is not None:
        found += _group_findings(network.security_group, prefixes_of(network.subnet), isolated=isolated)
    if network.route_table is not None and not isolated:
        found += _route_findings(network.route_table)
    return found


# --- the network security group ---


def _group_findings(group: Document, subnet: Sequence[str], *, isolated: bool) -> list[Finding]:
    rules = [_Rule.of(each) for each in listed(group, "securityRules")]
    inbound = sorted((rule for rule in rules if rule.direction == "inbound"), key=lambda rule: rule.priority)
    found = []
    if not isolated:
        blocked, blocker = _blocked(inbound, subnet, "gatewaymanager", range(FIRST_PORT, LAST_PORT + 1))
        if blocked:
            found.append(_inbound_blocked(group, inbound, blocker))
        found += [_outbound_blocked(group, rule) for rule in rules if rule.denies_out]
    blocked, blocker = _blocked(inbound, subnet, "azureloadbalancer", range(65536))
    if blocked and blocker is not None:
        found.append(_probes_blocked(group, blocker))
    return found


@dataclass(frozen=True)
class _Rule:
    name: str
    direction: str
    allows: bool
    protocol: str
    priority: int
    sources: frozenset[str]
    destinations: frozenset[str]
    ports: frozenset[str]

    @classmethod
    def of(cls, document: Document) -> "_Rule":
        inner = properties_of(document)

        def values(name: str, plural: str) -> frozenset[str]:
            return frozenset(each.lower() for each in one_or_many(document, name, plural))

        priority = inner.get("priority")
        return cls(
            name=str(document.get("name", "")),
            direction=str(inner.get("direction", "")).lower(),
            allows=str(inner.get("access", "")).lower() == "allow",
            protocol=str(inner.get("protocol", "*")).lower(),
            priority=priority if isinstance(priority, int) else _LOWEST_PRIORITY,
            sources=values("sourceAddressPrefix", "es"),
            destinations=values("destinationAddressPrefix", "es"),
            ports=values("destinationPortRange", "s"),
        )

    @property
    def denies_out(self) -> bool:
        """Azure refuses any outbound deny rule that holds for TCP, whatever its destination (azure-docs#84599)."""
        return self.direction == "outbound" and not self.allows and self.protocol in ("*", "tcp")

    def concerns(self, source: str, subnet: Sequence[str]) -> bool:
        """Whether it decides over TCP from a service tag to the gateway's subnet."""
        from_it = self.sources & {source, "*"} or (source == "gatewaymanager" and self.sources & _ANYWHERE)
        return (
            bool(from_it) and self.protocol in ("*", "tcp") and any(_holds(each, subnet) for each in self.destinations)
        )

    def ports_in(self, wanted: range) -> Iterator[int]:
        for each in self.ports:
            first, _, last = ("0-65535" if each == "*" else each).partition("-")
            if first.isdigit() and (last or first).isdigit():
                yield from range(max(int(first), wanted.start), min(int(last or first) + 1, wanted.stop))


def _holds(destination: str, subnet: Sequence[str]) -> bool:
    if destination in ("*", "virtualnetwork"):
        return True
    try:
        outer = ipaddress.ip_network(destination, strict=False)
        inner = [ipaddress.ip_network(each, strict=False) for each in subnet]
    except ValueError:
        return False
    return any(one.version == outer.version and one.subnet_of(outer) for one in inner)  # type: ignore[arg-type] # of one version


def _blocked(rules: Iterable[_Rule], subnet: Sequence[str], source: str, ports: range) -> tuple[bool, _Rule | None]:
    """Whether some of the ports can't be reached from a service tag, and the rule that says so: None for the default
    rules. Those let the load balancer in, and not GatewayManager."""
    left = set(ports)
    for rule in rules:
        if not rule.concerns(source, subnet):
            continue
        met = left & set(rule.ports_in(ports))
        if met and not rule.allows:
            return True, rule
        left -= met
        if not left:
            return False, None
    return bool(left), None


def _inbound_blocked(group: Document, rules: Sequence[_Rule], blocker: _Rule | None) -> Finding:
    below = blocker.priority if blocker else _LOWEST_PRIORITY + 1
    taken = {rule.priority for rule in rules}
    free = next((number for number in range(below - 1, _HIGHEST_PRIORITY - 1, -1) if number not in taken), None)
    names = {rule.name.lower() for rule in rules}
    numbered = (f"AllowGatewayManager{number if number > 1 else ''}" for number in count(1))
    name = next(each for each in numbered if each.lower() not in names)
    reason = f"its rule {blocker.name} denies it" if blocker else "none of its rules allows it"
    if free is None and blocker:
        hint = f"Give the rule {blocker.name} a higher priority number, or allow the ports in it."
    else:
        hint = (
            f"Allow it: `az network nsg rule create {_in(group, '--nsg-name')} --name {name} --priority {free} "
            "--direction Inbound --access Allow --protocol Tcp --source-address-prefixes GatewayManager "
            f"--destination-port-ranges {FIRST_PORT}-{LAST_PORT}`"
        )
    return _finding(
        ERROR,
        "ApplicationGatewaySubnetInboundTrafficBlockedByNetworkSecurityGroup",
        f"The network security group {group.get('name')} of the gateway's subnet keeps GatewayManager from TCP "
        f"{FIRST_PORT}-{LAST_PORT}: {reason}. Azure refuses every change of the gateway for that.",
        f"{hint}. {_OR_ISOLATION}",
        group,
    )


def _outbound_blocked(group: Document, rule: _Rule) -> Finding:
    return _finding(
        ERROR,
        "ApplicationGatewaySubnetOutboundTrafficBlockedByNetworkSecurityGroup",
        f"The rule {rule.name} of the network security group {group.get('name')} denies outbound traffic of the "
        "gateway's subnet. Azure refuses every change of the gateway for that.",
        f"Remove it: `az network nsg rule delete {_in(group, '--nsg-name')} --name {rule.name}`. {_OR_ISOLATION}",
        group,
    )


def _probes_blocked(group: Document, rule: _Rule) -> Finding:
    return _finding(
        WARNING,
        "LoadBalancerBlocked",
        f"The rule {rule.name} of the network security group {group.get('name')} keeps AzureLoadBalancer from the "
        "gateway's subnet: Azure's health probes don't reach the gateway.",
        "Allow inbound traffic from the service tag AzureLoadBalancer before that rule.",
        group,
    )


# --- the route table ---


def _route_findings(table: Document) -> list[Finding]:
    routes = [(str(each.get("name", "")), properties_of(each)) for each in listed(table, "routes")]
    elsewhere = [
        (name, str(route.get("addressPrefix")), str(route.get("nextHopType")))
        for name, route in routes
        if str(route.get("nextHopType", "")).lower() != "internet"
    ]
    found = [
        _finding(
            ERROR,
            "ApplicationGatewaySubnetUserDefinedRouteNotAllowed",
            f"The route {name} of the route table {table.get('name')} leads 0.0.0.0/0 of the gateway's subnet to "
            f"{hop}. Azure refuses every change of the gateway for that.",
            f"Lead it to the Internet: `az network route-table route create {_in(table, '--route-table-name')} "
            f"--name {name} --address-prefix 0.0.0.0/0 --next-hop-type Internet`. {_OR_ISOLATION}",
            table,
        )
        for name, prefix, hop in elsewhere
        if prefix == "0.0.0.0/0"
    ]
    if {prefix for _, prefix, _ in elsewhere} >= _HALVES:
        found.append(
            _finding(
                WARNING,
                "ControlTrafficRerouted",
                f"The route table {table.get('name')} leads both halves of the Internet away from it: the gateway's "
                "health, logs and metrics can stay unknown.",
                "Lead the service tag GatewayManager to the Internet in the same table.",
                table,
            )
        )
    return found


# --- what both say ---

_OR_ISOLATION = (
    f"A gateway with network isolation doesn't need it: give this one its tag back if it is one ({ISOLATION_TAG}=True)."
)


def _in(resource: Document, option: str) -> str:
    resource_id = str(resource.get("id", ""))
    return f"--resource-group {name_of(group_of(resource_id) or '<resource group>')} {option} {name_of(resource_id)}"


def _finding(severity: str, code: str, message: str, hint: str, resource: Document) -> Finding:
    return Finding("gateway", severity, code, message, hint, resource=str(resource.get("id", "")))
