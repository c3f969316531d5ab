"""Address ranges: parsing, overlapping, and which addresses of a subnet Azure keeps for itself."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from local.azure import errors
from local.azure.store import Json

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse(prefix: object, resource_id: str) -> Network:
    """A prefix, or InvalidAddressPrefixFormat [R]. Host bits that are set are refused too [D]."""
    try:
        if not isinstance(prefix, str) or "/" not in prefix:
            raise ValueError(prefix)
        return ipaddress.ip_network(prefix, strict=True)
    except ValueError:
        raise errors.by_network(
            "InvalidAddressPrefixFormat",
            f"Address prefix {prefix} of resource {resource_id} is not formatted correctly. It should follow CIDR "
            "notation, for example 10.0.0.0/24.",
        ) from None


def of_space(properties: Json) -> list[str]:
    """The prefixes of a VNet."""
    return list((properties.get("addressSpace") or {}).get("addressPrefixes") or [])


def of_subnet(properties: Json) -> list[str]:
    """The prefixes of a subnet, in either spelling."""
    if properties.get("addressPrefix"):
        return [properties["addressPrefix"]]
    return list(properties.get("addressPrefixes") or [])


def overlapping(first: Iterable[str], second: Iterable[str]) -> list[str]:
    """The pairs that overlap, one after the other, as ARM's messages list them."""
    others = [ipaddress.ip_network(each, strict=False) for each in second]
    found = []
    for text in first:
        one = ipaddress.ip_network(text, strict=False)
        for other in others:
            if one.version == other.version and one.overlaps(other):
                found += [str(one), str(other)]
    return found


def contains(outer: Iterable[Network], inner: Network) -> bool:
    """Whether a range lies in one of others."""
    return any(
        inner.version == each.version and inner.network_address in each and inner.broadcast_address in each
        for each in outer
    )


def kept_by_azure(network: Network) -> set[int]:
    """The first four and the last address of a subnet."""
    first = int(network.network_address)
    return {first, first + 1, first + 2, first + 3, int(network.broadcast_address)}


def first_free(network: Network, taken: set[str]) -> str | None:
    """The address that a dynamic allocation gets: the first free one from .4 up."""
    for number in range(int(network.network_address) + 4, int(network.broadcast_address)):
        address = str(ipaddress.ip_address(number))
        if address not in taken:
            return address
    return None
