"""The fault matrix of a delete, and of the rollback that calls the same: what may keep it from finishing.

The ordinary run takes what `catalogue.pairwise` chooses, one half for each, and what passes in `test_matrix_passing`, several calls in one
run; `make test-full` takes every call with everything by itself.
"""

import pytest

from tests.faults.catalogue import DELETE, LOOK_BEFORE_A_DELETE, FaultKind, caller_of, calls_of, cases_of, shared_out
from tests.faults.conftest import SimulationAt
from tests.faults.layouts import LAYOUTS
from tests.faults.simulation import Simulation


@pytest.mark.parametrize("layout", LAYOUTS, ids=str, indirect=True)
def test_the_matrix_names_every_call_of_a_delete(simulation: Simulation) -> None:
    run = simulation.deploy()
    simulation.play_out()
    simulation.check(run, "completed")
    simulation.wire.calls.clear()
    removal = simulation.delete()
    simulation.play_out()
    simulation.check(removal, "deleted")
    assert sorted(set(simulation.wire.calls) - LOOK_BEFORE_A_DELETE) == sorted(calls_of(DELETE))


@cases_of(DELETE, shared_out(DELETE, "delete"))
def test_a_delete_ends_or_says_what_is_left(simulation_at: SimulationAt, call: str, kind: FaultKind) -> None:
    simulation, fault = simulation_at("delete", caller_of(call)), kind.at(call)
    removal = simulation.take_up(fault)
    watcher, simulation.look_every = simulation.watch(removal), 5
    simulation.until_ended(removal)
    assert fault.struck, "the fault struck nobody"
    watcher.look()
    ended = simulation.check(removal, "deleted", *([] if kind.passes else ["rollback_failed"]))
    simulation.clear_faults()
    if ended == "rollback_failed":
        again = simulation.retry()
        simulation.play_out()
        simulation.check(again, "deleted")


@cases_of(DELETE, shared_out(DELETE, "rollback"))
def test_a_rollback_ends_or_says_what_is_left(simulation_at: SimulationAt, call: str, kind: FaultKind) -> None:
    simulation, fault = simulation_at("rollback", caller_of(call)), kind.at(call)
    run = simulation.take_up(fault)
    watcher, simulation.look_every = simulation.watch(run), 5
    simulation.until_ended(run)
    assert fault.struck, "the fault struck nobody"
    watcher.look()
    ended = simulation.check(run, "failed", *([] if kind.passes else ["rollback_failed"]))
    simulation.clear_faults()
    if ended == "rollback_failed":
        again = simulation.retry()
        simulation.play_out()
        simulation.check(again, "failed")
