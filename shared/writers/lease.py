"""Who may write a shared document, and whether that writer still works: its lease and its heartbeat. Pure.

Durable calls an instance `Running` whose one message was lost, for ever. So each call of a writer says in the writer's row
when the next one is due. A writer that is late stands still; the next one runs under another instance id. The ETag of the
same row fences every mark, and the lease in it every write to Azure, so that a late awakening of the former is harmless.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar, Self

from shared.spoke.records import WRITER_KEY, LongText, Row
from shared.timestamps import as_timestamp, parse_timestamp

# So long after its next call was due a writer counts as standing still.
LATE = timedelta(minutes=5)
# Between two calls a writer may do some waiting of its own, this many polls at most.
_POLLS_BETWEEN = 10
# Beats are written ahead, so that a poll a second doesn't write a row a second; but not so far that a death goes unnoticed.
_AHEAD = timedelta(seconds=60)
_TOO_FAR = timedelta(minutes=3)

Arrived = Callable[[str, str], int]
"""How many rows were requested between two moments (timestamps)."""


@dataclass(frozen=True)
class Lease:
    """The right to write to Azure until `not_after` (empty: none). nonce: names the writer, or its one write, that has it."""

    nonce: str = ""
    not_after: str = ""

    @classmethod
    def granted(cls, nonce: str, now: datetime, seconds: float) -> "Lease":
        return cls(nonce, as_timestamp(now + timedelta(seconds=seconds)))

    def seconds_left(self, now: datetime) -> float:
        """Seconds for which something may still be sent under it."""
        return max((parse_timestamp(self.not_after) - now).total_seconds(), 0.0) if self.not_after else 0.0

    def allows(self, now: datetime, call_seconds: float) -> bool:
        """Whether a call sent now is answered, or given up, before another writer may send one."""
        return self.seconds_left(now) > call_seconds

    def keeps_out(self, nonce: str, now: datetime) -> float:
        """Seconds for which this lease keeps another writer from sending; 0 for its own holder."""
        return 0.0 if nonce == self.nonce else self.seconds_left(now)


@dataclass(frozen=True)
class LeasedWriter(Row):
    """What the rows of both writers have in common.

    nonce, not_after: the lease.  generation: counts the writers that stood still and were replaced, from 1; it is part of
    the instance id.  due: when the writer's next call is due; empty when no writer has anything to do.  replaced: what
    `/health` says of the last one that stood still.  retry_reason: why the writer itself waits.
    """

    writes: ClassVar[str]
    """What it writes: `gateway` or `hub`."""
    nonce: str = ""
    not_after: str = ""
    generation: int = 1
    due: str = ""
    replaced: str = ""
    retry_reason: LongText = ""
    etag: str | None = None

    @property
    def row_key(self) -> str:
        return WRITER_KEY

    @abstractmethod
    def reason_to_wait(self, row: Any) -> str:
        """What a step says that waits for a row."""

    @abstractmethod
    def seconds_until(self, row: Any, now: datetime, poll_seconds: float, batch: int, arrived: Arrived) -> float:
        """About how long until a row is applied; 0 when it may be so any time. batch: `HUB_BATCH`."""

    @property
    def lease(self) -> Lease:
        return Lease(self.nonce, self.not_after)

    def leased(self, lease: Lease) -> Self:
        return replace(self, nonce=lease.nonce, not_after=lease.not_after)

    def is_late(self, now: datetime) -> bool:
        """Whether the writer stands still."""
        return bool(self.due) and now > parse_timestamp(self.due) + LATE


def next_due(known: str, now: datetime, wait: float, poll_seconds: float) -> str:
    """When the call after the next wait is due: what is known while that says so well enough."""
    due = now + timedelta(seconds=max(wait, 0.0) + _POLLS_BETWEEN * poll_seconds)
    if known and due <= parse_timestamp(known) <= due + _TOO_FAR:
        return known
    return as_timestamp(due + _AHEAD)


def first_due(now: datetime) -> str:
    """`due` of a writer that is just being started."""
    return as_timestamp(now + _AHEAD)
