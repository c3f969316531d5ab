"""What the single parts of an Application Gateway may hold: ports, times, paths, host names, addresses.

The codes of a probe's path and threshold are reported [I]; the ranges are documented [D], the other codes are not [U].
Recorded and accepted: a timeout longer than the interval, an interval of 0, settings without a protocol [R].
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from local.azure import errors
from local.azure.store import Json

_HOST = re.compile(r"^(?=.{1,255}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$")
_DAY = 86_400


def check(gateway_id: str, properties: Json) -> None:
    """All of them."""
    ports: dict[int, str] = {}
    for part in properties.get("frontendPorts") or []:
        _check_port(gateway_id, part, ports)
    for part in properties.get("backendAddressPools") or []:
        _check_addresses(f"{gateway_id}/backendAddressPools/{part['name']}", _inner(part))
    for part in properties.get("backendHttpSettingsCollection") or []:
        _check_settings(f"{gateway_id}/backendHttpSettingsCollection/{part['name']}", _inner(part))
    for part in properties.get("httpListeners") or []:
        _check_hosts(f"{gateway_id}/httpListeners/{part['name']}", _inner(part))
    for part in properties.get("probes") or []:
        _check_probe(f"{gateway_id}/probes/{part['name']}", _inner(part))


def _inner(part: Json) -> Json:
    return part.get("properties") or {}


def _given(inner: Json, name: str, default: int) -> Any:
    """A value; null is as good as left out."""
    value = inner.get(name)
    return default if value is None else value


def _within(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _check_port(gateway_id: str, part: Json, seen: dict[int, str]) -> None:
    port, port_id = _inner(part).get("port"), f"{gateway_id}/frontendPorts/{part['name']}"
    if not isinstance(port, int) or not _within(port, 1, 64_999):
        raise errors.by_network(
            "ApplicationGatewayFrontendPortIsInvalid",
            f"Port {port} specified for Frontend Port {port_id} is not valid. Supported range is [1, 64999].",
        )
    if port in seen:
        raise errors.by_network(
            "ApplicationGatewayFrontendPortsUsingSamePortNumber",
            f"Two Frontend Ports of Application Gateway {gateway_id} are using the same port number {port}: "
            f"{seen[port]} and {port_id}.",
        )
    seen[port] = port_id


def _check_addresses(pool_id: str, inner: Json) -> None:
    seen: set[str] = set()
    for each in inner.get("backendAddresses") or []:
        text = str(each.get("ipAddress") or each.get("fqdn") or "").lower()
        if not (_is_address(text) if each.get("ipAddress") else _HOST.match(text)) or text in seen:
            raise errors.by_network(
                "ApplicationGatewayBackendAddressIsInvalid",
                f"Backend address '{text}' of {pool_id} is not a valid IP address or FQDN, or is there twice.",
            )
        seen.add(text)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _check_settings(settings_id: str, inner: Json) -> None:
    draining = inner.get("connectionDraining") or {}
    for noun, value, least, most in (
        ("Port", inner.get("port"), 1, 65_535),
        ("RequestTimeout", _given(inner, "requestTimeout", 30), 1, _DAY),
        ("DrainTimeout", _given(draining, "drainTimeoutInSec", 1) if draining.get("enabled") else 1, 1, 3600),
    ):
        if not _within(value, least, most):
            raise errors.by_network(
                f"ApplicationGatewayBackendHttpSettings{noun}IsInvalid",
                f"{noun} {value} specified for Backend Http Settings {settings_id} is not valid. Supported range is "
                f"[{least}, {most}].",
            )
    if str(inner.get("protocol") or "Http").lower() not in ("http", "https"):
        raise errors.cannot_parse("InvalidJson", f"Value '{inner.get('protocol')}' is not valid for 'protocol'.")


def _check_hosts(listener_id: str, inner: Json) -> None:
    """One name or a list of them, and `*` and `?` only in the list."""
    one, many = inner.get("hostName"), inner.get("hostNames") or []
    if one and many:
        raise errors.by_network(
            "ApplicationGatewayHttpListenerBothHostNameAndHostNamesSpecified",
            f"Http Listener {listener_id} can have either HostName or HostNames, not both.",
        )
    names = [str(one)] if one else [re.sub(r"[*?]", "x", each) for each in many]
    for name in names:
        if not _HOST.match(name.lower()):
            raise errors.by_network(
                "ApplicationGatewayHttpListenerHostNameIsInvalid",
                f"Host name '{one or ', '.join(many)}' specified for Http Listener {listener_id} is not valid.",
            )


def _check_probe(probe_id: str, inner: Json) -> None:
    from_settings = inner.get("pickHostNameFromBackendHttpSettings") or inner.get("pickHostNameFromBackendSettings")
    protocol = str(inner.get("protocol")).lower()
    if protocol not in ("http", "https", "tcp", "tls"):
        raise errors.cannot_parse("InvalidJson", f"Value '{inner.get('protocol')}' is not valid for 'protocol'.")
    over_http = protocol.startswith("http")
    if over_http and not inner.get("host") and not from_settings:
        raise errors.by_network(
            "ApplicationGatewayProbeHostIsNull",
            f"Probe '{probe_id}' is not valid. Host can only be null when pickHostNameFromBackendHttpSettings is set to "
            "true.",
        )
    if over_http and not str(inner.get("path", "/")).startswith("/"):
        raise errors.by_network(
            "ApplicationGatewayProbePathIsInvalid",
            f"Path specified for Probe {probe_id} is not valid. Path must start with a forward slash  and meet the "
            "format requirements.",
        )
    for noun, name, value, least, most in (
        ("Interval", "Interval", _given(inner, "interval", 30), 0, _DAY),
        ("Timeout", "Timeout", _given(inner, "timeout", 30), 0, _DAY),
        ("UnhealthyThreshold", "Unhealthy threshold", _given(inner, "unhealthyThreshold", 3), 0, 20),
    ):
        if not _within(value, least, most):
            raise errors.by_network(
                f"ApplicationGatewayProbe{noun}IsInvalid",
                f"{name} specified for Probe {probe_id} is not valid. Supported range is [{least}, {most}].",
            )
