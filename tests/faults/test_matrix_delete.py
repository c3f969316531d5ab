"""The fault matrix of a delete, and of the rollback that calls the same: what may keep it from finishing.

The ordinary run takes what `catalogue.ordinary` chooses: one kind at many calls, which a run meets as far as it gets, and
its retries the others; and what passes in `test_matrix_passing`. `make test-full` takes every call with everything by
itself, too.
"""

import functools

from tests.faults.catalogue import Case, cases_of, struck_of
from tests.faults.conftest import SimulationAt
from tests.faults.simulation import Simulation
from tests.faults.wire import Fault


@cases_of("delete")
def test_a_delete_ends_or_says_what_is_left(simulation_at: SimulationAt, case: Case) -> None:
    case.meet(simulation_at, functools.partial(_play, case, "deleted"))


@cases_of("rollback")
def test_a_rollback_ends_or_says_what_is_left(simulation_at: SimulationAt, case: Case) -> None:
    case.meet(simulation_at, functools.partial(_play, case, "failed"))


def _play(case: Case, end: str, simulation: Simulation, run: str, faults: list[Fault]) -> None:
    """To its end, with as many retries as there are calls that keep it from there."""
    struck, ended = 0, ""
    while ended != end:
        watcher, simulation.look_every = simulation.watch(run), 15
        simulation.until_ended(run)
        before, struck = struck, len(struck_of(faults))
        watcher.look()
        excused = struck > before and not case.kind.passes
        ended = simulation.check(run, end, *(["rollback_failed"] if excused else []))
        assert watcher.looks[-1]["status"] == ended
        simulation.clear_faults()
        if ended != end:
            simulation.watchers.clear()
            run = simulation.retry()
