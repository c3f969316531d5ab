"""An Application Gateway as one document: its collections, the ids and back-references of its parts."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from local.azure import ids
from local.azure.store import Json

TYPE = "Microsoft.Network/applicationGateways"

COLLECTIONS = (
    "gatewayIPConfigurations",
    "sslCertificates",
    "trustedRootCertificates",
    "trustedClientCertificates",
    "sslProfiles",
    "authenticationCertificates",
    "frontendIPConfigurations",
    "frontendPorts",
    "backendAddressPools",
    "loadDistributionPolicies",
    "backendHttpSettingsCollection",
    "backendSettingsCollection",
    "httpListeners",
    "listeners",
    "urlPathMaps",
    "requestRoutingRules",
    "routingRules",
    "probes",
    "rewriteRuleSets",
    "redirectConfigurations",
    "privateLinkConfigurations",
)
# which part, or which other resource, a property names
NAMED_BY = {
    "backendAddressPool": "backendAddressPools",
    "backendHttpSettings": "backendHttpSettingsCollection",
    "backendSettings": "backendSettingsCollection",
    "defaultBackendAddressPool": "backendAddressPools",
    "defaultBackendHttpSettings": "backendHttpSettingsCollection",
    "defaultRedirectConfiguration": "redirectConfigurations",
    "defaultRewriteRuleSet": "rewriteRuleSets",
    "frontendIPConfiguration": "frontendIPConfigurations",
    "frontendPort": "frontendPorts",
    "httpListener": "httpListeners",
    "listener": "listeners",
    "loadDistributionPolicy": "loadDistributionPolicies",
    "probe": "probes",
    "redirectConfiguration": "redirectConfigurations",
    "rewriteRuleSet": "rewriteRuleSets",
    "sslCertificate": "sslCertificates",
    "sslProfile": "sslProfiles",
    "targetListener": "httpListeners",
    "trustedRootCertificates": "trustedRootCertificates",
    "urlPathMap": "urlPathMaps",
}
OTHERS_NAMED_BY = {
    "subnet": "Microsoft.Network/virtualNetworks/subnets",
    "publicIPAddress": "Microsoft.Network/publicIPAddresses",
    "firewallPolicy": "Microsoft.Network/ApplicationGatewayWebApplicationFirewallPolicies",
}
CERTIFICATES = ("sslCertificates", "trustedRootCertificates", "authenticationCertificates")
# which parts show who uses them, and under which name (recorded in cli2024 ag_http_listener_with_waf_policy)
_USERS = {
    "httpListeners": ("frontendIPConfigurations", "frontendPorts", "sslCertificates", "sslProfiles"),
    "requestRoutingRules": (
        "backendAddressPools",
        "backendHttpSettingsCollection",
        "httpListeners",
        "redirectConfigurations",
        "rewriteRuleSets",
        "urlPathMaps",
    ),
    "urlPathMaps": ("backendAddressPools", "backendHttpSettingsCollection", "redirectConfigurations"),
    "backendHttpSettingsCollection": ("probes", "trustedRootCertificates"),
}
_SHOWN_BY_LISTENERS: Json = {"hostNames": [], "requireServerNameIndication": False, "enableHttp3": False}
_ALWAYS_SHOWN = frozenset(COLLECTIONS) - {"authenticationCertificates"}


def certificate_names(properties: Json) -> set[str]:
    """The certificates that a document has, as `collection/name` in lower case."""
    return {f"{each}/{part['name']}".lower() for each in CERTIFICATES for part in properties.get(each) or []}


def part_references(value: Any, by: str = "") -> Iterator[tuple[str, str]]:
    """The ids that the inside of a part mentions, each after the name of the property that does."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "id" and isinstance(inner, str):
                yield by, inner
            elif name not in _USERS or not isinstance(inner, list):
                yield from part_references(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from part_references(inner, by)


def decorated(gateway_id: str, properties: Json) -> Json:
    """The properties with every part's id, type and back-references, as GET shows them."""
    shown = copy.deepcopy(properties)
    for collection in COLLECTIONS:
        if collection in _ALWAYS_SHOWN:
            shown.setdefault(collection, [])
        if shown.get(collection, []) is None:
            shown[collection] = []
        for part in shown.get(collection) or []:
            _show_part(part, gateway_id, collection)
    _add_back_references(shown)
    return shown


def _show_part(part: Json, gateway_id: str, collection: str) -> None:
    """Its id and type, without what is secret and without the back-references that the caller sent."""
    part["id"] = f"{gateway_id}/{collection}/{part['name']}"
    part["type"] = f"{TYPE}/{collection}"
    inner = part.setdefault("properties", {})
    inner.pop("data", None)
    inner.pop("password", None)
    if collection == "httpListeners":  # [R] shown by every listener, asked for or not
        for name, value in _SHOWN_BY_LISTENERS.items():
            inner.setdefault(name, copy.deepcopy(value))
    for users in _USERS:
        if isinstance(inner.get(users), list):
            del inner[users]


def _add_back_references(shown: Json) -> None:
    by_key: dict[str, tuple[str, Json]] = {
        ids.key(part["id"]): (collection, part) for collection in COLLECTIONS for part in shown.get(collection) or []
    }
    for users, used in _USERS.items():
        for part in shown.get(users) or []:
            for reference in dict.fromkeys(ids.key(each) for _, each in part_references(part["properties"])):
                collection, other = by_key.get(reference, ("", {}))
                if collection in used:
                    other["properties"].setdefault(users, []).append({"id": part["id"]})


def stamped(properties: Json, etag: str, state: str) -> Json:
    """The same with one etag and state on every part."""
    shown = dict(properties)
    for collection in COLLECTIONS:
        if collection in shown:
            shown[collection] = [
                part | {"etag": etag, "properties": part["properties"] | {"provisioningState": state}}
                for part in shown[collection]
            ]
    return shown
