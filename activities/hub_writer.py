"""What the hub's writer does: passes over all rows, writes and polls of hub sides, and of spoke sides.

When each of them is called, `shared.writers.peering.schedule` decides. Each can be repeated, and be broken off anywhere:
what is known is in the rows and in Azure. They answer with data whatever happens; each makes at most one write to Azure.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from shared.arm.client import Accepted, arm, describe
from shared.arm.failures import ArmError
from shared.arm.reconcile import conflict_with, only_over
from shared.checks.subjects.hub import hub_not_found
from shared.clock import timestamp, utc_now
from shared.data import as_data, from_data
from shared.errors import Failure, StorageException
from shared.process.logs import failure_of
from shared.process.share import share_of_activities
from shared.saga.outcomes import Operation
from shared.saga.policy import WriterPolicy, longest_request
from shared.settings import current_settings
from shared.spoke.inventory import made_by
from shared.tables.client import ConcurrentUpdate
from shared.writers.desired_table import DesiredTable
from shared.writers.instances import call_of_writer
from shared.writers.lease import Lease
from shared.writers.peering.documents import (
    HubGateway,
    gateway_ids,
    hub_gateway,
    is_being_written,
    leads_to,
    side_named,
)
from shared.writers.peering.peering_rows import HubWriter, PeeringRow
from shared.writers.peering.schedule import AGAIN, DONE, FAILED, RECREATE, RUNNING, Result, SideAnswer, SpokeSide
from shared.writers.peering.tasks import (
    DELETE,
    PeeringPlan,
    PeeringTask,
    hub_action,
    hub_side_document,
    plan_pass,
    spoke_action,
    spoke_side_document,
    unmanaged_peering,
)
from shared.writers.waiting import publish_reason
from shared.writers.writer_tables import hub_peerings

log = logging.getLogger(__name__)

Data = dict[str, Any]

# The other VNet's present address space is taken with every write: a plain one would leave a grown hub out of sync.
SYNC = {"syncRemoteAddressSpace": "true"}
# Polls between two passes that wait for a virtual network gateway that isn't ready: making one takes half an hour.
POLLS_FOR_THE_GATEWAY = 15

# No answer, or a refusal of everything that would be sent now; other refusals are about the one call.
_NOT_ABOUT_ONE = frozenset({None, 429, 503})


def hub_round(payload: Data, policy: WriterPolicy) -> Data:
    """One pass over all rows and the hub's VNet: marks what has ended, answers what is to be written. Repeatable.

    payload: `nonce`, `results` of ended tasks, keys that are `in_flight` or to `recreate`, `last_put_seconds`, how many
    passes have failed in a row (`failed_passes`), and whether it is the `first` call of a generation: that one takes over
    what the generation before has `handed` over, if it did.
    """
    try:
        answer = _pass(payload, policy)
    except ConcurrentUpdate:
        answer = {"wait": policy.poll_seconds}
    except Exception as error:  # noqa: BLE001 - the boundary: the writer must never fail, its waiters depend on it
        failure = failure_of(error)
        log.warning("The hub's writer waits: %s (%s)", failure.message, failure.code)
        if failure.error != StorageException:
            publish_reason(hub_peerings(), failure.message)
        answer = {"wait": policy.retry_wait(payload["failed_passes"], failure.retry_after), "failed": True}
    return {**answer, "poll_seconds": policy.poll_seconds}


def _pass(payload: Data, policy: WriterPolicy) -> Data:
    peerings, now, nonce = hub_peerings(), utc_now(), payload["nonce"]
    writer, rows = peerings.everything()
    if left := writer.lease.keeps_out(nonce, now):
        return {"wait": min(left, 5 * policy.poll_seconds)}
    # Renewed long before its end, so that no other writer waits long for one that broke off.
    lease = Lease.granted(nonce, now, 2 * _call_seconds() + 10)
    seconds = payload["last_put_seconds"] or writer.seconds_per_side
    handed = writer.handed
    writer = replace(writer.leased(lease), queue=(), planned_at="", seconds_per_side=seconds, handed={})
    if payload["first"] and handed:
        peerings.mark(writer)
        return {"handed": handed, "not_after": lease.not_after, "wait": 0.0}
    marks, gone = _marks(rows, [from_data(Result, each) for each in payload["results"]])
    writer = peerings.mark(writer, marks, gone)
    if marks or gone:
        marked, (writer, rows) = writer.etag, peerings.everything()
        if writer.etag != marked:
            raise ConcurrentUpdate  # another writer came between
    hub = arm().get(arm().ids.hub_vnet)
    if hub is None:
        raise replace(hub_not_found(arm().ids.hub_vnet), transient=True).as_exception()
    # Another client's write: a call now would only be refused.
    busy = is_being_written(hub)
    reason = f"{describe(hub['id'])} is being written" if busy else ""
    if reason != writer.retry_reason:
        writer = peerings.mark(replace(writer, retry_reason=reason))
    plan = plan_pass(
        hub,
        rows,
        batch=policy.hub_batch,
        in_flight=set(payload["in_flight"]),
        recreate=set(payload["recreate"]),
        now=now,
        gateway=_gateway_of(hub),
    )
    writer = _record_plan(peerings, writer, plan)
    if not plan.left:
        peerings.mark(replace(writer.leased(Lease()), due="", retry_reason=""))
        return {"end": True}
    if len(plan.queue) > 1:
        peerings.mark(replace(writer, queue=tuple(plan.queue), planned_at=timestamp(now)))
    if busy:
        return {"wait": policy.poll_seconds, "not_after": lease.not_after}
    return {
        "not_after": lease.not_after,
        "last_put_seconds": writer.seconds_per_side or None,
        "hub_sides": as_data(plan.hub_sides),
        "spoke_sides": as_data(plan.spoke_sides),
        "wait": POLLS_FOR_THE_GATEWAY * policy.poll_seconds if plan.held == plan.left else 0.0,
    }


def _record_plan(peerings: DesiredTable[PeeringRow, HubWriter], writer: HubWriter, plan: PeeringPlan) -> HubWriter:
    """Writes what a pass has found out of its rows."""
    if plan.repaired:
        log.warning("Peerings of the hub are not as they should be, they are repaired: %s", plan.repaired)
    return peerings.mark(writer, plan.marks.values()) if plan.marks else writer


def _gateway_of(hub: dict[str, Any]) -> HubGateway:
    """The hub's virtual network gateway, read when its subnet names one."""
    try:
        found = [arm().get(gateway_id) for gateway_id in gateway_ids(hub)]
    except ArmError as error:
        if error.failure.transient:
            raise
        log.warning("The hub's virtual network gateway can't be read, it is taken for ready: %s", error.failure.message)
        return hub_gateway(hub)
    return hub_gateway(hub, [gateway for gateway in found if gateway is not None] if found else None)


def _marks(rows: list[PeeringRow], results: list[Result]) -> tuple[list[PeeringRow], list[PeeringRow]]:
    """Rows that are applied or have failed, and rows whose removal is done; those that were changed since are neither."""
    marks, gone = [], []
    ended = {(each.key, each.version): each for each in results}
    for row in rows:
        result = ended.get((row.row_key, row.desired_version))
        if result is None:
            continue
        if failure := result.failure:
            log.error("The peering of spoke %d can't be had: %s", row.spoke_id, failure.message)
            marks.append(row.repair_failed(failure, timestamp()) if row.repairing else row.failed(failure))
        elif row.present:
            if row.repairing:
                log.warning("The peering of spoke %d is repaired", row.spoke_id)
            marks.append(row.applied(timestamp()))
        else:
            gone.append(row)
    return marks, gone


def write_hub_side(payload: Data, policy: WriterPolicy) -> Data:
    """Polls the current hub side, and when it has ended begins the next one in the same call. Repeatable.

    payload: `operation` (or None) of the current one, `task` (or None) that comes next, `not_after` of the lease, and
    whether to `recheck_first`, after a refusal. Answers `current` and `begun`, each a `SideAnswer` or None.
    """
    current = begun = None
    if payload["operation"]:
        current = _polled(from_data(Operation, payload["operation"]), policy)
    if payload["task"] and (current is None or current.state != RUNNING):
        begun = _guarded(payload, policy, _begin_hub_side)
    return {
        "current": as_data(current),
        "begun": as_data(begun),
        "wait": max((side.wait for side in (current, begun) if side), default=0.0),
    }


def _begin_hub_side(payload: Data, policy: WriterPolicy, task: PeeringTask) -> SideAnswer:
    side = None
    if payload["recheck_first"]:
        hub = arm().get(task.hub_vnet_id)
        if hub is not None and is_being_written(hub):
            return SideAnswer(AGAIN, policy.poll_seconds)
    if payload["recheck_first"] or not task.present:
        side = arm().get(task.hub_side_id)
        if side is not None and is_being_written(side):
            return SideAnswer(AGAIN, policy.poll_seconds)
        if task.present and side is not None and not leads_to(side, task.vnet_id):
            return _failed(unmanaged_peering(task.hub_peering, task.hub_vnet_id))
        if hub_action(task, side) is None:
            return SideAnswer(DONE)
    if task.present:
        if task.hub_has_gateway is None and side is None:
            side = arm().get(task.hub_side_id)
        return _written(payload, policy, lambda: _put(task.hub_side_id, hub_side_document(task, side)))
    return _written(payload, policy, lambda: arm().delete(task.hub_side_id, headers=only_over(side)))


def write_spoke_side(payload: Data, policy: WriterPolicy) -> Data:
    """Brings a spoke's side to what its task asks for; no hub side is being written when it begins. Repeatable.

    payload: `task`, `not_after` of the lease. Answers `side`, a `SideAnswer`. A VNet of the spoke's name that its run did
    not make is not peered: it is unmanaged.
    """
    side = _guarded(payload, policy, _write_spoke_side)
    return {"side": as_data(side), "wait": side.wait}


def _write_spoke_side(payload: Data, policy: WriterPolicy, task: PeeringTask) -> SideAnswer:
    vnet = arm().get(task.vnet_id)
    side = side_named(vnet, task.spoke_peering)
    if side is not None and is_being_written(side):
        return SideAnswer(AGAIN, policy.poll_seconds)
    if task.present and vnet is not None and task.made_by and not made_by(task.made_by)(vnet):
        return _failed(conflict_with(task.vnet_id))
    if task.present and side is not None and not leads_to(side, task.hub_vnet_id):
        return _failed(unmanaged_peering(task.spoke_peering, task.vnet_id))
    action = spoke_action(task, side)
    if action is None:
        return SideAnswer(DONE)
    if action == DELETE:
        answer = _written(payload, policy, lambda: arm().delete(task.spoke_side_id, headers=only_over(side)))
        # A Disconnected side that is to be there has to be made anew, after the hub's.
        return replace(answer, then_again=True) if task.present else answer
    return _written(payload, policy, lambda: _put(task.spoke_side_id, spoke_side_document(task, side)))


def settle_spoke_sides(payload: Data, policy: WriterPolicy) -> Data:
    """Polls spoke sides that are being written, and marks those that have ended. Repeatable.

    payload: `in_flight` (`SpokeSide`s), `nonce`. Answers `in_flight`, those that are still being written.
    """
    still, results = [], []
    for each in (from_data(SpokeSide, data) for data in payload["in_flight"]):
        try:
            side = _polled(each.operation, policy)
        except Exception as error:  # noqa: BLE001 - the boundary: polled again the next time
            log.warning("A peering can't be polled just now: %s", failure_of(error).message)
            side = SideAnswer(RUNNING)
        if side.state == RUNNING:
            still.append(each)
        elif side.state == FAILED or (side.state == DONE and not each.then_again):
            results.append(Result(each.key, each.version, side.state, side.failure))
    if results:
        try:
            peerings = hub_peerings()
            writer, rows = peerings.everything()
            if writer.nonce == payload["nonce"]:
                peerings.mark(writer, *_marks(rows, results))
        except Exception as error:  # noqa: BLE001 - the boundary: the next pass finds out by itself
            log.warning("Peerings that have ended could not be marked just now: %s", failure_of(error).message)
    return {"in_flight": as_data(still)}


def hand_over_hub(payload: Data, policy: WriterPolicy) -> Data:
    """Leaves in the writer's row what its next generation takes over, and gives the lease back. Repeatable."""
    try:
        peerings = hub_peerings()
        writer = peerings.writer()
        if writer.nonce == payload["nonce"]:
            peerings.mark(replace(writer, handed=payload["handed"], not_after=""))
    except Exception as error:  # noqa: BLE001 - the boundary: the next pass finds out by itself
        log.warning("What the hub's writer knows could not be handed over just now: %s", failure_of(error).message)
    return {"wait": 0.0}


# --- inside ---


def _put(side_id: str, document: dict[str, Any]) -> Accepted:
    return arm().put(side_id, document, params=SYNC, timeout=current_settings().arm_timeout_seconds)


def _polled(operation: Operation, policy: WriterPolicy) -> SideAnswer:
    """A running operation. What can pass, and what ARM forgot, is `again`: a pass looks at it."""
    try:
        progress = arm().poll(operation)
    except ArmError as error:
        if error.failure.transient:
            publish_reason(hub_peerings(), error.failure.message)
            return SideAnswer(RUNNING, max(error.failure.retry_after or 0.0, policy.poll_seconds), unseen=True)
        return SideAnswer(AGAIN)
    if progress.state == "running":
        return SideAnswer(RUNNING, policy.poll_seconds)
    if progress.state == "failed" and progress.failure and not progress.failure.transient:
        return SideAnswer(FAILED, failure=progress.failure)
    return SideAnswer(DONE if progress.state == "succeeded" else AGAIN)


def _guarded(
    payload: Data, policy: WriterPolicy, begin: Callable[[Data, WriterPolicy, PeeringTask], SideAnswer]
) -> SideAnswer:
    """Begins something within the lease, and turns refusals into data."""
    task = from_data(PeeringTask, payload["task"])
    try:
        _check_lease(payload)
        with share_of_activities():  # a batch of spoke sides begins side by side
            return begin(payload, policy, task)
    except _LeaseExpiredError:
        return SideAnswer(AGAIN, lease_expired=True)
    except Exception as error:  # noqa: BLE001 - the boundary: nothing may leave an activity of the writer but data
        failure = failure_of(error)
    if failure.code == "RemotePeeringIsDisconnected":
        return SideAnswer(RECREATE)
    if failure.transient:
        log.warning("A peering was refused for now: %s (%s)", failure.message, failure.code)
        publish_reason(hub_peerings(), failure.message, row_key=task.key, version=task.version)
        polls = POLLS_FOR_THE_GATEWAY if failure.code == "RemoteVnetHasNoGateways" else 1
        wait = polls * policy.poll_seconds if failure.retry_after is None else failure.retry_after
        return SideAnswer(AGAIN, wait, only_this_task=failure.details.get("status") not in _NOT_ABOUT_ONE)
    return _failed(failure)


class _LeaseExpiredError(Exception):
    """Another writer may begin something from now on."""


def _check_lease(payload: Data) -> None:
    if not Lease(not_after=payload["not_after"]).allows(utc_now(), _call_seconds()):
        raise _LeaseExpiredError


def _written(payload: Data, policy: WriterPolicy, send: Callable[[], Accepted]) -> SideAnswer:
    """Sends a write. The lease is checked right before it: what was read first can have taken long."""
    _check_lease(payload)
    accepted = send()
    if accepted.operation is None:
        return SideAnswer(AGAIN if accepted.existed else DONE, policy.poll_seconds)
    return SideAnswer(RUNNING, operation=accepted.operation)


def _failed(failure: Failure) -> SideAnswer:
    return SideAnswer(FAILED, failure=failure.permanent())


def _call_seconds() -> float:
    return longest_request(current_settings().arm_timeout_seconds)


ACTIVITIES = (
    call_of_writer("hub", passes=True)(hub_round),
    *map(call_of_writer("hub"), (write_hub_side, write_spoke_side, settle_spoke_sides, hand_over_hub)),
)
