"""Rows as earlier versions stored them (`stored_rows.json`, one of each table's), and payloads."""

import json
from dataclasses import MISSING, fields, replace
from inspect import isabstract
from pathlib import Path
from typing import Any

import pytest

from shared.data import as_data, from_data
from shared.errors import AzureResourceException, Failure, HubSpokeException
from shared.saga.outcomes import Call, Operation
from shared.saga.policy import Policy
from shared.saga.step_run import StepRun
from shared.spoke.plan import SiteNames, SpokePlan
from shared.spoke.records import Restart, Row, RunRow, SpokeRow, StepRow
from shared.tables.codec import CHUNK, STORED_NAMES, as_entity, from_entity
from shared.writers.gateway.site_rows import GatewayWriter, Site, SiteRow, Tombstone
from shared.writers.peering.peering_rows import HubWriter, PeeringRow

Entity = dict[str, Any]

STORED: dict[str, list[tuple[str, Entity]]] = json.loads(
    (Path(__file__).parent / "stored_rows.json").read_text(encoding="utf-8")
)
NAMES = SiteNames("acme-pool", "acme-probe", "acme-http-settings", "acme-listener", "acme-rule")
PLAN = SpokePlan(
    spoke_id=7,
    client_name="Acme Inc",
    client="acme-inc",
    made_by="deploy-acme-inc-1-aaaa",
    location="eastus",
    resource_group="rg-hub",
    vnet_name="spoke-7",
    address_prefix="10.11.7.0/24",
    subnet_prefixes=("10.11.7.0/26", "10.11.7.64/26", "10.11.7.128/26", "10.11.7.192/26"),
    vm_name="vm-acme",
    vm_size="Standard_B2s",
    admin_username="azureuser",
    ssh_public_key="ssh-rsa AAAA",
    host_name="acme.example.com",
    backend_pool_name="acme-pool",
    routing_rule_name="acme-rule",
    tags={"cost": "42"},
    cloud_init="#cloud-config",
)
REFUSED = Failure(
    AzureResourceException, "SkuNotAvailable", "No size.", "Choose another.", {"resource": "/x"}, True, 30.0
)
LEFT = [{"resource": "/x", "step": "remove_vnet", "reason": "held"}]


def at(second: int, minute: int = 0) -> str:
    return f"2026-01-01T00:{minute:02d}:{second:02d}.000Z"


ROWS: list[Row] = [
    RunRow(
        deployment_id="deploy-acme-inc-1-aaaa",
        kind="deploy",
        status="in_progress",
        spoke_id=7,
        client_name="Acme Inc",
        plan=PLAN,
        policy=as_data(Policy()),
        created_at=at(0),
        started_at=at(1),
        completed_at=at(9),
        cancel_requested=True,
        force=True,
        error=REFUSED.public(),
        left_behind=LEFT,
        result={"private_ip": "10.11.7.4"},
        note="a note",
        task_hub="hub1",
        execution=3,
        begun_by="abc",
        resumed_at=at(2),
        missing_since=at(3),
        restart=Restart("stands_still", "stopping", at(4), at(3), "create_vm"),
        confirmed=True,
    ),
    SpokeRow(
        spoke_id=7,
        client_name="Acme Inc",
        status="failed",
        deployment_id="deploy-acme-inc-2-bbbb",
        plan=PLAN.without_secrets(),
        slot=12,
        request={"client_name": "Acme Inc", "ssh_public_key": "ssh-rsa AAAA"},
        created_at=at(0),
        completed_at=at(9),
        error=REFUSED.public(),
        left_behind=LEFT,
        result={"private_ip": "10.11.7.4"},
        first_run="deploy-acme-inc-1-aaaa",
    ),
    StepRow(
        deployment_id="deploy-acme-inc-1-aaaa",
        number=8,
        step_name="create_vm",
        status="completed",
        attempts=2,
        message="VM is there",
        timestamp=at(5),
        started_at=at(4),
        due=at(6),
        execution=3,
        outcome={"outcome": "done", "message": "VM is there", "result": {"vm_id": "/vm"}},
    ),
    SiteRow(
        client="acme-inc",
        made_by="deploy-acme-inc-1-aaaa",
        deployment_id="deploy-acme-inc-1-aaaa",
        names=NAMES,
        site=Site("acme.example.com", "10.11.7.4", "fe", 443, "cert", "/health"),
        desired_version=3,
        since=at(4),
        applied_version=2,
        failed_version=3,
        owned=True,
        priority=110,
        error=REFUSED,
    ),
    GatewayWriter(
        phase="running",
        nonce="n1",
        not_after=at(0, 1),
        operation={"url": "https://arm/op", "form": "status"},
        batch={"acme-inc": 3},
        newly_owned=("acme-inc",),
        limit=4,
        unexplained=2,
        our_failure=True,
        blocked_by=REFUSED,
        retry_reason="refused for now",
        capacity=42,
        began=at(7),
        last_put_seconds=31.5,
        unmanaged={"httpListeners/x": "d1"},
        removed={"beta": Tombstone(NAMES, "d2", at(8))},
        generation=5,
        due=at(0, 2),
        replaced="gateway-4",
    ),
    PeeringRow(
        spoke_id=7,
        made_by="deploy-acme-inc-1-aaaa",
        deployment_id="deploy-acme-inc-1-aaaa",
        vnet_id="/vnet",
        hub_peering="hub-to-spoke-7",
        spoke_peering="spoke-7-to-hub",
        present=True,
        forwarded=True,
        desired_version=3,
        since=at(4),
        applied_version=2,
        failed_version=3,
        error=REFUSED,
        retry_reason="held",
        peering_status="Connected",
        repairing=True,
        repaired_at=at(8),
    ),
    HubWriter(
        nonce="n1",
        not_after=at(0, 1),
        queue=(7, 8),
        planned_at=at(7),
        seconds_per_side=4.5,
        retry_reason="being written",
        handed={"present": None, "open": []},
        generation=5,
        due=at(0, 2),
        replaced="hub-4",
    ),
]
KINDS = {type(row).__name__: type(row) for row in ROWS}
each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: type(row).__name__)


def is_column_of(column: str, row: Row, field: str) -> bool:
    """Whether a stored column is a field's, or one of those that its JSON goes on in."""
    name = STORED_NAMES.get(f"{type(row).__name__}.{field}", field)
    return column == name or column.startswith(f"{name}_1")


@each_row
def test_a_row_of_an_earlier_version_is_read_with_every_field(row: Row) -> None:
    (stored,) = (entity for name, entity in STORED["full"] if name == type(row).__name__)
    assert from_entity(type(row), stored) == row
    assert as_entity(row, "rg:hub").keys() == stored.keys(), "a stored name changed: name it in STORED_NAMES"


@each_row
def test_what_an_earlier_version_wrote_for_none_is_none(row: Row) -> None:
    (stored,) = (entity for name, entity in STORED["empty"] if name == type(row).__name__)
    read = from_entity(type(row), stored)
    empty = {each.name for each in fields(read) if each.default is None and getattr(read, each.name) is None}
    assert empty == {each.name for each in fields(read) if each.default is None}
    assert from_entity(type(row), as_entity(read, "rg:hub")) == read


@each_row
def test_a_column_that_is_not_there_yet_leaves_its_field_at_the_default(row: Row) -> None:
    entity = as_entity(row, "rg:hub")
    for field in fields(row):
        default = field.default if field.default_factory is MISSING else field.default_factory()
        if default is MISSING or field.name in ("etag", "first_run"):
            continue
        older = {name: value for name, value in entity.items() if not is_column_of(name, row, field.name)}
        assert len(older) < len(entity), f"{field.name} has no column"
        assert from_entity(type(row), older) == replace(row, **{field.name: default})


@each_row
def test_a_row_keeps_its_key_and_its_etag(row: Row) -> None:
    class Entity(dict[str, Any]):
        metadata = {"etag": "W/1"}  # noqa: RUF012 - as the SDK has it

    entity = Entity(as_entity(row, "rg:hub"))
    assert (entity["PartitionKey"], entity["RowKey"]) == ("rg:hub", row.row_key)
    assert "etag" not in entity
    assert from_entity(type(row), entity).etag == "W/1"


@each_row
def test_a_column_of_another_type_is_refused(row: Row) -> None:
    entity = as_entity(row, "rg:hub")
    for column, value in entity.items():
        if column in ("PartitionKey", "RowKey", "execution"):
            continue
        wrong: Any = 3 if isinstance(value, str) else "three"
        with pytest.raises((TypeError, ValueError)):
            from_entity(type(row), {**entity, column: wrong})


def test_a_spoke_without_the_column_began_with_the_run_that_made_it() -> None:
    (spoke,) = (row for row in ROWS if isinstance(row, SpokeRow))
    entity = as_entity(replace(spoke, first_run="deploy-acme-inc-0-0000"), "rg:hub")
    assert from_entity(SpokeRow, entity).first_run == "deploy-acme-inc-0-0000"
    del entity["first_run"]
    assert from_entity(SpokeRow, entity).first_run == PLAN.made_by


def test_an_execution_that_is_a_text_is_the_first_one() -> None:
    """An earlier version kept the id of the orchestration in this column."""
    for row in ROWS[0], ROWS[2]:
        entity = {**as_entity(row, "rg:hub"), "execution": "b7e1"}
        assert from_entity(type(row), entity) == replace(row, execution=1)


def test_json_that_is_longer_than_a_column_goes_on_in_the_next_and_a_plain_text_is_cut() -> None:
    (step,) = (row for row in ROWS if isinstance(row, StepRow))
    long = replace(step, message="x" * (CHUNK + 1), outcome={"message": "ä" * CHUNK})
    entity = as_entity(long, "rg:hub")
    assert [name for name in entity if name.startswith("outcome")] == [f"outcome{end}" for end in ("", *more(6))]
    assert from_entity(StepRow, entity) == replace(long, message="x" * CHUNK)


def more(parts: int) -> list[str]:
    return [f"_{number}" for number in range(1, parts + 1)]


def test_all_rows_of_the_app_are_here() -> None:
    def below(kind: type[Any]) -> set[type[Any]]:
        found = {kind, *(each for sub in kind.__subclasses__() for each in below(sub))}
        return {each for each in found if "__dataclass_params__" in vars(each) and not isabstract(each)}

    assert below(Row) == set(KINDS.values())


# --- payloads ---


def test_empty_parts_are_left_out_of_a_payload_and_numbers_are_not() -> None:
    call = Call("deploy-acme-inc-1-aaaa", None, "create_vm", operation=Operation("https://arm/op"))
    data = as_data(call)
    assert data == {
        "deployment_id": "deploy-acme-inc-1-aaaa",
        "spoke_id": None,
        "name": "create_vm",
        "attempt": 1,
        "operation": {"url": "https://arm/op", "form": "status"},
        "execution": 1,
        "slept": 0,
    }
    assert from_data(Call, json.loads(json.dumps(data))) == call
    assert as_data(Policy()).keys() == {each.name for each in fields(Policy)}


def test_a_payload_of_another_version_is_read_with_what_is_known_of_it() -> None:
    run = StepRun(Call("d", 7, "create_vm", 8), Policy(), 1800.0)
    data = as_data(run) | {"a later field": 1}
    del data["unexpected"], data["policy"]["request_seconds"]
    assert from_data(StepRun, data) == run


@pytest.mark.parametrize("wrong", [None, [], {"deployment_id": "d"}, {"deployment_id": 1, "spoke_id": 2, "name": "n"}])
def test_what_is_no_payload_of_its_kind_is_a_type_error(wrong: Any) -> None:
    with pytest.raises(TypeError):
        from_data(Call, wrong)


def test_a_class_that_a_later_version_wrote_is_read_as_the_root_of_the_tree() -> None:
    data = as_data(REFUSED)
    assert data["error"] == "AzureResourceException"
    assert from_data(Failure, data) == REFUSED
    assert from_data(Failure, data | {"error": "SomethingNew"}).error is HubSpokeException
