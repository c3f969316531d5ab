"""A table that isn't there: told apart from a row that isn't there, for which Table Storage answers 404 as well."""

import re
from typing import Any

from shared.errors import StorageException
from shared.spoke.records import GATEWAY_SITES_TABLE, HUB_TURNS_TABLE, SPOKES_TABLE

# Of the error in an answer, and of one in the part of a transaction that failed (whose own status is 202).
_CODE = re.compile(r'"code"\s*:\s*"(TableNotFound|TableBeingDeleted)"')
_NAME = re.compile(rf"\b({SPOKES_TABLE}|{GATEWAY_SITES_TABLE}|{HUB_TURNS_TABLE})\b")

_HINTS = {
    "TableNotFound": "Restore the table; the app goes on without a restart. See docs/operations.md, A table is gone.",
    "TableBeingDeleted": "A table that was deleted can be made again after about a minute. See docs/operations.md, A table is gone.",
}


def raise_if_missing(request: Any, response: Any) -> None:
    """Raises a `StorageException` that names the table when an answer of Table Storage says that it isn't there.

    request, response: of azure.core, the response read to its end.
    """
    if response.status_code < 400 and not request.url.endswith("/$batch"):
        return
    found = _CODE.search(response.text())
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
