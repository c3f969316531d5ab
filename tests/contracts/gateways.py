"""The gateway's document as tests change and send it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError

from tests.contracts.azure import RG, Azure

Document = dict[str, Any]


def with_site(
    document: Document, name: str, host: str | None, priority: int | None, address: str = "10.11.1.4"
) -> Document:
    """The document with one more pool, settings, listener and rule."""
    changed = copy.deepcopy(document)
    _add_site(changed, name, host, priority, address)
    return changed


def with_sites(document: Document, count: int) -> Document:
    """The document with so many more, each with a host name and a priority of its own."""
    changed = copy.deepcopy(document)
    for number in range(count):
        _add_site(changed, f"s{number}", f"s{number}.example.com", number + 1, "10.11.1.4")
    return changed


def _add_site(document: Document, name: str, host: str | None, priority: int | None, address: str) -> None:
    properties, gateway = document["properties"], document["id"]

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
    rule: Document = {
        "ruleType": "Basic",
        "httpListener": part("httpListeners", f"{name}-listener"),
        "backendAddressPool": part("backendAddressPools", f"{name}-pool"),
        "backendHttpSettings": part("backendHttpSettingsCollection", f"{name}-settings"),
    }
    if priority is not None:
        rule["priority"] = priority
    properties["requestRoutingRules"].append({"name": f"{name}-rule", "properties": rule})


def refused_put(azure: Azure, document: Document) -> HttpResponseError:
    with pytest.raises(HttpResponseError) as caught:
        azure.network.application_gateways.begin_create_or_update(RG, "hub-agw", document)
    return caught.value


def put(azure: Azure, document: Document) -> Any:
    return azure.network.application_gateways.begin_create_or_update(
        RG, "hub-agw", document, polling=azure.done
    ).result()


def without_priority(document: Document) -> Document:
    changed = copy.deepcopy(document)
    del changed["properties"]["requestRoutingRules"][0]["properties"]["priority"]
    return changed
