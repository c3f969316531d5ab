"""The fault matrix of a deployment: what may end it, at every call that it makes.

The ordinary run takes what `catalogue.ordinary` chooses: one kind at many calls, one after the other; and what passes in
`test_matrix_passing`. `make test-full` takes every call with everything by itself, too.
"""

import pytest

from tests.faults.catalogue import (
    DELETE,
    DEPLOY,
    LOOK_BEFORE_A_DELETE,
    WRITERS,
    Case,
    FaultKind,
    caller_of,
    calls_of,
    cases_of,
    struck_of,
)
from tests.faults.conftest import SimulationAt
from tests.faults.layouts import LAYOUTS
from tests.faults.simulation import Simulation
from tests.faults.wire import Fault


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
def test_a_deployment_ends_well_or_leaves_nothing(simulation_at: SimulationAt, case: Case) -> None:
    def play(simulation: Simulation, run: str, faults: list[Fault]) -> None:
        watcher, simulation.look_every = simulation.watch(run), 15
        simulation.until(lambda: simulation.rolls_back() or simulation.has_ended(run))
        # A rollback makes some of the same calls: what has not struck has to meet the next deployment.
        simulation.wire.faults = [fault for fault in faults if fault.struck]
        struck = struck_of(faults)
        simulation.until_ended(run)
        watcher.look()
        if "validate_config: GET skus" in struck:
            simulation.complete = None  # a size of which nothing is known gets a VM without trusted launch
        ended = simulation.check(run, *_expected(case.kind, struck))
        assert watcher.looks[-1]["status"] == ended
        simulation.clear_faults()
        if ended == "rollback_failed":
            again = simulation.retry()
            simulation.play_out()
            simulation.check(again, "failed")

    case.meet(simulation_at, play)


def _expected(kind: FaultKind, struck: list[str]) -> set[str]:
    """How a deployment may end. What a rollback needs, too, can keep it from finishing; nothing else can."""
    if kind.passes:
        return {"completed"}
    if kind.name == "never ends":
        return {"failed", "rollback_failed"}
    if kind.permanent:
        return {"failed", "rollback_failed"} if WRITERS.intersection(map(caller_of, struck)) else {"failed"}
    return {"completed", "failed"}
