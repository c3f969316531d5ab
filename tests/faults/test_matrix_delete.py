"""The fault matrix of a delete, and of the rollback that calls the same: what may keep it from finishing.

The ordinary run takes what `catalogue.ordinary` chooses: one kind at many calls, which a run meets as far as it gets, and
its retries the others; and what passes in `test_matrix_passing`. `make test-full` takes every call with everything by
itself, too.
"""

from tests.faults.catalogue import Case, caller_of, cases_of
from tests.faults.conftest import SimulationAt
from tests.faults.simulation import Simulation


@cases_of("delete")
def test_a_delete_ends_or_says_what_is_left(simulation_at: SimulationAt, case: Case) -> None:
    left = case.calls
    while left:
        left = _left_after_a_run(simulation_at("delete", *map(caller_of, left)), case, left, "deleted")


@cases_of("rollback")
def test_a_rollback_ends_or_says_what_is_left(simulation_at: SimulationAt, case: Case) -> None:
    left = case.calls
    while left:
        left = _left_after_a_run(simulation_at("rollback", *map(caller_of, left)), case, left, "failed")


def _left_after_a_run(simulation: Simulation, case: Case, calls: tuple[str, ...], end: str) -> tuple[str, ...]:
    """Those of the calls at which the fault has not struck before a run, retried as often as needed, was at its end."""
    faults = case.faults_at(calls)
    run, struck, ended = simulation.take_up(*faults), list[str](), ""
    while ended != end:
        watcher, simulation.look_every = simulation.watch(run), 15
        simulation.until_ended(run)
        before, struck = struck, [fault.call for fault in faults if fault.struck]
        with case.told(struck):
            watcher.look()
            excused = len(struck) > len(before) and not case.kind.passes
            ended = simulation.check(run, end, *(["rollback_failed"] if excused else []))
            assert watcher.looks[-1]["status"] == ended
            simulation.clear_faults()
            if ended != end:
                simulation.watchers.clear()
                run = simulation.retry()
    assert struck, "the fault struck nobody"
    return tuple(call for call in calls if call not in struck)
