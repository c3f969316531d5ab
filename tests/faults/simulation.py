"""A whole world in one process: the app's own stories and activities on a stage, real tables, and a stand-in of Azure
whose clock goes with the stage's. Deployments run in it from the request to their end without anybody waiting.

    run = world.deploy()                       # the request, its reservation, the start of its story
    world.play_out()                           # everything that happens, host killed or not
    world.check(run)                           # the end state, Azure and the tables say the same
"""

import contextlib
import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from azure.data.tables import TableClient, UpdateMode

from local.functions.app import Function
from local.functions.durable.clock import VirtualClock
from local.functions.durable.stage import CrashedError, Stage
from local.functions.durable.store import Task
from shared.saga.instances import ORCHESTRATOR_OF_KIND
from shared.settings import at, current_settings
from shared.spoke.inventory import parts
from shared.spoke.records import TERMINAL, RunRow, SpokeRow
from shared.spoke.resource_ids import ids_of
from shared.tables import client as store_of_rows
from shared.tables.places import gateway_of, hub_of_run
from shared.tables.records import Records
from shared.writers.waking import wake
from tests.activities.azure_stand_in import KEY, LocalAzure, part_names
from tests.app import AppTime
from tests.faults.layouts import Layout
from tests.faults.progress import Watcher, assert_moves_on, progress_now
from tests.faults.wire import Fault, Wire
from triggers import use_cases

MOST_CRASHES = 50
MOST_STEPS = 20_000
RESERVATIONS = ("client:", "vm:", "host:", "block:", "slot:", "vnet:", "pool:", "rule:")
# What differs between two resources that are otherwise alike, and what others' changes leave on a neighbour.
_VOLATILE = frozenset(
    {"etag", "resourceGuid", "macAddress", "vmId", "uniqueId", "timeCreated", "lastModified", "LastOwnershipUpdateTime"}
)
Document = dict[str, Any]


class SimulationClock(VirtualClock):
    """The stage's clock."""

    def begin_at(self, moment: float) -> None:
        self._now = moment


class SimulationStage(Stage):
    """A stage that tells the wire whose calls are coming, and remembers who was called."""

    wire: Wire
    called: list[tuple[str, str]]

    def _call(self, task: Task) -> Any:
        self.wire.caller = task.name
        self.called.append((task.name, task.instance))
        return super()._call(task)


@dataclass
class Snapshot:
    """Azure and the tables at one moment, without what differs between things that are alike."""

    resources: dict[str, Document]
    rows: dict[str, dict[str, Document]]


@dataclass(frozen=True)
class Checkpoint:
    """A world as it was once, to begin with it as often as wanted."""

    run: str
    """The run that was under way."""
    name: str
    now: float
    before: Snapshot
    rows: dict[str, list[Document]]
    durable: bytes
    names: dict[str, str]
    operations: dict[str, str]


@dataclass
class Simulation:
    azure: LocalAzure
    wire: Wire
    functions: list[Function]
    directory: Path
    layout: Layout
    complete: dict[str, Document] | None = None
    """The resources of a spoke 1 that nothing happened to."""
    begins: Checkpoint | None = None
    """With what it begins, if not with nothing."""
    clock: SimulationClock = field(default_factory=SimulationClock)
    crashes: int = 0
    activities: int = 0
    look_every: int = 1
    """A look at the progress after so many activities: each costs as much as one."""
    watchers: list[Watcher] = field(default_factory=list)
    azure_ahead: float = 0.0
    """Seconds by which the stand-in's clock is ahead of the stage's."""

    def __post_init__(self) -> None:
        AppTime.clock = self.clock
        self.wire.forget()
        self.wire.azure_time, self.wire.keep_time = self.azure_time, self.keep_time
        durable = self.directory / "durable.sqlite"
        if self.begins:
            self._begin_with(self.begins, durable)
        else:
            self.azure.reset()
            # Else the ids decide whether a NIC takes an operation, and the catalogue is of any layout.
            self.azure.limits(nic_operations="always")
            self.azure_ahead = self.azure.now() - self.clock.now()
            self._furnish_gateway_subnet()
            _fill_tables({})
            self.before = self.snapshot()
        self.stage = SimulationStage(self.functions, durable, clock=self.clock)
        self.stage.wire, self.stage.called = self.wire, []

    def _furnish_gateway_subnet(self) -> None:
        """With a network security group and a route table, as most have: the checks read them."""
        rule = {
            "direction": "Inbound",
            "access": "Allow",
            "protocol": "Tcp",
            "priority": 100,
            "sourceAddressPrefix": "GatewayManager",
            "sourcePortRange": "*",
            "destinationAddressPrefix": "*",
            "destinationPortRange": "65200-65535",
        }
        rules = {"securityRules": [{"name": "management", "properties": rule}]}
        for kind, name, used_as, properties in (
            ("networkSecurityGroups", "agw-nsg", "networkSecurityGroup", rules),
            ("routeTables", "agw-routes", "routeTable", {}),
        ):
            hub_vnet = self.layout.hub_vnet or self.azure.id_of(
                "hub-rg", "Microsoft.Network/virtualNetworks", "hub-vnet"
            )
            resource_id = f"{hub_vnet.rpartition('/virtualNetworks/')[0]}/{kind}/{name}"
            document = {"id": resource_id, "location": self.layout.location, "properties": properties}
            self.azure.put_on_gateway_subnet(used_as, document, hub_vnet)

    def save(self, run: str, name: str) -> Checkpoint:
        """The simulation as it is now. No activity is under way, and no fault is waiting."""
        self.keep_time()
        name = f"{self.layout.name}: {name}"
        self.azure.save(name)
        with contextlib.closing(sqlite3.connect(self.directory / "durable.sqlite")) as store:
            durable = store.serialize()
        rows: dict[str, list[Document]] = {table: list(_table(table).list_entities()) for table in store_of_rows.TABLES}
        names, operations = dict(self.wire.names), dict(self.wire.operations)
        return Checkpoint(run, name, self.clock.now(), self.before, rows, durable, names, operations)

    def _begin_with(self, moment: Checkpoint, durable: Path) -> None:
        self.azure.restore(moment.name)
        self.clock.begin_at(moment.now)
        self.azure_ahead = self.azure.now() - moment.now
        _fill_tables(moment.rows)
        durable.write_bytes(moment.durable)
        self.wire.names, self.wire.operations = dict(moment.names), dict(moment.operations)
        self.before = Snapshot(dict(moment.before.resources), moment.before.rows)

    def close(self) -> None:
        self.stage.close()

    def azure_time(self) -> float:
        """What the stand-in's clock says when it goes with the stage's."""
        return self.clock.now() + self.azure_ahead

    def keep_time(self) -> None:
        """Moves the stand-in's clock to where the stage's is. The app's calls of it do so, too."""
        self.azure.advance_to(self.azure_time())

    # --- what is asked for ---

    def request(self, spoke_id: int = 1, **changes: Any) -> Document:
        body = {
            "spoke_id": spoke_id,
            "client_name": f"client-{spoke_id}",
            "vm_name": f"vm-{spoke_id}",
            "vm_size": "Standard_B2s",
            "admin_username": "azureuser",
            "ssh_public_key": KEY,
        }
        return {name: value for name, value in (body | self.layout.chosen | changes).items() if value is not None}

    def deploy(self, spoke_id: int = 1, *faults: Fault, **changes: Any) -> str:
        """As POST does. The deployment's id."""
        story = use_cases.deploy(self.request(spoke_id, **changes), None)
        plan = self.run_row(story.deployment_id or "").plan
        self.wire.names |= {
            **{getattr(plan, each): f"{{{each.removesuffix('_name')}}}" for each in part_names(plan)},
            plan.os_disk_name: "{disk}",
            plan.hub_peering_name: "{hub side}",
            plan.spoke_peering_name: "{spoke side}",
            **self.layout.names,
        }
        return self._begin(story, faults)

    def give_time(self, deployment_id: str) -> None:
        """The steps of a run that has not begun wait as long as in Azure, whatever the settings of the tests say."""
        names = ("step_deadline_seconds", "vm_deadline_seconds", "shared_deadline_seconds")
        row = self.run_row(deployment_id)
        with at(hub_of_run(deployment_id)):
            Records().change_run(row, policy=row.policy | dict.fromkeys(names, 7200.0))

    def delete(self, spoke_id: int = 1, *faults: Fault, force: bool = False) -> str:
        """As DELETE does. The id of the run that was begun or joined."""
        self.keep_time()
        self.wire.caller = "DELETE"
        removal = use_cases.remove(spoke_id, force=force)
        if isinstance(removal, SpokeRow):
            kept = use_cases.look_first(removal, force)
            removal = use_cases.remove(spoke_id, force=force, looked_at=removal, kept=kept)
        assert isinstance(removal, use_cases.RunHandle)
        if removal.kind == "deploy":
            self.stage.run(wake(self.stage.client(), use_cases.steps_under_way(removal)))
        return self._begin(removal, faults)

    def retry(self, spoke_id: int = 1, *faults: Fault) -> str:
        """As POST …/retry does."""
        return self._begin(use_cases.retry(spoke_id), faults)

    def take_up(self, *faults: Fault) -> str:
        """Goes on with the run that was under way at the beginning. Its id."""
        assert self.begins is not None
        self.wire.faults.extend(faults)
        return self.begins.run

    def _begin(self, story: use_cases.RunHandle, faults: tuple[Fault, ...]) -> str:
        self.wire.faults.extend(faults)
        deployment_id = story.deployment_id or ""
        if story.start:
            self.stage.start(ORCHESTRATOR_OF_KIND[story.kind], None, deployment_id)
        return deployment_id

    def meanwhile(self, *documents: Document) -> None:
        """Another client makes something in Azure, or changes it: from now on it belongs to what was there before."""
        self.azure.plant(*documents)
        resources = self.snapshot().resources
        for document in documents:
            self.before.resources[document["id"].lower()] = resources[document["id"].lower()]

    def resource(self, kind: str, name: str) -> str:
        """The id of something in the hub's group, such as `virtualMachines`, `vm-1`."""
        provider = "Microsoft.Compute" if kind in ("virtualMachines", "disks") else "Microsoft.Network"
        return self.azure.id_of("hub-rg", f"{provider}/{kind}", name)

    # --- what happens ---

    def play_out(self) -> None:
        """Everything, until nothing is left that could happen. A kill is followed by a new host."""
        for _ in range(MOST_STEPS):
            if not self.step():
                return
        raise AssertionError(f"no end after {MOST_STEPS} steps: {self.stage._situation()}")

    def until_ended(self, deployment_id: str) -> None:
        """Until the run has finished. A writer may go on: it waits for ever for what fails every time."""
        self.until(lambda: self.has_ended(deployment_id))

    def has_ended(self, deployment_id: str) -> bool:
        return self.stage.status(deployment_id).runtime_status in ("Completed", "Failed", "Terminated")

    def rolls_back(self) -> bool:
        """Whether a rollback has begun."""
        return any(name == "begin_rollback" for name, _ in self.stage.called)

    def clear_faults(self) -> None:
        """Everything that went wrong is over: operations that never ended fail. What has not struck yet still may."""
        for fault in self.wire.faults:
            if fault.struck:
                fault.times = 0
        self.azure.fault(mode="fail_operation", code="InternalServerError", seconds=0, times=100)
        self.azure.client.delete("/_local/faults")

    def step(self) -> bool:
        try:
            happened = self.stage.step()
        except CrashedError:
            self.crashes += 1
            assert self.crashes < MOST_CRASHES
            self.stage.crash()
            return True
        if happened and happened.startswith("activity") and self.watchers:
            self.activities += 1
            if self.activities % self.look_every == 0:
                for watcher in self.watchers:
                    watcher.look()
        return happened is not None

    def play_for(self, seconds: float) -> None:
        """What happens within so many seconds."""
        target = self.clock.now() + seconds
        while True:
            self.stage.run_until_idle()
            due = self.stage.engine.next_due()
            if due is None or due > target:
                break
            self.stage.advance_to_next_timer()
        self.clock.advance_to(target)

    def until(self, happened: Callable[[], bool]) -> None:
        """Goes on step by step until this is so."""
        while not happened():
            assert self.step(), "nothing is left that could happen"

    def until_recorded(self, happened: Callable[[], bool]) -> None:
        """Goes on until this is so of the rows, which only activities write: it is asked after each of them."""
        called = -1

        def asked() -> bool:
            nonlocal called
            before, called = called, len(self.stage.called)
            return before != called and happened()

        self.until(asked)

    def until_pending(self, activity: str) -> Task:
        """Plays until this activity is about to be called."""
        for _ in range(MOST_STEPS):
            for task in self.stage.pending:
                if task.name == activity:
                    return task
            assert self.step(), f"{activity} was never called"
        raise AssertionError(activity)

    def watch(self, deployment_id: str) -> Watcher:
        """Has the progress of a run looked at after every activity."""
        self.watchers.append(Watcher(deployment_id))
        return self.watchers[-1]

    # --- what there is to see ---

    def run_row(self, deployment_id: str) -> RunRow:
        with at(hub_of_run(deployment_id)):
            run = Records().run(deployment_id)
        assert run is not None, f"there is no run {deployment_id}"
        return run

    def snapshot(self) -> Snapshot:
        self.keep_time()
        resources = {each["id"].lower(): _alike(each) for each in self.azure.resources()}
        rows = {
            name: {row["RowKey"]: dict(row) for row in _table(name).list_entities()} for name in store_of_rows.TABLES
        }
        return Snapshot(resources, rows)

    def check(self, deployment_id: str, *expected: str) -> str:
        """Whether everything agrees with how the run has ended: its story, its records, Azure. The end state."""
        run = self.run_row(deployment_id)
        status = self.stage.status(deployment_id)
        assert run.status in TERMINAL, f"{run.status}: {status}"
        if expected:
            assert run.status in expected, f"{run.status}: {run.error} {run.left_behind}"
        well = run.status in ("completed", "deleted")
        assert status.runtime_status == ("Completed" if well else "Failed"), status
        now = self.snapshot()
        spoke = now.rows["Spokes"].get(f"spoke:{run.spoke_id}")
        if run.status == "deleted":
            assert spoke is None
        else:
            assert spoke is not None
            assert (spoke["status"], spoke["deployment_id"]) == (run.status, deployment_id)
        assert_moves_on(None, progress_now(deployment_id))
        if run.status in ("failed", "deleted"):
            assert run.left_behind == []
            self.assert_nothing_left(now)
        elif run.status == "completed":
            self.assert_complete(now, run)
        else:
            self.assert_left_exactly(now, run)
        return run.status

    def assert_nothing_left(self, now: Snapshot) -> None:
        assert _differences(self.before.resources, now.resources) == {}
        assert reserved(now) == reserved(self.before)
        assert waiting(now) == waiting(self.before) == []

    def assert_complete(self, now: Snapshot, run: RunRow) -> None:
        """As complete as a spoke is that nothing happened to."""
        assert waiting(now) == [f"site:{run.plan.client}", f"turn:{run.spoke_id}"]
        assert sorted(key.partition(":")[0] for key in reserved(now)) == sorted(
            prefix.rstrip(":") for prefix in RESERVATIONS
        )
        if self.complete is not None and run.spoke_id == 1:
            made = _parts_of(now.resources).keys() - _parts_of(self.before.resources).keys()
            own = ("tags", "site_row", "peering_row")
            with at(hub_of_run(run.deployment_id)):
                listed = parts(run.plan, ids_of(gateway_of(run.plan, current_settings())).of(run.plan))
            assert made == {part.id.lower() for part in listed if part.owned_by in own}
            assert _differences(self.complete, without_run(now.resources, run)) == {}

    def assert_left_exactly(self, now: Snapshot, run: RunRow) -> None:
        """Azure differs from before by what `left_behind` says, and by nothing else."""
        assert run.left_behind
        said = {each["resource"].lower() for each in run.left_behind}
        named = {each for each in said if each.startswith("/subscriptions/")}
        before, after = _parts_of(self.before.resources), _parts_of(now.resources)
        assert after.keys() - before.keys() == named, f"{after.keys() - before.keys()} is left, {named} is said"
        # An operation that never ends keeps its gateway `Updating`; what waits for it is said by its row.
        changed = set(_differences(_without_states(self.before.resources), _without_states(now.resources)))
        touched = {each for each in changed if not any(part.startswith(each) for part in named)}
        assert touched == set(), f"changed, and not said: {touched}"
        held = any(each["step"] == "release_reservations" for each in run.left_behind)
        assert bool(reserved(now)) == held


def without_run(resources: dict[str, Document], run: RunRow) -> dict[str, Document]:
    """Resources of a spoke as any run would have made them."""
    alike: dict[str, Document] = json.loads(json.dumps(resources).replace(run.plan.made_by, "{run}"))
    return alike


def reserved(snapshot: Snapshot) -> list[str]:
    return sorted(key for key in snapshot.rows["Spokes"] if key.startswith(RESERVATIONS))


def waiting(snapshot: Snapshot) -> list[str]:
    """Rows of the gateway's and the hub's tables, but for what the writers keep for themselves."""
    rows = [*snapshot.rows["GatewaySites"], *snapshot.rows["HubTurns"]]
    return sorted(key for key in rows if key != "writer")


def _differences(before: dict[str, Document], now: dict[str, Document]) -> dict[str, tuple[Any, Any]]:
    return {
        key: (before.get(key), now.get(key)) for key in before.keys() | now.keys() if before.get(key) != now.get(key)
    }


def _parts_of(resources: dict[str, Document]) -> dict[str, Document]:
    """Resources, their peerings, and the elements of a gateway, by id. What goes with its VNet is no part of its own."""
    parts = dict(resources)
    for document in resources.values():
        kind = document["type"].lower()
        for name, value in document["properties"].items():
            if kind.endswith("applicationgateways") and isinstance(value, list):
                parts |= {each["id"].lower(): each for each in value if "id" in each}
            if name == "virtualNetworkPeerings":
                parts |= {each["id"].lower(): each for each in value}
    return parts


def _without_states(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_states(each) for key, each in value.items() if key != "provisioningState"}
    return [_without_states(each) for each in value] if isinstance(value, list) else value


def _alike(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _alike(each) for key, each in value.items() if key not in _VOLATILE}
    if isinstance(value, list):
        return [_alike(each) for each in value]
    return value


def _table(name: str) -> TableClient:
    return store_of_rows.table(name).client


def _fill_tables(rows: dict[str, list[Document]]) -> None:
    """Exactly these rows."""
    for name in store_of_rows.TABLES:
        client = _table(name)
        wanted = {(row["PartitionKey"], row["RowKey"]): row for row in rows.get(name, [])}
        changes: dict[str, list[tuple[str, Document, dict[str, Any]]]] = {}
        for row in client.list_entities():
            key = row["PartitionKey"], row["RowKey"]
            if key not in wanted:
                changes.setdefault(key[0], []).append(("delete", row, {}))
            elif dict(wanted[key]) == dict(row):
                del wanted[key]
        for (partition, _), kept in wanted.items():
            changes.setdefault(partition, []).append(("upsert", kept, {"mode": UpdateMode.REPLACE}))
        for partition in changes.values():
            for start in range(0, len(partition), 100):
                client.submit_transaction(partition[start : start + 100])
