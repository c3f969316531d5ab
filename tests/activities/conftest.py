"""The far side of an activity: a stand-in of Azure whose clock stands still, and Azurite; both real servers, both empty
at the start of every test. One pair for each worker of pytest."""

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from local.processes import free_port, running
from local.recipes import app_settings, azure_recipe, azurite_recipe, tables_connection_string
from shared.settings import Settings, current_settings
from shared.tables import client as store
from tests.activities.azure_stand_in import LocalAzure
from tests.activities.writers import WriterHarness, writer_harness
from tests.app import forget_app

FRESH_TIME_SCALE = 0.0


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


@pytest.fixture
def azure(azure_process: dict[str, str]) -> Iterator[LocalAzure]:
    """The stand-in with nothing but its hub. Operations end when `advance` passes their end."""
    with httpx.Client(
        base_url=azure_process["arm"], verify=_trusting(azure_process["ca"]), trust_env=False, timeout=30
    ) as client:
        local = LocalAzure(client, azure_process["subscription_id"])
        local.reset()
        yield local


@pytest.fixture
def tables(azurite_process: str) -> str:
    """The connection string of tables without a row."""
    from azure.data.tables import TableServiceClient

    with TableServiceClient.from_connection_string(azurite_process) as service:
        for name in store.TABLES:
            client = service.create_table_if_not_exists(name)
            for row in list(client.list_entities()):
                client.delete_entity(row["PartitionKey"], row["RowKey"])
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
    yield current_settings()
    forget_app()


@pytest.fixture
def harness(
    azure: LocalAzure, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[WriterHarness]:
    """The writers of gateway and hub, with the waits that their tests count in."""
    monkeypatch.setenv("AGW_GATHER_SECONDS", "2")
    monkeypatch.setenv("WRITER_POLL_SECONDS", "1")
    monkeypatch.setenv("POLL_MAX_SECONDS", "5")
    monkeypatch.setenv("POLL_DEFAULT_SECONDS", "5")
    monkeypatch.setenv("RETRY_FIRST_SECONDS", "5")
    monkeypatch.setenv("RETRY_MAX_SECONDS", "60")
    forget_app()
    with writer_harness(azure, tmp_path / "writers.sqlite") as harness:
        yield harness


def _trusting(ca: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca)
