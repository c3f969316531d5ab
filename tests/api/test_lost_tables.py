"""A table that is deleted under the running app: every route that needs it names it, and all heals when it is back."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from azure.data.tables import TableClient

from shared.settings import Settings
from shared.tables.client import table
from tests.api.calls import Body, made, refused
from tests.api.conftest import Host, Moves

Route = Callable[[httpx.Client, Body], httpx.Response]

ROUTES: dict[str, Route] = {
    "list": lambda http, _: http.get("/spokes"),
    "spoke": lambda http, _: http.get("/spokes/3"),
    "progress": lambda http, _: http.get("/spokes/3/progress"),
    "runs": lambda http, _: http.get("/spokes/3/deployments"),
    "run": lambda http, _: http.get("/deployments/deploy-acme-1-aaaa"),
    "capacity": lambda http, _: http.get("/capacity"),
    "create": lambda http, body: http.post("/spokes", json=body | {"client_name": "late", "vm_name": "late"}),
    "plan": lambda http, body: http.post("/spokes?mode=plan", json=body | {"client_name": "late", "vm_name": "late"}),
    "delete": lambda http, _: http.delete("/spokes/3"),
    "retry": lambda http, _: http.post("/spokes/3/retry"),
}
NEEDED = {
    "Spokes": set(ROUTES),
    "GatewaySites": {"capacity", "create", "plan"},
    "HubTurns": set[str](),
}


@contextmanager
def deleted(name: str) -> Iterator[TableClient]:
    """The table is gone, and back with its rows at the end."""
    client = table(name).client
    rows = list(client.list_entities())
    client.delete_table()
    try:
        yield client
    finally:
        client.create_table()
        for row in rows:
            client.create_entity(row)


@pytest.mark.parametrize("name", NEEDED)
def test_every_route_that_needs_a_lost_table_names_it_and_heals(
    http: httpx.Client, host: Host, settings: Settings, moves: Moves, body: Body, name: str
) -> None:
    made(http, body | {"spoke_id": 3})
    answer = http.get("/health")
    assert answer.status_code == 200, answer.text
    with deleted(name):
        for route in NEEDED[name]:
            answer = ROUTES[route](http, body)
            error = refused(answer, 503)
            assert (error["error"], error["details"]["code"]) == ("StorageException", "TableNotFound"), route
            assert error["details"]["table"] == name, route
            assert name in error["message"], route
            assert int(answer.headers["Retry-After"]) > 0
        health = http.get("/health")
        assert health.status_code == 503
        finding = health.json()["dependencies"]["tables"]
        assert (finding["status"], finding["details"]["table"]) == ("failing", name)
    answer = http.get("/health")
    assert answer.status_code == 200, answer.text
    assert http.get("/spokes/3").json()["client_name"] == body["client_name"]
    made(http, body | {"client_name": "later", "vm_name": "later"})


def test_health_names_completed_spokes_whose_site_or_peering_has_no_row(
    http: httpx.Client, moves: Moves, body: Body
) -> None:
    made(http, body | {"spoke_id": 3})
    moves.to(3, "completed")
    health = http.get("/health")
    assert health.status_code == 503
    details = health.json()["dependencies"]["tables"]["details"]
    assert (details["code"], details["table"], details["clients"]) == (
        "RecordsLost",
        "GatewaySites",
        [body["client_name"]],
    )


def test_health_says_how_to_restore_new_records_or_start_anew(
    http: httpx.Client, host: Host, settings: Settings
) -> None:
    group = f"/subscriptions/{settings.subscription_id}/resourceGroups/{settings.spoke_resource_group}"
    nsg: dict[str, Any] = {
        "id": f"{group}/providers/Microsoft.Network/networkSecurityGroups/spoke-nsg-9",
        "name": "spoke-nsg-9",
        "type": "Microsoft.Network/networkSecurityGroups",
        "location": "eastus",
        "tags": {"managed_by": "hub-spoke-automation", "deployment_id": "deploy-gone-1-ffff"},
        "properties": {"provisioningState": "Succeeded", "securityRules": []},
    }
    host.arm.put("/_local/resources", json=[nsg]).raise_for_status()
    try:
        health = http.get("/health")
    finally:
        host.arm.request("DELETE", "/_local/resources", params={"id": nsg["id"]}).raise_for_status()
    assert health.status_code == 503
    finding = health.json()["dependencies"]["records"]
    assert finding["details"]["unknown"] == [nsg["id"]]
    assert "Restore" in finding["details"]["hint"]
    assert "ACCEPT_EMPTY_RECORDS=true" in finding["details"]["hint"]
    answer = http.get("/health")
    assert answer.status_code == 200, answer.text
