"""What all deployments read alike is read once, and a failure is told only to those who waited for it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from shared.checks.snapshot import SharedRead


@dataclass
class Clock:
    """Gives the moments that it was told, in order; the last one stays."""

    moments: list[float] = field(default_factory=lambda: [0.0])

    def __call__(self) -> float:
        return self.moments.pop(0) if len(self.moments) > 1 else self.moments[0]


def broken() -> str:
    raise ConnectionError("no answer")


def answering(word: str) -> Callable[[], str]:
    return lambda: word


def test_an_answer_is_shared_until_it_is_too_old() -> None:
    shared = SharedRead()
    assert shared.get(answering("first"), 1.0, Clock([10.0])) == "first"
    assert shared.get(answering("second"), 1.0, Clock([10.9])) == "first"
    assert shared.get(answering("third"), 1.0, Clock([11.0])) == "third"


def test_a_clock_that_is_set_back_makes_no_answer_eternal() -> None:
    shared = SharedRead()
    assert shared.get(answering("first"), 1.0, Clock([10.0])) == "first"
    assert shared.get(answering("second"), 1.0, Clock([5.0])) == "second"


def test_a_failure_is_told_to_those_who_waited_for_it_only() -> None:
    shared = SharedRead()
    with pytest.raises(ConnectionError):
        shared.get(broken, 1.0, Clock([10.0, 10.0, 20.0]))
    with pytest.raises(ConnectionError):
        shared.get(answering("never asked"), 1.0, Clock([12.0, 20.0]))
    assert shared.get(answering("anew"), 1.0, Clock([20.0])) == "anew"


def test_an_answer_is_as_old_as_its_question() -> None:
    shared = SharedRead()
    assert shared.get(answering("slow"), 1.0, Clock([10.0, 10.0, 15.0])) == "slow"
    assert shared.get(answering("fresh"), 1.0, Clock([15.0])) == "fresh"
