"""The traps of Azure, one after the other: each costs somebody who doesn't know it a spoke, or leaves something behind."""

import pytest

from shared.spoke.records import StepRow
from shared.tables.records import Records
from tests.faults.catalogue import caller_of
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


def test_an_nsg_cannot_go_before_its_vnet(simulation_at: SimulationAt) -> None:
    simulation = simulation_at("delete", "delete_nic")
    deletes(simulation)
    paths = [entry["path"] for entry in simulation.azure.requests("DELETE")]
    vnet = next(n for n, path in enumerate(paths) if path.endswith("/spoke-vnet-1"))
    nsg = next(n for n, path in enumerate(paths) if path.endswith("/spoke-nsg-1"))
    assert vnet < nsg
    refused = [e for e in simulation.azure.requests("DELETE") if e["status"] == 400]
    assert refused == []


def test_tags_are_not_lost_by_the_second_put_of_the_vnet(simulation: Simulation) -> None:
    simulation.complete = None  # one without tags of the caller's
    run = deploys(simulation, tags={"cost-center": "42"})
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


def test_a_vm_whose_creation_failed_goes_with_its_disk_and_its_nic(simulation_at: SimulationAt) -> None:
    simulation = simulation_at("deploy", "create_vm")
    deploys(simulation, Fault(VM_PUT, {"mode": "fail_operation", "code": "OperationNotAllowed"}), expected="failed")


def test_a_nic_is_waited_for_that_azure_reserves_for_180_seconds_after_a_failed_vm(simulation_at: SimulationAt) -> None:
    simulation = simulation_at("deploy", "create_vm")
    run = deploys(simulation, Fault(VM_PUT, {"mode": "fail_operation", "code": "AllocationFailed"}), expected="failed")
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
    simulation.play_out()
    assert simulation.run_row(run).status == "completed", simulation.run_row(run).error
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


def test_a_vnet_cannot_go_while_a_nic_is_going(simulation_at: SimulationAt) -> None:
    simulation = simulation_at("delete", "delete_nic")
    deletes(
        simulation,
        Fault("delete_nic: DELETE networkInterfaces/{nic}", {"mode": "slow", "seconds": 200}),
        Fault("delete_nic: poll of DELETE networkInterfaces/{nic}", {"mode": "refuse", "status": 404}),
    )
    refused = [e for e in simulation.azure.requests("DELETE") if e["status"] == 400]
    assert refused == []


@pytest.mark.parametrize(
    ("call", "status", "code"),
    [
        ("create_subnets: PUT virtualNetworks/{vnet}", 409, "AnotherOperationInProgress"),
        pytest.param("create_subnets: PUT virtualNetworks/{vnet}", 429, "RetryableError", marks=pytest.mark.full),  # as create_nic's
        ("create_nic: PUT networkInterfaces/{nic}", 429, "RetryableError"),
        ("write_hub_side: PUT virtualNetworks/hub-vnet/virtualNetworkPeerings/{hub side}", 400, "ReferencedResourceNotProvisioned"),
        ("write_spoke_side: PUT virtualNetworks/{vnet}/virtualNetworkPeerings/{spoke side}", 409, "AnotherOperationInProgress"),
        ("gateway_round: PUT applicationGateways/hub-agw", 409, "AnotherOperationInProgress"),
    ],
)  # fmt: skip
def test_another_operation_in_progress_is_waited_for(
    simulation_at: SimulationAt, call: str, status: int, code: str
) -> None:
    simulation = simulation_at("deploy", caller_of(call))
    deploys(simulation, Fault(call, {"mode": "refuse", "status": status, "code": code}, times=3))


@pytest.mark.parametrize(
    ("caller", "kind", "name", "call"),
    [
        ("delete_vm", "virtualMachines", "vm-1", "DELETE virtualMachines/{vm}"),
        ("delete_os_disk", "disks", "vm-1-osdisk", "DELETE disks/{disk}"),
        ("delete_nic", "networkInterfaces", "vm-1-nic", "DELETE networkInterfaces/{nic}"),
        ("delete_vnet", "virtualNetworks", "spoke-vnet-1", "DELETE virtualNetworks/{vnet}"),
        ("delete_nsg", "networkSecurityGroups", "spoke-nsg-1", "DELETE networkSecurityGroups/{nsg}"),
    ],
)
def test_a_delete_that_answers_204_is_done(
    simulation_at: SimulationAt, caller: str, kind: str, name: str, call: str
) -> None:
    """Somebody else's delete was faster."""
    simulation = simulation_at("delete", caller)
    deletes(
        simulation,
        Fault(f"{caller}: {call}", interference=lambda: simulation.azure.remove(simulation.resource(kind, name))),
    )
    [entry] = [e for e in simulation.azure.requests("DELETE") if e["path"].endswith(f"/{name}")]
    assert entry["status"] == 204


def test_a_delete_of_what_was_never_made_is_done(simulation_at: SimulationAt) -> None:
    simulation = simulation_at("deploy", "create_nic")
    run = deploys(
        simulation,
        Fault("create_nic: PUT networkInterfaces/{nic}", {"mode": "refuse", "status": 400}),
        expected="failed",
    )
    assert step_of(run, "delete_nic").status == "completed"


def _peering_states(simulation: Simulation) -> dict[str, str]:
    found = {}
    for name in ("hub-vnet", "spoke-vnet-1"):
        vnet = simulation.azure.find(simulation.resource("virtualNetworks", name))
        assert vnet is not None
        for peering in vnet["properties"]["virtualNetworkPeerings"]:
            found[peering["name"]] = peering["properties"]["peeringState"]
    return found
