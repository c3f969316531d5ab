"""What the stand-in starts with: the hub of the design, as azure-cli would have made it."""

from __future__ import annotations

from local.azure import ids
from local.azure.arm import Arm
from local.azure.resources import gateway_document, resource_group, subnet_rules
from local.azure.store import Json, Resource

GROUP = "hub-rg"
LOCATION = "eastus"


def _id(kind: str, name: str) -> str:
    return f"{ids.group_id(GROUP)}/providers/Microsoft.Network/{kind}/{name}"


def plant(arm: Arm) -> None:
    """Put the hub into an empty store."""
    group = {"location": LOCATION, "properties": {"provisioningState": "Succeeded"}}
    arm.store.put(Resource(ids.group_id(GROUP), resource_group.TYPE, group))
    vnet_id = _id("virtualNetworks", "hub-vnet")
    space = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "enableDdosProtection": False}
    _put(arm, vnet_id, "Microsoft.Network/virtualNetworks", space)
    subnet_rules.store(
        arm, f"{vnet_id}/subnets/hub-subnet", {"properties": {"addressPrefix": "10.0.1.0/24"}}, "2024-05-01"
    )
    delegation = {
        "name": "Microsoft.Network.applicationGateways",
        "properties": {"serviceName": "Microsoft.Network/applicationGateways"},
    }
    subnet_rules.store(
        arm,
        f"{vnet_id}/subnets/agw-subnet",
        {"properties": {"addressPrefix": "10.0.2.0/24", "delegations": [delegation]}},
        "2024-05-01",
    )
    public = {
        "ipAddress": "203.0.113.10",
        "publicIPAllocationMethod": "Static",
        "publicIPAddressVersion": "IPv4",
        "idleTimeoutInMinutes": 4,
    }
    address_id = _id("publicIPAddresses", "hub-agw-pip")
    _put(arm, address_id, "Microsoft.Network/publicIPAddresses", public, sku={"name": "Standard", "tier": "Regional"})
    gateway_id = _id("applicationGateways", "hub-agw")
    properties = gateway_document.decorated(gateway_id, _gateway(gateway_id, vnet_id, address_id))
    _put(arm, gateway_id, gateway_document.TYPE, properties)


def _put(arm: Arm, resource_id: str, kind: str, properties: Json, **parts: Json) -> None:
    fixed = {"provisioningState": "Succeeded", "resourceGuid": arm.new_guid()}
    doc: Json = {"location": LOCATION, "tags": {}, **parts, "properties": properties | fixed}
    arm.store.put(Resource(resource_id, kind, doc, arm.new_etag()))


def _gateway(gateway_id: str, vnet_id: str, address_id: str) -> Json:
    def part(collection: str, name: str) -> Json:
        return {"id": f"{gateway_id}/{collection}/{name}"}

    return {
        "sku": {"name": "Standard_v2", "tier": "Standard_v2", "family": "Generation_1"},
        "operationalState": "Running",
        "autoscaleConfiguration": {"minCapacity": 2, "maxCapacity": 10},
        "defaultPredefinedSslPolicy": "AppGwSslPolicy20220101",
        "privateEndpointConnections": [],
        "gatewayIPConfigurations": [
            {"name": "appGatewayIpConfig", "properties": {"subnet": {"id": f"{vnet_id}/subnets/agw-subnet"}}}
        ],
        "frontendIPConfigurations": [
            {
                "name": "appGatewayFrontendIP",
                "properties": {"privateIPAllocationMethod": "Dynamic", "publicIPAddress": {"id": address_id}},
            }
        ],
        "frontendPorts": [{"name": "appGatewayFrontendPort", "properties": {"port": 80}}],
        "backendAddressPools": [{"name": "defaultPool", "properties": {"backendAddresses": []}}],
        "backendHttpSettingsCollection": [
            {
                "name": "appGatewayBackendHttpSettings",
                "properties": {
                    "port": 80,
                    "protocol": "Http",
                    "cookieBasedAffinity": "Disabled",
                    "connectionDraining": {"enabled": False, "drainTimeoutInSec": 1},
                    "pickHostNameFromBackendAddress": False,
                    "requestTimeout": 30,
                },
            }
        ],
        "httpListeners": [
            {
                "name": "appGatewayHttpListener",
                "properties": {
                    "frontendIPConfiguration": part("frontendIPConfigurations", "appGatewayFrontendIP"),
                    "frontendPort": part("frontendPorts", "appGatewayFrontendPort"),
                    "protocol": "Http",
                    "hostNames": [],
                    "requireServerNameIndication": False,
                    "enableHttp3": False,
                },
            }
        ],
        "requestRoutingRules": [
            {
                "name": "defaultRoutingRule",
                "properties": {
                    "ruleType": "Basic",
                    "priority": 1001,
                    "httpListener": part("httpListeners", "appGatewayHttpListener"),
                    "backendAddressPool": part("backendAddressPools", "defaultPool"),
                    "backendHttpSettings": part("backendHttpSettingsCollection", "appGatewayBackendHttpSettings"),
                },
            }
        ],
    }
