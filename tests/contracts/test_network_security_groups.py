"""Security groups and their rules."""

from __future__ import annotations

from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError

from tests.contracts.azure import PLACE, RG, Azure, arm_error, codes


def _rule(name: str = "r", priority: int = 100, **more: object) -> dict[str, object]:
    properties: dict[str, object] = {
        "priority": priority,
        "direction": "Inbound",
        "access": "Allow",
        "protocol": "Tcp",
        "sourceAddressPrefix": "10.0.2.0/24",
        "sourcePortRange": "*",
        "destinationAddressPrefix": "*",
        "destinationPortRange": "80",
    }
    return {"name": name, "properties": {key: value for key, value in (properties | more).items() if value is not None}}


def _put(azure: Azure, *rules: dict[str, object], name: str = "nsg") -> Any:
    return azure.network.network_security_groups.begin_create_or_update(
        RG, name, {"location": PLACE, "properties": {"securityRules": list(rules)}}, polling=azure.done
    ).result()


def test_a_group_has_azures_six_rules_besides_its_own(azure: Azure) -> None:
    _put(azure, _rule("a"), _rule("b", 110))
    group = azure.network.network_security_groups.get(RG, "nsg")
    assert [each.name for each in group.security_rules] == ["a", "b"]
    assert sorted(each.priority for each in group.default_security_rules) == [65000, 65000, 65001, 65001, 65500, 65500]


def test_a_put_replaces_the_rules(azure: Azure) -> None:
    _put(azure, _rule("a"), _rule("b", 110))
    _put(azure, _rule("c"))
    assert [each.name for each in azure.network.security_rules.list(RG, "nsg")] == ["c"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (
            {"sourceAddressPrefix": None, "sourceAddressPrefixes": ["10.0.0.0/8", "VirtualNetwork"]},
            "SecurityRuleParameterContainsUnsupportedValue",
        ),
        (
            {"sourceAddressPrefix": None, "sourceAddressPrefixes": ["*"]},
            "SecurityRuleParameterContainsUnsupportedValue",
        ),
        ({"sourceAddressPrefix": "10.0.0.0/33"}, "SecurityRuleInvalidAddressPrefix"),
        ({"sourceAddressPrefix": "50.206.209.68/27"}, "SecurityRuleInvalidAddressPrefix"),
        (
            {"sourceAddressPrefix": None, "sourceAddressPrefixes": ["10.0.0.0/8", "10.0.5.0/24"]},
            "OverlappingSubnetsNotPermittedInSecurityRule",
        ),
        (
            {"destinationAddressPrefix": None, "destinationAddressPrefixes": ["10.0.0.0/24", "10.0.0.0/24"]},
            "OverlappingSubnetsNotPermittedInSecurityRule",
        ),
        (
            {"sourceAddressPrefix": None, "sourceAddressPrefixes": ["10.0.2.0/24", "fd12:3456:789a:2::/64"]},
            "ResourceCannotContainAddressPrefixesFromDifferentAddressFamilies",
        ),
        (
            {"destinationAddressPrefix": "fd12:3456:789a:2::/64"},
            "ResourceCannotContainAddressPrefixesFromDifferentAddressFamilies",
        ),
        ({"priority": 99}, "SecurityRuleInvalidPriority"),
        ({"priority": 4097}, "SecurityRuleInvalidPriority"),
        ({"destinationPortRange": "80-70"}, "SecurityRuleInvalidPortRange"),
        ({"destinationPortRange": "65536"}, "SecurityRuleInvalidPortRange"),
        ({"sourceAddressPrefix": None}, "SecurityRuleParameterNotSpecified"),
    ],
)
def test_a_rule_is_checked(azure: Azure, change: dict[str, Any], code: str) -> None:
    with pytest.raises(HttpResponseError) as caught:
        _put(azure, _rule(**change))
    assert codes(caught.value) == (400, code)


def test_a_rule_of_ipv6_alone_is_taken(azure: Azure) -> None:
    _put(azure, _rule(sourceAddressPrefix="fd00::/8", destinationAddressPrefix="fd00::/8"))
    _put(azure, _rule(sourceAddressPrefix="fd00::/8", destinationAddressPrefix="*"))


def test_two_rules_of_one_direction_have_two_priorities(azure: Azure) -> None:
    with pytest.raises(HttpResponseError) as caught:
        _put(azure, _rule("a"), _rule("b"))
    assert codes(caught.value) == (400, "SecurityRuleConflict")
    _put(azure, _rule("a"), _rule("b", direction="Outbound"))


def test_a_group_on_a_subnet_or_a_nic_can_not_be_deleted(azure: Azure) -> None:
    group = _put(azure)
    vnet = {
        "location": PLACE,
        "properties": {
            "addressSpace": {"addressPrefixes": ["10.11.1.0/24"]},
            "subnets": [
                {
                    "name": "web",
                    "properties": {"addressPrefix": "10.11.1.0/26", "networkSecurityGroup": {"id": group.id}},
                }
            ],
        },
    }
    azure.network.virtual_networks.begin_create_or_update(RG, "v1", vnet, polling=azure.done).result()
    shown = azure.network.network_security_groups.get(RG, "nsg")
    assert [each.id for each in shown.subnets] == [azure.id("virtualNetworks/subnets", "v1", "web")]
    with pytest.raises(HttpResponseError) as caught:
        azure.network.network_security_groups.begin_delete(RG, "nsg")
    assert codes(caught.value) == (400, "InUseNetworkSecurityGroupCannotBeDeleted")
    assert arm_error(caught.value).message.startswith(
        f"Network security group {group.id} cannot be deleted because it is in use by the following resources: "
        f"{azure.id('virtualNetworks/subnets', 'v1', 'web')}."
    )
    azure.network.virtual_networks.begin_delete(RG, "v1", polling=azure.done).result()
    azure.network.network_security_groups.begin_delete(RG, "nsg", polling=azure.done).result()
    assert "nsg" not in azure.names()


def test_rules_are_children_of_their_own(azure: Azure) -> None:
    _put(azure, _rule("a"))
    rules = azure.network.security_rules
    made = rules.begin_create_or_update(RG, "nsg", "b", _rule("b", 200), polling=azure.done).result()
    assert (made.name, made.priority) == ("b", 200)
    assert rules.get(RG, "nsg", "b").provisioning_state == "Succeeded"
    with pytest.raises(HttpResponseError) as caught:
        rules.begin_create_or_update(RG, "nsg", "c", _rule("c", 200))
    assert codes(caught.value) == (400, "SecurityRuleConflict")
    rules.begin_delete(RG, "nsg", "a", polling=azure.done).result()
    assert [each.name for each in rules.list(RG, "nsg")] == ["b"]


def test_a_write_while_one_runs_is_retryable(azure: Azure) -> None:
    body = {"location": PLACE, "properties": {}}
    first = azure.send("PUT", azure.id("networkSecurityGroups", "nsg"), body)
    second = azure.send("PUT", azure.id("networkSecurityGroups", "nsg"), body)
    assert (first.status_code, second.status_code) == (201, 429)
    assert second.json()["error"]["details"][0]["code"] == "RetryableErrorDueToAnotherOperation"
    assert second.headers["Retry-After"] == "3"
