"""The two peerings between hub and spoke: asked for, and waited for. `write_hub` does the writing, in turns."""

from activities.decorators import act_through_writer, undo_through_writer
from shared.arm.client import arm
from shared.arm.failures import STAYS
from shared.clock import timestamp, utc_now
from shared.data import from_data
from shared.errors import AzureResourceException, DeploymentException, Failure
from shared.recovery.lost_rows import lost_peering
from shared.saga.outcomes import Call, Done, Failed, Outcome, Pending
from shared.saga.policy import Policy
from shared.settings import current_settings
from shared.spoke.records import RunRow
from shared.writers.peering.rows import HubWriter, PeeringRow, peering_key
from shared.writers.peering.table import hub_peerings

# Who has many turns before it asks seldom, but at least so often: it may be cancelled meanwhile.
MOST_POLLS_SKIPPED = 12


@act_through_writer
def create_peering(call: Call, run: RunRow) -> Outcome:
    """Asks for both sides, and is done when they are `Connected`. Repeatable: the same wish is the same version."""
    plan, peerings, now = run.plan, hub_peerings(), timestamp()
    before, writer = peerings.look(peering_key(plan.spoke_id))
    if before is not None and before.made_by != plan.made_by:
        if not before.wanted:
            return Pending("waiting until the former peering of this spoke is gone", wakes="hub")
        raise DeploymentException(
            f"The peering of spoke {plan.spoke_id} belongs to another run, {before.made_by}.",
            code="NameTaken",
            hint=f"Delete the spoke of that run first; GET /api/deployments/{before.made_by} tells which it is.",
            kind="virtualNetworkPeerings",
            made_by=before.made_by,
        )
    if before is None:
        row = PeeringRow(
            plan.spoke_id,
            plan.made_by,
            call.deployment_id,
            arm().ids.of(plan).vnet(plan.vnet_name),
            plan.hub_peering_name,
            plan.spoke_peering_name,
            wanted=True,
            forwarded=current_settings().peering_allow_forwarded_traffic,
            desired_version=1,
            since=now,
        )
    else:
        row = before.request_peering(True, deployment_id=call.deployment_id, now=now)
    if row is not before:
        peerings.request(row)
    if row.has_failed:
        return Failed(_why(row))
    if row.is_applied:
        return Done("The spoke is peered with the hub, both ways.", {"peering_status": "Connected"})
    return _waiting(row, writer, run)


@undo_through_writer
def delete_peering(call: Call, run: RunRow) -> Outcome:
    """Asks for both sides to be gone, and is done when the turn is. Repeatable; no turn means nothing to undo."""
    plan, peerings = run.plan, hub_peerings()
    before, writer = peerings.look(peering_key(plan.spoke_id))
    if before is None and writer.etag is None and run.result:
        before = lost_peering(plan, call.deployment_id)  # there is no row at all: the table was lost
    if before is None or before.made_by != plan.made_by:
        return Done("The hub has no peering of this spoke.")
    row = before.request_peering(False, deployment_id=call.deployment_id, now=timestamp())
    if row is not before:
        peerings.request(row)
    return Failed(_why(row)) if row.has_failed else _waiting(row, writer, run)


def _waiting(row: PeeringRow, writer: HubWriter, run: RunRow) -> Pending:
    """Asked again shortly before its turn can be over; the polls of those who wait make sure that the writer runs."""
    reason = "waiting for the hub's turn"
    if row.trouble:
        reason += f"; the last try did not work: {row.trouble}"
    elif writer.trouble:
        reason += f", whose writer waits itself: {writer.trouble}"
    usual = from_data(Policy, run.policy).poll_wait(None)
    left = writer.seconds_until(row, utc_now(), current_settings().hub_batch)
    if left <= usual:
        return Pending(reason, wakes="hub")
    wait = min(left, MOST_POLLS_SKIPPED * usual)
    return Pending(reason, wait, wait_in_full=True, wakes="hub")


def _why(row: PeeringRow) -> Failure:
    return row.error or Failure(AzureResourceException, "PeeringFailed", "The peering can't be had.", STAYS)


ACTIVITIES = (create_peering, delete_peering)
