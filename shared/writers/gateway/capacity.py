"""How much room the gateway has, counted on the live document, and whether it can be written at all. Pure."""

from collections.abc import Iterable
from typing import Any

from shared.errors import Failure, so_many
from shared.writers.gateway.document import Document, elements_of, reference
from shared.writers.gateway.priorities import ceiling_for, free_priorities, priority_of, unmanaged_rules
from shared.writers.gateway.rows import SiteNames, SiteRow, names_of_ours
from shared.writers.gateway.sites import Frontend

LIMIT = 100
LIMIT_OLD_WAF = 40
TIERS = frozenset({"standard_v2", "waf_v2"})
INGRESS_TAG = "managed-by-k8s-ingress"


def limit_of(gateway: Document) -> int:
    """100 of each kind; 40 on a WAF whose core rule set is 3.1 or older."""
    waf = (gateway.get("properties") or {}).get("webApplicationFirewallConfiguration") or {}
    return LIMIT_OLD_WAF if waf.get("enabled") and _is_old(waf) else LIMIT


def firewall_policy_id(gateway: Document) -> str | None:
    """The WAF policy that takes the place of a configuration in the gateway's own document."""
    policy = (gateway.get("properties") or {}).get("firewallPolicy") or {}
    return str(policy["id"]) if policy.get("id") else None


def most_sites(policy: Document | None, otherwise: int) -> int:
    """The limit by a WAF policy."""
    rules = ((policy or {}).get("properties") or {}).get("managedRules") or {}
    return LIMIT_OLD_WAF if any(map(_is_old, rules.get("managedRuleSets") or [])) else otherwise


def _is_old(rule_set: dict[str, Any]) -> bool:
    """Whether a rule set is the core rule set of OWASP, 3.1 or older."""
    numbers = [int(part) for part in str(rule_set.get("ruleSetVersion", "")).split(".") if part.isdigit()]
    return str(rule_set.get("ruleSetType") or "OWASP").upper() == "OWASP" and len(numbers) > 0 and numbers[:2] <= [3, 1]


def limits_of(gateway: Document, most: int | None = None) -> dict[str, int]:
    """The most that a gateway holds of each kind. most: another base than Azure's 100: raised limits, an old WAF policy."""
    base = limit_of(gateway)
    if LIMIT_OLD_WAF in (base, most):
        base = LIMIT_OLD_WAF
        return {"pools": base, "settings": base, "listeners": base, "active_listeners": base, "rules": base}
    base = most or base
    return {"pools": base, "settings": base, "listeners": 2 * base, "active_listeners": base, "rules": 4 * base}


def used_of(gateway: Document, without: Iterable[SiteNames] = ()) -> dict[str, int]:
    """How many of each kind there are, elements of these names left out."""
    own = list(without)

    def others(collection: str, names: set[str]) -> list[Any]:
        return [each for each in elements_of(gateway, collection) if str(each["name"]).lower() not in names]

    rules = others("requestRoutingRules", {names.rule.lower() for names in own})
    return {
        "pools": len(others("backendAddressPools", {names.pool.lower() for names in own})),
        "settings": len(others("backendHttpSettingsCollection", {names.settings.lower() for names in own})),
        "listeners": len(others("httpListeners", {names.listener.lower() for names in own})),
        "active_listeners": len({reference(rule, "httpListener") for rule in rules}),
        "rules": len(rules),
    }


def site_capacity(gateway: Document, ours: Iterable[SiteNames], most: int | None = None) -> int:
    """How many sites the gateway has room for beside what isn't ours, those that are there included."""
    limits, used = limits_of(gateway, most), used_of(gateway, ours)
    return max(min(limits[kind] - used[kind] for kind in limits), 0)


def capacity_of(
    gateway: Document,
    rows: Iterable[SiteRow],
    frontend: Frontend | None = None,
    host_name: str = "",
    most: int | None = None,
) -> dict[str, dict[str, int]]:
    """`{"pools": {"used", "limit", "free"}, …}` of the live gateway, wishes that it doesn't hold yet counted as used.

    Priorities are those below the ceiling of a host name of ours; without a frontend they are left out.
    """
    own = list(rows)
    ours = names_of_ours(own)
    limits, foreign = limits_of(gateway, most), used_of(gateway, ours)
    sites = sum(row.takes_capacity for row in own)
    counted = {
        kind: {"used": foreign[kind] + sites, "limit": limit, "free": max(limit - foreign[kind] - sites, 0)}
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


def no_capacity_left(gateway: Document, places: int, sites: int, most: int | None = None) -> Failure:
    limits, used = limits_of(gateway, most), used_of(gateway)
    return Failure(
        "DeploymentException",
        "GatewayFull",
        f"The Application Gateway {gateway.get('name')} has room for {so_many(places, 'site')}, and {sites} are there or on their way.",
        "Delete spokes that nobody needs, or remove other sites from the gateway.",
        {"places": places, "sites": sites, "used": used, "limits": limits},
    )


def provisioning_state(gateway: Document) -> str:
    return str((gateway.get("properties") or {}).get("provisioningState", "Succeeded"))


def is_busy(gateway: Document) -> bool:
    """Whether somebody's operation is under way: a PUT would cancel it."""
    return provisioning_state(gateway).lower() not in ("succeeded", "failed", "canceled")


def unsuitable(gateway: Document | None, *, failed_by_us: bool = False) -> Failure | None:
    """Why this gateway must not be written, if there is a reason; see `flaws_of`."""
    return next(iter(flaws_of(gateway, failed_by_us=failed_by_us)), None)


def flaws_of(gateway: Document | None, *, failed_by_us: bool = False) -> list[Failure]:
    """Every reason not to write a gateway: gone, of an old tier, stopped, broken by somebody else, or a controller's.

    failed_by_us: that our own last PUT left it `Failed`; the next one mends it.
    """
    if gateway is None:
        return [
            _unsuitable(
                "GatewayNotFound", "The Application Gateway isn't there.", "Check HUB_RESOURCE_GROUP and HUB_AGW_NAME."
            )
        ]
    flaws: list[Failure] = []
    name, properties = gateway.get("name"), gateway.get("properties") or {}
    tier = str((properties.get("sku") or {}).get("tier", ""))
    if tier.lower() not in TIERS:
        flaws.append(
            _unsuitable(
                "GatewayTier",
                f"The Application Gateway {name} is of tier {tier or 'unknown'}; Standard_v2 or WAF_v2 is needed.",
                "Point HUB_AGW_NAME to a v2 gateway.",
            )
        )
    if any(key.lower() == INGRESS_TAG for key in gateway.get("tags") or {}):
        flaws.append(
            _unsuitable(
                "GatewayManagedByIngress",
                f"The Application Gateway {name} belongs to a Kubernetes ingress controller, which would wipe our sites.",
                "Point HUB_AGW_NAME to a gateway that no ingress controller manages.",
            )
        )
    operational = str(properties.get("operationalState", "Running"))
    if operational.lower() in ("stopped", "stopping"):
        flaws.append(
            _unsuitable(
                "GatewayStopped",
                f"The Application Gateway {name} is {operational}; a change would start it.",
                f"Start it when that is wanted: az network application-gateway start --ids {gateway.get('id')}",
            )
        )
    if provisioning_state(gateway).lower() == "failed" and not failed_by_us:
        flaws.append(
            _unsuitable(
                "GatewayFailed",
                f"The last change of the Application Gateway {name} failed, and it wasn't ours.",
                "See in the Portal what failed, and mend the gateway.",
            )
        )
    return flaws


def _unsuitable(code: str, message: str, hint: str) -> Failure:
    return Failure("ConfigurationException", code, message, hint)
