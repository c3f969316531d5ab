"""The hub's writer broken off: killed, doubled, without an answer, late. Nothing is written twice, and every peering is made."""

from typing import Any

import pytest

from activities import hub_writer
from shared.arm.client import arm
from shared.saga.outcomes import Done
from shared.settings import current_settings
from shared.writers.instances import policy_of
from tests.activities.peerings import hub_side, ready, states, writes
from tests.activities.writers import BEFORE_OR_AFTER, WriterHarness, as_sent, each_of, kill_at, kill_at_each

# What the first pass of a generation is told.
FIRST_PASS: dict[str, Any] = {
    "nonce": "mine",
    "results": [],
    "recreate": [],
    "in_flight": [],
    "failed_passes": 0,
    "last_put_seconds": None,
    "first": True,
}


@pytest.mark.parametrize("which", ["hub-to-spoke-1$", "spoke-1-to-hub$"])
def test_a_lost_answer_is_looked_for_and_not_doubled(harness: WriterHarness, which: str) -> None:
    ready(harness, 1, 2)
    harness.azure.fault(method="PUT", path=which, mode="drop_reply")
    harness.write_hub()
    assert all(states(harness, number) == ("Connected", "Connected") for number in (1, 2))
    assert len([each for each in writes(harness) if each["method"] == "PUT"]) == 4


@pytest.mark.parametrize("which", ["hub-to-spoke-1$", "spoke-1-to-hub$"])
def test_an_operation_that_fails_for_now_is_begun_again(harness: WriterHarness, which: str) -> None:
    ready(harness, 1, 2)
    harness.azure.fault(method="PUT", path=which, mode="fail_operation", code="InternalServerError", message="Oops.")
    harness.write_hub()
    assert all(states(harness, number) == ("Connected", "Connected") for number in (1, 2))


def test_a_pass_that_breaks_off_does_not_lock_its_own_writer_out(harness: WriterHarness) -> None:
    ready(harness, 1)
    harness.azure.fault(method="GET", path="/virtualNetworks/hub-vnet$", mode="refuse", status=500)
    began = harness.now.moment
    harness.write_hub()
    assert states(harness, 1) == ("Connected", "Connected")
    assert (harness.now.moment - began).total_seconds() < 60


def test_a_second_writer_waits_for_the_first_ones_lease(harness: WriterHarness) -> None:
    ready(harness, 1)
    policy = policy_of(current_settings())
    first = hub_writer.hub_round({**FIRST_PASS, "nonce": "the first"}, policy)
    assert first["hub_sides"]
    second = hub_writer.hub_round({**FIRST_PASS, "nonce": "the second"}, policy)
    assert second["wait"] == 5 * policy.poll_seconds
    assert "hub_sides" not in second
    harness.write_hub()
    assert states(harness, 1) == ("Connected", "Connected")


def test_a_pass_that_fails_again_and_again_waits_longer_and_longer(harness: WriterHarness) -> None:
    ready(harness, 1)
    harness.azure.fault(method="GET", path="virtualNetworks/hub-vnet$", mode="refuse", status=500, times=None)
    policy = policy_of(current_settings())
    answers = [hub_writer.hub_round({**FIRST_PASS, "failed_passes": failed}, policy) for failed in (0, 1, 9)]
    assert [(answer["wait"], answer["failed"]) for answer in answers] == [(5, True), (10, True), (60, True)]


# A PUT whose sender doesn't live to see the answer is one whose answer is lost, below.
@pytest.mark.parametrize("but", [pytest.param("", marks=pytest.mark.full, id="all"), "PUT https"])
def test_a_writer_that_is_killed_at_one_request_after_the_other_goes_on(harness: WriterHarness, but: str) -> None:
    runs = ready(harness, 1, 2)
    died = kill_at_each(harness, "hub", but)
    assert len(died) >= 16
    if but:
        assert {name for name, *_ in died} == {"hub_round", "write_hub_side", "write_spoke_side", "settle_spoke_sides"}
    assert all(states(harness, number) == ("Connected", "Connected") for number in (1, 2))
    assert all(isinstance(harness.step(run, "create_peering"), Done) for run in runs)


@BEFORE_OR_AFTER
@each_of(24)
def test_a_writer_that_is_killed_anywhere_goes_on(
    harness: WriterHarness, monkeypatch: pytest.MonkeyPatch, victim: int, after: bool
) -> None:
    runs = ready(harness, 1, 2)
    requests = kill_at(victim, harness, after=after)
    harness.write_hub()
    assert next(requests) > victim, "the host was never killed"
    assert all(states(harness, number) == ("Connected", "Connected") for number in (1, 2))
    assert all(isinstance(harness.step(run, "create_peering"), Done) for run in runs)


@pytest.mark.parametrize("side", ["hub", "spoke"])
@pytest.mark.parametrize("wanted", [True, False])
def test_nothing_is_written_when_the_lease_ran_out_while_it_was_read(
    harness: WriterHarness, monkeypatch: pytest.MonkeyPatch, side: str, wanted: bool
) -> None:
    """Another writer may write from then on."""
    [run] = ready(harness, 1)
    if not wanted:
        harness.write_hub()
        harness.step(harness.set_status(run, "rolling_back"), "delete_peering")
    policy = policy_of(current_settings())
    answer = hub_writer.hub_round(FIRST_PASS, policy)
    harness.azure.forget_requests()
    harness.network.after("GET", "/virtualNetworks/", lambda: harness.pass_time(200), times=None)
    told = {"not_after": answer["not_after"], "task": answer["hub_sides"][0]}
    if side == "hub":
        begun = hub_writer.write_hub_side({**told, "operation": None, "recheck_first": True}, policy)["begun"]
    else:
        begun = hub_writer.write_spoke_side(told, policy)["side"]
    assert (begun["state"], begun["lease_expired"]) == ("again", True)
    assert writes(harness) == []


def test_a_side_that_is_changed_before_its_delete_is_read_again(
    harness: WriterHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    [run] = ready(harness, 1)
    harness.write_hub()
    harness.step(harness.set_status(run, "rolling_back"), "delete_peering")
    harness.azure.forget_requests()

    def interfere() -> None:
        hub = arm().get(arm().ids.hub_vnet)
        assert hub is not None
        arm().put(arm().ids.hub_vnet, as_sent({**hub, "tags": {"changed": "meanwhile"}}))
        harness.pass_time(10)

    harness.network.after("GET", f"{hub_side(harness, 1)}$", interfere)
    harness.write_hub()
    statuses = [each["status"] for each in writes(harness) if each["path"].endswith("hub-to-spoke-1")]
    assert statuses[0] == 412
    assert len(statuses) == 2
    assert states(harness, 1) == (None, None)
