"""Two hubs that have their spokes in one subscription, and in one group: what they share is counted and reported once.
And what they share of the host: neither takes all of it."""

import json
import logging
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest

from activities.hub_writer import ACTIVITIES
from shared.arm.client import arm
from shared.checks.preflight import check
from shared.clock import timestamp, utc_now
from shared.data import as_data
from shared.process.share import MOST_OF_ONE_HUB, share_of_activities
from shared.recovery.orphans import doubt_about_records, sweep_orphans
from shared.settings import at, current_settings
from shared.spoke.plan import our_tags
from shared.tables.places import hubs
from shared.tables.records import Records
from shared.writers.peering.schedule import AGAIN, DONE
from shared.writers.peering.tasks import PeeringTask
from tests.activities.azure_stand_in import LocalAzure, a_plan, a_run, recorded
from tests.app import forget_app
from triggers import use_cases

FIRST = {"name": "first", "gateways": [{"name": "hub-agw"}]}
SECOND = {
    "name": "second",
    "vnet": "second-vnet",
    "address_pool": "10.12.0.0/16",
    "gateways": [{"name": "second-agw", "domain": "second.example.com"}],
}


@pytest.fixture
def two_hubs(settings: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBS", json.dumps([FIRST, SECOND]))
    forget_app()


def request(client: str, hub: str) -> dict[str, Any]:
    own = {"client_name": client, "vm_name": f"vm-{client}", "hub": hub, "vm_size": "Standard_B2s"}
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJFPNCFoTy+GNqzeT9tbAh6XAz3RiVuhXOD7cqUMmiUI someone@example.com"
    return {**own, "admin_username": "azureuser", "ssh_public_key": key}


def quota_findings_of(client: str, hub: str) -> list[str]:
    """What the checks of a new deployment say of the quota, in a hub where others are under way."""
    made = use_cases.deploy(request(client, hub), None)
    (here,) = [each for each in hubs() if each.hub_name == hub]
    with at(here):
        run = Records().run(made.deployment_id or "")
        assert run is not None
        found, _ = check(run.plan, arm(), afresh=True)
        return [finding.message for finding in found if finding.check == "quota"]


@pytest.mark.parametrize("group", ["hub-rg", "another-rg"])
def test_a_quota_of_the_subscription_is_one_for_the_runs_of_both_hubs(
    two_hubs: None, azure: LocalAzure, monkeypatch: pytest.MonkeyPatch, group: str
) -> None:
    monkeypatch.setenv("HUBS", json.dumps([FIRST, SECOND | {"spoke_resource_group": group}]))
    forget_app()
    azure.quota(location="eastus", quotas={"cores": 2})
    assert quota_findings_of("older", "first") == []
    (found,) = quota_findings_of("newer", "second")
    assert "0 of 2 vCPUs used, 2 more are taken by deployments under way" in found


def test_what_a_group_of_two_hubs_holds_is_reported_once(
    two_hubs: None, azure: LocalAzure, caplog: pytest.LogCaptureFixture
) -> None:
    plan = a_plan(2, made_by="deploy-gone-1-ffff")
    nsg_id = arm().ids.nsg(plan.nsg_name)
    properties = {"provisioningState": "Succeeded", "securityRules": []}
    azure.plant({"id": nsg_id, "location": "eastus", "tags": our_tags(plan), "properties": properties})
    with caplog.at_level(logging.WARNING):
        for hub in hubs():
            with at(hub):
                sweep_orphans()
    told = [record.getMessage() for record in caplog.records if "event=orphan" in record.getMessage()]
    assert [nsg_id in line for line in told] == [True]


def test_a_spoke_of_the_other_hub_is_no_orphan(two_hubs: None, azure: LocalAzure) -> None:
    assert doubt_about_records() is None
    with at(hubs()[1]):
        plan = a_plan(1001)
        recorded(a_run(plan, status="completed"))
        nsg_id = arm().ids.nsg(plan.nsg_name)
        azure.plant({"id": nsg_id, "location": "eastus", "tags": our_tags(plan), "properties": {}})
    with at(hubs()[0]):
        assert current_settings().hub_name == "first"
        assert sweep_orphans() == []


def test_a_batch_of_spoke_sides_leaves_the_places_for_activities_that_are_the_other_hubs(
    two_hubs: None, azure: LocalAzure
) -> None:
    """A batch has 25, side by side; Azure may not answer for any of them."""
    write_spoke_side = next(each for each in ACTIVITIES if each.__name__ == "write_spoke_side")

    def written(hub: int) -> str:
        with at(hubs()[hub]):
            ids, name = arm().ids, hubs()[hub].hub_name
        task = PeeringTask("turn:1", 1, False, ids.hub_vnet, ids.vnet("spoke-vnet-1"), "hub", "spoke", False, None)
        until = timestamp(utc_now() + timedelta(hours=1))
        payload = {"instance_id": f"hub-{name}", "task": as_data(task), "not_after": until}
        return str(write_spoke_side.perform(payload)["side"]["state"])

    with ExitStack() as at_work, at(hubs()[0]):
        for _ in range(MOST_OF_ONE_HUB):
            at_work.enter_context(share_of_activities())
        azure.forget_requests()
        assert (written(0), azure.requests()) == (AGAIN, [])
        assert written(1) == DONE
    assert written(0) == DONE
