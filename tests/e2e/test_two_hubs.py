"""Two hubs with three gateways in three subscriptions, as `make run HUBS=samples/two-hubs.json` starts them."""

from collections.abc import Iterator
from typing import Any

import pytest

from local.recipes import ROOT
from tests.e2e.client import GONE, Api, Document, request_for
from tests.e2e.conftest import StartStack

HUBS = ROOT / "samples" / "two-hubs.json"
FIRST, FAR, SPOKES = (f"/subscriptions/5ca1ab1e-0000-4000-8000-0000000000{last}" for last in ("a1", "a2", "a3"))
AT_ONCE = 6


@pytest.fixture(scope="module")
def api(start_stack: StartStack) -> Iterator[Api]:
    with start_stack(hubs=HUBS) as stack, Api(stack) as api:
        yield api


@pytest.fixture(scope="module")
def spokes(api: Api) -> dict[str, Document]:
    """Six clients without an id or gateway on the first hub, three on the second, one asked for after the other and built
    side by side."""
    requests = [request_for(None, f"near-{number}") for number in range(AT_ONCE)]
    requests += [request_for(None, f"far-{number}", hub="westeurope") for number in range(AT_ONCE // 2)]
    ids = [api.accepted(request)["spoke_id"] for request in requests]
    return {spoke["client_name"]: spoke for spoke in (api.wait_until(each, "completed", seconds=300) for each in ids)}


def test_ids_addresses_and_hosts_name_the_hub(spokes: dict[str, Document]) -> None:
    near = [spoke for name, spoke in spokes.items() if name.startswith("near")]
    far = [spoke for name, spoke in spokes.items() if name.startswith("far")]
    assert {spoke["hub"] for spoke in near} == {"eastus"}
    assert {spoke["hub"] for spoke in far} == {"westeurope"}
    assert sorted(spoke["spoke_id"] for spoke in near) == list(range(1, AT_ONCE + 1))
    assert sorted(spoke["spoke_id"] for spoke in far) == [1001, 1002, 1003]
    for spoke in far:
        assert spoke["vnet"]["address_space"] == f"10.12.{spoke['spoke_id'] - 1000}.0/24"
        assert spoke["agw"]["host_name"] == f"{spoke['client_name']}.spokes.example.eu"


def test_new_sites_go_to_the_gateway_with_the_most_free_places(spokes: dict[str, Document]) -> None:
    served = [spoke["agw"]["gateway"] for name, spoke in spokes.items() if name.startswith("near")]
    assert sorted(served) == ["hub-agw"] * (AT_ONCE // 2) + ["hub-agw-2"] * (AT_ONCE // 2)


def test_each_host_reaches_its_own_vm_through_its_own_gateway(api: Api, spokes: dict[str, Document]) -> None:
    for spoke in spokes.values():
        for gateway in ("hub-agw", "hub-agw-2", "hub-westeurope-agw"):
            reached = api.route(spoke["agw"]["host_name"], gateway=gateway).json().get("addresses")
            expected = [spoke["vm"]["private_ip"]] if gateway == spoke["agw"]["gateway"] else []
            assert reached == expected, (gateway, spoke["agw"])


def test_everything_is_made_in_the_subscription_group_and_region_of_its_hub(
    api: Api, spokes: dict[str, Document]
) -> None:
    resources: list[Document] = api.arm_resources()
    for name, spoke in spokes.items():
        own = [each for each in resources if (each.get("tags") or {}).get("client_name") == name]
        assert len(own) == 5, name
        group, place = f"{SPOKES}/resourceGroups/spokes-westeurope-rg/", "westeurope"
        if name.startswith("near"):
            group, place = f"{FIRST}/resourceGroups/hub-rg/", "eastus"
        assert {each["id"].lower().startswith(group.lower()) for each in own} == {True}
        assert {each["location"] for each in own} == {place}
        assert spoke["vnet"]["peering_status"] == "Connected"


def test_the_security_group_lets_in_the_subnet_of_the_gateway_that_serves(
    api: Api, spokes: dict[str, Document]
) -> None:
    for name, prefix in (("near-0", "10.0.2.0/24"), ("far-0", "172.16.2.0/24")):
        number = spokes[name]["spoke_id"]
        nsg = next(each for each in api.arm_resources() if each["name"] == f"spoke-nsg-{number}")
        rules = {each["name"]: each["properties"] for each in nsg["properties"]["securityRules"]}
        let_in = rules["AllowGatewayToWeb"]
        assert [let_in.get("sourceAddressPrefix"), *(let_in.get("sourceAddressPrefixes") or [])][-1] == prefix


def test_each_gateway_and_each_hub_has_a_writer_of_its_own(api: Api, spokes: dict[str, Document]) -> None:
    for gateway in ("hub-agw", "hub-agw-2", "hub-westeurope-agw"):
        puts = [each for each in api.arm_journal("PUT") if each["path"].lower().endswith(f"gateways/{gateway}")]
        assert 1 <= len(puts) <= 4, gateway
    dependencies = api.http.get("/health").json()["dependencies"]
    sentences = {name: found["message"] for name, found in dependencies.items() if name.startswith("writers")}
    assert "gateway-eastus-hub-agw-2 " in sentences["writers eastus/hub-agw-2"]
    assert "hub-westeurope writes the hub" in sentences["writers westeurope/hub-westeurope-agw"]
    assert {found["status"] for found in dependencies.values()} == {"ok"}
    assert {"hub eastus", "hub westeurope", "gateway westeurope/hub-westeurope-agw"} <= dependencies.keys()


def test_lists_capacity_and_plan_speak_for_each_hub_and_gateway(api: Api, spokes: dict[str, Document]) -> None:
    assert api.spokes()["total"] == len(spokes)
    far = api.spokes(hub="westeurope")
    assert [each["spoke_id"] for each in far["spokes"]] == [1001, 1002, 1003]
    assert api.spokes(hub="eastus", gateway="hub-agw-2")["total"] == AT_ONCE // 2
    page = api.spokes(hub="eastus", limit="4")
    assert len(page["spokes"]) == 4
    rest = api.spokes(hub="eastus", limit="4", continuation=page["continuation"])
    assert [each["spoke_id"] for each in page["spokes"] + rest["spokes"]] == list(range(1, AT_ONCE + 1))

    capacity = api.http.get("/capacity").json()
    hubs = {hub["name"]: hub for hub in capacity["hubs"]}
    assert hubs["westeurope"]["address_blocks"] == {"used": 3, "limit": 255, "free": 252}
    assert hubs["eastus"]["peerings"]["used"] == AT_ONCE
    assert [(each["name"], each["gateway_places"]["used"]) for each in hubs["eastus"]["gateways"]] == [
        ("hub-agw", AT_ONCE // 2),
        ("hub-agw-2", AT_ONCE // 2),
    ]
    planned = api.post_spoke(request_for(None, "planned", location="westeurope"), mode="plan").json()
    assert (planned["plan"]["hub"], planned["plan"]["gateway"]) == ("westeurope", "hub-westeurope-agw")
    assert planned["would_succeed"], planned["checks"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"hub": "moon"}, "hub"),
        ({"gateway": "none"}, "gateway"),
        ({"hub": "eastus", "gateway": "hub-westeurope-agw"}, "gateway"),
        ({"hub": "eastus", "spoke_id": 1050}, "spoke_id"),
        ({"spoke_id": 50, "address_prefix": "10.12.50.0/24"}, "address_prefix"),
        ({"spoke_id": 700}, "spoke_id"),
        ({"host_name": "x.spokes.example.eu"}, "host_name"),
        ({"gateway": "hub-agw-2", "host_name": "x.spokes.example.com"}, "host_name"),
    ],
)
def test_contradictions_are_refused(api: Api, changes: dict[str, Any], field: str) -> None:
    answer = api.post_spoke(request_for(**{"client_name": "nobody", **changes}))
    assert (answer.status_code, answer.json()["details"]["field"]) == (400, field), answer.text


def test_a_key_is_one_key_in_the_whole_installation(api: Api) -> None:
    near = request_for(None, "keyed", vm_size="Standard_B9s")
    first = api.accepted(near, idempotency_key="one key")
    assert api.accepted(near, idempotency_key="one key")["deployment_id"] == first["deployment_id"]
    other = api.post_spoke(near | {"hub": "westeurope"}, idempotency_key="one key")
    assert (other.status_code, other.json()["details"]["code"]) == (422, "IdempotencyKeyReused")
    api.wait_until(first["spoke_id"], "failed")
    assert api.deployment(first["deployment_id"])["status"] == "failed"


def test_a_delete_leaves_nothing_in_any_subscription(api: Api, spokes: dict[str, Document]) -> None:
    for name in ("near-0", "far-0"):
        api.deleted(spokes[name]["spoke_id"])
        left = [each["id"] for each in api.arm_resources() if (each.get("tags") or {}).get("client_name") == name]
        assert left == []
        assert api.status_of(spokes[name]["spoke_id"]) == GONE
        host, gateway = spokes[name]["agw"]["host_name"], spokes[name]["agw"]["gateway"]
        assert not api.route(host, gateway=gateway).json().get("addresses")
