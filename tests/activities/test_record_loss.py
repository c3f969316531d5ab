"""Nothing is deleted on the word of an empty table: what new, emptied, copied and older records are taken for."""

import logging
from datetime import timedelta
from typing import Any

import pytest

from shared.arm.client import arm
from shared.arm.failures import ArmError
from shared.clock import timestamp, utc_now
from shared.errors import Failure
from shared.recovery.orphans import confirm_new_records, doubt_about_records, sweep_orphans
from shared.settings import Settings, current_settings
from shared.spoke.plan import SpokePlan
from shared.spoke.records import SPOKES_TABLE
from shared.tables.client import Partition, table
from shared.tables.marker import MARKER_KEY, ensure_marker
from shared.tables.records import Records
from shared.writers.writer_tables import gateway_sites
from tests.activities.azure_stand_in import LocalAzure, a_plan, a_run, recorded
from tests.activities.test_orphans import plant_nsg
from tests.activities.writers import WriterHarness
from tests.app import forget_app

GONE = "deploy-gone-1-ffff"


@pytest.fixture(autouse=True)
def deleting(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """As dangerous as it can be set."""
    monkeypatch.setenv("SWEEP_DELETE_ORPHANS", "true")
    forget_app()


def lost_spoke(azure: LocalAzure) -> tuple[SpokePlan, str]:
    plan = a_plan(2, made_by=GONE)
    return plan, plant_nsg(azure, plan)


def emptied() -> None:
    client = table(SPOKES_TABLE).client
    for row in list(client.list_entities(select=["PartitionKey", "RowKey"])):
        client.delete_entity(row["PartitionKey"], row["RowKey"])


def is_deleted(azure: LocalAzure, resource_id: str) -> bool:
    sweep_orphans()
    azure.advance(60)
    return azure.find(resource_id) is None


def lost(failure: Failure | None) -> Failure:
    assert failure is not None
    assert failure.code == "RecordsLost"
    assert "ACCEPT_EMPTY_RECORDS=true" in str(failure.hint)
    return failure


def test_a_new_installation_relies_on_its_records_by_itself(azure: LocalAzure) -> None:
    assert doubt_about_records() is None
    _, nsg_id = lost_spoke(azure)
    assert is_deleted(azure, nsg_id)


def test_an_empty_table_deletes_nothing_and_says_what_it_does_not_know(
    azure: LocalAzure, caplog: pytest.LogCaptureFixture
) -> None:
    _, nsg_id = lost_spoke(azure)
    assert not is_deleted(azure, nsg_id)
    with caplog.at_level(logging.WARNING):
        assert not is_deleted(azure, nsg_id)
    assert "no timer deletes anything" in caplog.text
    assert lost(doubt_about_records()).details["unknown"] == [nsg_id]
    assert {request["method"] for request in azure.requests()} == {"GET"}


def test_a_table_that_was_emptied_is_not_relied_on_again_because_of_a_post_meanwhile(azure: LocalAzure) -> None:
    recorded(a_run(a_plan(1), status="completed"))
    assert doubt_about_records() is None
    emptied()
    _, nsg_id = lost_spoke(azure)
    # What a POST writes: the marker, then its rows.
    ensure_marker(Partition(current_settings().hub_key))
    recorded(a_run(a_plan(3), status="completed"))
    assert not is_deleted(azure, nsg_id)
    lost(doubt_about_records())


def test_rows_of_a_version_without_the_marker_are_evidence(azure: LocalAzure) -> None:
    recorded(a_run(a_plan(1), status="completed"))
    _, nsg_id = lost_spoke(azure)
    assert doubt_about_records() is None
    assert is_deleted(azure, nsg_id)


def test_records_that_come_back_are_relied_on(azure: LocalAzure) -> None:
    plan, nsg_id = lost_spoke(azure)
    lost(doubt_about_records())
    recorded(a_run(plan, status="completed"))
    assert doubt_about_records() is None
    assert not is_deleted(azure, nsg_id)


def test_an_operator_can_start_anew(azure: LocalAzure, monkeypatch: pytest.MonkeyPatch) -> None:
    _, nsg_id = lost_spoke(azure)
    lost(doubt_about_records())
    monkeypatch.setenv("ACCEPT_EMPTY_RECORDS", "true")
    forget_app()
    assert doubt_about_records() is None
    monkeypatch.delenv("ACCEPT_EMPTY_RECORDS")
    forget_app()
    assert is_deleted(azure, nsg_id)


def test_what_azure_does_not_tell_is_not_known_and_decides_nothing(azure: LocalAzure) -> None:
    azure.fault(method="GET", path="/resources", mode="refuse", status=503, code="ServiceUnavailable", times=50)
    with pytest.raises(ArmError):
        doubt_about_records()
    with pytest.raises(ArmError):
        sweep_orphans()
    azure.client.delete("/_local/faults")
    _, nsg_id = lost_spoke(azure)
    assert not is_deleted(azure, nsg_id)


def test_rows_of_sites_without_a_record_are_doubted_and_kept_too(harness: WriterHarness) -> None:
    run = harness.run(1)
    harness.step(run, "update_agw", private_ip="10.11.1.4")
    emptied()
    assert lost(doubt_about_records()).details["unknown"] == ["site:client-1"]
    sweep_orphans()
    (site,) = gateway_sites().present().rows
    assert site.site is not None


def copied() -> None:
    """The marker as a restored copy has it: Table Storage's own time of it is that of the restoring."""
    client = table(SPOKES_TABLE).client
    row: dict[str, Any] = dict(client.get_entity(Records().hub_key, MARKER_KEY))
    client.upsert_entity(row | {"confirmed_at": timestamp(utc_now() - timedelta(days=2))})


def test_a_restored_copy_is_relied_on_only_when_it_knows_everything_and_nothing_in_it_is_under_way(
    azure: LocalAzure,
) -> None:
    assert doubt_about_records() is None
    run = recorded(a_run(a_plan(1)))
    copied()
    assert lost(doubt_about_records()).details["unfinished_runs"] == [run.deployment_id]
    Records().change_run(run, status="completed")
    _, nsg_id = lost_spoke(azure)
    assert not is_deleted(azure, nsg_id)
    assert "is a copy" in lost(doubt_about_records()).message
    recorded(a_run(a_plan(2, made_by=GONE), status="completed"))
    assert doubt_about_records() is None


def test_the_first_deployment_confirms_new_records_from_what_it_has_read(azure: LocalAzure) -> None:
    confirm_new_records(arm().get_all(f"{arm().ids.subscription}/resources"))
    _, nsg_id = lost_spoke(azure)
    assert is_deleted(azure, nsg_id)
