"""What each peering needs: which side is written next, with which document. Pure.

The hub's VNet takes one write at a time, and a peering onto a VNet that is being written is refused, from either side. So
hub sides are written one after the other, spoke sides side by side while no hub side is being written.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from shared.data import taken_from
from shared.errors import AzureResourceException, Failure
from shared.spoke.documents.raw import Document, properties_of
from shared.timestamps import parse_timestamp
from shared.writers.peering.documents import (
    CONNECTED,
    HubGateway,
    has_failed,
    hub_gateway,
    is_being_written,
    knows_the_other_side,
    leads_to,
    peering_state,
    peering_status,
    side_named,
)
from shared.writers.peering.peering_rows import PeeringRow

PUT = "put"
DELETE = "delete"
# A repair begins so long after the last one of the same peering: less than the timer's five minutes.
REPAIR_AGAIN_SECONDS = 240


@dataclass(frozen=True)
class PeeringTask:
    """What one peering needs, for the writer's activities. present: whether both sides are to be there.
    made_by: the run that made the spoke's VNet.  hub_has_gateway: `HubGateway.lends`."""

    key: str
    version: int
    present: bool
    hub_vnet_id: str
    vnet_id: str
    hub_peering: str
    spoke_peering: str
    forwarded: bool
    hub_has_gateway: bool | None
    made_by: str = ""

    @property
    def hub_side_id(self) -> str:
        return f"{self.hub_vnet_id}/virtualNetworkPeerings/{self.hub_peering}"

    @property
    def spoke_side_id(self) -> str:
        return f"{self.vnet_id}/virtualNetworkPeerings/{self.spoke_peering}"


@dataclass
class PeeringPlan:
    """What follows from all rows and from the hub's VNet as it is.

    hub_sides: tasks whose hub side has to be written or removed, in their order.  spoke_sides: those whose hub side is as
    it should be.  marks: rows to be written, by key: peerings that fail permanently, what was seen of others.
    repaired: peerings that were applied and aren't any more, with the state of the hub's side.
    left: how many rows wait.  queue: the spokes whose hub side is to be written, those beyond the batch too.
    held: how many of those that wait do so for the hub's gateway.
    """

    hub_sides: list[PeeringTask] = field(default_factory=list)
    spoke_sides: list[PeeringTask] = field(default_factory=list)
    marks: dict[str, PeeringRow] = field(default_factory=dict)
    repaired: dict[str, str] = field(default_factory=dict)
    left: int = 0
    queue: list[int] = field(default_factory=list)
    held: int = 0


def plan_pass(
    hub_vnet: Document,
    rows: Iterable[PeeringRow],
    *,
    batch: int,
    in_flight: set[str],
    recreate: set[str],
    now: datetime,
    gateway: HubGateway | None = None,
) -> PeeringPlan:
    """The next calls, for at most `batch` tasks of each kind, in order of arrival.

    in_flight: tasks whose spoke side is being written.  recreate: tasks whose spoke side has to go before the hub side can be
    written.  gateway: the hub's, when more of it was read than the VNet.
    """
    plan, gateway = PeeringPlan(), gateway or hub_gateway(hub_vnet)
    for row in sorted(rows, key=lambda row: (row.since, row.spoke_id)):
        task, side = task_of(row, hub_vnet["id"], gateway.lends), side_named(hub_vnet, row.hub_peering)
        if row.is_applied and row.present:
            row = _observed(plan, row, task, side, now)
            if not row.repairing:
                continue
        elif not row.is_waiting:
            continue
        plan.left += 1
        if row.row_key in in_flight:
            continue
        if row.present and side is not None and not leads_to(side, row.vnet_id):
            failure = unmanaged_peering(row.hub_peering, hub_vnet["id"])
            failed = row.repair_failed(failure, now.isoformat()) if row.is_applied else row.failed(failure)
            plan.marks[row.row_key] = failed
            plan.left -= 1
        elif row.present and gateway.state == "not_ready" and not row.is_applied:
            plan.held += 1
            if row.retry_reason != gateway.sentence:
                plan.marks[row.row_key] = replace(row, retry_reason=gateway.sentence)
        elif row.row_key in recreate or hub_action(task, side) is None:
            plan.spoke_sides.append(task)
        else:
            plan.hub_sides.append(task)
            plan.queue.append(row.spoke_id)
    del plan.hub_sides[batch:], plan.spoke_sides[batch:]
    return plan


def _observed(
    plan: PeeringPlan, row: PeeringRow, task: PeeringTask, side: Document | None, now: datetime
) -> PeeringRow:
    """An applied row with what its hub side looks like now, and whether its two sides have to be checked again.

    A repair that changed nothing is not tried again at once: ARM can go on calling a side out of sync
    (azure-powershell#24168).
    """
    if side is not None and is_being_written(side) and leads_to(side, row.vnet_id):
        return row
    status = peering_status(side, row.vnet_id)
    wrong = status != CONNECTED or task.hub_has_gateway not in (None, _flag(side, "allowGatewayTransit"))
    due = not row.repaired_at or (now - parse_timestamp(row.repaired_at)).total_seconds() >= REPAIR_AGAIN_SECONDS
    seen = replace(row, peering_status=status, repairing=row.repairing or (wrong and due))
    if seen.repairing and not row.repairing:
        plan.repaired[row.row_key] = status if status != CONNECTED else "its gateway flags don't fit"
    if seen != row:
        plan.marks[row.row_key] = seen
    return seen


def task_of(row: PeeringRow, hub_vnet_id: str, hub_has_gateway: bool | None) -> PeeringTask:
    return taken_from(
        row,
        PeeringTask,
        key=row.row_key,
        version=row.desired_version,
        hub_vnet_id=hub_vnet_id,
        hub_has_gateway=hub_has_gateway,
        made_by=row.made_by,  # whose VNet may be written stands on it: never left to its default
    )


def hub_action(task: PeeringTask, side: Document | None) -> str | None:
    """What the hub's side needs: to be put, to be deleted, or nothing. What leads elsewhere isn't ours to remove."""
    if not task.present:
        return DELETE if side is not None and leads_to(side, task.vnet_id) else None
    if side is None or peering_state(side) == "disconnected" or has_failed(side) or not knows_the_other_side(side):
        return PUT
    return None if _has(side, hub_side_document(task, side)) else PUT


def spoke_action(task: PeeringTask, side: Document | None) -> str | None:
    """What the spoke's side needs. A `Disconnected` one has to go first: it would have the hub's side refused."""
    if not task.present:
        return DELETE if side is not None and leads_to(side, task.hub_vnet_id) else None
    if side is None:
        return PUT
    if peering_state(side) == "disconnected":
        return DELETE
    is_well = peering_state(side) == "connected" and not has_failed(side) and knows_the_other_side(side)
    return None if is_well and _has(side, spoke_side_document(task, side)) else PUT


def hub_side_document(task: PeeringTask, side: Document | None = None) -> Document:
    """The peering from the hub: it lends its gateway when there is one. side: as it is now."""
    transit = _flag(side, "allowGatewayTransit") if task.hub_has_gateway is None else task.hub_has_gateway
    return _document(task.vnet_id, forwarded=task.forwarded, transit=transit, remote=False)


def spoke_side_document(task: PeeringTask, side: Document | None = None) -> Document:
    """The peering to the hub: it borrows the hub's gateway when there is one. side: as it is now."""
    remote = _flag(side, "useRemoteGateways") if task.hub_has_gateway is None else task.hub_has_gateway
    return _document(task.hub_vnet_id, forwarded=task.forwarded, transit=False, remote=remote)


def _document(remote_id: str, *, forwarded: bool, transit: bool, remote: bool) -> Document:
    return {
        "properties": {
            "remoteVirtualNetwork": {"id": remote_id},
            "allowVirtualNetworkAccess": True,
            "allowForwardedTraffic": forwarded,
            "allowGatewayTransit": transit,
            "useRemoteGateways": remote,
        }
    }


def _flag(side: Document | None, name: str) -> bool:
    return bool(properties_of(side).get(name, False))


def unmanaged_peering(name: str, vnet_id: str) -> Failure:
    return Failure(
        AzureResourceException,
        "NameTaken",
        f"The VNet {vnet_id.rsplit('/', 1)[-1]} already has a peering {name} that leads elsewhere; it isn't ours.",
        "Remove that peering, or choose another spoke_id.",
        {"kind": "virtualNetworkPeerings", "resource": f"{vnet_id}/virtualNetworkPeerings/{name}"},
    )


def _has(side: Document, desired: Document) -> bool:
    flags = {name: value for name, value in desired["properties"].items() if isinstance(value, bool)}
    return all(_flag(side, name) == value for name, value in flags.items())
