"""The API's triggers on the local host, with the real records and the real Azure stand-in, and stories that never begin.

A deployment that begins changes its records on its own; here the test says what state they are in. The stories only
wait, so that a run stays `accepted` until the test moves it.
"""

import os
import re
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.data.tables import TableServiceClient

from local.processes import free_port, running
from local.recipes import (
    ROOT,
    app_settings,
    azure_recipe,
    azurite_recipe,
    functions_recipe,
    tables_connection_string,
)
from shared.clock import nonce
from shared.settings import Settings, current_settings
from shared.tables import client as store
from shared.tables.records import Records
from shared.tables.reservations import release
from tests.api import calls
from tests.app import forget_app, know_tables
from triggers import timers

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
    """A running host: what it said when it was ready, and its far side."""

    endpoints: dict[str, Any]
    caller: httpx.Client
    """With a function key."""
    anonymous: httpx.Client
    """Without one."""
    arm: httpx.Client
    azurite: str
    """The URL of the tables."""
    tables: TableServiceClient
    environment: dict[str, str]
    """The app's, as the host has it."""
    root: Path
    log: Path

    def empty_tables(self) -> None:
        for name in store.TABLES:
            rows = self.tables.get_table_client(name).list_entities(select=["RowKey"], results_per_page=1)
            if next(iter(rows), None) is not None:  # a table takes fewer calls than its rows
                self.tables.delete_table(name)
                self.tables.create_table(name)


def timer_names() -> list[str]:
    text = Path(timers.__file__).read_text(encoding="utf-8")
    return re.findall(r"^@timer_function\(.*\)\nasync def (\w+)", text, re.MULTILINE)


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
        azurite = f"http://127.0.0.1:{port}"
        start(azurite_recipe(state / "tables", port))
        azure = start(azure_recipe(state / "azure", 0, 0.01, None))
        connection_string = tables_connection_string(azurite)
        settings = app_settings(azure, connection_string, 0.01)
        # Every probe of /health asks anew.
        settings |= {"HUB_VNET_NAME": "hub-vnet", "HEALTH_FRESH_SECONDS": "0", "PYTHONPATH": str(ROOT)}
        # A timer runs when a test has it run: at its own time it would ask for the token that a test has asked for first.
        settings |= {f"AzureWebJobs.{name}.Disabled": "true" for name in timer_names()}
        endpoints = start(functions_recipe(state / "functions", 0, root, settings))
        trusted = ssl.create_default_context(cafile=azure["ca"])
        arm = stack.enter_context(httpx.Client(base_url=azure["arm"], verify=trusted, trust_env=False, timeout=30))
        caller = stack.enter_context(calls.caller(endpoints))
        anonymous = stack.enter_context(httpx.Client(base_url=endpoints["api"], trust_env=False, timeout=60))
        tables = stack.enter_context(TableServiceClient.from_connection_string(connection_string))
        for name in store.TABLES:
            tables.create_table_if_not_exists(name)
        log = state / "logs" / "functions.log"
        yield Host(endpoints, caller, anonymous, arm, azurite, tables, settings, root, log)


@pytest.fixture
def settings(host: Host, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The host's settings in this process too, so that a test can set the records; none is there before and after."""
    for name in list(os.environ):
        if name.startswith(("AZURE_", "ARM_", "HUB_", "SPOKE_", "TABLES_")):
            monkeypatch.delenv(name)
    for name, value in host.environment.items():
        monkeypatch.setenv(name, value)
    forget_app()
    know_tables()
    yield current_settings()
    host.empty_tables()
    forget_app()


@pytest.fixture
def http(host: Host, settings: Settings) -> httpx.Client:
    """A caller with a function key."""
    return host.caller


@pytest.fixture
def body() -> dict[str, Any]:
    """A request that nobody else has made."""
    return calls.a_request(f"client-{nonce(8)}")


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
