"""The row that says that this table `Spokes` is the one which the installation has been using, complete.

Without it, or with one that is not confirmed, the table may be new, emptied or a copy: then nothing is deleted on its word
(`shared.recovery.record_loss`). Every reservation makes sure of the row before it writes its own rows, so that rows without it are
those of a version before it.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from shared.clock import parse_timestamp, timestamp
from shared.spoke.records import SPOKES_TABLE
from shared.tables.client import ConcurrentUpdate, match, table, write_together
from shared.tables.partition import SpokesPartition

MARKER_KEY = "marker"
# Table Storage writes the time of the last write itself. In a row that was copied it is much later than ours.
_CLOCKS_DIFFER = timedelta(minutes=20)


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


def read_marker(rows: SpokesPartition) -> Marker | None:
    """The marker, None when there is none."""
    entity = rows.get(MARKER_KEY)
    if entity is None:
        return None
    moved = entity.metadata["timestamp"] - parse_timestamp(entity["written_at"])
    return Marker(entity["confirmed"], moved > _CLOCKS_DIFFER, entity.metadata["etag"])


def ensure_marker(rows: SpokesPartition) -> Marker:
    """The marker; it is made when there is none: confirmed beside rows of a version before it, else not confirmed."""
    marker = read_marker(rows)
    if marker is not None:
        return marker
    older = any(rows.has_any(prefix) for prefix in ("run:", "spoke:"))
    try:
        etag = write_together(table(SPOKES_TABLE), [("create", _entity(rows, confirmed=older))])[0]
    except ConcurrentUpdate:
        return read_marker(rows) or Marker(confirmed=False)
    return Marker(confirmed=older, etag=etag)


def confirm_marker(rows: SpokesPartition, marker: Marker) -> None:
    """Confirms it as it was read; somebody else who was faster decided the same or decides anew."""
    write = ("update", _entity(rows, confirmed=True), {"mode": "replace", **match(marker.etag)})
    try:
        write_together(table(SPOKES_TABLE), [write])
    except ConcurrentUpdate:
        return


def _entity(rows: SpokesPartition, *, confirmed: bool) -> dict[str, Any]:
    return {
        "PartitionKey": rows.hub_key,
        "RowKey": MARKER_KEY,
        "confirmed": confirmed,
        "written_at": timestamp(),
    }
