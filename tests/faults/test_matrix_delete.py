"""The fault matrix of a delete, and of the rollback that calls the same: what may keep it from finishing.

The ordinary run takes what `catalogue.pairwise` chooses, and what passes in `test_matrix_passing`, several calls in one
run; `make test-full` takes every call with everything by itself.
"""

import pytest

from tests.faults.catalogue import DELETE, LOOK_BEFORE_A_DELETE, FaultKind, caller_of, calls_of, pairs_of, pairwise
from tests.faults.conftest import WorldAt
from tests.faults.world import World

_CHOSEN = pairwise(DELETE)
PAIRS = [
    pytest.param(call, kind, id=f"{call} {kind.name}", marks=[] if (call, kind.name) in _CHOSEN else pytest.mark.full)
    for call, kind in pairs_of(DELETE)
]


def test_the_matrix_names_every_call_of_a_delete(world: World) -> None:
    run = world.deploy()
    world.play_out()
    world.check(run, "completed")
    world.wire.calls.clear()
    removal = world.delete()
    world.play_out()
    world.check(removal, "deleted")
    assert sorted(set(world.wire.calls) - LOOK_BEFORE_A_DELETE) == sorted(calls_of(DELETE))


@pytest.mark.parametrize(("call", "kind"), PAIRS)
def test_a_delete_ends_or_says_what_is_left(world_at: WorldAt, call: str, kind: FaultKind) -> None:
    world, mishap = world_at("delete", caller_of(call)), kind.at(call)
    removal = world.take_up(mishap)
    watcher, world.look_every = world.watch(removal), 5
    world.until_ended(removal)
    assert mishap.struck, "the fault struck nobody"
    watcher.look()
    ended = world.check(removal, "deleted", *([] if kind.passes else ["rollback_failed"]))
    world.mend()
    if ended == "rollback_failed":
        again = world.retry()
        world.play_out()
        world.check(again, "deleted")


@pytest.mark.parametrize(("call", "kind"), PAIRS)
def test_a_rollback_ends_or_says_what_is_left(world_at: WorldAt, call: str, kind: FaultKind) -> None:
    world, mishap = world_at("rollback", caller_of(call)), kind.at(call)
    run = world.take_up(mishap)
    watcher, world.look_every = world.watch(run), 5
    world.until_ended(run)
    assert mishap.struck, "the fault struck nobody"
    watcher.look()
    ended = world.check(run, "failed", *([] if kind.passes else ["rollback_failed"]))
    world.mend()
    if ended == "rollback_failed":
        again = world.retry()
        world.play_out()
        world.check(again, "failed")
