"""The shared gateway as it is now: can it be written, has it room for one more site, is the host name free on it. Pure.

The rules are those by which the gateway's writer decides (`shared.writers.gateway`); here they are asked before anything is built.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from shared.checks.findings import ERROR, WARNING, Finding
from shared.checks.subjects.names import earlier_deployments
from shared.errors import Failure, ValidationException
from shared.spoke.documents.raw import Document
from shared.spoke.plan import SpokePlan
from shared.spoke.records import RunRow
from shared.spoke.resource_ids import ResourceIds
from shared.writers.gateway.capacity import (
    Limits,
    flaws_of,
    gateway_not_found,
    limits_of,
    no_capacity_left,
    site_capacity,
)
from shared.writers.gateway.document import element_id, element_named
from shared.writers.gateway.priorities import (
    ceiling_for,
    next_priority,
    no_priority_beside_others,
    no_priority_left,
    priority_of,
    unmanaged_rules,
    with_all_numbered,
)
from shared.writers.gateway.site_rows import SiteRow, names_of_ours
from shared.writers.gateway.sites import Frontend, frontend_of, host_conflict, missing_parts, site_of

if TYPE_CHECKING:
    from shared.settings import Settings


def gateway_findings(
    plan: SpokePlan,
    ids: ResourceIds,
    settings: "Settings",
    gateway: Document | None,
    sites: Sequence[SiteRow],
    runs: Iterable[RunRow],
    *,
    failed_by_us: bool,
    waf_policies: Iterable[Document] = (),
) -> list[Finding]:
    """Everything about the gateway. runs: ours that have not ended; the earlier ones take their places before this one.

    failed_by_us: that it was a PUT of ours that left it `Failed`; then the next one fixes it.
    waf_policies: those on it that could be read.
    """
    if gateway is None:
        return [_finding("gateway", ids, gateway_not_found(ids.gateway))]
    site = site_of(plan, "", settings)
    flaws = (*flaws_of(gateway, failed_by_us=failed_by_us), *missing_parts(gateway, site))
    asked: list[tuple[str, Failure | None]] = [("gateway", flaw) for flaw in flaws]
    frontend = frontend_of(gateway, site)
    if isinstance(frontend, Frontend):
        asked.append(("gateway_capacity", _no_priority(plan, gateway, sites, frontend)))
        asked.append(("host_name", _host_taken(plan, settings, gateway, sites, frontend)))
    limits = limits_of(gateway, settings.agw_limit, waf_policies)
    asked.append(("gateway_capacity", _no_place(plan, limits, gateway, sites, runs)))
    found = [_finding(check, ids, failure) for check, failure in asked if failure is not None]
    return found + _odd_port(ids, settings) + _names_taken(plan, gateway, sites)


def _finding(check: str, ids: ResourceIds, failure: Failure) -> Finding:
    return Finding(
        check, ERROR, failure.code, failure.message, failure.hint, failure.error, ids.gateway, failure.details
    )


def _others(plan: SpokePlan, sites: Iterable[SiteRow]) -> list[SiteRow]:
    return [row for row in sites if row.client != plan.client]


def _odd_port(ids: ResourceIds, settings: "Settings") -> list[Finding]:
    """HTTPS on the port of HTTP, or the other way round: legal, and hardly what was meant."""
    protocol = "HTTPS" if settings.agw_ssl_certificate else "HTTP"
    if settings.agw_frontend_port != (80 if settings.agw_ssl_certificate else 443):
        return []
    return [
        Finding(
            "gateway",
            WARNING,
            "OddFrontendPort",
            f"The sites listen for {protocol} on port {settings.agw_frontend_port}",
            "Leave AGW_FRONTEND_PORT empty: it is 443 with AGW_SSL_CERTIFICATE and 80 without.",
            resource=ids.gateway,
        )
    ]


def _no_place(
    plan: SpokePlan,
    limits: Limits,
    gateway: Document,
    sites: Sequence[SiteRow],
    runs: Iterable[RunRow],
) -> Failure | None:
    """Sites that are there or asked for, and those that earlier deployments will ask for, leave no place."""
    taken = {row.client for row in _others(plan, sites) if row.takes_capacity}
    taken |= {run.plan.client for run in earlier_deployments(plan, runs)} - {plan.client}
    places = site_capacity(gateway, names_of_ours(sites), limits)
    return no_capacity_left(gateway, places, len(taken), limits) if len(taken) >= places else None


def _no_priority(plan: SpokePlan, gateway: Document, sites: Sequence[SiteRow], frontend: Frontend) -> Failure | None:
    if any(row.client == plan.client and row.priority is not None for row in sites):
        return None
    numbered = with_all_numbered(gateway)
    unmanaged = unmanaged_rules(numbered, names_of_ours(sites))
    if failure := no_priority_beside_others(gateway, unmanaged):
        return failure
    ceiling = ceiling_for(numbered, unmanaged, plan.host_name, frontend)
    taken = {number for rule in unmanaged if (number := priority_of(rule)) is not None}
    taken |= {row.priority for row in _others(plan, sites) if row.priority is not None and row.site is not None}
    if next_priority(ceiling, taken) is not None:
        return None
    return no_priority_left(numbered, unmanaged, taken, plan.host_name, frontend)


def _host_taken(
    plan: SpokePlan, settings: "Settings", gateway: Document, sites: Iterable[SiteRow], frontend: Frontend
) -> Failure | None:
    """A new site's name, chosen or not, may not be caught by a wildcard either; a site that is there keeps its name."""
    there = any(row.client == plan.client and row.owned for row in sites)
    wildcards = not (settings.agw_override_wildcards or there)
    failure = host_conflict(gateway, plan.site_names, plan.host_name, frontend, wildcards=wildcards)
    return replace(failure, error=ValidationException) if failure else None


def _names_taken(plan: SpokePlan, gateway: Document, sites: Iterable[SiteRow]) -> list[Finding]:
    """Elements of our names that our writer did not put there."""
    if any(row.client == plan.client and row.owned for row in sites):
        return []
    return [
        Finding(
            "names",
            ERROR,
            "NameTaken",
            f"The Application Gateway {gateway.get('name')} has {name} in {collection} already, not made by this app",
            "Choose another client_name, backend_pool_name or routing_rule_name, or remove that element.",
            ValidationException,
            element_id(gateway, collection, name),
            {"kind": "gateway_element"},
        )
        for collection, name in plan.site_names.by_collection().items()
        if element_named(gateway, collection, name) is not None
    ]
