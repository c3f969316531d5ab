"""How much room the gateway has, counted on the live document, and whether it can be written at all. Pure."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from shared.errors import ConfigurationException, DeploymentException, Failure, so_many
from shared.spoke.documents.raw import Document, listed, properties_of, provisioning_state
from shared.spoke.plan import SiteNames
from shared.spoke.resource_ids import name_of
from shared.writers.gateway.document import reference, unmanaged_elements
from shared.writers.gateway.priorities import ceiling_for, free_priorities, priority_of, unmanaged_rules
from shared.writers.gateway.site_rows import SiteRow, names_of_ours
from shared.writers.gateway.sites import Frontend

Limits = dict[str, int]

LIMIT = 100
LIMIT_OLD_WAF = 40
TIERS = frozenset({"standard_v2", "waf_v2"})
INGRESS_TAG = "managed-by-k8s-ingress"


def firewall_policy_id(gateway: Document) -> str | None:
    """The WAF policy that takes the place of a configuration in the gateway's own document."""
    return _policy_in(properties_of(gateway))


def firewall_policy_ids(gateway: Document) -> list[str]:
    """Every WAF policy on a gateway: its own, and those of its listeners and path rules; each once."""
    holders = [properties_of(gateway), *map(properties_of, listed(gateway, "httpListeners"))]
    for path_map in listed(gateway, "urlPathMaps"):
        holders += map(properties_of, properties_of(path_map).get("pathRules") or [])
    found = {policy_id.lower(): policy_id for holder in holders if (policy_id := _policy_in(holder))}
    return list(found.values())


def _policy_in(properties: dict[str, Any]) -> str | None:
    policy = properties.get("firewallPolicy") or {}
    return str(policy["id"]) if policy.get("id") else None


def has_old_rules(gateway: Document, policies: Iterable[Document]) -> bool:
    """Whether a WAF of the gateway works with OWASP's core rule set 3.1 or older, which needs the older engine.

    A policy of the gateway takes the place of the block in its document, however that block was left.
    """
    rule_sets: list[dict[str, Any]] = []
    for policy in policies:
        properties = properties_of(policy)
        if str((properties.get("policySettings") or {}).get("state", "")).lower() != "disabled":
            rule_sets += (properties.get("managedRules") or {}).get("managedRuleSets") or []
    block = properties_of(gateway).get("webApplicationFirewallConfiguration") or {}
    if block.get("enabled") and not firewall_policy_id(gateway):
        rule_sets.append(block)
    return any(map(_is_old, rule_sets))


def _is_old(rule_set: dict[str, Any]) -> bool:
    """Whether a rule set is the core rule set of OWASP, 3.1 or older."""
    numbers = [int(part) for part in str(rule_set.get("ruleSetVersion", "")).split(".") if part.isdigit()]
    return str(rule_set.get("ruleSetType") or "OWASP").upper() == "OWASP" and len(numbers) > 0 and numbers[:2] <= [3, 1]


def limits_of(gateway: Document, most: int = LIMIT, policies: Iterable[Document] = ()) -> Limits:
    """The most that a gateway holds of each kind (azure-docs includes/application-gateway-limits.md, 2024-06-19).

    most: another base than Azure's 100, where Azure has raised it.  policies: the WAF policies on the gateway. With old
    rules it is 40 of everything but pools.
    """
    limits = {"pools": most, "settings": most, "listeners": 2 * most, "active_listeners": most, "rules": 4 * most}
    if not has_old_rules(gateway, policies):
        return limits
    return {kind: number if kind == "pools" else min(number, LIMIT_OLD_WAF) for kind, number in limits.items()}


def used_of(gateway: Document, without: Iterable[SiteNames] = ()) -> dict[str, int]:
    """How many of each kind there are, elements of these names left out."""
    others: dict[str, list[Any]] = defaultdict(list)
    for collection, _, element in unmanaged_elements(gateway, without):
        others[collection].append(element)
    rules = others["requestRoutingRules"]
    return {
        "pools": len(others["backendAddressPools"]),
        "settings": len(others["backendHttpSettingsCollection"]),
        "listeners": len(others["httpListeners"]),
        "active_listeners": len({reference(rule, "httpListener") for rule in rules}),
        "rules": len(rules),
    }


def site_capacity(gateway: Document, ours: Iterable[SiteNames], limits: Limits) -> int:
    """How many sites the gateway has room for beside what isn't ours, those that are there included."""
    used = used_of(gateway, ours)
    return max(min(limits[kind] - used[kind] for kind in limits), 0)


def capacity_of(
    gateway: Document, rows: Iterable[SiteRow], frontend: Frontend | None, host_name: str, limits: Limits
) -> dict[str, dict[str, int]]:
    """`{"pools": {"used", "limit", "free"}, …}` of the live gateway, requested sites that it doesn't hold yet counted as used.

    Priorities are those below the ceiling of a host name of ours; without a frontend they are left out.
    """
    own = list(rows)
    ours = names_of_ours(own)
    used = used_of(gateway, ours)
    sites = sum(row.takes_capacity for row in own)
    counted = {
        kind: {"used": used[kind] + sites, "limit": limit, "free": max(limit - used[kind] - sites, 0)}
        for kind, limit in limits.items()
    }
    if frontend:
        others = unmanaged_rules(gateway, ours)
        ceiling = ceiling_for(gateway, others, host_name, frontend)
        taken = {number for rule in others if (number := priority_of(rule)) is not None}
        taken |= {row.priority for row in own if row.priority is not None}
        free = free_priorities(ceiling, taken)
        below = ceiling.number - 1
        counted["priorities"] = {"used": below - free, "limit": below, "free": free}
    return counted


def no_capacity_left(gateway: Document, places: int, sites: int, limits: Limits) -> Failure:
    return Failure(
        DeploymentException,
        "GatewayFull",
        f"The Application Gateway {gateway.get('name')} has room for {so_many(places, 'site')}, and {sites} are there or on their way.",
        "Delete spokes that are not needed, or remove other sites from the gateway.",
        {"places": places, "sites": sites, "used": used_of(gateway), "limits": limits},
    )


def is_busy(gateway: Document) -> bool:
    """Whether an operation is running on it: a PUT would cancel it."""
    return provisioning_state(gateway).lower() not in ("succeeded", "failed", "canceled")


def unsuitable(gateway: Document | None, *, failed_by_us: bool = False) -> Failure | None:
    """Why this gateway must not be written, if there is a reason; see `flaws_of`."""
    return next(iter(flaws_of(gateway, failed_by_us=failed_by_us)), None)


def flaws_of(gateway: Document | None, *, failed_by_us: bool = False) -> list[Failure]:
    """Every reason not to write a gateway: gone, of an old tier, stopped, broken by another client, or a controller's.

    failed_by_us: that our own last PUT left it `Failed`; the next one fixes it.
    """
    if gateway is None:
        return [gateway_not_found()]
    name, properties = gateway.get("name"), properties_of(gateway)
    tier = str((properties.get("sku") or {}).get("tier", ""))
    operational = str(properties.get("operationalState", "Running"))
    flaws = (
        (
            tier.lower() not in TIERS,
            "GatewayTier",
            f"The Application Gateway {name} is of tier {tier or 'unknown'}; Standard_v2 or WAF_v2 is needed.",
            "Point HUB_AGW_NAME to a v2 gateway.",
        ),
        (
            INGRESS_TAG in map(str.lower, gateway.get("tags") or {}),
            "GatewayManagedByIngress",
            f"The Application Gateway {name} belongs to a Kubernetes ingress controller, which would wipe our sites.",
            "Point HUB_AGW_NAME to a gateway that no ingress controller manages.",
        ),
        (
            operational.lower() in ("stopped", "stopping"),
            "GatewayStopped",
            f"The Application Gateway {name} is {operational}; a change would start it.",
            f"Start it when that is wanted: az network application-gateway start --ids {gateway.get('id')}",
        ),
        (
            provisioning_state(gateway).lower() == "failed" and not failed_by_us,
            "GatewayFailed",
            f"The last change of the Application Gateway {name} failed, and it was not one of this app.",
            "See in the gateway's activity log what failed, and fix it; Azure may refuse changes until then.",
        ),
    )
    return [Failure(ConfigurationException, code, message, hint) for applies, code, message, hint in flaws if applies]


def gateway_not_found(gateway_id: str = "") -> Failure:
    name, details = (f" {name_of(gateway_id)}", {"resource": gateway_id}) if gateway_id else ("", {})
    message = f"The Application Gateway{name} isn't there."
    hint = "Check HUB_RESOURCE_GROUP and HUB_AGW_NAME, or its entry in HUBS."
    return Failure(ConfigurationException, "GatewayNotFound", message, hint, details)
