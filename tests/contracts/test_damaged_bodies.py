"""Bodies that were right and have been damaged: ARM's refusals, never a failure of the server."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contracts.azure import PLACE, Azure

# How many bodies of a kind are damaged; the first of the longer row are those of the shorter one.
ROUNDS = [20, pytest.param(60, marks=pytest.mark.full)]
JUNK: tuple[Any, ...] = (
    None,
    5,
    -1,
    3.5,
    True,
    "",
    "x",
    [],
    {},
    [None],
    ["x"],
    {"id": "x"},
    {"id": None},
    [{"name": "a"}],
    "a" * 200,
)
KINDS = (
    "virtualNetworks",
    "networkSecurityGroups",
    "networkInterfaces",
    "applicationGateways",
    "virtualMachines",
    "disks",
    "virtualNetworks/virtualNetworkPeerings",
    "virtualNetworks/subnets",
)


def _places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to everything in a document."""
    if at:
        yield at
    for name, inner in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield from _places(inner, (*at, name))


def _damaged(body: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    body = copy.deepcopy(body)
    *way, last = chance.choice(list(_places(body)))
    inside: Any = body
    for each in way:
        inside = inside[each]
    if chance.random() < 0.3:
        del inside[last]
    else:
        inside[last] = copy.deepcopy(chance.choice(JUNK))
    return body


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rounds", ROUNDS)
def test_a_damaged_body_is_taken_or_refused_but_never_fails(azure: Azure, kind: str, rounds: int) -> None:
    azure.begin_with("a VM", azure.vm_with_network)
    names = {
        "virtualNetworks": ("v1",),
        "networkInterfaces": ("vm1-nic",),
        "applicationGateways": ("hub-agw",),
        "virtualMachines": ("vm1",),
        "virtualNetworks/virtualNetworkPeerings": ("hub-vnet", "p"),
        "virtualNetworks/subnets": ("v1", "web"),
    }.get(kind, ("x1",))
    path = azure.id(kind, *names)
    body: Any = (
        azure.send("GET", path).json()
        if len(names) == 1 and names != ("x1",)
        else {"location": PLACE, "properties": {}}
    )
    if kind == "virtualMachines":
        body = azure.vm_body("vm1", azure.id("networkInterfaces", "vm1-nic"))
    body["properties"] |= {
        "networkSecurityGroups": {
            "securityRules": [{"name": "r", "properties": {"priority": 100, "direction": "Inbound"}}]
        },
        "disks": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 4},
        "virtualNetworks/virtualNetworkPeerings": {"remoteVirtualNetwork": {"id": azure.id("virtualNetworks", "v1")}},
        "virtualNetworks/subnets": {"addressPrefix": "10.11.1.0/26", "delegations": [{"name": "d", "properties": {}}]},
    }.get(kind, {})
    chance = random.Random(kind)
    for _ in range(rounds):
        damaged = _damaged(body, chance)
        answer = azure.send("PUT", path, damaged)
        assert answer.status_code < 500, (damaged, answer.text)
        azure.advance(60)
        assert azure.send("GET", path).status_code in (200, 404)
