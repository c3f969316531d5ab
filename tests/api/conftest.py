"""The API's triggers on the local host, with the real records and the real Azure stand-in, and stories that never begin.

A deployment that begins changes its records on its own; here the test says what state they are in. The stories only
wait, so that a run stays `accepted` until the test moves it.
"""

import os
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.processes import free_port, running
from local.recipes import (
    ROOT,
    app_settings,
    azure_recipe,
    azurite_recipe,
    functions_recipe,
    tables_connection_string,
    tables_proxy_recipe,
)
from shared.clock import nonce
from shared.settings import Settings, current_settings
from shared.tables import client as store
from shared.tables.records import Records
from shared.tables.reservations import release
from tests.app import forget_app

APP = '''"""The triggers, and stories that wait for ever."""

import azure.durable_functions as df

from triggers import deployments, spokes, status, timers

app = df.DFApp()
for module in (spokes, deployments, status, timers):
    app.register_functions(module.blueprint)


def waits(context):
    yield context.wait_for_external_event("never")


for name in ("deploy_spoke", "delete_spoke", "write_gateway", "write_hub"):
    app.function_name(name)(app.orchestration_trigger(context_name="context", orchestration=name)(waits))
'''


@dataclass
class Host:
    """A running host: what it said when it was ready, and where the tables' and ARM's faults are ordered."""

    endpoints: dict[str, Any]
    tables_faults: str
    arm: httpx.Client
    environment: dict[str, str]
    root: Path
    log: Path


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    state = tmp_path_factory.mktemp("api")
    root = state / "app"
    root.mkdir()
    (root / "function_app.py").write_text(APP, encoding="utf-8")
    (root / "host.json").write_text((ROOT / "host.json").read_text(encoding="utf-8"), encoding="utf-8")
    with ExitStack() as stack:

        def start(recipe: Any) -> dict[str, Any]:
            return stack.enter_context(running(recipe, state / "logs")).announced or {}

        port = free_port()
        start(azurite_recipe(state / "tables", port))
        proxy = start(tables_proxy_recipe(0, f"http://127.0.0.1:{port}"))
        azure = start(azure_recipe(state / "azure", 0, 0.01, None))
        settings = app_settings(azure, tables_connection_string(proxy["tables"]), 0.01)
        # Every probe of /health asks anew.
        settings |= {"HUB_VNET_NAME": "hub-vnet", "HEALTH_FRESH_SECONDS": "0", "PYTHONPATH": str(ROOT)}
        endpoints = start(functions_recipe(state / "functions", 0, root, settings))
        trusted = ssl.create_default_context(cafile=azure["ca"])
        arm = stack.enter_context(httpx.Client(base_url=azure["arm"], verify=trusted, trust_env=False, timeout=30))
        yield Host(endpoints, proxy["faults"], arm, settings, root, state / "logs" / "functions.log")


@pytest.fixture
def settings(host: Host, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The host's settings in this process too, so that a test can set the records; none is there before and after."""
    for name in list(os.environ):
        if name.startswith(("AZURE_", "ARM_", "HUB_", "SPOKE_", "TABLES_")):
            monkeypatch.delenv(name)
    for name, value in host.environment.items():
        monkeypatch.setenv(name, value)
    forget_app()
    _empty_tables()
    yield current_settings()
    _empty_tables()
    forget_app()


def _empty_tables() -> None:
    for name in store.TABLES:
        client = store.table(name).client
        for row in list(client.list_entities(select=["PartitionKey", "RowKey"])):
            client.delete_entity(row["PartitionKey"], row["RowKey"])


@pytest.fixture
def http(host: Host, settings: Settings) -> Iterator[httpx.Client]:
    """A caller with a function key."""
    with httpx.Client(
        base_url=host.endpoints["api"],
        headers={"x-functions-key": host.endpoints["function_key"]},
        timeout=60,
        trust_env=False,
    ) as client:
        yield client


@pytest.fixture
def body() -> dict[str, Any]:
    """A request that nobody else has made."""
    name = f"client-{nonce(8)}"
    return {
        "client_name": name,
        "vm_name": f"vm-{name}",
        "vm_size": "Standard_B2s",
        "admin_username": "azureuser",
        "ssh_public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJFPNCFoTy+GNqzeT9tbAh6XAz3RiVuhXOD7cqUMmiUI a@b",
    }


class Moves:
    """What the stories would write."""

    def to(self, spoke_id: int, status: str, **changes: Any) -> None:
        records = Records()
        spoke = records.spoke(spoke_id)
        assert spoke is not None
        run = records.run(spoke.deployment_id)
        assert run is not None
        if status == "failed":
            release(run)
        records.change_together(run, spoke, run_changes={"status": status, **changes}, spoke_changes={"status": status})


@pytest.fixture
def moves(settings: Settings) -> Moves:
    return Moves()
