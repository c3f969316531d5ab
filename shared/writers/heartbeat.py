"""What a writer's row says of its next call. Pure.

Durable calls an instance `Running` whose one message was lost, for ever. So each call of a writer says in the row when the
next one is due. A writer that is late stands still; the next one runs under another instance id, and the fence in the
same row makes a late awakening of the former harmless.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Self

from shared.spoke.records import Row

# So long after its next call was due a writer counts as standing still.
LATE = timedelta(minutes=5)
# Between two calls a writer may do some waiting of its own, this many polls at most.
_POLLS_BETWEEN = 10
# Beats are written ahead, so that a poll a second doesn't write a row a second; but not so far that a death goes unnoticed.
_AHEAD = timedelta(seconds=60)
_TOO_FAR = timedelta(minutes=3)


class Beating(Row):
    """What the rows of both writers have in common. Mixed into frozen dataclasses with these fields.

    generation: counts the writers that stood still and were replaced, from 1; it is part of the instance id.
    due: when the writer's next call is due; empty when no writer has anything to do.  replaced: what `/health` says of the
    last one that stood still.
    """

    generation: int
    due: str
    replaced: str

    def is_late(self, now: datetime) -> bool:
        """Whether the writer stands still."""
        return bool(self.due) and now > _moment(self.due) + LATE

    def beating(self, now: datetime, wait: float, poll_seconds: float) -> Self:
        """The row, which says when the call after the next wait is due: itself while it says so well enough."""
        due = now + timedelta(seconds=max(wait, 0.0) + _POLLS_BETWEEN * poll_seconds)
        if self.due and due <= _moment(self.due) <= due + _TOO_FAR:
            return self
        return replace(self, due=_text(due + _AHEAD))

    def resting(self) -> Self:
        """The row when nothing is left to do."""
        return replace(self, due="") if self.due else self


def first_due(now: datetime) -> str:
    """`due` of a writer that is just being started."""
    return _text(now + _AHEAD)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
