"""Resources with our tags and no record: reported, and removed only when told to."""

import logging
from dataclasses import replace
from typing import Any

import pytest

from shared.arm.client import arm
from shared.recovery.orphans import doubt_about_records, orphans, sweep_orphans
from shared.settings import Settings
from shared.spoke.plan import SpokePlan, our_tags
from shared.spoke.records import SPOKES_TABLE, RunRow, client_key
from shared.tables.client import Partition, table
from shared.tables.records import Records
from tests.activities.azure_stand_in import LocalAzure, a_plan, a_run, recorded
from tests.activities.network import Network
from tests.activities.writers import WriterHarness, forget_run
from tests.app import forget_app
from tests.infra.alert_lines import found


@pytest.fixture
def relied_on(settings: Settings) -> None:
    """Records that were compared with Azure before anything unknown turned up there."""
    assert doubt_about_records() is None


def plant_nsg(azure: LocalAzure, plan: SpokePlan) -> str:
    nsg_id = arm().ids.nsg(plan.nsg_name)
    azure.plant(
        {
            "id": nsg_id,
            "name": plan.nsg_name,
            "type": "Microsoft.Network/networkSecurityGroups",
            "location": "eastus",
            "tags": our_tags(plan),
            "properties": {"provisioningState": "Succeeded", "securityRules": []},
        }
    )
    return nsg_id


def test_a_recorded_spoke_has_no_orphans(settings: Settings, azure: LocalAzure) -> None:
    plan = a_plan(1)
    recorded(a_run(plan, status="completed"))
    plant_nsg(azure, plan)
    assert orphans() == []


def test_what_no_record_knows_is_reported_and_left_alone(
    settings: Settings, azure: LocalAzure, caplog: pytest.LogCaptureFixture
) -> None:
    plan = a_plan(2, made_by="deploy-gone-1-ffff")
    nsg_id = plant_nsg(azure, plan)
    with caplog.at_level(logging.WARNING):
        (orphan,) = sweep_orphans()
    assert orphan["resource"] == nsg_id
    assert orphan["deployment_id"] == "deploy-gone-1-ffff"
    assert nsg_id in found("orphans", caplog.text)[0]["line"]
    assert azure.find(nsg_id) is not None
    assert {request["method"] for request in azure.requests()} == {"GET"}


def test_a_delete_of_an_unfinished_run_has_no_orphans(settings: Settings, azure: LocalAzure) -> None:
    plan = a_plan(3)
    recorded(a_run(plan, deployment_id="delete-client-3-1-aaaa", kind="delete", status="deleting"))
    plant_nsg(azure, plan)
    assert orphans() == []


def test_orphans_go_when_told_to(relied_on: None, azure: LocalAzure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEP_DELETE_ORPHANS", "true")
    forget_app()
    nsg_id = plant_nsg(azure, a_plan(2, made_by="deploy-gone-1-ffff"))
    sweep_orphans()
    azure.advance(60)
    assert azure.find(nsg_id) is None
    assert sweep_orphans() == []


@pytest.mark.parametrize(
    ("kind", "name", "without"),
    [
        ("Microsoft.Compute/disks", "restored-from-vm-2", ()),
        ("Microsoft.Network/publicIPAddresses", "vm-2-pip", ()),
        ("Microsoft.Network/networkSecurityGroups", "spoke-nsg-2", ("deployment_id",)),
        ("Microsoft.Network/networkSecurityGroups", "spoke-nsg-2", ("client_name",)),
    ],
)
def test_what_only_came_by_our_tags_is_reported_and_stays(
    relied_on: None, azure: LocalAzure, monkeypatch: pytest.MonkeyPatch, kind: str, name: str, without: tuple[str]
) -> None:
    """A snapshot and a disk restored from it have the tags of the VM's disk; a policy copies some of them."""
    monkeypatch.setenv("SWEEP_DELETE_ORPHANS", "true")
    forget_app()
    tags = our_tags(a_plan(2, made_by="deploy-gone-1-ffff"))
    theirs = {
        "id": azure.id_of("hub-rg", kind, name),
        "location": "eastus",
        "tags": {tag: value for tag, value in tags.items() if tag not in without},
        "properties": {"provisioningState": "Succeeded"},
    }
    azure.plant(theirs)
    assert [orphan["resource"] for orphan in sweep_orphans()] == [theirs["id"]]
    assert azure.requests("DELETE") == []


@pytest.mark.parametrize("told", [False, True])
def test_a_site_a_peering_and_reservations_without_a_record_go_when_told_to(
    settings: Settings,
    harness: WriterHarness,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    told: bool,
) -> None:
    """Nobody could delete that spoke, and nobody else could have its id or its names."""
    monkeypatch.setenv("SWEEP_DELETE_ORPHANS", str(told).lower())
    forget_app()
    run, kept = harness.run(1), harness.run(2)
    for each in (run, kept):
        a_vnet(each.plan)
    harness.pass_time(10)
    for each in (run, kept):
        harness.step(each, "update_agw", private_ip="10.11.1.4")
        harness.step(each, "create_peering")
        table(SPOKES_TABLE).client.upsert_entity(reservation(each))
    forget_run(run)
    table(SPOKES_TABLE).client.delete_entity(Records().hub_key, "spoke:1")
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            sweep_orphans()
            harness.write_gateway()
            harness.write_hub()
            harness.pass_time(300)
    assert all(f"{row} in the tables" in caplog.text for row in ("site:client-1", "turn:1", "client:client-1"))
    gone = [harness.site(1), harness.turn(1), Partition(settings.hub_key).get("client:client-1")]
    assert gone == [None, None, None] if told else None not in gone
    assert None not in [harness.site(2), harness.turn(2), Partition(settings.hub_key).get("client:client-2")]


def a_vnet(plan: SpokePlan) -> None:
    properties = {"addressSpace": {"addressPrefixes": [plan.address_prefix]}}
    arm().put(arm().ids.vnet(plan.vnet_name), {"location": "eastus", "tags": our_tags(plan), "properties": properties})


def reservation(run: RunRow) -> dict[str, Any]:
    return {
        "PartitionKey": Records().hub_key,
        "RowKey": client_key(run.plan.client),
        "deployment_id": run.plan.made_by,
        "spoke_id": run.spoke_id,
    }


def test_what_turns_up_of_a_failed_spoke_is_an_orphan(settings: Settings, azure: LocalAzure) -> None:
    """Its rollback left nothing; a request that ARM carried out late could."""
    plan = a_plan(4)
    recorded(a_run(plan, status="failed"))
    nsg_id = plant_nsg(azure, plan)
    assert [orphan["resource"] for orphan in orphans()] == [nsg_id]


def test_what_was_made_anew_since_the_list_was_written_is_no_orphan(
    settings: Settings, azure: LocalAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWEEP_DELETE_ORPHANS", "true")
    forget_app()
    plan = a_plan(5)
    recorded(a_run(plan, status="in_progress"))
    nsg_id = plant_nsg(azure, plan)
    now = azure.find(nsg_id)
    assert now is not None
    azure.plant({**now, "tags": our_tags(replace(plan, made_by="deploy-gone-1-ffff"))})
    Network().after("GET", "/resources$", lambda: azure.plant(now))
    assert sweep_orphans() == []
    assert azure.find(nsg_id) is not None
