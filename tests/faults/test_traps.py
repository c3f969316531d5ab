"""The traps of Azure, one after the other: each costs somebody who doesn't know it a spoke, or leaves something behind."""

import pytest

from shared.tables.records import Records
from shared.tables.rows import StepRow
from tests.faults.wire import Mishap
from tests.faults.world import World

VM_PUT = "create_vm: PUT virtualMachines/{vm}"


def deployed(world: World, *mishaps: Mishap, expected: str = "completed", **changes: object) -> str:
    run = world.deploy(1, *mishaps, **changes)
    world.play_out()
    assert all(mishap.struck for mishap in mishaps)
    world.check(run, expected)
    return run


def deleted(world: World, *mishaps: Mishap, expected: str = "deleted") -> str:
    run = world.delete(1, *mishaps)
    world.play_out()
    assert all(mishap.struck for mishap in mishaps)
    world.check(run, expected)
    return run


def step_of(run: str, name: str) -> StepRow:
    return next(step for step in Records().steps(run) if step.step_name == name)


def test_an_nsg_cannot_go_before_its_vnet(world: World) -> None:
    deployed(world)
    deleted(world)
    paths = [entry["path"] for entry in world.azure.requests("DELETE")]
    vnet = next(n for n, path in enumerate(paths) if path.endswith("/spoke-vnet-1"))
    nsg = next(n for n, path in enumerate(paths) if path.endswith("/spoke-nsg-1"))
    assert vnet < nsg
    refused = [e for e in world.azure.requests("DELETE") if e["status"] == 400]
    assert refused == []


def test_tags_are_not_lost_by_the_second_put_of_the_vnet(world: World) -> None:
    world.complete = None  # one without tags of the caller's
    run = deployed(world, tags={"cost-center": "42"})
    vnet = world.azure.find(world.resource("virtualNetworks", "spoke-vnet-1"))
    assert vnet is not None
    assert vnet["tags"] == {
        "cost-center": "42",
        "client_name": "client-1",
        "spoke_id": "1",
        "deployment_id": run,
        "managed_by": "hub-spoke-automation",
    }
    puts = [e for e in world.azure.requests("PUT") if e["path"].endswith("/spoke-vnet-1")]
    assert [e["request"]["tags"] for e in puts] == [vnet["tags"], vnet["tags"]]


@pytest.mark.parametrize("code", ["AllocationFailed", "OperationNotAllowed"])
def test_a_vm_whose_creation_failed_goes_with_its_disk_and_its_nic(world: World, code: str) -> None:
    deployed(world, Mishap(VM_PUT, {"mode": "fail_operation", "code": code}), expected="failed")


def test_a_nic_is_waited_for_that_azure_reserves_for_180_seconds_after_a_failed_vm(world: World) -> None:
    run = deployed(world, Mishap(VM_PUT, {"mode": "fail_operation", "code": "AllocationFailed"}), expected="failed")
    refused = [e for e in world.azure.requests("DELETE") if e["status"] == 400]
    assert {e["response"]["error"]["code"] for e in refused} == {"NicReservedForAnotherVm"}
    assert step_of(run, "delete_nic").attempts > 1
    assert step_of(run, "delete_nic").status == "completed"


def test_a_vm_that_failed_for_a_passing_reason_is_made_anew(world: World) -> None:
    run = deployed(world, Mishap(VM_PUT, {"mode": "fail_operation", "code": "OSProvisioningTimedOut"}))
    assert step_of(run, "create_vm").attempts == 2


def test_a_peering_that_was_left_disconnected_on_the_hub_is_healed(world: World) -> None:
    hub = world.resource("virtualNetworks", "hub-vnet")
    world.azure.plant(
        {
            "id": f"{hub}/virtualNetworkPeerings/hub-to-spoke-1",
            "properties": {
                "provisioningState": "Succeeded",
                "peeringState": "Disconnected",
                "peeringSyncLevel": "RemoteNotInSync",
                "remoteVirtualNetwork": {"id": world.resource("virtualNetworks", "spoke-vnet-1")},
                "remoteAddressSpace": {"addressPrefixes": ["10.11.1.0/24"]},
            },
        }
    )
    run = world.deploy()
    world.play_out()
    assert world.run_row(run).status == "completed", world.run_row(run).error
    states = _peering_states(world)
    assert states == {"hub-to-spoke-1": "Connected", "spoke-1-to-hub": "Connected"}


def test_a_peering_left_on_the_hub_by_a_vnet_deleted_by_hand_goes_with_the_spoke(world: World) -> None:
    deployed(world)
    world.azure.remove(world.resource("virtualMachines", "vm-1"))
    world.azure.remove(world.resource("networkInterfaces", "vm-1-nic"))
    world.azure.remove(world.resource("virtualNetworks", "spoke-vnet-1"))
    deleted(world)


def test_a_vnet_cannot_go_while_a_nic_is_going(world: World) -> None:
    deployed(world)
    deleted(
        world,
        Mishap("delete_nic: DELETE networkInterfaces/{nic}", {"mode": "slow", "seconds": 200}),
        Mishap("delete_nic: poll of DELETE networkInterfaces/{nic}", {"mode": "refuse", "status": 404}),
    )
    refused = [e for e in world.azure.requests("DELETE") if e["status"] == 400]
    assert refused == []


@pytest.mark.parametrize(
    ("call", "status", "code"),
    [
        ("create_subnets: PUT virtualNetworks/{vnet}", 409, "AnotherOperationInProgress"),
        ("create_subnets: PUT virtualNetworks/{vnet}", 429, "RetryableError"),
        ("create_nic: PUT networkInterfaces/{nic}", 429, "RetryableError"),
        ("write_hub_side: PUT virtualNetworks/hub-vnet/virtualNetworkPeerings/{hub side}", 400, "ReferencedResourceNotProvisioned"),
        ("write_spoke_side: PUT virtualNetworks/{vnet}/virtualNetworkPeerings/{spoke side}", 409, "AnotherOperationInProgress"),
        ("gateway_round: PUT applicationGateways/hub-agw", 409, "AnotherOperationInProgress"),
    ],
)  # fmt: skip
def test_another_operation_in_progress_is_waited_for(world: World, call: str, status: int, code: str) -> None:
    deployed(world, Mishap(call, {"mode": "refuse", "status": status, "code": code}, times=3))


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
def test_a_delete_that_answers_204_is_done(world: World, caller: str, kind: str, name: str, call: str) -> None:
    """Somebody else's delete was faster."""
    deployed(world)
    deleted(world, Mishap(f"{caller}: {call}", deed=lambda: world.azure.remove(world.resource(kind, name))))
    [entry] = [e for e in world.azure.requests("DELETE") if e["path"].endswith(f"/{name}")]
    assert entry["status"] == 204


def test_a_delete_of_what_was_never_made_is_done(world: World) -> None:
    run = deployed(
        world, Mishap("create_nic: PUT networkInterfaces/{nic}", {"mode": "refuse", "status": 400}), expected="failed"
    )
    assert step_of(run, "delete_nic").status == "completed"


def _peering_states(world: World) -> dict[str, str]:
    found = {}
    for name in ("hub-vnet", "spoke-vnet-1"):
        vnet = world.azure.find(world.resource("virtualNetworks", name))
        assert vnet is not None
        for peering in vnet["properties"]["virtualNetworkPeerings"]:
            found[peering["name"]] = peering["properties"]["peeringState"]
    return found
