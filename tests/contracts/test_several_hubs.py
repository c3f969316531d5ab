"""Several hubs, gateways, subscriptions and regions in one stand-in, as `--hubs` describes them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.azure import hub
from tests.contracts.azure import KEY, ROOT, Azure, running

SAMPLE = ROOT / "samples" / "two-hubs.json"
FIRST, HUBS, SPOKES = (f"5ca1ab1e-0000-4000-8000-0000000000{last}" for last in ("a1", "a2", "a3"))
UNKNOWN = "5ca1ab1e-0000-4000-8000-0000000000ff"
SPACE = {"addressSpace": {"addressPrefixes": ["10.12.1.0/24"]}}


@pytest.fixture(scope="module")
def sample_stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azure]:
    state = tmp_path_factory.mktemp("azure") / "state"
    with running(state, "--port", "0", "--time-scale", "0", "--hubs", str(SAMPLE)) as azure:
        yield azure


@pytest.fixture
def azure(sample_stand_in: Azure) -> Azure:
    sample_stand_in.local("POST", "reset")
    return sample_stand_in


def network(subscription: str, group: str, *path: str) -> str:
    return f"/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network/{'/'.join(path)}"


FIRST_HUB = network(FIRST, "hub-rg", "virtualNetworks", "hub-vnet")
SECOND_HUB = network(HUBS, "hub-westeurope-rg", "virtualNetworks", "hub-westeurope-vnet")
SPOKE = network(SPOKES, "spokes-westeurope-rg", "virtualNetworks", "spoke-vnet-1001")


def put(azure: Azure, path: str, **body: Any) -> httpx.Response:
    answer = azure.send("PUT", path, body)
    azure.advance(100)
    return answer


def spoke(azure: Azure) -> str:
    subnets = [{"name": "web", "properties": {"addressPrefix": "10.12.1.0/26"}}]
    assert put(azure, SPOKE, location="westeurope", properties=SPACE | {"subnets": subnets}).status_code == 201
    return SPOKE


def peer(azure: Azure, vnet: str, remote: str) -> httpx.Response:
    return put(azure, f"{vnet}/virtualNetworkPeerings/p", properties={"remoteVirtualNetwork": {"id": remote}})


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, str(answer.json()["error"]["code"])


def test_each_hub_of_the_file_is_there_with_its_gateways_and_the_group_of_its_spokes(azure: Azure) -> None:
    there = {each["id"] for each in azure.local("GET", "resources")}
    assert {FIRST_HUB, SECOND_HUB, SPOKE.split("/providers")[0]} <= there
    gateways = [azure.send("GET", each) for each in there if "/applicationGateways/" in each]
    shared: dict[str, int] = {}
    for answer in gateways:
        inner = answer.json()["properties"]
        assert inner["operationalState"] == "Running"
        subnet = inner["gatewayIPConfigurations"][0]["properties"]["subnet"]["id"]
        shared[subnet] = shared.get(subnet, 0) + 1
    assert shared == {f"{FIRST_HUB}/subnets/agw-subnet": 2, f"{SECOND_HUB}/subnets/agw-subnet": 1}
    assert azure.send("GET", SECOND_HUB).json()["location"] == "westeurope"
    spaces = [azure.send("GET", each).json()["properties"]["addressSpace"] for each in (FIRST_HUB, SECOND_HUB)]
    assert spaces[0] != spaces[1]


def test_lists_show_their_own_subscription_only(azure: Azure) -> None:
    spoke(azure)

    def names(path: str, subscription: str) -> list[str]:
        answer = azure.send("GET", f"/subscriptions/{subscription}/{path}")
        return [each["name"] for each in answer.json()["value"]]

    vnets = "providers/Microsoft.Network/virtualNetworks"
    assert [names(vnets, each) for each in (FIRST, HUBS, SPOKES)] == [
        ["hub-vnet"],
        ["hub-westeurope-vnet"],
        ["spoke-vnet-1001"],
    ]
    assert names("resourceGroups", SPOKES) == ["spokes-westeurope-rg"]
    assert names("resources", SPOKES) == ["spoke-vnet-1001"]
    listed = azure.send("GET", "/subscriptions").json()["value"]
    assert [each["subscriptionId"] for each in listed] == [FIRST, HUBS, SPOKES]
    assert azure.send("GET", f"/subscriptions/{HUBS.upper()}").json()["subscriptionId"] == HUBS


def test_groups_of_one_name_in_two_subscriptions_are_two_groups(azure: Azure) -> None:
    here, there = (f"/subscriptions/{each}/resourceGroups/hub-rg" for each in (FIRST, SPOKES))
    assert code(azure.send("GET", there)) == (404, "ResourceGroupNotFound")
    assert put(azure, there, location="westeurope").status_code == 201
    nsg = network(SPOKES, "hub-rg", "networkSecurityGroups", "n")
    assert put(azure, nsg, location="westeurope", properties={}).json()["id"] == nsg
    assert azure.send("DELETE", there).status_code == 202
    azure.advance(100)
    assert code(azure.send("GET", nsg)) == (404, "ResourceGroupNotFound")
    assert azure.send("GET", here).status_code == azure.send("GET", FIRST_HUB).status_code == 200


def test_an_operation_is_followed_in_the_subscription_it_runs_in(azure: Azure) -> None:
    answer = azure.send("PUT", SPOKE, {"location": "westeurope", "properties": SPACE})
    url = answer.headers["Azure-AsyncOperation"]
    assert f"/subscriptions/{SPOKES}/providers/Microsoft.Network/locations/westeurope/operations/" in url
    azure.advance(100)
    assert azure.send("GET", url).json() == {"status": "Succeeded"}
    assert azure.send("GET", url.replace(SPOKES, HUBS)).status_code == 404


def test_peerings_cross_subscriptions_and_regions(azure: Azure) -> None:
    spoke(azure)
    for vnet, remote in ((SECOND_HUB, SPOKE), (SPOKE, SECOND_HUB)):
        assert peer(azure, vnet, remote).status_code == 201
    shown = azure.send("GET", f"{SECOND_HUB}/virtualNetworkPeerings/p").json()["properties"]
    assert (shown["peeringState"], shown["remoteVirtualNetwork"]) == ("Connected", {"id": SPOKE})
    far = network(FIRST, "hub-rg", "virtualNetworks", "far")
    space = {"addressSpace": {"addressPrefixes": ["10.11.1.0/24"]}}
    assert put(azure, far, location="eastus", properties=space).status_code == 201
    assert put(
        azure, f"{far}/virtualNetworkPeerings/q", properties={"remoteVirtualNetwork": {"id": SECOND_HUB}}
    ).is_success


def test_a_peering_needs_rights_in_the_other_subscription(azure: Azure) -> None:
    spoke(azure)
    azure.local("POST", "subscriptions", {"denied": [HUBS]})
    refused = peer(azure, SPOKE, SECOND_HUB)
    assert code(refused) == (403, "LinkedAuthorizationFailed")
    message = refused.json()["error"]["message"]
    assert "'Microsoft.Network/virtualNetworks/peer/action' on the linked scope(s) '" + SECOND_HUB in message
    whole = SPACE | {
        "virtualNetworkPeerings": [{"name": "p", "properties": {"remoteVirtualNetwork": {"id": SECOND_HUB}}}]
    }
    assert code(put(azure, SPOKE, location="westeurope", properties=whole)) == (403, "LinkedAuthorizationFailed")
    gone = peer(azure, SPOKE, SECOND_HUB.replace(HUBS, UNKNOWN))
    assert code(gone) == (403, "LinkedAuthorizationFailed")
    assert f"however the linked subscription '{UNKNOWN}' was not found" in gone.json()["error"]["message"]
    azure.local("POST", "subscriptions", {"denied": []})
    assert peer(azure, SPOKE, SECOND_HUB).status_code == 201


def test_a_subscription_that_may_not_be_read_is_403_and_in_no_list(azure: Azure) -> None:
    azure.local("POST", "subscriptions", {"denied": [HUBS]})
    for method, path in (("GET", SECOND_HUB), ("GET", f"/subscriptions/{HUBS}/resourceGroups"), ("DELETE", SECOND_HUB)):
        assert code(azure.send(method, path)) == (403, "AuthorizationFailed")
    assert "perform action 'Microsoft.Network/virtualNetworks/read' over scope" in azure.send("GET", SECOND_HUB).text
    listed = azure.send("GET", "/subscriptions").json()["value"]
    assert [each["subscriptionId"] for each in listed] == [FIRST, SPOKES]
    assert azure.send("GET", FIRST_HUB).status_code == 200
    assert code(azure.send("GET", SECOND_HUB.replace(HUBS, UNKNOWN))) == (404, "SubscriptionNotFound")


def test_what_a_vm_stands_on_is_in_its_own_subscription_and_region(azure: Azure) -> None:
    subnet = {"subnet": {"id": f"{spoke(azure)}/subnets/web"}}
    inner = {"ipConfigurations": [{"name": "one", "properties": subnet}]}
    nic = network(HUBS, "hub-westeurope-rg", "networkInterfaces", "n")
    assert code(put(azure, nic, location="westeurope", properties=inner)) == (400, "InvalidResourceReference")
    near = network(SPOKES, "spokes-westeurope-rg", "networkInterfaces", "n")
    assert code(put(azure, near, location="eastus", properties=inner)) == (400, "InvalidResourceReference")
    assert put(azure, near, location="westeurope", properties=inner).status_code == 201
    vm = near.replace("Microsoft.Network/networkInterfaces", "Microsoft.Compute/virtualMachines")
    body = azure.vm_body("n", near, location="westeurope")
    assert code(put(azure, vm.replace(SPOKES, HUBS).replace("spokes-", "hub-"), **body)) == (
        400,
        "InvalidResourceReference",
    )
    made = put(azure, vm, **body).json()
    assert KEY in json.dumps(made)
    disk = made["properties"]["storageProfile"]["osDisk"]["managedDisk"]["id"]
    assert disk.startswith(f"/subscriptions/{SPOKES}/resourceGroups/SPOKES-WESTEUROPE-RG/")
    assert azure.send("GET", disk).json()["properties"]["diskState"] == "Attached"


def test_quotas_are_counted_for_each_subscription_and_region(azure: Azure) -> None:
    azure.local(
        "POST", "quota", {"subscription_id": SPOKES, "location": "westeurope", "quotas": {"VirtualNetworks": 1}}
    )
    spoke(azure)

    def line(subscription: str, location: str) -> tuple[int, int]:
        path = f"/subscriptions/{subscription}/providers/Microsoft.Network/locations/{location}/usages"
        found = azure.send("GET", path).json()["value"]
        return next(
            (each["currentValue"], each["limit"]) for each in found if each["name"]["value"] == "VirtualNetworks"
        )

    assert line(SPOKES, "westeurope") == (1, 1)
    assert line(HUBS, "westeurope") == (1, 1000)
    assert line(SPOKES, "eastus") == (0, 1000)
    second = SPOKE.replace("1001", "1002")
    assert code(put(azure, second, location="westeurope", properties=SPACE)) == (400, "VnetCountLimitReached")
    assert put(azure, second, location="northeurope", properties=SPACE).status_code == 201


def test_sizes_and_their_restrictions_are_those_of_a_region_and_a_subscription(azure: Azure) -> None:
    barred = {"size": "Standard_B1s", "location": "westeurope", "subscription_id": SPOKES}
    azure.local("POST", "quota", {"restrictions": [barred]})

    def sku(subscription: str, location: str, size: str) -> dict[str, Any] | None:
        path = f"/subscriptions/{subscription}/providers/Microsoft.Compute/skus"
        answer = azure.send("GET", path, version="2021-07-01", query={"$filter": f"location eq '{location}'"})
        return next((each for each in answer.json()["value"] if each["name"] == size), None)

    reasons = [(sku(each, "westeurope", "Standard_B1s") or {})["restrictions"] for each in (SPOKES, HUBS)]
    assert [len(each) for each in reasons] == [1, 0]
    assert sku(HUBS, "westus3", "Standard_DC2as_v5") is None
    assert sku(HUBS, "westeurope", "Standard_DC2as_v5") is not None


def test_each_subscription_has_throttling_buckets_of_its_own(tmp_path: Path) -> None:
    with running(tmp_path / "state", "--time-scale", "1", "--hubs", str(SAMPLE)) as azure:
        azure.local("POST", "limits", {"buckets": {"reads": [1, 0.001]}})
        assert azure.send("GET", SECOND_HUB).status_code == 200
        refused = azure.send("GET", SECOND_HUB)
        assert code(refused) == (429, "SubscriptionRequestsThrottled")
        assert f"for subscription '{HUBS}' actor" in refused.text
        assert azure.send("GET", FIRST_HUB).status_code == 200


def test_a_route_is_asked_for_by_the_name_or_the_id_of_any_gateway(azure: Azure) -> None:
    second = network(HUBS, "hub-westeurope-rg", "applicationGateways", "hub-westeurope-agw")
    for gateway in ("hub-westeurope-agw", second, "hub-agw-2", "hub-agw"):
        reached = azure.local("GET", "route", gateway=gateway, host="x.example.com", port=80)
        assert reached["rule"] == "defaultRoutingRule"
    twin = azure.send("GET", second).json() | {"id": second.replace(HUBS, SPOKES)}
    azure.plant(twin)
    asked: dict[str, str | int] = {"gateway": "hub-westeurope-agw", "host": "x", "port": 80}
    assert azure.http.get("/_local/route", params=asked).status_code == 400
    assert azure.http.get("/_local/route", params=asked | {"gateway": "none"}).status_code == 404


def test_a_hub_that_is_new_in_the_file_is_added_to_a_state_and_what_was_removed_stays_away(tmp_path: Path) -> None:
    with running(tmp_path / "state", "--time-scale", "0") as azure:
        gateway = azure.id("applicationGateways", "hub-agw")
        assert azure.send("DELETE", gateway).status_code == 202
        azure.advance(100)
    with running(tmp_path / "state", "--time-scale", "0", "--hubs", str(SAMPLE)) as azure:
        names = azure.names()
        assert {"hub-vnet", "hub-agw-2", "hub-westeurope-vnet", "hub-westeurope-agw"} <= set(names)
        assert names.count("hub-vnet") == 1
        assert "hub-agw" not in names


def test_each_gateway_may_have_a_limit_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "hubs.json"
    file.write_text(json.dumps([{"gateways": [{"name": "hub-agw"}, {"name": "small", "limit": 1}]}]))
    with running(tmp_path / "state", "--gateway-limit", "2", "--hubs", str(file)) as azure:
        for name, most in (("small", 1), ("hub-agw", 2)):
            document = azure.send("GET", azure.id("applicationGateways", name)).json()
            pools = document["properties"]["backendAddressPools"]
            pools += [{"name": f"more-{number}", "properties": {}} for number in range(most)]
            answer = azure.send("PUT", document["id"], document)
            assert f"Number found: {most + 1}, maximum allowed: {most}" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{}", "no list of objects"),
        ("[]", "has 0 hubs"),
        ("[{}, {}]", "twice"),
        ('[{"location": "moon"}]', "no region moon"),
        ('[{"gateways": [{"limit": 0}]}]', "whole number"),
        ("[", "Expecting value"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_clearly(tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "hubs.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=words):
        hub.read(file)


def test_a_start_with_a_file_that_makes_no_sense_ends_with_the_reason(tmp_path: Path) -> None:
    file = tmp_path / "hubs.json"
    file.write_text("[]")
    command = [sys.executable, "-m", "local.azure", "--state", str(tmp_path / "state"), "--hubs", str(file)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "has 0 hubs" in ended.stderr
