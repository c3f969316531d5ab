"""Addresses follow from a spoke's id; no two spokes overlap, whatever the pool."""

from ipaddress import IPv4Network
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ValidationException
from shared.spoke.addresses import (
    calculate_spoke_address_space,
    calculate_subnet_ranges,
    highest_spoke_id,
    spoke_id_of_block,
)

Pool = tuple[IPv4Network, int]


@st.composite
def pools(draw: st.DrawFn) -> Pool:
    prefix_length = draw(st.integers(16, 27))
    pool_length = draw(st.integers(8, prefix_length - 1))
    number = draw(st.integers(0, 2**pool_length - 1))
    return IPv4Network((number << (32 - pool_length), pool_length)), prefix_length


@st.composite
def spokes(draw: st.DrawFn) -> tuple[int, Pool]:
    pool = draw(pools())
    return draw(st.integers(1, highest_spoke_id(*pool))), pool


@pytest.mark.parametrize(("spoke_id", "block"), [(1, "10.11.1.0/24"), (42, "10.11.42.0/24"), (255, "10.11.255.0/24")])
def test_the_id_is_the_third_octet(spoke_id: int, block: str) -> None:
    assert calculate_spoke_address_space(spoke_id) == block
    assert spoke_id_of_block(block) == spoke_id


@pytest.mark.parametrize("spoke_id", [0, 256, -1, 10**40, True, 1.0, "1", None])
def test_an_id_outside_the_range_is_refused(spoke_id: Any) -> None:
    with pytest.raises(ValidationException) as refused:
        calculate_spoke_address_space(spoke_id)
    assert refused.value.failure.details["field"] == "spoke_id"
    assert "1 to 255" in refused.value.failure.message


def test_a_block_is_cut_into_web_app_db_and_management() -> None:
    assert calculate_subnet_ranges("10.11.1.0/24") == [
        "10.11.1.0/26",
        "10.11.1.64/26",
        "10.11.1.128/26",
        "10.11.1.192/26",
    ]


@pytest.mark.parametrize("cidr", ["", "10.11.1.0", "10.11.1.1/24", "10.11.1.0/28", "fd00::/64", "ten/24", None, 5])
def test_what_is_no_block_is_not_cut(cidr: Any) -> None:
    with pytest.raises(ValidationException):
        calculate_subnet_ranges(cidr)


@pytest.mark.parametrize(
    "prefix",
    [
        "10.11.0.0/24",
        "10.11.1.0/25",
        "10.11.1.0/23",
        "10.12.1.0/24",
        "10.11.1.7/24",
        "10.11.1.0",
        "10.11.01.0/24",
        "10.11.1.0/255.255.255.0",
        "",
        "10.11.1.0/24 ",
        "١٠.11.1.0/24",
    ],
)
def test_only_exactly_one_block_of_the_pool_will_do(prefix: str) -> None:
    with pytest.raises(ValidationException) as refused:
        spoke_id_of_block(prefix)
    assert refused.value.failure.details == {"field": "address_prefix", "value": prefix}


@given(st.text())
def test_any_text_is_a_block_or_is_refused(prefix: str) -> None:
    try:
        number = spoke_id_of_block(prefix)
    except ValidationException:
        return
    assert calculate_spoke_address_space(number) == prefix


@given(spokes())
def test_a_block_and_its_id_name_each_other(spoke: tuple[int, Pool]) -> None:
    spoke_id, pool = spoke
    block = IPv4Network(calculate_spoke_address_space(spoke_id, *pool))
    assert block.subnet_of(pool[0])
    assert block.prefixlen == pool[1]
    assert spoke_id_of_block(str(block), *pool) == spoke_id


@given(pools())
def test_blocks_do_not_overlap_and_the_pool_ends_with_the_last(pool: Pool) -> None:
    highest = highest_spoke_id(*pool)
    ids = sorted({1, 2, highest // 2 or 1, highest - 1 or 1, highest} & set(range(1, highest + 1)))
    blocks = [IPv4Network(calculate_spoke_address_space(number, *pool)) for number in ids]
    assert not any(one.overlaps(other) for one, other in pairwise(blocks))
    assert blocks[-1].broadcast_address == pool[0].broadcast_address
    with pytest.raises(ValidationException):
        calculate_spoke_address_space(highest + 1, *pool)


@given(spokes())
def test_the_four_subnets_fill_the_block_exactly(spoke: tuple[int, Pool]) -> None:
    block = IPv4Network(calculate_spoke_address_space(spoke[0], *spoke[1]))
    subnets = [IPv4Network(subnet) for subnet in calculate_subnet_ranges(str(block))]
    assert len(subnets) == 4
    assert sum(subnet.num_addresses for subnet in subnets) == block.num_addresses
    assert subnets == sorted(subnets)
    assert subnets[0].network_address == block.network_address
    assert all(subnet.subnet_of(block) for subnet in subnets)
