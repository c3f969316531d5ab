"""How long the last operations of a kind took, so that the first poll of the next one comes when it can be over."""

import json
import logging
import math

from shared.errors import StorageException
from shared.settings import current_settings
from shared.spoke.records import durations_key
from shared.tables.partition import SpokesPartition

log = logging.getLogger(__name__)

VM = "vm"
_KEPT = 8


def quickest_of_last(kind: str) -> float | None:
    """Seconds that the quickest of the last ones took; None when none is known, or the table doesn't answer now."""
    try:
        return min(_read(_rows(), kind), default=None)
    except StorageException as error:
        log.debug("The last durations are not known just now: %s", error)
        return None


def note_duration(kind: str, seconds: float) -> None:
    """Keeps how long one took. Of two at once one may get lost, as all do while the table doesn't answer: they are hints."""
    try:
        rows = _rows()
        last = [*_read(rows, kind), round(seconds, 3)][-_KEPT:]
        row = {"PartitionKey": rows.key, "RowKey": durations_key(kind), "seconds": json.dumps(last)}
        rows.write(("upsert", row))
    except StorageException as error:
        log.debug("A duration could not be kept just now: %s", error)


def _rows() -> SpokesPartition:
    return SpokesPartition(current_settings())


def _read(rows: SpokesPartition, kind: str) -> list[float]:
    row = rows.get(durations_key(kind))
    try:
        seconds = [float(each) for each in json.loads(row["seconds"])] if row else []
    except (KeyError, TypeError, ValueError):
        return []  # written by hand; the next one is written over it
    return [each for each in seconds if 0 < each < math.inf]
