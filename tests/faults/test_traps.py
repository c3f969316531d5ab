"""The traps of Azure, one after the other: each costs somebody who doesn't know it a spoke, or leaves something behind."""

import functools

import pytest

from shared.spoke.records import StepRow
from shared.tables.records import Records
from tests.faults.catalogue import DELETES, all_or_one, caller_of, names_of
from tests.faults.conftest import SimulationAt
from tests.faults.simulation import Simulation
from tests.faults.wire import Fault

VM_PUT = "create_vm: PUT virtualMachines/{vm}"


def deploys(simulation: Simulation, *faults: Fault, expected: str = "completed", **changes: object) -> str:
    run = simulation.take_up(*faults) if simulation.begins else simulation.deploy(1, *faults, **changes)
    simulation.play_out()
    assert all(fault.struck for fault in faults)
    simulation.check(run, expected)
    return run


def deletes(simulation: Simulation, *faults: Fault) -> None:
    """With a delete that is under way."""
    run = simulation.take_up(*faults)
    simulation.play_out()
    assert all(fault.struck for fault in faults)
    simulation.check(run, "deleted")


def step_of(run: str, name: str) -> StepRow:
    return next(step for step in Records().steps(run) if step.step_name == name)


def has_completed(run: str, name: str) -> bool:
    return any(step.step_name == name and step.status == "completed" for step in Records().steps(run))


def test_tags_are_not_lost_by_the_second_put_of_the_vnet(simulation: Simulation) -> None:
    run = simulation.deploy(tags={"cost-center": "42"})
    simulation.until_recorded(lambda: has_completed(run, "create_subnets"))
    vnet = simulation.azure.find(simulation.resource("virtualNetworks", "spoke-vnet-1"))
    assert vnet is not None
    assert vnet["tags"] == {
        "cost-center": "42",
        "client_name": "client-1",
        "spoke_id": "1",
        "deployment_id": run,
        "managed_by": "hub-spoke-automation",
    }
    puts = [e for e in simulation.azure.requests("PUT") if e["path"].endswith("/spoke-vnet-1")]
    assert [e["request"]["tags"] for e in puts] == [vnet["tags"], vnet["tags"]]


# One for want of room, one for what stays so: Azure keeps the NIC for the VM all the same.
@pytest.mark.parametrize("code", ["AllocationFailed", pytest.param("OperationNotAllowed", marks=pytest.mark.full)])
def test_a_vm_whose_creation_failed_goes_with_its_nic_that_azure_reserves_for_180_seconds(
    simulation_at: SimulationAt, code: str
) -> None:
    simulation = simulation_at("deploy", "create_vm")
    run = deploys(simulation, Fault(VM_PUT, {"mode": "fail_operation", "code": code}), expected="failed")
    refused = [e for e in simulation.azure.requests("DELETE") if e["status"] == 400]
    assert {e["response"]["error"]["code"] for e in refused} == {"NicReservedForAnotherVm"}
    assert step_of(run, "delete_nic").attempts > 1
    assert step_of(run, "delete_nic").status == "completed"


def test_a_vm_that_failed_for_a_passing_reason_is_made_anew(simulation_at: SimulationAt) -> None:
    simulation = simulation_at("deploy", "create_vm")
    run = deploys(simulation, Fault(VM_PUT, {"mode": "fail_operation", "code": "OSProvisioningTimedOut"}))
    assert step_of(run, "create_vm").attempts == 2


def test_a_peering_that_was_left_disconnected_on_the_hub_is_healed(simulation: Simulation) -> None:
    hub = simulation.resource("virtualNetworks", "hub-vnet")
    simulation.azure.plant(
        {
            "id": f"{hub}/virtualNetworkPeerings/hub-to-spoke-1",
            "properties": {
                "provisioningState": "Succeeded",
                "peeringState": "Disconnected",
                "peeringSyncLevel": "RemoteNotInSync",
                "remoteVirtualNetwork": {"id": simulation.resource("virtualNetworks", "spoke-vnet-1")},
                "remoteAddressSpace": {"addressPrefixes": ["10.11.1.0/24"]},
            },
        }
    )
    run = simulation.deploy()
    simulation.until_recorded(lambda: has_completed(run, "create_peering"))
    states = _peering_states(simulation)
    assert states == {"hub-to-spoke-1": "Connected", "spoke-1-to-hub": "Connected"}


def test_a_peering_left_on_the_hub_by_a_vnet_deleted_by_hand_goes_with_the_spoke(
    deployed: tuple[Simulation, str],
) -> None:
    simulation, _ = deployed
    simulation.azure.remove(simulation.resource("virtualMachines", "vm-1"))
    simulation.azure.remove(simulation.resource("networkInterfaces", "vm-1-nic"))
    simulation.azure.remove(simulation.resource("virtualNetworks", "spoke-vnet-1"))
    run = simulation.delete()
    simulation.play_out()
    simulation.check(run, "deleted")


def test_a_vnet_cannot_go_while_a_nic_is_going_nor_an_nsg_before_its_vnet(simulation_at: SimulationAt) -> None:
    simulation = simulation_at("delete", "delete_nic")
    deletes(
        simulation,
        Fault("delete_nic: DELETE networkInterfaces/{nic}", {"mode": "slow", "seconds": 200}),
        Fault("delete_nic: poll of DELETE networkInterfaces/{nic}", {"mode": "refuse", "status": 404}),
    )
    asked = simulation.azure.requests("DELETE")
    assert [each for each in asked if each["status"] == 400] == []
    names = [each["path"].rpartition("/")[2] for each in asked]
    assert names.index("spoke-vnet-1") < names.index("spoke-nsg-1")


# Of one deployment, one after the other.
OTHERS_OPERATIONS = {
    "create_subnets: PUT virtualNetworks/{vnet}": (409, "AnotherOperationInProgress"),
    "create_nic: PUT networkInterfaces/{nic}": (429, "RetryableError"),
    "write_hub_side: PUT virtualNetworks/hub-vnet/virtualNetworkPeerings/{hub side}": (
        400,
        "ReferencedResourceNotProvisioned",
    ),
    "write_spoke_side: PUT virtualNetworks/{vnet}/virtualNetworkPeerings/{spoke side}": (
        409,
        "AnotherOperationInProgress",
    ),
    "gateway_round: PUT applicationGateways/hub-agw": (409, "AnotherOperationInProgress"),
}


@pytest.mark.parametrize("calls", all_or_one(OTHERS_OPERATIONS), ids=names_of)
def test_another_operation_in_progress_is_waited_for(simulation_at: SimulationAt, calls: tuple[str, ...]) -> None:
    simulation = simulation_at("deploy", caller_of(calls[0]))
    faults = []
    for call in calls:
        status, code = OTHERS_OPERATIONS[call]
        faults.append(Fault(call, {"mode": "refuse", "status": status, "code": code}, times=3))
    deploys(simulation, *faults)
    assert [fault.struck for fault in faults] == [3] * len(calls)


@pytest.mark.parametrize("calls", all_or_one(DELETES), ids=names_of)
def test_a_delete_that_answers_204_is_done(simulation_at: SimulationAt, calls: tuple[str, ...]) -> None:
    """Another client's delete was faster."""
    simulation = simulation_at("delete", caller_of(calls[0]))
    ids = [simulation.resource(*DELETES[call]) for call in calls]
    faster = [functools.partial(simulation.azure.remove, each) for each in ids]
    deletes(simulation, *[Fault(call, interference=each) for call, each in zip(calls, faster, strict=True)])
    for resource_id in ids:
        [entry] = [e for e in simulation.azure.requests("DELETE") if e["path"].lower() == resource_id.lower()]
        assert entry["status"] == 204


def _peering_states(simulation: Simulation) -> dict[str, str]:
    found = {}
    for name in ("hub-vnet", "spoke-vnet-1"):
        vnet = simulation.azure.find(simulation.resource("virtualNetworks", name))
        assert vnet is not None
        for peering in vnet["properties"]["virtualNetworkPeerings"]:
            found[peering["name"]] = peering["properties"]["peeringState"]
    return found
