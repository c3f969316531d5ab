"""What a client has put into a spoke: a delete finds it before it touches anything, and by force goes on around it."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.errors import DeploymentException, Failure, HubSpokeException
from tests.faults.catalogue import KINDS, LOOK_BEFORE_A_DELETE, FaultKind
from tests.faults.world import World

Document = dict[str, Any]


def a_nic(world: World) -> Document:
    subnet = f"{world.resource('virtualNetworks', 'spoke-vnet-1')}/subnets/app-subnet-1"
    return {
        "id": world.resource("networkInterfaces", "clients-own"),
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


def a_private_endpoint(world: World) -> Document:
    subnet = f"{world.resource('virtualNetworks', 'spoke-vnet-1')}/subnets/db-subnet-1"
    return {
        "id": world.resource("privateEndpoints", "clients-own"),
        "location": "eastus",
        "properties": {"provisioningState": "Succeeded", "subnet": {"id": subnet}},
    }


def a_load_balancer(world: World) -> Document:
    subnet = f"{world.resource('virtualNetworks', 'spoke-vnet-1')}/subnets/web-subnet-1"
    frontend = {"name": "front", "properties": {"subnet": {"id": subnet}, "privateIPAllocationMethod": "Dynamic"}}
    return {
        "id": world.resource("loadBalancers", "clients-own"),
        "location": "eastus",
        "properties": {"provisioningState": "Succeeded", "frontendIPConfigurations": [frontend]},
    }


def a_lock(world: World) -> Document:
    name = "providers/Microsoft.Authorization/locks/keep"
    return {
        "id": f"{world.resource('networkSecurityGroups', 'spoke-nsg-1')}/{name}",
        "properties": {"level": "CanNotDelete"},
    }


def a_subnet_behind_the_nsg(world: World) -> Document:
    """In a VNet of the client's own, with the spoke's network security group."""
    return {
        "id": world.resource("virtualNetworks", "clients-own"),
        "location": "eastus",
        "properties": {
            "provisioningState": "Succeeded",
            "addressSpace": {"addressPrefixes": ["10.77.0.0/16"]},
            "subnets": [
                {
                    "name": "behind",
                    "properties": {
                        "addressPrefix": "10.77.1.0/24",
                        "networkSecurityGroup": {"id": world.resource("networkSecurityGroups", "spoke-nsg-1")},
                    },
                }
            ],
        },
    }


OBSTACLES: dict[str, tuple[Callable[[World], Document], set[str]]] = {
    "network interface": (a_nic, {"spoke-vnet-1", "spoke-nsg-1", "reservations of spoke 1"}),
    "private endpoint": (a_private_endpoint, {"spoke-vnet-1", "spoke-nsg-1", "reservations of spoke 1"}),
    "load balancer": (a_load_balancer, {"spoke-vnet-1", "spoke-nsg-1", "reservations of spoke 1"}),
    "subnet": (a_subnet_behind_the_nsg, {"spoke-nsg-1", "reservations of spoke 1"}),
    "lock": (a_lock, {"spoke-nsg-1", "reservations of spoke 1"}),
}


@pytest.mark.parametrize("kind", OBSTACLES)
def test_a_delete_looks_first_goes_on_by_force_and_finishes_when_it_is_gone(world: World, kind: str) -> None:
    make, kept = OBSTACLES[kind]
    run = world.deploy()
    world.play_out()
    world.check(run, "completed")
    theirs = make(world)
    world.azure.plant(theirs)
    writes = len(world.azure.requests("PUT")) + len(world.azure.requests("DELETE"))
    with pytest.raises(DeploymentException) as refused:
        world.delete()
    (obstacle,) = refused.value.failure.details["obstacles"]
    assert obstacle["kind"] == kind
    assert len(world.azure.requests("PUT")) + len(world.azure.requests("DELETE")) == writes
    assert world.run_row(run).status == "completed"

    removal = world.delete(force=True)
    world.watch(removal)
    world.play_out()
    row = world.run_row(removal)
    assert row.status == "rollback_failed"
    assert {left["resource"].rpartition("/")[2] for left in row.left_behind} == kept
    if kind != "lock":
        assert world.azure.find(theirs["id"]) is not None
        assert ("behind" if kind == "subnet" else "clients-own") in str(row.left_behind) + str(row.error)

    with pytest.raises(DeploymentException) as refused:  # it is in the way of what is left, too
        world.delete()
    assert refused.value.failure.details["obstacles"] == [obstacle]
    world.azure.remove(theirs["id"])
    again = world.retry()
    world.play_out()
    world.check(again, "deleted")


def test_a_delegated_subnet_is_asked_for_before_it_goes(world: World) -> None:
    """A service of the client's may live in it. Where none does, nothing stops a delete by force."""
    run = world.deploy()
    world.play_out()
    world.check(run, "completed")
    vnet_id = world.resource("virtualNetworks", "spoke-vnet-1")
    subnet = next(
        each
        for each in (world.azure.find(vnet_id) or {})["properties"]["subnets"]
        if each["name"].startswith("app-subnet")
    )
    delegation = {"name": "sql", "properties": {"serviceName": "Microsoft.Sql/managedInstances"}}
    subnet["properties"]["delegations"] = [delegation]
    world.azure.plant(subnet)
    with pytest.raises(DeploymentException) as refused:
        world.delete()
    (obstacle,) = refused.value.failure.details["obstacles"]
    assert obstacle["kind"] == "delegation"
    assert "Microsoft.Sql/managedInstances" in obstacle["message"]
    removal = world.delete(force=True)
    world.play_out()
    world.check(removal, "deleted")


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind.fault and not kind.writes_only], ids=lambda one: one.name
)
@pytest.mark.parametrize("call", sorted(LOOK_BEFORE_A_DELETE))
def test_a_look_that_goes_wrong_begins_nothing_and_is_said(world: World, call: str, kind: FaultKind) -> None:
    run = world.deploy()
    world.play_out()
    before = world.snapshot()
    mishap = kind.at(call)
    world.wire.mishaps.append(mishap)
    removal, failure = begun(world)
    if failure:
        assert failure.message
        assert failure.hint
        assert world.snapshot() == before
        assert world.run_row(run).status == "completed"
        world.mend()
        removal = world.delete()
    assert mishap.struck
    world.play_out()
    world.check(removal, "deleted")


def begun(world: World) -> tuple[str, Failure | None]:
    """The removal that a DELETE begins, or what it answers instead."""
    try:
        return world.delete(), None
    except HubSpokeException as error:
        return "", error.failure


def test_what_a_vnet_shares_with_others_is_asked_for_before_it_goes(world: World) -> None:
    """A peering with somebody else's VNet ends with ours, and leaves theirs disconnected: only by force."""
    run = world.deploy()
    world.play_out()
    vnet_id = world.resource("virtualNetworks", "spoke-vnet-1")
    peering = {
        "id": f"{vnet_id}/virtualNetworkPeerings/to-another",
        "properties": {
            "provisioningState": "Succeeded",
            "peeringState": "Initiated",
            "remoteVirtualNetwork": {"id": world.resource("virtualNetworks", "another")},
        },
    }
    world.azure.plant(peering)
    with pytest.raises(DeploymentException):
        world.delete()
    assert world.run_row(run).status == "completed"
    removal = world.delete(force=True)
    world.play_out()
    world.check(removal, "deleted")
