"""IPv4 prefixes of a security rule. Pure.

Azure refuses a rule whose prefixes are of two address families (`ResourceCannotContainAddressPrefixesFromDifferentAddressFamilies`,
azurerm#12534) and one whose prefixes overlap (`OverlappingSubnetsNotPermittedInSecurityRule`, cloud-provider-azure#6775).
"""

import ipaddress
from collections.abc import Iterable

# No packet of another machine comes from or goes to these: a list that lacks only them holds everything.
_NEVER_ROUTED = ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4")
_EVERYTHING = ("0.0.0.0/0",)


def collapsed_ipv4(prefixes: Iterable[str]) -> tuple[str, ...]:
    """The IPv4 prefixes among these, sorted, none of them covered by others; IPv6 ones are left out."""
    networks = [ipaddress.ip_network(prefix, strict=False) for prefix in prefixes]
    return tuple(str(each) for each in ipaddress.collapse_addresses(n for n in networks if n.version == 4))


def cover_all_ipv4(prefixes: Iterable[str]) -> bool:
    """Whether a list of prefixes, all together, holds every IPv4 address that can be routed."""
    own = tuple(prefixes)
    return bool(own) and collapsed_ipv4((*own, *_NEVER_ROUTED)) == _EVERYTHING
