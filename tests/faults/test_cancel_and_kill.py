"""DELETE while a deployment runs, hosts that are killed at any moment, orchestrations that someone terminates, retries:
with the real activities, real tables and a stand-in of Azure."""

import re
from datetime import datetime, timedelta

import pytest

from shared.clock import utc_now
from shared.saga.steps import STEPS
from shared.settings import current_settings
from shared.tables.records import Records
from tests.faults.catalogue import DELETE, caller_of, calls_of
from tests.faults.conftest import SimulationAt
from tests.faults.simulation import Simulation
from tests.faults.wire import Fault

FULL = pytest.mark.full
STEP_NAMES = [step.name for step in STEPS]
# The first, one that is alone, the first of those that run side by side, the last.
FEW_STEPS = {"validate_config", "create_subnets", "create_vm", "save_to_storage"}
SIDE_BY_SIDE = ("create_vm", "create_peering", "update_agw")


def statuses(run: str) -> dict[str, str]:
    return {step.step_name: step.status for step in Records().steps(run)}


@pytest.mark.parametrize("step", [each if each in FEW_STEPS else pytest.param(each, marks=FULL) for each in STEP_NAMES])
def test_a_delete_while_a_deployment_runs_cancels_it_at_the_next_step(simulation_at: SimulationAt, step: str) -> None:
    simulation = simulation_at("deploy", step)
    run = simulation.take_up()
    simulation.watch(run)
    simulation.look_every = 5
    assert simulation.delete() == run
    assert simulation.delete() == run, "a second DELETE joins the first"
    simulation.play_out()
    simulation.check(run, "failed")
    assert (simulation.run_row(run).error or {})["details"]["code"] == "Cancelled"
    never_began = SIDE_BY_SIDE if step in SIDE_BY_SIDE[:1] else (step,)
    assert {statuses(run).get(each) for each in never_began} <= {None, "cancelled"}
    assert simulation.delete() == "", "DELETE of a failed spoke removes its record"
    assert Records().spoke(1) is None


@pytest.mark.parametrize(
    "steps", [SIDE_BY_SIDE, *(pytest.param((step,), marks=FULL) for step in SIDE_BY_SIDE)], ids=", ".join
)
def test_a_delete_while_operations_run_is_waited_for_and_undone(
    simulation_at: SimulationAt, steps: tuple[str, ...]
) -> None:
    simulation = simulation_at("deploy", steps[0])
    run = simulation.take_up()
    simulation.until_recorded(
        lambda: (
            all(statuses(run).get(step) == "in_progress" for step in steps)
            and not set(steps) & set(_pending(simulation))
        )
    )
    simulation.delete()
    simulation.play_out()
    simulation.check(run, "failed")


@pytest.mark.parametrize("minutes", [0, 1])
def test_a_read_that_took_a_minute_asks_again_before_the_write(simulation_at: SimulationAt, minutes: int) -> None:
    """A DELETE comes while the last look before the VM's PUT is under way; one that was quick is undone."""
    simulation = simulation_at("deploy", "create_vm")

    def cancelled_meanwhile() -> None:
        simulation.clock.advance(60 * minutes)
        simulation.delete()

    run = simulation.take_up(Fault("create_vm: GET disks/{disk}", interference=cancelled_meanwhile))
    simulation.play_out()
    simulation.check(run, "failed")
    writes = [call for call in simulation.wire.calls if call.endswith("PUT virtualMachines/{vm}")]
    assert bool(writes) == (minutes == 0)
    assert statuses(run)["create_vm"] == "cancelled"


def test_a_delete_during_the_rollback_joins_it(simulation_at: SimulationAt) -> None:
    simulation = simulation_at("rollback", "delete_nic")
    run = simulation.take_up()
    assert simulation.delete() == run
    simulation.play_out()
    simulation.check(run, "failed")
    assert (simulation.run_row(run).error or {})["step"] == "create_vm"


FIRST_CALLS = {
    "remove_from_agw": "gateway_round: PUT applicationGateways/hub-agw",
    "delete_peering": "write_hub_side: DELETE virtualNetworks/hub-vnet/virtualNetworkPeerings/{hub side}",
    **{caller_of(call): call for call in calls_of(DELETE) if re.match(r"(delete_\w+): DELETE ", call)},
}


# The fault matrix refuses every write of every undo, once and permanently.
@pytest.mark.parametrize(
    "undo",
    [each if each in ("remove_from_agw", "delete_nic") else pytest.param(each, marks=FULL) for each in FIRST_CALLS],
)
def test_an_undo_that_fails_leaves_exactly_what_is_said_and_a_retry_finishes(
    simulation_at: SimulationAt, undo: str
) -> None:
    """Refused permanently at its write; nothing else is touched, and nothing is forgotten."""
    simulation = simulation_at("delete", undo)
    fault = Fault(FIRST_CALLS[undo], {"mode": "refuse", "status": 403}, times=None)
    removal = simulation.take_up(fault)
    simulation.watch(removal)
    simulation.look_every = 5
    simulation.until_ended(removal)
    assert fault.struck
    simulation.check(removal, "rollback_failed")
    assert undo in {left["step"] for left in simulation.run_row(removal).left_behind}
    simulation.clear_faults()
    again = simulation.retry()
    simulation.play_out()
    simulation.check(again, "deleted")


def test_a_failed_deployment_can_be_retried(simulation_at: SimulationAt) -> None:
    simulation = simulation_at("deploy", "create_nic")
    run = simulation.take_up(Fault("create_nic: PUT networkInterfaces/{nic}", {"mode": "refuse", "status": 400}))
    simulation.play_out()
    simulation.check(run, "failed")
    assert statuses(run)["delete_nic"] == "completed", "a delete of what was never made is done"
    again = simulation.retry()
    assert again != run
    simulation.play_out()
    simulation.check(again, "completed")


def test_a_rollback_that_could_not_finish_is_finished_by_a_retry(simulation_at: SimulationAt) -> None:
    simulation = simulation_at("deploy", "create_vm")
    stuck = Fault("delete_nic: DELETE networkInterfaces/{nic}", {"mode": "refuse", "status": 403}, times=None)
    refused = Fault("create_vm: PUT virtualMachines/{vm}", {"mode": "refuse", "status": 403})
    run = simulation.take_up(stuck, refused)
    simulation.play_out()
    simulation.check(run, "rollback_failed")
    left = {each["resource"].rpartition("/")[2] for each in simulation.run_row(run).left_behind}
    assert left == {"vm-1-nic", "spoke-vnet-1", "spoke-nsg-1", "reservations of spoke 1"}
    in_vain = simulation.retry()
    simulation.play_out()
    simulation.check(in_vain, "rollback_failed")
    stuck.times = 0
    again = simulation.retry()
    simulation.play_out()
    simulation.check(again, "failed")
    why = [(simulation.run_row(each).error or {}).get("step") for each in (run, in_vain, again)]
    assert why == ["create_vm"] * 3, "a retry, in vain or not, does not change why the deployment failed"
    spoke = Records().spoke(1)
    assert spoke is not None
    assert spoke.error == simulation.run_row(run).error


def _pending(simulation: Simulation) -> list[str]:
    return [task.name for task in simulation.stage.pending]


def _minute(now: datetime) -> datetime:
    return now + timedelta(minutes=1)


def test_time_is_the_worlds(simulation: Simulation) -> None:
    before = utc_now()
    simulation.stage.advance(60)
    assert utc_now() == _minute(before)


def test_a_cancel_does_not_wait_for_an_unmanaged_operation_on_the_gateway(simulation_at: SimulationAt) -> None:
    """The site was never there: it is gone at once, and the rest with it, while the gateway is held all the time."""
    simulation = simulation_at("deploy", "update_agw")
    run = simulation.take_up()
    gateway = simulation.azure.find(simulation.resource("applicationGateways", "hub-agw"))
    assert gateway is not None
    gateway["properties"]["provisioningState"] = "Updating"
    simulation.meanwhile(gateway)
    simulation.until_recorded(lambda: "update_agw" in statuses(run))
    begun = simulation.clock.now()
    assert simulation.delete() == run
    simulation.until_ended(run)
    simulation.check(run, "failed")
    assert simulation.clock.now() - begun < current_settings().policy.shared_deadline_seconds
