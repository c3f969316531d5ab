"""The rights of the app's identity: each call has one, each one has a call, and what the app says without it.

The roles are those of `infra/roles`. The local Azure notes for every call which rights it needs, and refuses what no role
grants; a right that is taken away shows what the app makes of the refusal.
"""

import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from local.app_roles import ROLES, app_roles, scopes
from local.azure import ids
from local.azure.hub import Hub
from shared.spoke.records import StepRow
from shared.tables.records import Records
from tests.app import forget_app
from tests.faults.catalogue import DELETE, DEPLOY, calls_of
from tests.faults.conftest import NewSimulation, SimulationAt
from tests.faults.simulation import Simulation
from tests.faults.wire import Fault

SPOKES = "spokes-rg"
POLICY = "ApplicationGatewayWebApplicationFirewallPolicies"
Document = dict[str, Any]
DELETE_HUB_SIDE = "write_hub_side: DELETE virtualNetworks/hub-vnet/virtualNetworkPeerings/{hub side}"
SetOutbound = Callable[[Simulation, str, str], None]


@pytest.fixture
def set_outbound(monkeypatch: pytest.MonkeyPatch) -> Iterator[SetOutbound]:
    """Sets SPOKE_OUTBOUND to a NAT gateway (`nat`) or a route table (`route`) that is there."""

    def set_to(simulation: Simulation, kind: str, group: str) -> None:
        types = {"nat": "natGateways", "route": "routeTables"}
        resource = simulation.azure.id_of(group, f"Microsoft.Network/{types[kind]}", "outbound")
        simulation.azure.plant({"id": resource, "location": "eastus", "properties": {}})
        monkeypatch.setenv("SPOKE_OUTBOUND", f"{kind}:{resource}")
        forget_app()

    yield set_to
    monkeypatch.undo()
    forget_app()


def give_the_gateway_a_policy_and_an_identity(simulation: Simulation) -> None:
    policy = simulation.resource(POLICY, "waf")
    identity = f"{policy.partition('/providers/')[0]}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/agw"
    gateway = simulation.azure.find(simulation.resource("applicationGateways", "hub-agw"))
    assert gateway is not None
    gateway["properties"] |= {
        "sku": {"name": "WAF_v2", "tier": "WAF_v2"},
        "firewallPolicy": {"id": policy},
    }
    gateway["identity"] = {"type": "UserAssigned", "userAssignedIdentities": {identity: {}}}
    managed = {"managedRuleSets": [{"ruleSetType": "OWASP", "ruleSetVersion": "3.2"}]}
    simulation.azure.plant(
        {"id": policy, "location": "eastus", "properties": {"managedRules": managed}},
        gateway,
    )


def give_the_hub_a_vpn_gateway(simulation: Simulation) -> None:
    subnet = f"{simulation.resource('virtualNetworks', 'hub-vnet')}/subnets/GatewaySubnet"
    vpn = simulation.resource("virtualNetworkGateways", "vpn")
    inside = [{"name": "default", "properties": {"subnet": {"id": subnet}}}]
    used = [{"id": f"{vpn}/ipConfigurations/default"}]
    simulation.azure.plant(
        {"id": vpn, "location": "eastus", "properties": {"gatewayType": "Vpn", "ipConfigurations": inside}},
        {"id": subnet, "properties": {"addressPrefix": "10.0.3.0/27", "ipConfigurations": used}},
    )


# --- each call has a right, each right has a call


def granted() -> set[tuple[str, str]]:
    """Every action of the role files, with the kind of its scope, but those for which the file says why none calls it."""
    found = set()
    for path in ROLES.glob("*.json"):
        role = json.loads(path.read_text(encoding="utf-8"))
        found |= {(role["assignableScope"], each["action"]) for each in role["actions"] if "withoutCall" not in each}
    return found


def test_every_right_is_needed_by_a_call_and_no_call_needs_another(
    new_simulation: NewSimulation, set_outbound: SetOutbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the spokes in a group of their own, so that no role stands in for another."""
    simulation = new_simulation()
    monkeypatch.setenv("SPOKE_RESOURCE_GROUP", SPOKES)
    at = scopes((Hub(spoke_group=SPOKES),))
    simulation.azure.plant({"id": at["spokeGroup"][0], "location": "eastus", "properties": {}})
    give_the_gateway_a_policy_and_an_identity(simulation)
    give_the_hub_a_vpn_gateway(simulation)
    simulation.azure.enforce(app_roles(at))
    simulation.azure.forget_requests()
    set_outbound(simulation, "nat", SPOKES)
    simulation.deploy(2)
    simulation.until_pending("create_nic")  # its subnets are there, with the NAT gateway
    set_outbound(simulation, "route", SPOKES)
    run = simulation.deploy(1)
    simulation.until_ended(run)
    assert simulation.run_row(run).status == "completed"
    # One delete leaves the peering behind: what is left is looked up.
    run = simulation.delete(1, Fault(DELETE_HUB_SIDE, {"mode": "refuse", "status": 400}))
    simulation.until_ended(run)
    assert simulation.run_row(run).status == "rollback_failed"
    run = simulation.retry(1)
    simulation.until_ended(run)
    assert simulation.run_row(run).status == "deleted"

    calls = [each for each in simulation.azure.requests() if each["principal"] == ids.PRINCIPAL_ID]
    assert {each["path"] for each in calls if each["status"] == 403} == set()
    needed = [(need["action"].lower(), need["scope"].lower()) for each in calls for need in each["needs"]]
    without_call = {
        (kind, action)
        for kind, action in granted()
        if not any(
            action.lower() == other and (scope + "/").startswith(f"{each}/".lower())
            for other, scope in needed
            for each in at[kind]
        )
    }
    assert without_call == set()


# --- what the app says without a right


@dataclass(frozen=True)
class Without:
    """One right that is missing when an activity is about to be called for the first time, and what the app makes of it:
    `fails` (a step), `warns` (validate_config goes on), `waits` (the gateway's writer is blocked), `logs` (and goes on).

    by: the step whose record says so."""

    action: str
    at: str
    makes: str
    by: str
    story: str = "deploy"
    prepare: str = ""


def _of_steps() -> Iterator[Without]:
    """What a step reads and writes, and what its undo deletes: the step fails."""
    for story, matrix, verbs in (
        ("deploy", DEPLOY, {"GET": "read", "PUT": "write"}),
        ("delete", DELETE, {"DELETE": "delete"}),
    ):
        for call in calls_of(matrix):
            found = re.match(r"(create_\w+|delete_\w+): (\w+) (\w+)/\{\w+\}$", call)
            if found and found[2] in verbs:
                provider = "Compute" if found[3] in ("virtualMachines", "disks") else "Network"
                yield Without(f"Microsoft.{provider}/{found[3]}/{verbs[found[2]]}", found[1], "fails", found[1], story)


_CHECK = "validate_config"
_LISTED = (
    Without("Microsoft.Resources/subscriptions/resourceGroups/read", _CHECK, "fails", _CHECK),
    Without("Microsoft.Network/virtualNetworks/read", _CHECK, "fails", _CHECK),
    Without("Microsoft.Network/applicationGateways/read", _CHECK, "fails", _CHECK),
    Without("Microsoft.Resources/subscriptions/resources/read", _CHECK, "warns", _CHECK),
    Without("Microsoft.Authorization/locks/read", _CHECK, "warns", _CHECK),
    Without("Microsoft.Authorization/permissions/read", _CHECK, "warns", _CHECK),
    Without("Microsoft.Compute/skus/read", _CHECK, "warns", _CHECK),
    Without("Microsoft.Compute/locations/usages/read", _CHECK, "warns", _CHECK),
    Without("Microsoft.Network/networkSecurityGroups/read", _CHECK, "warns", _CHECK),
    Without("Microsoft.Network/routeTables/read", _CHECK, "warns", _CHECK),
    Without("Microsoft.Network/natGateways/read", _CHECK, "warns", _CHECK, prepare="nat"),
    Without(f"Microsoft.Network/{POLICY}/read", _CHECK, "warns", _CHECK, prepare="policy"),
    Without("Microsoft.Network/virtualNetworkGateways/read", _CHECK, "warns", _CHECK, prepare="vpn"),
    Without("Microsoft.Network/networkSecurityGroups/join/action", "create_subnets", "fails", "create_subnets"),
    Without("Microsoft.Network/natGateways/join/action", "create_subnets", "fails", "create_subnets", prepare="nat"),
    Without("Microsoft.Network/routeTables/join/action", "create_subnets", "fails", "create_subnets", prepare="route"),
    Without("Microsoft.Network/virtualNetworks/subnets/join/action", "create_nic", "fails", "create_nic"),
    Without("Microsoft.Network/networkInterfaces/join/action", "create_vm", "fails", "create_vm"),
    Without(
        "Microsoft.Network/virtualNetworks/virtualNetworkPeerings/write", "write_hub_side", "fails", "create_peering"
    ),
    Without("Microsoft.Network/virtualNetworks/peer/action", "write_hub_side", "fails", "create_peering"),
    Without("Microsoft.Network/applicationGateways/write", "gateway_round", "waits", "update_agw"),
    Without("Microsoft.Network/publicIPAddresses/join/action", "gateway_round", "waits", "update_agw"),
    Without(f"Microsoft.Network/{POLICY}/join/action", "gateway_round", "waits", "update_agw", prepare="policy"),
    Without(
        "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
        "gateway_round",
        "waits",
        "update_agw",
        prepare="policy",
    ),
    Without(
        "Microsoft.Network/virtualNetworks/virtualNetworkPeerings/read",
        "write_hub_side",
        "fails",
        "delete_peering",
        "delete",
    ),
    Without(
        "Microsoft.Network/virtualNetworks/virtualNetworkPeerings/delete",
        "write_hub_side",
        "fails",
        "delete_peering",
        "delete",
    ),
    Without("Microsoft.Network/locations/operations/read", "create_vnet", "logs", "create_vnet"),
    Without("Microsoft.Compute/locations/operations/read", "create_vm", "logs", "create_vm"),
    Without("Microsoft.Compute/locations/diskOperations/read", "delete_os_disk", "logs", "delete_os_disk", "delete"),
)
# Each right at the first call that lacks it; what is listed meets it earlier than a step, or in another way.
MISSING = tuple({each.action: each for each in (*reversed([*_of_steps()]), *_LISTED)}.values())
# In the ordinary run one for each step and each thing that the app makes of it: the others are refused to the same code.
_ORDINARY = {(each.by, each.makes): each for each in MISSING}.values()


def test_each_right_is_taken_away_once() -> None:
    assert len({each.action for each in _LISTED}) == len(_LISTED)
    differ = {each.action for each in MISSING} ^ {action for _, action in granted()}
    assert not differ, f"infra/roles and the calls of tests/faults/catalogue.py differ in {sorted(differ)}"


@pytest.mark.parametrize(
    "without",
    [pytest.param(each, marks=[] if each in _ORDINARY else [pytest.mark.full]) for each in MISSING],
    ids=lambda without: without.action.removeprefix("Microsoft."),
)
def test_without_a_right_the_app_names_it(
    simulation_at: SimulationAt, set_outbound: SetOutbound, caplog: pytest.LogCaptureFixture, without: Without
) -> None:
    simulation = simulation_at(without.story, without.at)
    if without.prepare in ("nat", "route"):
        set_outbound(simulation, without.prepare, "hub-rg")
    elif without.prepare == "policy":
        give_the_gateway_a_policy_and_an_identity(simulation)
    elif without.prepare == "vpn":
        give_the_hub_a_vpn_gateway(simulation)
    simulation.azure.forget_requests()
    simulation.azure.take(without.action)
    run = simulation.take_up()

    def step() -> StepRow | None:
        return next((each for each in Records().steps(run) if each.step_name == without.by), None)

    def said() -> str:
        found = step()
        return (found.message if found else "").lower()

    with caplog.at_level(logging.WARNING):
        if without.makes == "logs":
            simulation.until_recorded(lambda: (found := step()) is not None and found.status == "completed")
        else:
            simulation.until_recorded(lambda: without.action.lower() in said())
    found = step()
    assert found is not None
    message = caplog.text if without.makes == "logs" else found.message
    # Checks read side by side, and one right can be missing for several of them.
    refusals = [
        (each, need)
        for each in simulation.azure.requests()
        if each["status"] == 403
        for need in each["needs"]
        if need["action"].lower() == without.action.lower() and f"'{need['scope']}'" in message
    ]
    # The checks name a missing right before a call is refused for it.
    if not refusals and f"lacks {without.action} over ".lower() in message.lower():
        assert found.status == "failed"
        return
    assert refusals, message
    refused, named = refusals[0]
    error = refused["response"]["error"]
    linked = named != refused["needs"][0]
    assert error["code"] == ("LinkedAuthorizationFailed" if linked else "AuthorizationFailed")
    assert named["action"] in error["message"]
    expected = {"fails": "failed", "waits": "in_progress"}.get(without.makes, "completed")
    assert found.status == expected
    if without.makes == "fails" and without.story == "deploy":
        simulation.until_recorded(lambda: simulation.run_row(run).error is not None)
        told = simulation.run_row(run).error
        assert told is not None
        assert told["details"]["code"] == error["code"]
        hint = f"Grant the app's identity {named['action']} over {named['scope']};"
        assert hint in told["details"]["hint"]
