"""What a run did not make it never changes or removes: not by an act, not by an undo, not by a delete."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from shared.tables.records import Records
from tests.faults.catalogue import DELETES, DISK, all_or_one, caller_of, names_of
from tests.faults.conftest import SimulationAt
from tests.faults.simulation import Simulation
from tests.faults.wire import Fault

Document = dict[str, Any]

# kind of the resource, its name, the step that wants the name
WANTED = [
    ("virtualNetworks", "spoke-vnet-1", "create_vnet"),
    ("networkSecurityGroups", "spoke-nsg-1", "create_nsg"),
    ("networkInterfaces", "vm-1-nic", "create_nic"),
    ("virtualMachines", "vm-1", "create_vm"),
    ("disks", "vm-1-osdisk", "create_vm"),
]
PROPERTIES: dict[str, Document] = {
    "virtualNetworks": {"addressSpace": {"addressPrefixes": ["10.99.0.0/16"]}},
    "networkSecurityGroups": {"securityRules": []},
    "networkInterfaces": {"ipConfigurations": []},
    "virtualMachines": {"hardwareProfile": {"vmSize": "Standard_B1s"}},
    "disks": {"diskSizeGB": 8, "diskState": "Unattached"},
}


def unmanaged(simulation: Simulation, kind: str, name: str, **tags: str) -> Document:
    """An unmanaged resource. Tags like ours don't make it ours: the `deployment_id` is another one."""
    return {
        "id": simulation.resource(kind, name),
        "location": "eastus",
        "tags": {"owner": "another client", "managed_by": "hub-spoke-automation", "deployment_id": "deploy-x-1-beef"}
        | tags,
        "properties": {"provisioningState": "Succeeded", **PROPERTIES[kind]},
    }


@pytest.mark.parametrize("found", all_or_one((kind, name) for kind, name, _ in WANTED), ids=names_of)
def test_conflicts_are_found_before_anything_is_built(
    simulation: Simulation, found: tuple[tuple[str, str], ...]
) -> None:
    """Each of them is named."""
    simulation.meanwhile(*[unmanaged(simulation, kind, name) for kind, name in found])
    run = simulation.deploy()
    simulation.play_out()
    simulation.check(run, "failed")
    assert {name for name, row in _steps(simulation, run).items() if row == "completed"} <= {"release_reservations"}
    error = str(simulation.run_row(run).error)
    assert [f"{kind} {name}" for kind, name in found if name not in error] == []


def a_peering(simulation: Simulation, vnet: str, name: str) -> Document:
    """It has no tags: it is ours when it leads to our spoke's VNet, or from there to the hub."""
    return {
        "id": f"{simulation.resource('virtualNetworks', vnet)}/virtualNetworkPeerings/{name}",
        "properties": {
            "provisioningState": "Succeeded",
            "peeringState": "Initiated",
            "remoteVirtualNetwork": {"id": simulation.resource("virtualNetworks", "elsewhere")},
        },
    }


def a_gateway_with_a_pool(simulation: Simulation) -> Document:
    gateway = simulation.azure.find(simulation.resource("applicationGateways", "hub-agw"))
    assert gateway is not None
    pool = {"name": "client-1-pool", "properties": {"backendAddresses": [{"ipAddress": "192.0.2.7"}]}}
    gateway["properties"]["backendAddressPools"].append(pool)
    return gateway


@dataclass(frozen=True)
class Conflict:
    """What another client makes while a deployment runs: before the step that wants the name, or between its read and its
    write, which is then the call that it comes before."""

    step: str
    make: Callable[[Simulation], Document]
    call: str = ""


def _unmanaged(kind: str, name: str) -> Callable[[Simulation], Document]:
    return lambda simulation: unmanaged(simulation, kind, name)


CONFLICTS = {
    **{kind: Conflict(step, _unmanaged(kind, name)) for kind, name, step in WANTED},
    "hub side": Conflict("create_peering", lambda each: a_peering(each, "hub-vnet", "hub-to-spoke-1")),
    "spoke side": Conflict("create_peering", lambda each: a_peering(each, "spoke-vnet-1", "spoke-1-to-hub")),
    "pool": Conflict("update_agw", a_gateway_with_a_pool),
    **{
        f"{kind} at {caller_of(call)}'s write": Conflict(caller_of(call), _unmanaged(kind, name), call)
        for kind, name, call in (
            ("virtualNetworks", "spoke-vnet-1", "create_vnet: PUT virtualNetworks/{vnet}"),
            ("virtualNetworks", "spoke-vnet-1", "create_subnets: PUT virtualNetworks/{vnet}"),
            ("networkSecurityGroups", "spoke-nsg-1", "create_nsg: PUT networkSecurityGroups/{nsg}"),
            ("networkInterfaces", "vm-1-nic", "create_nic: PUT networkInterfaces/{nic}"),
            ("virtualMachines", "vm-1", "create_vm: PUT virtualMachines/{vm}"),
        )
    },
}
# Steps that run side by side meet theirs in one run; a step meets one thing.
TOGETHER = [
    ("virtualNetworks", "networkSecurityGroups"),
    ("networkInterfaces",),
    ("virtualMachines", "hub side", "pool"),
    ("disks", "spoke side", "pool"),
    ("virtualNetworks at create_vnet's write", "networkSecurityGroups at create_nsg's write"),
    ("virtualNetworks at create_subnets's write",),
    ("networkInterfaces at create_nic's write",),
    ("virtualMachines at create_vm's write", "hub side", "pool"),
]


@pytest.mark.parametrize(
    "names",
    [
        *TOGETHER,
        *(pytest.param((name,), marks=pytest.mark.full) for name in CONFLICTS if (name,) not in TOGETHER),
    ],
    ids=", ".join,
)
def test_a_conflict_that_comes_later_ends_its_step_and_stays(
    simulation_at: SimulationAt, names: tuple[str, ...]
) -> None:
    met = [CONFLICTS[name] for name in names]
    simulation = simulation_at("deploy", met[0].step)
    documents = [each.make(simulation) for each in met]
    faults = []
    for each, document in zip(met, documents, strict=True):
        if each.call:
            faults.append(Fault(each.call, interference=functools.partial(simulation.meanwhile, document)))
        elif each.step == "create_peering":  # of the VNet that it is in, which may be the spoke's
            simulation.azure.plant(document)
            now = simulation.snapshot().resources
            simulation.before.resources.update(
                {key: now[key] for key in simulation.before.resources if document["id"].lower().startswith(f"{key}/")}
            )
        else:
            simulation.meanwhile(document)
    run = simulation.take_up(*faults)
    simulation.play_out()
    assert all(fault.struck for fault in faults)
    simulation.check(run, "failed")
    rows = {row.step_name: row for row in Records().steps(run)}
    assert (simulation.run_row(run).error or {})["step"] in {each.step for each in met}
    for each, document in zip(met, documents, strict=True):
        failure = (rows[each.step].outcome or {})["failure"]
        assert failure["code"] == "NameTaken"
        assert document["id"].rpartition("/")[2] in failure["message"]
        assert each.step == "update_agw" or failure["details"]["resource"].lower() == document["id"].lower()
        asked = [e["method"] for e in simulation.azure.requests() if e["path"].lower() == document["id"].lower()]
        assert each.call or set(asked) <= {"GET"}


# A disk has no ETag, which would bind its delete to what was read.
@pytest.mark.parametrize("calls", all_or_one(call for call in DELETES if DISK not in call), ids=names_of)
def test_what_comes_between_the_read_and_the_delete_stays(simulation_at: SimulationAt, calls: tuple[str, ...]) -> None:
    """Another client removes ours, and makes another of the same name, just when our delete is on its way."""
    simulation = simulation_at("rollback", caller_of(calls[0]))

    def replace(kind: str, name: str) -> None:
        simulation.azure.remove(simulation.resource(kind, name))
        simulation.meanwhile(unmanaged(simulation, kind, name))

    planted = [Fault(call, interference=functools.partial(replace, *DELETES[call])) for call in calls]
    run = simulation.take_up(*planted)
    simulation.play_out()
    assert all(fault.struck for fault in planted)
    simulation.check(run, "failed")
    for call in calls:
        theirs = simulation.azure.find(simulation.resource(*DELETES[call]))
        assert theirs is not None
        assert theirs["tags"]["owner"] == "another client"


def test_a_delete_leaves_an_unmanaged_vm_alone_and_names_at_once_what_it_uses(
    deployed: tuple[Simulation, str],
) -> None:
    """Waiting would not help: nobody is going to delete that VM."""
    simulation, _ = deployed
    before = become_unmanaged(simulation, "vm-1")
    removal = simulation.delete(1, force=True)
    simulation.play_out()
    assert_left_alone(simulation, before)
    assert simulation.run_row(removal).status == "rollback_failed"
    left = {each["resource"].rpartition("/")[2]: each["reason"] for each in simulation.run_row(removal).left_behind}
    assert "vm-1" not in left
    undos = {step.step_name: step for step in Records().steps(removal)}
    for name, undo in (("vm-1-nic", "delete_nic"), ("vm-1-osdisk", "delete_os_disk")):
        assert "virtualMachines vm-1, which this spoke did not make, uses it" in left[name]
        assert undos[undo].attempts == 1


# Two are together of which neither keeps the other in use.
@pytest.mark.parametrize(
    ("undo", "names"),
    [
        ("delete_vnet", ("spoke-vnet-1",)),
        ("delete_os_disk", ("spoke-nsg-1", "vm-1-osdisk")),
        ("delete_nic", ("vm-1-nic",)),
    ],
    ids=lambda value: value if isinstance(value, str) else ", ".join(value),
)
def test_a_delete_leaves_alone_what_is_unmanaged_in_its_place(
    simulation_at: SimulationAt, undo: str, names: tuple[str, ...]
) -> None:
    """It has become so by the time of the first undo that would remove it."""
    simulation = simulation_at("delete", undo)
    before = become_unmanaged(simulation, *names)
    simulation.take_up()
    simulation.play_out()
    assert_left_alone(simulation, before)


def become_unmanaged(simulation: Simulation, *names: str) -> dict[str, Document]:
    """What was the spoke's is unmanaged from now on. As they are now, by id."""
    ids = [simulation.resource(kind, name) for kind, name, _ in WANTED if name in names]
    for resource_id in ids:
        theirs = simulation.azure.find(resource_id)
        assert theirs is not None
        theirs["tags"]["deployment_id"] = "deploy-x-1-beef"
        simulation.meanwhile(theirs)
    resources = simulation.snapshot().resources
    return {each: resources[each] for each in map(str.lower, ids)}


def assert_left_alone(simulation: Simulation, before: dict[str, Document]) -> None:
    asked = {each["path"].lower() for each in simulation.azure.requests("DELETE")}
    after = simulation.snapshot().resources
    for resource_id, then in before.items():
        assert resource_id not in asked
        now = after[resource_id]
        assert (now["tags"], now["location"]) == (then["tags"], then["location"])


def _steps(simulation: Simulation, run: str) -> dict[str, str]:
    return {row.step_name: row.status for row in Records().steps(run)}
