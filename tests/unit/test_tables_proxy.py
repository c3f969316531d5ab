"""The proxy passes everything on as it came, and goes wrong exactly as it was told: against a real Azurite."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.pipeline.policies import RetryMode
from azure.data.tables import TableClient, TableServiceClient, TableTransactionError, UpdateMode

from local.processes import free_port, running
from local.recipes import tables_connection_string, tables_proxy_recipe

ROW = {"PartitionKey": "hub-rg:hub-vnet", "RowKey": "spoke:1", "note": "it's 100 % “ready” + more/less"}


@pytest.fixture(scope="module")
def proxy(azurite: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with running(tables_proxy_recipe(0, azurite), tmp_path_factory.mktemp("proxy")) as process:
        assert process.announced is not None
        yield process.announced


@pytest.fixture
def table_name(azurite: str) -> Iterator[str]:
    name = f"T{secrets.token_hex(6)}"
    with TableServiceClient.from_connection_string(tables_connection_string(azurite)) as direct:
        direct.create_table(name)
        yield name
        direct.delete_table(name)


@pytest.fixture
def behind(azurite: str, table_name: str) -> Iterator[TableClient]:
    """The same table, without the proxy: what really is in it."""
    with TableClient.from_connection_string(tables_connection_string(azurite), table_name) as client:
        yield client


@pytest.fixture
def table(proxy: dict[str, str], table_name: str) -> Iterator[TableClient]:
    connection_string = tables_connection_string(proxy["tables"])
    with TableClient.from_connection_string(connection_string, table_name, retry_total=0) as client:
        yield client


@pytest.fixture
def faults(proxy: dict[str, str]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=proxy["tables"], trust_env=False) as client:
        yield client
        assert client.delete("/_local/faults").status_code == 204


def order(faults: httpx.Client, *wanted: dict[str, object]) -> None:
    answer = faults.post("/_local/faults", json=list(wanted))
    assert answer.status_code == 200, answer.text


def test_without_faults_everything_passes_with_its_signature(table: TableClient, behind: TableClient) -> None:
    created = table.create_entity(ROW)
    assert behind.get_entity(ROW["PartitionKey"], ROW["RowKey"])["note"] == ROW["note"]
    found = table.get_entity(ROW["PartitionKey"], ROW["RowKey"])
    assert found["note"] == ROW["note"]
    assert found.metadata["etag"] == created["etag"]
    rows = table.query_entities(
        "RowKey eq @key and PartitionKey eq @hub", parameters={"key": "spoke:1", "hub": ROW["PartitionKey"]}
    )
    assert [row["RowKey"] for row in rows] == ["spoke:1"]
    with pytest.raises(ResourceExistsError):
        table.create_entity(ROW)
    table.delete_entity(ROW["PartitionKey"], ROW["RowKey"])
    with pytest.raises(ResourceNotFoundError):
        behind.get_entity(ROW["PartitionKey"], ROW["RowKey"])


def test_transactions_pass_whole_or_not_at_all(table: TableClient, behind: TableClient) -> None:
    table.submit_transaction([("create", ROW | {"RowKey": f"slot:{n:03}"}) for n in range(99)])
    assert len(list(table.list_entities(results_per_page=20))) == 99
    with pytest.raises(TableTransactionError):
        table.submit_transaction([("create", ROW), ("create", ROW | {"RowKey": "slot:007"})])
    assert len(list(behind.list_entities())) == 99


def test_a_wrong_key_is_refused_behind_the_proxy_too(proxy: dict[str, str], table_name: str) -> None:
    wrong = tables_connection_string(proxy["tables"]).replace("AccountKey=Eby8", "AccountKey=AAAA")
    with TableClient.from_connection_string(wrong, table_name) as client, pytest.raises(HttpResponseError) as refused:
        client.create_entity(ROW)
    assert refused.value.status_code == 403


@pytest.mark.parametrize(
    ("mode", "status", "code", "happened"),
    [
        ("busy", 503, "ServerBusy", False),
        ("timeout", 500, "OperationTimedOut", False),
        ("timeout_after", 500, "OperationTimedOut", True),
    ],
)
def test_a_refusal_is_like_the_services(
    table: TableClient, behind: TableClient, faults: httpx.Client, mode: str, status: int, code: str, happened: bool
) -> None:
    order(faults, {"mode": mode, "method": "POST", "path": table.table_name, "times": 1})
    with pytest.raises(HttpResponseError) as refused:
        table.create_entity(ROW)
    assert refused.value.status_code == status
    assert refused.value.response is not None
    assert f'"code": "{code}"' in refused.value.response.text()
    assert [row["RowKey"] for row in behind.list_entities()] == (["spoke:1"] if happened else [])
    assert [fault["hits"] for fault in faults.get("/_local/faults").json()] == [1]
    table.upsert_entity(ROW)


@pytest.mark.parametrize(("mode", "happened"), [("drop_before", False), ("drop_after", True)])
def test_a_dropped_connection_leaves_no_answer(
    table: TableClient, behind: TableClient, faults: httpx.Client, mode: str, happened: bool
) -> None:
    order(faults, {"mode": mode, "times": 1})
    with pytest.raises((ServiceRequestError, ServiceResponseError)):
        table.create_entity(ROW)
    assert [row["RowKey"] for row in behind.list_entities()] == (["spoke:1"] if happened else [])
    table.upsert_entity(ROW)


@pytest.mark.parametrize(("mode", "happened"), [("drop_before", False), ("drop_after", True), ("timeout_after", True)])
def test_a_transaction_is_met_by_what_its_body_names(
    table: TableClient, behind: TableClient, faults: httpx.Client, mode: str, happened: bool
) -> None:
    order(faults, {"mode": mode, "path": r"/\$batch$", "body": "spoke:2"})
    table.submit_transaction([("create", ROW)])
    with pytest.raises((ServiceRequestError, ServiceResponseError, HttpResponseError)):
        table.submit_transaction([("create", ROW | {"RowKey": "spoke:2"}), ("create", ROW | {"RowKey": "client:acme"})])
    expected = {"spoke:1", "spoke:2", "client:acme"} if happened else {"spoke:1"}
    assert {row["RowKey"] for row in behind.list_entities()} == expected


def test_the_sdk_gets_over_a_passing_fault(proxy: dict[str, str], table_name: str, faults: httpx.Client) -> None:
    order(faults, {"mode": "busy", "times": 1}, {"mode": "drop_before", "times": 1}, {"mode": "timeout", "times": 1})
    patient = TableClient.from_connection_string(
        tables_connection_string(proxy["tables"]), table_name, retry_mode=RetryMode.Fixed, retry_backoff_factor=0
    )
    with patient:
        patient.upsert_entity(ROW, UpdateMode.REPLACE)  # a PUT: the SDK repeats those when an answer is lost
    assert [fault["hits"] for fault in faults.get("/_local/faults").json()] == [1, 1, 1]


def test_a_fault_meets_only_what_it_was_meant_for(table: TableClient, faults: httpx.Client) -> None:
    order(
        faults,
        {"mode": "busy", "method": "DELETE"},
        {"mode": "busy", "path": "SomeOtherTable"},
        {"mode": "busy", "probability": 0},
    )
    table.create_entity(ROW)
    assert [fault["hits"] for fault in faults.get("/_local/faults").json()] == [0, 0, 0]
    with pytest.raises(HttpResponseError):
        table.delete_entity(ROW["PartitionKey"], ROW["RowKey"])


def test_without_json_the_refusal_is_xml(proxy: dict[str, str], faults: httpx.Client) -> None:
    order(faults, {"mode": "busy"})
    answer = httpx.get(f"{proxy['tables']}/devstoreaccount1/Tables", headers={"accept": "*/*"}, trust_env=False)
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/xml"
    assert "<code>ServerBusy</code>" in answer.text


@pytest.mark.parametrize(
    "bad",
    [{}, {"mode": "explode"}, {"mode": "busy", "path": "("}, {"mode": "busy", "times": 0}, {"mode": "busy", "x": 1}],
)
def test_a_fault_that_makes_no_sense_is_refused(faults: httpx.Client, bad: dict[str, object]) -> None:
    answer = faults.post("/_local/faults", json=bad)
    assert answer.status_code == 400
    assert answer.json()["errors"]
    assert faults.get("/_local/faults").json() == []


def test_a_target_that_is_gone_is_no_answer(tmp_path: Path) -> None:
    with running(tables_proxy_recipe(0, f"http://127.0.0.1:{free_port()}"), tmp_path) as process:
        assert process.announced is not None
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{process.announced['tables']}/devstoreaccount1/Tables", trust_env=False)


def test_what_was_asked_is_listed_in_order(table: TableClient, table_name: str, faults: httpx.Client) -> None:
    assert faults.delete("/_local/requests").status_code == 204
    table.create_entity({"PartitionKey": "a", "RowKey": "b"})
    table.get_entity("a", "b")
    asked = faults.get("/_local/requests").json()
    assert [each["method"] for each in asked] == ["POST", "GET"]
    assert asked[0]["path"].endswith(f"/{table_name}")
    assert asked[1]["path"].endswith(f"/{table_name}(PartitionKey='a',RowKey='b')")
