"""The fault matrix of a deployment: what may end it, at every call that it makes.

The ordinary run takes every refusal and every failing write here, what passes in `test_matrix_passing`, and trouble for
good at one call of each caller; `make test-full` takes every call with everything by itself.
"""

import pytest

from tests.faults.catalogue import DEPLOY, REFUSALS, WRITERS, FaultKind, caller_of, calls_of, pairs_of, sampled
from tests.faults.world import World

_SAMPLED = sampled(DEPLOY, len(REFUSALS))
PAIRS = [
    pytest.param(call, kind, id=f"{call} {kind.name}", marks=[] if (call, kind.name) in _SAMPLED else pytest.mark.full)
    for call, kind in pairs_of(DEPLOY)
]


def test_the_matrix_names_every_call_of_a_deployment(world: World) -> None:
    run = world.deploy()
    world.play_out()
    world.check(run, "completed")
    assert sorted(set(world.wire.calls)) == sorted(calls_of(DEPLOY))


@pytest.mark.parametrize(("call", "kind"), PAIRS)
def test_a_deployment_ends_well_or_leaves_nothing(world: World, call: str, kind: FaultKind) -> None:
    mishap = kind.at(call)
    run = world.deploy(1, mishap)
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
