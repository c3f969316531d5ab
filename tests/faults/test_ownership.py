"""What a run did not make it never changes or removes: not by an act, not by an undo, not by a delete."""

import functools
from collections.abc import Sequence
from typing import Any, TypeVar

import pytest

from shared.tables.records import Records
from tests.faults.catalogue import GATEWAY, caller_of
from tests.faults.conftest import SimulationAt
from tests.faults.simulation import Simulation
from tests.faults.wire import Fault

Document = dict[str, Any]
T = TypeVar("T")

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


def foreign(simulation: Simulation, kind: str, name: str, **tags: str) -> Document:
    """Somebody else's resource. Tags like ours don't make it ours: the `deployment_id` is another one."""
    return {
        "id": simulation.resource(kind, name),
        "location": "eastus",
        "tags": {"owner": "somebody else", "managed_by": "hub-spoke-automation", "deployment_id": "deploy-x-1-beef"}
        | tags,
        "properties": {"provisioningState": "Succeeded", **PROPERTIES[kind]},
    }


def all_or_one(cases: Sequence[T]) -> list[Any]:
    """What can be met in one run: all at once, and in the full run each by itself."""
    return [list(cases), *(pytest.param([each], marks=pytest.mark.full) for each in cases)]


def names_of(cases: list[Any]) -> str:
    return "all" if len(cases) > 1 else str(cases[0][-1])


@pytest.mark.parametrize("found", all_or_one([(kind, name) for kind, name, _ in WANTED]), ids=names_of)
def test_what_is_in_the_way_is_found_before_anything_is_built(
    simulation: Simulation, found: list[tuple[str, str]]
) -> None:
    """Each of them is named."""
    simulation.meanwhile(*[foreign(simulation, kind, name) for kind, name in found])
    run = simulation.deploy()
    simulation.play_out()
    simulation.check(run, "failed")
    assert {name for name, row in _steps(simulation, run).items() if row == "completed"} <= {"release_reservations"}
    error = str(simulation.run_row(run).error)
    assert [f"{kind} {name}" for kind, name in found if name not in error] == []


@pytest.mark.parametrize(("kind", "name", "step"), WANTED, ids=[kind for kind, _, _ in WANTED])
def test_what_comes_into_the_way_later_ends_its_step_and_stays(
    simulation_at: SimulationAt, kind: str, name: str, step: str
) -> None:
    simulation = simulation_at("deploy", step)
    run = simulation.take_up()
    simulation.meanwhile(foreign(simulation, kind, name))
    simulation.play_out()
    simulation.check(run, "failed")
    error = simulation.run_row(run).error or {}
    assert error["step"] == step
    assert error["details"]["code"] == "NameTaken"
    assert error["details"]["resource"].lower() == simulation.resource(kind, name).lower()


def test_a_vm_that_appears_between_the_read_and_the_write_is_not_changed(simulation_at: SimulationAt) -> None:
    simulation = simulation_at("deploy", "create_vm")
    planted = Fault(
        "create_vm: PUT virtualMachines/{vm}",
        interference=lambda: simulation.meanwhile(foreign(simulation, "virtualMachines", "vm-1")),
    )
    run = simulation.take_up(planted)
    simulation.play_out()
    assert planted.struck
    simulation.check(run, "failed")


@pytest.mark.parametrize(
    ("kind", "name", "call"),
    [
        ("virtualNetworks", "spoke-vnet-1", "create_vnet: PUT virtualNetworks/{vnet}"),
        ("virtualNetworks", "spoke-vnet-1", "create_subnets: PUT virtualNetworks/{vnet}"),
        ("networkSecurityGroups", "spoke-nsg-1", "create_nsg: PUT networkSecurityGroups/{nsg}"),
        ("networkInterfaces", "vm-1-nic", "create_nic: PUT networkInterfaces/{nic}"),
    ],
)
def test_what_comes_between_the_read_and_the_write_is_not_changed(
    simulation_at: SimulationAt, kind: str, name: str, call: str
) -> None:
    simulation = simulation_at("deploy", caller_of(call))
    planted = Fault(call, interference=lambda: simulation.meanwhile(foreign(simulation, kind, name)))
    run = simulation.take_up(planted)
    simulation.play_out()
    assert planted.struck
    simulation.check(run, "failed")
    assert (simulation.run_row(run).error or {})["details"]["code"] == "NameTaken"


# In the order of a rollback.
DELETES = [
    ("virtualMachines", "vm-1", "delete_vm: DELETE virtualMachines/{vm}"),
    ("networkInterfaces", "vm-1-nic", "delete_nic: DELETE networkInterfaces/{nic}"),
    ("virtualNetworks", "spoke-vnet-1", "delete_vnet: DELETE virtualNetworks/{vnet}"),
    ("networkSecurityGroups", "spoke-nsg-1", "delete_nsg: DELETE networkSecurityGroups/{nsg}"),
]


@pytest.mark.parametrize("replaced", all_or_one(DELETES), ids=names_of)
def test_what_comes_between_the_read_and_the_delete_stays(
    simulation_at: SimulationAt, replaced: list[tuple[str, str, str]]
) -> None:
    """Somebody removes ours, and makes another of the same name, just when our delete is on its way."""
    simulation = simulation_at("rollback", caller_of(replaced[0][-1]))

    def replace(kind: str, name: str) -> None:
        simulation.azure.remove(simulation.resource(kind, name))
        simulation.meanwhile(foreign(simulation, kind, name))

    planted = [Fault(call, interference=functools.partial(replace, kind, name)) for kind, name, call in replaced]
    run = simulation.take_up(*planted)
    simulation.play_out()
    assert all(fault.struck for fault in planted)
    simulation.check(run, "failed")
    for kind, name, _ in replaced:
        theirs = simulation.azure.find(simulation.resource(kind, name))
        assert theirs is not None
        assert theirs["tags"]["owner"] == "somebody else"


def test_a_delete_leaves_an_unmanaged_vm_alone_and_names_at_once_what_it_uses(
    deployed: tuple[Simulation, str],
) -> None:
    """Waiting would not help: nobody is going to delete that VM."""
    simulation, _ = deployed
    before = become_foreign(simulation, "vm-1")
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
    before = become_foreign(simulation, *names)
    simulation.take_up()
    simulation.play_out()
    assert_left_alone(simulation, before)


def become_foreign(simulation: Simulation, *names: str) -> dict[str, Document]:
    """What was the spoke's is somebody else's from now on. As they are now, by id."""
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


def test_a_pool_of_the_same_name_is_never_touched(simulation_at: SimulationAt) -> None:
    simulation = simulation_at("deploy", "update_agw")
    gateway = simulation.azure.find(simulation.resource("applicationGateways", "hub-agw"))
    assert gateway is not None
    pool = {"name": "client-1-pool", "properties": {"backendAddresses": [{"ipAddress": "192.0.2.7"}]}}
    gateway["properties"]["backendAddressPools"].append(pool)
    run = simulation.take_up()
    simulation.meanwhile(gateway)
    simulation.play_out()
    simulation.check(run, "failed")
    assert (simulation.run_row(run).error or {})["step"] == "update_agw"
    assert simulation.azure.requests("PUT") != []
    assert [e for e in simulation.azure.requests("PUT") if e["path"].endswith(GATEWAY)] == []


@pytest.mark.parametrize("side", ["hub-to-spoke-1", "spoke-1-to-hub"])
def test_a_peering_of_the_same_name_is_never_touched(simulation_at: SimulationAt, side: str) -> None:
    """A peering has no tags: it is ours when it leads to our spoke's VNet, or from there to the hub."""
    simulation = simulation_at("deploy", "create_peering")
    run = simulation.take_up()
    elsewhere = simulation.resource("virtualNetworks", "elsewhere")
    vnet = simulation.resource("virtualNetworks", "hub-vnet" if side.startswith("hub") else "spoke-vnet-1")
    planted = {
        "id": f"{vnet}/virtualNetworkPeerings/{side}",
        "properties": {
            "provisioningState": "Succeeded",
            "peeringState": "Initiated",
            "remoteVirtualNetwork": {"id": elsewhere},
        },
    }
    simulation.azure.plant(planted)
    if side.startswith("hub"):
        hub = simulation.snapshot().resources
        simulation.before.resources[vnet.lower()] = hub[vnet.lower()]
    simulation.play_out()
    assert (simulation.run_row(run).error or {})["step"] == "create_peering"
    touched = [e for e in simulation.azure.requests() if e["path"].endswith(side) and e["method"] in ("PUT", "DELETE")]
    assert touched == []
    if side.startswith("hub"):
        simulation.check(run, "failed")


def _steps(simulation: Simulation, run: str) -> dict[str, str]:
    return {row.step_name: row.status for row in Records().steps(run)}
