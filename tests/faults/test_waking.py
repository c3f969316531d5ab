"""Wake-ups that get lost, come late, twice, or to steps that have ended: every deployment ends as if none were needed."""

from dataclasses import replace

import pytest

from activities.steps.vm import note_duration
from local.functions.durable.faults import Fault as EngineFault
from shared.saga.instances import WAKE
from shared.tables.records import Records
from shared.timestamps import parse_timestamp
from shared.writers.waking import wake
from shared.writers.writer_tables import gateway_sites
from tests.faults.conftest import SimulationAt
from tests.faults.simulation import Simulation
from triggers.deployments import progress_now

FULL = pytest.mark.full
WAITING_STEPS = ("create_peering", "update_agw")
# What is called before any of them.
BEFORE_ALL = "create_nic"
LOST = EngineFault("lose", message="event", event=WAKE, times=None)
# Durable's answer when the writer runs in another task hub than the step.
ANOTHER_HUB = EngineFault("refuse", method="POST", path="raiseEvent", status=404, times=None)
FAULTS = {
    "all are lost": LOST,
    "every second one is lost": replace(LOST, every=2),
    "the first is lost": replace(LOST, times=1),
    "the last is lost": replace(LOST, skip=1),
    "the writer is in another task hub": ANOTHER_HUB,
    "Durable doesn't take them": replace(ANOTHER_HUB, status=500),
    "the connection breaks": replace(ANOTHER_HUB, status=0),
}
# A deployment meets one, and the delete another or the same.
FEW = [("all are lost", "the writer is in another task hub"), ("the last is lost", "all are lost")]
CASES = [*FEW, *(pytest.param(how, how, marks=FULL) for how in FAULTS)]


def patiently(simulation: Simulation, run: str) -> str:
    """With Azure's own deadlines, for a run that has not begun: those of the simulation are as long as one lost wake-up."""
    policy = simulation.run_row(run).policy
    Records().change_run(simulation.run_row(run), policy={**policy, "shared_deadline_seconds": 7200.0})
    return run


def asked(simulation: Simulation, run: str) -> dict[str, int]:
    """How often each waiting step was called by now."""
    calls = [task for task in simulation.stage.called if task[1].startswith(f"{run}:")]
    return {step: sum(name == step for name, _ in calls) for step in WAITING_STEPS}


def woken_late(simulation: Simulation, *runs: str) -> None:
    steps = {(run, step) for run in runs for step in (*WAITING_STEPS, "delete_peering", "remove_from_agw", "create_vm")}
    simulation.stage.run(wake(simulation.stage.client(), steps))


def test_a_step_that_waits_for_a_writer_asks_twice(simulation_at: SimulationAt) -> None:
    """To request its row, and when it is woken."""
    simulation = simulation_at("deploy", BEFORE_ALL)
    run = simulation.take_up()
    simulation.until_ended(run)
    simulation.check(run, "completed")
    assert asked(simulation, run) == dict.fromkeys(WAITING_STEPS, 2)
    began = parse_timestamp(simulation.run_row(run).created_at).timestamp()
    assert simulation.clock.now() - began < 240


@pytest.mark.parametrize(("of_deploy", "of_delete"), CASES)
def test_wake_ups_are_hints(simulation: Simulation, of_deploy: str, of_delete: str) -> None:
    simulation.stage.faults.add(replace(FAULTS[of_deploy]))
    run = patiently(simulation, simulation.deploy())
    simulation.until_ended(run)
    simulation.check(run, "completed")
    assert all(calls <= 4 for calls in asked(simulation, run).values())
    assert simulation.stage.faults.struck
    simulation.stage.faults.end()
    simulation.stage.faults.struck.clear()
    simulation.stage.faults.add(replace(FAULTS[of_delete]))
    removal = patiently(simulation, simulation.delete(1))
    simulation.until_ended(removal)
    assert simulation.run_row(removal).status == "deleted"
    assert simulation.stage.faults.struck


def test_wake_ups_that_come_for_nothing_do_no_harm(simulation_at: SimulationAt) -> None:
    """Whenever time has passed: on steps that wait, that are being called, that have ended, and that there never were; twice."""
    simulation = simulation_at("deploy", BEFORE_ALL)
    run = simulation.take_up()
    woken_at = simulation.clock.now()
    while simulation.stage.status(run).runtime_status in ("Pending", "Running"):
        assert simulation.step()
        if simulation.clock.now() > woken_at:
            woken_at = simulation.clock.now()
            woken_late(simulation, run)
            woken_late(simulation, run)
    simulation.check(run, "completed")


def test_late_wake_ups_of_a_run_that_has_ended_leave_the_next_run_of_its_spoke_alone(
    deployed: tuple[Simulation, str],
) -> None:
    simulation, first = deployed
    removal = simulation.delete()
    simulation.until_ended(removal)
    again = simulation.deploy()
    for step in WAITING_STEPS:
        simulation.until_pending(step)
        woken_late(simulation, first, removal)
    simulation.until_ended(again)
    simulation.check(again, "completed")
    assert asked(simulation, again) == dict.fromkeys(WAITING_STEPS, 2)


@pytest.mark.parametrize("step", ["update_agw", "create_vm", pytest.param("create_peering", marks=FULL)])
def test_a_delete_ends_a_wait_at_once(simulation_at: SimulationAt, step: str) -> None:
    simulation = simulation_at("deploy", step)
    note_duration(100.0)
    run = simulation.take_up()
    simulation.until(lambda: sleeps(simulation, run, step))
    began = simulation.clock.now()
    simulation.delete()
    simulation.until_recorded(lambda: status(run, step) == "cancelled")
    assert simulation.clock.now() == began


def test_a_step_that_was_broken_off_is_woken_under_its_next_number(simulation_at: SimulationAt) -> None:
    simulation = simulation_at("deploy", WAITING_STEPS[0])
    run = simulation.take_up()
    simulation.until(lambda: all(sleeps(simulation, run, each) for each in WAITING_STEPS))
    for step in WAITING_STEPS:
        simulation.stage.terminate(f"{run}:{step}", "by hand")
    simulation.until_ended(run)
    simulation.check(run, "completed")
    assert asked(simulation, run) == dict.fromkeys(WAITING_STEPS, 3), "once before it was terminated, then twice"


def test_progress_says_what_the_writer_waits_for_while_the_step_sleeps(simulation_at: SimulationAt) -> None:
    simulation = simulation_at("deploy", "update_agw")
    simulation.azure.fault(
        method="PUT", path="/applicationGateways/hub-agw$", mode="refuse", status=429, retry_after=300
    )
    run = simulation.take_up()
    simulation.until(lambda: sleeps(simulation, run, "update_agw") and bool(gateway_sites().writer().retry_reason))
    shown = {step.step_name: step.message for step in progress_now(simulation.run_row(run)).deployment_steps}
    assert "which waits itself" in shown["update_agw"]
    assert "which waits itself" not in shown["create_peering"]


def status(run: str, step: str) -> str | None:
    return next((each.status for each in Records().steps(run) if each.step_name == step), None)


def sleeps(simulation: Simulation, run: str, step: str) -> bool:
    """Whether a step has been called and waits for an event."""
    if any(task.name == step for task in simulation.stage.pending):
        return False
    history = simulation.stage.history(f"{run}:{step}")
    return any(event["EventType"] == TIMER_CREATED for event in history) and status(run, step) == "in_progress"


TIMER_CREATED = 10
