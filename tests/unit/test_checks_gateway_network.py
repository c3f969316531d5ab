"""The gateway's subnet, its TLS and its WAF policies: what Azure refuses every change for, and what it ends."""

import re
from typing import Any

import pytest

from shared.checks.findings import Finding
from shared.checks.subjects.gateway.network import (
    GatewayNetwork,
    gateway_network_findings,
    is_isolated,
    subnet_of_gateway,
)
from shared.checks.subjects.gateway.policies import tls_findings, waf_findings
from shared.errors import AzureResourceException, Failure
from shared.spoke.documents.raw import id_in

GROUP = "/subscriptions/s/resourceGroups/net-rg/providers/Microsoft.Network"
SUBNET: dict[str, Any] = {
    "id": f"{GROUP}/virtualNetworks/hub-vnet/subnets/agw-subnet",
    "properties": {"addressPrefix": "10.0.2.0/24", "networkSecurityGroup": {"id": "n"}},
}
INBOUND = "ApplicationGatewaySubnetInboundTrafficBlockedByNetworkSecurityGroup"
OUTBOUND = "ApplicationGatewaySubnetOutboundTrafficBlockedByNetworkSecurityGroup"
ROUTE = "ApplicationGatewaySubnetUserDefinedRouteNotAllowed"
TLS = "ApplicationGatewayDeprecatedTlsVersionUsedInSslPolicy"


def gateway(tags: dict[str, str] | None = None, **properties: Any) -> dict[str, Any]:
    public = [{"name": "f", "properties": {"publicIPAddress": {"id": "pip"}}}]
    subnet = {"properties": {"subnet": {"id": SUBNET["id"]}}}
    return {
        "id": f"{GROUP}/applicationGateways/hub-agw",
        "name": "hub-agw",
        "tags": tags or {},
        "properties": {"frontendIPConfigurations": public, "gatewayIPConfigurations": [subnet], **properties},
    }


def rule(name: str = "management", **changes: Any) -> dict[str, Any]:
    properties = {
        "direction": "Inbound",
        "access": "Allow",
        "protocol": "Tcp",
        "priority": 200,
        "sourceAddressPrefix": "GatewayManager",
        "destinationAddressPrefix": "*",
        "destinationPortRange": "65200-65535",
    }
    return {"name": name, "properties": properties | changes}


def deny(name: str = "deny", **changes: Any) -> dict[str, Any]:
    more = {
        "access": "Deny",
        "protocol": "*",
        "priority": 4096,
        "sourceAddressPrefix": "*",
        "destinationPortRange": "*",
    }
    return rule(name, **(more | changes))


def group(*rules: dict[str, Any]) -> dict[str, Any]:
    name = "agw-nsg"
    return {"id": f"{GROUP}/networkSecurityGroups/{name}", "name": name, "properties": {"securityRules": list(rules)}}


def found(*rules: dict[str, Any], of: dict[str, Any] | None = None) -> list[Finding]:
    return gateway_network_findings(of or gateway(), GatewayNetwork(SUBNET, group(*rules)))


def codes(findings: list[Finding]) -> list[str]:
    return [finding.code for finding in findings]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ((), [INBOUND]),
        ((rule(),), []),
        ((rule(sourceAddressPrefix="Internet"),), []),
        ((rule(sourceAddressPrefix="*", destinationPortRange="*", protocol="*"),), []),
        ((rule(sourceAddressPrefix="", sourceAddressPrefixes=["GatewayManager"]),), []),
        ((rule(destinationPortRange="", destinationPortRanges=["65200-65300", "65301-65535"]),), []),
        ((rule(destinationAddressPrefix="10.0.2.0/24"),), []),
        ((rule(destinationAddressPrefix="10.0.1.0/24"),), [INBOUND]),
        ((rule(sourceAddressPrefix="VirtualNetwork"),), [INBOUND]),
        ((rule(sourceAddressPrefix="10.0.0.0/8"),), [INBOUND]),
        ((rule(destinationPortRange="65503-65534"),), [INBOUND]),
        ((rule(protocol="Udp"),), [INBOUND]),
        ((rule(), deny()), []),
        ((rule(), deny(priority=100, sourceAddressPrefix="Internet")), [INBOUND]),
        ((rule(), deny(priority=100, destinationPortRange="443", sourceAddressPrefix="10.9.0.0/16")), []),
        ((rule(), deny(direction="Outbound")), [OUTBOUND]),
        ((rule(), deny(direction="Outbound", destinationAddressPrefix="VirtualNetwork", protocol="Tcp")), [OUTBOUND]),
        ((rule(), deny(direction="Outbound", protocol="Udp")), []),
        ((rule(), rule("out", direction="Outbound")), []),
        ((deny(direction="Outbound"),), [INBOUND, OUTBOUND]),
    ],
)
def test_what_a_network_security_group_keeps_azure_from(rules: Any, expected: list[str]) -> None:
    findings = [finding for finding in found(*rules) if finding.stops]
    assert codes(findings) == expected
    assert all(finding.resource == group()["id"] for finding in findings)


def test_the_hint_adds_the_rule_at_a_free_priority_before_the_one_that_denies() -> None:
    late, shut = rule("AllowGatewayManager", priority=400), deny("shut", priority=300)
    other = rule("x", priority=299, sourceAddressPrefix="10.0.0.0/8")
    (finding,) = (each for each in found(late, shut, other) if each.stops)
    assert "its rule shut denies it" in finding.message
    assert (
        "`az network nsg rule create --resource-group net-rg --nsg-name agw-nsg --name AllowGatewayManager2 --priority 298 "
        "--direction Inbound --access Allow --protocol Tcp --source-address-prefixes GatewayManager "
        "--destination-port-ranges 65200-65535`"
    ) in str(finding.hint)
    (finding,) = (each for each in found() if each.stops)
    assert "--priority 4096 " in str(finding.hint)
    (finding,) = (each for each in found(deny("first", priority=100)) if each.stops)
    assert "az " not in str(finding.hint)


def test_probes_of_the_load_balancer_that_are_denied_are_a_warning() -> None:
    (finding,) = found(rule(), deny())
    assert (finding.code, finding.stops) == ("LoadBalancerBlocked", False)
    assert found(rule(), rule("lb", sourceAddressPrefix="AzureLoadBalancer", destinationPortRange="*"), deny()) == []


PRIVATE: dict[str, Any] = {"frontendIPConfigurations": [{"name": "f", "properties": {"subnet": {"id": "s"}}}]}


@pytest.mark.parametrize("isolated", [gateway({"EnhancedNetworkControl": "True"}), gateway(None, **PRIVATE)])
def test_a_gateway_with_network_isolation_needs_none_of_it(isolated: dict[str, Any]) -> None:
    assert is_isolated(isolated)
    assert found(deny(direction="Outbound"), of=isolated) == []
    assert gateway_network_findings(isolated, GatewayNetwork(SUBNET, None, routes("VirtualAppliance"))) == []


def routes(hop: str, *prefixes: str) -> dict[str, Any]:
    listed = [
        {"name": f"r{number}", "properties": {"addressPrefix": prefix, "nextHopType": hop}}
        for number, prefix in enumerate(prefixes or ("0.0.0.0/0",))
    ]
    return {"id": f"{GROUP}/routeTables/agw-rt", "name": "agw-rt", "properties": {"routes": listed}}


def test_a_default_route_that_leads_elsewhere_is_refused_with_the_command() -> None:
    def of(table: dict[str, Any]) -> list[Finding]:
        return gateway_network_findings(gateway(), GatewayNetwork(SUBNET, None, table))

    for hop in ("VirtualAppliance", "VirtualNetworkGateway", "None"):
        (finding,) = of(routes(hop))
        assert (finding.code, finding.stops) == (ROUTE, True)
    assert (
        "`az network route-table route create --resource-group net-rg --route-table-name agw-rt --name r0 "
        "--address-prefix 0.0.0.0/0 --next-hop-type Internet`"
    ) in str(finding.hint)
    assert of(routes("Internet")) == []
    assert of(routes("VirtualAppliance", "10.0.0.0/8")) == []
    (finding,) = of(routes("VirtualAppliance", "0.0.0.0/1", "128.0.0.0/1"))
    assert (finding.code, finding.stops) == ("ControlTrafficRerouted", False)


@pytest.mark.parametrize(
    ("properties", "severities"),
    [
        ({}, []),
        ({"sslPolicy": {"policyType": "Predefined", "policyName": "AppGwSslPolicy20150501"}}, ["error"]),
        ({"sslPolicy": {"policyType": "Predefined", "policyName": "appgwsslpolicy20170401"}}, ["error"]),
        ({"sslPolicy": {"policyType": "Predefined", "policyName": "AppGwSslPolicy20170401S"}}, []),
        ({"sslPolicy": {"policyType": "Custom", "minProtocolVersion": "TLSv1_0"}}, ["error"]),
        ({"sslPolicy": {"policyType": "CustomV2", "minProtocolVersion": "TLSv1_2"}}, []),
        ({"defaultPredefinedSslPolicy": "AppGwSslPolicy20150501"}, ["warning"]),
        ({"defaultPredefinedSslPolicy": "AppGwSslPolicy20220101"}, []),
        (
            {
                "defaultPredefinedSslPolicy": "AppGwSslPolicy20150501",
                "sslPolicy": {"policyType": "Predefined", "policyName": "AppGwSslPolicy20220101"},
            },
            [],
        ),
        (
            {
                "sslProfiles": [
                    {"name": "strict", "properties": {}},
                    {"name": "old", "properties": {"sslPolicy": {"minProtocolVersion": "TLSv1_1"}}},
                ]
            },
            ["error"],
        ),
    ],
)
def test_tls_policies_that_have_ended(properties: dict[str, Any], severities: list[str]) -> None:
    findings = tls_findings(gateway(**properties))
    assert [finding.severity for finding in findings] == severities
    for finding in findings:
        assert finding.code == TLS
        assert re.search(
            r"`az network application-gateway ssl-(policy set|profile update) .*20220101`", str(finding.hint)
        )


def test_a_waf_policy_that_cannot_be_read_and_a_block_that_ends_are_warnings() -> None:
    assert waf_findings(gateway(), {}, {}) == []
    missing, forbidden = waf_findings(
        gateway(),
        {"/p/gone": None, "/p/read": {}},
        {"/p/secret": Failure(AzureResourceException, "AuthorizationFailed", "You may not.")},
    )
    assert {missing.code, forbidden.code} == {"WafPolicyUnknown"}
    assert not missing.stops
    block: dict[str, Any] = {"webApplicationFirewallConfiguration": {"enabled": True}}
    assert codes(waf_findings(gateway(**block), {}, {})) == ["ApplicationGatewayWafConfigurationDeprecated"]
    assert waf_findings(gateway(**block, firewallPolicy={"id": "/p"}), {}, {}) == []


def test_the_subnet_is_the_one_of_the_gateways_instances() -> None:
    hub = {"properties": {"subnets": [{"id": "other"}, SUBNET | {"id": SUBNET["id"].upper()}]}}
    found = subnet_of_gateway(hub, gateway())
    assert id_in(found, "networkSecurityGroup") == "n"
    assert id_in(found, "routeTable") == ""
    assert subnet_of_gateway({"properties": {"subnets": [{"id": "other"}]}}, gateway()) is None
    assert subnet_of_gateway(hub, None) is None
    assert id_in(None, "routeTable") == ""
