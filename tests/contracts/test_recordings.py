"""What real ARM answers always showed, in public recordings, the stand-in shows too.

The recordings are data beside the checkout (`../shared/recordings` from its root) and no part of it.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from typing import Any

import pytest

from tests.contracts.azure import ROOT, Azure

RECORDINGS = ROOT.parent / "shared" / "recordings" / "ground_truth.jsonl.gz"
ALWAYS = 0.8
OLDEST = "2021"
_PATTERNS = {
    "vnet": r"/virtualNetworks/[^/?]*\?",
    "subnet": r"/virtualNetworks/[^/]*/subnets/[^/?]*\?",
    "peering": r"/virtualNetworkPeerings/[^/?]*\?",
    "nic": r"/networkInterfaces/[^/?]*\?",
    "gateway": r"/applicationGateways/[^/?]*\?",
    "vm": r"/virtualMachines/[^/?]*\?",
    "disk": r"/Microsoft\.Compute/disks/[^/?]*\?",
}
# what those recordings' resources had been given, and ours not
_GIVEN = re.compile(r"tags|publicIPAddress|networkSecurityGroup|firewallPolicy|\.sku\.capacity")

pytestmark = pytest.mark.skipif(not RECORDINGS.is_file(), reason="the recordings are not beside the checkout")


def _paths(value: Any, at: str = "") -> set[str]:
    """Every property of a document, by its path."""
    found: set[str] = set()
    if isinstance(value, dict):
        for name, inner in value.items():
            found |= {f"{at}.{name}"} | _paths(inner, f"{at}.{name}")
    elif isinstance(value, list):
        for each in value:
            found |= _paths(each, f"{at}[]")
    return found


@pytest.fixture(scope="module")
def always() -> dict[str, set[str]]:
    """By kind, the properties that nearly all recorded answers have."""
    seen: dict[str, Counter[str]] = {kind: Counter() for kind in _PATTERNS}
    answers: Counter[str] = Counter()
    with gzip.open(RECORDINGS, "rt", encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            if record["method"] != "GET" or record["status"] != 200 or not isinstance(record["body"], dict):
                continue
            version = re.search(r"api-version=(\d{4})", record["uri"])
            if version is None or version[1] < OLDEST:
                continue
            for kind, pattern in _PATTERNS.items():
                if re.search(pattern, record["uri"], re.IGNORECASE):
                    answers[kind] += 1
                    seen[kind].update(_paths(record["body"]))
    return {kind: {path for path, n in seen[kind].items() if n >= ALWAYS * answers[kind]} for kind in _PATTERNS}


def test_what_azure_always_shows_is_shown(azure: Azure, always: dict[str, set[str]]) -> None:
    azure.vm_with_network()
    azure.peer("hub-vnet", "p", azure.id("virtualNetworks", "v1"))
    resources = {
        "vnet": azure.id("virtualNetworks", "v1"),
        "subnet": azure.id("virtualNetworks/subnets", "v1", "web"),
        "peering": azure.id("virtualNetworks/virtualNetworkPeerings", "hub-vnet", "p"),
        "nic": azure.id("networkInterfaces", "vm1-nic"),
        "gateway": azure.id("applicationGateways", "hub-agw"),
        "vm": azure.id("virtualMachines", "vm1"),
        "disk": azure.id("disks", "vm1-osdisk"),
    }
    missing = {
        kind: sorted(
            path for path in always[kind] - _paths(azure.send("GET", resource).json()) if not _GIVEN.search(path)
        )
        for kind, resource in resources.items()
    }
    assert not any(missing.values()), missing
    assert all(len(paths) > 5 for paths in always.values())
