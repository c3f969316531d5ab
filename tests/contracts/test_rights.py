"""Role definitions and role assignments in force: what a request is refused for, in ARM's own words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from local.azure import ids
from local.azure.rights import ASSIGNMENT, DEFINITION
from tests.contracts.azure import NETWORK_VERSION, Azure, running

SUB = f"/subscriptions/{ids.SUBSCRIPTION_ID}"
HUB = f"{SUB}/resourceGroups/hub-rg"
VNETS = f"{HUB}/providers/Microsoft.Network/virtualNetworks"
GATEWAY = f"{HUB}/providers/Microsoft.Network/applicationGateways/hub-agw"
SPACE = {"addressSpace": {"addressPrefixes": ["10.11.1.0/24"]}}


def role(name: str, *granted: str, but: tuple[str, ...] = ()) -> dict[str, Any]:
    permission = {"actions": [*granted], "notActions": [*but]}
    properties = {"roleName": name, "permissions": [permission], "assignableScopes": [SUB]}
    return {"id": f"{SUB}/providers/{DEFINITION}/{name}", "name": name, "properties": properties}


def assigned(name: str, scope: str, principal: str = ids.PRINCIPAL_ID) -> dict[str, Any]:
    properties = {"roleDefinitionId": f"{SUB}/providers/{DEFINITION}/{name}", "principalId": principal, "scope": scope}
    return {"id": f"{scope}/providers/{ASSIGNMENT}/{name}", "properties": properties}


AT_START = {
    "roleDefinitions": [role("reader", "*/read", but=("Microsoft.Authorization/locks/read",))],
    "roleAssignments": [assigned("reader", SUB)],
}


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azure]:
    folder = tmp_path_factory.mktemp("azure")
    (folder / "roles.json").write_text(json.dumps(AT_START))
    arguments = ("--port", "0", "--time-scale", "0", "--roles", str(folder / "roles.json"))
    with running(folder / "state", *arguments) as azure:
        yield azure


def enforce(azure: Azure, *documents: dict[str, Any]) -> None:
    """What is in force besides the reader's role."""
    definitions = [each for each in documents if DEFINITION in each["id"]]
    assignments = [each for each in documents if ASSIGNMENT in each["id"]]
    together = {
        "roleDefinitions": AT_START["roleDefinitions"] + definitions,
        "roleAssignments": AT_START["roleAssignments"] + assignments,
    }
    azure.local("PUT", "roles", together)


def refused(answer: httpx.Response) -> tuple[str, str]:
    assert answer.status_code == 403
    assert answer.headers["x-ms-failure-cause"] == "gateway"
    error = answer.json()["error"]
    return str(error["code"]), str(error["message"])


def operator(azure: Azure) -> dict[str, str]:
    """The headers of a service principal that is the operator."""
    return azure.headers_of(ids.OPERATOR_ID)


def test_an_action_that_no_role_grants_is_refused_and_named(azure: Azure) -> None:
    assert azure.send("GET", f"{VNETS}/hub-vnet").status_code == 200
    code, message = refused(azure.send("PUT", f"{VNETS}/v1", {"location": "eastus", "properties": SPACE}))
    assert code == "AuthorizationFailed"
    assert message == (
        f"The client '{ids.PRINCIPAL_ID}' with object id '{ids.PRINCIPAL_ID}' does not have authorization to perform "
        f"action 'Microsoft.Network/virtualNetworks/write' over scope '{VNETS}/v1' or the scope is invalid. If access "
        "was recently granted, please refresh your credentials."
    )
    assert "v1" not in azure.names()
    code, message = refused(azure.send("GET", f"{SUB}/providers/Microsoft.Authorization/locks", version="2020-05-01"))
    assert code == "AuthorizationFailed"
    assert f"'Microsoft.Authorization/locks/read' over scope '{SUB}'" in message


def test_who_may_not_read_permissions_is_not_told_what_is_missing(azure: Azure) -> None:
    code, _ = refused(azure.send("DELETE", f"{VNETS}/no-such-vnet"))
    assert code == "AuthorizationFailed"
    assert azure.send("GET", f"{VNETS}/no-such-vnet").status_code == 404


def test_what_a_body_names_needs_a_right_over_that(azure: Azure) -> None:
    enforce(azure, role("build", "Microsoft.Network/*/write"), assigned("build", HUB))
    group = f"{HUB}/providers/Microsoft.Network/networkSecurityGroups/g"
    assert azure.send("PUT", group, {"location": "eastus"}).status_code == 201
    azure.advance(60)
    subnet = {"name": "s", "properties": {"addressPrefix": "10.11.1.0/26", "networkSecurityGroup": {"id": group}}}
    peering = {"name": "p", "properties": {"remoteVirtualNetwork": {"id": f"{VNETS}/hub-vnet"}}}
    body = {"location": "eastus", "properties": SPACE | {"subnets": [subnet], "virtualNetworkPeerings": [peering]}}
    code, message = refused(azure.send("PUT", f"{VNETS}/v1", body))
    assert code == "LinkedAuthorizationFailed"
    assert message == (
        f"The client '{ids.PRINCIPAL_ID}' with object id '{ids.PRINCIPAL_ID}' has permission to perform action "
        f"'Microsoft.Network/virtualNetworks/write' on scope '{VNETS}/v1'; however, it does not have permission to "
        "perform action(s) 'Microsoft.Network/networkSecurityGroups/join/action,Microsoft.Network/virtualNetworks/peer/"
        f"action' on the linked scope(s) '{group},{VNETS}/hub-vnet' (respectively) or the linked scope(s) are invalid."
    )
    joins = role("join", "Microsoft.Network/networkSecurityGroups/join/action", "Microsoft.Network/*/peer/action")
    build = (role("build", "Microsoft.Network/*/write"), assigned("build", HUB))
    enforce(azure, *build, joins, assigned("join", group), assigned("join", f"{VNETS}/hub-vnet"))
    assert azure.send("PUT", f"{VNETS}/v1", body).status_code == 201


def test_an_assignment_goes_with_what_it_was_made_on(azure: Azure) -> None:
    build, deleting = role("build", "*/write"), role("delete", "Microsoft.Network/*")
    enforce(azure, build, assigned("build", HUB), deleting, assigned("delete", f"{VNETS}/v1"))
    body = {"location": "eastus", "properties": SPACE}
    assert azure.send("PUT", f"{VNETS}/v1", body).status_code == 201
    azure.advance(60)
    assert azure.send("DELETE", f"{VNETS}/v1").status_code == 202
    azure.advance(60)
    code, _ = refused(azure.send("DELETE", f"{VNETS}/v1"))
    assert code == "AuthorizationFailed"


def test_the_operator_may_do_what_the_app_may_not(azure: Azure) -> None:
    body = {"location": "eastus", "properties": SPACE}
    assert azure.send("PUT", f"{VNETS}/v1", body, headers=operator(azure)).status_code == 201
    code, message = refused(azure.send("GET", f"{VNETS}/v1", headers=azure.headers_of("another-id")))
    assert code == "AuthorizationFailed"
    assert message.startswith("The client 'another-id' with object id 'another-id' does not have")


def test_the_list_of_subscriptions_holds_those_with_a_role(azure: Azure) -> None:
    def listed(principal: str) -> int:
        answer = azure.send("GET", "/subscriptions", version="2022-12-01", headers=azure.headers_of(principal))
        return len(answer.raise_for_status().json()["value"])

    assert (listed(ids.PRINCIPAL_ID), listed(ids.OPERATOR_ID), listed("another-id")) == (1, 1, 0)


def test_the_journal_names_the_caller_and_what_the_call_needed(azure: Azure) -> None:
    azure.local("DELETE", "requests")
    document = azure.send("GET", GATEWAY).json()
    azure.send("PUT", GATEWAY, document, headers=operator(azure))
    azure.send("PUT", GATEWAY, document)
    first, second, third = azure.journal()
    assert (first["principal"], second["principal"]) == (ids.PRINCIPAL_ID, ids.OPERATOR_ID)
    assert first["needs"] == [{"action": "Microsoft.Network/applicationGateways/read", "scope": GATEWAY}]
    assert [each["action"].removeprefix("Microsoft.Network/") for each in second["needs"]] == [
        "applicationGateways/write",
        "virtualNetworks/subnets/join/action",
        "publicIPAddresses/join/action",
    ]
    assert third["needs"] == [{"action": "Microsoft.Network/applicationGateways/write", "scope": GATEWAY}]


def test_roles_of_the_start_come_back(azure: Azure) -> None:
    path, body = f"{VNETS}/v1", {"location": "eastus", "properties": SPACE}
    enforce(azure, role("all", "*"), assigned("all", SUB))
    assert azure.send("PUT", path, body).status_code == 201
    azure.local("DELETE", "roles")
    assert azure.send("PUT", path, body).status_code == 403
    enforce(azure, role("all", "*"), assigned("all", SUB))
    azure.local("POST", "reset")
    assert azure.send("PUT", path, body).status_code == 403


def test_documents_that_are_no_roles_change_nothing(azure: Azure) -> None:
    before = azure.local("GET", "roles")
    answer = azure.http.put("/_local/roles", json={"roleAssignments": [{"id": "/x", "properties": {}}]})
    assert answer.status_code == 400
    assert azure.local("GET", "roles") == before


def test_a_body_that_is_no_json_is_refused_before_its_links(azure: Azure) -> None:
    headers = operator(azure) | {"Content-Type": "application/json"}
    answer = azure.http.put(f"{VNETS}/v1?api-version={NETWORK_VERSION}", content=b"{", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "InvalidRequestContent")
