"""The timer that brings security groups in line, against a stand-in of Azure and real tables."""

import asyncio
from functools import partial
from typing import Any

import pytest

from activities.steps.nsg import create_nsg
from activities.steps.vnet import create_subnets, create_vnet
from shared.arm.client import arm
from shared.recovery.rule_repair import repair_security_rules
from shared.settings import Settings, current_settings
from shared.spoke.records import RunRow
from shared.tables.records import Records
from tests.activities.azure_stand_in import LocalAzure, a_plan, a_run, call_of, recorded
from tests.activities.network import Network
from tests.app import forget_app

SPOKE = 1
THE_SPOKES_ROW = rf"/Spokes\(.*RowKey='spoke:{SPOKE}'"


@pytest.fixture(scope="module")
def played() -> list[RunRow]:
    """The run that made the spoke, once a test has played it."""
    return []


@pytest.fixture
def spoke(settings: Settings, azure: LocalAzure, played: list[RunRow]) -> RunRow:
    """A finished spoke: VNet, subnets and group as its steps make them."""
    if played:
        azure.restore("a finished spoke")
        return recorded(played[0])
    played.append(finished(azure))
    azure.save("a finished spoke")
    return played[0]


def finished(azure: LocalAzure) -> RunRow:
    run = recorded(a_run(a_plan(SPOKE)))
    for name, step in (("create_nsg", create_nsg), ("create_vnet", create_vnet), ("create_subnets", create_subnets)):
        for _ in range(3):
            if asyncio.run(step(call_of(run, name)))["outcome"] == "done":
                break
            azure.advance(30)
        else:
            raise AssertionError(name)
    done = recorded(Records().change_run(run, status="completed", task_hub=str(current_settings().task_hub)))
    azure.forget_requests()
    return done


def nsg_id(number: int = SPOKE) -> str:
    return arm().ids.nsg(f"spoke-nsg-{number}")


def group(number: int = SPOKE) -> dict[str, Any]:
    found = arm().get(nsg_id(number))
    assert found is not None
    return found


def rules(number: int = SPOKE) -> dict[str, dict[str, Any]]:
    return {each["name"]: each["properties"] for each in group(number)["properties"]["securityRules"]}


def edit(azure: LocalAzure, *, drop: str = "", add: dict[str, Any] | None = None, tags: Any = None) -> None:
    """An operator changes the group by hand."""
    body = group()
    held = [each for each in body["properties"]["securityRules"] if each["name"] != drop]
    body["properties"]["securityRules"] = [*held, *([add] if add else [])]
    arm().put(nsg_id(), {**body, "tags": body["tags"] if tags is None else tags})
    azure.advance(30)
    azure.forget_requests()


def a_rule(name: str, priority: int, direction: str = "Outbound") -> dict[str, Any]:
    ports = {"sourcePortRange": "*", "destinationPortRange": "443"}
    places = {"sourceAddressPrefix": "*", "destinationAddressPrefix": "Internet"}
    own = {"priority": priority, "direction": direction, "access": "Allow", "protocol": "Tcp"}
    return {"name": name, "properties": {**own, **ports, **places, "description": "theirs"}}


def puts(azure: LocalAzure) -> list[dict[str, Any]]:
    return [each for each in azure.requests("PUT") if "networkSecurityGroups" in each["path"]]


def test_a_group_in_line_costs_four_reads_and_no_write(spoke: RunRow, azure: LocalAzure) -> None:
    assert repair_security_rules() == []
    assert puts(azure) == []
    assert len([each for each in azure.requests("GET") if each["path"].startswith("/subscriptions")]) == 4


def test_an_old_group_is_brought_to_the_rules_of_now(
    spoke: RunRow, azure: LocalAzure, caplog: pytest.LogCaptureFixture
) -> None:
    edit(azure, drop="DenyConnectedOut", add=a_rule("TheirProxy", 300))
    before = group()
    assert repair_security_rules() == [SPOKE]
    (put,) = puts(azure)
    assert put["status"] == 200
    azure.advance(30)
    assert rules()["DenyConnectedOut"]["destinationAddressPrefix"] == "VirtualNetwork"
    assert rules()["TheirProxy"]["description"] == "theirs"
    assert group()["tags"] == before["tags"]
    assert "DenyConnectedOut added" in caplog.text
    run = Records().run(spoke.deployment_id)
    assert run is not None
    assert "DenyConnectedOut added" in (run.note or "")
    azure.forget_requests()
    assert repair_security_rules() == []
    assert puts(azure) == []


def test_the_group_follows_a_gateway_that_has_moved_and_a_hub_that_has_grown(spoke: RunRow, azure: LocalAzure) -> None:
    hub = arm().get(arm().ids.hub_vnet)
    assert hub is not None
    hub["properties"]["addressSpace"]["addressPrefixes"].append("20.0.0.0/16")
    moved = {"name": "agw-subnet-2", "properties": {"addressPrefix": "10.0.16.0/22"}}
    hub["properties"]["subnets"].append(moved)
    arm().put(arm().ids.hub_vnet, {name: value for name, value in hub.items() if name != "etag"})
    azure.advance(30)
    gateway = azure.find(arm().ids.gateway)
    assert gateway is not None
    (used,) = gateway["properties"]["gatewayIPConfigurations"]
    used["properties"]["subnet"]["id"] = f"{arm().ids.hub_vnet}/subnets/agw-subnet-2"
    azure.plant(gateway)
    assert repair_security_rules() == [SPOKE]
    azure.advance(30)
    assert rules()["AllowGatewayToWeb"]["sourceAddressPrefixes"] == ["10.0.16.0/22"]
    assert "20.0.0.0/16" in rules()["DenyPrivateOut"]["destinationAddressPrefixes"]


def test_a_changed_setting_reaches_old_spokes(
    spoke: RunRow, azure: LocalAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPOKE_DENIED_DESTINATIONS", "20.1.0.0/16")
    monkeypatch.setenv("SPOKE_OUTBOUND", f"route:{arm().ids.spoke_group}/providers/Microsoft.Network/routeTables/x")
    forget_app()
    assert repair_security_rules() == [SPOKE]
    azure.advance(30)
    assert "20.1.0.0/16" in rules()["DenyPrivateOut"]["destinationAddressPrefixes"]
    assert "DenyConnectedOut" in rules(), "its subnets have no route table, whatever new ones get"


def test_a_spoke_that_is_being_changed_is_left_alone(spoke: RunRow, azure: LocalAzure) -> None:
    edit(azure, drop="DenyConnectedOut")
    for status in ("accepted", "in_progress", "rolling_back", "rollback_failed", "deleting", "failed"):
        recorded(spoke, status=status)
        assert repair_security_rules() == [], status
        assert puts(azure) == [], status
    recorded(spoke, status="completed")
    assert repair_security_rules() == [SPOKE]


def test_a_delete_that_begins_meanwhile_wins(spoke: RunRow, azure: LocalAzure, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(azure, drop="DenyConnectedOut")
    begin = partial(recorded, spoke, status="deleting", deployment_id="delete-1")
    Network().before("GET", THE_SPOKES_ROW, begin)
    assert repair_security_rules() == []
    assert puts(azure) == []


def test_a_spoke_of_an_app_with_another_task_hub_is_left_to_it(
    spoke: RunRow, azure: LocalAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(azure, drop="DenyConnectedOut")
    Records().change_run(spoke, task_hub="green/AnotherHub")
    assert repair_security_rules() == []
    assert puts(azure) == []
    monkeypatch.setenv("TASK_HUBS_RETIRED", "green/AnotherHub")
    forget_app()
    assert repair_security_rules() == [SPOKE]


def test_a_group_without_our_tags_is_left_alone(spoke: RunRow, azure: LocalAzure) -> None:
    edit(azure, drop="DenyConnectedOut", tags={"deployment_id": "deploy-another"})
    assert repair_security_rules() == []
    edit(azure, tags={})
    assert repair_security_rules() == []


def test_a_group_that_was_changed_since_it_was_read_is_not_overwritten(
    spoke: RunRow, azure: LocalAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(azure, drop="DenyConnectedOut")
    Network().before("GET", THE_SPOKES_ROW, partial(edit, azure, add=a_rule("Theirs", 300)))
    assert repair_security_rules() == []
    assert [each["status"] for each in puts(azure)] == [412]
    assert repair_security_rules() == [SPOKE]
    azure.advance(30)
    assert {"Theirs", "DenyConnectedOut"} <= set(rules())


def test_a_taken_priority_is_told_and_the_rest_is_written(
    spoke: RunRow, azure: LocalAzure, caplog: pytest.LogCaptureFixture
) -> None:
    edit(azure, drop="DenyConnectedOut", add=a_rule("Theirs", 4095))
    edit(azure, drop="AllowWebToApp")
    assert repair_security_rules() == [SPOKE]
    azure.advance(30)
    assert "Theirs has its priority" in caplog.text
    assert "AllowWebToApp" in rules()
    assert "DenyConnectedOut" not in rules()
    assert rules()["Theirs"]["access"] == "Allow"


def test_without_the_gateways_prefix_no_rule_is_touched(
    spoke: RunRow, azure: LocalAzure, caplog: pytest.LogCaptureFixture
) -> None:
    edit(azure, drop="DenyConnectedOut")
    gateway = azure.find(arm().ids.gateway)
    assert gateway is not None
    (used,) = gateway["properties"]["gatewayIPConfigurations"]
    used["properties"]["subnet"]["id"] = f"{arm().ids.vnet('ingress-vnet')}/subnets/agw"
    azure.plant(gateway)
    assert repair_security_rules() == []
    assert puts(azure) == []
    assert "ingress-vnet" in caplog.text


def test_without_finished_spokes_azure_is_not_asked(settings: Settings, azure: LocalAzure) -> None:
    recorded(a_run(a_plan(3)))
    assert repair_security_rules() == []
    assert [each for each in azure.requests() if each["path"].startswith("/subscriptions")] == []
