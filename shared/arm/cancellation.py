"""Whether what an activity does is still wanted, asked again before it writes if it has been at it for long.

A look at ARM can take a minute, and meanwhile the run can have been cancelled, or swept up after its orchestration was
terminated: a write that went out then would leave what is never undone.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime

from shared.clock import utc_now
from shared.saga.policy import FRESH_SECONDS

WhyCancelled = Callable[[], str | None]


class RunCancelledError(Exception):
    """The run doesn't want this any more. Its text says why; nothing was written."""


@dataclass
class _Asked:
    why_not: WhyCancelled
    at: datetime


_asked: ContextVar[_Asked | None] = ContextVar("asked", default=None)


@contextmanager
def cancellation_guard(why_not: WhyCancelled, wanted_at: datetime) -> Iterator[None]:
    """Around an activity that was wanted at that moment. why_not: asks again, and answers why it isn't any more."""
    token = _asked.set(_Asked(why_not, wanted_at))
    try:
        yield
    finally:
        _asked.reset(token)


def check_cancelled() -> None:
    """Right before a write. Raises `RunCancelledError`; asks only when the last answer is older than `FRESH_SECONDS`."""
    asked = _asked.get()
    if asked is None or (utc_now() - asked.at).total_seconds() <= FRESH_SECONDS:
        return
    if reason := asked.why_not():
        raise RunCancelledError(reason)
    asked.at = utc_now()
