"""The fault matrix of deployments and deletes: what passes, at every call, a whole stage of calls in one go."""

from collections.abc import Callable

import pytest

from tests.faults.catalogue import DELETE, DEPLOY, KINDS, FaultKind, caller_of, calls_of, fits
from tests.faults.wire import Mishap
from tests.faults.world import World

STAGES = {
    "the checks": ("validate_config",),
    "the network": ("create_vnet", "create_nsg", "create_subnets"),
    "the machine": ("create_nic", "create_vm"),
    "the hub": ("hub_round", "write_hub_side", "write_spoke_side", "settle_spoke_sides"),
    "the gateway": ("gateway_round", "poll_gateway"),
}
WAYS_BACK = {
    "the machine": ("delete_vm", "delete_os_disk", "delete_nic"),
    "the network": ("delete_vnet", "delete_nsg"),
    "what is shared": ("hub_round", "write_hub_side", "write_spoke_side", "settle_spoke_sides", "gateway_round", "poll_gateway"),
}  # fmt: skip
# Ten refusals at every call of a stage outlast a step's deadline: `test_matrix` and `test_matrix_delete` have them at each
# call alone, in the long run, like slow operations.
PASSING = [
    pytest.param(kind, id=kind.name, marks=[pytest.mark.full] if kind.name == "slow" else [])
    for kind in KINDS
    if kind.passes and kind.name != "429 ten times"
]


def mishaps_in(matrix: dict[str, tuple[str, ...]], callers: tuple[str, ...], kind: FaultKind) -> list[list[Mishap]]:
    """The calls of these callers, in as few goes as can be: where nobody hears of an operation, nobody polls it."""
    calls = [call for call in calls_of(matrix) if caller_of(call) in callers and fits(call, kind)]
    goes = [calls]
    if kind.kill or kind.name == "reply lost":
        goes = [[call for call in calls if "poll of" not in call], [call for call in calls if "poll of" in call]]
    return [[kind.at(call) for call in go] for go in goes if go]


@pytest.mark.parametrize("kind", PASSING)
@pytest.mark.parametrize("stage", STAGES)
def test_a_deployment_completes_in_spite_of(new_world: Callable[[], World], stage: str, kind: FaultKind) -> None:
    for mishaps in mishaps_in(DEPLOY, STAGES[stage], kind):
        world = new_world()
        run = world.deploy(1, *mishaps)
        watcher, world.look_every = world.watch(run), 10
        world.play_out()
        world.check(run, "completed")
        assert [mishap.call for mishap in mishaps if not mishap.struck] == []
        watcher.look()


@pytest.mark.parametrize("kind", PASSING)
@pytest.mark.parametrize("part", WAYS_BACK)
def test_a_delete_finishes_in_spite_of(new_world: Callable[[], World], part: str, kind: FaultKind) -> None:
    for mishaps in mishaps_in(DELETE, WAYS_BACK[part], kind):
        world = new_world()
        run = world.deploy()
        world.play_out()
        world.check(run, "completed")
        removal = world.delete(1, *mishaps)
        watcher, world.look_every = world.watch(removal), 10
        world.play_out()
        world.check(removal, "deleted")
        assert [mishap.call for mishap in mishaps if not mishap.struck] == []
        watcher.look()
