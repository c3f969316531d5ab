"""Resource ids: how ARM writes them, compares them and takes them apart.

Ids keep the letter case that they were written in and are compared without it, so every look-up goes
through `key`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SUBSCRIPTION_ID = "5ca1ab1e-0000-4000-8000-0000000000a1"
TENANT_ID = "7e4a4700-0000-4000-8000-0000000000b2"
PRINCIPAL_ID = "9a1c1e55-0000-4000-8000-0000000000c3"  # of the managed identity: the app
OPERATOR_ID = "11111111-2222-3333-4444-555555555555"  # of a service principal that may do everything

_RESOURCE = re.compile(
    r"^/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)"
    r"/providers/(?P<namespace>[^/]+)/(?P<rest>.+)$",
    re.IGNORECASE,
)


def key(resource_id: str) -> str:
    """What an id is compared by."""
    return resource_id.rstrip("/").lower()


@dataclass(frozen=True, slots=True)
class ResourceId:
    """An id of a resource in a resource group, in its parts."""

    subscription: str
    group: str
    namespace: str
    types: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        """The last name."""
        return self.names[-1]

    @property
    def type(self) -> str:
        """`Microsoft.Network/virtualNetworks/subnets`."""
        return "/".join((self.namespace, *self.types))

    @property
    def type_and_name(self) -> str:
        """The form that ARM's own messages use: `Microsoft.Network/virtualNetworks/v/subnets/s`."""
        pairs = (part for pair in zip(self.types, self.names, strict=True) for part in pair)
        return "/".join((self.namespace, *pairs))

    @property
    def group_id(self) -> str:
        """The id of its resource group."""
        return group_id(self.group, self.subscription)

    @property
    def parent(self) -> ResourceId | None:
        """The resource that this one is a child of."""
        if len(self.names) == 1:
            return None
        return ResourceId(self.subscription, self.group, self.namespace, self.types[:-1], self.names[:-1])

    def __str__(self) -> str:
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}/providers/{self.type_and_name}"


def parse(resource_id: str) -> ResourceId | None:
    """The parts of an id, or None when it is not the id of a resource in a group."""
    match = _RESOURCE.match(resource_id.rstrip("/"))
    if match is None:
        return None
    rest = match["rest"].split("/")
    if len(rest) % 2 or not all(rest):
        return None
    return ResourceId(match["subscription"], match["group"], match["namespace"], tuple(rest[::2]), tuple(rest[1::2]))


def subscription_id(subscription: str) -> str:
    """The scope of a subscription, in the lower case that ARM keeps its GUID in."""
    return f"/subscriptions/{subscription.lower()}"


def subscription_of(resource_id: str) -> str:
    """The GUID of the subscription that an id lies in, in lower case, or ''."""
    parts = resource_id.split("/")
    return parts[2].lower() if len(parts) > 2 and parts[1].lower() == "subscriptions" else ""


def group_id(group: str, subscription: str) -> str:
    """The id of a resource group."""
    return f"{subscription_id(subscription)}/resourceGroups/{group}"


def group_of(resource_id: str) -> str:
    """The resource group that an id lies in, or ''."""
    parts = resource_id.split("/")
    return parts[4] if len(parts) > 4 and parts[3].lower() == "resourcegroups" else ""


def with_upper_case_group(resource_id: str) -> str:
    """As the compute provider writes disk ids: the group's name in capitals [R]."""
    parts = resource_id.split("/")
    parts[4] = parts[4].upper()
    return "/".join(parts)
