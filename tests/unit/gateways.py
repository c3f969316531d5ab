"""Gateways and sites for the tests of the gateway's pure parts."""

import copy
from dataclasses import replace
from typing import Any, TypeVar

from local.azure.resources.gateway_document import decorated, stamped
from shared.spoke.documents.raw import Document, listed
from shared.spoke.plan import SiteNames
from shared.writers.gateway.site_rows import GatewayWriter, Site, SiteRow

GATEWAY_ID = (
    "/subscriptions/5ca1ab1e-0000-4000-8000-0000000000a1/resourceGroups/hub-rg/providers/Microsoft.Network"
    "/applicationGateways/hub-agw"
)
NOW = "2026-01-01T00:00:00.000Z"


def part(collection: str, name: str) -> dict[str, str]:
    return {"id": f"{GATEWAY_ID}/{collection}/{name}"}


def listener(name: str, *hosts: str, port: str = "port_80") -> Document:
    own: Document = {
        "frontendIPConfiguration": part("frontendIPConfigurations", "appGatewayFrontendIP"),
        "frontendPort": part("frontendPorts", port),
        "protocol": "Http",
    }
    if len(hosts) == 1:
        own["hostName"] = hosts[0]
    elif hosts:
        own["hostNames"] = list(hosts)
    return {"name": name, "properties": own}


def rule(name: str, listener_name: str, priority: int | None) -> Document:
    own: Document = {
        "ruleType": "Basic",
        "httpListener": part("httpListeners", listener_name),
        "backendAddressPool": part("backendAddressPools", "defaultPool"),
        "backendHttpSettings": part("backendHttpSettingsCollection", "defaultSettings"),
    }
    if priority is not None:
        own["priority"] = priority
    return {"name": name, "properties": own}


T = TypeVar("T")


def known(value: T | None) -> T:
    """What a test takes to be there."""
    assert value is not None
    return value


def gateway(default_priority: int | None = 1001, *more: tuple[Document, Document], **properties: Any) -> Document:
    """The hub's gateway as ARM shows it, with more `(listener, rule)` and with properties that no SDK knows."""
    return served(
        {
            "id": GATEWAY_ID,
            "name": "hub-agw",
            "type": "Microsoft.Network/applicationGateways",
            "location": "eastus",
            "tags": {"team": "platform"},
            "futureTop": {"b": [1, {"deep": None}], "a": 1.5},
            "etag": 'W/"1"',
            "properties": {
                "provisioningState": "Succeeded",
                "operationalState": "Running",
                "sku": {"name": "Standard_v2", "tier": "Standard_v2", "futureSku": True},
                "gatewayIPConfigurations": [{"name": "ip", "properties": {"subnet": {"id": "/subnets/agw"}}}],
                "frontendIPConfigurations": [{"name": "appGatewayFrontendIP", "properties": {"publicIPAddress": {}}}],
                "frontendPorts": [
                    {"name": "port_443", "properties": {"port": 443}},
                    {"name": "port_80", "properties": {"port": 80}},
                ],
                "sslCertificates": [{"name": "wildcard", "properties": {"publicCertData": "MII"}}],
                "backendAddressPools": [
                    {"name": "defaultPool", "properties": {"backendAddresses": [], "futurePool": {"x": [2, 1]}}}
                ],
                "probes": [],
                "backendHttpSettingsCollection": [{"name": "defaultSettings", "properties": {"port": 80}}],
                "httpListeners": [listener("defaultListener"), *(each for each, _ in more)],
                "requestRoutingRules": [
                    rule("defaultRoutingRule", "defaultListener", default_priority),
                    *(each for _, each in more),
                ],
                "rewriteRuleSets": [{"name": "rewrites", "properties": {"rewriteRules": [{"ruleSequence": 100}]}}],
                "futureList": [3, 1, 2],
                **properties,
            },
        }
    )


def served(document: Document, state: str = "Succeeded") -> Document:
    """A document as ARM shows it after a PUT: ids, back-references, states."""
    shown = copy.deepcopy(document)
    properties = decorated(GATEWAY_ID, shown["properties"])
    properties["provisioningState"] = state
    shown["properties"] = stamped(properties, shown.get("etag", ""), state)
    return shown


def site_row(number: int, **changes: Any) -> SiteRow:
    client = f"client-{number}"
    row = SiteRow(
        client=client,
        made_by=f"deploy-{client}",
        deployment_id=f"deploy-{client}",
        names=SiteNames(
            f"{client}-pool", f"{client}-probe", f"{client}-http-settings", f"{client}-listener", f"{client}-route"
        ),
        site=Site(f"{client}.spokes.example.com", f"10.11.{number % 256}.4"),
        desired_version=1,
        since=f"2026-01-01T00:00:{number % 60:02d}.000Z",
    )
    return replace(row, **changes)


def applied_rows(decided: Any, rows: list[SiteRow]) -> list[SiteRow]:
    """The rows after the marks and preparations of a round."""
    changed = {row.client: row for row in [*decided.prepared, *decided.applied, *decided.failed]}
    gone = {row.client for row in decided.gone}
    return [changed.get(row.client, row) for row in rows if row.client not in gone]


def numbers_of(document: Document) -> dict[str, int | None]:
    return {each["name"]: each["properties"].get("priority") for each in listed(document, "requestRoutingRules")}


WRITER = GatewayWriter()
