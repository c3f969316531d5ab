"""Resources with our tags and no record: reported, and removed only when told to."""

import logging
from dataclasses import replace

import pytest

from shared.arm.client import Arm, arm
from shared.orphans import orphans, sweep_orphans
from shared.plan import SpokePlan, our_tags
from shared.settings import Settings
from tests.activities.conftest import forget_app
from tests.activities.far_side import LocalAzure, a_plan, a_run, recorded


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
    assert any(nsg_id in record.getMessage() for record in caplog.records)
    assert azure.find(nsg_id) is not None
    assert {request["method"] for request in azure.requests()} == {"GET"}


def test_a_delete_of_an_unfinished_run_has_no_orphans(settings: Settings, azure: LocalAzure) -> None:
    plan = a_plan(3)
    recorded(a_run(plan, deployment_id="delete-client-3-1-aaaa", kind="delete", status="deleting"))
    plant_nsg(azure, plan)
    assert orphans() == []


def test_orphans_go_when_told_to(settings: Settings, azure: LocalAzure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEP_DELETE_ORPHANS", "true")
    forget_app()
    nsg_id = plant_nsg(azure, a_plan(2, made_by="deploy-gone-1-ffff"))
    sweep_orphans()
    azure.advance(60)
    assert azure.find(nsg_id) is None
    assert sweep_orphans() == []


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
    stale = {"id": nsg_id, "tags": our_tags(replace(plan, made_by="deploy-gone-1-ffff"))}
    monkeypatch.setattr(Arm, "get_all", lambda *_, **__: [stale])
    assert sweep_orphans() == []
    assert azure.find(nsg_id) is not None
