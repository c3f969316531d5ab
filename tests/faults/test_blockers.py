"""What a client has put into a spoke: a delete finds it before it touches anything, and by force goes on around it."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.errors import DeploymentException, Failure, HubSpokeException
from tests.faults.catalogue import KINDS, LOOK_BEFORE_A_DELETE, FaultKind
from tests.faults.simulation import Simulation

Document = dict[str, Any]


def a_nic(simulation: Simulation) -> Document:
    subnet = f"{simulation.resource('virtualNetworks', 'spoke-vnet-1')}/subnets/app-subnet-1"
    return {
        "id": simulation.resource("networkInterfaces", "clients-own"),
        "location": "eastus",
        "tags": {},
        "properties": {
            "provisioningState": "Succeeded",
            "ipConfigurations": [
                {
                    "name": "ipconfig1",
                    "properties": {
                        "subnet": {"id": subnet},
                        "privateIPAddress": "10.11.1.70",
                        "privateIPAllocationMethod": "Dynamic",
                    },
                }
            ],
        },
    }


def a_private_endpoint(simulation: Simulation) -> Document:
    subnet = f"{simulation.resource('virtualNetworks', 'spoke-vnet-1')}/subnets/db-subnet-1"
    return {
        "id": simulation.resource("privateEndpoints", "clients-own"),
        "location": "eastus",
        "properties": {"provisioningState": "Succeeded", "subnet": {"id": subnet}},
    }


def a_load_balancer(simulation: Simulation) -> Document:
    subnet = f"{simulation.resource('virtualNetworks', 'spoke-vnet-1')}/subnets/web-subnet-1"
    frontend = {"name": "front", "properties": {"subnet": {"id": subnet}, "privateIPAllocationMethod": "Dynamic"}}
    return {
        "id": simulation.resource("loadBalancers", "clients-own"),
        "location": "eastus",
        "properties": {"provisioningState": "Succeeded", "frontendIPConfigurations": [frontend]},
    }


def a_lock(simulation: Simulation) -> Document:
    name = "providers/Microsoft.Authorization/locks/keep"
    return {
        "id": f"{simulation.resource('networkSecurityGroups', 'spoke-nsg-1')}/{name}",
        "properties": {"level": "CanNotDelete"},
    }


def a_subnet_behind_the_nsg(simulation: Simulation) -> Document:
    """In a VNet of the client's own, with the spoke's network security group."""
    return {
        "id": simulation.resource("virtualNetworks", "clients-own"),
        "location": "eastus",
        "properties": {
            "provisioningState": "Succeeded",
            "addressSpace": {"addressPrefixes": ["10.77.0.0/16"]},
            "subnets": [
                {
                    "name": "behind",
                    "properties": {
                        "addressPrefix": "10.77.1.0/24",
                        "networkSecurityGroup": {"id": simulation.resource("networkSecurityGroups", "spoke-nsg-1")},
                    },
                }
            ],
        },
    }


OBSTACLES: dict[str, tuple[Callable[[Simulation], Document], set[str]]] = {
    "network interface": (a_nic, {"spoke-vnet-1", "spoke-nsg-1", "reservations of spoke 1"}),
    "private endpoint": (a_private_endpoint, {"spoke-vnet-1", "spoke-nsg-1", "reservations of spoke 1"}),
    "load balancer": (a_load_balancer, {"spoke-vnet-1", "spoke-nsg-1", "reservations of spoke 1"}),
    "subnet": (a_subnet_behind_the_nsg, {"spoke-nsg-1", "reservations of spoke 1"}),
    "lock": (a_lock, {"spoke-nsg-1", "reservations of spoke 1"}),
}


@pytest.mark.parametrize("kind", OBSTACLES)
def test_a_delete_names_blockers_and_begins_nothing(deployed: tuple[Simulation, str], kind: str) -> None:
    simulation, run = deployed
    simulation.azure.plant(OBSTACLES[kind][0](simulation))
    with pytest.raises(DeploymentException) as refused:
        simulation.delete()
    (obstacle,) = refused.value.failure.details["obstacles"]
    assert obstacle["kind"] == kind
    assert simulation.azure.requests("PUT") + simulation.azure.requests("DELETE") == []
    assert simulation.run_row(run).status == "completed"


# One after the other, each a blocker of less than the one before. What is in a subnet blocks the same, whatever it is.
@pytest.mark.parametrize(
    "kinds",
    [
        ("network interface", "subnet", "lock"),
        *(pytest.param((kind,), marks=pytest.mark.full) for kind in OBSTACLES),
    ],
    ids=", ".join,
)
def test_a_delete_goes_on_by_force_and_finishes_when_the_blockers_are_gone(
    deployed: tuple[Simulation, str], kinds: tuple[str, ...]
) -> None:
    simulation, _ = deployed
    simulation.look_every = 5
    for kind in kinds:
        make, kept = OBSTACLES[kind]
        theirs = make(simulation)
        simulation.azure.plant(theirs)
        removal = simulation.delete(force=True)
        simulation.watchers.clear()
        simulation.watch(removal)
        simulation.play_out()
        row = simulation.run_row(removal)
        assert row.status == "rollback_failed"
        assert {left["resource"].rpartition("/")[2] for left in row.left_behind} == kept
        if kind != "lock":
            assert simulation.azure.find(theirs["id"]) is not None
            assert ("behind" if kind == "subnet" else "clients-own") in str(row.left_behind) + str(row.error)

        with pytest.raises(DeploymentException) as refused:  # it blocks what is left, too
            simulation.delete()
        (obstacle,) = refused.value.failure.details["obstacles"]
        assert obstacle["kind"] == kind
        simulation.azure.remove(theirs["id"])
    again = simulation.retry()
    simulation.play_out()
    simulation.check(again, "deleted")


def attached_disk(simulation: Simulation, option: str) -> str:
    """The id of a data disk that the client has attached to the spoke's VM."""
    disk_id = simulation.resource("disks", "clients-data")
    simulation.azure.plant(
        {
            "id": disk_id,
            "location": "eastus",
            "properties": {"provisioningState": "Succeeded", "creationData": {"createOption": "Empty"}},
        }
    )
    vm = simulation.azure.find(simulation.resource("virtualMachines", "vm-1")) or {}
    vm["properties"]["storageProfile"]["dataDisks"] = [
        {"lun": 0, "createOption": "Attach", "managedDisk": {"id": disk_id}, "deleteOption": option}
    ]
    simulation.azure.plant(vm)
    return disk_id


@pytest.mark.parametrize("option", ["Detach", "Delete"])
def test_a_clients_data_disk_is_asked_for_and_survives_a_delete_by_force(
    deployed: tuple[Simulation, str], option: str
) -> None:
    simulation, _ = deployed
    disk_id = attached_disk(simulation, option)
    with pytest.raises(DeploymentException) as refused:
        simulation.delete()
    (blocker,) = refused.value.failure.details["obstacles"]
    assert (blocker["kind"], blocker["resource"].lower()) == ("data disk", disk_id.lower())
    assert ("delete option Delete" in blocker["message"]) == (option == "Delete")

    removal = simulation.delete(force=True)
    simulation.play_out()
    row = simulation.run_row(removal)
    (left,) = row.left_behind
    assert (row.status, left["step"], left["resource"].lower()) == ("deleted", "delete_vm", disk_id.lower())
    assert simulation.azure.find(disk_id) is not None
    assert simulation.azure.find(simulation.resource("virtualMachines", "vm-1")) is None
    writes = [each for each in simulation.azure.requests("PUT") if "/virtualMachines/" in each["path"]]
    assert len(writes) == (1 if option == "Delete" else 0)


def test_a_delegated_subnet_and_what_a_vnet_shares_with_others_are_asked_for_before_they_go(
    deployed: tuple[Simulation, str],
) -> None:
    """A service of the client's may live in the subnet. Where none does, nothing stops a delete by force. A peering with
    another client's VNet ends with ours, and leaves theirs disconnected: only by force."""
    simulation, run = deployed
    vnet_id = simulation.resource("virtualNetworks", "spoke-vnet-1")
    peering: Document = {
        "id": f"{vnet_id}/virtualNetworkPeerings/to-another",
        "properties": {
            "provisioningState": "Succeeded",
            "peeringState": "Initiated",
            "remoteVirtualNetwork": {"id": simulation.resource("virtualNetworks", "another")},
        },
    }
    simulation.azure.plant(peering)
    with pytest.raises(DeploymentException):
        simulation.delete()
    assert simulation.run_row(run).status == "completed"
    simulation.azure.remove(peering["id"])
    subnet = next(
        each
        for each in (simulation.azure.find(vnet_id) or {})["properties"]["subnets"]
        if each["name"].startswith("app-subnet")
    )
    delegation = {"name": "sql", "properties": {"serviceName": "Microsoft.Sql/managedInstances"}}
    subnet["properties"]["delegations"] = [delegation]
    simulation.azure.plant(subnet)
    with pytest.raises(DeploymentException) as refused:
        simulation.delete()
    (obstacle,) = refused.value.failure.details["obstacles"]
    assert obstacle["kind"] == "delegation"
    assert "Microsoft.Sql/managedInstances" in obstacle["message"]
    simulation.azure.plant(peering)
    removal = simulation.delete(force=True)
    simulation.play_out()
    simulation.check(removal, "deleted")


def looks_that_go_wrong() -> pytest.MarkDecorator:
    """Every look with every kind; the ordinary run takes every other pair, so that each look and each kind is met."""
    kinds = [kind for kind in KINDS if kind.fault and not kind.writes_only]
    cases = []
    for number, call in enumerate(sorted(LOOK_BEFORE_A_DELETE)):
        for place, kind in enumerate(kinds):
            marks = [] if (number + place) % 2 == 0 else [pytest.mark.full]
            cases.append(pytest.param(call, kind, id=f"{call} {kind.name}", marks=marks))
    return pytest.mark.parametrize(("call", "kind"), cases)


@looks_that_go_wrong()
def test_a_check_for_blockers_that_fails_begins_nothing_and_says_so(
    deployed: tuple[Simulation, str], call: str, kind: FaultKind
) -> None:
    simulation, run = deployed
    before = simulation.snapshot()
    fault = kind.at(call)
    simulation.wire.faults.append(fault)
    removal, failure = begun(simulation)
    if failure:
        assert failure.message
        assert failure.hint
        assert simulation.snapshot() == before
        assert simulation.run_row(run).status == "completed"
        simulation.clear_faults()
        removal = simulation.delete()
    assert fault.struck
    assert simulation.run_row(removal).status == "accepted"


def begun(simulation: Simulation) -> tuple[str, Failure | None]:
    """The removal that a DELETE begins, or what it answers instead."""
    try:
        return simulation.delete(), None
    except HubSpokeException as error:
        return "", error.failure
