"""The rows of one hub in the table `Spokes`, as entities: read singly or by kind, written in transactions."""

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError

from shared.settings import Settings
from shared.spoke.records import SPOKES_TABLE
from shared.tables.client import LOST_RACE, ConcurrentUpdate, Write, match, table

if TYPE_CHECKING:
    from azure.data.tables import TableClient

log = logging.getLogger(__name__)


class SpokesPartition:
    """The table `Spokes`, this hub's partition."""

    def __init__(self, settings: Settings) -> None:
        self.hub_key = settings.hub_key

    @property
    def _table(self) -> "TableClient":
        return table(SPOKES_TABLE)

    def get(self, row_key: str) -> Any:
        try:
            return self._table.get_entity(self.hub_key, row_key)
        except ResourceNotFoundError:
            return None

    def range(
        self, prefix: str, further: str = "", select: Iterable[str] | None = None, **parameters: str
    ) -> list[Any]:
        """All rows whose key begins with `prefix` (which ends in `:`, whose successor is `;`)."""
        query = "PartitionKey eq @partition and RowKey ge @low and RowKey lt @high"
        if further:
            query += f" and {further}"
        values = {"partition": self.hub_key, "low": prefix, "high": prefix[:-1] + ";", **parameters}
        selected = list(select) if select else None
        return list(self._table.query_entities(query, parameters=values, select=selected))

    def has_any(self, prefix: str) -> bool:
        """Whether there is a row whose key begins with `prefix`, which ends in `:`."""
        query = "PartitionKey eq @partition and RowKey ge @low and RowKey lt @high"
        values = {"partition": self.hub_key, "low": prefix, "high": prefix[:-1] + ";"}
        found = self._table.query_entities(query, parameters=values, select=["RowKey"], results_per_page=1)
        return next(iter(found), None) is not None

    def submit(self, operations: list[Write], won: Callable[[], bool]) -> bool:
        """Sends one transaction; whether it is written. `won` looks whether ours is there, when its reply was lost."""
        try:
            self._table.submit_transaction(operations)
        except AzureError as error:
            if won():
                log.warning("The reply to a transaction was lost; it had been written")
                return True
            if isinstance(error, HttpResponseError) and error.status_code in LOST_RACE:
                return False
            raise
        return True

    def delete_together(self, rows: list[Any]) -> None:
        """Deletes rows under their ETags, all or none. `Changed` when one moved since it was read."""
        if not rows:
            return
        operations = [("delete", row, match(row.metadata["etag"])) for row in rows]
        if not self.submit(operations, won=lambda: all(self.get(row["RowKey"]) is None for row in rows)):
            raise ConcurrentUpdate
