"""The fault matrix of a delete, and of the rollback that calls the same: what may keep it from finishing.

The ordinary run takes what `catalogue.ordinary` chooses, a part for each, and what passes in `test_matrix_passing`, several
calls in one run; `make test-full` takes every call with everything by itself.
"""

from tests.faults.catalogue import FaultKind, caller_of, cases_of
from tests.faults.conftest import SimulationAt


@cases_of("delete")
def test_a_delete_ends_or_says_what_is_left(simulation_at: SimulationAt, call: str, kind: FaultKind) -> None:
    simulation, fault = simulation_at("delete", caller_of(call)), kind.at(call)
    removal = simulation.take_up(fault)
    watcher, simulation.look_every = simulation.watch(removal), 15
    simulation.until_ended(removal)
    assert fault.struck, "the fault struck nobody"
    watcher.look()
    ended = simulation.check(removal, "deleted", *([] if kind.passes else ["rollback_failed"]))
    simulation.clear_faults()
    if ended == "rollback_failed":
        again = simulation.retry()
        simulation.play_out()
        simulation.check(again, "deleted")


@cases_of("rollback")
def test_a_rollback_ends_or_says_what_is_left(simulation_at: SimulationAt, call: str, kind: FaultKind) -> None:
    simulation, fault = simulation_at("rollback", caller_of(call)), kind.at(call)
    run = simulation.take_up(fault)
    watcher, simulation.look_every = simulation.watch(run), 15
    simulation.until_ended(run)
    assert fault.struck, "the fault struck nobody"
    watcher.look()
    ended = simulation.check(run, "failed", *([] if kind.passes else ["rollback_failed"]))
    simulation.clear_faults()
    if ended == "rollback_failed":
        again = simulation.retry()
        simulation.play_out()
        simulation.check(again, "failed")
