"""Azure takes requests for one hub's subscription and doesn't answer them: the other hub isn't held up by anything, also
where the one that hangs is the first of the list.

No clock: what must come back is asked for while the stand-in holds its answers, and is released only afterwards.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from local.processes import running
from local.recipes import functions_recipe
from shared.settings import Settings
from tests.api.calls import Body, a_request, caller, made, until
from tests.api.conftest import Host
from tests.api.test_arm_hangs import holding, until_held

OTHER = "5ca1ab1e-0000-4000-8000-0000000000a2"
HUBS = [
    {
        "name": "hangs",
        "first_spoke_id": 1001,
        "subscription_id": OTHER,
        "resource_group": "other-rg",
        "vnet": "other-vnet",
        "location": "westeurope",
        "address_pool": "10.12.0.0/16",
        "gateways": [{"name": "other-agw", "domain": "other.example.com"}],
    },
    {"name": "well", "first_spoke_id": 1, "gateways": [{"name": "hub-agw"}]},
]
# Each plan asks for ten things at once; and there are more plans than a hub has threads.
THREADS = 8
PLANS = 10


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("two-hubs") / "logs" / "functions.log"


@pytest.fixture(scope="module")
def two_hubs(host: Host, log: Path) -> Iterator[dict[str, str]]:
    """A host of this module's own, with the same tables and the same Azure."""
    host.arm.post("/_local/subscriptions", json={"add": [OTHER]}).raise_for_status()
    # Plans wait as long as anything of a test does.
    environment = host.environment | {"HUBS": json.dumps(HUBS), "ARM_LOOK_SECONDS": "120", "ARM_THREADS": str(THREADS)}
    with running(functions_recipe(log.parents[1] / "functions", 0, host.root, environment), log.parent) as process:
        yield process.announced or {}


@pytest.fixture(scope="module")
def caller_of_both(two_hubs: dict[str, str]) -> Iterator[httpx.Client]:
    with caller(two_hubs, seconds=300) as client:
        yield client


@pytest.fixture
def http(caller_of_both: httpx.Client, settings: Settings) -> httpx.Client:
    return caller_of_both


@pytest.fixture(scope="module")
def hanging(caller_of_both: httpx.Client, host: Host) -> Iterator[None]:
    """While the tests run, more plans for the other hub wait for Azure than there are threads."""
    plans = [a_request(f"c-{number}") | {"hub": "hangs"} for number in range(PLANS)]
    with ThreadPoolExecutor(PLANS) as threads:
        with holding(host, f"^/subscriptions/{OTHER}"):
            asked = [threads.submit(caller_of_both.post, "/spokes?mode=plan", json=plan) for plan in plans]
            until_held(host)
            yield
        assert {answer.result().status_code for answer in asked} <= {200, 503}


def test_plans_creates_and_lists_of_the_other_hub_come_back(
    hanging: None, http: httpx.Client, host: Host, body: Body
) -> None:
    plan = http.post("/spokes?mode=plan", json=body | {"hub": "well"})
    assert (plan.status_code, plan.json()["plan"]["hub"]) == (200, "well"), plan.text
    assert plan.json()["would_succeed"], plan.text
    spoke = made(http, body | {"hub": "well"})["spoke_id"]
    assert made(http, body | {"hub": "hangs"})["spoke_id"] == 1001
    assert [each["spoke_id"] for each in http.get("/spokes").json()["spokes"]] == [spoke, 1001]
    assert host.arm.get("/_local/held").json(), "nothing has been released yet"


def test_capacity_and_health_say_all_of_the_other_hub_and_what_hangs(
    hanging: None, http: httpx.Client, host: Host
) -> None:
    hangs, well = http.get("/capacity").json()["hubs"]
    while well["unknown"]:  # a busy machine may not have come beyond its imports in time
        hangs, well = http.get("/capacity").json()["hubs"]
    assert well["peerings"]["limit"] == 500
    assert well["gateways"][0]["listeners"]["limit"] == 200
    assert "peerings" not in hangs
    assert hangs["address_blocks"]["limit"] == 255, "that is in the records"
    assert {(each["hub"], each["of"], each["details"]["code"]) for each in hangs["unknown"]} == {
        ("hangs", "hub", "NoAnswerInTime"),
        ("hangs", "gateway", "NoAnswerInTime"),
    }
    checks = http.get("/health").json()["dependencies"]
    well_names = (
        "credential",
        "arm well",
        "hub well",
        "gateway well/hub-agw",
        "tables hangs",
        "writers hangs/other-agw",
    )
    while any(checks[name]["status"] != "ok" for name in well_names):
        checks = http.get("/health").json()["dependencies"]
    for name in ("arm hangs", "hub hangs", "gateway hangs/other-agw"):
        assert checks[name]["status"] == "failing", checks[name]
    assert host.arm.get("/_local/held").json(), "nothing has been released yet"


def test_the_orphans_of_the_other_hub_are_reported(
    hanging: None, http: httpx.Client, host: Host, two_hubs: dict[str, str], settings: Settings, log: Path
) -> None:
    tags = {"managed_by": "hub-spoke-automation", "deployment_id": "deploy-gone-1-ffff", "spoke_id": "9"}
    group = f"/subscriptions/{settings.subscription_id}/resourceGroups/hub-rg"
    orphan = f"{group}/providers/Microsoft.Network/networkSecurityGroups/spoke-nsg-9"
    tags |= {"client_name": "gone"}
    host.arm.put("/_local/resources", json={"id": orphan, "location": "eastus", "tags": tags, "properties": {}})
    try:
        origin = httpx.URL(two_hubs["api"]).join("/admin/functions/report_orphans")
        assert http.post(origin, json={}, headers={"x-functions-key": two_hubs["master_key"]}).status_code == 202
        until(lambda: f"event=orphan {orphan}" in log.read_text(encoding="utf-8"))
        assert host.arm.get("/_local/held").json(), "nothing has been released yet"
    finally:
        host.arm.delete("/_local/resources", params={"id": orphan}).raise_for_status()
