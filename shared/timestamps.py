"""Moments as text. Pure."""

from datetime import UTC, datetime


def as_timestamp(moment: datetime) -> str:
    """ISO 8601 in UTC, to the millisecond, as every table row and answer writes a moment."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_timestamp(text: str) -> datetime:
    """The moment that `as_timestamp` wrote."""
    return datetime.fromisoformat(text)
