"""What a repair changes in a network security group: our rules only, whatever stands beside them."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.spoke.documents.rule_changes import PLACES, is_same, place_of, rule_changes
from shared.spoke.documents.security_rules import HubNetwork, OutboundRules, security_rules
from tests.activities.azure_stand_in import a_plan

HUB = HubNetwork(("10.0.2.0/24",), ("10.0.1.0/24",), ("10.0.0.0/16",))
EVERYTHING = security_rules(a_plan(7), HUB, OutboundRules(allowed=("10.0.1.10/32",)))


def rule(name: str, priority: int, direction: str = "Outbound", **more: Any) -> dict[str, Any]:
    properties = {"priority": priority, "direction": direction, "access": "Allow", "protocol": "*", **more}
    return {"name": name, "properties": {"sourceAddressPrefix": "*", "destinationAddressPrefix": "*", **properties}}


def without(*names: str) -> list[dict[str, Any]]:
    return [each for each in EVERYTHING if each["name"] not in names]


def test_the_places_of_our_rules_are_those_of_the_contract() -> None:
    assert {each["name"].lower(): place_of(each) for each in EVERYTHING} == PLACES


def test_a_group_that_is_in_line_is_not_changed() -> None:
    changes = rule_changes(EVERYTHING, EVERYTHING)
    assert (changes.rules, changes.changed, changes.blocked) == (EVERYTHING, [], [])


def test_an_older_group_gets_what_is_new_and_the_gateways_new_prefix() -> None:
    moved = replace(HUB, gateway_prefixes=("10.0.16.0/22",))
    changes = rule_changes(without("DenyConnectedOut"), security_rules(a_plan(7), moved, OutboundRules()))
    assert changes.changed == ["AllowGatewayToWeb changed", "AllowToHub removed", "DenyConnectedOut added"]
    by_name = {each["name"]: each["properties"] for each in changes.rules}
    assert by_name["AllowGatewayToWeb"]["sourceAddressPrefixes"] == ["10.0.16.0/22"]
    assert set(by_name) == {each["name"] for each in without("AllowToHub")}


def test_rules_of_others_stay_as_they_are_and_where_they_are() -> None:
    theirs = [rule("AllowMonitoring", 200, description="ours", sourceApplicationSecurityGroups=[{"id": "x"}])]
    changes = rule_changes([*theirs, *without("DenyConnectedOut")], EVERYTHING)
    assert changes.rules[0] is theirs[0]
    assert changes.changed == ["DenyConnectedOut added"]


@pytest.mark.parametrize(
    ("theirs", "told"),
    [
        (rule("BlockAll", 4095), "DenyConnectedOut: BlockAll has its priority, 4095 outbound"),
        (rule("denyconnectedout", 4000, "Inbound"), "denyconnectedout is a rule of another direction or priority"),
        (rule("DenyConnectedOut", 3000), "DenyConnectedOut is a rule of another direction or priority"),
    ],
)
def test_a_name_or_priority_that_is_taken_is_told_and_not_overwritten(theirs: dict[str, Any], told: str) -> None:
    changes = rule_changes([*without("DenyConnectedOut"), theirs], EVERYTHING)
    assert changes.blocked == [told]
    assert changes.changed == []
    assert changes.rules == [*without("DenyConnectedOut"), theirs]


def test_a_priority_of_the_other_direction_is_not_taken() -> None:
    changes = rule_changes([*without("DenyConnectedOut"), rule("Theirs", 4095, "Inbound")], EVERYTHING)
    assert (changes.changed, changes.blocked) == (["DenyConnectedOut added"], [])


def test_the_form_in_which_azure_shows_a_rule_is_no_change() -> None:
    asked = EVERYTHING[0]
    shown = {**asked, "id": "x", "etag": "y", "properties": {**asked["properties"], "provisioningState": "Succeeded"}}
    for name in ("sourceAddressPrefixes", "destinationPortRanges", "sourcePortRanges"):
        shown["properties"].setdefault(name, [])
    assert is_same(shown, asked)
    single = {"sourceAddressPrefix": "10.0.2.0/24", "sourceAddressPrefixes": []}
    assert is_same({**shown, "properties": shown["properties"] | single}, asked)
    other = {"sourceAddressPrefixes": ["10.0.2.0/24", "10.9.0.0/24"]}
    assert not is_same({**shown, "properties": shown["properties"] | other}, asked)


@given(st.lists(st.sampled_from(EVERYTHING), unique_by=lambda each: each["name"]), st.booleans())
def test_a_second_repair_has_nothing_to_do(held: list[dict[str, Any]], blocked: bool) -> None:
    theirs = [rule("Theirs", 4090, "Inbound")] if blocked else []
    held = [each for each in held if not theirs or each["name"] != "AllowAzureLoadBalancer"]
    once = rule_changes([*held, *theirs], EVERYTHING)
    twice = rule_changes(once.rules, EVERYTHING)
    assert (twice.changed, twice.rules, twice.blocked) == ([], once.rules, once.blocked)
    places = [place_of(each) for each in once.rules]
    assert len(set(places)) == len(places)
