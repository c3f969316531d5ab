"""One of two hubs gets into trouble while something is under way in both: the other one's deployment takes as long as without
it, and what waited goes on when the trouble is over."""

import contextlib
from typing import Any

import pytest

from shared.errors import HubSpokeException
from tests.faults.conftest import Use
from tests.faults.layouts import FAR, HUB_SUBSCRIPTION, NEAR, SPOKES_SUBSCRIPTION, TWO_HUBS
from tests.faults.simulation import Simulation
from triggers import timers
from triggers.deployments import _run

Document = dict[str, Any]
OF_FAR = f"^/subscriptions/({HUB_SUBSCRIPTION}|{SPOKES_SUBSCRIPTION})"
# Longer than a whole deployment.
LONG = 900


def seconds_of_near(simulation: Simulation) -> float:
    """How long a deployment on the near hub takes."""
    began = simulation.clock.now()
    near = simulation.deploy(1)
    simulation.until_ended(near)
    assert _run(near).status == "completed"
    return simulation.clock.now() - began


def messages_of(run: str) -> str:
    return str([step.message for step in _run(run).deployment_steps if step.status == "in_progress"])


def begin(simulation: Simulation, trouble: str) -> None:
    if trouble == "VNet gone":
        simulation.azure.remove(TWO_HUBS.hub_vnet)
    else:
        simulation.azure.fault(mode="refuse", path=OF_FAR, times=None, status=429, retry_after=LONG)


@pytest.mark.parametrize(
    ("trouble", "activity", "said"),
    [
        ("VNet gone", "hub_round", "The hub's VNet far-vnet isn't there."),
        pytest.param("throttled", "gateway_round", "The request is being throttled.", marks=pytest.mark.full),
        pytest.param("throttled", "write_hub_side", "The request is being throttled.", marks=pytest.mark.full),
    ],
)
def test_what_waits_for_a_writer_goes_on_when_it_is_over(
    simulation: Simulation, use: Use, trouble: str, activity: str, said: str
) -> None:
    use([NEAR, FAR])
    far = simulation.deploy(1001, hub="far", gateway="far-agw")
    simulation.give_time(far)
    simulation.until_pending(activity)
    before = simulation.azure.find(TWO_HUBS.hub_vnet)
    assert before is not None
    begin(simulation, trouble)
    assert seconds_of_near(simulation) < LONG / 2
    assert said in messages_of(far)
    if trouble == "VNet gone":
        simulation.azure.plant(before)
    else:
        simulation.azure.client.delete("/_local/faults").raise_for_status()
    simulation.play_out()
    assert _run(far).status == "completed"


@pytest.mark.parametrize("trouble", ["no rights", pytest.param("throttled", marks=pytest.mark.full)])
def test_timers_repair_the_other_hub_and_this_one_when_it_is_over(
    deployed: tuple[Simulation, str], use: Use, trouble: str
) -> None:
    simulation, near = deployed
    use([NEAR, FAR])
    runs = [near, simulation.deploy(1001, hub="far", gateway="far-agw")]
    simulation.play_out()
    assert [_run(run).status for run in runs] == ["completed"] * 2
    vnets = [simulation.resource("virtualNetworks", "hub-vnet"), TWO_HUBS.hub_vnet]
    lost = [f"{vnet}/virtualNetworkPeerings/hub-to-spoke-{n}" for vnet, n in zip(vnets, (1, 1001), strict=True)]
    groups = [simulation.resource("networkSecurityGroups", "spoke-nsg-1")]
    groups.append(next(each["id"] for each in simulation.azure.resources() if each["name"] == "spoke-nsg-1001"))
    before = [simulation.azure.find(each) for each in groups]
    for each in lost:
        simulation.azure.remove(each)
    for group in before:
        assert group is not None
        rules = [rule for rule in group["properties"]["securityRules"] if rule["name"] != "AllowWebToApp"]
        simulation.azure.plant(group | {"properties": group["properties"] | {"securityRules": rules}})

    status = 429 if trouble == "throttled" else 403
    simulation.azure.fault(mode="refuse", path=OF_FAR, times=None, status=status, retry_after=LONG)
    run_timers(simulation)
    assert [is_there(simulation, *each) for each in zip(lost, groups, strict=True)] == [(True, True), (False, False)]

    simulation.azure.client.delete("/_local/faults").raise_for_status()
    simulation.play_for(LONG)
    run_timers(simulation)
    assert [is_there(simulation, *each) for each in zip(lost, groups, strict=True)] == [(True, True)] * 2


def run_timers(simulation: Simulation) -> None:
    """With what they start, as long as a deployment takes. A hub's failure is raised when the others have had their turn."""
    for timer in (timers.repair_gateway, timers.repair_hub, timers.repair_security_rules, timers.report_orphans):
        with contextlib.suppress(HubSpokeException):
            simulation.stage.run(timer(simulation.stage.client()))
    simulation.play_for(300)


def is_there(simulation: Simulation, peering: str, group: str) -> tuple[bool, bool]:
    vnet, found = simulation.azure.find(peering.rpartition("/virtualNetworkPeerings/")[0]), simulation.azure.find(group)
    return peering in str(vnet), "AllowWebToApp" in str(found)
