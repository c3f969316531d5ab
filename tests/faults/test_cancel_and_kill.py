"""DELETE while a deployment runs, hosts that are killed at any moment, orchestrations that someone terminates, retries:
with the real activities, real tables and a stand-in of Azure."""

from datetime import datetime, timedelta

import pytest

from shared.clock import utc_now
from shared.steps import STEPS
from shared.tables.records import Records
from tests.faults.wire import Mishap
from tests.faults.world import World

STEP_NAMES = [step.name for step in STEPS]


def statuses(run: str) -> dict[str, str]:
    return {step.step_name: step.status for step in Records().steps(run)}


@pytest.mark.parametrize("step", STEP_NAMES)
def test_a_delete_while_a_deployment_runs_cancels_it_at_the_next_step(world: World, step: str) -> None:
    run = world.deploy()
    world.watch(run)
    world.until_pending(step)
    assert world.delete() == run
    assert world.delete() == run, "a second DELETE joins the first"
    world.play_out()
    world.check(run, "failed")
    assert (world.run_row(run).error or {})["details"]["code"] == "Cancelled"
    assert statuses(run).get(step) in (None, "cancelled"), "it never began"
    assert world.delete() == "", "DELETE of a failed spoke removes its record"
    assert Records().spoke(1) is None


@pytest.mark.parametrize("step", ["create_vm", "create_peering", "update_agw", "create_subnets"])
def test_a_delete_while_an_operation_runs_is_waited_for_and_undone(world: World, step: str) -> None:
    run = world.deploy()
    world.until_pending(step)
    world.until(lambda: statuses(run).get(step) == "in_progress" and step not in _pending(world))
    world.delete()
    world.play_out()
    world.check(run, "failed")


@pytest.mark.parametrize("minutes", [0, 1])
def test_a_look_that_took_a_minute_asks_again_before_it_writes(world: World, minutes: int) -> None:
    """A DELETE comes while the last look before the VM's PUT is under way; one that was quick is undone."""

    def cancelled_meanwhile() -> None:
        world.clock.advance(60 * minutes)
        world.delete()

    run = world.deploy(1, Mishap("create_vm: GET disks/{disk}", deed=cancelled_meanwhile))
    world.play_out()
    world.check(run, "failed")
    writes = [call for call in world.wire.calls if call.endswith("PUT virtualMachines/{vm}")]
    assert bool(writes) == (minutes == 0)
    assert statuses(run)["create_vm"] == "cancelled"


def test_a_delete_during_the_rollback_joins_it(world: World) -> None:
    run = world.deploy(1, Mishap("create_vm: PUT virtualMachines/{vm}", {"mode": "refuse", "status": 403}))
    world.until_pending("delete_nic")
    assert world.delete() == run
    world.play_out()
    world.check(run, "failed")
    assert (world.run_row(run).error or {})["step"] == "create_vm"


FIRST_CALLS = {
    "remove_from_agw": "gateway_round: PUT applicationGateways/hub-agw",
    "delete_vm": "delete_vm: DELETE virtualMachines/{vm}",
    "delete_os_disk": "delete_os_disk: DELETE disks/{disk}",
    "delete_nic": "delete_nic: DELETE networkInterfaces/{nic}",
    "delete_peering": "write_hub_side: DELETE virtualNetworks/hub-vnet/virtualNetworkPeerings/{hub side}",
    "delete_vnet": "delete_vnet: DELETE virtualNetworks/{vnet}",
    "delete_nsg": "delete_nsg: DELETE networkSecurityGroups/{nsg}",
}


@pytest.mark.parametrize("undo", FIRST_CALLS)
def test_an_undo_that_fails_leaves_exactly_what_is_said_and_a_retry_finishes(world: World, undo: str) -> None:
    """Refused for good at its write; nothing else is touched, and nothing is forgotten."""
    run = world.deploy()
    world.play_out()
    world.check(run, "completed")
    mishap = Mishap(FIRST_CALLS[undo], {"mode": "refuse", "status": 403}, times=None)
    removal = world.delete(1, mishap)
    world.watch(removal)
    world.until_ended(removal)
    assert mishap.struck
    world.check(removal, "rollback_failed")
    assert undo in {left["step"] for left in world.run_row(removal).left_behind}
    world.mend()
    again = world.retry()
    world.play_out()
    world.check(again, "deleted")


def test_a_failed_deployment_can_be_retried(world: World) -> None:
    run = world.deploy(1, Mishap("create_nic: PUT networkInterfaces/{nic}", {"mode": "refuse", "status": 400}))
    world.play_out()
    world.check(run, "failed")
    again = world.retry()
    assert again != run
    world.play_out()
    world.check(again, "completed")


def test_a_rollback_that_could_not_finish_is_finished_by_a_retry(world: World) -> None:
    stuck = Mishap("delete_nic: DELETE networkInterfaces/{nic}", {"mode": "refuse", "status": 403}, times=None)
    refused = Mishap("create_vm: PUT virtualMachines/{vm}", {"mode": "refuse", "status": 403})
    run = world.deploy(1, stuck, refused)
    world.play_out()
    world.check(run, "rollback_failed")
    left = {each["resource"].rpartition("/")[2] for each in world.run_row(run).left_behind}
    assert left == {"vm-1-nic", "spoke-vnet-1", "spoke-nsg-1", "reservations of spoke 1"}
    in_vain = world.retry()
    world.play_out()
    world.check(in_vain, "rollback_failed")
    stuck.times = 0
    again = world.retry()
    world.play_out()
    world.check(again, "failed")
    why = [(world.run_row(each).error or {}).get("step") for each in (run, in_vain, again)]
    assert why == ["create_vm"] * 3, "a retry, in vain or not, does not change why the deployment failed"
    spoke = Records().spoke(1)
    assert spoke is not None
    assert spoke.error == world.run_row(run).error


def _pending(world: World) -> list[str]:
    return [task.name for task in world.stage.pending]


def _minute(now: datetime) -> datetime:
    return now + timedelta(minutes=1)


def test_time_is_the_worlds(world: World) -> None:
    before = utc_now()
    world.stage.advance(60)
    assert utc_now() == _minute(before)
