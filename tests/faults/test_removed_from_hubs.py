"""A hub, or one gateway of it, is taken out of `HUBS` while spokes live on it: they are shown as they are and left alone,
nothing of them is forgotten, everything else goes on, and so do they when it is put back."""

from typing import Any

import pytest
from azure.functions import HttpRequest

from shared.errors import DeploymentException
from tests.faults.conftest import Use
from tests.faults.layouts import FAR, NEAR, TWO_HUBS
from tests.faults.simulation import Simulation, _parts_of
from triggers import status, timers, use_cases
from triggers.deployments import _run
from triggers.http.queries import Filters
from triggers.http.wiring import ROUTES, Call
from triggers.spokes import _page, _runs, _view

Document = dict[str, Any]
BOTH = [NEAR, FAR]
WITHOUT = {"hub": [NEAR], "gateway": [NEAR, FAR | {"gateways": FAR["gateways"][:1]}]}
NAMES = {"hub": "far", "gateway": "far-agw"}
CODES = {"hub": "HubNotConfigured", "gateway": "GatewayNotConfigured"}
TIMERS = (
    timers.start_accepted_runs,
    timers.sweep_terminated_runs,
    timers.repair_gateway,
    timers.repair_hub,
    timers.repair_security_rules,
    timers.report_orphans,
    timers.report_capacity,
    timers.watch_health,
    timers.forget_old_keys,
    timers.forget_old_runs,
)


def run_timers(simulation: Simulation) -> None:
    """At their next time, with what they start."""
    simulation.play_for(300)
    for timer in TIMERS:
        simulation.stage.run(timer(simulation.stage.client()))
    simulation.play_out()


def far_rows(simulation: Simulation) -> Document:
    """The rows of the spoke on the far hub's second gateway, and of its writer. Only that a run has been seen to end is
    noted where its hub is there."""
    rows = simulation.snapshot().rows
    return {
        f"{table}/{key}": row | {"confirmed": None}
        for table, found in rows.items()
        for key, row in found.items()
        if "1001" in key or row["PartitionKey"].endswith(":far-agw")
    }


def refusal_of(work: Any, *given: Any) -> str:
    with pytest.raises(DeploymentException) as refused:
        work(*given)
    assert refused.value.failure.hint
    return refused.value.failure.code


def dependencies(simulation: Simulation) -> dict[str, tuple[str, str]]:
    answer = simulation.stage.run(status._asked())
    assert answer.status == 200, answer.body
    return {name: (each.status, each.message) for name, each in answer.body.dependencies.items()}


def test_its_spokes_are_shown_and_left_alone_and_the_others_looked_after(
    deployed: tuple[Simulation, str], use: Use
) -> None:
    simulation, near = deployed
    use(BOTH)
    far = simulation.deploy(1001, hub="far", gateway="far-agw")
    simulation.play_out()
    assert [_run(run).status for run in (near, far)] == ["completed"] * 2
    before, rows = simulation.snapshot().resources, far_rows(simulation)
    vnets = [simulation.resource("virtualNetworks", "hub-vnet"), TWO_HUBS.hub_vnet]
    lost = [f"{vnet}/virtualNetworkPeerings/hub-to-spoke-{n}" for vnet, n in zip(vnets, (1, 1001), strict=True)]
    for removed, left_alone in (("gateway", False), ("hub", True)):
        use(WITHOUT[removed])
        # What a timer would repair; of a hub that is there also the peerings of a gateway that isn't.
        for peering in lost:
            simulation.azure.remove(peering)
        run_timers(simulation)
        after = simulation.snapshot().resources
        assert after[vnets[0].lower()] == before[vnets[0].lower()], "the other hub's peering is repaired"
        assert ("hub-to-spoke-1001" not in str(after[vnets[1].lower()])) == left_alone
        assert_shown_as_it_is(simulation, far, removed)
        assert far_rows(simulation) == rows or not left_alone
        rows = far_rows(simulation)

    removal = simulation.delete(1)
    simulation.play_out()
    assert _run(removal).status == "deleted"
    use(BOTH)
    run_timers(simulation)
    assert simulation.snapshot().resources[vnets[1].lower()] == before[vnets[1].lower()], "it is looked after again"
    removal = simulation.delete(1001)
    simulation.play_out()
    assert _run(removal).status == "deleted"


def assert_shown_as_it_is(simulation: Simulation, far: str, removed: str) -> None:
    found = dependencies(simulation)
    assert [name for name, (state, _) in found.items() if state != "ok"] == [
        "tables" if removed == "hub" else "tables far"
    ]
    assert f"{removed} {NAMES[removed]}" in str(found)
    assert [each.spoke_id for each in _page(Filters(), 0, 10).spokes] == [1, 1001]
    assert [each.spoke_id for each in _page(Filters(hub="far"), 0, 10).spokes] == [1001]
    assert _view(1001).status == _run(far).status == "completed"
    assert [each.deployment_id for each in _runs(1001)] == [far]
    route = next(each for each in ROUTES if each.path == "capacity")
    call = Call(HttpRequest("GET", "http://localhost/api/capacity", body=b""), route)
    assert simulation.stage.run(status.get_capacity(call)).body.unknown == []
    for change in (simulation.delete, use_cases.retry, lambda spoke_id: use_cases.remove(spoke_id, force=True)):
        assert refusal_of(change, 1001) == CODES[removed]


@pytest.mark.parametrize(
    ("removed", "activity"), [("hub", "poll_gateway"), pytest.param("gateway", "create_vm", marks=pytest.mark.full)]
)
def test_a_deployment_under_way_waits_until_it_is_put_back(
    simulation: Simulation, use: Use, removed: str, activity: str
) -> None:
    use(BOTH)
    far = simulation.deploy(1001, hub="far", gateway="far-agw")
    simulation.give_time(far)
    simulation.until_pending(activity)
    use(WITHOUT[removed])
    near = simulation.deploy(1)
    simulation.until_ended(near)
    assert _run(near).status == "completed"
    waits = _run(far)
    assert waits.status == "in_progress"
    assert f"The {removed} {NAMES[removed]}" in str([step.message for step in waits.deployment_steps])
    assert refusal_of(simulation.delete, 1001) == CODES[removed]
    use(BOTH)
    simulation.play_out()
    assert _run(far).status == "completed"


@pytest.mark.parametrize("removed", [pytest.param("hub", marks=pytest.mark.full), "gateway"])
def test_what_has_waited_in_vain_is_named_as_left_behind_and_removed_when_it_is_put_back(
    simulation: Simulation, use: Use, removed: str
) -> None:
    use(BOTH)
    far = simulation.deploy(1001, hub="far", gateway="far-agw")
    simulation.until_pending("create_vm")
    use(WITHOUT[removed])
    before, asked = simulation.before.resources, len(simulation.azure.requests())
    simulation.play_out()
    assert _run(far).status == "rollback_failed"
    error = _view(1001).error
    assert error is not None
    assert error["details"]["last_code"] == CODES[removed]
    left = {each["resource"].lower() for each in _view(1001).left_behind}
    made = _parts_of(simulation.snapshot().resources).keys() - _parts_of(before).keys()
    assert left >= {each for each in made if "/subnets/" not in each}, "each thing that it made"
    assert len(simulation.azure.requests()) == asked or removed == "gateway"
    use(BOTH)
    rollback = simulation.retry(1001)
    simulation.play_out()
    assert _run(rollback).status == "failed"
    simulation.assert_nothing_left(simulation.snapshot())
