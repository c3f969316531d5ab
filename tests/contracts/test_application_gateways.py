"""Application Gateways: one document, two writers, and the order of evaluation."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError

from tests.contracts.azure import RG, Azure, codes

Document = dict[str, Any]


@pytest.fixture
def gateway(azure: Azure) -> str:
    return azure.id("applicationGateways", "hub-agw")


@pytest.fixture
def document(azure: Azure, gateway: str) -> Document:
    return azure.send("GET", gateway).json()


def _site(
    document: Document, name: str, host: str | None, priority: int | None, address: str = "10.11.1.4"
) -> Document:
    """The document with one more pool, settings, listener and rule."""
    changed = copy.deepcopy(document)
    properties, gateway = changed["properties"], changed["id"]

    def part(collection: str, of: str) -> Document:
        return {"id": f"{gateway}/{collection}/{of}"}

    properties["backendAddressPools"].append(
        {"name": f"{name}-pool", "properties": {"backendAddresses": [{"ipAddress": address}]}}
    )
    properties["probes"].append(
        {"name": f"{name}-probe", "properties": {"protocol": "Http", "host": host or "x", "path": "/", "interval": 30}}
    )
    settings = {"port": 80, "protocol": "Http", "probe": part("probes", f"{name}-probe")}
    properties["backendHttpSettingsCollection"].append({"name": f"{name}-settings", "properties": settings})
    listener = {
        "frontendIPConfiguration": part("frontendIPConfigurations", "appGatewayFrontendIP"),
        "frontendPort": part("frontendPorts", "appGatewayFrontendPort"),
        "protocol": "Http",
    }
    if host:
        listener["hostName"] = host
    properties["httpListeners"].append({"name": f"{name}-listener", "properties": listener})
    rule = {
        "ruleType": "Basic",
        "httpListener": part("httpListeners", f"{name}-listener"),
        "backendAddressPool": part("backendAddressPools", f"{name}-pool"),
        "backendHttpSettings": part("backendHttpSettingsCollection", f"{name}-settings"),
    }
    if priority is not None:
        rule["priority"] = priority
    properties["requestRoutingRules"].append({"name": f"{name}-rule", "properties": rule})
    return changed


def _refused(azure: Azure, document: Document) -> HttpResponseError:
    with pytest.raises(HttpResponseError) as caught:
        azure.network.application_gateways.begin_create_or_update(RG, "hub-agw", document)
    return caught.value


def _put(azure: Azure, document: Document) -> Any:
    return azure.network.application_gateways.begin_create_or_update(
        RG, "hub-agw", document, polling=azure.done
    ).result()


def test_the_hubs_gateway_is_as_azure_cli_makes_it(azure: Azure) -> None:
    gateway = azure.network.application_gateways.get(RG, "hub-agw")
    assert (gateway.sku.tier, gateway.provisioning_state, gateway.operational_state) == (
        "Standard_v2",
        "Succeeded",
        "Running",
    )
    assert (gateway.autoscale_configuration.min_capacity, gateway.autoscale_configuration.max_capacity) == (2, 10)
    assert [each.name for each in gateway.frontend_ip_configurations] == ["appGatewayFrontendIP"]
    assert [(each.name, each.priority) for each in gateway.request_routing_rules] == [("defaultRoutingRule", 1001)]


def test_a_put_is_200_updating_for_a_while_with_a_new_etag_each_time(
    azure: Azure, gateway: str, document: Document
) -> None:
    answer = azure.send("PUT", gateway, _site(document, "acme", "acme.example.com", 1000))
    shown = answer.json()
    assert (answer.status_code, answer.headers["Retry-After"]) == (200, "10")
    assert shown["properties"]["provisioningState"] == "Updating"
    assert shown["properties"]["httpListeners"][0]["properties"]["provisioningState"] == "Updating"
    azure.advance(39)
    assert azure.poll(answer).json() == {"status": "InProgress"}
    azure.advance(1)
    assert azure.poll(answer).json() == {"status": "Succeeded"}
    after = azure.send("GET", gateway).json()
    assert len({document["etag"], shown["etag"], after["etag"]}) == 3
    assert after["properties"]["probes"][0]["etag"] == after["etag"]


def test_parts_have_ids_types_and_show_who_uses_them(azure: Azure, gateway: str, document: Document) -> None:
    _put(azure, _site(document, "acme", "acme.example.com", 1000))
    properties = azure.send("GET", gateway).json()["properties"]
    pool = properties["backendAddressPools"][1]
    assert pool["id"] == f"{gateway}/backendAddressPools/acme-pool"
    assert pool["type"] == "Microsoft.Network/applicationGateways/backendAddressPools"
    assert pool["properties"]["requestRoutingRules"] == [{"id": f"{gateway}/requestRoutingRules/acme-rule"}]
    port = properties["frontendPorts"][0]["properties"]
    assert [each["id"].rsplit("/", 1)[1] for each in port["httpListeners"]] == [
        "appGatewayHttpListener",
        "acme-listener",
    ]
    assert properties["probes"][0]["properties"]["backendHttpSettingsCollection"] == [
        {"id": f"{gateway}/backendHttpSettingsCollection/acme-settings"}
    ]


def test_a_second_put_is_accepted_cancels_the_first_and_wins_whole(
    azure: Azure, gateway: str, document: Document
) -> None:
    first = azure.send("PUT", gateway, _site(document, "one", "one.example.com", 900))
    second = azure.send("PUT", gateway, _site(document, "two", "two.example.com", 901))
    assert (first.status_code, second.status_code) == (200, 200)
    ended = azure.poll(first)
    assert ended.status_code == 200
    error = ended.json()["error"]
    assert (ended.json()["status"], error["code"], error["message"]) == (
        "Canceled",
        "Canceled",
        "Operation was canceled.",
    )
    assert error["details"][0]["code"] == "CanceledAndSupersededDueToAnotherOperation"
    ids = [answer.headers["Azure-AsyncOperation"].split("/operations/")[1].split("?")[0] for answer in (first, second)]
    assert error["details"][0]["message"] == (
        f"Operation PutApplicationGatewayOperation ({ids[0]}) was canceled and superseded by operation "
        f"PutApplicationGatewayOperation ({ids[1]})."
    )
    azure.advance(40)
    assert azure.poll(second).json() == {"status": "Succeeded"}
    names = [each["name"] for each in azure.send("GET", gateway).json()["properties"]["httpListeners"]]
    assert names == ["appGatewayHttpListener", "two-listener"], "without any merge"


def test_a_stale_etag_is_412_also_after_provisioning_has_ended(azure: Azure, gateway: str, document: Document) -> None:
    accepted = azure.send("PUT", gateway, document, headers={"If-Match": document["etag"]})
    assert accepted.status_code == 200
    azure.advance(40)
    stale = azure.send("PUT", gateway, document, headers={"If-Match": accepted.json()["etag"]})
    assert (stale.status_code, stale.json()["error"]["code"]) == (412, "PreconditionFailed")
    fresh = azure.send("GET", gateway).json()["etag"]
    assert azure.send("PUT", gateway, document, headers={"If-Match": fresh}).status_code == 200


def test_unknown_properties_and_read_only_parts_survive_a_round_trip(
    azure: Azure, gateway: str, document: Document
) -> None:
    document["properties"]["futureTop"] = {"a": [1, {"b": None}]}
    document["properties"]["backendAddressPools"][0]["properties"]["futurePool"] = "x"
    azure.plant(document)
    model = azure.network.application_gateways.get(RG, "hub-agw")
    _put(azure, model)
    after = azure.send("GET", gateway).json()["properties"]
    assert after["futureTop"] == {"a": [1, {"b": None}]}
    assert after["backendAddressPools"][0]["properties"]["futurePool"] == "x"


def test_certificates_given_by_name_without_data_are_kept(azure: Azure, document: Document) -> None:
    document["properties"]["sslCertificates"] = [{"name": "wild", "properties": {"publicCertData": "MIIB"}}]
    azure.plant(document)
    after = _put(azure, azure.network.application_gateways.get(RG, "hub-agw"))
    assert [(each.name, each.public_cert_data) for each in after.ssl_certificates] == [("wild", "MIIB")]


def _shared_listener(document: Document) -> Document:
    changed = _site(document, "a", "a.example.com", 10)
    rules = changed["properties"]["requestRoutingRules"]
    rules[1]["properties"]["httpListener"] = rules[0]["properties"]["httpListener"]
    return changed


def _no_priority(document: Document) -> Document:
    changed = copy.deepcopy(document)
    del changed["properties"]["requestRoutingRules"][0]["properties"]["priority"]
    return changed


def _pool_gone(document: Document) -> Document:
    changed = _site(document, "a", "a.example.com", 10)
    del changed["properties"]["backendAddressPools"][1]
    return changed


def _last_pool_gone(document: Document) -> Document:
    changed = copy.deepcopy(document)
    changed["properties"]["backendAddressPools"] = []
    return changed


def _hostless_probe(document: Document) -> Document:
    changed = _site(document, "a", "a.example.com", 10)
    del changed["properties"]["probes"][0]["properties"]["host"]
    return changed


def _double_name(document: Document) -> Document:
    changed = _site(document, "a", "a.example.com", 10)
    changed["properties"]["backendAddressPools"].append(changed["properties"]["backendAddressPools"][1])
    return changed


def _inside(collection: str, **values: Any) -> Any:
    """A site whose pool, settings, probe, listener or port holds something else."""

    def change(document: Document) -> Document:
        changed = _site(document, "a", "a.example.com", 10)
        changed["properties"][collection][-1]["properties"] |= values
        return changed

    return change


def _second_port(port: int | None) -> Any:
    def change(document: Document) -> Document:
        changed = copy.deepcopy(document)
        changed["properties"]["frontendPorts"].append({"name": "second", "properties": {"port": port}})
        return changed

    return change


def _wrong_type(document: Document) -> Document:
    changed = _site(document, "a", "a.example.com", 10)
    inner = changed["properties"]["requestRoutingRules"][-1]["properties"]
    inner["backendAddressPool"] = inner["backendHttpSettings"]
    return changed


def _another_gateways_pool(document: Document) -> Document:
    changed = _site(document, "a", "a.example.com", 10)
    inner = changed["properties"]["requestRoutingRules"][-1]["properties"]
    inner["backendAddressPool"] = {"id": inner["backendAddressPool"]["id"].replace("hub-agw", "other")}
    return changed


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_wrong_type, "InvalidRequestFormat"),
        (_another_gateways_pool, "InvalidResourceReference"),
        (_second_port(80), "ApplicationGatewayFrontendPortsUsingSamePortNumber"),
        (_second_port(65000), "ApplicationGatewayFrontendPortIsInvalid"),
        (_second_port(None), "ApplicationGatewayFrontendPortIsInvalid"),
        (_inside("probes", path="health"), "ApplicationGatewayProbePathIsInvalid"),
        (_inside("probes", unhealthyThreshold=21), "ApplicationGatewayProbeUnhealthyThresholdIsInvalid"),
        (_inside("probes", interval=-1), "ApplicationGatewayProbeIntervalIsInvalid"),
        (_inside("probes", timeout=86_401), "ApplicationGatewayProbeTimeoutIsInvalid"),
        (_inside("probes", protocol="Gopher"), "InvalidRequestFormat"),
        (
            _inside("backendHttpSettingsCollection", requestTimeout=0),
            "ApplicationGatewayBackendHttpSettingsRequestTimeoutIsInvalid",
        ),
        (_inside("backendHttpSettingsCollection", port=None), "ApplicationGatewayBackendHttpSettingsPortIsInvalid"),
        (
            _inside("backendHttpSettingsCollection", connectionDraining={"enabled": True, "drainTimeoutInSec": 3601}),
            "ApplicationGatewayBackendHttpSettingsDrainTimeoutIsInvalid",
        ),
        (
            _inside("backendAddressPools", backendAddresses=[{"ipAddress": "10.1.1.400"}]),
            "ApplicationGatewayBackendAddressIsInvalid",
        ),
        (
            _inside("backendAddressPools", backendAddresses=[{"ipAddress": "10.1.1.4"}] * 2),
            "ApplicationGatewayBackendAddressIsInvalid",
        ),
        (
            _inside("httpListeners", hostNames=["b.example.com"]),
            "ApplicationGatewayHttpListenerBothHostNameAndHostNamesSpecified",
        ),
        (_inside("httpListeners", hostName="a_.-b"), "ApplicationGatewayHttpListenerHostNameIsInvalid"),
        (_inside("httpListeners", hostName="*.example.com"), "ApplicationGatewayHttpListenerHostNameIsInvalid"),
        (
            _inside("httpListeners", hostName=None, hostNames=[f"h{n}.example.com" for n in range(6)]),
            "ApplicationGatewayHttpListenerTooManyHostNames",
        ),
        (_inside("requestRoutingRules", ruleType="Fancy"), "InvalidRequestFormat"),
        (_shared_listener, "ApplicationGatewayRequestRoutingRulesUsingSameHttpListener"),
        (_no_priority, "ApplicationGatewayRequestRoutingRulePriorityCannotBeEmpty"),
        (
            lambda document: _site(document, "a", "a.example.com", None),
            "ApplicationGatewayRequestRoutingRulePartialPriorityDefined",
        ),
        (
            lambda document: _site(document, "a", "a.example.com", 1001),
            "ApplicationGatewayRequestRoutingRulePriorityMustBeUnique",
        ),
        (
            lambda document: _site(document, "a", "a.example.com", 20001),
            "ApplicationGatewayRequestRoutingRulePriorityOutOfRange",
        ),
        (
            lambda document: _site(_site(document, "a", "a.example.com", 10), "b", "A.example.com", 11),
            "ApplicationGatewayHttpListenersUsingSameFrontendPortHostNameAndFrontendIpConfig",
        ),
        (lambda document: _site(document, "a", None, 10), "ApplicationGatewayHttpListenersUsingSameFrontendPort"),
        (_pool_gone, "InvalidResourceReference"),
        (_last_pool_gone, "ApplicationGatewayMustHaveAtleastOneResourceOfType"),
        (_hostless_probe, "ApplicationGatewayProbeHostIsNull"),
        (_double_name, "InvalidRequestFormat"),
        (lambda document: _site(document, "-a", "a.example.com", 10), "InvalidResourceName"),
    ],
)
def test_the_whole_document_is_validated(azure: Azure, document: Document, change: Any, code: str) -> None:
    assert codes(_refused(azure, change(document))) == (400, code)
    assert azure.network.application_gateways.get(RG, "hub-agw").etag == document["etag"], "and nothing has changed"


def test_the_words_of_a_pool_that_is_still_named_and_of_two_alike(
    azure: Azure, gateway: str, document: Document
) -> None:
    assert _refused(azure, _pool_gone(document)).error.message == (
        f"Resource {gateway}/backendAddressPools/a-pool referenced by resource {gateway}/requestRoutingRules/a-rule was not "
        "found. Please make sure that the referenced resource exists, and that both resources are in the same region."
    )
    error = _refused(azure, _double_name(document)).error
    assert error.message == "Cannot parse the request."
    assert (error.details[0].code, error.details[0].message) == (
        "DuplicateResourceName",
        f"Resource {gateway} has two child resources with the same name (a-pool).",
    )
    assert _refused(azure, _site(document, "a", "a.example.com", 1001)).error.message == (
        f"Priority must be unique across all the request routing rules. Rules {gateway}/requestRoutingRules/"
        f"defaultRoutingRule and {gateway}/requestRoutingRules/a-rule cannot have the same priority 1001."
    )


def test_the_words_of_a_probe_out_of_range_and_of_an_id_of_another_type(
    azure: Azure, gateway: str, document: Document
) -> None:
    assert _refused(azure, _inside("probes", unhealthyThreshold=21)(document)).error.message == (
        f"Unhealthy threshold specified for Probe {gateway}/probes/a-probe is not valid. Supported range is [0, 20]."
    )
    assert _refused(azure, _inside("probes", path="x")(document)).error.message == (
        f"Path specified for Probe {gateway}/probes/a-probe is not valid. Path must start with a forward slash  and meet "
        "the format requirements."
    )
    detail = _refused(azure, _wrong_type(document)).error.details[0]
    assert detail.code == "InvalidJsonReferenceWrongType"
    assert detail.message.endswith(
        "types: applicationGateways/backendAddressPools. Path "
        "properties.requestRoutingRules[1].properties.backendAddressPool."
    )


@pytest.mark.parametrize(
    ("collection", "values"),
    [
        ("probes", {"interval": 30, "timeout": 120}),
        ("probes", {"interval": 0, "timeout": 11, "unhealthyThreshold": 0}),
        ("probes", {"interval": None, "timeout": 11}),
        ("backendHttpSettingsCollection", {"port": 8080, "protocol": None, "requestTimeout": None}),
    ],
)
def test_what_recordings_show_accepted_is_accepted(
    azure: Azure, document: Document, collection: str, values: Document
) -> None:
    assert _put(azure, _inside(collection, **values)(document)).provisioning_state == "Succeeded"


def _in_hub_subnet(azure: Azure, document: Document, name: str, **parts: Any) -> Document:
    """A copy of the gateway under another name, in a subnet that is not delegated."""
    changed: Document = json.loads(json.dumps(document).replace("/hub-agw", f"/{name}"))
    changed = {key: value for key, value in changed.items() if key not in ("etag", "id", "name", "type")} | parts
    subnet = {"id": azure.id("virtualNetworks/subnets", "hub-vnet", "hub-subnet")}
    changed["properties"]["gatewayIPConfigurations"][0]["properties"]["subnet"] = subnet
    changed["properties"]["frontendIPConfigurations"][0]["properties"] = {
        "privateIPAllocationMethod": "Dynamic",
        "subnet": subnet,
    }
    return changed


def test_a_new_gateway_needs_a_delegated_subnet_and_an_old_one_only_when_it_is_isolated(
    azure: Azure, document: Document
) -> None:
    path = azure.id("applicationGateways", "other")
    subnet = azure.id("virtualNetworks/subnets", "hub-vnet", "hub-subnet")
    refused = azure.send("PUT", path, _in_hub_subnet(azure, document, "other"))
    assert refused.json()["error"] == {
        "code": "ApplicationGatewayNetworkIsolationRequiresSubnetDelegation",
        "message": f"Application Gateway {path} with NetworkIsolation requires subnet delegation. Please delegate subnet "
        f"{subnet} to Microsoft.Network/applicationGateways.",
        "details": [],
    }
    azure.plant(_in_hub_subnet(azure, document, "other") | {"id": path})
    assert azure.send("PUT", path, _in_hub_subnet(azure, document, "other")).status_code == 200
    isolated = _in_hub_subnet(azure, document, "other", tags={"EnhancedNetworkControl": "True"})
    assert azure.send("PUT", path, isolated).status_code == 400


def test_a_key_vault_certificate_that_is_broken_fails_every_put_late(azure: Azure, document: Document) -> None:
    azure.fault(
        "fail_operation",
        method="PUT",
        path="applicationGateways/hub-agw$",
        code="ApplicationGatewayKeyVaultSecretException",
        times=2,
    )
    for _ in range(2):
        with pytest.raises(HttpResponseError) as caught:
            _put(azure, document)
        assert codes(caught.value) == (200, "ApplicationGatewayKeyVaultSecretException")
        assert azure.network.application_gateways.get(RG, "hub-agw").provisioning_state == "Failed"
    assert _put(azure, document).provisioning_state == "Succeeded"


def test_an_identity_that_may_not_be_assigned_is_403(azure: Azure, gateway: str, document: Document) -> None:
    azure.fault("refuse", method="PUT", path="applicationGateways/", status=403, code="LinkedAuthorizationFailed")
    refused = azure.send("PUT", gateway, document)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "LinkedAuthorizationFailed")


def test_older_api_versions_do_without_priorities(azure: Azure, gateway: str, document: Document) -> None:
    assert azure.send("PUT", gateway, _no_priority(document), version="2021-05-01").status_code == 200


def test_a_gateway_holds_a_hundred_pools_settings_and_active_listeners(azure: Azure, document: Document) -> None:
    full = document
    for number in range(99):
        full = _site(full, f"s{number}", f"s{number}.example.com", number + 1)
    error = _refused(azure, _site(full, "more", "more.example.com", 500))
    assert codes(error)[0] == 400
    assert "maximum allowed: 100" in error.error.message
    assert len(_put(azure, full).request_routing_rules) == 100


def _by_configuration(azure: Azure, rules: Document) -> Document:
    return {"webApplicationFirewallConfiguration": {"enabled": True, "firewallMode": "Prevention"} | rules}


def _by_policy(azure: Azure, rules: Document) -> Document:
    policy_id = azure.id("ApplicationGatewayWebApplicationFirewallPolicies", "waf")
    managed = {"managedRuleSets": [{"ruleSetType": "Microsoft_BotManagerRuleSet", "ruleSetVersion": "1.0"}, rules]}
    azure.plant({"id": policy_id, "location": "eastus", "properties": {"managedRules": managed}})
    return {"firewallPolicy": {"id": policy_id}}


@pytest.mark.parametrize("waf", [_by_configuration, _by_policy])
def test_a_waf_of_old_rules_holds_forty(azure: Azure, document: Document, waf: Any) -> None:
    document["properties"]["sku"] = {"name": "WAF_v2", "tier": "WAF_v2"}
    for number in range(40):
        document = _site(document, f"s{number}", f"s{number}.example.com", number + 1)
    document["properties"] |= waf(azure, {"ruleSetType": "OWASP", "ruleSetVersion": "3.1"})
    assert "maximum allowed: 40" in _refused(azure, document).error.message
    document["properties"] |= waf(azure, {"ruleSetType": "OWASP", "ruleSetVersion": "3.2"})
    assert len(_put(azure, document).request_routing_rules) == 41


def test_the_lowest_number_takes_the_request_also_over_a_more_exact_listener(azure: Azure, document: Document) -> None:
    _put(azure, _site(_site(document, "late", "late.example.com", 1002), "early", "early.example.com", 1000))
    assert azure.route("early.example.com")["addresses"] == ["10.11.1.4"]
    assert azure.route("early.example.com")["rule"] == "early-rule"
    assert azure.route("late.example.com")["rule"] == "defaultRoutingRule"
    assert azure.route("other.example.com")["pool"] == "defaultPool"
    assert azure.http.get("/_local/route", params={"host": "early.example.com", "port": 81}).status_code == 404


def test_without_any_priority_sites_come_before_the_basic_listener(azure: Azure, document: Document) -> None:
    azure.plant(_site(_no_priority(document), "a", "a.example.com", None))
    assert azure.route("a.example.com")["rule"] == "a-rule"
    assert azure.route("b.example.com")["rule"] == "defaultRoutingRule"


def test_a_wildcard_catches_what_lies_under_it(azure: Azure, document: Document) -> None:
    changed = _site(document, "wild", None, 5)
    changed["properties"]["httpListeners"][1]["properties"]["hostNames"] = ["*.example.com"]
    _put(azure, changed)
    assert azure.route("deep.x.example.com")["rule"] == "wild-rule"
    assert azure.route("example.com")["rule"] == "defaultRoutingRule"


def test_a_url_path_map_chooses_by_path(azure: Azure, gateway: str, document: Document) -> None:
    changed = _site(_site(document, "a", "a.example.com", 10, "10.11.1.4"), "b", "b.example.com", 11, "10.11.2.4")
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
    _put(azure, changed)
    assert azure.route("a.example.com")["pool"] == "a-pool"
    assert azure.local("GET", "route", host="a.example.com", path="/api/v1")["pool"] == "b-pool"


def test_traffic_follows_a_document_only_when_it_is_provisioned(azure: Azure, gateway: str, document: Document) -> None:
    azure.send("PUT", gateway, _site(document, "a", "a.example.com", 10))
    assert azure.route("a.example.com")["rule"] == "defaultRoutingRule"
    azure.advance(40)
    assert azure.route("a.example.com")["rule"] == "a-rule"


def test_a_put_starts_a_stopped_gateway(azure: Azure, document: Document) -> None:
    azure.network.application_gateways.begin_stop(RG, "hub-agw", polling=azure.done).result()
    assert azure.network.application_gateways.get(RG, "hub-agw").operational_state == "Stopped"
    assert _put(azure, document).operational_state == "Running"


def test_backend_health_knows_the_vms_that_run(azure: Azure, document: Document) -> None:
    vm = azure.vm_with_network()
    _put(azure, _site(_site(document, "a", "a.example.com", 10), "b", "b.example.com", 11, "10.11.1.9"))
    health = azure.network.application_gateways.begin_backend_health(RG, "hub-agw", polling=azure.done).result()
    shown = {
        server.address: server.health
        for pool in health.backend_address_pools
        for settings in pool.backend_http_settings_collection
        for server in settings.servers
    }
    assert shown == {"10.11.1.4": "Healthy", "10.11.1.9": "Unhealthy"}
    assert vm.provisioning_state == "Succeeded"


def test_a_subnet_that_is_being_written_makes_it_retryable(azure: Azure, document: Document) -> None:
    subnet = azure.send("GET", azure.id("virtualNetworks/subnets", "hub-vnet", "agw-subnet")).json()
    azure.network.subnets.begin_create_or_update(RG, "hub-vnet", "agw-subnet", subnet, polling=False)
    assert codes(_refused(azure, document)) == (429, "RetryableError")


def test_deleting_shows_deleting_and_frees_the_subnet(azure: Azure, gateway: str) -> None:
    azure.network.application_gateways.begin_delete(RG, "hub-agw", polling=False)
    assert azure.network.application_gateways.get(RG, "hub-agw").provisioning_state == "Deleting"
    azure.advance(5)
    assert azure.send("GET", gateway).status_code == 404
    azure.network.subnets.begin_delete(RG, "hub-vnet", "agw-subnet", polling=azure.done).result()
