"""Orchestrations that the platform loses: a message gets lost, or the worker dies while it replays one.

Whatever is lost, and whenever: the run is named, started again from its rows under its own id, and ends as it would have
without; nothing is built twice.
"""

import asyncio
from typing import Any

import pytest

from local.functions.durable.faults import Fault
from shared.recovery.runs.dead_runs import sweep
from shared.saga.progress import progress_of
from shared.saga.saga import MOST_TRIES
from shared.saga.steps import STEPS, UNDOS
from shared.tables.records import Records
from tests.faults.checkpoints import BEGINNING, vm_fails
from tests.faults.conftest import Complete, NewSimulation, SimulationAt
from tests.faults.simulation import Simulation
from tests.infra.alert_lines import found

FULL = pytest.mark.full
HOW = ("worker_exit", "non_determinism")
STEP_NAMES = [step.name for step in STEPS]
UNDO_NAMES = [undo.name for undo in UNDOS]
ENDS = {"deploy": "completed", "rollback": "failed", "delete": "deleted"}
# More than a deployment, a rollback or a delete has.
EPISODES = range(1, 26)
# An activity in the middle of each, and how many episodes a run has had when it is about to be called: what goes wrong later
# begins there. Each but the first of them came with a message.
MIDDLE = {"deploy": ("create_nic", 6), "rollback": ("delete_vm", 13), "delete": ("delete_vm", 4)}
# How often the VNet is still written by a deployment that begins there: once by itself, then with its subnets.
VNET_WRITES = {"create_subnets": 1} | dict.fromkeys(
    (BEGINNING, "begin_run", "validate_config", "create_vnet", "create_nsg"), 2
)


def lose(message: str, instance: str, **more: Any) -> Fault:
    return Fault("lose", message=message, instance=instance, **more)


def tick(simulation: Simulation) -> None:
    """With what happens until the next one; they come each minute, and with less than `GAP` between two none was missed."""
    simulation.stage.run(sweep(simulation.stage.client()))
    simulation.play_for(120)
    for watcher in simulation.watchers:
        watcher.look()


def looked_after(simulation: Simulation) -> list[str]:
    """Ticks until every run has ended, and its orchestration with it. What they found of runs."""
    named: list[str] = []
    for _ in range(45):
        tick(simulation)
        unfinished = Records().unfinished_runs()
        for run in unfinished:
            restart = run.restart
            if restart and (not named or named[-1] != restart.cause):
                named.append(restart.cause)
        if not unfinished and not Records().unconfirmed_runs():
            return named
    raise AssertionError([(run.deployment_id, run.status, run.restart) for run in Records().unfinished_runs()])


def assert_built_once(simulation: Simulation, at: str) -> None:
    """Each resource was written once, and no other than those that were missing where the simulation began."""
    writes = [each["path"].lower() for each in simulation.azure.requests("PUT") if each["status"] < 300]
    vm_writes = 0 if at == "save_to_storage" else 1
    for name, times in (("virtualnetworks/spoke-vnet-1", VNET_WRITES.get(at, 0)), ("virtualmachines/vm-1", vm_writes)):
        assert sum(path.endswith(name) for path in writes) == times, writes


def begin(simulation_at: SimulationAt, kind: str, at: str, *faults: Fault) -> tuple[Simulation, str]:
    """A run of this kind from where an activity is about to be called, with faults that wait for it."""
    whole = kind == "rollback" and at in (BEGINNING, "begin_rollback")
    simulation = simulation_at("deploy", BEGINNING) if whole else simulation_at(kind, at)
    for fault in faults:
        simulation.stage.faults.add(fault)
    return simulation, simulation.take_up(*[vm_fails()] if whole else [])


# Deployments that lose something are below, too.
LOST_SAMPLED = {("rollback", 12), ("delete", 3)}
LOST = [(kind, skip) for kind in ENDS for skip in range(13)]


@pytest.mark.parametrize(
    ("kind", "skip"), [pytest.param(*each, marks=[] if each in LOST_SAMPLED else FULL) for each in LOST]
)
def test_a_run_whose_message_is_lost_is_started_again_and_ends_well(
    simulation_at: SimulationAt, kind: str, skip: int
) -> None:
    prefix = "delete-" if kind == "delete" else "deploy-"
    at, episodes = MIDDLE[kind]
    had = episodes - 1
    if skip < had:
        at, had = BEGINNING, 0
    fault = lose("completion", f"^{prefix}[^:]*$", function="run_step", skip=skip - had)
    simulation, run = begin(simulation_at, kind, at, fault)
    simulation.watch(run)
    looked_after(simulation)
    simulation.check(run, ENDS[kind])
    assert simulation.stage.faults.struck or skip > 9
    if kind == "deploy":
        assert_built_once(simulation, at)


@FULL
@pytest.mark.parametrize("kind", ["deploy", "delete"])
def test_a_run_whose_start_is_lost_is_started_all_the_same(
    new_simulation: NewSimulation, complete: Complete, kind: str
) -> None:
    simulation = new_simulation()
    if kind == "delete":
        simulation = new_simulation(complete.checkpoint)
    simulation.stage.faults.add(lose("start", f"^{kind}-[^:]*$", function=f"{kind}_spoke"))
    run = simulation.deploy() if kind == "deploy" else simulation.delete()
    simulation.watch(run)
    looked_after(simulation)
    simulation.check(run, ENDS[kind])
    assert simulation.stage.faults.struck


# A timer and results are lost by the deployments below.
@FULL
@pytest.mark.parametrize("message", ["timer", "call", "result"])
@pytest.mark.parametrize(
    ("kind", "step"),
    [
        *(("deploy", name) for name in STEP_NAMES),
        *(("rollback", name) for name in UNDO_NAMES),
        *(("delete", name) for name in UNDO_NAMES),
    ],
)
def test_a_step_whose_message_is_lost_is_carried_on(
    simulation_at: SimulationAt, kind: str, step: str, message: str
) -> None:
    at = BEGINNING if message == "call" else step  # there it is called already
    simulation, run = begin(simulation_at, kind, at, lose(message, f":{step}$"))
    simulation.watch(run)
    looked_after(simulation)
    simulation.check(run, ENDS[kind])
    if kind == "deploy":
        assert_built_once(simulation, at)


def test_a_run_that_stands_still_is_named_and_keeps_its_id(
    simulation_at: SimulationAt, caplog: pytest.LogCaptureFixture
) -> None:
    simulation, run = begin(simulation_at, "deploy", "create_vm", lose("timer", ":create_vm$"))
    simulation.watch(run)
    caplog.set_level("WARNING", logger="shared")
    for _ in range(30):
        tick(simulation)
        row = simulation.run_row(run)
        if row.restart:
            break
    assert row.stalled is not None
    assert row.stalled.step == "create_vm"
    assert progress_of(row, Records().steps(run)).stalled == row.stalled
    looked_after(simulation)
    simulation.check(run, "completed")
    assert_built_once(simulation, "create_vm")
    row = simulation.run_row(run)
    assert (row.status, row.execution, row.stalled) == ("completed", 2, None)
    assert "Started again from its rows (execution 2): create_vm had stood still" in str(row.note)
    assert "create_vm had stood still" in found("run-stands-still", caplog.text)[0]["line"]
    assert simulation.stage.status(run).runtime_status == "Completed"


# Each way in one kind of run; a delete that someone has ended, as this one has itself, is in test_terminated.
SAMPLED = {("deploy", "worker_exit", 7), ("rollback", "non_determinism", 14)}
WHOLE = [(kind, how, episode) for kind in ENDS for how in HOW for episode in EPISODES]


@pytest.mark.parametrize(
    ("kind", "how", "episode"), [pytest.param(*each, marks=[] if each in SAMPLED else FULL) for each in WHOLE]
)
def test_a_run_whose_worker_dies_in_any_episode_is_started_again(
    simulation_at: SimulationAt, kind: str, how: str, episode: int
) -> None:
    prefix = "delete-" if kind == "delete" else "deploy-"
    at, episodes = MIDDLE[kind]
    if episode <= episodes:
        at = BEGINNING
    fault = Fault("fail", instance=f"^{prefix}[^:]*$", how=how, episode=episode)
    simulation, run = begin(simulation_at, kind, at, fault)
    simulation.watch(run)
    looked_after(simulation)
    simulation.check(run, ENDS[kind])
    assert simulation.stage.faults.struck or episode in (1, *EPISODES[10:])
    if kind == "deploy":
        assert_built_once(simulation, at)


@pytest.mark.parametrize("how", [HOW[1], pytest.param(HOW[0], marks=FULL)])
@pytest.mark.parametrize(
    ("kind", "step"),
    [
        ("deploy", "create_vm"),
        ("delete", "delete_nic"),
        *(pytest.param("deploy", name, marks=FULL) for name in ("begin_run", *STEP_NAMES) if name != "create_vm"),
        *(pytest.param("rollback", name, marks=FULL) for name in ("begin_rollback", "record_outcome", *UNDO_NAMES)),
        *(pytest.param("delete", name, marks=FULL) for name in ("record_outcome", *UNDO_NAMES)),
    ],
)
@pytest.mark.parametrize("episode", [2, *(pytest.param(n, marks=FULL) for n in (1, 3, 4))])
def test_a_step_whose_worker_dies_in_any_episode_is_begun_again(
    simulation_at: SimulationAt, kind: str, step: str, how: str, episode: int
) -> None:
    at = BEGINNING if episode == 1 else step
    simulation, run = begin(simulation_at, kind, at, Fault("fail", instance=f":{step}$", how=how, episode=episode))
    simulation.watch(run)
    simulation.look_every = 5
    simulation.play_out()
    simulation.check(run, ENDS[kind])
    if kind == "deploy":
        assert_built_once(simulation, at)


def test_a_run_whose_steps_break_too_often_is_rolled_back(simulation_at: SimulationAt) -> None:
    broken = Fault("fail", instance=":create_nic", times=MOST_TRIES)
    simulation, run = begin(simulation_at, "deploy", "create_nic", broken)
    simulation.play_out()
    simulation.check(run, "failed")
    assert (simulation.run_row(run).error or {})["details"]["code"] == "StepBroke"


@pytest.mark.parametrize(
    "step", ["create_nic", *(pytest.param(n, marks=FULL) for n in STEP_NAMES if n != "create_nic")]
)
def test_a_cancel_stays_when_a_run_is_started_again(simulation_at: SimulationAt, step: str) -> None:
    simulation, run = begin(simulation_at, "deploy", step, lose("result", f":{step}$"))
    simulation.play_for(120)
    if simulation.run_row(run).status == "completed":
        return
    assert simulation.delete() == run
    looked_after(simulation)
    row = simulation.run_row(run)
    assert row.status in ("failed", "completed"), row
    if row.status == "failed":
        simulation.check(run, "failed")


def test_a_sleeper_that_wakes_up_touches_nothing(simulation_at: SimulationAt) -> None:
    """A call that was taken by a killed host comes back after the run has been started again."""
    simulation, run = begin(simulation_at, "deploy", "create_vm")
    late = simulation.until_pending("create_vm")
    taken = simulation.stage.engine.take_task(late.id)
    assert taken is not None
    simulation.play_for(15 * 60)
    looked_after(simulation)
    simulation.check(run, "completed")
    before, requests = simulation.snapshot(), len(simulation.azure.requests())
    simulation.stage._complete(taken)
    assert len(simulation.azure.requests()) == requests
    assert simulation.snapshot() == before


@pytest.mark.parametrize("cut", ["starting", pytest.param("stopping", marks=FULL)])
def test_a_restart_that_is_cut_off_anywhere_is_carried_on(simulation_at: SimulationAt, cut: str) -> None:
    """The host dies between any two of: the row, the terminate, the start. Two timers may do it, too."""
    simulation, run = begin(simulation_at, "deploy", "create_nic", lose("result", ":create_nic$"))
    refused = {"stopping": "/terminate", "starting": "^orchestrators/"}[cut]
    simulation.stage.faults.add(Fault("refuse", method="POST", path=refused, status=500, times=3))
    for _ in range(40):
        tick(simulation)
        if simulation.run_row(run).restart:
            simulation.stage.run(sweep(simulation.stage.client()))
            simulation.stage.crash()
        if not Records().unfinished_runs():
            break
    simulation.check(run, "completed")
    assert_built_once(simulation, "create_nic")


def test_nothing_is_done_while_durable_does_not_say_how_its_instances_are(simulation_at: SimulationAt) -> None:
    """Five hundreds, lost answers and late ones: a healthy run is left alone."""
    simulation, run = begin(simulation_at, "deploy", "poll_gateway")
    for fault in (Fault("refuse", times=None), Fault("refuse", times=None, status=400)):
        simulation.stage.faults.add(fault)
        for _ in range(3):
            assert simulation.stage.run(sweep(simulation.stage.client())) == {}
        simulation.stage.faults.end()
    assert simulation.run_row(run).status == "in_progress"
    simulation.play_out()
    simulation.check(run, "completed")


def test_an_app_that_was_down_for_hours_disturbs_no_run(simulation_at: SimulationAt) -> None:
    """At this step, which no deadline ends."""
    simulation, run = begin(simulation_at, "deploy", "save_to_storage")
    assert simulation.stage.run(sweep(simulation.stage.client())) == {}
    simulation.clock.advance(5 * 3600)
    simulation.stage.crash()
    assert simulation.stage.run(sweep(simulation.stage.client())) == {}
    simulation.play_out()
    simulation.check(run, "completed")


def test_another_task_hub_leaves_a_run_alone(simulation_at: SimulationAt) -> None:
    simulation, run = begin(simulation_at, "deploy", "create_vm")
    row = simulation.run_row(run)
    Records().change_run(row, task_hub="other/Green")
    simulation.stage.terminate(run, "by hand")
    for _ in range(3):
        assert simulation.stage.run(sweep(simulation.stage.client())) == {}
        simulation.play_for(60)


def test_a_run_that_someone_suspends_is_started_again(simulation_at: SimulationAt) -> None:
    simulation, run = begin(simulation_at, "deploy", "create_nic")
    simulation.stage.suspend(run, "by hand")
    assert looked_after(simulation) == ["stands_still"]
    simulation.check(run, "completed")
    assert_built_once(simulation, "create_nic")


def test_two_timers_at_once_start_a_run_again_once(simulation_at: SimulationAt) -> None:
    simulation, run = begin(simulation_at, "deploy", "create_nic", lose("result", ":create_nic$"))

    async def both() -> None:
        await asyncio.gather(sweep(simulation.stage.client()), sweep(simulation.stage.client()))

    def both_tick() -> None:
        simulation.stage.run(both())
        simulation.play_for(120)

    while Records().unfinished_runs():
        both_tick()
    for _ in range(3):
        both_tick()
    simulation.check(run, "completed")
    assert simulation.run_row(run).execution == 2
    assert_built_once(simulation, "create_nic")


@pytest.mark.full
def test_a_run_that_is_purged_while_it_is_started_again_goes_on(simulation_at: SimulationAt) -> None:
    simulation, run = begin(simulation_at, "deploy", "create_nic", lose("result", ":create_nic$"))
    for _ in range(40):
        tick(simulation)
        if simulation.run_row(run).restart and simulation.stage.status(run).runtime_status == "Terminated":
            simulation.stage.purge(run)
            break
    looked_after(simulation)
    simulation.check(run, "completed")
