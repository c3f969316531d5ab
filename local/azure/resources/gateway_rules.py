"""What an Application Gateway's PUT is refused for: it is validated as one document."""

from __future__ import annotations

from typing import Any

from local.azure import errors, ids
from local.azure.arm import Arm
from local.azure.resources import gateway_network, gateway_values, references
from local.azure.resources.gateway_document import COLLECTIONS, NAMED_BY, OTHERS_NAMED_BY, TYPE, part_references
from local.azure.store import Json, Resource

PRIORITIES_REQUIRED_SINCE = "2021-08-01"
_AT_LEAST_ONE = {
    "gatewayIPConfigurations": "GatewayIPConfiguration",
    "frontendIPConfigurations": "FrontendIPConfiguration",
    "frontendPorts": "FrontendPort",
    "backendAddressPools": "BackendAddressPool",
    "backendHttpSettingsCollection": "BackendHttpSettings",
    "httpListeners": "HttpListener",
    "requestRoutingRules": "RequestRoutingRule",
}


def check(arm: Arm, gateway_id: str, body: Json, api_version: str, kept: set[str]) -> None:
    """The whole document. Parts are checked in the order in which they depend on each other; `kept` are the
    certificates that the gateway has already."""
    properties: Json = body.get("properties") or {}
    sku = properties.get("sku") or body.get("sku") or {}
    if not isinstance(sku, dict) or str(sku.get("tier")) not in ("Standard_v2", "WAF_v2", "Standard", "WAF", "Basic"):
        raise errors.cannot_parse("InvalidJson", f"Value '{sku}' is not valid for 'sku'.")
    known = _names(gateway_id, properties)
    for collection, noun in _AT_LEAST_ONE.items():
        if not properties.get(collection):
            raise errors.by_network(
                "ApplicationGatewayMustHaveAtleastOneResourceOfType",
                f"At least one {noun} resource must be specified for the Application Gateway {gateway_id}.",
            )
    _check_references(arm, gateway_id, properties, known)
    _check_listeners(gateway_id, properties)
    _check_rules(gateway_id, properties, str(sku["tier"]), api_version)
    gateway_values.check(gateway_id, properties)
    _check_certificates(gateway_id, properties, kept)
    _check_limits(arm, gateway_id, properties)


def _inner(part: Json) -> Json:
    return part.get("properties") or {}


def _reference(part: Json, name: str) -> str:
    found: Any = (_inner(part).get(name) or {}).get("id")
    return ids.key(str(found)) if found else ""


def _names(gateway_id: str, properties: Json) -> set[str]:
    known = set()
    for collection in COLLECTIONS:
        for part in properties.get(collection) or []:
            name = part.get("name") if isinstance(part, dict) else None
            identity = ids.parse(f"{gateway_id}/{collection}/{name}")
            if not isinstance(name, str) or identity is None:
                raise errors.cannot_parse("MissingResourceName", f"A part of {collection} of {gateway_id} has no name.")
            _check_name(name)
            if ids.key(str(identity)) in known:
                raise errors.cannot_parse(
                    "DuplicateResourceName",
                    f"Resource {gateway_id} has two child resources with the same name ({name}).",
                )
            known.add(ids.key(str(identity)))
    return known


def _check_name(name: str) -> None:
    fine = (
        len(name) <= 80
        and (name[0].isalnum() or name[0] == "_")
        and (name[-1].isalnum() or name[-1] == "_")
        and all(each.isalnum() or each in "._-" for each in name)
    )
    if not fine:
        raise errors.by_network(
            "InvalidResourceName",
            f"Resource name {name} is invalid. The name can be up to 80 characters long. It must begin with a word "
            "character, and it must end with a word character or with '_'. The name may contain word characters or "
            "'.', '-', '_'.",
        )


def _check_references(arm: Arm, gateway_id: str, properties: Json, known: set[str]) -> None:
    """An id that points nowhere, inside the gateway or outside it."""
    for collection in COLLECTIONS:
        for number, part in enumerate(properties.get(collection) or []):
            part_id = f"{gateway_id}/{collection}/{part['name']}"
            for name, reference in part_references(_inner(part)):
                key = ids.key(reference)
                _check_type(name, reference, f"properties.{collection}[{number}].properties.{name}")
                if key.startswith(ids.key(gateway_id) + "/"):
                    found = key in known or key.count("/") > ids.key(gateway_id).count("/") + 2
                elif "/microsoft.network/" in key:
                    found = arm.store.get(reference) is not None
                else:
                    found = True
                if not found:
                    raise errors.invalid_reference(reference, part_id)
    for part in properties["gatewayIPConfigurations"]:
        subnet = arm.store.get(_reference(part, "subnet"))
        if subnet is not None:
            references.refuse_unsettled(arm, subnet, gateway_id)
    for part in properties["requestRoutingRules"]:
        _check_rule_is_whole(gateway_id, part)


def _check_type(name: str, reference: str, at: str) -> None:
    if name in NAMED_BY:
        references.check_type(reference, f"{TYPE}/{NAMED_BY[name]}", at)
    elif name in OTHERS_NAMED_BY:
        references.check_type(reference, OTHERS_NAMED_BY[name], at)


def check_isolation(arm: Arm, gateway_id: str, body: Json, *, new: bool) -> None:
    """Azure isolates every new v2 gateway, and wants its subnet delegated; of those that were there, the ones with the
    tag that says so [I]."""
    tagged = str((body.get("tags") or {}).get("EnhancedNetworkControl")).lower() == "true"
    if not new and not tagged:
        return
    for part in (body.get("properties") or {})["gatewayIPConfigurations"]:
        subnet = arm.store.get(_reference(part, "subnet"))
        if subnet is not None and TYPE.lower() not in _delegated_to(subnet):
            raise errors.by_network(
                "ApplicationGatewayNetworkIsolationRequiresSubnetDelegation",
                f"Application Gateway {gateway_id} with NetworkIsolation requires subnet delegation. Please delegate "
                f"subnet {subnet.id} to {TYPE}.",
            )


def _delegated_to(subnet: Resource) -> set[str]:
    services = [_inner(each).get("serviceName") for each in subnet.properties.get("delegations") or []]
    return {str(each).lower() for each in services}


def _check_rule_is_whole(gateway_id: str, rule: Json) -> None:
    inner = _inner(rule)
    rule_id = f"{gateway_id}/requestRoutingRules/{rule['name']}"
    if not _reference(rule, "httpListener"):
        raise errors.by_network(
            "ApplicationGatewayRequestRoutingRuleMissingHttpListener",
            f"Request routing rule {rule_id} does not reference an http listener.",
        )
    if inner.get("ruleType", "Basic") not in ("Basic", "PathBasedRouting"):
        raise errors.cannot_parse("InvalidJson", f"Value '{inner['ruleType']}' is not valid for 'ruleType'.")
    if inner.get("ruleType", "Basic") == "Basic" and not inner.get("redirectConfiguration"):
        for name in ("backendAddressPool", "backendHttpSettings"):
            if not _reference(rule, name) and not (
                name == "backendAddressPool" and inner.get("loadDistributionPolicy")
            ):
                raise errors.by_network(
                    "ApplicationGatewayRequestRoutingRuleBasicMissingBackend",
                    f"Basic request routing rule {rule_id} must reference {name} or a redirect configuration.",
                )
    if inner.get("ruleType") == "PathBasedRouting" and not inner.get("urlPathMap"):
        raise errors.by_network(
            "ApplicationGatewayPathBasedRoutingRuleMissingUrlPathMap",
            f"Path based request routing rule {rule_id} must reference a URL path map.",
        )


def hosts_of(listener: Json) -> list[str]:
    """The host names of a listener, in either spelling; none means that it is a basic one."""
    inner = _inner(listener)
    found = [inner["hostName"]] if inner.get("hostName") else []
    return [str(each).lower() for each in found + list(inner.get("hostNames") or [])]


def _check_listeners(gateway_id: str, properties: Json) -> None:
    seen: dict[tuple[str, str, str], str] = {}
    for listener in properties["httpListeners"]:
        listener_id = f"{gateway_id}/httpListeners/{listener['name']}"
        inner = _inner(listener)
        for name in ("frontendIPConfiguration", "frontendPort"):
            if not _reference(listener, name):
                raise errors.by_network(
                    f"ApplicationGatewayHttpListenerMissing{name[0].upper()}{name[1:]}",
                    f"Http listener {listener_id} does not reference a {name}.",
                )
        if str(inner.get("protocol")).lower() == "https" and not inner.get("sslCertificate"):
            raise errors.by_network(
                "ApplicationGatewayHttpsListenerMustReferenceSslCert",
                f"Https listener {listener_id} must reference an SSL certificate.",
            )
        hosts = hosts_of(listener)
        if len(hosts) > 5:
            raise errors.by_network(
                "ApplicationGatewayHttpListenerTooManyHostNames",
                f"Http listener {listener_id} has {len(hosts)} host names. The maximum is 5.",
            )
        frontend, port = inner["frontendIPConfiguration"]["id"], inner["frontendPort"]["id"]
        for host in hosts or [""]:
            place = (ids.key(frontend), ids.key(port), host)
            if place in seen and host:
                raise errors.by_network(
                    "ApplicationGatewayHttpListenersUsingSameFrontendPortHostNameAndFrontendIpConfig",
                    f"Two Http Listeners of Application Gateway {seen[place]} and {listener_id} are using the same "
                    f"Frontend Port {port}, HostName {host} and FrontendIpConfiguration {frontend}.",
                )
            if place in seen:
                raise errors.by_network(
                    "ApplicationGatewayHttpListenersUsingSameFrontendPort",
                    f"Two Http Listeners of Application Gateway {gateway_id} are using the same Frontend Port {port}.",
                )
            seen[place] = listener_id


def _check_rules(gateway_id: str, properties: Json, tier: str, api_version: str) -> None:
    listeners: set[str] = set()
    priorities: dict[int, str] = {}
    rules = properties["requestRoutingRules"]
    for rule in rules:
        listener = _inner(rule)["httpListener"]["id"]
        if ids.key(listener) in listeners:
            raise errors.by_network(
                "ApplicationGatewayRequestRoutingRulesUsingSameHttpListener",
                f"Two Request Routing Rules of Application Gateway {gateway_id} are using the same Http Listener "
                f"{listener}.",
            )
        listeners.add(ids.key(listener))
    given = [rule for rule in rules if _inner(rule).get("priority") is not None]
    if given and len(given) < len(rules):
        raise errors.by_network(
            "ApplicationGatewayRequestRoutingRulePartialPriorityDefined",
            "Either all or no rule should have the priority specified.",
        )
    if not given and tier.endswith("_v2") and api_version >= PRIORITIES_REQUIRED_SINCE:
        raise errors.by_network(
            "ApplicationGatewayRequestRoutingRulePriorityCannotBeEmpty",
            f"Priority for the request routing rule {gateway_id}/requestRoutingRules/{rules[0]['name']} cannot be "
            "empty. All request routing rules should have a priority defined starting from api-version 2021-08-01",
        )
    for rule in given:
        rule_id, priority = f"{gateway_id}/requestRoutingRules/{rule['name']}", _inner(rule)["priority"]
        if not isinstance(priority, int) or not 1 <= priority <= 20000:
            raise errors.by_network(
                "ApplicationGatewayRequestRoutingRulePriorityOutOfRange",
                f"Priority {priority} of the request routing rule {rule_id} is not within the range 1 to 20000.",
            )
        if priority in priorities:
            raise errors.by_network(
                "ApplicationGatewayRequestRoutingRulePriorityMustBeUnique",
                f"Priority must be unique across all the request routing rules. Rules {priorities[priority]} and "
                f"{rule_id} cannot have the same priority {priority}.",
            )
        priorities[priority] = rule_id


def _check_certificates(gateway_id: str, properties: Json, kept: set[str]) -> None:
    """One that is there needs no data; a new one does, or an address in a key vault [R]."""
    for certificate in properties.get("sslCertificates") or []:
        inner, name = _inner(certificate), certificate["name"]
        if f"sslcertificates/{name.lower()}" not in kept and not (inner.get("data") or inner.get("keyVaultSecretId")):
            raise errors.by_network(
                "ApplicationGatewaySslCertificateDataMustBeSpecified",
                f"Data for certificate {gateway_id}/sslCertificates/{name} must be specified.",
            )


def _check_limits(arm: Arm, gateway_id: str, properties: Json) -> None:
    """[D]; the code is unknown there [U]."""
    limits = gateway_network.limits(arm, gateway_id, properties)
    active = {ids.key(_inner(rule)["httpListener"]["id"]) for rule in properties["requestRoutingRules"]}
    for noun, count in (
        ("BackendAddressPools", len(properties["backendAddressPools"])),
        ("BackendHttpSettings", len(properties["backendHttpSettingsCollection"])),
        ("active HttpListeners", len(active)),
        ("HttpListeners", len(properties["httpListeners"])),
        ("RequestRoutingRules", len(properties["requestRoutingRules"])),
        ("FrontendPorts", len(properties["frontendPorts"])),
        ("SslCertificates", len(properties.get("sslCertificates") or [])),
        ("RedirectConfigurations", len(properties.get("redirectConfigurations") or [])),
    ):
        if count > limits[noun]:
            raise errors.by_network(
                "ApplicationGatewayResourceCountExceedsLimit",
                f"The number of {noun} of Application Gateway {gateway_id} exceeds the maximum allowed. Number found: "
                f"{count}, maximum allowed: {limits[noun]}.",
            )
    for pool in properties["backendAddressPools"]:
        targets = _inner(pool).get("backendAddresses") or []
        if len(targets) > 1200:
            raise errors.by_network(
                "ApplicationGatewayResourceCountExceedsLimit",
                f"The number of targets of {gateway_id}/backendAddressPools/{pool['name']} exceeds the maximum allowed. "
                f"Number found: {len(targets)}, maximum allowed: 1200.",
            )
