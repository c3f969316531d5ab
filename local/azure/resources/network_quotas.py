"""How many of a kind the network provider lets a subscription have in one region: counted, listed, and held to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from local.azure import errors, ids
from local.azure.arm import Arm


@dataclass(frozen=True, slots=True)
class Quota:
    """One line of the provider's usages. code: with what one more is refused."""

    name: str
    label: str
    limit: int
    code: str

    @property
    def kind(self) -> str:
        """The resource type, in lower case."""
        return f"microsoft.network/{self.name}".lower()


# The limits are documented [D]; of the codes the first two are [D], the third is [I], the rest are formed alike [U].
_QUOTAS = (
    Quota("VirtualNetworks", "Virtual Networks", 1000, "VnetCountLimitReached"),
    Quota("PublicIPAddresses", "Public IP Addresses", 1000, "PublicIPCountLimitReached"),
    Quota("NetworkInterfaces", "Network Interfaces", 65536, "NetworkInterfaceCountLimitReached"),
    Quota("NetworkSecurityGroups", "Network Security Groups", 5000, "NetworkSecurityGroupCountLimitReached"),
    Quota("ApplicationGateways", "Application Gateways", 1000, "ApplicationGatewayCountLimitReached"),
    Quota("RouteTables", "Route Tables", 200, "RouteTableCountLimitReached"),
)


def usages(arm: Arm, subscription: str, location: str) -> Iterator[tuple[Quota, int, int]]:
    """Every quota of a region, how much of it is used, and its limit, which `POST /_local/quota` changes."""
    scope = ids.subscription_id(subscription)
    for quota in _QUOTAS:
        used = sum(1 for each in arm.store.of_type(quota.kind, scope) if each.location == location)
        yield quota, used, arm.quota(subscription, location, quota.name, quota.limit)


def check(arm: Arm, kind: str, subscription: str, location: str) -> None:
    """Refuse one more of a kind than its quota allows."""
    for quota, used, limit in usages(arm, subscription, location):
        if quota.kind == kind.lower() and used >= limit:
            nouns = " ".join(word if word.isupper() else word.lower() for word in quota.label.split())
            raise errors.by_network(
                quota.code, f"Cannot create more than {limit} {nouns} for this subscription in this region."
            )
