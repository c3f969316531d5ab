"""Tables of desired state with one writer: desired rows, and a `writer` row whose ETag fences all that the writer marks."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from shared.errors import StorageException
from shared.tables.client import Table, Write, match, table
from shared.tables.codec import as_entity, from_entity
from shared.timestamps import parse_timestamp
from shared.writers.desired_state import DesiredState
from shared.writers.lease import LeasedWriter
from shared.writers.waking import note_finished

log = logging.getLogger(__name__)

# A transaction holds 100 operations, one of which is always the writer's row.
ROWS_A_TRANSACTION = 99


R = TypeVar("R", bound=DesiredState)
W = TypeVar("W", bound=LeasedWriter)


@dataclass(frozen=True)
class Present(Generic[R, W]):
    """What a partition holds. writer: None before there ever was one.  unreadable: by row key, why a row is left out."""

    writer: W | None
    rows: list[R]
    unreadable: dict[str, StorageException] = field(default_factory=dict)


class DesiredTable(Generic[R, W]):
    """One partition of such a table. Raises `StorageException` when it doesn't answer, `ConcurrentUpdate` on a lost race."""

    def __init__(self, name: str, partition: str, writer_key: str, row_type: type[R], writer_type: type[W]) -> None:
        self._name = name
        self.partition = partition
        self._writer_key = writer_key
        self._row_type = row_type
        self._writer_type = writer_type
        # Rows that were waiting when this object read them: who waits for them is woken when they are marked as finished.
        self._waiting: set[str] = set()

    @property
    def _table(self) -> Table:
        return table(self._name)

    def everything(self) -> tuple[W, list[R]]:
        """The writer's row and all others. The writer's is made when it isn't there yet."""
        present = self.present()
        return present.writer or self._first_writer(), present.rows

    def present(self) -> Present[R, W]:
        """What there is now; writes nothing. A row that was written by hand, and wrong, stops no other one."""
        writer: W | None = None
        rows: list[R] = []
        unreadable: dict[str, StorageException] = {}
        query = "PartitionKey eq @partition"
        for entity in self._table.query(query, {"partition": self.partition}):
            if entity["RowKey"] == self._writer_key:
                writer = self._writer(entity)
                continue
            try:
                rows.append(self._row(entity))
            except StorageException as malformed:
                log.error("%s", malformed)
                unreadable[entity["RowKey"]] = malformed
        self._waiting = {row.row_key for row in rows if row.is_waiting}
        return Present(writer, rows, unreadable)

    def keys(self) -> set[str]:
        """The keys of all rows, readable or not, and of the writer's."""
        query = "PartitionKey eq @partition"
        found = self._table.query(query, {"partition": self.partition}, ["RowKey"])
        return {entity["RowKey"] for entity in found}

    def writer(self) -> W:
        """The writer's row; made when it isn't there yet."""
        return self.find_writer() or self._first_writer()

    def find_writer(self) -> W | None:
        """The writer's row, None before there ever was one."""
        query = "PartitionKey eq @partition and RowKey eq @writer"
        parameters = {"partition": self.partition, "writer": self._writer_key}
        found = next(iter(self._table.query(query, parameters)), None)
        return None if found is None else self._writer(found)

    def read(self, row_key: str) -> tuple[R | None, W]:
        """One row and the writer's, in one request. A `StorageException` when the row was written by hand, and wrong."""
        query = "PartitionKey eq @partition and RowKey eq @row or PartitionKey eq @partition and RowKey eq @writer"
        parameters = {"partition": self.partition, "row": row_key, "writer": self._writer_key}
        row, writer = None, None
        for entity in self._table.query(query, parameters):
            if entity["RowKey"] == self._writer_key:
                writer = self._writer(entity)
            else:
                row = self._row(entity)
        return row, writer or self._writer_type()

    def arrived_between(self, after: str, before: str) -> int:
        """How many rows were requested between two moments (timestamps)."""
        query = "PartitionKey eq @partition and since gt @after and since lt @before"
        parameters = {"partition": self.partition, "after": after, "before": before}
        return len(self._table.query(query, parameters, ["RowKey"]))

    def request(self, row: R) -> None:
        """Writes one row, new or under the ETag that it was read with. `ConcurrentUpdate` when another call was faster."""
        entity = as_entity(row, self.partition)
        write: Write = ("update", entity, {"mode": "replace", **match(row.etag)}) if row.etag else ("create", entity)
        self._table.write([write])

    def forget(self, row: R) -> None:
        """Removes one row under the ETag that it was read with. `ConcurrentUpdate` when another call was faster."""
        self._table.write([("delete", as_entity(row, self.partition), match(row.etag))])

    def mark(self, writer: W, rows: Iterable[R] = (), gone: Iterable[R] = ()) -> W:
        """Writes the writer's row and others, each under its ETag: all of them go through the fence.

        At most 99 rows a transaction. A crash between two transactions leaves rows for the next pass to mark.
        """
        rows, gone = list(rows), list(gone)
        operations: list[Write] = [
            ("update", as_entity(row, self.partition), {"mode": "replace", **match(row.etag)}) for row in rows
        ]
        operations += [("delete", as_entity(row, self.partition), match(row.etag)) for row in gone]
        entity, etag = as_entity(writer, self.partition), writer.etag
        for part in _parts(operations):
            first = ("update", entity, {"mode": "replace", **match(etag)})
            etag = self._table.write([first, *part])[0]
        finished = [*gone, *(row for row in rows if not row.is_waiting)]
        note_finished(row for row in finished if row.row_key in self._waiting)
        return replace(writer, etag=etag)

    # --- inside ---

    def _writer(self, entity: Any) -> W:
        try:
            return from_entity(self._writer_type, entity)
        except _MALFORMED as reason:
            raise self._malformed(entity, reason) from reason

    def _row(self, entity: Any) -> R:
        try:
            row = from_entity(self._row_type, entity)
            _check(row, entity["RowKey"])
        except _MALFORMED as reason:
            raise self._malformed(entity, reason) from reason
        return row

    def _malformed(self, entity: Any, reason: Exception) -> StorageException:
        key = entity["RowKey"]
        return StorageException(
            f"The row {key} of the table {self._name} is not as the app writes it ({reason!r}).",
            code="MalformedRow",
            hint="Correct the row; or delete it, and by hand what it stands for in Azure. Then retry.",
            table=self._name,
            partition_key=self.partition,
            row_key=key,
        )

    def _first_writer(self) -> W:
        writer = self._writer_type()
        etag = self._table.write([("create", as_entity(writer, self.partition))])[0]
        return replace(writer, etag=etag)


def _parts(operations: list[Write]) -> Iterator[list[Write]]:
    for start in range(0, max(len(operations), 1), ROWS_A_TRANSACTION):
        yield operations[start : start + ROWS_A_TRANSACTION]


# What reading a row that was written by hand can raise.
_MALFORMED = (KeyError, TypeError, ValueError, AttributeError)


def _check(row: DesiredState, row_key: str) -> None:
    """What reading a row doesn't check, and would break its use later."""
    if row.row_key != row_key:
        raise ValueError(f"its content is that of {row.row_key}")
    if parse_timestamp(row.since).tzinfo is None:
        raise ValueError(f"{row.since} has no time zone")
