"""Which rights a request needs: from its method, its path and what its body names. Pure.

Azure writes a right as `{provider}/{types}/{read|write|delete}`, `{provider}/{types}/{name}/action` for a POST, and asks
for it over the scope that the path names ([D] Azure resource provider operations). What a body links to needs a right
of its own over that resource, such as `Microsoft.Network/virtualNetworks/subnets/join/action` ([I] azure-cli#2688,
AKS and peering reports).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_VERBS = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}
_EXTENSIONS = "microsoft.authorization"


@dataclass(frozen=True, slots=True)
class Right:
    """An action over a scope, both in the letter case of the request."""

    action: str
    scope: str


def needed(method: str, path: str) -> Right | None:
    """What the request itself needs; None where Azure asks for nothing: lists that hold only what the caller may see
    (`/subscriptions`), and what is above the subscriptions."""
    parts = [part for part in path.split("/") if part]
    if len(parts) < 2 or parts[0].lower() != "subscriptions":
        return None
    folded = [part.lower() for part in parts]
    at = len(parts) - 1 - folded[::-1].index("providers") if "providers" in folded else len(parts)
    if len(parts) - at <= 2:  # nothing of a provider is named: the resource manager's own types
        scope = parts if len(parts) % 2 == 0 else parts[:-1]
        if at < len(parts):
            parts, scope = parts[: at + 1], parts[:at]
        return Right(f"Microsoft.Resources/{_types(parts)}/{_VERBS.get(method, 'action')}", _path(scope))
    names = parts[at + 2 :]
    whole = len(names) % 2 == 0
    action = f"{parts[at + 1]}/{_types(names)}/{_VERBS.get(method, 'action')}"
    if whole:
        return Right(action, _path(parts))
    if len(names) > 1:  # a list, a view or an action of a resource
        return Right(action, _path(parts[:-1]))
    if at == 2 or folded[at + 1] == _EXTENSIONS:
        return Right(action, _path(parts[:at]))
    return Right(action, _path(parts))


def _types(parts: list[str]) -> str:
    return "/".join(parts[::2])


def _path(parts: list[str]) -> str:
    return "/" + "/".join(parts)


_NETWORK = "Microsoft.Network/"
_JOIN_SUBNET = f"{_NETWORK}virtualNetworks/subnets/join/action"
_JOIN_SECURITY_GROUP = f"{_NETWORK}networkSecurityGroups/join/action"
_JOIN_ADDRESS = f"{_NETWORK}publicIPAddresses/join/action"
_JOIN_FIREWALL_POLICY = f"{_NETWORK}ApplicationGatewayWebApplicationFirewallPolicies/join/action"
_PEER = f"{_NETWORK}virtualNetworks/peer/action"
_ASSIGN = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action"

_OF_SUBNET = {
    "properties.networkSecurityGroup.id": _JOIN_SECURITY_GROUP,
    "properties.routeTable.id": f"{_NETWORK}routeTables/join/action",
    "properties.natGateway.id": f"{_NETWORK}natGateways/join/action",
    "properties.serviceEndpointPolicies.[].id": f"{_NETWORK}serviceEndpointPolicies/join/action",
}
_OF_PEERING = {"properties.remoteVirtualNetwork.id": _PEER}
_OF_IDENTITY = {"identity.userAssignedIdentities.{}": _ASSIGN}
_IP = "properties.ipConfigurations.[].properties"

# Where a body of a type names other resources, and the right that is needed over each. `[]` is every entry of a list,
# `{}` every key of an object.
_LINKED: dict[str, dict[str, str]] = {
    "microsoft.network/virtualnetworks": {
        **{f"properties.subnets.[].{path}": action for path, action in _OF_SUBNET.items()},
        **{f"properties.virtualNetworkPeerings.[].{path}": action for path, action in _OF_PEERING.items()},
        "properties.ddosProtectionPlan.id": f"{_NETWORK}ddosProtectionPlans/join/action",
    },
    "microsoft.network/virtualnetworks/subnets": _OF_SUBNET,
    "microsoft.network/virtualnetworks/virtualnetworkpeerings": _OF_PEERING,
    "microsoft.network/networkinterfaces": {
        f"{_IP}.subnet.id": _JOIN_SUBNET,
        f"{_IP}.publicIPAddress.id": _JOIN_ADDRESS,
        f"{_IP}.applicationSecurityGroups.[].id": f"{_NETWORK}applicationSecurityGroups/joinIpConfiguration/action",
        f"{_IP}.loadBalancerBackendAddressPools.[].id": f"{_NETWORK}loadBalancers/backendAddressPools/join/action",
        f"{_IP}.applicationGatewayBackendAddressPools.[].id": (
            f"{_NETWORK}applicationGateways/backendAddressPools/join/action"
        ),
        "properties.networkSecurityGroup.id": _JOIN_SECURITY_GROUP,
    },
    "microsoft.network/natgateways": {"properties.publicIpAddresses.[].id": _JOIN_ADDRESS},
    "microsoft.network/applicationgateways": {
        "properties.gatewayIPConfigurations.[].properties.subnet.id": _JOIN_SUBNET,
        "properties.frontendIPConfigurations.[].properties.subnet.id": _JOIN_SUBNET,
        "properties.frontendIPConfigurations.[].properties.publicIPAddress.id": _JOIN_ADDRESS,
        f"properties.privateLinkConfigurations.[].{_IP}.subnet.id": _JOIN_SUBNET,
        "properties.firewallPolicy.id": _JOIN_FIREWALL_POLICY,
        "properties.httpListeners.[].properties.firewallPolicy.id": _JOIN_FIREWALL_POLICY,
        "properties.urlPathMaps.[].properties.pathRules.[].properties.firewallPolicy.id": _JOIN_FIREWALL_POLICY,
        **_OF_IDENTITY,
    },
    "microsoft.compute/virtualmachines": {
        "properties.networkProfile.networkInterfaces.[].id": f"{_NETWORK}networkInterfaces/join/action",
        **_OF_IDENTITY,
    },
}


def links_of(right: Right) -> dict[str, str]:
    """Where a body that is written with this right may name other resources, and the right needed over each."""
    kind, _, verb = right.action.lower().rpartition("/")
    return _LINKED.get(kind, {}) if verb == "write" else {}


def linked(links: dict[str, str], body: Any) -> list[Right]:
    """The rights over what a body names, each once."""
    found: dict[tuple[str, str], Right] = {}
    for path, action in links.items():
        for scope in _named(body, path.split(".")):
            if scope.startswith("/"):
                found.setdefault((action, scope.lower()), Right(action, scope))
    return list(found.values())


def _named(value: Any, steps: list[str]) -> Iterator[str]:
    if not steps:
        if isinstance(value, str):
            yield value
        return
    step, rest = steps[0], steps[1:]
    if step == "[]":
        for each in value if isinstance(value, list) else ():
            yield from _named(each, rest)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if step == "{}":
                yield from _named(name, rest)
            elif name.lower() == step.lower():
                yield from _named(inner, rest)
