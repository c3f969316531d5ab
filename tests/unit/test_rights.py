"""Which rights a request needs in the local Azure, and which roles grant them."""

import json
from pathlib import Path

import pytest

from local.azure import actions, ids
from local.azure.actions import Right, needed
from local.azure.rights import Roles, RolesError, parsed, read

SUB = "/subscriptions/s"
GROUP = f"{SUB}/resourceGroups/g"
NET = f"{GROUP}/providers/Microsoft.Network"
VNET = f"{NET}/virtualNetworks/v"


@pytest.mark.parametrize(
    ("request_line", "action", "scope"),
    [
        ("GET /subscriptions/s", "Microsoft.Resources/subscriptions/read", SUB),
        ("GET /subscriptions/s/locations", "Microsoft.Resources/subscriptions/locations/read", SUB),
        ("GET /subscriptions/s/resources", "Microsoft.Resources/subscriptions/resources/read", SUB),
        (f"GET {GROUP}/resources", "Microsoft.Resources/subscriptions/resourceGroups/resources/read", GROUP),
        ("GET /subscriptions/s/resourceGroups", "Microsoft.Resources/subscriptions/resourceGroups/read", SUB),
        (f"HEAD {GROUP}", "Microsoft.Resources/subscriptions/resourceGroups/read", GROUP),
        (f"DELETE {GROUP}", "Microsoft.Resources/subscriptions/resourceGroups/delete", GROUP),
        ("GET /subscriptions/s/providers", "Microsoft.Resources/subscriptions/providers/read", SUB),
        ("GET /subscriptions/s/providers/Microsoft.Compute", "Microsoft.Resources/subscriptions/providers/read", SUB),
        ("GET /subscriptions/s/providers/Microsoft.Compute/skus", "Microsoft.Compute/skus/read", SUB),
        (
            "GET /subscriptions/s/providers/Microsoft.Compute/locations/eastus/usages",
            "Microsoft.Compute/locations/usages/read",
            "/subscriptions/s/providers/Microsoft.Compute/locations/eastus",
        ),
        (
            "GET /subscriptions/s/providers/Microsoft.Network/locations/eastus/operations/1",
            "Microsoft.Network/locations/operations/read",
            "/subscriptions/s/providers/Microsoft.Network/locations/eastus/operations/1",
        ),
        (f"GET {SUB}/providers/Microsoft.Network/virtualNetworks", "Microsoft.Network/virtualNetworks/read", SUB),
        (f"GET {NET}/virtualNetworks", "Microsoft.Network/virtualNetworks/read", f"{NET}/virtualNetworks"),
        (f"PATCH {VNET}", "Microsoft.Network/virtualNetworks/write", VNET),
        (f"PUT {VNET}/subnets/a", "Microsoft.Network/virtualNetworks/subnets/write", f"{VNET}/subnets/a"),
        (f"GET {VNET}/subnets", "Microsoft.Network/virtualNetworks/subnets/read", VNET),
        (f"GET {VNET}/providers/Microsoft.Authorization/locks", "Microsoft.Authorization/locks/read", VNET),
        (f"GET {SUB}/providers/Microsoft.Authorization/locks", "Microsoft.Authorization/locks/read", SUB),
        (
            f"POST {NET}/applicationGateways/a/backendhealth",
            "Microsoft.Network/applicationGateways/backendhealth/action",
            f"{NET}/applicationGateways/a",
        ),
        (
            f"GET {GROUP}/providers//Microsoft.Compute/virtualMachines/m/instanceView",
            "Microsoft.Compute/virtualMachines/instanceView/read",
            f"{GROUP}/providers/Microsoft.Compute/virtualMachines/m",
        ),
    ],
)
def test_a_request_needs_a_right_over_what_its_path_names(request_line: str, action: str, scope: str) -> None:
    assert needed(*request_line.split()) == Right(action, scope)


@pytest.mark.parametrize("path", ["/subscriptions", "/tenants", "/providers", "/"])
def test_lists_of_what_the_caller_may_see_need_none(path: str) -> None:
    assert needed("GET", path) is None


def linked(kind: str, body: object) -> list[tuple[str, str]]:
    links = actions.links_of(Right(f"{kind}/write", "/x"))
    return [(each.action.removeprefix("Microsoft."), each.scope) for each in actions.linked(links, body)]


def test_what_a_body_names_needs_a_right_of_its_own() -> None:
    subnet = {"properties": {"networkSecurityGroup": {"id": "/nsg"}, "natGateway": {"id": "/nat"}}}
    other = {"properties": {"networkSecurityGroup": {"id": "/NSG"}, "routeTable": {"id": "/rt"}}}
    assert linked("Microsoft.Network/virtualNetworks", {"properties": {"subnets": [subnet, other]}}) == [
        ("Network/networkSecurityGroups/join/action", "/nsg"),
        ("Network/routeTables/join/action", "/rt"),
        ("Network/natGateways/join/action", "/nat"),
    ]
    remote = {"properties": {"remoteVirtualNetwork": {"id": "/hub"}}}
    assert linked("microsoft.network/virtualnetworks/VirtualNetworkPeerings", remote) == [
        ("Network/virtualNetworks/peer/action", "/hub")
    ]
    gateway = {
        "identity": {"type": "UserAssigned", "userAssignedIdentities": {"/me": {}}},
        "properties": {
            "gatewayIPConfigurations": [{"properties": {"subnet": {"id": "/subnet"}}}],
            "frontendIPConfigurations": [{"properties": {"publicIPAddress": {"id": "/pip"}}}],
            "httpListeners": [{"properties": {"firewallPolicy": {"id": "/waf"}}}, {"properties": {}}],
        },
    }
    assert linked("Microsoft.Network/applicationGateways", gateway) == [
        ("Network/virtualNetworks/subnets/join/action", "/subnet"),
        ("Network/publicIPAddresses/join/action", "/pip"),
        ("Network/ApplicationGatewayWebApplicationFirewallPolicies/join/action", "/waf"),
        ("ManagedIdentity/userAssignedIdentities/assign/action", "/me"),
    ]


@pytest.mark.parametrize(
    "body", [None, [], {"properties": []}, {"properties": {"subnets": {"a": 1}}}, {"PROPERTIES": 3}]
)
def test_a_body_of_another_shape_names_nothing(body: object) -> None:
    assert linked("Microsoft.Network/virtualNetworks", body) == []


def roles(*granted: str, but: tuple[str, ...] = (), scope: str = GROUP) -> Roles:
    properties = {"roleName": "r", "permissions": [{"actions": [*granted], "notActions": [*but]}]}
    assignment = {"roleDefinitionId": "/x/roleDefinitions/R1", "principalId": "ME", "scope": scope}
    return parsed(
        {
            "roleDefinitions": [{"id": "/x/roleDefinitions/r1", "name": "r1", "properties": properties}],
            "roleAssignments": [{"id": f"{scope}/roleAssignments/a1", "properties": assignment}],
        }
    )


@pytest.mark.parametrize(
    ("granted", "action", "allowed"),
    [
        ("Microsoft.Network/virtualNetworks/read", "microsoft.network/VIRTUALNETWORKS/Read", True),
        ("Microsoft.Network/virtualNetworks/read", "Microsoft.Network/virtualNetworks/subnets/read", False),
        ("Microsoft.Network/*/read", "Microsoft.Network/virtualNetworks/subnets/read", True),
        ("Microsoft.Network/*/read", "Microsoft.Network/virtualNetworks/write", False),
        ("*/read", "Microsoft.Compute/skus/read", True),
        ("Microsoft.Network/virtualNetworks/*", "Microsoft.Network/virtualNetworks/peer/action", True),
        ("Microsoft.Network/virtualNetworks/*", "Microsoft.Network/virtualNetworksX/read", False),
        ("Microsoft.Network/virtual.etworks/read", "Microsoft.Network/virtualNetworks/read", False),
        ("*", "Anything/at/all", True),
    ],
)
def test_a_star_stands_for_any_text_and_letter_case_for_nothing(granted: str, action: str, allowed: bool) -> None:
    assert bool(roles(granted).granting("me", Right(action, VNET))) is allowed


def test_what_is_in_not_actions_is_not_granted_by_that_role() -> None:
    some = roles("Microsoft.Network/*", but=("Microsoft.Network/*/delete",))
    assert some.granting("me", Right("Microsoft.Network/virtualNetworks/write", VNET))
    assert not some.granting("me", Right("Microsoft.Network/virtualNetworks/delete", VNET))


@pytest.mark.parametrize(
    ("scope", "asked", "allowed"),
    [
        (GROUP, GROUP.upper(), True),
        (GROUP, VNET, True),
        (GROUP, f"{GROUP}2/providers/x/y/z", False),
        (VNET, GROUP, False),
        (SUB, VNET, True),
        ("/", VNET, True),
    ],
)
def test_an_assignment_holds_for_its_scope_and_what_lies_under_it(scope: str, asked: str, allowed: bool) -> None:
    right = Right("Microsoft.Network/virtualNetworks/read", asked)
    assert bool(roles("*", scope=scope).granting("Me", right)) is allowed
    assert not roles("*", scope=scope).granting("another", right)


def test_the_operator_may_do_everything() -> None:
    assert parsed({}).granting(ids.OPERATOR_ID, Right("Microsoft.Authorization/roleAssignments/write", SUB))


@pytest.mark.parametrize(
    "documents",
    [
        {"roleDefinitions": [{"name": "x"}]},
        {"roleAssignments": [{"id": "/a", "properties": {"principalId": "p"}}]},
        {"roleAssignments": [{"id": "/a", "properties": {"principalId": "p", "roleDefinitionId": "none"}}]},
        {"roleAssignments": [{"id": "/a", "properties": {"principalId": 3, "roleDefinitionId": "none"}}]},
        {"roleDefinitions": 3},
    ],
)
def test_documents_that_are_no_roles_are_refused(documents: dict[str, object]) -> None:
    with pytest.raises(RolesError):
        parsed(documents)


def test_the_files_of_a_directory_count_together(tmp_path: Path) -> None:
    built_in = "/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7"
    for name in ("one", "two"):
        given = {"roleDefinitionId": built_in, "principalId": name, "scope": GROUP}
        assignment = {"id": f"{GROUP}/providers/Microsoft.Authorization/roleAssignments/{name}", "properties": given}
        (tmp_path / f"{name}.json").write_text(json.dumps({"roleAssignments": [assignment]}))
    together = parsed(read(tmp_path))
    for name in ("one", "two"):
        assert together.granting(name, Right("Microsoft.Network/virtualNetworks/read", VNET))
        assert not together.granting(name, Right("Microsoft.Network/virtualNetworks/write", VNET))
