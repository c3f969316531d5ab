"""Rights that the app's identity lacks are named before a call is refused: by the plan, validate_config and /health.

The local Azure enforces the roles of `infra/roles` and lists them at `…/Microsoft.Authorization/permissions`.
"""

import asyncio
from typing import Any

import pytest

from activities.steps.validate import validate_config
from local.app_roles import app_roles, scopes
from local.azure.hub import Hub
from shared.arm.client import arm
from shared.checks.findings import Finding
from shared.checks.preflight import plan_report
from shared.checks.roles import app_rights
from shared.checks.snapshot import read_rights
from shared.checks.subjects.rights import named_by_gateway, needed_rights, rights_findings
from shared.settings import Settings
from tests.activities.azure_stand_in import LocalAzure, a_plan, a_run, call_of, recorded
from tests.app import forget_app

READ_PERMISSIONS = "Microsoft.Authorization/permissions/read"
SPOKES = "spokes-rg"
NETWORK = "Microsoft.Network"
POLICY = f"{NETWORK}/ApplicationGatewayWebApplicationFirewallPolicies"


@pytest.fixture
def roles(azure: LocalAzure, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The app's roles, on a hub whose gateway names something of every kind, and with spokes in a group of their own."""
    at = scopes((Hub(spoke_group=SPOKES),))
    azure.plant({"id": at["spokeGroup"][0], "location": "eastus", "properties": {}})
    policy, identity, outbound = (
        azure.id_of(group, kind, "a")
        for group, kind in (
            ("hub-rg", POLICY),
            ("hub-rg", "Microsoft.ManagedIdentity/userAssignedIdentities"),
            (SPOKES, f"{NETWORK}/natGateways"),
        )
    )
    gateway = azure.find(arm().ids.gateway)
    assert gateway is not None
    sku = {"name": "WAF_v2", "tier": "WAF_v2"}
    gateway["properties"] |= {"sku": sku, "firewallPolicy": {"id": policy}}
    gateway["identity"] = {"type": "UserAssigned", "userAssignedIdentities": {identity: {}}}
    linked = (policy, identity, outbound)
    azure.plant(gateway, *({"id": each, "location": "eastus", "properties": {}} for each in linked))
    routes = azure.id_of("hub-rg", f"{NETWORK}/routeTables", "agw-routes")
    azure.put_on_gateway_subnet("routeTable", {"id": routes, "location": "eastus", "properties": {}})
    monkeypatch.setenv("SPOKE_RESOURCE_GROUP", SPOKES)
    monkeypatch.setenv("SPOKE_OUTBOUND", f"nat:{outbound}")
    forget_app()
    return app_roles(at)


def without(roles: dict[str, Any], *actions: str) -> dict[str, Any]:
    """These roles, none of which has one of the actions."""
    definitions = []
    for definition in roles["roleDefinitions"]:
        (permission,) = definition["properties"]["permissions"]
        permissions = [permission | {"actions": [each for each in permission["actions"] if each not in actions]}]
        definitions.append(definition | {"properties": definition["properties"] | {"permissions": permissions}})
    return roles | {"roleDefinitions": definitions}


def found_now() -> list[Finding]:
    return rights_findings(*read_rights(arm()))


def missing_in(findings: list[Finding]) -> set[tuple[str, str]]:
    return {(each["action"], each["scope"]) for finding in findings for each in finding.details.get("missing", ())}


def test_nothing_is_missing_with_the_roles_of_the_files(azure: LocalAzure, roles: dict[str, Any]) -> None:
    azure.enforce(roles)
    assert found_now() == []


ACTIONS = list(dict.fromkeys(right.action for right in app_rights()))
# Without a right to read, the plan's own look is refused: what else is missing can't be told then.
READS = [action for action in ACTIONS if action.endswith("/read")]
ACTS = [action for action in ACTIONS if action not in READS]


def test_each_right_that_is_taken_away_is_named_with_its_scope(azure: LocalAzure, roles: dict[str, Any]) -> None:
    """By /health and by the plan; where the plan reads with the right, Azure's refusal names it."""
    for actions in (ACTS, *([action] for action in READS)):
        is_named_with_its_scope(azure, without(roles, *actions), actions)


@pytest.mark.full
def test_each_right_to_act_that_alone_is_taken_away_is_named(azure: LocalAzure, roles: dict[str, Any]) -> None:
    for action in ACTS:
        is_named_with_its_scope(azure, without(roles, action), [action])


def is_named_with_its_scope(azure: LocalAzure, roles: dict[str, Any], actions: list[str]) -> None:
    azure.enforce(roles)
    lacking = missing_in(found_now())
    checks = plan_report(a_plan(resource_group=SPOKES), arm().settings).checks
    told = " ".join(f"{each['message']} {each['hint']}" for check in checks for each in check["findings"]).lower()
    if actions == [READ_PERMISSIONS]:  # then it can't be said what is missing, but for this one
        assert lacking == set()
        assert f"{READ_PERMISSIONS}' over scope".lower() in told
        return
    assert {action for action, _ in lacking} == set(actions)
    for action, scope in lacking:
        assert f"{action} over {scope}".lower() in told, (action, scope)


def test_what_stops_a_deployment_is_an_error_and_the_rest_a_warning(azure: LocalAzure, roles: dict[str, Any]) -> None:
    severities = {}
    for action in (
        "Microsoft.Compute/virtualMachines/delete",
        f"{NETWORK}/virtualNetworks/virtualNetworkPeerings/delete",
        f"{POLICY}/join/action",
        f"{NETWORK}/natGateways/join/action",
        f"{NETWORK}/routeTables/join/action",
        "Microsoft.Authorization/locks/read",
        f"{NETWORK}/publicIPAddresses/read",
    ):
        azure.enforce(without(roles, action))
        found, *_ = found_now()
        severities[action.rpartition(".")[2]] = (
            found.severity,
            found.details["missing"][0]["scope"].rpartition("/")[2],
        )
    assert severities == {
        "Compute/virtualMachines/delete": ("error", SPOKES),
        "Network/virtualNetworks/virtualNetworkPeerings/delete": ("error", "hub-vnet"),
        f"{POLICY.rpartition('.')[2]}/join/action": ("error", "a"),
        "Network/natGateways/join/action": ("error", "a"),
        "Network/routeTables/join/action": ("warning", SPOKES),
        "Authorization/locks/read": ("warning", arm().settings.subscription_id),
        "Network/publicIPAddresses/read": ("warning", "hub-agw-pip"),
    }


def test_a_deployment_stops_before_it_builds_anything(azure: LocalAzure, roles: dict[str, Any]) -> None:
    azure.enforce(without(roles, f"{NETWORK}/networkInterfaces/write"))
    run = recorded(a_run(a_plan(resource_group=SPOKES)))
    outcome: dict[str, Any] = asyncio.run(validate_config(call_of(run, "validate_config")))
    assert outcome["failure"]["code"] == "PermissionMissing"
    (finding,) = (each for each in outcome["failure"]["details"]["findings"] if each["severity"] == "error")
    lacking = {"action": f"{NETWORK}/networkInterfaces/write", "scope": arm().ids.spoke_group}
    assert finding["details"] == {"missing": [lacking]}
    azure.enforce(roles)
    assert plan_report(a_plan(resource_group=SPOKES), arm().settings).would_succeed


def test_without_the_right_to_ask_it_is_said_and_the_first_refusal_counts(
    azure: LocalAzure, roles: dict[str, Any]
) -> None:
    azure.enforce(without(roles, READ_PERMISSIONS))
    found = found_now()
    assert {finding.severity for finding in found} == {"warning"}
    assert all("can't be told" in finding.message for finding in found)
    run = recorded(a_run(a_plan(resource_group=SPOKES)))
    assert asyncio.run(validate_config(call_of(run, "validate_config")))["outcome"] == "done"


def test_the_gateways_role_on_the_gateway_and_what_it_names_is_enough(azure: LocalAzure, roles: dict[str, Any]) -> None:
    """As a deployment with a list of these assigns it, and not on the hub's group."""
    named = [arm().ids.gateway, *(each.scope for each in asked_of_gateway())]
    given = next(
        each for each in roles["roleAssignments"] if each["properties"]["roleDefinitionId"].endswith("gateway")
    )
    others = [each for each in roles["roleAssignments"] if each is not given]
    anew = [
        {
            "id": f"{scope}/providers/Microsoft.Authorization/roleAssignments/g",
            "properties": given["properties"] | {"scope": scope},
        }
        for scope in dict.fromkeys(named)
    ]
    azure.enforce(roles | {"roleAssignments": others + anew})
    assert found_now() == []
    azure.enforce(roles | {"roleAssignments": others + anew[:-1]})
    assert [finding.resource for finding in found_now()] == [anew[-1]["properties"]["scope"]]


def asked_of_gateway() -> list[Any]:
    named = named_by_gateway(arm().get(arm().ids.hub_vnet), arm().get(arm().ids.gateway))
    ours = [right for right in app_rights() if right.at == "gateway"]
    return needed_rights(ours, arm().ids, named)


def test_azures_own_roles_grant_all_of_it(azure: LocalAzure, roles: dict[str, Any]) -> None:
    """`customRoles=false` assigns these."""
    built_in = {
        "subscription": ["acdd72a7-3385-48ef-bd42-f606fba81ae7"],
        "hub-vnet": ["4d97b98b-1d4f-4787-a291-c67834d212e7"],
        "gateway": ["4d97b98b-1d4f-4787-a291-c67834d212e7", "f1a07417-d97a-45cb-824c-7a7467783830"],
        "spoke-group": ["4d97b98b-1d4f-4787-a291-c67834d212e7", "9980e02c-c2be-4d73-94e8-173b1dc7cf3c"],
    }
    assignments = [
        each | {"id": f"{each['id']}-{number}", "properties": each["properties"] | {"roleDefinitionId": f"/{guid}"}}
        for each in roles["roleAssignments"]
        for number, guid in enumerate(built_in[each["properties"]["roleDefinitionId"].rpartition("/")[2]])
    ]
    azure.enforce({"roleAssignments": assignments})
    assert found_now() == []
