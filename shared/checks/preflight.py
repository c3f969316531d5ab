"""All checks of a spoke, and what `POST /spokes?mode=plan` answers from them. Touches nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from shared.arm.client import Arm, arm, describe
from shared.checks.findings import ERROR, WARNING, Finding, results_of
from shared.checks.inputs import AzureSnapshot
from shared.checks.snapshot import read_snapshot
from shared.checks.subjects.addresses import address_findings
from shared.checks.subjects.gateway.configuration import gateway_findings
from shared.checks.subjects.gateway.network import gateway_network_findings
from shared.checks.subjects.gateway.policies import tls_findings, waf_findings
from shared.checks.subjects.hub import (
    hub_gateway_findings,
    hub_vnet_findings,
    network_findings,
    outbound_findings,
    peering_findings,
)
from shared.checks.subjects.locks import lock_findings
from shared.checks.subjects.names import name_findings, parts_as_made
from shared.checks.subjects.rights import rights_findings
from shared.checks.subjects.sizes import quota_findings, size_findings
from shared.data import StoredAs
from shared.errors import ErrorCause, Failure
from shared.saga.steps import STEPS
from shared.settings import Settings
from shared.spoke.plan import SUBNET_ROLES, SpokePlan, our_tags
from shared.spoke.resource_ids import ResourceIds

# What a deployment can't do without; the rest can't be checked without it, but may well work.
_NEEDED = frozenset({"hub_vnet", "gateway", "spoke_group"})
_PARTS = {
    "hub_vnet": "hub's VNet",
    "gateway": "Application Gateway",
    "spoke_group": "spokes' resource group",
    "security_group": "network security group of the gateway's subnet",
    "route_table": "route table of the gateway's subnet",
    "outbound": "NAT gateway or route table of SPOKE_OUTBOUND",
    "locks": "subscription's locks",
    "vnets": "subscription's VNets",
    "resources": "resources of the spokes' group",
    "elsewhere": "resources of the groups in which other hubs have their spokes",
    "sizes": "region's VM sizes",
    "usages": "region's vCPU quotas",
}
_OF_THE_CREDENTIAL = frozenset({"CredentialUnavailable", "InvalidAuthenticationToken", "Http401"})


def check(plan: SpokePlan, azure: Arm, *, afresh: bool = False) -> tuple[list[Finding], AzureSnapshot]:
    """Every finding, and what they were judged from. Raises on a transient failure."""
    snapshot = read_snapshot(plan, azure, afresh=afresh)
    return findings_in(plan, azure.settings, snapshot), snapshot


def findings_in(plan: SpokePlan, settings: Settings, snapshot: AzureSnapshot) -> list[Finding]:
    """What all checks find in this snapshot. Pure."""
    ids, read = snapshot.ids, snapshot.was_read
    found = _unread_findings(snapshot.unread)
    refusals = (*snapshot.unread.values(), *snapshot.unread_policies.values())
    found += rights_findings(snapshot.missing_rights, snapshot.unread_rights, refusals)
    if read("spoke_group") and snapshot.spoke_group is None:
        found.append(_no_spoke_group(ids))
    if read("hub_vnet"):
        found += hub_vnet_findings(ids, snapshot.hub_vnet)
        if snapshot.hub_vnet is not None:
            found += peering_findings(plan, ids, snapshot.hub_vnet, snapshot.runs)
            found += hub_gateway_findings(snapshot.hub_vnet, snapshot.hub_gateways)
    if read("gateway"):
        found += gateway_findings(
            plan,
            ids,
            settings,
            snapshot.gateway,
            snapshot.sites,
            [run for run in snapshot.runs if _on_one_gateway(run.plan, plan)],
            failed_by_us=snapshot.gateway_failed_by_us,
            waf_policies=filter(None, snapshot.waf_policies.values()),
        )
        if snapshot.gateway is not None:
            found += gateway_network_findings(snapshot.gateway, snapshot.gateway_network)
            found += tls_findings(snapshot.gateway)
            found += waf_findings(snapshot.gateway, snapshot.waf_policies, snapshot.unread_policies)
    if snapshot.hub_vnet is not None and snapshot.gateway is not None:
        found += network_findings(snapshot.hub_vnet, snapshot.gateway, settings)
    if read("outbound"):
        found += outbound_findings(plan, settings, snapshot.outbound)
    found += lock_findings(ids, snapshot.locks)
    found += address_findings(plan, ids, snapshot.hub_vnet, snapshot.vnets, strict=settings.strict_addresses)
    found += name_findings(plan, ids, snapshot.conflicts, snapshot.hub_vnet)
    if read("sizes"):
        found += size_findings(plan, snapshot.sizes)
        if read("usages", "resources"):
            runs = (*snapshot.runs, *snapshot.runs_elsewhere)
            vms = (*snapshot.resources, *snapshot.vms_elsewhere)
            found += quota_findings(plan, snapshot.sizes, snapshot.usages, runs, vms)
    return found


def _on_one_gateway(one: SpokePlan, other: SpokePlan) -> bool:
    """A plan without a gateway may be for the same one."""
    return not one.gateway or not other.gateway or one.gateway.lower() == other.gateway.lower()


def _unread_findings(unread: dict[str, Failure]) -> list[Finding]:
    """What could not be read, and not for a transient reason: a credential that doesn't work, a right that is missing, or anything else."""
    found = []
    for part, failure in unread.items():
        what, resource = _PARTS.get(part) or describe(part), failure.details.get("resource")
        if failure.code in _OF_THE_CREDENTIAL:
            found.append(Finding("credential", ERROR, failure.code, failure.message, failure.hint))
        elif failure.details.get("status") == 403:
            severity = ERROR if part in _NEEDED else WARNING
            message = f"The app's identity may not read the {what}: {failure.message}"
            found.append(Finding("permissions", severity, failure.code, message, failure.hint, resource=resource))
        else:
            message = f"The {what} could not be read: {failure.message}"
            found.append(
                Finding("permissions", ERROR, failure.code, message, failure.hint, failure.error, resource=resource)
            )
    return found


@dataclass(frozen=True)
class PlanReport:
    """What a deployment would make and find. Nothing is touched."""

    spoke_id: int
    plan: dict[str, Any]
    checks: list[dict[str, Any]]
    would_succeed: bool
    steps: list[str]
    conflicts: Annotated[list[dict[str, Any]], StoredAs(list[ErrorCause])]
    """Reservations of others that conflict."""


def plan_report(plan: SpokePlan, settings: Settings, conflicts: Sequence[dict[str, Any]] = ()) -> PlanReport:
    """What would be created, every check with its result, and whether a deployment would pass them.

    conflicts: the reservations of others that conflict.
    """
    azure = arm()
    found, _ = check(plan, azure, afresh=True)
    return PlanReport(
        plan.spoke_id,
        described(plan, azure.ids.of(plan), settings),
        results_of(found),
        not conflicts and not any(finding.stops for finding in found),
        [step.name for step in STEPS],
        list(conflicts),
    )


def described(plan: SpokePlan, ids: ResourceIds, settings: Settings) -> dict[str, Any]:
    """Names, addresses and ids of all that a deployment makes."""
    where = {"hub": settings.hub_name, "gateway": settings.hub_agw_name} if settings.several else {}
    site = plan.site_names
    return {
        "client_name": plan.client_name,
        **where,
        "location": plan.location,
        "resource_group": ids.spoke_resource_group,
        "vnet": {
            "name": plan.vnet_name,
            "address_space": plan.address_prefix,
            "subnets": [
                {"role": role, "name": name, "address_prefix": prefix}
                for role, (name, prefix) in zip(SUBNET_ROLES, plan.subnets, strict=True)
            ],
        },
        "vm": {
            "name": plan.vm_name,
            "size": plan.vm_size,
            "admin_username": plan.admin_username,
            "image": settings.vm_image,
        },
        "agw": {
            "host_name": plan.host_name,
            "backend_pool_name": site.pool,
            "probe_name": site.probe,
            "http_settings_name": site.settings,
            "listener_name": site.listener,
            "routing_rule_name": site.rule,
        },
        "tags": our_tags(plan),
        "resources": [part.id for part in parts_as_made(plan, ids) if part.owned_by != "reservations"],
    }


def _no_spoke_group(ids: ResourceIds) -> Finding:
    return Finding(
        "settings",
        ERROR,
        "ResourceGroupNotFound",
        f"The resource group {ids.spoke_resource_group}, in which spokes are made, isn't there",
        "Create it, or set SPOKE_RESOURCE_GROUP to one that exists.",
        resource=ids.spoke_group,
    )
