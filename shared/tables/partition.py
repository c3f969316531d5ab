"""The rows of one hub in the table `Spokes`, as entities: read singly or by kind, written in transactions."""

import logging
from collections.abc import Callable, Iterable
from typing import Any

from shared.errors import StorageException
from shared.settings import Settings
from shared.spoke.records import SPOKES_TABLE
from shared.tables.client import ConcurrentUpdate, Table, Write, match, table

log = logging.getLogger(__name__)


class SpokesPartition:
    """The table `Spokes`, this hub's partition."""

    def __init__(self, settings: Settings) -> None:
        self.hub_key = settings.hub_key

    @property
    def _table(self) -> Table:
        return table(SPOKES_TABLE)

    def get(self, row_key: str) -> Any:
        return self._table.get(self.hub_key, row_key)

    def range(
        self, prefix: str, further: str = "", select: Iterable[str] | None = None, **parameters: str
    ) -> list[Any]:
        """All rows whose key begins with `prefix` (which ends in `:`, whose successor is `;`)."""
        query = "PartitionKey eq @partition and RowKey ge @low and RowKey lt @high"
        if further:
            query += f" and {further}"
        values = {"partition": self.hub_key, "low": prefix, "high": prefix[:-1] + ";", **parameters}
        return self._table.query(query, values, select)

    def has_any(self, prefix: str) -> bool:
        """Whether there is a row whose key begins with `prefix`, which ends in `:`."""
        query = "PartitionKey eq @partition and RowKey ge @low and RowKey lt @high"
        values = {"partition": self.hub_key, "low": prefix, "high": prefix[:-1] + ";"}
        return self._table.has_any(query, values)

    def submit(self, operations: list[Write], won: Callable[[], bool]) -> bool:
        """Sends one transaction; whether it is written. `won` looks whether ours is there, when its reply was lost."""
        try:
            self._table.write(operations)
        except StorageException as error:
            if won():
                log.warning("The reply to a transaction was lost; it had been written")
                return True
            if isinstance(error, ConcurrentUpdate):
                return False
            raise
        return True

    def delete_together(self, rows: list[Any]) -> None:
        """Deletes rows under their ETags, all or none. `ConcurrentUpdate` when one moved since it was read."""
        if not rows:
            return
        operations = [("delete", row, match(row.metadata["etag"])) for row in rows]
        if not self.submit(operations, won=lambda: all(self.get(row["RowKey"]) is None for row in rows)):
            raise ConcurrentUpdate
