"""Rows as entities of Azure Table Storage and back: one column a field, in this place only. Pure.

Texts, numbers and flags are columns as they are; all else is JSON, in as many columns `name`, `name_1`, … as it needs.
None is no column at all. A column that is absent, as in rows of earlier versions, leaves its field at the default, or at None.
"""

import json
from functools import cache
from typing import Any, TypeVar

from shared.data import as_data, hints_of, typed, without_none
from shared.spoke.records import Row

R = TypeVar("R", bound=Row)

# A string property holds 64 KiB of UTF-16; JSON is written in ASCII, so 30,000 characters are always safe.
CHUNK = 30_000

# Fields whose columns have another name: what is stored stays as it is.
STORED_NAMES = {
    "StepRow.timestamp": "timestamp_text",
    "GatewayWriter.blocked_by": "trouble",
    "GatewayWriter.capacity": "places",
    "GatewayWriter.last_put_seconds": "took",
    "GatewayWriter.newly_owned": "claimed",
    "GatewayWriter.retry_reason": "setback",
    "GatewayWriter.unexplained": "setbacks",
    "GatewayWriter.unmanaged": "foreign",
    "HubWriter.planned_at": "looked_at",
    "HubWriter.retry_reason": "trouble",
    "HubWriter.seconds_per_side": "pace",
    "PeeringRow.present": "wanted",
    "PeeringRow.retry_reason": "trouble",
}
# What earlier versions wrote for None.
_NONE = {"priority": 0, "limit": 0, "places": -1, "took": 0}
# Where an earlier version kept another thing, of another type.
_REUSED = {"execution"}

_PLAIN = (str, int, float, bool)


def as_entity(row: Row, partition: str) -> dict[str, Any]:
    """The row as it is stored. A text of more than 30,000 characters is cut, unless it is a `LongText`."""
    entity: dict[str, Any] = {"PartitionKey": partition, "RowKey": row.row_key}
    stored = row.as_stored()
    for field, column, hint in _fields(type(stored)):
        value = getattr(stored, field)
        if value is None:
            continue
        kind = without_none(hint)
        if kind is str:
            entity[column] = value[:CHUNK]
        elif kind in _PLAIN:
            entity[column] = kind(value)
        else:
            entity |= json_columns(column, as_data(value))
    return entity


def from_entity(kind: type[R], entity: Any) -> R:
    """The row of an entity, with the ETag that came with it. TypeError or ValueError when the app did not write it."""
    values: dict[str, Any] = {"etag": getattr(entity, "metadata", {}).get("etag")}
    for field, column, hint in _fields(kind):
        plain = without_none(hint)
        value = entity.get(column) if plain in _PLAIN else from_json_columns(entity, column)
        if plain != hint and value in (None, "", _NONE.get(column)):
            values[field] = None
        elif value is not None and not (column in _REUSED and not isinstance(value, plain)):
            values[field] = typed(hint, value, field)
    return kind(**values)


def number_in(entity: Any, kind: str, field: str) -> int | None:
    """One number of a row of another package, None when it has none."""
    column = STORED_NAMES[f"{kind}.{field}"]
    value = entity.get(column) if entity else None
    return None if value == _NONE.get(column) else value


def json_columns(name: str, value: Any) -> dict[str, str]:
    """JSON as one or more columns `name`, `name_1`, …, each short enough for the service."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True)
    chunks = [text[start : start + CHUNK] for start in range(0, len(text), CHUNK)]
    return {name if number == 0 else f"{name}_{number}": chunk for number, chunk in enumerate(chunks)}


def from_json_columns(entity: Any, name: str) -> Any:
    """What `json_columns` wrote under this name, None when nothing did."""
    text, number = entity.get(name), 1
    while f"{name}_{number}" in entity:
        text += entity[f"{name}_{number}"]
        number += 1
    return json.loads(text) if text else None


@cache
def _fields(kind: type[Row]) -> tuple[tuple[str, str, Any], ...]:
    """Name, column and type of each field."""
    hints = hints_of(kind).items()
    return tuple(
        (name, STORED_NAMES.get(f"{kind.__name__}.{name}", name), hint) for name, hint in hints if name != "etag"
    )
