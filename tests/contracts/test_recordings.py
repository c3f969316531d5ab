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

from tests.contracts.azure import RG, ROOT, Azure

RECORDINGS = ROOT.parent / "shared" / "recordings" / "ground_truth.jsonl.gz"
ALWAYS = 0.8
OLDEST = "2021"
_ANSWERS = {
    "group": r"/resourcegroups/[^/?]*(\?|$)",
    "network operation": r"Microsoft\.Network/locations/[^/]*/operations/",
    "network result": r"Microsoft\.Network/locations/[^/]*/operationResults/",
    "group result": r"/subscriptions/[^/]*/operationresults/",
    "compute operation": r"Microsoft\.Compute/locations/[^/]*/operations/",
    "disk operation": r"/DiskOperations/",
    "health": r"/backendhealth",
}
# sent or not by the recorder's client or by the stand-in's choice, and no part of what ARM promises
_NOT_PROMISED = {"content-type", "retry-after", "azure-asyncnotification"}
_FEWEST = 3
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


def _kind(address: str) -> str | None:
    """What an address means, of a recording or of the journal: its query may be left out."""
    for kind, pattern in (_ANSWERS | _PATTERNS).items():
        if re.search(pattern, address if "?" in address else f"{address}?", re.IGNORECASE):
            return kind
    return None


Answer = tuple[str, str, int]


@pytest.fixture(scope="module")
def headers() -> dict[Answer, set[str]]:
    """By kind, method and status, the headers that nearly all recorded answers have."""
    seen: dict[Answer, Counter[str]] = {}
    answers: Counter[Answer] = Counter()
    with gzip.open(RECORDINGS, "rt", encoding="utf-8") as lines:
        for record in map(json.loads, lines):
            version, kind = re.search(r"api-version=(\d{4})", record["uri"]), _kind(record["uri"])
            if record["status"] >= 400 or version is None or version[1] < OLDEST or kind is None:
                continue
            answer = (kind, record["method"], record["status"])
            answers[answer] += 1
            seen.setdefault(answer, Counter()).update(name.lower() for name in record["headers"])
    return {
        answer: {name for name, n in names.items() if n >= ALWAYS * answers[answer]} - _NOT_PROMISED
        for answer, names in seen.items()
        if answers[answer] >= _FEWEST
    }


def test_the_headers_that_azure_always_sends_are_sent(azure: Azure, headers: dict[Answer, set[str]]) -> None:
    vm = azure.vm_with_network()
    hub, spoke = azure.id("virtualNetworks", "hub-vnet"), azure.id("virtualNetworks", "v1")
    for _ in ("new", "again"):
        azure.peer("hub-vnet", "p", spoke)
        azure.nic("n2", f"{spoke}/subnets/web")
        azure.vm("vm1", vm.network_profile.network_interfaces[0].id)
        azure.send("PUT", f"{spoke}/subnets/s2", {"properties": {"addressPrefix": "10.11.1.64/26"}})
        azure.advance(4)
        azure.send("PUT", spoke, azure.send("GET", spoke).json())
        azure.advance(4)
        azure.resources.resource_groups.create_or_update("other", {"location": "eastus"})
    azure.compute.virtual_machines.begin_update(RG, "vm1", {"tags": {}}, polling=azure.done).result()
    gateway = azure.id("applicationGateways", "hub-agw")
    azure.send("PUT", gateway, azure.send("GET", gateway).json())
    azure.advance(40)
    asked = azure.send("POST", f"{gateway}/backendhealth")
    for _ in ("running", "done"):
        azure.send("GET", asked.headers["Location"])
        azure.advance(10)
    empty = {"location": "eastus", "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 4}}
    azure.compute.disks.begin_create_or_update(RG, "d1", empty, polling=azure.done).result()
    azure.send("GET", azure.id("virtualNetworks/virtualNetworkPeerings", "hub-vnet", "p"))
    azure.network.virtual_network_peerings.begin_delete(RG, "hub-vnet", "p", polling=azure.done).result()
    for path in (
        vm.id,
        azure.id("networkInterfaces", "n2"),
        f"{spoke}/subnets/s2",
        azure.id("disks", "d1"),
        gateway,
        azure.id("networkInterfaces", "vm1-nic"),
        spoke,
    ):
        azure.send("GET", path)
        answer = azure.send("DELETE", path)
        azure.advance(60)
        azure.send("GET", answer.headers["Location"])
    azure.send("GET", hub)
    azure.resources.resource_groups.check_existence("other")
    azure.resources.resource_groups.get("other")
    azure.resources.resource_groups.begin_delete("other", polling=azure.done).result()
    missing: set[Any] = set()
    judged: set[Any] = set()
    for entry in azure.journal():
        kind = _kind(entry["path"])
        seen = (str(kind), entry["method"], entry["status"])
        sent = {name.lower() for name in entry["headers"]}
        judged |= {seen} & set(headers)
        missing |= {(*seen, name) for name in headers.get(seen, set()) - sent}
    assert not missing
    assert len(judged) > 25, sorted(set(headers) - judged)


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
