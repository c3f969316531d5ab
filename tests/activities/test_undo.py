"""Undos where the surroundings have changed under them, and what is said to be left when they don't work."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from activities import runs
from activities.steps.nsg import delete_nsg
from function_app import ACTIVITIES
from shared.arm.client import arm
from shared.saga.steps import UNDO_NAMES
from shared.settings import Settings
from shared.spoke.plan import our_tags
from shared.spoke.records import RunRow
from shared.writers.gateway.site_rows import request_site
from shared.writers.gateway.sites import site_of
from shared.writers.peering.peering_rows import PeeringRow
from shared.writers.writer_tables import gateway_sites, hub_peerings
from tests.activities.azure_stand_in import LocalAzure, a_plan, a_run, call_of, recorded
from tests.app import forget_app

Activity = Callable[[dict[str, Any]], Coroutine[Any, Any, dict[str, Any]]]
LEFT = {"delete_nsg": "refused"}
UNDOS_OF_RESOURCES = [activity for activity in ACTIVITIES if activity.__name__ in UNDO_NAMES - {"release_reservations"}]


def rolling_back(**changes: Any) -> RunRow:
    return recorded(a_run(a_plan(1, **changes), status="rolling_back"))


def an_nsg(azure: LocalAzure, run: RunRow, **tags: str) -> str:
    nsg_id = arm().ids.of(run.plan).nsg(run.plan.nsg_name)
    azure.plant(
        {
            "id": nsg_id,
            "location": "eastus",
            "tags": our_tags(run.plan) | tags,
            "properties": {"provisioningState": "Succeeded", "securityRules": []},
        }
    )
    return nsg_id


def left_behind(run: RunRow, undos: dict[str, str], attempt: int = 1) -> dict[str, Any]:
    return asyncio.run(runs.list_left_behind(call_of(run, "list_left_behind", undos=undos) | {"attempt": attempt}))


def test_a_spoke_is_undone_in_the_group_that_it_was_made_in(
    settings: Settings, azure: LocalAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = rolling_back()
    nsg_id = an_nsg(azure, run)
    monkeypatch.setenv("SPOKE_RESOURCE_GROUP", "another-rg")
    forget_app()
    answer = asyncio.run(delete_nsg(call_of(run, "delete_nsg")))
    assert answer["outcome"] == "pending"
    azure.advance(60)
    assert azure.find(nsg_id) is None


def test_an_operation_that_can_not_be_polled_is_over_when_the_resource_says_so(
    settings: Settings, azure: LocalAzure
) -> None:
    run = rolling_back()
    nsg_id = an_nsg(azure, run)
    call = call_of(run, "delete_nsg")
    operation = asyncio.run(delete_nsg(call))["operation"]
    azure.fault(method="GET", path="/operations/", times=100, mode="refuse", status=403)
    answer = asyncio.run(delete_nsg(call | {"operation": operation}))
    assert (answer["outcome"], answer.get("forget_operation")) == ("pending", True)
    azure.advance(60)
    assert asyncio.run(delete_nsg(call))["outcome"] == "done"
    assert azure.find(nsg_id) is None


NO_RESOURCE = [(204, ""), (200, "{}"), (200, "[]"), (200, "<html>"), (302, "")]


@pytest.mark.parametrize(("status", "body"), NO_RESOURCE)
def test_an_answer_that_is_no_resource_is_asked_for_again(
    settings: Settings, azure: LocalAzure, status: int, body: str
) -> None:
    run = rolling_back()
    an_nsg(azure, run)
    azure.fault(method="GET", path="networkSecurityGroups", mode="refuse", status=status, body=body)
    answer = asyncio.run(delete_nsg(call_of(run, "delete_nsg")))
    assert answer["failure"]["code"] == "UnreadableAnswer"
    assert answer["failure"]["transient"] is True


@pytest.mark.parametrize("undo", UNDOS_OF_RESOURCES)
def test_what_went_with_its_resource_group_is_gone(settings: Settings, azure: LocalAzure, undo: Activity) -> None:
    run = rolling_back(resource_group="a-group-that-is-gone")
    assert asyncio.run(undo(call_of(run, undo.__name__)))["outcome"] == "done"


def test_what_is_there_and_ours_is_left_behind(settings: Settings, azure: LocalAzure) -> None:
    run = rolling_back()
    nsg_id = an_nsg(azure, run)
    (left,) = left_behind(run, LEFT)["result"]["left_behind"]
    assert left == {"step": "delete_nsg", "resource": nsg_id, "reason": "refused"}


def test_what_is_unmanaged_is_not_left_behind(settings: Settings, azure: LocalAzure) -> None:
    run = rolling_back()
    an_nsg(azure, run, deployment_id="deploy-x-1-beef")
    assert left_behind(run, LEFT | {"delete_vnet": "not tried"})["result"]["left_behind"] == []


def test_without_a_site_a_peering_or_a_reservation_nothing_of_them_is_left(
    settings: Settings, azure: LocalAzure
) -> None:
    run = rolling_back()
    undos = dict.fromkeys(("remove_from_agw", "delete_peering", "release_reservations"), "refused")
    assert left_behind(run, undos)["result"]["left_behind"] == []


def test_of_an_undo_that_the_inventory_does_not_know_nothing_is_left(settings: Settings, azure: LocalAzure) -> None:
    assert left_behind(rolling_back(), {"undo_without_parts": "refused"})["result"]["left_behind"] == []


def test_what_can_not_be_read_is_named_all_the_same(settings: Settings, azure: LocalAzure) -> None:
    run = rolling_back()
    nsg_id = an_nsg(azure, run)
    azure.fault(method="GET", path="networkSecurityGroups", times=100, mode="refuse", status=503)
    assert left_behind(run, LEFT)["failure"]["transient"] is True
    (left,) = left_behind(run, LEFT, attempt=runs.MOST_LOOKS)["result"]["left_behind"]
    assert left["resource"] == nsg_id


def test_of_a_gateway_that_can_not_be_read_only_the_spokes_own_elements_are_named(
    settings: Settings, azure: LocalAzure
) -> None:
    """Never the gateway itself: who reads `left_behind` takes away what it names."""
    run = rolling_back()
    names = run.plan.site_names
    site = site_of(run.plan, "10.11.1.4", settings)
    made = {"client": run.plan.client, "made_by": run.plan.made_by, "deployment_id": run.plan.made_by}
    row = request_site(None, **made, names=names, site=site, now=run.created_at)
    gateway_sites().request(replace(row, owned=True))
    azure.fault(method="GET", path="applicationGateways", times=100, mode="refuse", status=503)
    left = left_behind(run, {"remove_from_agw": "refused"}, attempt=runs.MOST_LOOKS)["result"]["left_behind"]
    gateway = arm().ids.gateway
    assert [each["resource"] for each in left] == [
        f"{gateway}/{kind}/{name}" for kind, name in names.by_collection().items()
    ]


def test_who_is_throttled_for_long_is_not_asked_again(settings: Settings, azure: LocalAzure) -> None:
    run = rolling_back()
    nsg_id = an_nsg(azure, run)
    azure.fault(method="GET", path="networkSecurityGroups", times=1, mode="refuse", status=429, retry_after=600)
    (left,) = left_behind(run, LEFT)["result"]["left_behind"]
    assert left["resource"] == nsg_id


def test_of_two_sides_only_the_one_that_can_not_be_read_is_doubtful(settings: Settings, azure: LocalAzure) -> None:
    run = rolling_back()
    ids, plan = arm().ids, run.plan
    vnet_id, hub_side = ids.of(plan).vnet(plan.vnet_name), ids.hub_peering(plan.hub_peering_name)
    sides = (vnet_id, plan.hub_peering_name, plan.spoke_peering_name)
    made: dict[str, Any] = {"present": False, "forwarded": False, "desired_version": 1, "since": run.created_at}
    hub_peerings().request(PeeringRow(plan.spoke_id, plan.made_by, run.deployment_id, *sides, **made))
    azure.fault(method="GET", path=f"{plan.hub_peering_name}$", times=100, mode="refuse", status=403)
    (left,) = left_behind(run, {"delete_peering": "refused"})["result"]["left_behind"]
    assert left["resource"] == hub_side
