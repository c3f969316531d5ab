"""Both writers on a Durable engine: generations, activities that break off, waits of days, a host that is killed."""

from typing import Any

import pytest

from orchestrators import write_gateway
from shared.saga.outcomes import Done
from shared.writers.peering import schedule
from shared.writers.writer_tables import gateway_sites
from tests.activities.peerings import ready, states
from tests.activities.writers import WriterHarness

GATEWAY_CALLS = ["gateway_round", "poll_gateway"]
WRITTEN = {"gateway": "/applicationGateways/hub-agw$", "hub": "hub-to-spoke-1$"}
HUB_CALLS = ["hub_round", "write_hub_side", "write_spoke_side", "settle_spoke_sides", "hand_over_hub"]


def ask(harness: WriterHarness, which: str) -> Any:
    """A spoke asks for its site, or for its peering; what tells whether it has it."""
    if which == "gateway":
        harness.want_site(1)
        return lambda: harness.reaches(1) and len(harness.gateway_puts()) == 1
    [run] = ready(harness, 1)
    return lambda: (
        states(harness, 1) == ("Connected", "Connected") and isinstance(harness.step(run, "create_peering"), Done)
    )


@pytest.mark.parametrize("which", ["gateway", "hub"])
def test_activities_that_break_off_do_not_break_their_writer(harness: WriterHarness, which: str) -> None:
    """Each of its activities once."""
    is_there = ask(harness, which)
    sound = set(GATEWAY_CALLS if which == "gateway" else HUB_CALLS[:-1])

    def break_off(called: str) -> None:
        if called in sound:
            sound.remove(called)
            raise RuntimeError("the process died")

    harness.before_call = break_off
    harness.play(which)
    assert not sound, "each was called"
    assert is_there()


@pytest.mark.parametrize("which", ["gateway", "hub"])
def test_a_writer_continues_as_new_and_knows_what_it_was_doing(harness: WriterHarness, which: str) -> None:
    is_there = ask(harness, which)
    harness.azure.fault(method="PUT", path=WRITTEN[which], mode="slow", seconds=230 if which == "gateway" else 70)
    calls = harness.play(which)
    assert len(calls) > (write_gateway.CALLS_A_GENERATION if which == "gateway" else schedule.CALLS_A_GENERATION)
    assert len(harness.stage.history(harness.instance_id(which))) < 250, "of the last generation alone"
    assert is_there()
    written = [
        each
        for each in harness.azure.requests("PUT")
        if each["path"].endswith(WRITTEN[which].strip("/$").split("/")[-1])
    ]
    assert len(written) == 1


@pytest.mark.parametrize("which", ["gateway", "hub"])
def test_a_retry_after_of_days_does_not_stop_a_writer_for_days(harness: WriterHarness, which: str) -> None:
    """All rows wait for it, and no deadline ends it. Twenty minutes, Azure's longest, are waited out."""
    is_there = ask(harness, which)
    path = "/applicationGateways/hub-agw$" if which == "gateway" else "virtualNetworks/hub-vnet$"
    for seconds in (1200, 1_000_000):
        harness.azure.fault(method="GET", path=path, mode="refuse", status=429, retry_after=seconds, times=1)
    began = harness.now.moment
    harness.play(which)
    assert 1200 <= (harness.now.moment - began).total_seconds() < 3600
    assert is_there()


# So many polls that there are more commits than a host is killed after.
SLOW = {"gateway": 60, "hub": 20}


@pytest.mark.parametrize("which", ["gateway", "hub"])
def test_a_host_that_is_killed_after_every_third_commit_goes_on(harness: WriterHarness, which: str) -> None:
    is_there = ask(harness, which)
    harness.azure.fault(method="PUT", path=WRITTEN[which], mode="slow", seconds=SLOW[which])
    assert harness.stage.survive_all(3, lambda: harness.play(which)) >= 8
    assert is_there()


@pytest.mark.full
@pytest.mark.parametrize("which", ["gateway", "hub"])
@pytest.mark.parametrize("commits", range(1, 24))
def test_a_host_that_is_killed_after_any_commit_goes_on(harness: WriterHarness, which: str, commits: int) -> None:
    is_there = ask(harness, which)
    harness.azure.fault(method="PUT", path=WRITTEN[which], mode="slow", seconds=SLOW[which])
    harness.stage.crash_after(commits)
    assert harness.stage.survive(lambda: harness.play(which)), "it was killed"
    harness.stage.crash()
    harness.play(which)
    assert is_there()


def test_a_row_that_comes_while_its_writer_ends_is_applied_by_it(harness: WriterHarness) -> None:
    """Who writes it finds a writer that runs, and doesn't start another; the writer has read the rows before."""
    gateway_sites().writer()
    # The writer's row alone, to see who the writer is; then all rows.
    harness.network.after("GET", "GatewaySites", lambda: harness.want_sites([1]), skip=1)
    calls = harness.write_gateway()
    assert harness.reaches(1)
    assert calls.count("gateway_round") >= 3
