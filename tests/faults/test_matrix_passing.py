"""The fault matrix of what passes: at every call of a deployment, of a rollback and of a delete, the work goes on, late.

The ordinary run takes all of a deployment, and of a rollback and a delete so many runs that each kind meets each undo and
each way of calling.
"""

import pytest

from tests.faults.catalogue import DELETE, DEPLOY, KINDS, FaultKind, goes_of, ordinary_goes
from tests.faults.conftest import NewWorld, WorldAt
from tests.faults.moments import BEGINNING
from tests.faults.wire import Mishap
from tests.faults.world import World

PASSING = [kind for kind in KINDS if kind.passes]


def cases(matrix: dict[str, tuple[str, ...]], goes: int, *, all_of_them: bool) -> pytest.MarkDecorator:
    found = []
    for kind in PASSING:
        ordinary = set(range(goes)) if all_of_them else ordinary_goes(kind, goes)
        for go in range(len(goes_of(matrix, kind, goes))):
            marks = [] if go in ordinary else [pytest.mark.full]
            found.append(pytest.param(kind, go, id=f"{kind.name} {go + 1}", marks=marks))
    return pytest.mark.parametrize(("kind", "go"), found)


def ends(world: World, run: str, mishaps: list[Mishap], expected: str) -> None:
    watcher, world.look_every = world.watch(run), 10
    world.play_out()
    world.check(run, expected)
    assert [mishap.call for mishap in mishaps if not mishap.struck] == []
    watcher.look()


@cases(DEPLOY, 5, all_of_them=True)
def test_a_deployment_completes_in_spite_of(new_world: NewWorld, kind: FaultKind, go: int) -> None:
    world, mishaps = new_world(), goes_of(DEPLOY, kind, 5)[go]
    ends(world, world.deploy(1, *mishaps), mishaps, "completed")


@cases(DELETE, 4, all_of_them=False)
def test_a_delete_finishes_in_spite_of(world_at: WorldAt, kind: FaultKind, go: int) -> None:
    world, mishaps = world_at("delete", BEGINNING), goes_of(DELETE, kind, 4)[go]
    ends(world, world.take_up(*mishaps), mishaps, "deleted")


@cases(DELETE, 4, all_of_them=False)
def test_a_rollback_finishes_in_spite_of(world_at: WorldAt, kind: FaultKind, go: int) -> None:
    world, mishaps = world_at("rollback", BEGINNING), goes_of(DELETE, kind, 4)[go]
    ends(world, world.take_up(*mishaps), mishaps, "failed")
