"""Many spokes at once on one shared gateway: nobody's site is lost, every host reaches its own VM."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e.client import GONE, Api, Document, request_for
from tests.e2e.conftest import PLACES, StartStack

WAIT = 900


def at_once(work: Any, things: Any) -> list[Any]:
    """Everything started at the same moment, as far as a client can."""
    things = list(things)
    with ThreadPoolExecutor(len(things)) as pool:
        return list(pool.map(work, things))


def gateway_of(api: Api) -> Document:
    resources = api.arm_resources()
    listed = resources if isinstance(resources, list) else resources["resources"]
    found: Document = next(one for one in listed if one["id"].lower().endswith("/applicationgateways/hub-agw"))
    return found


def gateway_writes(api: Api) -> list[Document]:
    return [entry for entry in api.arm_journal("PUT") if entry["path"].lower().endswith("/applicationgateways/hub-agw")]


def assert_each_host_reaches_its_own_vm(api: Api, ids: list[int]) -> None:
    for spoke_id in ids:
        reached = api.route(f"client-{spoke_id}.spokes.example.com").json()
        assert reached["addresses"] == [f"10.11.{spoke_id}.4"], (spoke_id, reached)


def assert_sites(api: Api, ids: list[int]) -> None:
    """The gateway has exactly these sites, each of five elements, and the hub's default rule as it was."""
    properties = gateway_of(api)["properties"]
    wanted = {f"client-{spoke_id}" for spoke_id in ids}
    for kind, suffix in (
        ("backendAddressPools", "-pool"),
        ("probes", "-probe"),
        ("backendHttpSettingsCollection", "-http-settings"),
        ("httpListeners", "-listener"),
        ("requestRoutingRules", "-route"),
    ):
        names = {element["name"] for element in properties.get(kind, []) if element["name"].startswith("client-")}
        assert names == {f"{client}{suffix}" for client in wanted}, kind
    rules = {rule["name"]: rule["properties"]["priority"] for rule in properties["requestRoutingRules"]}
    assert rules["defaultRoutingRule"] == 1001
    ours = [priority for name, priority in rules.items() if name != "defaultRoutingRule"]
    assert len(set(ours)) == len(ours)
    assert all(priority < 1001 for priority in ours)


def assert_nothing_was_superseded(api: Api) -> None:
    assert "Superseded" not in json.dumps(api.arm_journal())


def deploy_all(api: Api, ids: list[int]) -> None:
    at_once(lambda spoke_id: api.accepted(request_for(spoke_id)), ids)
    for spoke_id in ids:
        api.wait_until(spoke_id, "completed", seconds=WAIT)


def test_five_at_once_share_a_few_writes_of_the_gateway(api: Api) -> None:
    ids = list(range(21, 26))
    api.arm.delete("/_local/requests").raise_for_status()
    deploy_all(api, ids)
    assert_sites(api, ids)
    assert_each_host_reaches_its_own_vm(api, ids)
    assert_nothing_was_superseded(api)
    assert len(gateway_writes(api)) <= 4
    # one of them goes while another comes
    going, coming = ids[0], 31
    with ThreadPoolExecutor(1) as pool:
        created = pool.submit(deploy_all, api, [coming])
        assert api.delete(going).status_code == 202
        created.result()
    api.wait_until(going, GONE, seconds=WAIT)
    left = [*ids[1:], coming]
    assert_sites(api, left)
    assert_each_host_reaches_its_own_vm(api, left)
    assert_nothing_was_superseded(api)


def test_racers_for_the_last_places_are_decided_by_the_table(api: Api) -> None:
    free, racers = PLACES - api.spokes(status="completed")["total"], 20
    answers = at_once(lambda number: api.post_spoke(request_for(None, f"racer-{number}")), range(racers))
    taken = [answer for answer in answers if answer.status_code == 202]
    refused = [answer for answer in answers if answer.status_code == 409]
    assert 0 < free < racers
    assert (len(taken), len(refused)) == (free, racers - free), [answer.text for answer in answers]
    assert all(str(PLACES) in answer.json()["message"] for answer in refused)
    for answer in taken:
        api.wait_until(answer.json()["spoke_id"], "completed", seconds=WAIT)
    assert api.spokes(status="completed")["total"] == PLACES


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_ninety_nine_at_once_and_then_half_of_them_exchanged(start_stack: StartStack) -> None:
    with start_stack(time_scale=0.05) as stack, Api(stack) as api:
        ids = list(range(1, 100))
        deploy_all(api, ids)
        assert_sites(api, ids)
        assert_each_host_reaches_its_own_vm(api, ids)
        assert_nothing_was_superseded(api)
        assert len(gateway_writes(api)) <= 8
        refused = api.post_spoke(request_for(100))
        assert refused.status_code == 409
        assert "99" in refused.json()["message"]

        for answer in at_once(api.delete, range(1, 51)):
            assert answer.status_code == 202
        for spoke_id in range(1, 51):
            api.wait_until(spoke_id, GONE, seconds=WAIT)
        with ThreadPoolExecutor(2) as pool:
            deleted = pool.submit(at_once, api.delete, range(51, 100))
            created = pool.submit(deploy_all, api, list(range(101, 151)))
            assert {answer.status_code for answer in deleted.result()} == {202}
            created.result()
        for spoke_id in range(51, 100):
            api.wait_until(spoke_id, GONE, seconds=WAIT)
        assert_sites(api, list(range(101, 151)))
        assert_each_host_reaches_its_own_vm(api, list(range(101, 151)))
        assert_nothing_was_superseded(api)
