"""The fault matrix of what passes: at every call of a deployment, of a rollback and of a delete, the work goes on, late.

The ordinary run takes so many runs that each kind meets each step and each way of calling; deletes and rollbacks, which
call the same, share theirs.
"""

import pytest

from tests.faults.catalogue import DELETE, DEPLOY, KINDS, FaultKind, goes_of, goes_shared_out, ordinary_goes
from tests.faults.checkpoints import BEGINNING
from tests.faults.conftest import NewSimulation, SimulationAt
from tests.faults.layouts import LAYOUTS
from tests.faults.simulation import Simulation
from tests.faults.wire import Fault

PASSING = [kind for kind in KINDS if kind.passes]


def cases(matrix: dict[str, tuple[str, ...]], goes: int, run: str = "") -> pytest.MarkDecorator:
    found = []
    for layout in LAYOUTS:
        for number, kind in enumerate(PASSING):
            shared = goes_shared_out(matrix, kind, goes, run) if run else ordinary_goes(matrix, kind, goes)
            ordinary = sorted(shared)
            for go in range(len(goes_of(matrix, kind, goes))):
                # The runs of one kind take turns in both layouts.
                taken = go in ordinary and LAYOUTS[(number + ordinary.index(go)) % 2] is layout
                marks = [] if taken else [pytest.mark.full]
                found.append(pytest.param(kind, go, layout, id=f"{kind.name} {go + 1}, {layout.name}", marks=marks))
    return pytest.mark.parametrize(("kind", "go", "layout"), found, indirect=["layout"])


def ends(simulation: Simulation, run: str, faults: list[Fault], expected: str) -> None:
    watcher, simulation.look_every = simulation.watch(run), 10
    simulation.play_out()
    simulation.check(run, expected)
    assert [fault.call for fault in faults if not fault.struck] == []
    watcher.look()


@cases(DEPLOY, 5)
def test_a_deployment_completes_in_spite_of(new_simulation: NewSimulation, kind: FaultKind, go: int) -> None:
    simulation, faults = new_simulation(), goes_of(DEPLOY, kind, 5)[go]
    ends(simulation, simulation.deploy(1, *faults), faults, "completed")


@cases(DELETE, 4, "delete")
def test_a_delete_finishes_in_spite_of(simulation_at: SimulationAt, kind: FaultKind, go: int) -> None:
    simulation, faults = simulation_at("delete", BEGINNING), goes_of(DELETE, kind, 4)[go]
    ends(simulation, simulation.take_up(*faults), faults, "deleted")


@cases(DELETE, 4, "rollback")
def test_a_rollback_finishes_in_spite_of(simulation_at: SimulationAt, kind: FaultKind, go: int) -> None:
    simulation, faults = simulation_at("rollback", BEGINNING), goes_of(DELETE, kind, 4)[go]
    ends(simulation, simulation.take_up(*faults), faults, "failed")
