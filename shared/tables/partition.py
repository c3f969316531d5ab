"""Rows of the table `Spokes` that belong together, as entities: read singly or by kind, written in transactions."""

import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Any

from shared.errors import StorageException
from shared.settings import Settings
from shared.spoke.records import SPOKES_TABLE
from shared.tables.client import ConcurrentUpdate, Table, Write, match, table

log = logging.getLogger(__name__)

_BY_PREFIX = "PartitionKey eq @partition and RowKey ge @low and RowKey lt @high"


class Partition:
    """One partition of the table `Spokes`."""

    def __init__(self, key: str) -> None:
        self.key = key

    @property
    def _table(self) -> Table:
        return table(SPOKES_TABLE)

    def get(self, row_key: str) -> Any:
        return self._table.get(self.key, row_key)

    def range(
        self, prefix: str, further: str = "", select: Iterable[str] | None = None, **parameters: str
    ) -> list[Any]:
        """All rows whose key begins with `prefix` (which ends in `:`, whose successor is `;`)."""
        query = f"{_BY_PREFIX} and {further}" if further else _BY_PREFIX
        return self._table.query(query, self._with(prefix) | parameters, select)

    def has_any(self, prefix: str) -> bool:
        """Whether there is a row whose key begins with `prefix`, which ends in `:`."""
        return self._table.has_any(_BY_PREFIX, self._with(prefix))

    def _with(self, prefix: str) -> dict[str, str]:
        return {"partition": self.key, "low": prefix, "high": prefix[:-1] + ";"}

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

    def write(self, operation: Write) -> None:
        """Writes one row. `ConcurrentUpdate` on a lost race."""
        self._table.write([operation])

    def forget(self, row_key: str) -> None:
        """Deletes a row, whatever it holds, if it is there."""
        with contextlib.suppress(ConcurrentUpdate):  # it isn't there any more
            self.write(("delete", {"PartitionKey": self.key, "RowKey": row_key}))

    def delete_together(self, rows: list[Any]) -> None:
        """Deletes rows under their ETags, all or none. `ConcurrentUpdate` when one moved since it was read."""
        if not rows:
            return
        operations = [("delete", row, match(row.metadata["etag"])) for row in rows]
        if not self.submit(operations, won=lambda: all(self.get(row["RowKey"]) is None for row in rows)):
            raise ConcurrentUpdate


class SpokesPartition(Partition):
    """The rows of one hub."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.hub_key)
