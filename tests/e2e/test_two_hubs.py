"""Two hubs with three gateways in three subscriptions, as `make run HUBS=samples/two-hubs.json` starts them.

At the end one of them is in trouble, the first of the list: what is asked for in the other one is done, and answers in
time say which hub it is. When it is over, what was asked for there goes on.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from local.recipes import ROOT
from tests.e2e.client import GONE, Api, Document, request_for
from tests.e2e.conftest import StartStack

HUBS = ROOT / "samples" / "two-hubs.json"
FIRST, FAR, SPOKES = (f"/subscriptions/5ca1ab1e-0000-4000-8000-0000000000{last}" for last in ("a1", "a2", "a3"))
AT_ONCE = 2  # of each hub


@pytest.fixture(scope="module")
def api(start_stack: StartStack) -> Iterator[Api]:
    # Every probe asks anew; a plan waits as long as its hub's trouble lasts.
    settings = {"HEALTH_FRESH_SECONDS": "0", "ARM_LOOK_SECONDS": "120"}
    with start_stack(hubs=HUBS, settings=settings) as stack, Api(stack) as api:
        yield api


@pytest.fixture(scope="module")
def spokes(api: Api) -> dict[str, Document]:
    """Clients without an id or gateway on each hub, one asked for after the other and built side by side."""
    requests = [request_for(None, f"near-{number}") for number in range(AT_ONCE)]
    requests += [request_for(None, f"far-{number}", hub="westeurope") for number in range(AT_ONCE)]
    ids = [api.accepted(request)["spoke_id"] for request in requests]
    return {spoke["client_name"]: spoke for spoke in (api.wait_until(each, "completed", seconds=300) for each in ids)}


def test_ids_addresses_and_hosts_name_the_hub(spokes: dict[str, Document]) -> None:
    near = [spoke for name, spoke in spokes.items() if name.startswith("near")]
    far = [spoke for name, spoke in spokes.items() if name.startswith("far")]
    assert {spoke["hub"] for spoke in near} == {"eastus"}
    assert {spoke["hub"] for spoke in far} == {"westeurope"}
    assert sorted(spoke["spoke_id"] for spoke in near) == list(range(1, AT_ONCE + 1))
    assert sorted(spoke["spoke_id"] for spoke in far) == [1001, 1002]
    for spoke in far:
        assert spoke["vnet"]["address_space"] == f"10.12.{spoke['spoke_id'] - 1000}.0/24"
        assert spoke["agw"]["host_name"] == f"{spoke['client_name']}.spokes.example.eu"


def test_new_sites_go_to_the_gateway_with_the_most_free_places(spokes: dict[str, Document]) -> None:
    served = [spoke["agw"]["gateway"] for name, spoke in spokes.items() if name.startswith("near")]
    assert sorted(served) == ["hub-agw", "hub-agw-2"]


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
    assert [each["spoke_id"] for each in far["spokes"]] == [1001, 1002]
    assert api.spokes(hub="eastus", gateway="hub-agw-2")["total"] == 1
    page = api.spokes(hub="eastus", limit="1")
    assert len(page["spokes"]) == 1
    rest = api.spokes(hub="eastus", limit="1", continuation=page["continuation"])
    assert [each["spoke_id"] for each in page["spokes"] + rest["spokes"]] == list(range(1, AT_ONCE + 1))

    capacity = api.http.get("/capacity").json()
    hubs = {hub["name"]: hub for hub in capacity["hubs"]}
    assert hubs["westeurope"]["address_blocks"] == {"used": 2, "limit": 255, "free": 253}
    assert hubs["eastus"]["peerings"]["used"] == AT_ONCE
    assert [(each["name"], each["gateway_places"]["used"]) for each in hubs["eastus"]["gateways"]] == [
        ("hub-agw", 1),
        ("hub-agw-2", 1),
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
    names = ("near-0", "far-0")
    for name in names:
        assert api.delete(spokes[name]["spoke_id"]).status_code == 202
    for name in names:
        api.wait_until(spokes[name]["spoke_id"], GONE)
        left = [each["id"] for each in api.arm_resources() if (each.get("tags") or {}).get("client_name") == name]
        assert left == []
        host, gateway = spokes[name]["agw"]["host_name"], spokes[name]["agw"]["gateway"]
        assert not api.route(host, gateway=gateway).json().get("addresses")


# --- one of them in trouble -------------------------------------------------------------------------------------------

SICK, WELL = "eastus", "westeurope"
OF_SICK = "^/subscriptions/5ca1ab1e-0000-4000-8000-0000000000a1"
# Each plan asks for ten things at once: more than a hub has threads.
PLANS = 12


def resource_named(api: Api, name: str) -> Document:
    found: Document = next(each for each in api.arm_resources() if each["name"] == name)
    return found


@contextmanager
def put_back(api: Api, name: str) -> Iterator[Document]:
    """The hub's resource of this name, which is as it was afterwards."""
    before = resource_named(api, name)
    try:
        yield before
    finally:
        api.arm.put("/_local/resources", json=before).raise_for_status()


@contextmanager
def failed_gateway(api: Api) -> Iterator[None]:
    with put_back(api, "hub-agw") as gateway:
        broken = {**gateway, "properties": {**gateway["properties"], "provisioningState": "Failed"}}
        api.arm.put("/_local/resources", json=broken).raise_for_status()
        yield


@contextmanager
def vnet_gone(api: Api) -> Iterator[None]:
    with put_back(api, "hub-vnet") as vnet:
        api.arm.delete("/_local/resources", params={"id": vnet["id"]}).raise_for_status()
        yield


@contextmanager
def held(api: Api) -> Iterator[None]:
    """More plans wait for an answer than the hub has threads."""
    plan = request_for(None, "plan", hub=SICK)
    with ThreadPoolExecutor(PLANS) as threads:
        with api.arm_faults({"mode": "hold", "path": OF_SICK, "times": None}):
            plans = [threads.submit(api.post_spoke, plan, mode="plan") for _ in range(PLANS)]
            while len(api.arm.get("/_local/held").json()) < 2 * PLANS:
                pass
            yield
        assert {each.result().status_code for each in plans} <= {200, 503}


def refused(**fault: Any) -> Callable[[Api], AbstractContextManager[None]]:
    return lambda api: api.arm_faults({"mode": "refuse", "path": OF_SICK, "times": None, **fault})


@dataclass(frozen=True)
class Trouble:
    """begins: until its end.  found: what /health says is failing, all of it of the hub that is in trouble.  code: of the
    deployment there, which fails; of one that waits, what its step says."""

    begins: Callable[[Api], AbstractContextManager[None]]
    found: tuple[str, ...]
    code: str = ""
    waits: str = ""


ALL = (f"arm {SICK}", f"hub {SICK}", f"gateway {SICK}/hub-agw", f"gateway {SICK}/hub-agw-2")
TROUBLES = {
    "gateway failed": Trouble(failed_gateway, (f"gateway {SICK}/hub-agw",), "GatewayFailed"),
    "VNet gone": Trouble(vnet_gone, (f"hub {SICK}",), "HubNotFound"),
    "no rights": Trouble(refused(status=403), ALL, "AuthorizationFailed"),
    "tokens refused": Trouble(refused(status=401), ALL, "InvalidAuthenticationToken"),
    "throttled": Trouble(refused(status=429, retry_after=300), ALL, waits="throttled"),
    "held": Trouble(held, ALL, waits="in_progress"),
}
LONG = ("VNet gone", "no rights", "tokens refused")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.full if name in LONG else ()) for name in TROUBLES]
)
@pytest.mark.usefixtures("spokes")  # new records are compared with Azure
def test_the_other_hub_goes_on_and_the_failing_one_is_named(api: Api, name: str) -> None:
    trouble, client = TROUBLES[name], name.lower().replace(" ", "-")
    with trouble.begins(api), ThreadPoolExecutor(4) as threads:
        there = api.accepted(request_for(None, f"sick-{client}", hub=SICK, gateway="hub-agw"))["spoke_id"]
        far = api.accepted(request_for(None, f"well-{client}", hub=WELL))["spoke_id"]
        answers = [threads.submit(api.http.get, path) for path in ("/health", "/capacity", "/spokes")]
        plan = threads.submit(api.post_spoke, request_for(None, "planned", hub=WELL), mode="plan")
        api.wait_until(far, "completed")
        its_timer_repairs(api, far)
        assert_named(trouble, *answers)
        assert plan.result().json()["would_succeed"], plan.result().text
        if trouble.code:
            failed = api.wait_until(there, "failed")
            assert failed["error"]["details"]["code"] == trouble.code
            assert failed["error"]["details"]["hint"]
        else:
            assert trouble.waits in str(api.progress(there))
            assert api.status_of(there) == "in_progress"
    if trouble.code:
        assert api.retry(there).status_code == 202
    api.wait_until(there, "completed")


def its_timer_repairs(api: Api, spoke_id: int) -> None:
    """A peering that was removed by hand is made anew by a timer and a writer."""
    hub_side = f"{resource_named(api, 'hub-westeurope-vnet')['id']}/virtualNetworkPeerings/hub-to-spoke-{spoke_id}"
    api.arm.delete("/_local/resources", params={"id": hub_side}).raise_for_status()
    endpoints = api.stack.endpoints
    origin = httpx.URL(endpoints["api"]).join("/admin/functions/repair_hub")
    headers = {"x-functions-key": endpoints["master_key"]}
    assert httpx.post(origin, json={}, headers=headers, trust_env=False).status_code == 202
    while f"hub-to-spoke-{spoke_id}" not in str(resource_named(api, "hub-westeurope-vnet")):
        pass


def assert_named(
    trouble: Trouble, health: Future[httpx.Response], capacity: Future[httpx.Response], spokes: Future[httpx.Response]
) -> None:
    found = health.result().json()["dependencies"]
    failing = {name for name, each in found.items() if each["status"] != "ok"}
    assert failing >= set(trouble.found), found
    assert {name for name in failing if SICK not in name} == set(), found
    sick, well = capacity.result().json()["hubs"]
    assert (well["unknown"], well["peerings"]["limit"]) == ([], 500)
    assert sick["address_blocks"]["limit"] == 255
    unread = {f"{each['of']} {SICK}" for each in sick["unknown"]}
    assert unread >= {each for each in trouble.found if each == f"hub {SICK}"}
    assert all(each["details"]["hint"] for each in sick["unknown"])
    assert {"near-1", "far-1"} <= {each["client_name"] for each in spokes.result().json()["spokes"]}
