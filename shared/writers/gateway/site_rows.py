"""What each client wants on the gateway, and what the gateway's writer is doing: the rows of `GatewaySites`. Pure.

One partition per gateway: `site:{client}` and `writer`, so that one transaction covers the fence and what it marks.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

from shared.errors import Failure
from shared.spoke.plan import SiteNames
from shared.timestamps import parse_timestamp
from shared.writers.desired_state import DesiredState
from shared.writers.lease import Arrived, LeasedWriter

# How long a PUT is thought to take before one was seen: in polls.
USUAL_PUT_POLLS = 6
# How long, and how many at most, removed sites are known: long enough for a document that another client has kept open. The
# writer's row is read by every step that waits, so that it has to stay small.
REMOVED_FOR = timedelta(hours=24)
MOST_REMOVED = 100


def site_key(client: str) -> str:
    return f"site:{client}"


@dataclass(frozen=True)
class Site:
    """What a site is made of, fixed when it was asked for, so that a changed setting moves no site that is there."""

    host_name: str
    private_ip: str
    frontend_ip: str = "appGatewayFrontendIP"
    frontend_port: int = 80
    ssl_certificate: str | None = None
    probe_path: str = "/"


@dataclass(frozen=True)
class SiteRow(DesiredState):
    """One client's desired site. Versions count from 1; `site` None means that it is to be gone.

    applied_version: what the gateway was last seen to hold.  failed_version: the version that failed permanently, with `error`.
    owned: that our writer has put, or was about to put, elements of these names there; before that, elements of the
    same names are unmanaged.  since: when it was requested; the order of arrival.
    """

    steps: ClassVar[tuple[str, str]] = ("update_agw", "remove_from_agw")

    client: str
    made_by: str
    deployment_id: str
    names: SiteNames
    site: Site | None
    desired_version: int
    since: str
    applied_version: int = 0
    failed_version: int = 0
    owned: bool = False
    priority: int | None = None
    error: Failure | None = None
    etag: str | None = None

    @property
    def row_key(self) -> str:
        return site_key(self.client)

    @property
    def asks_for_removal(self) -> bool:
        return self.site is None

    def request_removal(self, *, deployment_id: str, now: str) -> "SiteRow":
        return self.request(deployment_id=deployment_id, now=now, site=None)

    @property
    def takes_capacity(self) -> bool:
        """Whether the gateway has to have room for it."""
        return self.site is not None and (self.is_applied or not self.has_failed)


@dataclass(frozen=True)
class Tombstone:
    """A site that was taken off the gateway, and a digest of its elements: a stale document may bring them back."""

    names: SiteNames
    digest: str
    at: str


# What a writer may be in the middle of.
IDLE = "at_rest"
SENDING = "sending"
RUNNING = "running"


@dataclass(frozen=True)
class GatewayWriter(LeasedWriter):
    """What the writer is in the middle of; every change of the gateway and every mark goes through this row's ETag.

    phase: `at_rest`; `sending` from just before a PUT until its answer is written; `running` while its operation is.
    nonce: of the last PUT.  not_after: no PUT of that nonce is sent after this moment.  batch: the waiting sites that
    the PUT changes, with their versions.  newly_owned: those of which nothing was ours before it.  limit: how many may go
    into one PUT while the offender is searched by bisection.  unexplained: transient failures in a row that named no site.
    our_failure: that a PUT of ours left the gateway `Failed`.  blocked_by: the failure of the gateway itself, for which all
    rows wait.  capacity: of the gateway in sites, at the last pass.
    began, last_put_seconds: when the last PUT was sent, and how many seconds the last one took that succeeded.
    unmanaged: a digest of each element that isn't ours, as the last PUT sent it.  removed: the last sites that were taken
    off, by client.
    """

    writes: ClassVar[str] = "gateway"

    phase: str = IDLE
    operation: dict[str, Any] | None = None
    batch: dict[str, int] = field(default_factory=dict)
    newly_owned: tuple[str, ...] = ()
    limit: int | None = None
    unexplained: int = 0
    our_failure: bool = False
    blocked_by: Failure | None = None
    capacity: int | None = None
    began: str = ""
    last_put_seconds: float | None = None
    unmanaged: dict[str, str] = field(default_factory=dict)
    removed: dict[str, Tombstone] = field(default_factory=dict)

    def finished(self) -> "GatewayWriter":
        """With nothing under way any more."""
        return replace(self, phase=IDLE, not_after="", operation=None)

    def reason_to_wait(self, row: SiteRow) -> str:
        """What a step says that waits for a row."""
        reason = "waiting for the gateway's writer"
        if blocked := self.blocked_by:
            return f"{reason}, which is blocked: {blocked.message} {blocked.hint or ''}".rstrip()
        return f"{reason}, which waits itself: {self.retry_reason}" if self.retry_reason else reason

    def seconds_until(
        self, row: SiteRow, now: datetime, poll_seconds: float, batch: int = 0, arrived: Arrived = lambda *_: 0
    ) -> float:
        """About how long until a row is applied: one PUT, or what is left of the one under way, and the next one for a row
        that came too late for it; 0 when it may be so any time. A PUT takes all sites at once, whatever came before.
        """
        took = self.last_put_seconds or USUAL_PUT_POLLS * poll_seconds
        if self.phase == IDLE or not self.began:
            return took
        left = took - (now - parse_timestamp(self.began)).total_seconds()
        if self.batch.get(row.client) != row.desired_version:
            left += took
        return max(left, 0.0)


def names_of_ours(rows: Iterable[SiteRow]) -> list[SiteNames]:
    """The names of the elements that are ours: what a row merely requests may be unmanaged."""
    return [row.names for row in rows if row.owned]


def in_order_of_arrival(rows: list[SiteRow]) -> list[SiteRow]:
    return sorted(rows, key=lambda row: (row.since, row.client))


def request_site(
    before: SiteRow | None, *, client: str, made_by: str, deployment_id: str, names: SiteNames, site: Site, now: str
) -> SiteRow:
    """The row that asks for a site: the one that is there when it asks for just that, else one of the next version."""
    if before is None:
        return SiteRow(client, made_by, deployment_id, names, site, desired_version=1, since=now)
    return before.request(deployment_id=deployment_id, now=now, site=site)


def remembered(removed: dict[str, Tombstone], now: datetime) -> dict[str, Tombstone]:
    """The removed sites that are still worth knowing, the latest ones."""
    latest = sorted(removed.items(), key=lambda item: item[1].at)[-MOST_REMOVED:]
    return {client: gone for client, gone in latest if now - parse_timestamp(gone.at) < REMOVED_FOR}
