"""The stand-in's time.

Time is counted in Azure's seconds times the scale. With a scale above zero it is the wall clock (so that operations
go on ending while the process is dead, as Azure's do), moved ahead by what `POST /_local/clock` asked for, or the header
`x-local-clock` of a request. With scale zero it stands still until it is moved, and durations and `Retry-After` are those
of scale 1: a client that moves the clock by the `Retry-After` that it was given makes progress at Azure's pace.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local.azure.store import Store

# In seconds of the clock: three years.
LONGEST_MOVE = 10**8


class Clock:
    """Now, and how long things take."""

    def __init__(self, store: Store, time_scale: float) -> None:
        self._store = store
        self.time_scale = time_scale
        if time_scale == 0 and store.meta("frozen_at") is None:
            store.set_meta("frozen_at", time.time())

    @property
    def frozen(self) -> bool:
        """Whether only `advance` moves it."""
        return self.time_scale == 0

    def now(self) -> float:
        """Seconds since 1970."""
        moved = self._store.meta("clock_moved", 0.0)
        return float(self._store.meta("frozen_at") if self.frozen else time.time()) + float(moved)

    def scaled(self, azure_seconds: float) -> float:
        """How long something lasts here that lasts so long in Azure."""
        return azure_seconds if self.frozen else azure_seconds * self.time_scale

    def advance(self, azure_seconds: float) -> None:
        """Let so many of Azure's seconds have passed. `ValueError` when they are more than the clock is moved by at once."""
        self._move(self.scaled(azure_seconds))

    def advance_to(self, moment: float) -> None:
        """Let it be this moment (`now`) at least. `ValueError` when it is further away than the clock is moved at once."""
        by = moment - self.now()
        self._move(by if not by <= 0 else 0.0)

    def _move(self, by: float) -> None:
        if not by <= LONGEST_MOVE:  # nor what is no number
            raise ValueError(f"the clock is moved by {LONGEST_MOVE} seconds at most")
        self._store.set_meta("clock_moved", float(self._store.meta("clock_moved", 0.0)) + by)

    def first_retry_after(self, azure_seconds: float) -> dict[str, str]:
        """The same for the answer that begins an operation, where the SDKs read `Retry-After` as a whole number and
        fail on a fraction: that one goes into `x-ms-retry-after-ms`, which azure-core understands."""
        text = self.retry_after(azure_seconds)
        if text.isdecimal():
            return {"Retry-After": text}
        return {"x-ms-retry-after-ms": f"{self.scaled(azure_seconds) * 1000:.0f}"}

    def retry_after(self, azure_seconds: float) -> str:
        """The value of a `Retry-After` header: a fraction when scaled."""
        return f"{self.scaled(azure_seconds):.3f}".rstrip("0").rstrip(".") or "0"

    def timestamp(self, at: float | None = None) -> str:
        """ISO 8601 as the compute provider writes it."""
        return datetime.fromtimestamp(self.now() if at is None else at, UTC).isoformat()
