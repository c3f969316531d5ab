"""The two peerings between hub and spoke: requested, and waited for. `write_hub` does the writing, one after the other."""

from activities.decorators import Kind, activity
from shared.arm.client import arm
from shared.clock import timestamp
from shared.recovery.lost_rows import lost_peering
from shared.saga.outcomes import Call, Done, Outcome
from shared.settings import current_settings
from shared.spoke.records import RunRow
from shared.writers.peering.peering_rows import peering_key, request_peering
from shared.writers.waiting import await_applied, taken_by_another_run
from shared.writers.writer_tables import hub_peerings


@activity(Kind.ACT, through_writer=True)
def create_peering(call: Call, run: RunRow) -> Outcome:
    """Requests both sides, and is done when they are `Connected`. Repeatable: the same request is the same version."""
    plan, peerings = run.plan, hub_peerings()
    before, writer = peerings.read(peering_key(plan.spoke_id))
    if (pending := taken_by_another_run(before, run, kind="virtualNetworkPeerings", writes="hub")) is not None:
        return pending
    row = request_peering(
        before,
        plan,
        deployment_id=call.deployment_id,
        vnet_id=arm().ids.of(plan).vnet(plan.vnet_name),
        forwarded=current_settings().peering_allow_forwarded_traffic,
        now=timestamp(),
    )
    done = Done("The spoke is peered with the hub, both ways.", {"peering_status": "Connected"})
    return await_applied(peerings, row, before=before, writer=writer, run=run, done=done)


@activity(Kind.UNDO, through_writer=True)
def delete_peering(call: Call, run: RunRow) -> Outcome:
    """Requests that both sides go, and is done when the row is gone. Repeatable; no row means that there is nothing to undo."""
    plan, peerings = run.plan, hub_peerings()
    before, writer = peerings.read(peering_key(plan.spoke_id))
    if before is None and writer.etag is None and run.result:
        before = lost_peering(plan, call.deployment_id)  # there is no row at all: the table was lost
    if before is None or before.made_by != plan.made_by:
        return Done("The hub has no peering of this spoke.")
    row = before.request_removal(deployment_id=call.deployment_id, now=timestamp())
    return await_applied(peerings, row, before=before, writer=writer, run=run)
