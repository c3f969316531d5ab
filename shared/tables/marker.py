"""The row that says that this table `Spokes` is the one which the installation has been using, complete.

Without it, or with one that is not confirmed, the table may be new, emptied or a copy: then nothing is deleted on its word
(`shared.recovery.record_loss`). Every reservation makes sure of the row before it writes its own rows, so that rows without it are
those of a version before it.
"""

from dataclasses import dataclass
from datetime import timedelta

from shared.tables.client import ConcurrentUpdate, Partition, write_over
from shared.timestamps import parse_timestamp

MARKER_KEY = "marker"
# Table Storage itself writes when a row was last written; in a confirmed marker that is right after `confirmed_at`, in a
# copy of it when it was copied.
_AT_ONCE = timedelta(minutes=20)


@dataclass(frozen=True)
class Marker:
    """confirmed: that the records were compared with Azure, and knew everything.  copied: that the row came from another
    table, with rows that may be older than what is in Azure."""

    confirmed: bool
    copied: bool = False
    etag: str | None = None

    @property
    def is_relied_on(self) -> bool:
        return self.confirmed and not self.copied


def read_marker(rows: Partition) -> Marker | None:
    """The marker, None when there is none."""
    entity = rows.get(MARKER_KEY)
    if entity is None:
        return None
    written_at, confirmed_at = entity.metadata["timestamp"], entity["confirmed_at"]
    copied = bool(confirmed_at) and written_at - parse_timestamp(confirmed_at) > _AT_ONCE
    return Marker(bool(confirmed_at), copied, entity.metadata["etag"])


def ensure_marker(rows: Partition) -> Marker:
    """The marker; it is made when there is none, and confirmed at once beside rows of a version before it."""
    marker = read_marker(rows)
    if marker is not None:
        return marker
    has_older_rows = any(rows.has_any(prefix) for prefix in ("run:", "spoke:"))
    try:
        marker = Marker(confirmed=False, etag=_write(rows, None))
    except ConcurrentUpdate:
        return read_marker(rows) or Marker(confirmed=False)
    return confirm_marker(rows, marker) if has_older_rows else marker


def confirm_marker(rows: Partition, marker: Marker) -> Marker:
    """Confirms the marker as it was read, at the time of Table Storage. Another one that was faster is left as it is, and one
    that was gone when it was read isn't made."""
    if marker.etag is None:
        return marker
    try:
        etag = _write(rows, marker.etag)
        now = rows.get(MARKER_KEY)
        if now is None or now.metadata["etag"] != etag:
            return marker
        at = now.metadata["timestamp"].isoformat()
        return Marker(confirmed=True, etag=_write(rows, etag, at))
    except ConcurrentUpdate:
        return marker


def _write(rows: Partition, etag: str | None, confirmed_at: str = "") -> str | None:
    entity = {"PartitionKey": rows.key, "RowKey": MARKER_KEY, "confirmed_at": confirmed_at}
    return rows.write(write_over(entity, etag))[0]
