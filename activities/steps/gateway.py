"""The spoke's site on the shared gateway: requested, and waited for. `write_gateway` does the writing."""

from activities.decorators import Kind, activity
from shared.arm.client import arm
from shared.clock import timestamp
from shared.recovery.lost_rows import lost_site
from shared.saga.outcomes import Call, Done, Outcome
from shared.settings import current_settings
from shared.spoke.records import RunRow
from shared.writers.gateway.site_rows import SiteRow, request_site, site_key
from shared.writers.gateway.sites import site_of
from shared.writers.waiting import await_applied, taken_by_another_run
from shared.writers.writer_tables import gateway_sites

_NOTHING = "The gateway has nothing of this spoke."


@activity(Kind.ACT, through_writer=True)
def update_agw(call: Call, run: RunRow) -> Outcome:
    """Requests the site of `call.given["private_ip"]`, and is done when the gateway holds it.

    Repeatable: the same request is the same version of the same row.
    """
    plan, private_ip, sites = run.plan, call.given["private_ip"], gateway_sites()
    before, writer = sites.read(site_key(plan.client))
    if (pending := taken_by_another_run(before, run, kind="site", writes="gateway")) is not None:
        return pending
    row = request_site(
        before,
        client=plan.client,
        made_by=plan.made_by,
        deployment_id=call.deployment_id,
        names=plan.site_names,
        site=site_of(plan, private_ip, current_settings()),
        now=timestamp(),
    )
    agw = {
        "backend_pool_name": plan.backend_pool_name,
        "routing_rule_name": plan.routing_rule_name,
        "host_name": plan.host_name,
        "configured": True,
    }
    done = Done(f"The gateway sends {plan.host_name} to {private_ip}.", {"agw": agw})
    return await_applied(sites, row, before=before, writer=writer, run=run, done=done)


@activity(Kind.UNDO, through_writer=True)
def remove_from_agw(call: Call, run: RunRow) -> Outcome:
    """Requests the site's removal, and is done when its row is gone. Repeatable; no row means that there is nothing to undo.

    A site that was never on the gateway, and isn't on its way there, is gone with its row: the writer claims a row in one
    transaction with its fence, before it sends, so that one of the two comes too late.
    """
    plan, sites = run.plan, gateway_sites()
    before, writer = sites.read(site_key(plan.client))
    if before is None and plan.client not in writer.removed:
        before = _lost(run)
    if before is None or before.made_by != plan.made_by:
        return Done(_NOTHING)
    if not before.owned and not before.applied_version:
        sites.forget(before)
        return Done(_NOTHING)
    row = before.request_removal(deployment_id=call.deployment_id, now=timestamp())
    return await_applied(sites, row, before=before, writer=writer, run=run)


def _lost(run: RunRow) -> SiteRow | None:
    """The row of a completed spoke's site when it was lost with its table, and not removed."""
    if not run.result.get("private_ip"):
        return None
    gateway = arm().get(arm().ids.gateway)
    return lost_site(run, gateway) if gateway else None
