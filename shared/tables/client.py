"""Azure Table Storage: the clients, rows that belong together (`Partition`), and what its failures mean.

By connection string (Azurite, or a key) or by the app's identity and `TABLES_ENDPOINT`; nothing else differs.
"""

import contextlib
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError, ResourceNotFoundError

from shared.errors import StorageException
from shared.process.identity import identity
from shared.process.once import import_what_requests_import, importing, once
from shared.settings import current_settings
from shared.spoke.records import GATEWAY_SITES_TABLE, HUB_TURNS_TABLE, SPOKES_TABLE

if TYPE_CHECKING:
    from azure.data.tables import TableClient

    from shared.process.transport import Transport

log = logging.getLogger(__name__)

Write = tuple[Any, ...]
"""As `TableClient.submit_transaction` takes it: `("create" | "update" | "upsert" | "delete", entity, {keyword: value})`."""

TABLES = (SPOKES_TABLE, GATEWAY_SITES_TABLE, HUB_TURNS_TABLE)

# Short, because run_step and the callers of the API try again: a function should not sleep in retries.
_CONNECT_SECONDS = 5
_READ_SECONDS = 20

# What Table Storage answers when a row is there already, isn't there, or isn't the one that was read.
LOST_RACE = (404, 409, 412)


class ConcurrentUpdate(StorageException):
    """The row was changed by another call since it was read; read it again and decide anew."""

    def __init__(self) -> None:
        super().__init__(
            "A record was changed by another call just now.",
            code="RowChanged",
            hint="Nothing is lost: try again in a moment.",
            transient=True,
        )


@once
def _transport() -> "Transport":
    """One for all tables: they are one host."""
    with importing:
        from shared.process.transport import Transport

    import_what_requests_import()
    return Transport(connection_timeout=_CONNECT_SECONDS, read_timeout=_READ_SECONDS)


@once
def client_of(name: str) -> "TableClient":
    """The client of a table, with a pipeline of its own.

    Not `TableServiceClient.get_table_client`: it links the policies that all its clients share anew, while other threads
    send requests through them.
    """
    with importing:
        from azure.data.tables import TableClient

    settings = current_settings()
    keywords: Any = {
        "retry_total": 2,
        "retry_backoff_factor": 0.2,
        "retry_backoff_max": 2,
        "transport": _transport(),
        "raw_response_hook": _read_to_its_end,
    }
    if settings.tables_connection_string:
        return TableClient.from_connection_string(settings.tables_connection_string, name, **keywords)
    endpoint = settings.tables_endpoint
    assert endpoint is not None  # the settings want one of the two
    return TableClient(endpoint, name, credential=identity(), **keywords)


# Tables that are known to be there.
_there: set[str] = set()


class Table:
    """One of our tables. Raises `StorageException` when it doesn't answer or refuses, `ConcurrentUpdate` on a lost race."""

    def __init__(self, client: "TableClient") -> None:
        self.client = client

    def get(self, partition: str, row_key: str) -> Any:
        """One row, None when it isn't there."""
        with _mapped(), contextlib.suppress(ResourceNotFoundError):
            return self.client.get_entity(partition, row_key)
        return None

    def query(self, query: str, parameters: dict[str, Any], select: Iterable[str] = ()) -> list[Any]:
        """All rows that the filter finds. select: the columns to read, all without it."""
        with _mapped():
            return list(self.client.query_entities(query, parameters=parameters, select=list(select) or None))

    def has_any(self, query: str, parameters: dict[str, Any]) -> bool:
        """Whether the filter finds a row."""
        with _mapped():
            found = self.client.query_entities(query, parameters=parameters, select=["RowKey"], results_per_page=1)
            return next(iter(found), None) is not None

    def write(self, writes: Sequence[Write]) -> list[str | None]:
        """All of these in one partition, or none; their new ETags. `ConcurrentUpdate` when a row isn't as it was read.

        A single one goes by itself: the frame of a transaction costs as much again.
        """
        with _mapped():
            if len(writes) == 1:
                return [_write_one(self.client, *writes[0])]
            return [written.get("etag") for written in self.client.submit_transaction(list(writes))]


def table(name: str) -> Table:
    """One of our tables, which is created when it isn't there yet."""
    if name not in TABLES:
        raise ValueError(f"{name} is no table of ours")
    client = client_of(name)
    if name not in _there:
        with _mapped(), contextlib.suppress(ResourceExistsError):
            client.create_table()
        _there.add(name)
    return Table(client)


_BY_PREFIX = "PartitionKey eq @partition and RowKey ge @low and RowKey lt @high"


class Partition:
    """One partition of the table `Spokes`: the rows of one hub (`Settings.hub_key`), or what all of them share."""

    def __init__(self, key: str) -> None:
        self.key = key

    @property
    def _table(self) -> Table:
        return table(SPOKES_TABLE)

    def get(self, row_key: str) -> Any:
        return self._table.get(self.key, row_key)

    def range(self, prefix: str, further: str = "", select: Iterable[str] = (), **parameters: str) -> list[Any]:
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

    def has_token(self, row_key: str, token: str) -> bool:
        """Whether a row is there, as the call that drew this token wrote it."""
        row = self.get(row_key)
        return row is not None and row.get("token") == token

    def write(self, *writes: Write) -> list[str | None]:
        """Writes rows, all or none, and answers their new ETags. `ConcurrentUpdate` on a lost race."""
        return self._table.write(writes)

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


def hub_rows() -> Partition:
    """The rows of the present hub."""
    return Partition(current_settings().hub_key)


def match(etag: str | None) -> dict[str, Any]:
    """The condition that a row is still the one that was read."""
    return {"etag": etag, "match_condition": MatchConditions.IfNotModified}


def write_over(entity: dict[str, Any], etag: str | None) -> Write:
    """Puts a row in the place of the one that was read with this ETag; None: inserts it, where there is none."""
    return ("create", entity) if etag is None else ("update", entity, {"mode": "replace", **match(etag)})


def _write_one(client: "TableClient", verb: str, entity: dict[str, Any], more: dict[str, Any] | None = None) -> Any:
    written = getattr(client, f"{verb}_entity")(entity, **(more or {}))
    return written.get("etag") if written else None


@contextlib.contextmanager
def _mapped() -> Iterator[None]:
    """The boundary: what the SDK raises leaves as an exception of ours."""
    try:
        yield
    except AzureError as error:
        raise storage_error(error) from error


def storage_error(error: AzureError) -> StorageException:
    """What an exception of the table SDK means: `ConcurrentUpdate` when a row is there, isn't there, or was changed."""
    status = error.status_code if isinstance(error, HttpResponseError) else None
    if status in LOST_RACE:
        return ConcurrentUpdate()
    code = str(getattr(error, "error_code", None) or f"Http{status}" if status else "NoAnswer").rsplit(".", 1)[-1]
    details: dict[str, Any] = {"status": status} if status else {}
    if status in (400, 401, 403) and code != "Http400":
        return StorageException(
            f"Azure Table Storage refuses the app ({status}).",
            code=code,
            hint="Grant the app's identity Storage Table Data Contributor on the storage account; see docs/operations.md.",
            **details,
        )
    return StorageException(
        "The records could not be read or written just now.",
        code=code,
        hint="Nothing is lost: try again in a moment.",
        transient=True,
        **details,
    )


# Of the error in an answer, and of one in the part of a transaction that failed (whose own status is 202).
_CODE = re.compile(r'"code"\s*:\s*"(TableNotFound|TableBeingDeleted)"')
_NAME = re.compile(rf"\b({'|'.join(TABLES)})\b")

_HINTS = {
    "TableNotFound": "Restore the table; the app goes on without a restart. See docs/operations.md, A table is gone.",
    "TableBeingDeleted": "A table that was deleted can be made again after about a minute. See docs/operations.md, A table is gone.",
}


def _read_to_its_end(response: Any) -> None:
    """Gives the answer's connection back. The SDK takes answers to transactions as streams, and tries again after a
    refusal without reading it: its connection would stay open until the collector finds it.

    Raises a `StorageException` that names the table when the answer says that it isn't there.
    """
    request, answer = response.http_request, response.http_response
    answer.read()
    may_say_so = answer.status_code >= 400 or request.url.endswith("/$batch")
    found = _CODE.search(answer.text()) if may_say_so else None
    if found is None:
        return
    code, name = found[1], _name_in(request)
    raise StorageException(
        f"The table {name} is {'missing' if code == 'TableNotFound' else 'being deleted'}.",
        code=code,
        hint=_HINTS[code],
        transient=True,
        table=name,
    )


def _name_in(request: Any) -> str:
    """The table that a request is about: from its URL, or from the body of a transaction or of a table's creation."""
    body = request.body
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    found = _NAME.search(request.url) or _NAME.search(text)
    return found[1] if found else "of the records"
