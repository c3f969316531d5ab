"""The fault matrix of a deployment: what may end it, at every call that it makes.

What passes is in `test_matrix_passing`, several calls in one run; `make test-full` takes every call with it by itself.
"""

import pytest

from tests.faults.catalogue import DEPLOY, WRITERS, FaultKind, caller_of, calls_of, pairs_of
from tests.faults.conftest import WorldAt
from tests.faults.world import World

PAIRS = [
    pytest.param(call, kind, id=f"{call} {kind.name}", marks=pytest.mark.full if kind.passes else [])
    for call, kind in pairs_of(DEPLOY)
]


def test_the_matrix_names_every_call_of_a_deployment(world: World) -> None:
    run = world.deploy()
    world.play_out()
    world.check(run, "completed")
    assert sorted(set(world.wire.calls)) == sorted(calls_of(DEPLOY))


@pytest.mark.parametrize(("call", "kind"), PAIRS)
def test_a_deployment_ends_well_or_leaves_nothing(world_at: WorldAt, call: str, kind: FaultKind) -> None:
    world, mishap = world_at("deploy", caller_of(call)), kind.at(call)
    run = world.take_up(mishap)
    watcher, world.look_every = world.watch(run), 5
    world.until_ended(run)
    assert mishap.struck, "the fault struck nobody"
    watcher.look()
    if call == "validate_config: GET skus":
        world.complete = None  # a size of which nothing is known gets a VM without trusted launch
    ended = world.check(run, *_expected(call, kind))
    assert watcher.looks[-1]["status"] == ended
    world.mend()
    if ended == "rollback_failed":
        again = world.retry()
        world.play_out()
        world.check(again, "failed")


def _expected(call: str, kind: FaultKind) -> set[str]:
    """How a deployment may end. What a rollback needs, too, can keep it from finishing; nothing else can."""
    if kind.passes:
        return {"completed"}
    if kind.name == "never ends":
        return {"failed", "rollback_failed"}
    if kind.for_good:
        return {"failed", "rollback_failed"} if caller_of(call) in WRITERS else {"failed"}
    return {"completed", "failed"}
