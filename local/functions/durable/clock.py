"""The one source of time: real for a host, chosen in tests."""

import datetime as dt
import time
from typing import Protocol

UTC = dt.UTC


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since the epoch."""


class SystemClock:
    def now(self) -> float:
        return time.time()


class VirtualClock:
    """A clock that stands still until it is told to move."""

    def __init__(self, start: str = "2026-01-01T00:00:00Z") -> None:
        self._now = seconds(start)

    def now(self) -> float:
        return self._now

    def advance(self, by: float) -> None:
        if by < 0:
            raise ValueError("time does not run backwards")
        self._now += by

    def advance_to(self, moment: float) -> None:
        self._now = max(self._now, moment)


def stamp(moment: float) -> str:
    """The form in which the extension writes times into histories."""
    return dt.datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def short_stamp(moment: float) -> str:
    """The form of the management API: whole seconds."""
    return dt.datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(text: str) -> float:
    """Reads ISO 8601, with `Z` or an offset, without either as UTC; as many decimals as there are."""
    moment = dt.datetime.fromisoformat(text.strip())
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
