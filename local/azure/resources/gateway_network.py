"""What the gateway's subnet and its TLS policies must not have: a PUT of a v2 gateway is refused for it [I], [D].

A gateway with network isolation needs neither the inbound rule nor the way to the Internet ([D] private deployment):
every gateway that is made here, one with the tag EnhancedNetworkControl, and one without a public frontend.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from local.azure import addresses, errors, ids
from local.azure.arm import Arm
from local.azure.store import Json, Resource

_MANAGEMENT_PORTS = range(65200, 65536)
_ANYWHERE = frozenset({"*", "internet", "0.0.0.0/0"})
_RETIRED_POLICIES = frozenset({"appgwsslpolicy20150501", "appgwsslpolicy20170401"})
_RETIRED_VERSIONS = frozenset({"tlsv1_0", "tlsv1_1"})


def check(arm: Arm, gateway_id: str, body: Json, existing: Resource | None) -> None:
    """The network security group and the route table of the subnet, then the TLS policies."""
    properties: Json = body.get("properties") or {}
    sku = properties.get("sku") or body.get("sku") or {}
    if not str(sku.get("tier")).lower().endswith("_v2"):
        return
    _check_tls(gateway_id, properties)
    if existing is None or existing.hidden.get("isolated") or _is_isolated(body):
        return
    for part in properties["gatewayIPConfigurations"]:
        subnet = arm.store.get(str(((part.get("properties") or {}).get("subnet") or {}).get("id")))
        if subnet is None:
            continue
        if (group := _used_by(arm, subnet, "networkSecurityGroup")) is not None:
            _check_group(gateway_id, subnet, group)
        if (table := _used_by(arm, subnet, "routeTable")) is not None:
            _check_routes(gateway_id, subnet, table)


def _is_isolated(body: Json) -> bool:
    if str((body.get("tags") or {}).get("EnhancedNetworkControl")).lower() == "true":
        return True
    frontends = (body.get("properties") or {})["frontendIPConfigurations"]
    return not any((each.get("properties") or {}).get("publicIPAddress") for each in frontends)


def _used_by(arm: Arm, subnet: Resource, name: str) -> Resource | None:
    found = (subnet.properties.get(name) or {}).get("id")
    return arm.store.get(str(found)) if found else None


def _check_group(gateway_id: str, subnet: Resource, group: Resource) -> None:
    rules = [each.get("properties") or {} for each in group.properties.get("securityRules") or []]
    if not _lets_in(rules, subnet):
        raise errors.by_network(
            "ApplicationGatewaySubnetInboundTrafficBlockedByNetworkSecurityGroup",
            f"Network security group {group.id} blocks incoming internet traffic on ports 65200 - 65535 to subnet "
            f"{subnet.id}, associated with Application Gateway {gateway_id}. This is not permitted for Application "
            "Gateways that have V2 Sku.",
        )
    # any outbound deny rule of TCP, whatever its destination (azure-docs#84599, #87202)
    if any(_is(rule, "Outbound", "Deny") and _of_tcp(rule) for rule in rules):
        raise errors.by_network(
            "ApplicationGatewaySubnetOutboundTrafficBlockedByNetworkSecurityGroup",
            f"Network security group {group.id} blocks outgoing internet traffic on subnet {subnet.id}, associated with "
            f"Application Gateway {gateway_id}. This is not permitted for Application Gateways that have fast update "
            "enabled or have V2 Sku.",
        )


def _lets_in(rules: list[Json], subnet: Resource) -> bool:
    """Whether GatewayManager reaches all management ports, by order of priority; the default rules deny."""
    left = set(_MANAGEMENT_PORTS)
    inbound = [rule for rule in rules if str(rule.get("direction")).lower() == "inbound" and _of_tcp(rule)]
    for rule in sorted(inbound, key=lambda rule: int(rule["priority"])):
        sources = {each.lower() for each in _all(rule, "sourceAddressPrefix", "sourceAddressPrefixes")}
        if not sources & (_ANYWHERE | {"gatewaymanager"}) or not _leads_to(rule, subnet):
            continue
        met = left & set(_ports(rule))
        if met and str(rule.get("access")).lower() == "deny":
            return False
        left -= met
    return not left


def _leads_to(rule: Json, subnet: Resource) -> bool:
    inside = [ipaddress.ip_network(each, strict=False) for each in addresses.of_subnet(subnet.properties)]
    for prefix in _all(rule, "destinationAddressPrefix", "destinationAddressPrefixes"):
        if prefix.lower() in ("*", "virtualnetwork"):
            return True
        if prefix[:1].isdigit() and all(
            addresses.contains([ipaddress.ip_network(prefix, strict=False)], one) for one in inside
        ):
            return True
    return False


def _is(rule: Json, direction: str, access: str) -> bool:
    return (str(rule.get("direction")).lower(), str(rule.get("access")).lower()) == (direction.lower(), access.lower())


def _of_tcp(rule: Json) -> bool:
    return str(rule.get("protocol")).lower() in ("*", "tcp")


def _all(rule: Json, one: str, many: str) -> list[str]:
    single: Any = rule.get(one)
    return ([str(single)] if single else []) + [str(each) for each in rule.get(many) or []]


def _ports(rule: Json) -> Iterator[int]:
    for each in _all(rule, "destinationPortRange", "destinationPortRanges"):
        if each == "*":
            yield from _MANAGEMENT_PORTS
            continue
        first, _, last = each.partition("-")
        yield from range(max(int(first), _MANAGEMENT_PORTS.start), min(int(last or first) + 1, _MANAGEMENT_PORTS.stop))


def _check_routes(gateway_id: str, subnet: Resource, table: Resource) -> None:
    for route in table.properties.get("routes") or []:
        inner = route.get("properties") or {}
        default = str(inner.get("addressPrefix")) == "0.0.0.0/0"
        if default and str(inner.get("nextHopType")).lower() != "internet":
            raise errors.by_network(
                "ApplicationGatewaySubnetUserDefinedRouteNotAllowed",
                f"Route Table {table.id} is associated to subnet {subnet.id}, which contains V2 SKU Application Gateway "
                f"{gateway_id}. Route {route.get('name')} in the route table has AddressPrefix '0.0.0.0/0'. For routes "
                "associated to subnet containing Application Gateway V2, please ensure '0.0.0.0/0' uses NextHopType as "
                "'Internet'.",
            )


def _check_tls(gateway_id: str, properties: Json) -> None:
    """TLS 1.0 and 1.1 ended on 31 August 2025 (aka.ms/appgw-oldtlsversions, MicroHack#280)."""
    profiles = [each.get("properties") or {} for each in properties.get("sslProfiles") or []]
    for policy in [properties.get("sslPolicy"), *(each.get("sslPolicy") for each in profiles)]:
        named, least = str((policy or {}).get("policyName")), str((policy or {}).get("minProtocolVersion"))
        if named.lower() in _RETIRED_POLICIES or least.lower() in _RETIRED_VERSIONS:
            raise errors.by_network(
                "ApplicationGatewayDeprecatedTlsVersionUsedInSslPolicy",
                f"The TLS policy {named if policy and policy.get('policyName') else 'Custom'} for Application Gateway "
                f"{gateway_id} is using a deprecated TLS version. Update it to a supported version. Learn more "
                "https://aka.ms/appgw-oldtlsversions",
            )


def limits(arm: Arm, gateway_id: str, properties: Json) -> dict[str, int]:
    """The most of each kind [D]. 40 of most of them on a WAF with CRS 3.1 or older, but not of pools (azure-docs
    includes/application-gateway-limits.md of 2024-06-19); `--gateway-limit` and a `limit` in `--hubs` make them less."""
    base = arm.gateway_limit(gateway_id)
    lowered = base < 100
    found = {
        "BackendAddressPools": base,
        "BackendHttpSettings": base,
        "active HttpListeners": base,
        "HttpListeners": base if lowered else 200,
        "RequestRoutingRules": base if lowered else 400,
        "FrontendPorts": 100,
        "SslCertificates": 100,
        "RedirectConfigurations": 100,
    }
    if any(map(_is_old, _rule_sets(arm, properties))):
        return {noun: most if noun == "BackendAddressPools" else min(most, 40) for noun, most in found.items()}
    return found


def _rule_sets(arm: Arm, properties: Json) -> list[Json]:
    """The managed rules that are at work: of every policy, or of the gateway's own block where it has no policy."""
    found: list[Json] = []
    for policy_id in _policy_ids(properties):
        policy = arm.store.get(policy_id)
        if policy is None or str((policy.properties.get("policySettings") or {}).get("state")).lower() == "disabled":
            continue
        found += (policy.properties.get("managedRules") or {}).get("managedRuleSets") or []
    own = properties.get("webApplicationFirewallConfiguration") or {}
    if own.get("enabled") and not (properties.get("firewallPolicy") or {}).get("id"):
        found.append(own)
    return found


def _policy_ids(properties: Json) -> Iterator[str]:
    holders = [properties, *(each.get("properties") or {} for each in properties.get("httpListeners") or [])]
    for path_map in properties.get("urlPathMaps") or []:
        rules = (path_map.get("properties") or {}).get("pathRules") or []
        holders += [each.get("properties") or {} for each in rules]
    for holder in holders:
        if found := (holder.get("firewallPolicy") or {}).get("id"):
            yield ids.key(str(found))


def _is_old(rule_set: Json) -> bool:
    is_core = str(rule_set.get("ruleSetType", "OWASP")) == "OWASP"
    return is_core and str(rule_set.get("ruleSetVersion", "")) in ("2.2.9", "3.0", "3.1")
