"""What a gateway's PUT is refused for: parts, references, priorities, limits."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tests.contracts.azure import RG, Azure, arm_error, codes
from tests.contracts.gateways import Document, put, refused_put, with_site, with_sites, without_priority


def _shared_listener(document: Document) -> Document:
    changed = with_site(document, "a", "a.example.com", 10)
    rules = changed["properties"]["requestRoutingRules"]
    rules[1]["properties"]["httpListener"] = rules[0]["properties"]["httpListener"]
    return changed


def _pool_gone(document: Document) -> Document:
    changed = with_site(document, "a", "a.example.com", 10)
    del changed["properties"]["backendAddressPools"][1]
    return changed


def _last_pool_gone(document: Document) -> Document:
    changed = copy.deepcopy(document)
    changed["properties"]["backendAddressPools"] = []
    return changed


def _hostless_probe(document: Document) -> Document:
    changed = with_site(document, "a", "a.example.com", 10)
    del changed["properties"]["probes"][0]["properties"]["host"]
    return changed


def _double_name(document: Document) -> Document:
    changed = with_site(document, "a", "a.example.com", 10)
    changed["properties"]["backendAddressPools"].append(changed["properties"]["backendAddressPools"][1])
    return changed


def _inside(collection: str, **values: Any) -> Any:
    """A site whose pool, settings, probe, listener or port holds something else."""

    def change(document: Document) -> Document:
        changed = with_site(document, "a", "a.example.com", 10)
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
    changed = with_site(document, "a", "a.example.com", 10)
    inner = changed["properties"]["requestRoutingRules"][-1]["properties"]
    inner["backendAddressPool"] = inner["backendHttpSettings"]
    return changed


def _another_gateways_pool(document: Document) -> Document:
    changed = with_site(document, "a", "a.example.com", 10)
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
        (without_priority, "ApplicationGatewayRequestRoutingRulePriorityCannotBeEmpty"),
        (
            lambda document: with_site(document, "a", "a.example.com", None),
            "ApplicationGatewayRequestRoutingRulePartialPriorityDefined",
        ),
        (
            lambda document: with_site(document, "a", "a.example.com", 1001),
            "ApplicationGatewayRequestRoutingRulePriorityMustBeUnique",
        ),
        (
            lambda document: with_site(document, "a", "a.example.com", 20001),
            "ApplicationGatewayRequestRoutingRulePriorityOutOfRange",
        ),
        (
            lambda document: with_site(with_site(document, "a", "a.example.com", 10), "b", "A.example.com", 11),
            "ApplicationGatewayHttpListenersUsingSameFrontendPortHostNameAndFrontendIpConfig",
        ),
        (lambda document: with_site(document, "a", None, 10), "ApplicationGatewayHttpListenersUsingSameFrontendPort"),
        (_pool_gone, "InvalidResourceReference"),
        (_last_pool_gone, "ApplicationGatewayMustHaveAtleastOneResourceOfType"),
        (_hostless_probe, "ApplicationGatewayProbeHostIsNull"),
        (_double_name, "InvalidRequestFormat"),
        (lambda document: with_site(document, "-a", "a.example.com", 10), "InvalidResourceName"),
    ],
)
def test_the_whole_document_is_validated(azure: Azure, document: Document, change: Any, code: str) -> None:
    assert codes(refused_put(azure, change(document))) == (400, code)
    assert azure.network.application_gateways.get(RG, "hub-agw").etag == document["etag"], "and nothing has changed"


def test_the_words_of_a_pool_that_is_still_named_and_of_two_alike(
    azure: Azure, gateway: str, document: Document
) -> None:
    assert arm_error(refused_put(azure, _pool_gone(document))).message == (
        f"Resource {gateway}/backendAddressPools/a-pool referenced by resource {gateway}/requestRoutingRules/a-rule was not "
        "found. Please make sure that the referenced resource exists, and that both resources are in the same region."
    )
    error = arm_error(refused_put(azure, _double_name(document)))
    assert error.message == "Cannot parse the request."
    assert (error.details[0].code, error.details[0].message) == (
        "DuplicateResourceName",
        f"Resource {gateway} has two child resources with the same name (a-pool).",
    )
    assert arm_error(refused_put(azure, with_site(document, "a", "a.example.com", 1001))).message == (
        f"Priority must be unique across all the request routing rules. Rules {gateway}/requestRoutingRules/"
        f"defaultRoutingRule and {gateway}/requestRoutingRules/a-rule cannot have the same priority 1001."
    )


def test_the_words_of_a_probe_out_of_range_and_of_an_id_of_another_type(
    azure: Azure, gateway: str, document: Document
) -> None:
    assert arm_error(refused_put(azure, _inside("probes", unhealthyThreshold=21)(document))).message == (
        f"Unhealthy threshold specified for Probe {gateway}/probes/a-probe is not valid. Supported range is [0, 20]."
    )
    assert arm_error(refused_put(azure, _inside("probes", path="x")(document))).message == (
        f"Path specified for Probe {gateway}/probes/a-probe is not valid. Path must start with a forward slash  and meet "
        "the format requirements."
    )
    detail = arm_error(refused_put(azure, _wrong_type(document))).details[0]
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
    assert put(azure, _inside(collection, **values)(document)).provisioning_state == "Succeeded"


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


def test_older_api_versions_do_without_priorities(azure: Azure, gateway: str, document: Document) -> None:
    assert azure.send("PUT", gateway, without_priority(document), version="2021-05-01").status_code == 200


def test_a_gateway_holds_a_hundred_pools_settings_and_active_listeners(azure: Azure, document: Document) -> None:
    full = with_sites(document, 99)
    error = refused_put(azure, with_site(full, "more", "more.example.com", 500))
    assert codes(error)[0] == 400
    assert "maximum allowed: 100" in arm_error(error).message
    assert len(put(azure, full).request_routing_rules) == 100


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
    document = with_sites(document, 40)
    document["properties"] |= waf(azure, {"ruleSetType": "OWASP", "ruleSetVersion": "3.1"})
    assert "maximum allowed: 40" in arm_error(refused_put(azure, document)).message
    document["properties"] |= waf(azure, {"ruleSetType": "OWASP", "ruleSetVersion": "3.2"})
    assert len(put(azure, document).request_routing_rules) == 41


@pytest.mark.parametrize("waf", [_by_configuration, _by_policy])
def test_old_rules_leave_a_hundred_pools(azure: Azure, document: Document, waf: Any) -> None:
    """The table of limits has no footnote at pools (azure-docs includes/application-gateway-limits.md)."""
    document["properties"]["sku"] = {"name": "WAF_v2", "tier": "WAF_v2"}
    document["properties"] |= waf(azure, {"ruleSetType": "OWASP", "ruleSetVersion": "3.0"})
    for number in range(60):
        document["properties"]["backendAddressPools"].append({"name": f"p{number}", "properties": {}})
    assert len(put(azure, document).backend_address_pools) == 61


def test_a_policy_takes_the_place_of_the_gateways_own_block(azure: Azure, document: Document) -> None:
    document["properties"]["sku"] = {"name": "WAF_v2", "tier": "WAF_v2"}
    document = with_sites(document, 45)
    document["properties"] |= _by_configuration(azure, {"ruleSetType": "OWASP", "ruleSetVersion": "3.0"})
    document["properties"] |= _by_policy(azure, {"ruleSetType": "OWASP", "ruleSetVersion": "3.2"})
    assert len(put(azure, document).request_routing_rules) == 46


MANAGEMENT = {
    "direction": "Inbound",
    "access": "Allow",
    "protocol": "Tcp",
    "priority": 200,
    "sourceAddressPrefix": "GatewayManager",
    "sourcePortRange": "*",
    "destinationAddressPrefix": "*",
    "destinationPortRange": "65200-65535",
}
DENY_OUT = MANAGEMENT | {"direction": "Outbound", "access": "Deny", "sourceAddressPrefix": "*", "protocol": "*"}
INBOUND = "ApplicationGatewaySubnetInboundTrafficBlockedByNetworkSecurityGroup"
OUTBOUND = "ApplicationGatewaySubnetOutboundTrafficBlockedByNetworkSecurityGroup"


def _on_subnet(azure: Azure, **used: str) -> None:
    hub = next(each for each in azure.local("GET", "resources") if each["name"] == "hub-vnet")
    subnet = next(each for each in hub["properties"]["subnets"] if each["name"] == "agw-subnet")
    subnet["properties"] |= {name: {"id": resource_id} for name, resource_id in used.items()}
    azure.plant(subnet)


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ([], INBOUND),
        ([MANAGEMENT | {"sourceAddressPrefix": "VirtualNetwork"}], INBOUND),
        ([MANAGEMENT | {"destinationPortRange": "65200-65500"}], INBOUND),
        ([MANAGEMENT, MANAGEMENT | {"priority": 100, "sourceAddressPrefix": "*", "access": "Deny"}], INBOUND),
        ([MANAGEMENT, DENY_OUT], OUTBOUND),
        ([MANAGEMENT, DENY_OUT | {"destinationAddressPrefix": "VirtualNetwork"}], OUTBOUND),
        ([MANAGEMENT, DENY_OUT | {"protocol": "Udp"}], None),
        ([MANAGEMENT], None),
        ([MANAGEMENT | {"sourceAddressPrefix": "Internet", "destinationAddressPrefix": "10.0.2.0/24"}], None),
    ],
)
def test_the_network_security_group_of_a_gateways_subnet(
    azure: Azure, document: Document, rules: list[Document], code: str | None
) -> None:
    group = azure.id("networkSecurityGroups", "agw-nsg")
    named = [{"name": f"r{number}", "properties": rule} for number, rule in enumerate(rules)]
    azure.plant({"id": group, "location": "eastus", "properties": {"securityRules": named}})
    _on_subnet(azure, networkSecurityGroup=group)
    if code is None:
        put(azure, document)
        return
    error = refused_put(azure, document)
    assert codes(error) == (400, code)
    assert group in arm_error(error).message
    assert document["id"] in arm_error(error).message
    put(azure, document | {"tags": {"EnhancedNetworkControl": "True"}})


@pytest.mark.parametrize(("hop", "refused"), [("VirtualAppliance", True), ("None", True), ("Internet", False)])
def test_the_default_route_of_a_gateways_subnet(azure: Azure, document: Document, hop: str, refused: bool) -> None:
    table = azure.id("routeTables", "agw-routes")
    route = {"name": "default", "properties": {"addressPrefix": "0.0.0.0/0", "nextHopType": hop}}
    azure.plant({"id": table, "location": "eastus", "properties": {"routes": [route]}})
    _on_subnet(azure, routeTable=table)
    if not refused:
        put(azure, document)
        return
    error = refused_put(azure, document)
    assert codes(error) == (400, "ApplicationGatewaySubnetUserDefinedRouteNotAllowed")


@pytest.mark.parametrize(
    ("policy", "refused"),
    [
        ({"policyType": "Predefined", "policyName": "AppGwSslPolicy20150501"}, True),
        ({"policyType": "Custom", "minProtocolVersion": "TLSv1_1", "cipherSuites": []}, True),
        ({"policyType": "Predefined", "policyName": "AppGwSslPolicy20220101S"}, False),
        ({"policyType": "Custom", "minProtocolVersion": "TLSv1_2", "cipherSuites": []}, False),
    ],
)
def test_a_tls_policy_that_has_ended_is_refused(azure: Azure, document: Document, policy: Any, refused: bool) -> None:
    for part in ({"sslPolicy": policy}, {"sslProfiles": [{"name": "old", "properties": {"sslPolicy": policy}}]}):
        changed = copy.deepcopy(document)
        changed["properties"] |= part
        if refused:
            error = refused_put(azure, changed)
            assert codes(error) == (400, "ApplicationGatewayDeprecatedTlsVersionUsedInSslPolicy")
            assert document["id"] in arm_error(error).message
        else:
            put(azure, changed)
