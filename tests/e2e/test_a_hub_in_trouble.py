"""One of two hubs is in trouble, the first of the list: what is asked for in the other one is done, and answers in time say
which hub it is. When it is over, what was asked for there goes on."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from local.recipes import ROOT
from tests.e2e.client import Api, Document, request_for
from tests.e2e.conftest import StartStack

HUBS = ROOT / "samples" / "two-hubs.json"
SICK, WELL = "eastus", "westeurope"
OF_SICK = "^/subscriptions/5ca1ab1e-0000-4000-8000-0000000000a1"
# Each plan asks for ten things at once: more than a hub has threads.
PLANS = 12


@pytest.fixture(scope="module")
def api(start_stack: StartStack) -> Iterator[Api]:
    # Every probe asks anew; a plan waits as long as its hub's trouble lasts.
    settings = {"HEALTH_FRESH_SECONDS": "0", "ARM_LOOK_SECONDS": "120"}
    with start_stack(hubs=HUBS, settings=settings) as stack, Api(stack) as api:
        api.deployed(request_for(None, "first", hub=SICK))  # new records are compared with Azure
        api.deployed(request_for(None, "far", hub=WELL))
        yield api


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
    assert {"first", "far"} <= {each["client_name"] for each in spokes.result().json()["spokes"]}
