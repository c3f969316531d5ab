"""Tables of desired state with one writer: desired rows, and a `writer` row whose ETag fences all that the writer marks."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from shared.errors import StorageException
from shared.spoke.records import WRITER_KEY, Row
from shared.tables.client import Table, Write, match, table
from shared.tables.codec import as_entity, from_entity
from shared.timestamps import parse_timestamp
from shared.writers.desired_state import DesiredState
from shared.writers.lease import LeasedWriter
from shared.writers.waking import note_finished

log = logging.getLogger(__name__)

# A transaction holds 100 operations, one of which is always the writer's row.
ROWS_A_TRANSACTION = 99


T = TypeVar("T", bound=Row)
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

    def __init__(self, name: str, partition: str, row_type: type[R], writer_type: type[W]) -> None:
        self._name = name
        self.partition = partition
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
        for entity in self._query():
            if entity["RowKey"] == WRITER_KEY:
                writer = self._parsed(self._writer_type, entity)
                continue
            try:
                rows.append(self._parsed(self._row_type, entity))
            except StorageException as malformed:
                log.error("%s", malformed)
                unreadable[entity["RowKey"]] = malformed
        self._waiting = {row.row_key for row in rows if row.is_waiting}
        return Present(writer, rows, unreadable)

    def keys(self) -> set[str]:
        """The keys of all rows, readable or not, and of the writer's."""
        return {entity["RowKey"] for entity in self._query(select=["RowKey"])}

    def writer(self) -> W:
        """The writer's row; made when it isn't there yet."""
        return self.find_writer() or self._first_writer()

    def find_writer(self) -> W | None:
        """The writer's row, None before there ever was one."""
        found = self._table.get(self.partition, WRITER_KEY)
        return self._parsed(self._writer_type, found) if found else None

    def read(self, row_key: str) -> tuple[R | None, W]:
        """One row and the writer's, in one request. A `StorageException` when the row was written by hand, and wrong."""
        either = " and RowKey eq @row or PartitionKey eq @partition and RowKey eq @writer"
        row, writer = None, None
        for entity in self._query(either, row=row_key, writer=WRITER_KEY):
            if entity["RowKey"] == WRITER_KEY:
                writer = self._parsed(self._writer_type, entity)
            else:
                row = self._parsed(self._row_type, entity)
        return row, writer or self._writer_type()

    def arrived_between(self, after: str, before: str) -> int:
        """How many rows were requested between two moments (timestamps)."""
        return len(self._query(" and since gt @after and since lt @before", ["RowKey"], after=after, before=before))

    def request(self, row: R) -> None:
        """Writes one row, new or under the ETag that it was read with. `ConcurrentUpdate` when another call was faster."""
        self._table.write([self._update(row) if row.etag else self._create(row)])

    def forget(self, row: R) -> None:
        """Removes one row under the ETag that it was read with. `ConcurrentUpdate` when another call was faster."""
        self._table.write([self._delete(row)])

    def mark(self, writer: W, rows: Iterable[R] = (), gone: Iterable[R] = ()) -> W:
        """Writes the writer's row and others, each under its ETag: all of them go through the fence.

        At most 99 rows a transaction. A crash between two transactions leaves rows for the next pass to mark.
        """
        rows, gone = list(rows), list(gone)
        operations = [*map(self._update, rows), *map(self._delete, gone)]
        for start in range(0, max(len(operations), 1), ROWS_A_TRANSACTION):
            part = operations[start : start + ROWS_A_TRANSACTION]
            writer = replace(writer, etag=self._table.write([self._update(writer), *part])[0])
        finished = [*gone, *(row for row in rows if not row.is_waiting)]
        note_finished(row for row in finished if row.row_key in self._waiting)
        return writer

    # --- inside ---

    def _query(self, more: str = "", select: Iterable[str] = (), **parameters: str) -> list[Any]:
        query = f"PartitionKey eq @partition{more}"
        return self._table.query(query, {"partition": self.partition, **parameters}, select)

    def _parsed(self, kind: type[T], entity: Any) -> T:
        """The row that an entity holds; a `StorageException` when it was written by hand, and wrong."""
        key = entity["RowKey"]
        try:
            row = from_entity(kind, entity)
            # What `from_entity` doesn't check, and would break the row's use later.
            if row.row_key != key:
                raise ValueError(f"its content is that of {row.row_key}")
            if isinstance(row, DesiredState) and parse_timestamp(row.since).tzinfo is None:
                raise ValueError(f"{row.since} has no time zone")
        except (KeyError, TypeError, ValueError, AttributeError) as reason:
            raise StorageException(
                f"The row {key} of the table {self._name} is not as the app writes it ({reason!r}).",
                code="MalformedRow",
                hint="Correct the row; or delete it, and by hand what it stands for in Azure. Then retry.",
                table=self._name,
                partition_key=self.partition,
                row_key=key,
            ) from reason
        return row

    def _first_writer(self) -> W:
        writer = self._writer_type()
        return replace(writer, etag=self._table.write([self._create(writer)])[0])

    def _create(self, row: Row) -> Write:
        return "create", as_entity(row, self.partition)

    def _update(self, row: Row) -> Write:
        return "update", as_entity(row, self.partition), {"mode": "replace", **match(row.etag)}

    def _delete(self, row: Row) -> Write:
        return "delete", as_entity(row, self.partition), match(row.etag)
