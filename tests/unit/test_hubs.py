"""The setting HUBS: what it stands for, and that every mistake in it is named at once."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shared.errors import ConfigurationException
from shared.settings import Settings, at, current_settings, settings_from

ROOT = Path(__file__).resolve().parents[2]
SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
OTHER = "00000000-0000-0000-0000-000000000002"
GENERAL = {
    "AZURE_SUBSCRIPTION_ID": SUBSCRIPTION,
    "TASK_HUB": "HubSpokeV2",
    "TABLES_ENDPOINT": "https://account.table.core.windows.net",
}
ONE_HUB = {
    "HUB_RESOURCE_GROUP": "hub-rg",
    "HUB_VNET_NAME": "hub-vnet",
    "HUB_AGW_NAME": "hub-agw",
    "SPOKE_DOMAIN": "spokes.example.com",
}
SAMPLE = json.loads((ROOT / "samples" / "two-hubs.json").read_text(encoding="utf-8"))


def read(hubs: Any, **settings: str) -> Settings:
    text = hubs if isinstance(hubs, str) else json.dumps(hubs)
    return settings_from({**GENERAL, **settings, "HUBS": text})


def problems(hubs: Any, **settings: str) -> dict[str, str]:
    with pytest.raises(ConfigurationException) as refused:
        read(hubs, **settings)
    found: dict[str, str] = refused.value.failure.details["settings"]
    return found


def hub(name: str, **fields: Any) -> dict[str, Any]:
    gateways = [{"name": f"{name}-agw", "domain": f"{name}.example.com"}]
    return {"name": name, "resource_group": f"{name}-rg", "vnet": f"{name}-vnet", "gateways": gateways} | fields


def test_without_hubs_there_is_one_gateway_with_the_settings_that_there_were() -> None:
    settings = settings_from(GENERAL | ONE_HUB)
    assert settings.places == (replace(settings, places=()),)
    assert (settings.hub_name, settings.hub_key, settings.gateway_key) == (
        "hub-vnet",
        "hub-rg:hub-vnet",
        "hub-rg:hub-agw",
    )
    assert (settings.first_spoke_id, settings.last_spoke_id, settings.several) == (1, 255, False)


def test_hubs_of_the_same_content_are_the_same_settings() -> None:
    whole = {
        "name": "hub-vnet",
        "subscription_id": SUBSCRIPTION,
        "resource_group": "hub-rg",
        "vnet": "hub-vnet",
        "location": "eastus",
        "spoke_subscription_id": SUBSCRIPTION,
        "spoke_resource_group": "hub-rg",
        "address_pool": "10.11.0.0/16",
        "prefix_length": 24,
        "first_spoke_id": 1,
    }
    gateway = {
        "name": "hub-agw",
        "domain": "spokes.example.com",
        "domains": [],
        "frontend_ip": "appGatewayFrontendIP",
        "frontend_port": 80,
        "ssl_certificate": "",
        "limit": 100,
        "open": True,
        "dns_zone_id": "",
    }
    expected = settings_from(GENERAL | ONE_HUB)
    assert read([whole | {"gateways": [gateway]}]) == expected
    assert read([{"name": "hub-vnet"}], **ONE_HUB) == expected, "what is left out is the setting's value"


def test_the_sample_has_three_gateways_of_two_hubs() -> None:
    settings = read(SAMPLE, AZURE_SUBSCRIPTION_ID="5ca1ab1e-0000-4000-8000-0000000000a1")
    assert [(each.hub_name, each.hub_agw_name, each.first_spoke_id) for each in settings.places] == [
        ("eastus", "hub-agw", 1),
        ("eastus", "hub-agw-2", 1),
        ("westeurope", "hub-westeurope-agw", 1001),
    ]
    assert settings.places[0] == replace(settings, places=())
    far = settings.places[2]
    assert (far.subscription_id[-2:], far.spoke_subscription_id[-2:], far.hub_location) == ("a2", "a3", "westeurope")
    assert far.hub_key == f"{far.subscription_id}:hub-westeurope-rg:hub-westeurope-vnet"
    assert far.spoke_resource_group == "spokes-westeurope-rg"
    assert settings.places[1].hub_key == "hub-rg:hub-vnet", "what was made before HUBS stays in its partition"


def test_one_gateways_domains_are_not_those_of_the_setting() -> None:
    settings = read(SAMPLE, SPOKE_DOMAINS="spokes.example.com,more.example.com")
    assert settings.places[1].spoke_domains == ("more.spokes.example.net",)


@pytest.mark.parametrize(
    ("hubs", "named"),
    [
        ("nonsense", "HUBS"),
        ("{}", "HUBS"),
        ("[]", "HUBS"),
        ([1], "HUBS[0]"),
        ([hub("a") | {"vent": "x"}], "HUBS[0].vent"),
        ([hub("a", gateways=[])], "HUBS[0].gateways"),
        ([hub("a", gateways=[{"name": "x"}])], "HUBS[0].gateways[0].domain"),
        ([hub("a", gateways=[{"domain": "x.y"}])], "HUBS[0].gateways[0].name"),
        ([hub("a", gateways=[{"name": "x", "domain": "*.y"}])], "HUBS[0].gateways[0].domain"),
        ([hub("a", gateways=[{"name": "x", "domain": "y", "open": "no"}])], "HUBS[0].gateways[0].open"),
        ([hub("a", gateways=[{"name": "x", "domain": "y", "domains": [1]}])], "HUBS[0].gateways[0].domains"),
        ([hub("a", gateways=[{"name": "x", "domain": "y", "limit": True}])], "HUBS[0].gateways[0].limit"),
        ([hub("a", gateways=[{"name": "x", "domain": "y", "limit": 0}])], "HUBS[0].gateways[0].limit"),
        ([hub("A b")], "HUBS[0].name"),
        ([{each: value for each, value in hub("a").items() if each != "name"}], "HUBS[0].name"),
        ([{each: value for each, value in hub("a").items() if each != "vnet"}], "HUBS[0].vnet"),
        ([hub("a", subscription_id="mine")], "HUBS[0].subscription_id"),
        ([hub("a", spoke_subscription_id="mine")], "HUBS[0].spoke_subscription_id"),
        ([hub("a", location="the moon!")], "HUBS[0].location"),
        ([hub("a", address_pool="10.0.0.1/16")], "HUBS[0].address_pool"),
        ([hub("a", prefix_length="24")], "HUBS[0].prefix_length"),
        ([hub("a", first_spoke_id=0)], "HUBS[0].first_spoke_id"),
        ([hub("a"), hub("b")], "HUBS[1].address_pool"),
        ([hub("a"), hub("b", address_pool="10.12.0.0/16", first_spoke_id=255)], "HUBS[1].first_spoke_id"),
        ([hub("a"), hub("b", address_pool="10.12.0.0/16", vnet="a-vnet", resource_group="a-rg")], "HUBS[1].vnet"),
        ([hub("a"), hub("a", address_pool="10.12.0.0/16", vnet="z")], "HUBS[1].name"),
    ],
)
def test_a_mistake_is_named_where_it_is(hubs: Any, named: str) -> None:
    assert named in problems(hubs)


def test_a_domain_leads_to_one_gateway_alone() -> None:
    two = [{"name": "one", "domain": "x.example.com"}, {"name": "two", "domain": "x.example.com", "dns_zone_id": "/z"}]
    assert "HUBS[0].gateways[0] has x.example.com" in problems([hub("a", gateways=two)])["HUBS[0].gateways[1].domain"]
    two[1]["domain"], two[1]["domains"] = "y.example.com", ["x.example.com"]  # type: ignore[assignment]
    assert "HUBS[0].gateways[1].domain" in problems([hub("a", gateways=two)])
    assert "HUBS[0].gateways[1].name" in problems([hub("a", gateways=[two[0], two[0]])])


def test_two_gateways_whose_ids_would_be_alike_are_refused() -> None:
    hubs = [
        hub("a", gateways=[{"name": "b-c", "domain": "x.y"}]),
        hub("a-b", gateways=[{"name": "c", "domain": "z.y"}], address_pool="10.12.0.0/16"),
    ]
    assert "the same id" in problems(hubs)["HUBS[1].gateways[0].name"]


def test_every_mistake_is_named_at_once() -> None:
    hubs = [
        hub("a", colour="red", gateways=[{"name": "x"}]),
        hub("a", location="!", gateways=[{"name": "y", "domain": "y.z"}]),
    ]
    assert set(problems(hubs, LOG_LEVEL="LOUD")) == {
        "HUBS[0].colour",
        "HUBS[0].gateways[0].domain",
        "HUBS[1].address_pool",
        "HUBS[1].location",
        "HUBS[1].name",
        "HUBS[1].vnet",
        "LOG_LEVEL",
    }


def test_a_bad_setting_that_hubs_leave_out_is_named_by_its_own_name() -> None:
    assert set(problems([hub("a")], AGW_LIMIT="many")) == {"AGW_LIMIT"}


def test_a_call_is_about_the_gateway_that_it_says() -> None:
    places = read(SAMPLE).places
    with at(places[2]):
        assert current_settings() is places[2]
        with at(places[1]):
            assert current_settings() is places[1]
        assert current_settings() is places[2]
