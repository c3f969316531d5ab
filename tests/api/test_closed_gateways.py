"""`open: false` on all gateways of one hub, and of all hubs: nothing new is taken in there, and the answer says where else."""

import copy
import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from local.processes import running
from local.recipes import functions_recipe
from shared.settings import Settings
from tests.api.calls import Body, caller, made, refused
from tests.api.conftest import Host

OTHER = "5ca1ab1e-0000-4000-8000-0000000000a2"
HUBS: list[dict[str, Any]] = [
    {
        "name": "drained",
        "gateways": [
            {"name": "hub-agw", "open": False},
            {"name": "hub-agw-2", "domain": "two.example.com", "open": False},
        ],
    },
    {
        "name": "open",
        "subscription_id": OTHER,
        "resource_group": "other-rg",
        "vnet": "other-vnet",
        "location": "westeurope",
        "address_pool": "10.12.0.0/16",
        "gateways": [
            {"name": "other-agw", "domain": "other.example.com"},
            {"name": "closed-agw", "domain": "closed.example.com", "open": False},
        ],
    },
]


@pytest.fixture(scope="module")
def start(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Starts a host with these hubs, on the same tables and the same Azure; gives a caller with a function key."""
    with ExitStack() as stack:

        def started(hubs: list[dict[str, Any]]) -> httpx.Client:
            state = tmp_path_factory.mktemp("closed")
            environment = host.environment | {"HUBS": json.dumps(hubs)}
            recipe = functions_recipe(state / "functions", 0, host.root, environment)
            announced = stack.enter_context(running(recipe, state / "logs")).announced or {}
            return stack.enter_context(caller(announced))

        yield started


@pytest.fixture(scope="module")
def one_drained(start: Any) -> httpx.Client:
    client: httpx.Client = start(HUBS)
    return client


@pytest.fixture(scope="module")
def all_drained(start: Any) -> httpx.Client:
    hubs = copy.deepcopy(HUBS)
    hubs[1]["gateways"][0]["open"] = False
    client: httpx.Client = start(hubs)
    return client


def closed(answer: httpx.Response) -> tuple[str, str]:
    """The sentence and the hint of a refusal because of closed gateways."""
    error = refused(answer, 409)
    assert (error["error"], error["details"]["code"]) == ("DeploymentException", "GatewayClosed")
    return error["message"], error["details"]["hint"]


@pytest.mark.parametrize("mode", ["", "?mode=plan"])
@pytest.mark.parametrize("named", [{}, {"hub": "drained"}, {"spoke_id": 7}, {"location": "eastus"}])
def test_a_hub_without_an_open_gateway_names_those_that_have_one(
    one_drained: httpx.Client, settings: Settings, body: Body, named: Body, mode: str
) -> None:
    sentence, hint = closed(one_drained.post(f"/spokes{mode}", json=body | named))
    assert sentence == "No gateway of the hub drained takes new sites: hub-agw, hub-agw-2."
    assert hint.startswith("Name the hub open.")
    assert one_drained.get("/spokes").json()["total"] == 0


def test_the_other_hub_takes_new_sites_on_its_open_gateway(
    one_drained: httpx.Client, settings: Settings, body: Body
) -> None:
    spoke = made(one_drained, body | {"hub": "open"})["spoke_id"]
    assert one_drained.get(f"/spokes/{spoke}").json()["agw"]["gateway"] == "other-agw"
    other = {**body, "client_name": f"{body['client_name']}-b", "vm_name": f"{body['vm_name']}-b"}
    sentence, hint = closed(one_drained.post("/spokes", json=other | {"gateway": "closed-agw", "hub": "open"}))
    assert (sentence, hint.split(",")[0]) == ("The gateway closed-agw takes no new sites.", "Name other-agw")
    places = [each["open"] for hub in one_drained.get("/capacity").json()["hubs"] for each in hub["gateways"]]
    assert places == [False, False, True, False]


@pytest.mark.parametrize("named", [{}, {"hub": "open"}, {"address_prefix": "10.12.7.0/24"}])
def test_where_all_hubs_are_drained_the_answer_says_so(
    all_drained: httpx.Client, settings: Settings, body: Body, named: Body
) -> None:
    sentence, hint = closed(all_drained.post("/spokes", json=body | named, headers={"Idempotency-Key": "drained"}))
    assert sentence.startswith(f"No gateway of the hub {'open' if named else 'drained'} takes new sites")
    assert hint.startswith("No other hub has an open gateway. Or have an operator set open to true in HUBS")
    assert all_drained.get("/spokes").json()["total"] == 0
