"""Which runs are forgotten, and what of the secrets is kept in which state."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.recovery.runs.retention import runs_to_forget
from shared.spoke.plan import SpokePlan
from shared.spoke.records import TERMINAL, RunRow, SpokeRow
from shared.spoke.request.model import plan_from, spoke_request
from shared.tables.codec import as_entity, from_entity
from tests.unit.test_request import ACME, SETTINGS

SECRET = "#cloud-config\npassword: hunter2"
REQUEST = spoke_request({name: value for name, value in ACME.items() if name != "spoke_id"} | {"cloud_init": SECRET})
LONG_AGO, LATELY = "2026-01-01T00:00:00.000Z", "2026-06-01T00:00:00.000Z"
BEFORE = datetime(2026, 3, 1, tzinfo=UTC)
SPOKE_STATES = ("accepted", "in_progress", "rolling_back", "failed", "rollback_failed", "completed", "deleting")


def a_plan(spoke_id: int = 1) -> SpokePlan:
    return plan_from(REQUEST, SETTINGS, spoke_id, f"deploy-acme-{spoke_id}-aaaa")


def a_run(deployment_id: str, status: str, ended: str | None, kind: str = "deploy", spoke_id: int = 1) -> RunRow:
    return RunRow(
        deployment_id, kind, status, spoke_id, "Acme", a_plan(spoke_id), {}, created_at=LONG_AGO, completed_at=ended
    )


def a_spoke(status: str, deployment_id: str, spoke_id: int = 1) -> SpokeRow:
    return SpokeRow(
        spoke_id, "Acme", status, deployment_id, a_plan(spoke_id), 1, REQUEST.as_body(), created_at=LONG_AGO
    )


def forgotten(runs: list[RunRow], spokes: list[SpokeRow]) -> list[str]:
    return [run.deployment_id for run in runs_to_forget(runs, spokes, BEFORE)]


def test_runs_that_ended_long_ago_are_forgotten_oldest_first() -> None:
    runs = [
        a_run("b", "deleted", "2026-02-01T00:00:00.000Z", "delete"),
        a_run("a", "failed", LONG_AGO),
        a_run("c", "rollback_failed", None),
        a_run("late", "completed", LATELY),
    ]
    assert forgotten(runs, []) == ["a", "c", "b"]


def test_the_newest_run_of_a_spoke_and_the_one_that_made_it_are_kept() -> None:
    made, between, newest = "deploy-acme-1-aaaa", "delete-acme-2-bbbb", "delete-acme-3-cccc"
    runs = [a_run(each, "rollback_failed", LONG_AGO) for each in (made, between, newest)]
    assert forgotten(runs, [a_spoke("rollback_failed", newest)]) == [between]
    assert sorted(forgotten(runs, [])) == sorted([made, between, newest])


@pytest.mark.parametrize("status", ["accepted", "in_progress", "rolling_back", "deleting"])
def test_a_run_that_has_not_ended_is_never_forgotten(status: str) -> None:
    assert forgotten([a_run("r", status, None)], []) == []


def text_of(entity: dict[str, Any]) -> str:
    return str(entity)


@pytest.mark.parametrize("status", [*sorted(TERMINAL), "rolling_back", "deleting"])
@pytest.mark.parametrize("kind", ["deploy", "delete", "rollback"])
def test_a_run_that_builds_no_more_keeps_no_secrets(status: str, kind: str) -> None:
    text = text_of(as_entity(a_run("r", status, LONG_AGO, kind), "hub"))
    assert "hunter2" not in text
    assert REQUEST.ssh_public_key not in text


@pytest.mark.parametrize("status", ["accepted", "in_progress"])
def test_a_run_that_builds_keeps_what_it_builds_from(status: str) -> None:
    row = from_entity(RunRow, as_entity(a_run("r", status, None), "hub"))
    assert row.plan == a_plan()
    assert not row.has_idle_secrets
    assert "hunter2" not in text_of(as_entity(a_run("r", status, None, "delete"), "hub"))


@pytest.mark.parametrize("status", SPOKE_STATES)
def test_a_spoke_keeps_secrets_in_its_request_alone_and_only_for_a_retry(status: str) -> None:
    entity = as_entity(a_spoke(status, "deploy-acme-1-aaaa"), "hub")
    assert "hunter2" not in entity["plan"]
    assert REQUEST.ssh_public_key not in entity["plan"]
    kept = status not in ("completed", "deleting")
    assert ("hunter2" in entity["request"]) == kept
    assert (REQUEST.ssh_public_key in entity["request"]) == kept
    assert REQUEST.vm_size in entity["request"]


def test_rows_of_older_versions_are_known_by_what_they_should_not_hold() -> None:
    run, spoke = a_run("r", "completed", LONG_AGO), a_spoke("completed", "deploy-acme-1-aaaa")
    assert run.has_idle_secrets
    assert spoke.has_idle_secrets
    assert not from_entity(RunRow, as_entity(run, "hub")).has_idle_secrets
    assert not from_entity(SpokeRow, as_entity(spoke, "hub")).has_idle_secrets
    assert not replace(run, status="in_progress").has_idle_secrets
