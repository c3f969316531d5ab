"""Security rules: what one has to be, and the six that every group has [I], [D]."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from local.azure import errors
from local.azure.store import Json

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

TYPE = "Microsoft.Network/networkSecurityGroups/securityRules"
_TAG = re.compile(r"^[A-Za-z][A-Za-z0-9]*(\.[A-Za-z0-9]+)?$")
_PROTOCOLS = {"tcp", "udp", "icmp", "esp", "ah", "*"}

_DEFAULTS = (
    ("AllowVnetInBound", "Inbound", 65000, "Allow", "VirtualNetwork", "VirtualNetwork", "all VMs in VNET"),
    ("AllowAzureLoadBalancerInBound", "Inbound", 65001, "Allow", "AzureLoadBalancer", "*", "azure load balancer"),
    ("DenyAllInBound", "Inbound", 65500, "Deny", "*", "*", "all inbound traffic"),
    ("AllowVnetOutBound", "Outbound", 65000, "Allow", "VirtualNetwork", "VirtualNetwork", "all VMs to all VMs in VNET"),
    ("AllowInternetOutBound", "Outbound", 65001, "Allow", "*", "Internet", "all VMs to Internet"),
    ("DenyAllOutBound", "Outbound", 65500, "Deny", "*", "*", "all outbound traffic"),
)


def defaults(nsg_id: str, etag: str) -> list[Json]:
    """The rules that Azure adds to every group."""
    return [
        {
            "name": name,
            "id": f"{nsg_id}/defaultSecurityRules/{name}",
            "etag": etag,
            "type": "Microsoft.Network/networkSecurityGroups/defaultSecurityRules",
            "properties": {
                "provisioningState": "Succeeded",
                "description": f"{access} {what}",
                "protocol": "*",
                "sourcePortRange": "*",
                "destinationPortRange": "*",
                "sourceAddressPrefix": source,
                "destinationAddressPrefix": destination,
                "access": access,
                "priority": priority,
                "direction": direction,
                "sourcePortRanges": [],
                "destinationPortRanges": [],
                "sourceAddressPrefixes": [],
                "destinationAddressPrefixes": [],
            },
        }
        for name, direction, priority, access, source, destination, what in _DEFAULTS
    ]


def check_all(nsg_id: str, rules: list[Json]) -> None:
    """Each rule, and that no two have one priority in one direction."""
    places: dict[tuple[str, int], str] = {}
    names: set[str] = set()
    for rule in rules:
        name = str(rule.get("name") or "")
        rule_id = f"{nsg_id}/securityRules/{name}"
        if not name or name.lower() in names:
            raise errors.cannot_parse(
                "DuplicateResourceName", f"Resource {nsg_id} has two child resources with the same name ({name})."
            )
        names.add(name.lower())
        _check(rule_id, rule.get("properties") or {})
        place = (str(rule["properties"]["direction"]).lower(), int(rule["properties"]["priority"]))
        if place in places:
            raise errors.by_network(
                "SecurityRuleConflict",
                f"Security rule {name} conflicts with rule {places[place]}. Rules cannot have the same Priority and "
                "Direction.",
            )
        places[place] = name


def _check(rule_id: str, properties: Json) -> None:
    for required in ("protocol", "access", "priority", "direction"):
        if properties.get(required) is None:
            raise errors.by_network(
                "SecurityRuleMissingParameter", f"Security rule {rule_id} has no value for '{required}'."
            )
    priority = properties["priority"]
    if not isinstance(priority, int) or not 100 <= priority <= 4096:
        raise errors.by_network(
            "SecurityRuleInvalidPriority",
            f"Security rule has invalid Priority. Value provided: {priority}. Allowed range 100-4096.",
        )
    for name, allowed in (
        ("protocol", _PROTOCOLS),
        ("access", {"allow", "deny"}),
        ("direction", {"inbound", "outbound"}),
    ):
        if str(properties[name]).lower() not in allowed:
            raise errors.cannot_parse("InvalidJson", f"Value '{properties[name]}' is not valid for '{name}'.")
    ranges: list[Network] = []
    for side in ("source", "destination"):
        ranges += _check_prefixes(rule_id, properties, side)
        _check_ports(properties, side)
    _check_families(rule_id, ranges)


def _check_families(rule_id: str, ranges: list[Network]) -> None:
    """All prefixes of a rule, of both sides, are IPv4 or all are IPv6 (gardener-extension-provider-azure#397)."""
    if len({each.version for each in ranges}) > 1:
        raise errors.by_network(
            "ResourceCannotContainAddressPrefixesFromDifferentAddressFamilies",
            f"Resource {rule_id} contains IP addresses or prefixes that belong to different address families. All IP "
            "addresses or prefixes in the resource should belong to the same address family.",
        )


def _check_prefixes(rule_id: str, properties: Json, side: str) -> list[Network]:
    """The ranges of one side; tags and `*` are none."""
    one, many = properties.get(f"{side}AddressPrefix"), properties.get(f"{side}AddressPrefixes") or []
    groups = properties.get(f"{side}ApplicationSecurityGroups") or []
    if not one and not many and not groups:
        raise errors.by_network(
            "SecurityRuleParameterNotSpecified",
            f"Required security rule parameters are missing for security rule with Id: {rule_id}. Security rule must "
            f"specify {side.capitalize()}AddressPrefixes, {side.capitalize()}AddressPrefix or "
            f"{side.capitalize()}ApplicationSecurityGroups.",
        )
    if one and many:
        raise errors.by_network(
            "SecurityRuleParameterContainsConflictingValues",
            f"Security rule {rule_id} cannot specify both {side}AddressPrefix and {side}AddressPrefixes.",
        )
    if one:
        return [] if one == "*" or _TAG.match(str(one)) else [_range(rule_id, side, one, "")]
    ranges = [_range(rule_id, side, each, "es") for each in many]
    _check_overlaps(rule_id, side, ranges)
    return ranges


def _range(rule_id: str, side: str, text: Any, plural: str) -> Network:
    """A range without host bits (azure-powershell#4557); the plural property takes no tags."""
    try:
        return ipaddress.ip_network(str(text), strict=True)
    except ValueError:
        pass
    if plural and "/" not in str(text):
        raise errors.by_network(
            "SecurityRuleParameterContainsUnsupportedValue",
            f"Security rule parameter {side.capitalize()}AddressPrefixes for rule with Id {rule_id} contains an "
            f"unsupported value: {text}. Only IP addresses and CIDR ranges are supported in this property.",
        )
    raise errors.by_network(
        "SecurityRuleInvalidAddressPrefix", f"Security rule has invalid Address prefix. Value provided: {text}"
    )


def _check_overlaps(rule_id: str, side: str, ranges: list[Network]) -> None:
    """No two ranges of one side overlap, nor is one repeated (cloud-provider-azure#6775)."""
    for index, one in enumerate(ranges):
        for other in ranges[:index]:
            if one.version == other.version and one.overlaps(other):
                raise errors.by_network(
                    "OverlappingSubnetsNotPermittedInSecurityRule",
                    f"Security rule parameter {side.capitalize()}AddressPrefix for rule with Id {rule_id} contains "
                    f"overlapping subnets [{other}, {one}], which is not permitted.",
                )


def _check_ports(properties: Json, side: str) -> None:
    ranges = list(properties.get(f"{side}PortRanges") or [])
    one = properties.get(f"{side}PortRange")
    if one:
        ranges.append(one)
    if not ranges:
        raise errors.by_network(
            "SecurityRuleParameterNotSpecified", f"Security rule must specify {side.capitalize()}PortRange."
        )
    for each in ranges:
        parts = str(each).split("-")
        numbers = [int(part) for part in parts if part.isdecimal()]
        fine = len(numbers) == len(parts) <= 2 and all(0 <= n <= 65535 for n in numbers) and numbers == sorted(numbers)
        if each != "*" and not fine:
            raise errors.by_network(
                "SecurityRuleInvalidPortRange",
                f"Security rule has invalid Port range. Value provided: {each}. Value should be an integer OR integer "
                "range with '-' delimiter. Valid range 0-65535.",
            )


def become(nsg_id: str, rules: list[Json]) -> list[Json]:
    """The rules as they are kept."""
    kept = []
    for rule in rules:
        properties = {name: value for name, value in rule["properties"].items() if value is not None}
        for name in (
            "sourcePortRanges",
            "destinationPortRanges",
            "sourceAddressPrefixes",
            "destinationAddressPrefixes",
        ):
            properties.setdefault(name, [])
        kept.append(
            {
                "name": rule["name"],
                "id": f"{nsg_id}/securityRules/{rule['name']}",
                "type": TYPE,
                "properties": properties | {"provisioningState": "Succeeded"},
            }
        )
    return kept
