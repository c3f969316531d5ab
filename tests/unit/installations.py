"""Installations of a test's own: hubs in the settings, their rows in the tables, and what is done with them."""

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from shared.clock import nonce
from shared.errors import HubSpokeException
from shared.settings import current_settings
from shared.spoke.records import SPOKES_TABLE, StepRow
from shared.tables import client as store
from shared.tables.places import at_spoke, gateway_of
from shared.tables.records import Records
from shared.tables.reservations import release
from tests.app import forget_app, know_tables
from triggers import use_cases

SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJFPNCFoTy+GNqzeT9tbAh6XAz3RiVuhXOD7cqUMmiUI someone@example.com"
Environment = Callable[..., None]


class Installation:
    """Hubs of a test's own, and the environment that names them."""

    def __init__(self, azurite: str, environment: pytest.MonkeyPatch) -> None:
        self.name = nonce(8)
        self._environment = environment
        self._general = {
            "AZURE_SUBSCRIPTION_ID": "00000000-0000-0000-0000-000000000001",
            "TASK_HUB": "HubSpokeTest",
            "TABLES_CONNECTION_STRING": azurite,
        }

    def use(self, hubs: list[dict[str, Any]] | None = None, **more: str) -> None:
        """The app starts anew, with these hubs or with the one hub of the settings."""
        one = {
            "HUB_RESOURCE_GROUP": "hub-rg",
            "HUB_VNET_NAME": f"first-{self.name}",
            "HUB_AGW_NAME": "hub-agw",
            "SPOKE_DOMAIN": "spokes.example.com",
        }
        given = self._general | one | ({"HUBS": json.dumps(hubs)} if hubs else {}) | more
        for name in list(os.environ):
            if name.startswith(("AZURE_", "HUB", "SPOKE_", "AGW_", "TABLES_")):
                self._environment.delenv(name)
        for name, value in given.items():
            self._environment.setenv(name, value)
        forget_app()
        know_tables()

    def gateways(self, **limits: int) -> list[dict[str, Any]]:
        """Gateways of these names, each with so many places beside the hub's own site."""
        return [
            {"name": name.replace("_", "-"), "domain": f"{name.replace('_', '-')}.example.com", "limit": places + 1}
            for name, places in limits.items()
        ]

    @property
    def first(self) -> dict[str, Any]:
        return {"name": "first", "vnet": f"first-{self.name}", "gateways": [{"name": "hub-agw"}]}

    @property
    def second(self) -> dict[str, Any]:
        gateways = [{"name": "far-agw", "domain": "far.example.com"}]
        own = {"vnet": f"second-{self.name}", "location": "westeurope", "address_pool": "10.12.0.0/16"}
        return {"name": "second", "subscription_id": "00000000-0000-0000-0000-000000000002", "gateways": gateways} | own

    @property
    def second_as_first(self) -> dict[str, Any]:
        """The second hub with the ids that the first had: new spokes go there."""
        return self.second | {"first_spoke_id": 1}

    @property
    def moved(self) -> dict[str, Any]:
        """The first hub, no longer the first of the list."""
        return self.first | {"first_spoke_id": 1001}

    def rows(self, partition: str) -> list[Any]:
        found: list[Any] = store.table(SPOKES_TABLE).query("PartitionKey eq @key", {"key": partition})
        return found


def body(client: str, **changes: Any) -> dict[str, Any]:
    own = {"client_name": client, "vm_name": f"vm-{client}", "vm_size": "Standard_B2s", "admin_username": "azureuser"}
    return {**own, "ssh_public_key": SSH_KEY, **changes}


def deploy(client: str, key: str | None = None, **changes: Any) -> use_cases.RunHandle:
    return use_cases.deploy(body(client, **changes), key)


def gateway_of_spoke(spoke_id: int) -> str:
    with at_spoke(spoke_id):
        spoke, _ = use_cases.spoke_and_run(spoke_id)
        return gateway_of(spoke.plan, current_settings()).hub_agw_name


def end(handle: use_cases.RunHandle, status: str, *, began: str = "") -> None:
    """As the orchestration would: its rows freed, run and spoke ended. began: a step that has been tried."""
    with at_spoke(handle.spoke_id):
        records = Records()
        spoke, run = use_cases.spoke_and_run(handle.spoke_id)
        assert run is not None
        if began:
            row = StepRow(run.deployment_id, 2, began, "failed", 1, "", run.created_at, run.created_at)
            records.write_step(row, over=None)
        if status == "failed":
            release(run)
        records.change_together(run, spoke, run_changes={"status": status}, spoke_changes={"status": status})


def refused(work: Callable[..., Any], *given: Any, **named: Any) -> str:
    with pytest.raises(HubSpokeException) as raised:
        work(*given, **named)
    return raised.value.failure.code
