"""The spoke's site on the shared gateway: asked for, and waited for. `write_gateway` does the writing."""

from activities.decorators import act_through_writer, undo_through_writer
from shared.arm.client import arm
from shared.arm.failures import STAYS
from shared.clock import timestamp, utc_now
from shared.data import from_data
from shared.errors import AzureResourceException, DeploymentException, Failure
from shared.recovery.lost_rows import lost_site
from shared.saga.outcomes import Call, Done, Failed, Outcome, Pending
from shared.saga.policy import Policy
from shared.settings import current_settings
from shared.spoke.plan import SpokePlan
from shared.spoke.records import RunRow
from shared.writers.gateway.rows import GatewayWriter, SiteRow, request_removal, request_site, site_key
from shared.writers.gateway.sites import site_of
from shared.writers.gateway.table import gateway_sites
from shared.writers.gateway.timing import waiter_wait

_NOTHING = "The gateway has nothing of this spoke."


@act_through_writer
def update_agw(call: Call, run: RunRow) -> Outcome:
    """Asks for the site of `call.given["private_ip"]`, and is done when the gateway holds it.

    Repeatable: the same wish is the same version of the same row.
    """
    plan, settings, sites = run.plan, current_settings(), gateway_sites()
    before, writer = sites.look(site_key(plan.client))
    if before is not None and before.made_by != plan.made_by:
        if before.site is None:
            return Pending("waiting until the former site of this client is gone", wakes="gateway")
        raise DeploymentException(
            f"The gateway already has a site of {plan.client}, made by another run, {before.made_by}.",
            code="NameTaken",
            hint=f"Delete the spoke of that run first; GET /api/deployments/{before.made_by} tells which it is.",
            kind="site",
            made_by=before.made_by,
        )
    row = request_site(
        before,
        client=plan.client,
        made_by=plan.made_by,
        deployment_id=call.deployment_id,
        names=plan.site_names,
        site=site_of(plan, call.given["private_ip"], settings),
        now=timestamp(),
    )
    if row is not before:
        sites.request(row)
    if row.has_failed:
        return Failed(_why(row))
    if row.is_applied:
        return Done(f"The gateway sends {plan.host_name} to {call.given['private_ip']}.", {"agw": _as_result(plan)})
    return _waiting(row, writer, run)


@undo_through_writer
def remove_from_agw(call: Call, run: RunRow) -> Outcome:
    """Asks for the site to be gone, and is done when its row is. Repeatable; no row means that there is nothing to undo.

    A site that was never on the gateway, and isn't on its way there, is gone with its row: the writer claims a row in one
    transaction with its fence, before it sends, so that one of the two comes too late.
    """
    plan, sites = run.plan, gateway_sites()
    before, writer = sites.look(site_key(plan.client))
    if before is None and plan.client not in writer.removed:
        before = _lost(run)
    if before is None or before.made_by != plan.made_by:
        return Done(_NOTHING)
    if not before.owned and not before.applied_version:
        sites.forget(before)
        return Done(_NOTHING)
    row = request_removal(before, deployment_id=call.deployment_id, now=timestamp())
    if row is not before:
        sites.request(row)
    if row.has_failed:
        return Failed(_why(row))
    return _waiting(row, writer, run)


def _lost(run: RunRow) -> SiteRow | None:
    """The row of a completed spoke's site when it was lost with its table, and not removed."""
    if not run.result.get("private_ip"):
        return None
    gateway = arm().get(arm().ids.gateway)
    return lost_site(run.plan, run.result, gateway, current_settings(), run.deployment_id) if gateway else None


def _waiting(row: SiteRow, writer: GatewayWriter, run: RunRow) -> Pending:
    wait = waiter_wait(writer, row, utc_now(), from_data(Policy, run.policy).poll_default_seconds)
    reason = "waiting for the gateway's writer"
    if blocked := writer.trouble:
        reason += f", which is blocked: {blocked.message} {blocked.hint or ''}".rstrip()
    elif writer.setback:
        reason += f", which waits itself: {writer.setback}"
    return Pending(reason, wait=wait, wait_in_full=wait is not None, wakes="gateway")


def _why(row: SiteRow) -> Failure:
    return row.error or Failure(AzureResourceException, "SiteFailed", "The gateway can't have this site.", STAYS)


def _as_result(plan: SpokePlan) -> dict[str, object]:
    return {
        "backend_pool_name": plan.backend_pool_name,
        "routing_rule_name": plan.routing_rule_name,
        "host_name": plan.host_name,
        "configured": True,
    }


ACTIVITIES = (update_agw, remove_from_agw)
