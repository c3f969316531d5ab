"""How long the one who waits for a look at Azure will wait: every request and every token of that look keeps to it.

A context variable carries it, so that it goes along into the threads that carry the look out. Without one (in
activities) each request has its own timeout and nothing else.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar

from shared.errors import AzureResourceException, Failure

CODE = "NoAnswerInTime"

# What gave up a moment before its end gave up because of it.
_AS_GOOD_AS_PASSED = 0.05

# What an activity does, and the whole call of it with its records before and after: far from the five minutes after which
# the host ends it, and the worker with everything that runs beside it.
ACTIVITY_SECONDS = 120.0
CALL_SECONDS = 150.0
# A timer's whole tick, and an HTTP function, whose caller gets an answer of the platform after 230 s.
TIMER_SECONDS = 150.0
HTTP_SECONDS = 150.0


class Deadline:
    """`seconds` from now. It knows what is being waited for, so that its end can be told."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._ends = time.monotonic() + seconds
        self._waiting_for: list[tuple[int, str]] = []

    def left(self) -> float:
        """Seconds, 0 when it has passed."""
        return max(self._ends - time.monotonic(), 0.0)

    @property
    def has_passed(self) -> bool:
        return self.left() < _AS_GOOD_AS_PASSED

    @contextlib.contextmanager
    def waiting_for(self, what: str) -> Iterator[None]:
        entry = (threading.get_ident(), what)
        self._waiting_for.append(entry)
        try:
            yield
        finally:
            if not self.has_passed:  # else it was given up for that, and is what hangs
                self._waiting_for.remove(entry)

    def failure(self) -> Failure:
        """That it has passed, and what hangs."""
        innermost = dict(self._waiting_for)  # a request that waits for its token waits for the identity endpoint
        hanging = sorted(set(innermost.values())) or ["Azure Resource Manager"]
        return Failure(
            AzureResourceException,
            CODE,
            f"No answer within {self.seconds:g} seconds. Still waiting for: {'; '.join(hanging)}.",
            "Send the request again in a moment; a step is tried again by itself. GET /api/health shows what answers.",
            {"waiting_for": hanging, "seconds": self.seconds},
            transient=True,
        )


_current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


def current_deadline() -> Deadline | None:
    return _current.get()


def set_deadline(deadline: Deadline) -> None:
    """For the rest of this context: of a copy that a thread is about to run in."""
    _current.set(deadline)


@contextlib.contextmanager
def within(seconds: float) -> Iterator[Deadline]:
    """What is done inside has so many seconds, or what is left of those around it."""
    deadline = Deadline(seconds_left(seconds))
    token = _current.set(deadline)
    try:
        yield deadline
    finally:
        _current.reset(token)


def waiting_for(what: str) -> contextlib.AbstractContextManager[None]:
    """While it waits for this: named when the deadline passes."""
    deadline = _current.get()
    return deadline.waiting_for(what) if deadline else contextlib.nullcontext()


def seconds_left(most: float) -> float:
    """`most`, or what is left when that is less: 0 when nothing is."""
    deadline = _current.get()
    return min(most, deadline.left()) if deadline else most
