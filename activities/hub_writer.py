"""The turns of the hub's writer: look, write one hub side after the other, write spoke sides while the hub rests.

Each can be repeated, and be broken off anywhere: what is known is in the rows and in Azure. They answer with data
whatever happens. At most one call of each changes anything.
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
from shared.saga.outcomes import Operation
from shared.saga.policy import retry_wait
from shared.settings import current_settings
from shared.spoke.inventory import made_by
from shared.tables.client import ConcurrentUpdate
from shared.writers.desired_table import DesiredTable
from shared.writers.instances import call_of_writer
from shared.writers.peering.documents import (
    HubGateway,
    gateway_ids,
    hub_gateway,
    is_being_written,
    leads_to,
    side_named,
)
from shared.writers.peering.rows import (
    DELETE,
    HubWriter,
    PeeringPlan,
    PeeringRow,
    PeeringTask,
    hub_action,
    hub_side_document,
    lease_until,
    may_send,
    plan_pass,
    spoke_action,
    spoke_side_document,
    unmanaged_peering,
)
from shared.writers.peering.table import hub_peerings

log = logging.getLogger(__name__)

Answer = dict[str, Any]

DONE = "done"
FAILED = "failed"
RUNNING = "running"
AGAIN = "again"
HEAL = "heal"

# The other VNet's present address space is taken with every write: a plain one would leave a grown hub out of sync.
SYNC = {"syncRemoteAddressSpace": "true"}
# Polls between two looks at a virtual network gateway that isn't ready: making one takes half an hour.
POLLS_FOR_THE_GATEWAY = 15

# No answer, or a refusal of everything that would be sent now; other refusals are about the one call.
_NOT_ABOUT_ONE = frozenset({None, 429, 503})


def hub_round(payload: dict) -> dict:  # type: ignore[type-arg]
    """One look at all turns and at the hub's VNet: marks what has ended, answers what is to be written. Repeatable.

    payload: the pace of the settings, `nonce`, `results` of spoke and hub sides, keys that are `open` or have to `heal`,
    how long a hub side `took`, how many looks have failed in a row, `setbacks`, and whether it is the `first` look of a
    generation: that one takes up what the generation before has `handed` over, if it did.
    """
    try:
        return {**_look(payload), "poll_seconds": payload["poll_seconds"]}
    except ConcurrentUpdate:
        return {"wait": payload["poll_seconds"], "poll_seconds": payload["poll_seconds"]}
    except Exception as error:  # noqa: BLE001 - the boundary: the writer must never fail, its waiters depend on it
        failure = failure_of(error)
        log.warning("The hub's writer waits: %s (%s)", failure.message, failure.code)
        if failure.error != StorageException:
            _tell(failure)
        grown = retry_wait(payload, payload["setbacks"])
        wait = grown if failure.retry_after is None else failure.retry_after
        return {"wait": wait, "poll_seconds": payload["poll_seconds"], "setback": True}


def _look(payload: dict[str, Any]) -> Answer:
    turns, now, held = hub_peerings(), utc_now(), payload["nonce"]
    writer, rows = turns.everything()
    if left := writer.held_by_another(held, now):
        return {"wait": min(left, 5 * payload["poll_seconds"])}
    not_after = timestamp(lease_until(now, _call_seconds()))
    mine = replace(writer, nonce=held, not_after=not_after, queue=(), looked_at="", pace=0.0, handed={})
    if payload["first"] and writer.handed:
        turns.mark(mine)
        return {"handed": writer.handed, "not_after": not_after, "wait": 0.0}
    marks, gone = _marks(rows, payload.get("results") or [])
    writer = turns.mark(mine, marks, gone)
    if marks or gone:
        marked, (writer, rows) = writer.etag, turns.everything()
        if writer.etag != marked:
            raise ConcurrentUpdate  # another writer came between
    hub = arm().get(arm().ids.hub_vnet)
    if hub is None:
        raise replace(hub_not_found(arm().ids.hub_vnet), transient=True).as_exception()
    # Somebody else's write: a call now would only be refused.
    busy = is_being_written(hub)
    mine = replace(mine, trouble=f"{describe(hub['id'])} is being written" if busy else "")
    if mine.trouble != writer.trouble:
        writer = turns.mark(replace(mine, etag=writer.etag))
    look = plan_pass(
        hub,
        rows,
        batch=payload["batch"],
        open_keys=set(payload.get("open") or ()),
        heal=set(payload.get("heal") or ()),
        now=now,
        gateway=_gateway_of(hub),
    )
    writer = _record_plan(turns, writer, look)
    if not look.left:
        turns.mark(replace(mine, etag=writer.etag, nonce="", not_after="", due="", trouble=""))
        return {"end": True}
    if len(look.queue) > 1:
        pace = payload.get("took") or 2 * payload["poll_seconds"]
        queue = {"queue": tuple(look.queue), "looked_at": timestamp(now), "pace": pace}
        turns.mark(replace(mine, etag=writer.etag, **queue))
    if busy:
        return {"wait": payload["poll_seconds"], "not_after": mine.not_after}
    return {
        "not_after": mine.not_after,
        "hub_sides": [as_data(turn) for turn in look.hub_sides],
        "spoke_sides": [as_data(turn) for turn in look.spoke_sides],
        "wait": POLLS_FOR_THE_GATEWAY * payload["poll_seconds"] if look.held == look.left else 0.0,
    }


def _record_plan(turns: DesiredTable[PeeringRow, HubWriter], writer: HubWriter, plan: PeeringPlan) -> HubWriter:
    """Writes what a pass has found out of its rows."""
    if plan.repaired:
        log.warning("Peerings of the hub are not as they should be, they are repaired: %s", plan.repaired)
    return turns.mark(writer, plan.marks.values()) if plan.marks else writer


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


def _marks(rows: list[PeeringRow], results: list[dict[str, Any]]) -> tuple[list[PeeringRow], list[PeeringRow]]:
    """Rows that are done or have failed, and rows that are done for good; those that were changed since are neither."""
    marks, gone = [], []
    ended = {(each["key"], each["version"]): each for each in results}
    for row in rows:
        result = ended.get((row.row_key, row.desired_version))
        if result is None:
            continue
        if result["state"] == FAILED:
            failure = from_data(Failure, result["failure"])
            log.error("The peering of spoke %d can't be had: %s", row.spoke_id, failure.message)
            marks.append(row.repair_failed(failure, timestamp()) if row.repairing else row.failed(failure))
        elif row.wanted:
            if row.repairing:
                log.warning("The peering of spoke %d is repaired", row.spoke_id)
            marks.append(row.applied(timestamp()))
        else:
            gone.append(row)
    return marks, gone


def write_hub_side(payload: dict) -> dict:  # type: ignore[type-arg]
    """Asks after the present hub side, and when it has ended begins the next one in the same call. Repeatable.

    payload: `operation` (or None) of the present one, `next` (a turn or None), `not_after`, `careful` after a refusal.
    """
    if payload.get("operation"):
        state, wait, failure = _asked(payload["operation"], payload)
        if state == RUNNING:
            return {"state": RUNNING, "wait": wait}
        answer: Answer = {"state": state, **({"failure": as_data(failure)} if failure else {})}
    else:
        answer = {"state": DONE}
    if payload.get("next"):
        answer["begun"] = _guarded(payload, _begin_hub_side)
    return answer


def _begin_hub_side(payload: dict[str, Any]) -> Answer:
    turn, side = from_data(PeeringTask, payload["next"]), None
    if payload.get("careful"):
        hub = arm().get(turn.hub_vnet_id)
        if hub is not None and is_being_written(hub):
            return {"state": AGAIN, "wait": payload["poll_seconds"]}
    if payload.get("careful") or not turn.wanted:
        side = arm().get(turn.hub_side_id)
        if side is not None and is_being_written(side):
            return {"state": AGAIN, "wait": payload["poll_seconds"]}
        if turn.wanted and side is not None and not leads_to(side, turn.vnet_id):
            return _failed(unmanaged_peering(turn.hub_peering, turn.hub_vnet_id))
        if hub_action(turn, side) is None:
            return {"state": DONE}
    if turn.wanted:
        if turn.hub_has_gateway is None and side is None:
            side = arm().get(turn.hub_side_id)
        return _written(payload, lambda: _put(turn.hub_side_id, hub_side_document(turn, side)))
    return _written(payload, lambda: arm().delete(turn.hub_side_id, headers=only_over(side)))


def write_spoke_side(payload: dict) -> dict:  # type: ignore[type-arg]
    """Brings a spoke's side to where its turn wants it; the hub must be at rest when it begins something. Repeatable.

    A VNet of the spoke's name that its run did not make is not peered: somebody else has made it since.
    """
    return _guarded(payload, _write_spoke_side)


def _write_spoke_side(payload: dict[str, Any]) -> Answer:
    turn = from_data(PeeringTask, payload["turn"])
    vnet = arm().get(turn.vnet_id)
    side = side_named(vnet, turn.spoke_peering)
    if side is not None and is_being_written(side):
        return {"state": AGAIN, "wait": payload["poll_seconds"]}
    if turn.wanted and vnet is not None and turn.made_by and not made_by(turn.made_by)(vnet):
        return _failed(conflict_with(turn.vnet_id))
    if turn.wanted and side is not None and not leads_to(side, turn.hub_vnet_id):
        return _failed(unmanaged_peering(turn.spoke_peering, turn.vnet_id))
    action = spoke_action(turn, side)
    if action is None:
        return {"state": DONE}
    if action == DELETE:
        answer = _written(payload, lambda: arm().delete(turn.spoke_side_id, headers=only_over(side)))
        # A Disconnected side that is wanted has to be made anew, after the hub's.
        return {**answer, "then": AGAIN} if turn.wanted else answer
    return _written(payload, lambda: _put(turn.spoke_side_id, spoke_side_document(turn, side)))


def settle_spoke_sides(payload: dict) -> dict:  # type: ignore[type-arg]
    """Asks after spoke sides that are under way, and marks those that have ended. Repeatable.

    payload: `open`: `[{"key", "version", "operation", "then"}]`, `nonce`. Answers `{"open"}`, those that still run.
    """
    still, results = [], []
    for each in payload["open"]:
        try:
            state, _, failure = _asked(each["operation"], payload)
        except Exception as error:  # noqa: BLE001 - the boundary: asked again the next time
            log.warning("A peering can't be asked after just now: %s", failure_of(error).message)
            state, failure = RUNNING, None
        if state == RUNNING:
            still.append(each)
        elif failure:
            results.append({**_name(each), "state": FAILED, "failure": as_data(failure)})
        elif state == DONE and not each.get("then"):
            results.append({**_name(each), "state": DONE})
    if results:
        try:
            turns = hub_peerings()
            writer, rows = turns.everything()
            if writer.nonce == payload["nonce"]:
                turns.mark(writer, *_marks(rows, results))
        except Exception as error:  # noqa: BLE001 - the boundary: the next look finds out by itself
            log.warning("Turns that have ended could not be marked just now: %s", failure_of(error).message)
    return {"open": still}


def hand_over_hub(payload: dict) -> dict:  # type: ignore[type-arg]
    """Leaves in the writer's row what its next generation takes up, and gives the lease back. Repeatable."""
    try:
        turns = hub_peerings()
        writer = turns.writer()
        if writer.nonce == payload["nonce"]:
            turns.mark(replace(writer, handed=payload["handed"], not_after=""))
    except Exception as error:  # noqa: BLE001 - the boundary: the next look finds out by itself
        log.warning("What the hub's writer knows could not be handed over just now: %s", failure_of(error).message)
    return {"wait": 0.0}


# --- inside ---


def _put(side_id: str, document: dict[str, Any]) -> Accepted:
    return arm().put(side_id, document, params=SYNC, timeout=_timeout())


def _name(each: dict[str, Any]) -> dict[str, Any]:
    return {"key": each["key"], "version": each["version"]}


def _asked(operation: dict[str, Any], payload: dict[str, Any]) -> tuple[str, float, Failure | None]:
    """`(state, wait, failure)` of a running operation. What may pass, and what ARM forgot, is looked at anew: `again`."""
    try:
        progress = arm().poll(from_data(Operation, operation))
    except ArmError as error:
        if error.failure.transient:
            _tell(error.failure)
            return RUNNING, max(error.failure.retry_after or 0.0, payload["poll_seconds"]), None
        return AGAIN, 0.0, None
    if progress.state == "running":
        return RUNNING, payload["poll_seconds"], None
    if progress.state == "failed" and progress.failure and not progress.failure.transient:
        return FAILED, 0.0, progress.failure
    return (DONE if progress.state == "succeeded" else AGAIN), 0.0, None


def _guarded(payload: dict[str, Any], begin: Callable[[dict[str, Any]], Answer]) -> Answer:
    """Begins something within the lease, and turns refusals into data."""
    try:
        _check_lease(payload)
        return begin(payload)
    except _LeaseIsOverError:
        return {"state": AGAIN, "wait": 0.0, "renew": True}
    except Exception as error:  # noqa: BLE001 - the boundary: nothing may leave an activity of the writer but data
        failure = failure_of(error)
    if failure.code == "RemotePeeringIsDisconnected":
        return {"state": HEAL, "wait": 0.0}
    if failure.transient:
        log.warning("A peering was refused for now: %s (%s)", failure.message, failure.code)
        _tell(failure, payload.get("next") or payload.get("turn"))
        polls = POLLS_FOR_THE_GATEWAY if failure.code == "RemoteVnetHasNoGateways" else 1
        wait = polls * payload["poll_seconds"] if failure.retry_after is None else failure.retry_after
        return {"state": AGAIN, "wait": wait, "alone": failure.details.get("status") not in _NOT_ABOUT_ONE}
    return _failed(failure)


def _tell(failure: Failure, turn: dict[str, Any] | None = None) -> None:
    """Lets those who wait know what for: whose turn didn't work at the last try, or else all. What the tables don't take
    now is told the next time."""
    try:
        turns = hub_peerings()
        row, writer = turns.look(turn["key"] if turn else "")
        if turn is None and writer.etag and writer.trouble != failure.message:
            turns.mark(replace(writer, trouble=failure.message))
        elif turn and row and row.desired_version == turn["version"] and row.trouble != failure.message:
            turns.mark(writer, [replace(row, trouble=failure.message)])
    except Exception as error:  # noqa: BLE001 - the boundary: it is told, and nothing depends on it
        log.debug("Who waits could not be told: %s", failure_of(error).message)


class _LeaseIsOverError(Exception):
    """Another writer may begin something from now on."""


def _check_lease(payload: dict[str, Any]) -> None:
    if not may_send(payload["not_after"], utc_now(), _call_seconds()):
        raise _LeaseIsOverError


def _written(payload: dict[str, Any], send: Callable[[], Accepted]) -> Answer:
    """Sends a write. The lease is looked at right before it: what was read first can have taken long."""
    _check_lease(payload)
    return _begun(send(), payload)


def _begun(accepted: Accepted, payload: dict[str, Any]) -> Answer:
    if accepted.operation is None:
        return {"state": DONE if not accepted.existed else AGAIN, "wait": payload["poll_seconds"]}
    return {"state": RUNNING, "operation": as_data(accepted.operation)}


def _failed(failure: Failure) -> Answer:
    return {"state": FAILED, "failure": as_data(failure.permanent())}


def _timeout() -> float:
    return current_settings().arm_timeout_seconds


def _call_seconds() -> float:
    return _timeout() + min(10.0, _timeout())


ACTIVITIES = (
    call_of_writer("hub", looks=True)(hub_round),
    *map(call_of_writer("hub"), (write_hub_side, write_spoke_side, settle_spoke_sides, hand_over_hub)),
)
