"""Tables of wishes with one writer: desired rows, and a `writer` row whose ETag fences everything the writer marks."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from shared.tables.store import Write, match, table, write_together

if TYPE_CHECKING:
    from azure.data.tables import TableClient

# A transaction holds 100 operations, one of which is always the writer's row.
ROWS_A_TRANSACTION = 99


class Row(Protocol):
    """A row of such a table."""

    @property
    def row_key(self) -> str: ...
    @property
    def etag(self) -> str | None: ...
    def as_entity(self, partition: str) -> dict[str, Any]: ...


R = TypeVar("R", bound=Row)
W = TypeVar("W", bound=Row)


class DesiredTable(Generic[R, W]):
    """One partition of such a table. Raises azure.core exceptions when it doesn't answer, `Changed` on a lost race."""

    def __init__(self, name: str, partition: str, writer_key: str, row_type: Any, writer_type: Any) -> None:
        self._name = name
        self.partition = partition
        self._writer_key = writer_key
        self._row_type = row_type
        self._writer_type = writer_type

    @property
    def _table(self) -> "TableClient":
        return table(self._name)

    def everything(self) -> tuple[W, list[R]]:
        """The writer's row and all others. The writer's is made when it isn't there yet."""
        found = list(self._table.query_entities("PartitionKey eq @partition", parameters={"partition": self.partition}))
        writers = [entity for entity in found if entity["RowKey"] == self._writer_key]
        rows = [
            self._row_type.from_entity(entity, entity.metadata["etag"])
            for entity in found
            if entity["RowKey"] != self._writer_key
        ]
        return (self._writer(writers[0]) if writers else self._first_writer()), rows

    def look(self, row_key: str) -> tuple[R | None, W]:
        """One row and the writer's, in one request."""
        query = "PartitionKey eq @partition and RowKey eq @row or PartitionKey eq @partition and RowKey eq @writer"
        parameters = {"partition": self.partition, "row": row_key, "writer": self._writer_key}
        row, writer = None, None
        for entity in self._table.query_entities(query, parameters=parameters):
            if entity["RowKey"] == self._writer_key:
                writer = self._writer(entity)
            else:
                row = self._row_type.from_entity(entity, entity.metadata["etag"])
        return row, writer or self._writer_type()

    def wish(self, row: R) -> None:
        """Writes one row, new or under the ETag that it was read with. `Changed` when somebody else was faster."""
        entity = row.as_entity(self.partition)
        write: Write = ("update", entity, {"mode": "replace", **match(row.etag)}) if row.etag else ("create", entity)
        write_together(self._table, [write])

    def mark(self, writer: W, rows: Iterable[R] = (), gone: Iterable[R] = ()) -> W:
        """Writes the writer's row and others, each under its ETag: all of them go through the fence.

        At most 99 rows a transaction. A crash between two transactions leaves rows for the next look to mark.
        """
        operations: list[Write] = [
            ("update", row.as_entity(self.partition), {"mode": "replace", **match(row.etag)}) for row in rows
        ]
        operations += [("delete", row.as_entity(self.partition), match(row.etag)) for row in gone]
        entity, etag = writer.as_entity(self.partition), writer.etag
        for part in _parts(operations):
            first = ("update", entity, {"mode": "replace", **match(etag)})
            etag = write_together(self._table, [first, *part])[0]
        fresh: W = self._writer_type.from_entity(entity, etag)
        return fresh

    # --- inside ---

    def _writer(self, entity: Any) -> W:
        writer: W = self._writer_type.from_entity(entity, entity.metadata["etag"])
        return writer

    def _first_writer(self) -> W:
        entity = self._writer_type().as_entity(self.partition)
        etag = write_together(self._table, [("create", entity)])[0]
        writer: W = self._writer_type.from_entity(entity, etag)
        return writer


def _parts(operations: list[Write]) -> Iterator[list[Write]]:
    for start in range(0, max(len(operations), 1), ROWS_A_TRANSACTION):
        yield operations[start : start + ROWS_A_TRANSACTION]
