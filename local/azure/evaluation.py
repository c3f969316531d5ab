"""Which rule of an Application Gateway a request reaches, by Azure's order of evaluation.

By priority only, 1 first: a basic listener's rule with a lower number takes what a more exact listener would have
caught ([D]). Only when no rule has a priority do multi-site listeners come before basic ones.
"""

from __future__ import annotations

import re

from local.azure import ids
from local.azure.resources.gateway_rules import hosts_of
from local.azure.store import Json


def matches(pattern: str, host: str) -> bool:
    """A host name of a listener, which may have `*` and `?` in it."""
    expression = re.escape(pattern.lower()).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, host.lower()) is not None


def _path_fits(pattern: str, path: str) -> bool:
    return path.startswith(pattern[:-1]) if pattern.endswith("*") else path.rstrip("/") == pattern.rstrip("/")


def _by_path(url_map: Json, path: str) -> tuple[Json | None, Json | None]:
    """What a URL path map names for a path, as references: pool and settings. Its rules are tried in their order."""
    inner = url_map.get("properties") or {}
    for rule in inner.get("pathRules") or []:
        own = rule.get("properties") or {}
        if any(_path_fits(str(each).lower(), path.lower()) for each in own.get("paths") or []):
            return own.get("backendAddressPool"), own.get("backendHttpSettings")
    return inner.get("defaultBackendAddressPool"), inner.get("defaultBackendHttpSettings")


def route(properties: Json, host: str, port: int, frontend: str | None = None, path: str = "/") -> Json | None:
    """The rule, its listener, and the pool and addresses behind it; None when nothing listens there."""
    by_id = {
        ids.key(part["id"]): part
        for collection in properties.values()
        if isinstance(collection, list)
        for part in collection
        if isinstance(part, dict) and isinstance(part.get("id"), str)
    }

    def part(reference: Json | None) -> Json | None:
        return by_id.get(ids.key(str((reference or {}).get("id"))))

    def order(numbered: tuple[int, Json]) -> tuple[int, int, int]:
        place, rule = numbered
        listener = part(rule["properties"].get("httpListener")) or {}
        basic = 0 if hosts_of(listener) else 1
        priority = rule["properties"].get("priority")
        return (priority, 0, place) if priority is not None else (0, basic, place)

    for _, rule in sorted(enumerate(properties.get("requestRoutingRules") or []), key=order):
        listener = part(rule["properties"].get("httpListener"))
        if listener is None:
            continue
        inner = listener["properties"]
        if int(((part(inner.get("frontendPort")) or {}).get("properties") or {}).get("port", 0)) != port:
            continue
        address = part(inner.get("frontendIPConfiguration"))
        if frontend and (address is None or str(address["name"]).lower() != frontend.lower()):
            continue
        hosts = hosts_of(listener)
        if hosts and not any(matches(each, host) for each in hosts):
            continue
        url_map = part(rule["properties"].get("urlPathMap"))
        to_pool, to_settings = (
            (rule["properties"].get("backendAddressPool"), rule["properties"].get("backendHttpSettings"))
            if url_map is None
            else _by_path(url_map, path)
        )
        pool, settings = part(to_pool), part(to_settings)
        targets = ((pool or {}).get("properties") or {}).get("backendAddresses") or []
        return {
            "rule": rule["name"],
            "priority": rule["properties"].get("priority"),
            "listener": listener["name"],
            "pool": pool["name"] if pool else None,
            "settings": settings["name"] if settings else None,
            "addresses": [each.get("ipAddress") or each.get("fqdn") for each in targets],
        }
    return None
