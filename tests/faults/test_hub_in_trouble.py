"""One of two hubs gets into trouble while something is under way in both: the other one's deployment takes as long as without
it, and what waited goes on when the trouble is over."""

from typing import Any

import pytest

from shared.settings import at
from shared.tables.places import hub_of_run
from shared.tables.records import Records
from tests.faults.conftest import Use
from tests.faults.layouts import FAR, HUB_SUBSCRIPTION, NEAR, SPOKES_SUBSCRIPTION, TWO_HUBS
from tests.faults.simulation import Simulation
from triggers.deployments import _run

Document = dict[str, Any]
OF_FAR = f"^/subscriptions/({HUB_SUBSCRIPTION}|{SPOKES_SUBSCRIPTION})"
# Longer than a whole deployment.
LONG = 900


def deployed_far(simulation: Simulation) -> str:
    """A deployment on the far hub that waits as long as in Azure."""
    run = simulation.deploy(1001, hub="far", gateway="far-agw")
    with at(hub_of_run(run)):
        row = simulation.run_row(run)
        names = ("step_deadline_seconds", "vm_deadline_seconds", "shared_deadline_seconds")
        Records().change_run(row, policy=row.policy | dict.fromkeys(names, 7200.0))
    return run


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
        ("throttled", "gateway_round", "The request is being throttled."),
        pytest.param("throttled", "write_hub_side", "The request is being throttled.", marks=pytest.mark.full),
    ],
)
def test_what_waits_for_a_writer_goes_on_when_it_is_over(
    simulation: Simulation, use: Use, trouble: str, activity: str, said: str
) -> None:
    use([NEAR, FAR])
    far = deployed_far(simulation)
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
