"""Which rule and which backend a request reaches, by Azure's order of evaluation."""

from __future__ import annotations

from tests.contracts.azure import RG, Azure
from tests.contracts.gateways import Document, put, with_site, without_priority


def test_the_lowest_number_takes_the_request_also_over_a_more_exact_listener(azure: Azure, document: Document) -> None:
    put(azure, with_site(with_site(document, "late", "late.example.com", 1002), "early", "early.example.com", 1000))
    assert azure.route("early.example.com")["addresses"] == ["10.11.1.4"]
    assert azure.route("early.example.com")["rule"] == "early-rule"
    assert azure.route("late.example.com")["rule"] == "defaultRoutingRule"
    assert azure.route("other.example.com")["pool"] == "defaultPool"
    assert azure.http.get("/_local/route", params={"host": "early.example.com", "port": 81}).status_code == 404


def test_without_any_priority_sites_come_before_the_basic_listener(azure: Azure, document: Document) -> None:
    azure.plant(with_site(without_priority(document), "a", "a.example.com", None))
    assert azure.route("a.example.com")["rule"] == "a-rule"
    assert azure.route("b.example.com")["rule"] == "defaultRoutingRule"


def test_a_wildcard_catches_what_lies_under_it(azure: Azure, document: Document) -> None:
    changed = with_site(document, "wild", None, 5)
    changed["properties"]["httpListeners"][1]["properties"]["hostNames"] = ["*.example.com"]
    put(azure, changed)
    assert azure.route("deep.x.example.com")["rule"] == "wild-rule"
    assert azure.route("example.com")["rule"] == "defaultRoutingRule"


def test_a_url_path_map_chooses_by_path(azure: Azure, gateway: str, document: Document) -> None:
    changed = with_site(
        with_site(document, "a", "a.example.com", 10, "10.11.1.4"), "b", "b.example.com", 11, "10.11.2.4"
    )
    properties = changed["properties"]

    def part(collection: str, of: str) -> Document:
        return {"id": f"{gateway}/{collection}/{of}"}

    first, second = (
        {
            "backendAddressPool": part("backendAddressPools", f"{name}-pool"),
            "backendHttpSettings": part("backendHttpSettingsCollection", f"{name}-settings"),
        }
        for name in "ab"
    )
    defaults = {f"default{key[0].upper()}{key[1:]}": value for key, value in first.items()}
    properties["urlPathMaps"] = [
        {
            "name": "map",
            "properties": defaults | {"pathRules": [{"name": "api", "properties": {"paths": ["/api/*"]} | second}]},
        }
    ]
    rule = properties["requestRoutingRules"][1]["properties"]
    del rule["backendAddressPool"], rule["backendHttpSettings"]
    rule |= {"ruleType": "PathBasedRouting", "urlPathMap": part("urlPathMaps", "map")}
    put(azure, changed)
    assert azure.route("a.example.com")["pool"] == "a-pool"
    assert azure.local("GET", "route", host="a.example.com", path="/api/v1")["pool"] == "b-pool"


def test_traffic_follows_a_document_only_when_it_is_provisioned(azure: Azure, gateway: str, document: Document) -> None:
    azure.send("PUT", gateway, with_site(document, "a", "a.example.com", 10))
    assert azure.route("a.example.com")["rule"] == "defaultRoutingRule"
    azure.advance(40)
    assert azure.route("a.example.com")["rule"] == "a-rule"


def test_backend_health_knows_the_vms_that_run(azure: Azure, document: Document) -> None:
    vm = azure.vm_with_network()
    put(azure, with_site(with_site(document, "a", "a.example.com", 10), "b", "b.example.com", 11, "10.11.1.9"))
    health = azure.network.application_gateways.begin_backend_health(RG, "hub-agw", polling=azure.done).result()
    shown = {
        server.address: server.health
        for pool in health.backend_address_pools
        for settings in pool.backend_http_settings_collection
        for server in settings.servers
    }
    assert shown == {"10.11.1.4": "Healthy", "10.11.1.9": "Unhealthy"}
    assert vm.provisioning_state == "Succeeded"
