"""The gateway's writer broken off: killed, doubled, without an answer, its tables away. Nothing is written twice."""

from functools import partial

import pytest
import requests

from activities import gateway_writer
from shared.saga.outcomes import Done, Pending
from shared.settings import current_settings
from shared.writers.gateway.site_rows import RUNNING
from shared.writers.instances import policy_of
from shared.writers.writer_tables import gateway_sites
from tests.activities.network import A_TRANSACTION
from tests.activities.writers import (
    BEFORE_OR_AFTER,
    FENCE,
    GATEWAY,
    WriterHarness,
    each_of,
    kill,
    kill_at,
    kill_at_each,
)

GATEWAY_ROWS = r"GatewaySites|/\$batch$"


# A PUT whose sender doesn't live to see the answer is one whose answer is lost, below.
@pytest.mark.parametrize("but", [pytest.param("", marks=pytest.mark.full, id="all"), "PUT https"])
def test_a_writer_that_is_killed_at_one_request_after_the_other_goes_on(harness: WriterHarness, but: str) -> None:
    harness.want_site(1)
    run, _ = harness.want_site(2)
    died = kill_at_each(harness, "gateway", but)
    assert len(died) >= 16
    if but:
        assert {name for name, *_ in died} == {"gateway_round", "poll_gateway"}
    assert harness.reached([1, 2]) == [1, 2]
    assert len([each for each in harness.gateway_puts() if each["status"] < 400]) == 1
    assert isinstance(harness.step(run, "update_agw", private_ip="10.11.2.4"), Done)


@BEFORE_OR_AFTER
@each_of(24)
def test_a_writer_that_is_killed_anywhere_goes_on(harness: WriterHarness, victim: int, after: bool) -> None:
    harness.want_site(1)
    run, _ = harness.want_site(2)
    requests = kill_at(victim, harness, after=after)
    harness.write_gateway()
    assert next(requests) > victim, "the host was never killed"
    assert harness.reaches(1)
    assert harness.reaches(2)
    assert len([each for each in harness.gateway_puts() if each["status"] < 400]) == 1
    assert isinstance(harness.step(run, "update_agw", private_ip="10.11.2.4"), Done)


def test_a_writer_killed_before_it_fixes_its_own_failure_knows_it_for_its_own(harness: WriterHarness) -> None:
    harness.azure.fault(method="PUT", path=GATEWAY, mode="fail_operation", code="Odd", message="client-1-pool: no.")
    harness.want_site(1)
    harness.network.before("PUT", GATEWAY, kill, skip=1)
    harness.after_a_kill = lambda: harness.want_sites([2])
    harness.write_gateway()
    assert harness.reached([1, 2]) == [2]
    site = harness.site(1)
    assert site is not None
    assert site.error is not None
    assert site.error.code == "Odd"


def test_a_pass_that_runs_twice_writes_once(harness: WriterHarness) -> None:
    harness.want_site(1)
    harness.runs_of_a_call = 2
    harness.write_gateway()
    assert harness.reaches(1)
    assert len(harness.gateway_puts()) == 1


def test_two_writers_at_once_are_kept_apart_by_the_fence(harness: WriterHarness) -> None:
    """The second comes between the first one's decision and its fence."""
    harness.want_site(1)
    harness.network.before("POST", A_TRANSACTION, harness.write_gateway, body=FENCE)
    harness.write_gateway()
    assert harness.reaches(1)
    assert len(harness.gateway_puts()) == 1


def test_a_writer_that_slept_after_a_mark_does_not_take_up_another_ones_fence(harness: WriterHarness) -> None:
    """Between its mark and its next look at the rows another writer has come, fenced, and sent its PUT."""
    harness.want_site(1)
    harness.pass_time(60)
    policy = policy_of(current_settings())

    def another_comes() -> None:
        harness.pass_time(100)
        assert gateway_writer.gateway_round({}, policy)["state"]["operation"]

    harness.network.after("POST", A_TRANSACTION, another_comes, body="site:client-1")
    gateway_writer.gateway_round({}, policy)
    writer, _ = gateway_sites().everything()
    assert writer.phase == RUNNING, "the PUT of the other one is still known"
    harness.write_gateway()
    assert harness.reaches(1)
    assert [each["status"] for each in harness.gateway_puts()] == [200]


def test_a_read_that_fails_before_the_put_keeps_no_site_waiting_for_an_answer(harness: WriterHarness) -> None:
    harness.want_site(1)
    fails = partial(harness.azure.fault, method="GET", path=GATEWAY, mode="refuse", status=500)
    harness.network.after("POST", A_TRANSACTION, fails, body=FENCE)
    began = harness.now.moment
    harness.write_gateway()
    assert harness.reaches(1)
    assert (harness.now.moment - began).total_seconds() < 70, "an unanswered PUT is waited for 80 s"


@pytest.mark.parametrize("status", [429, pytest.param(503, marks=pytest.mark.full)])
def test_a_throttled_put_waits_as_long_as_it_is_told(harness: WriterHarness, status: int) -> None:
    harness.azure.fault(method="PUT", path=GATEWAY, mode="refuse", status=status, code="ServerBusy", retry_after=17)
    harness.want_site(1)
    began = harness.now.moment
    harness.write_gateway()
    assert harness.reaches(1)
    assert (harness.now.moment - began).total_seconds() > 17


# What goes wrong one after the other while a site is written.
FAILURES = [("GET", GATEWAY, 403), ("PUT", GATEWAY, 429), ("PUT", GATEWAY, 500), ("GET", "/operations/", 500)]


def test_who_waits_is_told_what_the_writer_waits_for(harness: WriterHarness) -> None:
    run, _ = harness.want_site(1)
    for method, path, status in FAILURES:
        message = f"Not before {method} {path} {status}."
        harness.azure.fault(method=method, path=path, times=1, mode="refuse", status=status, message=message)
    reasons = []

    def ask(name: str) -> None:
        outcome = harness.step(run, "update_agw", private_ip="10.11.1.4")
        reasons.append(outcome.reason if isinstance(outcome, Pending) else "")

    harness.before_call = ask
    harness.write_gateway()
    for method, path, status in FAILURES:
        assert any(f"Not before {method} {path} {status}." in reason for reason in reasons)
    assert harness.reaches(1)
    assert gateway_sites().everything()[0].retry_reason == ""


@pytest.mark.parametrize("mode", ["drop_reply", "refuse"])
def test_a_put_without_an_answer_is_never_doubled(harness: WriterHarness, mode: str) -> None:
    if mode == "drop_reply":
        harness.azure.fault(method="PUT", path=GATEWAY, mode="drop_reply")
    else:
        harness.azure.fault(method="PUT", path=GATEWAY, mode="refuse", status=502, code="BadGateway")
    harness.want_site(1)
    harness.write_gateway()
    assert harness.reaches(1)
    accepted = [each for each in harness.gateway_puts() if each["status"] in (200, 201)]
    assert len(accepted) == 1


def test_a_table_that_is_busy_only_delays(harness: WriterHarness) -> None:
    harness.want_site(1)
    number = iter(range(10_000))

    def is_busy() -> None:
        # Three in turn: the client tries twice more by itself.
        if harness.calls and next(number) % 9 < 3:
            raise requests.ConnectionError("broken off")

    harness.network.before("", GATEWAY_ROWS, is_busy, times=None)
    harness.write_gateway()
    assert harness.reaches(1)
    assert len([each for each in harness.gateway_puts() if each["status"] < 400]) == 1
