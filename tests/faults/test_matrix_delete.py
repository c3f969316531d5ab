"""The fault matrix of a delete, and of the rollback that calls the same: what may keep it from finishing.

The ordinary run takes a part of the product that `catalogue.sampled` chooses; `make test-full` takes all of it.
"""

import pytest

from tests.faults.catalogue import DELETE, LOOK_BEFORE_A_DELETE, FaultKind, calls_of, pairs_of, sampled
from tests.faults.wire import Mishap
from tests.faults.world import World

_SAMPLED = sampled(DELETE, 1)
PAIRS = [
    pytest.param(call, kind, id=f"{call} {kind.name}", marks=[] if (call, kind.name) in _SAMPLED else pytest.mark.full)
    for call, kind in pairs_of(DELETE)
]
LAST_STEP = Mishap("create_vm: poll of PUT virtualMachines/{vm}", {"mode": "refuse", "status": 403})


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
def test_a_delete_ends_or_says_what_is_left(world: World, call: str, kind: FaultKind) -> None:
    run = world.deploy()
    world.play_out()
    world.check(run, "completed")
    mishap = kind.at(call)
    removal = world.delete(1, mishap)
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


@pytest.mark.full
@pytest.mark.parametrize(("call", "kind"), PAIRS)
def test_a_rollback_ends_or_says_what_is_left(world: World, call: str, kind: FaultKind) -> None:
    mishap = kind.at(call)
    run = world.deploy(1, Mishap(LAST_STEP.call, LAST_STEP.fault), mishap)
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
