"""What the stand-in starts with: one hub, or those of a `--hubs` file, as azure-cli would have made them.

A file has the form of the app's setting HUBS; what it leaves out is as in the one hub that there is without a file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.azure import access, ids
from local.azure.arm import Arm
from local.azure.resources import gateway_document, resource_group, subnet_rules
from local.azure.resources.kind import LOCATIONS, plain_location
from local.azure.store import Json, Resource

LOCATION = "eastus"
_VERSION = "2024-05-01"
_MOST_HUBS = 16


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway of a hub. limit: how many sites it holds, where it isn't the stand-in's `--gateway-limit`."""

    name: str = "hub-agw"
    frontend_ip: str = "appGatewayFrontendIP"
    ssl_certificate: str = ""
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Hub:
    """A hub: its VNet with its gateways, and the group for its spokes."""

    subscription: str = ids.SUBSCRIPTION_ID
    group: str = "hub-rg"
    vnet: str = "hub-vnet"
    location: str = LOCATION
    spoke_subscription: str = ids.SUBSCRIPTION_ID
    spoke_group: str = "hub-rg"
    gateways: tuple[Gateway, ...] = (Gateway(),)

    def id(self, kind: str, name: str) -> str:
        """The id of a network resource in its group."""
        return f"{ids.group_id(self.group, self.subscription)}/providers/Microsoft.Network/{kind}/{name}"

    @property
    def vnet_id(self) -> str:
        """The id of its VNet."""
        return self.id("virtualNetworks", self.vnet)


def read(path: Path) -> tuple[Hub, ...]:
    """The hubs of a file; ValueError says what is wrong with it. What only the app knows of is not looked at."""
    try:
        hubs = tuple(_hub(each) for each in _objects(json.loads(path.read_text(encoding="utf-8")), "the file"))
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror}") from None
    if not 1 <= len(hubs) <= _MOST_HUBS:
        raise ValueError(f"{path} has {len(hubs)} hubs: 1 to {_MOST_HUBS} can be had")
    every = [each.vnet_id for each in hubs]
    every += [hub.id("applicationGateways", gateway.name) for hub in hubs for gateway in hub.gateways]
    for each in every:
        if [ids.key(other) for other in every].count(ids.key(each)) > 1:
            raise ValueError(f"{path} has {each} twice")
    return hubs


def _objects(value: Any, what: str) -> list[Json]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise ValueError(f"{what} is no list of objects")
    return value


def _hub(given: Json) -> Hub:
    basis = Hub()
    subscription = str(given.get("subscription_id") or basis.subscription).lower()
    group = str(given.get("resource_group") or basis.group)
    location = plain_location(str(given.get("location") or basis.location))
    if location not in LOCATIONS:
        raise ValueError(f"there is no region {location} here, but {', '.join(LOCATIONS)}")
    gateways = _objects(given.get("gateways") or [{}], "gateways")
    return Hub(
        subscription=subscription,
        group=group,
        vnet=str(given.get("vnet") or basis.vnet),
        location=location,
        spoke_subscription=str(given.get("spoke_subscription_id") or subscription).lower(),
        spoke_group=str(given.get("spoke_resource_group") or group),
        gateways=tuple(_read_gateway(each) for each in gateways),
    )


def _read_gateway(given: Json) -> Gateway:
    basis, limit = Gateway(), given.get("limit")
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise ValueError(f"the limit of a gateway is a whole number, at least 1, not {limit!r}")
    return Gateway(
        name=str(given.get("name") or basis.name),
        frontend_ip=str(given.get("frontend_ip") or basis.frontend_ip),
        ssl_certificate=str(given.get("ssl_certificate") or ""),
        limit=limit,
    )


def plant(arm: Arm, hubs: tuple[Hub, ...], planted: list[str]) -> list[str]:
    """Make every VNet and gateway that isn't in `planted`; what is there by now, by id.

    A hub or gateway that was removed through ARM doesn't come back, one that is new in the file does come.
    """
    there = list(planted)
    for number, hub in enumerate(hubs):
        access.add(arm, hub.subscription)
        access.add(arm, hub.spoke_subscription)
        if hub.vnet_id not in there:
            _make_network(arm, hub, "10.0" if number == 0 else f"172.{15 + number}")
            there.append(hub.vnet_id)
        for gateway in hub.gateways:
            gateway_id = hub.id("applicationGateways", gateway.name)
            if gateway_id not in there:
                _make_gateway(arm, hub, gateway, gateway_id)
                there.append(gateway_id)
    return there


def _make_network(arm: Arm, hub: Hub, space: str) -> None:
    """The groups and the VNet. space: the first two numbers of its addresses."""
    for group_id in (
        ids.group_id(hub.group, hub.subscription),
        ids.group_id(hub.spoke_group, hub.spoke_subscription),
    ):
        if arm.store.get(group_id) is None:
            group = {"location": hub.location, "properties": {"provisioningState": "Succeeded"}}
            arm.store.put(Resource(group_id, resource_group.TYPE, group))
    properties = {"addressSpace": {"addressPrefixes": [f"{space}.0.0/16"]}, "enableDdosProtection": False}
    _put(arm, hub, hub.vnet_id, "Microsoft.Network/virtualNetworks", properties)
    own = {"properties": {"addressPrefix": f"{space}.1.0/24"}}
    subnet_rules.store(arm, f"{hub.vnet_id}/subnets/hub-subnet", own, _VERSION)
    delegation = {
        "name": "Microsoft.Network.applicationGateways",
        "properties": {"serviceName": "Microsoft.Network/applicationGateways"},
    }
    shared = {"properties": {"addressPrefix": f"{space}.2.0/24", "delegations": [delegation]}}
    subnet_rules.store(arm, f"{hub.vnet_id}/subnets/agw-subnet", shared, _VERSION)


def _make_gateway(arm: Arm, hub: Hub, gateway: Gateway, gateway_id: str) -> None:
    """A gateway in the subnet that all gateways of the hub share, with a public address of its own."""
    taken = len(arm.store.of_type("Microsoft.Network/publicIPAddresses"))
    public = {
        "ipAddress": f"203.0.113.{10 + taken}",
        "publicIPAllocationMethod": "Static",
        "publicIPAddressVersion": "IPv4",
        "idleTimeoutInMinutes": 4,
    }
    address_id = hub.id("publicIPAddresses", f"{gateway.name}-pip")
    sku = {"name": "Standard", "tier": "Regional"}
    _put(arm, hub, address_id, "Microsoft.Network/publicIPAddresses", public, sku=sku)
    properties = _gateway(gateway_id, gateway, hub.vnet_id, address_id)
    _put(arm, hub, gateway_id, gateway_document.TYPE, gateway_document.decorated(gateway_id, properties))


def limits(hubs: tuple[Hub, ...]) -> dict[str, int]:
    """The limits of the gateways that have one of their own, by id in lower case."""
    return {
        ids.key(hub.id("applicationGateways", gateway.name)): gateway.limit
        for hub in hubs
        for gateway in hub.gateways
        if gateway.limit is not None
    }


def _put(arm: Arm, hub: Hub, resource_id: str, kind: str, properties: Json, **parts: Json) -> None:
    fixed = {"provisioningState": "Succeeded", "resourceGuid": arm.new_guid()}
    doc: Json = {"location": hub.location, "tags": {}, **parts, "properties": properties | fixed}
    arm.store.put(Resource(resource_id, kind, doc, arm.new_etag()))


def _gateway(gateway_id: str, gateway: Gateway, vnet_id: str, address_id: str) -> Json:
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
                "name": gateway.frontend_ip,
                "properties": {"privateIPAllocationMethod": "Dynamic", "publicIPAddress": {"id": address_id}},
            }
        ],
        "sslCertificates": [{"name": each, "properties": {}} for each in [gateway.ssl_certificate] if each],
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
                    "frontendIPConfiguration": part("frontendIPConfigurations", gateway.frontend_ip),
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
