"""Orchestrations that someone terminates or purges, at any moment: the sweeper, or the story itself, cleans up and says so."""

import pytest

from shared.steps import STEPS, UNDOS
from shared.sweeper import sweep
from shared.tables.records import Records
from tests.faults.moments import vm_fails
from tests.faults.wire import Mishap
from tests.faults.world import World

FULL = pytest.mark.full
FEW_STEPS = {"create_vnet", "create_vm", "save_to_storage"}
MOMENTS = [
    pytest.param(step.name, how, marks=[] if step.name in FEW_STEPS and how == "terminate" else FULL)
    for step in STEPS
    for how in ("terminate", "terminate a little later", "purge")
]
UNDO_NAMES = [undo.name for undo in UNDOS]
WRITERS = {
    "gateway-hub-agw": ("gateway_round", "poll_gateway"),
    "hub-hub-vnet": ("hub_round", "write_hub_side", "write_spoke_side", "settle_spoke_sides"),
}


def statuses(run: str) -> dict[str, str]:
    return {step.step_name: step.status for step in Records().steps(run)}


def swept_up(world: World) -> None:
    """A tick a minute, until no run is left that hasn't ended; and none says that something of it goes on."""
    client = world.stage.client()
    for _ in range(60):
        world.stage.run(sweep(client))
        world.play_for(60)
        if not Records().unfinished_runs():
            break
    assert Records().unfinished_runs() == []
    for run in Records().runs_of(1):
        assert "in_progress" not in statuses(run.deployment_id).values()


@pytest.mark.parametrize(("step", "how"), MOMENTS)
def test_a_deployment_that_someone_ends_is_swept_up(world: World, step: str, how: str) -> None:
    """The children don't stop by themselves: the sweeper stops them, and has another run undo what they made."""
    run = world.deploy()
    world.watch(run)
    world.until_pending(step)
    if how != "terminate":
        world.step()
    world.stage.terminate(run, "by hand")
    if how == "purge":
        world.stage.play()
        world.stage.purge(run)
    swept_up(world)
    spoke = Records().spoke(1)
    assert spoke is not None
    if spoke.status == "completed":
        assert step == "save_to_storage", "it had been recorded before"
        return
    assert spoke.status == "failed"
    world.assert_nothing_left(world.snapshot())
    assert ("purged" if how == "purge" else "terminated") in str(spoke.error)
    again = world.retry()
    world.play_out()
    world.check(again, "completed")


@pytest.mark.parametrize(
    "undo", [pytest.param(name, marks=[] if name == "delete_nic" else FULL) for name in UNDO_NAMES]
)
def test_a_delete_that_someone_ends_is_begun_again(world: World, undo: str) -> None:
    world.deploy()
    world.play_out()
    removal = world.delete()
    world.watch(removal)
    world.until_pending(undo)
    world.stage.terminate(removal, "by hand")
    swept_up(world)
    assert Records().spoke(1) is None
    world.assert_nothing_left(world.snapshot())


@pytest.mark.parametrize("undo", [pytest.param(name, marks=[] if name == "delete_vm" else FULL) for name in UNDO_NAMES])
def test_a_rollback_that_someone_ends_is_taken_up_again_with_its_cause(world: World, undo: str) -> None:
    run = world.deploy(1, vm_fails())
    world.watch(run)
    world.until_pending(undo)
    world.stage.terminate(run, "by hand")
    world.stage.play()
    assert world.delete() == run, "a DELETE joins it even so"
    swept_up(world)
    spoke = Records().spoke(1)
    assert spoke is not None
    assert spoke.status == "failed"
    assert (world.run_row(run).error or {})["details"]["cause"]["step"] == "create_vm"
    world.assert_nothing_left(world.snapshot())


@pytest.mark.full
@pytest.mark.parametrize(("writer", "activity"), [(writer, each) for writer, some in WRITERS.items() for each in some])
def test_a_writer_that_someone_ends_is_started_by_those_who_wait(world: World, writer: str, activity: str) -> None:
    run = world.deploy()
    world.until_pending(activity)
    world.stage.terminate(writer, "by hand")
    world.play_out()
    world.check(run, "completed")


@pytest.mark.parametrize(
    "step",
    ["create_vm", *(pytest.param(name, marks=FULL) for name in ("validate_config", "create_vnet", "update_agw"))],
)
def test_a_step_that_someone_terminates_has_failed_and_says_so(world: World, step: str) -> None:
    """Nobody else would write it into the step's row; and a call of it that was under way does no harm any more."""
    run = world.deploy()
    world.watch(run)
    world.until_pending(step)
    world.until(lambda: statuses(run).get(step) == "in_progress" or step == "validate_config")
    world.stage.terminate(f"{run}:{step}", "by hand")
    world.play_out()
    world.check(run, "failed")
    assert (world.run_row(run).error or {})["details"]["code"] == "StepBroke"


@pytest.mark.parametrize("ticks", [0, 1])
@pytest.mark.parametrize("under_new_id", [False, True])
def test_a_deployment_that_someone_restarts_after_its_end_is_swept_up(
    world: World, under_new_id: bool, ticks: int
) -> None:
    """The children of the first execution may still run: in Azure a second one would wait for ever for its own."""
    run = world.deploy()
    world.until_pending("create_vm")
    world.stage.terminate(run, "by hand")
    world.stage.play()
    for _ in range(ticks):
        world.stage.run(sweep(world.stage.client()))
    world.stage.engine.restart(run, under_new_id=under_new_id)
    swept_up(world)
    spoke = Records().spoke(1)
    assert spoke is not None
    assert spoke.status == "failed"
    world.assert_nothing_left(world.snapshot())


def test_a_failed_deployment_that_someone_restarts_stays_failed(world: World) -> None:
    run = world.deploy(1, vm_fails())
    world.play_out()
    world.stage.engine.restart(run, under_new_id=False)
    world.play_out()
    world.check(run, "failed")


@pytest.mark.parametrize(
    "record",
    [
        "begin_rollback",
        "list_left_behind",
        *(pytest.param(name, marks=FULL) for name in ("begin_run", "record_outcome")),
    ],
)
def test_a_record_that_someone_terminates_is_written_all_the_same(world: World, record: str) -> None:
    stuck = Mishap("delete_nic: DELETE networkInterfaces/{nic}", {"mode": "refuse", "status": 403})
    run = world.deploy(1, vm_fails(), stuck)
    world.watch(run)
    world.stage.fail(world.until_pending(record), "its host died")
    world.stage.terminate(f"{run}:{record}", "by hand")
    world.play_out()
    world.check(run, "rollback_failed")
    assert stuck.struck


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_last_step_that_someone_terminates_is_done_when_its_record_is_written(world: World, when: str) -> None:
    """Its only call comes through all the same; then the spoke is its caller's, and Durable says so, too."""
    run = world.deploy()
    world.watch(run)
    call = world.until_pending("save_to_storage")
    if when == "after":
        world.stage.record(call)
    world.stage.terminate(f"{run}:save_to_storage", "by hand")
    world.play_out()
    world.check(run, "completed")


@pytest.mark.parametrize(
    "undo",
    [
        "delete_vm",
        "release_reservations",
        *(pytest.param(name, marks=FULL) for name in ("remove_from_agw", "delete_vnet")),
    ],
)
def test_an_undo_that_someone_terminates_has_failed_and_says_what_is_left(world: World, undo: str) -> None:
    world.deploy()
    world.play_out()
    removal = world.delete()
    world.watch(removal)
    world.until_pending(undo)
    world.stage.terminate(f"{removal}:{undo}", "by hand")
    world.play_out()
    # The last one's only call came through all the same, and nothing is left.
    ended = world.check(removal, "deleted" if undo == "release_reservations" else "rollback_failed")
    if ended == "rollback_failed":
        not_tried = {name for name, status in statuses(removal).items() if status == "pending"}
        reasons = {step.step_name: step.message for step in Records().steps(removal)}
        assert all("not tried, because" in reasons[name] for name in not_tried)
        again = world.retry()
        world.play_out()
        world.check(again, "deleted")
