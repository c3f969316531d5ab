"""Resource groups on their way out, and what a lock forbids wherever it is."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contracts.azure import PLACE, RG, Azure

RULE = {
    "properties": {
        "priority": 100,
        "direction": "Inbound",
        "access": "Allow",
        "protocol": "Tcp",
        "sourceAddressPrefix": "*",
        "sourcePortRange": "*",
        "destinationAddressPrefix": "*",
        "destinationPortRange": "80",
    }
}


def _group(azure: Azure, method: str, name: str, body: Any = None) -> Any:
    path = f"/subscriptions/{azure.subscription_id}/resourceGroups/{name}"
    return azure.send(method, path, body, version="2022-09-01")


def _lock(azure: Azure, scope: str, level: str) -> None:
    azure.plant({"id": f"{scope}/providers/Microsoft.Authorization/locks/l", "properties": {"level": level}})


def test_a_group_on_its_way_out_can_not_be_put_and_a_second_delete_joins_the_first(azure: Azure) -> None:
    _group(azure, "PUT", "other", {"location": PLACE})
    first = _group(azure, "DELETE", "other")
    again = _group(azure, "PUT", "other", {"location": PLACE})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "ResourceGroupBeingDeleted")
    second = _group(azure, "DELETE", "other")
    assert (second.status_code, second.headers["Location"]) == (202, first.headers["Location"])
    azure.advance(20)
    assert _group(azure, "GET", "other").status_code == 404
    assert _group(azure, "PUT", "other", {"location": PLACE}).status_code == 201


@pytest.mark.parametrize(
    ("name", "status"), [("a.b-c_d(1)", 201), ("grüppe", 201), ("a b", 400), ("a!", 400), ("a.", 400), ("x" * 91, 400)]
)
def test_a_groups_name_is_checked(azure: Azure, name: str, status: int) -> None:
    answer = _group(azure, "PUT", name, {"location": PLACE})
    assert answer.status_code == status
    assert status == 201 or answer.json()["error"]["code"] == "InvalidResourceGroup"


def test_a_read_only_lock_forbids_every_write_and_every_action(azure: Azure) -> None:
    azure.vm_with_network()
    nsg, vm, gateway = (
        azure.id("networkSecurityGroups", "nsg"),
        azure.id("virtualMachines", "vm1"),
        azure.id("applicationGateways", "hub-agw"),
    )
    azure.send("PUT", nsg, {"location": PLACE, "properties": {}})
    azure.advance(5)
    scope = f"/subscriptions/{azure.subscription_id}/resourceGroups/{RG}"
    _lock(azure, scope, "ReadOnly")
    tags = {"tags": {"a": "b"}}
    for method, path, body in (
        ("PUT", nsg, {"location": PLACE, "properties": {}}),
        ("PUT", f"{nsg}/securityRules/r", RULE),
        ("DELETE", f"{nsg}/securityRules/r", None),
        ("PATCH", azure.id("virtualNetworks", "v1"), tags),
        ("PATCH", vm, tags),
        ("PATCH", azure.id("disks", "vm1-osdisk"), tags),
        ("DELETE", vm, None),
        ("POST", f"{vm}/deallocate", None),
        ("POST", f"{gateway}/stop", None),
        ("POST", f"{gateway}/backendhealth", None),
    ):
        answer = azure.send(method, path, body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "ScopeLocked"), (method, path)
        assert answer.headers["x-ms-failure-cause"] == "gateway"
        assert f"following scope(s) are locked: '{scope}'" in answer.json()["error"]["message"]
    for method, given in (("PUT", {"location": PLACE}), ("PATCH", tags), ("DELETE", None)):
        assert _group(azure, method, RG, given).json()["error"]["code"] == "ScopeLocked"
    assert azure.send("GET", vm).status_code == 200
    assert azure.send("GET", f"{vm}/instanceView").status_code == 200


def test_a_lock_against_deleting_forbids_nothing_else(azure: Azure) -> None:
    nsg = azure.id("networkSecurityGroups", "nsg")
    azure.send("PUT", nsg, {"location": PLACE, "properties": {}})
    azure.advance(3)
    _lock(azure, nsg, "CanNotDelete")
    assert azure.send("PUT", f"{nsg}/securityRules/r", RULE).status_code == 201
    azure.advance(3)
    assert azure.send("PATCH", nsg, {"tags": {"a": "b"}}).status_code == 200
    for path in (nsg, f"{nsg}/securityRules/r"):
        assert azure.send("DELETE", path).json()["error"]["code"] == "ScopeLocked"
    assert _group(azure, "DELETE", RG).json()["error"]["code"] == "ScopeLocked"
