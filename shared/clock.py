"""The one place that reads the clock or draws a random number.

Orchestrators never import it: they take their time from the Durable context.
"""

import asyncio
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from shared.timestamps import as_timestamp


class Clock:
    """The system's clock; `running_on` puts another one in its place."""

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


_clock = Clock()


@contextmanager
def running_on(clock: Clock) -> Iterator[None]:
    """Inside, the whole process takes its time from another clock."""
    global _clock
    before, _clock = _clock, clock
    try:
        yield
    finally:
        _clock = before


def utc_now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.fromtimestamp(_clock.now(), UTC)


def timestamp(moment: datetime | None = None) -> str:
    """A moment (default: now) as ISO 8601 in UTC, to the millisecond."""
    return as_timestamp(moment or utc_now())


async def sleep(seconds: float) -> None:
    """A pause of an `async` function; it holds no thread."""
    await _clock.sleep(seconds)


def epoch_seconds() -> int:
    """Whole seconds since 1970, as deployment ids carry them."""
    return int(time.time())


def nonce(hex_digits: int = 32) -> str:
    """Unpredictable lower-case hexadecimal digits."""
    return secrets.token_hex((hex_digits + 1) // 2)[:hex_digits]
