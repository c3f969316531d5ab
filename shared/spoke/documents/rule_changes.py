"""How a spoke's network security group differs from the rules that it should have. Pure."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from shared.spoke.documents.raw import Document, listed, properties_of

Place = tuple[str, int]

# Every rule that a group of ours may have, with its direction and priority: what else stands in a group isn't ours.
PLACES: dict[str, Place] = {
    "allowgatewaytoweb": ("inbound", 100),
    "allowwebtoapp": ("inbound", 110),
    "allowapptodb": ("inbound", 120),
    "allowsshfrommanagement": ("inbound", 130),
    "allowsshfromoperators": ("inbound", 140),
    "allowwithinweb": ("inbound", 150),
    "allowwithinapp": ("inbound", 151),
    "allowwithindb": ("inbound", 152),
    "allowwithinmanagement": ("inbound", 153),
    "allowazureloadbalancer": ("inbound", 4090),
    "denyvirtualnetworkin": ("inbound", 4096),
    "allowspokeout": ("outbound", 100),
    "allowtohub": ("outbound", 110),
    "allowplatform": ("outbound", 4000),
    "denyconnectedout": ("outbound", 4095),
    "denyprivateout": ("outbound", 4096),
}


@dataclass
class RuleChanges:
    """rules: all that the group should hold.  changed: what that changes, in words.  blocked: rules of ours that can't be
    written, because an unmanaged rule has their name or priority; it is left as it is."""

    rules: list[Document] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)


def rule_changes(held: Iterable[Document], desired: Iterable[Document]) -> RuleChanges:
    """Brings our rules in line and keeps all others, unchanged and in their order.

    A rule is ours when it has the name, the direction and the priority of one of ours.
    """
    changes, wanted = RuleChanges(), {str(rule["name"]).lower(): rule for rule in desired}
    unmanaged: dict[Place, str] = {}
    for rule in held:
        name = str(rule.get("name", ""))
        if PLACES.get(name.lower()) != place_of(rule):
            unmanaged[place_of(rule)] = name
            if name.lower() in wanted:
                del wanted[name.lower()]
                changes.blocked.append(f"{name} is a rule of another direction or priority")
            changes.rules.append(rule)
        elif (own := wanted.pop(name.lower(), None)) is None:
            changes.changed.append(f"{name} removed")
        elif is_same(rule, own):
            changes.rules.append(rule)
        else:
            changes.rules.append(own)
            changes.changed.append(f"{name} changed")
    for rule in wanted.values():
        if taken := unmanaged.get(place_of(rule)):
            direction, priority = place_of(rule)
            changes.blocked.append(f"{rule['name']}: {taken} has its priority, {priority} {direction}")
        else:
            changes.rules.append(rule)
            changes.changed.append(f"{rule['name']} added")
    return changes


def place_of(rule: Document) -> Place:
    """Direction and priority: Azure takes no two rules of one group in the same place."""
    properties = properties_of(rule)
    return str(properties.get("direction", "")).lower(), int(properties.get("priority") or 0)


def is_same(one: Document, other: Document) -> bool:
    """Whether two rules of one place say the same, in whatever form."""
    return _meaning(one) == _meaning(other)


def _meaning(rule: Document) -> dict[str, Any]:
    properties = properties_of(rule)
    meaning: dict[str, Any] = {name: str(properties.get(name, "")).lower() for name in ("access", "protocol")}
    for side in ("source", "destination"):
        meaning[f"{side} ports"] = one_or_many(rule, f"{side}PortRange", "s")
        meaning[f"{side} prefixes"] = {_prefix(each) for each in one_or_many(rule, f"{side}AddressPrefix")}
        groups = listed(rule, f"{side}ApplicationSecurityGroups")
        meaning[f"{side} groups"] = {str(group.get("id", "")).lower() for group in groups}
    return meaning


def one_or_many(document: Document | None, name: str, plural: str = "es") -> set[str]:
    """What stands in a property or in the one of its plural: Azure has a single value in either."""
    one, many = properties_of(document).get(name), properties_of(document).get(name + plural) or []
    return {str(each) for each in [*many, *([one] if one else [])]}


def _prefix(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        return text.lower()
