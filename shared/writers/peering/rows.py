"""The hub's peerings: what each spoke wants, which call comes next, and whose turn it is. Pure.

The hub's VNet takes one write at a time, and a peering onto a VNet that is being written is refused, from either side. So
there are turns: hub sides one after the other, spoke sides side by side while the hub is at rest.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.errors import AzureResourceException, Failure
from shared.spoke.records import LongText
from shared.writers.desired_state import DesiredState
from shared.writers.heartbeat import Beating
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

if TYPE_CHECKING:
    from shared.settings import Settings

Document = dict[str, Any]

WRITER_KEY = "writer"
PUT = "put"
DELETE = "delete"
# No call is left alone for longer than so many polls, whatever the last ones took.
MOST_POLLS_SLEPT = 10
# A repair begins so long after the last one of the same peering: less than the timer's five minutes.
REPAIR_AGAIN_SECONDS = 240


def peering_key(spoke_id: int) -> str:
    return f"turn:{spoke_id}"


@dataclass(frozen=True)
class PeeringRow(DesiredState):
    """One spoke's wish: to be peered with the hub, or not to be.

    vnet_id: the spoke's VNet; a peering of ours is one of our name whose other side is that VNet, or the hub's.
    Versions, `since` and `error` are those of a gateway's site.  trouble: why the last try did not work; it is tried again.
    peering_status: of an applied row, as the hub's side was seen last (`peerings.peering_status`).  repairing: an applied
    row whose two sides are looked at again.  repaired_at: when that was last over.
    """

    spoke_id: int
    made_by: str
    deployment_id: str
    vnet_id: str
    hub_peering: str
    spoke_peering: str
    wanted: bool
    forwarded: bool
    desired_version: int
    since: str
    applied_version: int = 0
    failed_version: int = 0
    error: Failure | None = None
    trouble: LongText = ""
    peering_status: str = ""
    repairing: bool = False
    repaired_at: str = ""
    etag: str | None = None

    def applied(self, now: str = "") -> "PeeringRow":
        """now: the end of a repair, if it was one."""
        repaired_at = now if self.repairing else self.repaired_at
        return replace(
            super().applied(), trouble="", peering_status=CONNECTED, repairing=False, repaired_at=repaired_at
        )

    def repair_failed(self, failure: Failure, now: str) -> "PeeringRow":
        """The repair of an applied row did not work; it is tried again after `REPAIR_AGAIN_SECONDS`."""
        return replace(self, error=failure, trouble=failure.message, repairing=False, repaired_at=now)

    @property
    def row_key(self) -> str:
        return peering_key(self.spoke_id)

    def request_peering(self, wanted: bool, *, deployment_id: str, now: str) -> "PeeringRow":
        """The row that asks for this: itself when it does already, unless that failed in an earlier run."""
        if self.wanted == wanted and not (self.has_failed and self.deployment_id != deployment_id):
            return self
        version = self.desired_version + 1
        new = replace(self, wanted=wanted, deployment_id=deployment_id, desired_version=version, since=now)
        return replace(new, error=None, trouble="")


@dataclass(frozen=True)
class HubWriter(Beating):
    """Who writes the hub's peerings, and until when nobody else may: the fence of all marks.

    queue: the spokes whose hub side was still to be written at the last look, in order.  looked_at: when that was.
    pace: seconds that a hub side takes.  They only tell those who wait how long it may last.  trouble: why the writer
    itself waits.  handed: what one stretch of the writer's orchestration leaves to the next, see `write_hub`.
    """

    nonce: str = ""
    not_after: str = ""
    etag: str | None = None
    queue: tuple[int, ...] = ()
    looked_at: str = ""
    pace: float = 0.0
    trouble: LongText = ""
    handed: dict[str, Any] = field(default_factory=dict)
    generation: int = 1
    due: str = ""
    replaced: str = ""

    @property
    def row_key(self) -> str:
        return WRITER_KEY

    def held_by_another(self, nonce: str, now: datetime) -> float:
        """Seconds for which another writer may still send something; 0 when it can't, or when it is this one."""
        if not self.not_after or self.nonce == nonce:
            return 0.0
        return max((_moment(self.not_after) - now).total_seconds(), 0.0)

    def seconds_until(self, row: PeeringRow, now: datetime, batch: int) -> float:
        """About how long until a turn is over; 0 when it may be so any time.

        Its spoke side follows when the hub sides of its batch are written, and takes about as long as one of those. Who
        came after the last look is looked at when the present batch is over.
        """
        if row.spoke_id in self.queue:
            place = self.queue.index(row.spoke_id)
        elif self.queue and row.since > self.looked_at:
            place = 0
        else:
            return 0.0
        before = min((place // batch + 1) * batch, len(self.queue)) + 1
        return max((_moment(self.looked_at) - now).total_seconds() + before * self.pace, 0.0)


@dataclass(frozen=True)
class PeeringTask:
    """What the writer's activities are told of a turn. made_by: the run that made the spoke's VNet.  hub_has_gateway:
    `HubGateway.lends`."""

    key: str
    version: int
    wanted: bool
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
    """What follows from all turns and from the hub's VNet as it is.

    hub_sides: turns whose hub side has to be written or removed, in their order.  spoke_sides: those whose hub side is as
    it should be.  marks: rows to be written, by key: turns that can't be had, what was seen of others.
    repaired: turns that were done and aren't any more, with the state of the hub's side.
    left: how many turns wait.  queue: the spokes whose hub side is to be written, those beyond the batch too.
    held: how many of those that wait do so for the hub's gateway.
    """

    hub_sides: list[PeeringTask] = field(default_factory=list)
    spoke_sides: list[PeeringTask] = field(default_factory=list)
    marks: dict[str, PeeringRow] = field(default_factory=dict)
    repaired: dict[str, str] = field(default_factory=dict)
    left: int = 0
    queue: list[int] = field(default_factory=list)
    held: int = 0

    def take(self, turn: PeeringTask, spoke_id: int, batch: int, *, hub_side: bool) -> None:
        """Plans the write of one side, as far as the batch goes."""
        if hub_side:
            self.queue.append(spoke_id)
        sides = self.hub_sides if hub_side else self.spoke_sides
        if len(sides) < batch:
            sides.append(turn)

    def hold(self, row: PeeringRow, reason: str) -> None:
        """Leaves a row waiting for the hub's gateway, and has that written once."""
        self.held += 1
        if row.trouble != reason:
            self.marks[row.row_key] = replace(row, trouble=reason)


def hub_pace(settings: "Settings") -> dict[str, Any]:
    """What the hub's writer takes from the settings."""
    return {
        "poll_seconds": settings.writer_poll_seconds,
        "batch": settings.hub_batch,
        "retry_first_seconds": settings.policy.retry_first_seconds,
        "retry_max_seconds": settings.policy.retry_max_seconds,
    }


def plan_pass(
    hub_vnet: Document,
    rows: Iterable[PeeringRow],
    *,
    batch: int,
    open_keys: set[str],
    heal: set[str],
    now: datetime,
    gateway: HubGateway | None = None,
) -> PeeringPlan:
    """The next calls, for at most `batch` turns in order of arrival.

    open_keys: turns whose spoke side is under way.  heal: turns whose spoke side has to go before the hub side can be
    written.  gateway: the hub's, when more of it was read than the VNet.
    """
    look, gateway = PeeringPlan(), gateway or hub_gateway(hub_vnet)
    for row in sorted(rows, key=lambda row: (row.since, row.spoke_id)):
        turn, side = task_of(row, hub_vnet["id"], gateway.lends), side_named(hub_vnet, row.hub_peering)
        if row.is_applied and row.wanted:
            row = _observed(look, row, turn, side, now)
            if not row.repairing:
                continue
        elif not row.is_waiting:
            continue
        look.left += 1
        if row.row_key in open_keys:
            continue
        if row.wanted and side is not None and not leads_to(side, row.vnet_id):
            failure = unmanaged_peering(row.hub_peering, hub_vnet["id"])
            look.marks[row.row_key] = _without(row, failure, now)
            look.left -= 1
        elif row.wanted and gateway.state == "not_ready" and not row.is_applied:
            look.hold(row, gateway.sentence)
        else:
            spoke_first = row.row_key in heal or hub_action(turn, side) is None
            look.take(turn, row.spoke_id, batch, hub_side=not spoke_first)
    return look


def _observed(
    look: PeeringPlan, row: PeeringRow, turn: PeeringTask, side: Document | None, now: datetime
) -> PeeringRow:
    """An applied row with what its hub side looks like now, and whether its two sides have to be looked at again.

    A repair that changed nothing is not tried again at once: ARM can go on calling a side out of sync
    (azure-powershell#24168).
    """
    if side is not None and is_being_written(side) and leads_to(side, row.vnet_id):
        return row
    status = peering_status(side, row.vnet_id)
    wrong = status != CONNECTED or (side is not None and not _fits_the_gateway(turn, side))
    due = not row.repaired_at or (now - _moment(row.repaired_at)).total_seconds() >= REPAIR_AGAIN_SECONDS
    seen = replace(row, peering_status=status, repairing=row.repairing or (wrong and due))
    if seen.repairing and not row.repairing:
        look.repaired[row.row_key] = status if status != CONNECTED else "its gateway flags don't fit"
    if seen != row:
        look.marks[row.row_key] = seen
    return seen


def _fits_the_gateway(turn: PeeringTask, side: Document) -> bool:
    return turn.hub_has_gateway in (None, _flag(side, "allowGatewayTransit"))


def _without(row: PeeringRow, failure: Failure, now: datetime) -> PeeringRow:
    return row.repair_failed(failure, now.isoformat()) if row.is_applied else row.failed(failure)


def task_of(row: PeeringRow, hub_vnet_id: str, hub_has_gateway: bool | None) -> PeeringTask:
    return PeeringTask(
        row.row_key,
        row.desired_version,
        row.wanted,
        hub_vnet_id,
        row.vnet_id,
        row.hub_peering,
        row.spoke_peering,
        row.forwarded,
        hub_has_gateway,
        row.made_by,
    )


def hub_action(turn: PeeringTask, side: Document | None) -> str | None:
    """What the hub's side needs: to be put, to be deleted, or nothing. What leads elsewhere isn't ours to remove."""
    if not turn.wanted:
        return DELETE if side is not None and leads_to(side, turn.vnet_id) else None
    if side is None or peering_state(side) == "disconnected" or has_failed(side) or not knows_the_other_side(side):
        return PUT
    return None if _has(side, hub_side_document(turn, side)) else PUT


def spoke_action(turn: PeeringTask, side: Document | None) -> str | None:
    """What the spoke's side needs. A `Disconnected` one has to go first: it would have the hub's side refused."""
    if not turn.wanted:
        return DELETE if side is not None and leads_to(side, turn.hub_vnet_id) else None
    if side is None:
        return PUT
    if peering_state(side) == "disconnected":
        return DELETE
    is_well = peering_state(side) == "connected" and not has_failed(side) and knows_the_other_side(side)
    return None if is_well and _has(side, spoke_side_document(turn, side)) else PUT


def hub_side_document(turn: PeeringTask, side: Document | None = None) -> Document:
    """The peering from the hub: it lends its gateway when there is one. side: as it is now."""
    transit = _flag(side, "allowGatewayTransit") if turn.hub_has_gateway is None else turn.hub_has_gateway
    return _document(turn.vnet_id, forwarded=turn.forwarded, transit=transit, remote=False)


def spoke_side_document(turn: PeeringTask, side: Document | None = None) -> Document:
    """The peering to the hub: it borrows the hub's gateway when there is one. side: as it is now."""
    remote = _flag(side, "useRemoteGateways") if turn.hub_has_gateway is None else turn.hub_has_gateway
    return _document(turn.hub_vnet_id, forwarded=turn.forwarded, transit=False, remote=remote)


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
    return bool(((side or {}).get("properties") or {}).get(name, False))


def unmanaged_peering(name: str, vnet_id: str) -> Failure:
    return Failure(
        AzureResourceException,
        "NameTaken",
        f"The VNet {vnet_id.rsplit('/', 1)[-1]} already has a peering {name} that leads elsewhere; it isn't ours.",
        "Remove that peering, or choose another spoke_id.",
        {"kind": "virtualNetworkPeerings", "resource": f"{vnet_id}/virtualNetworkPeerings/{name}"},
    )


def _has(side: Document, wanted: Document) -> bool:
    flags = {name: value for name, value in wanted["properties"].items() if isinstance(value, bool)}
    return all(_flag(side, name) == value for name, value in flags.items())


# --- time ---


def lease_until(now: datetime, call_seconds: float) -> datetime:
    """Until when the writer may send: renewed long before, so that no other writer waits long for a broken one."""
    return now + timedelta(seconds=2 * call_seconds + 10)


def may_send(not_after: str, now: datetime, call_seconds: float) -> bool:
    """Whether a call sent now is answered, or given up, before another writer may send one."""
    return bool(not_after) and (_moment(not_after) - now).total_seconds() > call_seconds


def first_wait(poll_seconds: float, took: float | None) -> float:
    """Seconds until a call just begun is asked after: shortly before the quickest of the last ones ended.

    One that took far longer than any should, because ARM could not be asked after it, says nothing about the next.
    """
    return poll_seconds if took is None else max(min(0.85 * took, MOST_POLLS_SLEPT * poll_seconds), poll_seconds / 4)


def next_wait(poll_seconds: float, took: float | None) -> float:
    """Seconds until it is asked again: in short steps, because the hub stands idle from its end on."""
    return poll_seconds if took is None else min(max(poll_seconds / 4, 0.05 * took), poll_seconds)


def quickest(took: float | None, seconds: float) -> float:
    return seconds if took is None else min(took, seconds)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
