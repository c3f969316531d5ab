"""Addresses that follow from a spoke's id. Pure.

A pool is cut into blocks of one size; spoke n gets the n-th. Block 0 stays unused, so that with the default pool the id
is the third octet: `10.11.{id}.0/24` for 1 to 255.
"""

import ipaddress
from collections.abc import Iterable
from ipaddress import IPv4Network

from shared.errors import ValidationException

DEFAULT_POOL = IPv4Network("10.11.0.0/16")
DEFAULT_PREFIX_LENGTH = 24
SUBNETS = 4
# Azure takes subnets down to /29.
_LONGEST_VNET_PREFIX = 27


def highest_spoke_id(pool: IPv4Network = DEFAULT_POOL, prefix_length: int = DEFAULT_PREFIX_LENGTH) -> int:
    """The last id that the pool has a block for; the first is 1."""
    return int(2 ** (prefix_length - pool.prefixlen)) - 1


def calculate_spoke_address_space(
    spoke_id: int, pool: IPv4Network = DEFAULT_POOL, prefix_length: int = DEFAULT_PREFIX_LENGTH
) -> str:
    """The block of a spoke: `10.11.42.0/24` for 42."""
    highest = highest_spoke_id(pool, prefix_length)
    if isinstance(spoke_id, bool) or not isinstance(spoke_id, int) or not 1 <= spoke_id <= highest:
        raise ValidationException(
            f"spoke_id must be a whole number from 1 to {highest}.",
            code="InvalidSpokeId",
            field="spoke_id",
            value=spoke_id,
        )
    address = pool.network_address + spoke_id * 2 ** (32 - prefix_length)
    return f"{address}/{prefix_length}"


def spoke_id_of_block(
    address_prefix: str, pool: IPv4Network = DEFAULT_POOL, prefix_length: int = DEFAULT_PREFIX_LENGTH
) -> int:
    """The number of a block, which has to be exactly one of the pool's: 42 for `10.11.42.0/24`."""
    example = calculate_spoke_address_space(1, pool, prefix_length)
    try:
        block = IPv4Network(address_prefix, strict=True)
    except (ValueError, TypeError) as error:
        raise _not_a_block(
            address_prefix, f"address_prefix must be an IPv4 prefix without host bits, such as {example}."
        ) from error
    if block.prefixlen != prefix_length or not block.subnet_of(pool) or address_prefix != str(block):
        raise _not_a_block(
            address_prefix, f"address_prefix must be exactly one /{prefix_length} block of {pool}, such as {example}."
        )
    number = (int(block.network_address) - int(pool.network_address)) >> (32 - prefix_length)
    if number == 0:
        raise _not_a_block(
            address_prefix, f"The first block of {pool} is not given to spokes; the lowest one is {example}."
        )
    return number


def calculate_subnet_ranges(vnet_cidr: str) -> list[str]:
    """The four equal parts of a block, in the order web, app, db, management: `10.11.1.0/26`, `10.11.1.64/26`, …"""
    try:
        block = ipaddress.IPv4Network(vnet_cidr, strict=True)
    except (ValueError, TypeError) as error:
        raise _not_a_block(vnet_cidr, f"{vnet_cidr!r:.80} is no IPv4 prefix without host bits.") from error
    if block.prefixlen > _LONGEST_VNET_PREFIX:
        raise _not_a_block(
            vnet_cidr, f"{block} is too small for four subnets: /{_LONGEST_VNET_PREFIX} is the smallest block."
        )
    return [str(subnet) for subnet in block.subnets(prefixlen_diff=SUBNETS.bit_length() - 1)]


def _not_a_block(value: object, sentence: str) -> ValidationException:
    return ValidationException(sentence, code="InvalidAddressPrefix", field="address_prefix", value=value)


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
