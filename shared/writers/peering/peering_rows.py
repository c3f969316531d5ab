"""Each spoke's desired peering, and what the hub's writer is doing: the rows of `HubTurns`. Pure."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, ClassVar

from shared.errors import Failure
from shared.spoke.plan import SpokePlan
from shared.spoke.records import LongText
from shared.timestamps import parse_timestamp
from shared.writers.desired_state import DesiredState
from shared.writers.lease import Arrived, LeasedWriter
from shared.writers.peering.documents import CONNECTED


def peering_key(spoke_id: int) -> str:
    return f"turn:{spoke_id}"


@dataclass(frozen=True)
class PeeringRow(DesiredState):
    """One spoke's desired peering: to be there, or to be removed.

    vnet_id: the spoke's VNet; a peering of ours is one of our name whose other side is that VNet, or the hub's.
    Versions, `since` and `error` are those of a gateway's site.  retry_reason: why the last try failed;
    it is tried again.  peering_status: of an applied row, as the hub's side was seen last (`documents.peering_status`).
    repairing: an applied row whose two sides are checked again.  repaired_at: when that last ended.
    """

    steps: ClassVar[tuple[str, str]] = ("create_peering", "delete_peering")

    spoke_id: int
    made_by: str
    deployment_id: str
    vnet_id: str
    hub_peering: str
    spoke_peering: str
    present: bool
    forwarded: bool
    desired_version: int
    since: str
    applied_version: int = 0
    failed_version: int = 0
    error: Failure | None = None
    retry_reason: LongText = ""
    peering_status: str = ""
    repairing: bool = False
    repaired_at: str = ""
    etag: str | None = None

    def applied(self, now: str = "") -> "PeeringRow":
        """now: the end of a repair, if it was one."""
        repaired_at = now if self.repairing else self.repaired_at
        return replace(
            super().applied(), retry_reason="", peering_status=CONNECTED, repairing=False, repaired_at=repaired_at
        )

    def repair_failed(self, failure: Failure, now: str) -> "PeeringRow":
        """The repair of an applied row did not work; it is tried again after `REPAIR_AGAIN_SECONDS`."""
        return replace(self, error=failure, retry_reason=failure.message, repairing=False, repaired_at=now)

    @property
    def row_key(self) -> str:
        return peering_key(self.spoke_id)

    @property
    def asks_for_removal(self) -> bool:
        return not self.present

    def request(self, *, deployment_id: str, now: str, **desired: Any) -> "PeeringRow":
        row = super().request(deployment_id=deployment_id, now=now, **desired)
        return row if row is self else replace(row, retry_reason="")

    def request_removal(self, *, deployment_id: str, now: str) -> "PeeringRow":
        return self.request(deployment_id=deployment_id, now=now, present=False)


def request_peering(
    before: PeeringRow | None, plan: SpokePlan, *, deployment_id: str, vnet_id: str, forwarded: bool, now: str
) -> PeeringRow:
    """The row that asks for a peering: the one that is there when it asks for just that, else one of the next version."""
    if before is not None:
        return before.request(deployment_id=deployment_id, now=now, present=True)
    return PeeringRow(
        plan.spoke_id,
        plan.made_by,
        deployment_id,
        vnet_id,
        plan.hub_peering_name,
        plan.spoke_peering_name,
        present=True,
        forwarded=forwarded,
        desired_version=1,
        since=now,
    )


@dataclass(frozen=True)
class HubWriter(LeasedWriter):
    """Who writes the hub's peerings, and until when no other writer may: the fence of all marks.

    queue: the spokes whose hub side was still to be written at the last pass, in order.  planned_at: when that was.
    seconds_per_side: that a hub side takes.  The three only tell waiting steps how long it can last.  handed: what one
    generation of the writer's orchestration leaves to the next, see `schedule`.
    """

    writes: ClassVar[str] = "hub"

    queue: tuple[int, ...] = ()
    planned_at: str = ""
    seconds_per_side: float = 0.0
    handed: dict[str, Any] = field(default_factory=dict)

    def reason_to_wait(self, row: PeeringRow) -> str:
        """What a step says that waits for a row."""
        if row.retry_reason:
            return f"waiting for the hub's writer; the last try did not work: {row.retry_reason}"
        return "waiting for the hub's writer" + (
            f", which waits itself: {self.retry_reason}" if self.retry_reason else ""
        )

    def seconds_until(self, row: PeeringRow, now: datetime, poll_seconds: float, batch: int, arrived: Arrived) -> float:
        """About how long until a row is applied; 0 when it may be so any time.

        Its spoke side follows when the hub sides of its batch are written, and takes about as long as one of those. A row
        that came after the last pass comes behind those that came before it.
        """
        if row.spoke_id in self.queue:
            place = self.queue.index(row.spoke_id)
        elif row.since > self.planned_at and self.lease.keeps_out("", now):
            place = len(self.queue) + arrived(self.planned_at, row.since)
        else:
            return 0.0
        planned = (parse_timestamp(self.planned_at) - now).total_seconds() if self.planned_at else 0.0
        before = min((place // batch + 1) * batch, max(len(self.queue), place)) + 1
        seconds = self.seconds_per_side or poll_seconds
        # Between two sides comes a call of the writer: on a busy app it takes as long again.
        return max(planned + 2 * before * seconds, 0.0)
