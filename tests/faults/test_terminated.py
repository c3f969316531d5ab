"""Orchestrations that someone terminates or purges, at any moment: the sweeper, or the story itself, cleans up and says so."""

import pytest

from local.functions.durable.faults import Fault as EngineFault
from shared.recovery.runs.dead_runs import sweep
from shared.saga.saga import MOST_TRIES
from shared.saga.steps import STEPS, UNDOS
from shared.tables.records import Records
from tests.faults.conftest import SimulationAt
from tests.faults.simulation import Simulation
from tests.faults.wire import Fault

FULL = pytest.mark.full
FEW_STEPS = {"create_vnet", "create_vm", "save_to_storage"}
CHECKPOINTS = [
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


def swept_up(simulation: Simulation) -> None:
    """A tick every other minute, until no run is left that hasn't ended; and none says that something of it goes on."""
    client = simulation.stage.client()
    for _ in range(30):
        simulation.stage.run(sweep(client))
        simulation.play_for(120)
        for watcher in simulation.watchers:
            watcher.look()
        if not Records().unfinished_runs():
            break
    assert Records().unfinished_runs() == []
    for run in Records().runs_of(1):
        assert "in_progress" not in statuses(run.deployment_id).values()


@pytest.mark.parametrize(("step", "how"), CHECKPOINTS)
def test_a_deployment_that_someone_ends_is_swept_up(simulation_at: SimulationAt, step: str, how: str) -> None:
    """The children don't stop by themselves: the sweeper stops them, and has another run undo what they made."""
    simulation = simulation_at("deploy", step)
    run = simulation.take_up()
    simulation.watch(run)
    simulation.look_every = 5
    if how != "terminate":
        simulation.step()
    simulation.stage.terminate(run, "by hand")
    if how == "purge":
        simulation.stage.play()
        simulation.stage.purge(run)
    swept_up(simulation)
    spoke = Records().spoke(1)
    assert spoke is not None
    if spoke.status == "completed":
        assert step == "save_to_storage", "it had been recorded before"
        return
    assert spoke.status == "failed"
    simulation.assert_nothing_left(simulation.snapshot())
    assert ("purged" if how == "purge" else "terminated") in str(spoke.error)
    again = simulation.retry()
    if step == "create_vnet":  # past where the first was ended; the others have a whole deployment follow
        simulation.until_recorded(lambda: statuses(again).get(step) == "completed")
        return
    simulation.play_out()
    simulation.check(again, "completed")


@pytest.mark.parametrize(
    "undo", [pytest.param(name, marks=[] if name == "delete_nic" else FULL) for name in UNDO_NAMES]
)
def test_a_delete_that_someone_ends_is_begun_again(simulation_at: SimulationAt, undo: str) -> None:
    simulation = simulation_at("delete", undo)
    removal = simulation.take_up()
    simulation.watch(removal)
    simulation.stage.terminate(removal, "by hand")
    swept_up(simulation)
    assert Records().spoke(1) is None
    simulation.assert_nothing_left(simulation.snapshot())


@pytest.mark.parametrize("undo", [pytest.param(name, marks=[] if name == "delete_vm" else FULL) for name in UNDO_NAMES])
def test_a_rollback_that_an_operator_ends_is_resumed_with_its_cause(simulation_at: SimulationAt, undo: str) -> None:
    simulation = simulation_at("rollback", undo)
    run = simulation.take_up()
    simulation.watch(run)
    simulation.stage.terminate(run, "by hand")
    simulation.stage.play()
    assert simulation.delete() == run, "a DELETE joins it even so"
    swept_up(simulation)
    spoke = Records().spoke(1)
    assert spoke is not None
    assert spoke.status == "failed"
    assert (simulation.run_row(run).error or {})["details"]["cause"]["step"] == "create_vm"
    simulation.assert_nothing_left(simulation.snapshot())


@pytest.mark.full
@pytest.mark.parametrize(("writer", "activity"), [(writer, each) for writer, some in WRITERS.items() for each in some])
def test_a_writer_that_someone_ends_is_started_by_those_who_wait(
    simulation_at: SimulationAt, writer: str, activity: str
) -> None:
    simulation = simulation_at("deploy", activity)
    run = simulation.take_up()
    simulation.stage.terminate(writer, "by hand")
    simulation.play_out()
    simulation.check(run, "completed")


@pytest.mark.parametrize(
    "step",
    ["create_vm", *(pytest.param(name, marks=FULL) for name in ("validate_config", "create_vnet", "update_agw"))],
)
def test_a_step_that_someone_terminates_is_begun_again(simulation_at: SimulationAt, step: str) -> None:
    simulation = simulation_at("deploy", step)
    run = simulation.take_up()
    simulation.watch(run)
    simulation.look_every = 5
    # What is over in seconds is waited for inside the one call that is about to be made.
    simulation.until_recorded(
        lambda: statuses(run).get(step) == "in_progress" or step in ("validate_config", "create_vnet")
    )
    simulation.stage.terminate(f"{run}:{step}", "by hand")
    simulation.play_out()
    simulation.check(run, "completed")
    assert simulation.stage.status(f"{run}:{step}:2").runtime_status == "Completed"


@pytest.mark.parametrize("ticks", [0, 1])
@pytest.mark.parametrize("under_new_id", [False, True])
def test_a_deployment_that_someone_restarts_after_its_end_is_swept_up(
    simulation_at: SimulationAt, under_new_id: bool, ticks: int
) -> None:
    """The children of the first one may still run, so it is not simply begun a second time. Who restarts it in place, before
    a timer has seen its end, wants it: it is started again from its rows."""
    simulation = simulation_at("deploy", "create_vm")
    run = simulation.take_up()
    simulation.stage.terminate(run, "by hand")
    simulation.stage.play()
    for _ in range(ticks):
        simulation.stage.run(sweep(simulation.stage.client()))
    simulation.stage.engine.restart(run, under_new_id=under_new_id)
    swept_up(simulation)
    spoke = Records().spoke(1)
    assert spoke is not None
    if not ticks and not under_new_id:
        simulation.check(run, "completed")
        return
    assert spoke.status == "failed"
    simulation.assert_nothing_left(simulation.snapshot())


def test_a_failed_deployment_that_someone_restarts_stays_failed(simulation_at: SimulationAt) -> None:
    simulation = simulation_at("rollback", "delete_nic")
    run = simulation.take_up()
    simulation.play_out()
    simulation.stage.engine.restart(run, under_new_id=False)
    simulation.play_out()
    simulation.check(run, "failed")


@pytest.mark.parametrize(
    "record",
    [
        "begin_rollback",
        "list_left_behind",
        *(pytest.param(name, marks=FULL) for name in ("begin_run", "record_outcome")),
    ],
)
def test_a_record_that_someone_terminates_is_written_all_the_same(simulation_at: SimulationAt, record: str) -> None:
    stuck = Fault("delete_vnet: DELETE virtualNetworks/{vnet}", {"mode": "refuse", "status": 403})
    if record in ("begin_run", "begin_rollback"):
        simulation = simulation_at("deploy", record if record == "begin_run" else "create_nic")
        run = simulation.take_up(
            Fault("create_nic: PUT networkInterfaces/{nic}", {"mode": "refuse", "status": 400}), stuck
        )
    else:
        simulation = simulation_at("rollback", "delete_vnet")
        run = simulation.take_up(stuck)
    simulation.watch(run)
    simulation.look_every = 5
    simulation.stage.fail(simulation.until_pending(record), "its host died")
    simulation.stage.terminate(f"{run}:{record}", "by hand")
    simulation.play_out()
    simulation.check(run, "rollback_failed")
    assert stuck.struck


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_last_step_that_someone_terminates_is_done_when_its_record_is_written(
    simulation_at: SimulationAt, when: str
) -> None:
    """Its only call comes through all the same; then the spoke is its caller's, and Durable says so, too."""
    simulation = simulation_at("deploy", "save_to_storage")
    run = simulation.take_up()
    simulation.watch(run)
    call = simulation.until_pending("save_to_storage")
    if when == "after":
        simulation.stage.record(call)
    simulation.stage.terminate(f"{run}:save_to_storage", "by hand")
    simulation.play_out()
    simulation.check(run, "completed")


@pytest.mark.parametrize(
    "undo",
    [
        "delete_vm",
        "release_reservations",
        *(pytest.param(name, marks=FULL) for name in ("remove_from_agw", "delete_vnet")),
    ],
)
def test_an_undo_that_someone_terminates_is_begun_again(simulation_at: SimulationAt, undo: str) -> None:
    simulation = simulation_at("delete", undo)
    removal = simulation.take_up()
    simulation.watch(removal)
    simulation.stage.terminate(f"{removal}:{undo}", "by hand")
    simulation.play_out()
    simulation.check(removal, "deleted")


def test_an_undo_that_breaks_off_too_often_has_failed_and_says_what_is_left(simulation_at: SimulationAt) -> None:
    simulation = simulation_at("delete", "delete_vm")
    simulation.stage.faults.add(EngineFault("fail", instance=":delete_vm", times=MOST_TRIES))
    removal = simulation.take_up()
    simulation.watch(removal)
    simulation.play_out()
    simulation.check(removal, "rollback_failed")
    not_tried = {name for name, status in statuses(removal).items() if status == "pending"}
    assert not_tried == {"delete_os_disk", "delete_nic", "delete_vnet", "delete_nsg", "release_reservations"}
    reasons = {step.step_name: step.message for step in Records().steps(removal)}
    assert all("not tried, because" in reasons[name] for name in not_tried)
    again = simulation.retry()
    simulation.play_out()
    simulation.check(again, "deleted")
