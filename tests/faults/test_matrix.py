"""The fault matrix of a deployment: what may end it, at every call that it makes.

The ordinary run takes what `catalogue.ordinary` chooses, and what passes in `test_matrix_passing`, several calls in one
run; `make test-full` takes every call with everything by itself.
"""

import pytest

from tests.faults.catalogue import (
    DELETE,
    DEPLOY,
    LOOK_BEFORE_A_DELETE,
    WRITERS,
    FaultKind,
    caller_of,
    calls_of,
    cases_of,
)
from tests.faults.conftest import SimulationAt
from tests.faults.layouts import LAYOUTS
from tests.faults.simulation import Simulation


@pytest.mark.parametrize("layout", LAYOUTS, ids=str, indirect=True)
def test_the_matrix_names_every_call_of_a_deployment_and_of_a_delete(simulation: Simulation) -> None:
    run = simulation.deploy()
    simulation.play_out()
    simulation.check(run, "completed")
    assert sorted(set(simulation.wire.calls)) == sorted(calls_of(DEPLOY))
    simulation.wire.calls.clear()
    removal = simulation.delete()
    simulation.play_out()
    simulation.check(removal, "deleted")
    assert sorted(set(simulation.wire.calls) - LOOK_BEFORE_A_DELETE) == sorted(calls_of(DELETE))


@cases_of("deploy")
def test_a_deployment_ends_well_or_leaves_nothing(simulation_at: SimulationAt, call: str, kind: FaultKind) -> None:
    simulation, fault = simulation_at("deploy", caller_of(call)), kind.at(call)
    run = simulation.take_up(fault)
    watcher, simulation.look_every = simulation.watch(run), 15
    simulation.until_ended(run)
    assert fault.struck, "the fault struck nobody"
    watcher.look()
    if call == "validate_config: GET skus":
        simulation.complete = None  # a size of which nothing is known gets a VM without trusted launch
    ended = simulation.check(run, *_expected(call, kind))
    assert watcher.looks[-1]["status"] == ended
    simulation.clear_faults()
    if ended == "rollback_failed":
        again = simulation.retry()
        simulation.play_out()
        simulation.check(again, "failed")


def _expected(call: str, kind: FaultKind) -> set[str]:
    """How a deployment may end. What a rollback needs, too, can keep it from finishing; nothing else can."""
    if kind.passes:
        return {"completed"}
    if kind.name == "never ends":
        return {"failed", "rollback_failed"}
    if kind.permanent:
        return {"failed", "rollback_failed"} if caller_of(call) in WRITERS else {"failed"}
    return {"completed", "failed"}
