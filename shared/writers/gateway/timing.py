"""How the gateway's writer is started, when it may send a PUT, and how long it gathers. Pure."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.saga.policy import longest_request
from shared.writers.gateway.rows import IDLE, SENDING, GatewayWriter, SiteRow, Tombstone

if TYPE_CHECKING:
    from shared.settings import Settings

# While sites keep arriving a round waits for them, but never longer than this many gather windows: about one PUT.
GATHER_WINDOWS = 20
# How often it is asked whether those on their way have come.
WINDOWS_BETWEEN_LOOKS = 2.5
# How long a PUT is thought to take before one was seen, and the longest wait of who waits for it: in polls.
USUAL_PUT_POLLS = 6
LONGEST_WAIT_POLLS = 12
# How long, and how many at most, removed sites are known: long enough for a document that somebody has kept open. The
# writer's row is read by all who wait, so that it has to stay small.
REMOVED_FOR = timedelta(hours=24)
MOST_REMOVED = 100


def gateway_pace(settings: "Settings") -> dict[str, Any]:
    """What the gateway's writer takes from the settings."""
    return {
        "poll_seconds": settings.writer_poll_seconds,
        "gather_seconds": settings.agw_gather_seconds,
        "retry_first_seconds": settings.policy.retry_first_seconds,
        "retry_max_seconds": settings.policy.retry_max_seconds,
    }


def gather_wait(rows: list[SiteRow], on_their_way: int, now: datetime, gather_seconds: float) -> float:
    """Seconds until it is asked again whether a round may begin; 0 when it may.

    It may when nobody new has come for one gather window and nobody is on their way, or when the first has waited for
    about as long as a PUT takes: a round that others just miss costs them a whole one.
    """
    arrivals = [_moment(row.since) for row in rows if row.is_waiting]
    if not arrivals:
        return 0.0
    quiet = gather_seconds - (now - max(arrivals)).total_seconds()
    patience = GATHER_WINDOWS * gather_seconds - (now - min(arrivals)).total_seconds()
    if on_their_way:
        quiet = max(quiet, WINDOWS_BETWEEN_LOOKS * gather_seconds)
    return max(min(quiet, patience, WINDOWS_BETWEEN_LOOKS * gather_seconds), 0.0)


def fence_until(now: datetime, timeout_seconds: float) -> datetime:
    """`not_after` of a PUT: time to prepare it, and then for the request itself."""
    return now + timedelta(seconds=longest_request(timeout_seconds) + max(min(10.0, timeout_seconds), 2.0))


def may_send(not_after: datetime, now: datetime, timeout_seconds: float) -> bool:
    """Whether a PUT sent now is answered, or given up, before another writer may send one."""
    return (not_after - now).total_seconds() > longest_request(timeout_seconds)


def unanswered_for(writer: GatewayWriter, now: datetime) -> float:
    """Seconds for which a PUT of the writer's can still be under way without anybody knowing; 0 when none can."""
    if writer.phase != SENDING or not writer.not_after:
        return 0.0
    return max((_moment(writer.not_after) - now).total_seconds(), 0.0)


def waiter_wait(writer: GatewayWriter, row: SiteRow, now: datetime, poll_seconds: float) -> float | None:
    """Seconds until somebody who waits for the gateway looks again, None for the usual ones.

    Half of what is left of the PUT under way, and of the next one for who came too late for it: a hundred who wait must
    not keep the app from its work.
    """
    if writer.phase == IDLE or not writer.began:
        return None
    took = writer.took or USUAL_PUT_POLLS * poll_seconds
    left = took - (now - _moment(writer.began)).total_seconds()
    if writer.batch.get(row.client) != row.desired_version:
        left += took
    seconds = min(0.5 * left, LONGEST_WAIT_POLLS * poll_seconds)
    return seconds if seconds > poll_seconds else None


def remembered(removed: dict[str, Tombstone], now: datetime) -> dict[str, Tombstone]:
    """The removed sites that are still worth knowing, the latest ones."""
    latest = sorted(removed.items(), key=lambda item: item[1].at)[-MOST_REMOVED:]
    return {client: gone for client, gone in latest if now - _moment(gone.at) < REMOVED_FOR}


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
