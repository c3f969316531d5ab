"""The far side of an activity: a stand-in of Azure whose clock stands still, and Azurite; both real servers, both empty
at the start of every test. One pair for each worker of pytest."""

import os
import ssl
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from local.processes import free_port, running
from local.recipes import app_settings, azure_recipe, azurite_recipe, tables_connection_string
from shared.settings import Settings, current_settings
from shared.tables import client as store
from tests.activities.azure_stand_in import LocalAzure
from tests.activities.writers import WriterHarness, writer_harness
from tests.app import forget_app

if TYPE_CHECKING:
    from azure.data.tables import TableClient

FRESH_TIME_SCALE = 0.0
# As Table Storage takes them.
MOST_IN_A_TRANSACTION = 100


@pytest.fixture(scope="session")
def azure_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What the stand-in said when it was ready."""
    state = tmp_path_factory.mktemp("azure")
    with running(azure_recipe(state / "state", 0, FRESH_TIME_SCALE, None), state) as process:
        assert process.announced is not None
        yield {name: str(value) for name, value in process.announced.items()}


@pytest.fixture(scope="session")
def azurite_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The connection string of an Azurite."""
    state, port = tmp_path_factory.mktemp("azurite"), free_port()
    with running(azurite_recipe(state / "tables", port), state):
        yield tables_connection_string(f"http://127.0.0.1:{port}")


@pytest.fixture(scope="session")
def azure_client(azure_process: dict[str, str]) -> Iterator[httpx.Client]:
    """A client of the stand-in: making one costs more than most of its calls."""
    with httpx.Client(
        base_url=azure_process["arm"], verify=_trusting(azure_process["ca"]), trust_env=False, timeout=30
    ) as client:
        yield client


@pytest.fixture
def azure(azure_process: dict[str, str], azure_client: httpx.Client) -> LocalAzure:
    """The stand-in with nothing but its hub. Operations end when `advance` passes their end."""
    local = LocalAzure(azure_client, azure_process["subscription_id"])
    local.reset()
    return local


@pytest.fixture(scope="session")
def table_clients(azurite_process: str) -> Iterator[list["TableClient"]]:
    """Clients of the app's tables, which are there."""
    from azure.data.tables import TableServiceClient

    with TableServiceClient.from_connection_string(azurite_process) as service:
        yield [service.create_table_if_not_exists(name) for name in store.TABLES]


@pytest.fixture
def tables(azurite_process: str, table_clients: list["TableClient"]) -> str:
    """The connection string of tables without a row."""
    for client in table_clients:
        partitions = defaultdict(list)
        for row in client.list_entities(select=["PartitionKey", "RowKey"]):
            partitions[row["PartitionKey"]].append(("delete", row))
        for deletes in partitions.values():
            for begin in range(0, len(deletes), MOST_IN_A_TRANSACTION):
                client.submit_transaction(deletes[begin : begin + MOST_IN_A_TRANSACTION])
    return azurite_process


@pytest.fixture
def settings(
    azure: LocalAzure, azure_process: dict[str, str], tables: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    """The app's settings for this stand-in and these tables, in force while the test runs.

    A test that wants another setting sets it with `monkeypatch.setenv` and calls `forget_app()`.
    """
    for name in list(os.environ):
        if name.upper().endswith("_PROXY") or name.startswith(("AZURE_", "ARM_", "HUB_", "SPOKE_")):
            monkeypatch.delenv(name)
    for name, value in app_settings(azure_process, tables, 0.02).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    forget_app()
    know_tables()
    yield current_settings()
    forget_app()


@pytest.fixture
def harness(
    azure: LocalAzure, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[WriterHarness]:
    """The writers of gateway and hub, with the waits that their tests count in.

    A peering takes 5 seconds, the gateway 20: one poll sees each of them running, the next one its end.
    """
    monkeypatch.setenv("AGW_GATHER_SECONDS", "2")
    monkeypatch.setenv("WRITER_POLL_SECONDS", "2.5")
    monkeypatch.setenv("POLL_MAX_SECONDS", "10")
    monkeypatch.setenv("POLL_DEFAULT_SECONDS", "10")
    monkeypatch.setenv("RETRY_FIRST_SECONDS", "5")
    monkeypatch.setenv("RETRY_MAX_SECONDS", "60")
    forget_app()
    know_tables()
    with writer_harness(azure, tmp_path / "writers.sqlite") as harness:
        yield harness


def know_tables() -> None:
    """Spares the app to create its tables, which it would try at the first call after each `forget_app`: they are there."""
    store._there.update(store.TABLES)


def _trusting(ca: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca)
