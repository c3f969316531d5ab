"""The fault matrix of what passes: at every call of a deployment, of a rollback and of a delete, the work goes on, late.

The ordinary run mixes them: in each run two other kinds at each step, so that each kind meets each step and each way of
calling. Deletes and rollbacks, which call the same, take turns. `make test-full` takes each kind by itself at every call.
"""

import functools
from collections.abc import Callable

import pytest

from tests.faults.catalogue import DELETE, DEPLOY, KINDS, Matrix, Met, mixed_runs, runs_of
from tests.faults.checkpoints import BEGINNING
from tests.faults.conftest import NewSimulation, SimulationAt
from tests.faults.layouts import LAYOUTS
from tests.faults.simulation import Simulation


def cases(matrix: Matrix, count: int, turn: int | None = None) -> pytest.MarkDecorator:
    """The mixed runs, in turns of the layouts, and each kind in so many runs. turn: every other mixed run, from this on."""
    mixed = list(enumerate(mixed_runs(matrix)))
    found = [
        pytest.param(met, LAYOUTS[place % len(LAYOUTS)], id=f"mixed {number + 1}")
        for place, (number, met) in enumerate(mixed if turn is None else mixed[turn::2])
    ]
    found += [
        pytest.param(met, layout, id=f"{kind.name} {number + 1}, {layout.name}", marks=[pytest.mark.full])
        for layout in LAYOUTS
        for kind in KINDS
        if kind.passes
        for number, met in enumerate(runs_of(matrix, kind, count))
    ]
    return pytest.mark.parametrize(("met", "layout"), found, indirect=["layout"])


def ends(simulation: Simulation, begin: Callable[..., str], met: Met, expected: str) -> None:
    faults = [kind.at(call) for call, kind in met]
    run = begin(*faults)
    watcher, simulation.look_every = simulation.watch(run), 10
    simulation.play_out()
    simulation.check(run, expected)
    assert [fault.call for fault in faults if not fault.struck] == []
    watcher.look()


@cases(DEPLOY, 5)
def test_a_deployment_completes_in_spite_of(new_simulation: NewSimulation, met: Met) -> None:
    simulation = new_simulation()
    ends(simulation, functools.partial(simulation.deploy, 1), met, "completed")


@cases(DELETE, 4, turn=0)
def test_a_delete_finishes_in_spite_of(simulation_at: SimulationAt, met: Met) -> None:
    simulation = simulation_at("delete", BEGINNING)
    ends(simulation, simulation.take_up, met, "deleted")


@cases(DELETE, 4, turn=1)
def test_a_rollback_finishes_in_spite_of(simulation_at: SimulationAt, met: Met) -> None:
    simulation = simulation_at("rollback", BEGINNING)
    ends(simulation, simulation.take_up, met, "failed")
