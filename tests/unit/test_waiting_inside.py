"""Waiting for a short operation inside its activity."""

import asyncio
from collections.abc import Iterator

import pytest

from activities import waiting_inside
from activities.waiting_inside import MOST_WAITING, wait_inside, work_in_thread
from shared.process.blocking import forget_threads
from shared.saga.outcomes import Call, Done, Failed, Operation, Outcome, Pending
from shared.settings import current_settings
from tests.app import forget_app
from tests.unit.test_checks import ENVIRONMENT

CALL = Call("deploy-a-1-aaaa", 1, "create_nsg", 3)
OPERATION = Operation("https://arm.example/operations/1")


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in (ENVIRONMENT | {"POLL_MAX_SECONDS": "0.02", "POLL_DEFAULT_SECONDS": "0.02"}).items():
        monkeypatch.setenv(name, value)
    forget_app()
    yield
    forget_threads()
    forget_app()


class Answers:
    """A step that answers these, one after the other, and the last one again and again."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = outcomes
        self.seen: list[Call] = []
        self.left: list[tuple[Call, Outcome]] = []

    def perform(self, call: Call) -> Outcome:
        return self.act(call)

    def act(self, call: Call) -> Outcome:
        self.seen.append(call)
        return self.outcomes[min(len(self.seen), len(self.outcomes)) - 1]

    def leave(self, call: Call, outcome: Pending) -> Outcome:
        self.left.append((call, outcome))
        return outcome


def test_what_is_over_after_a_poll_is_answered_by_the_first_call() -> None:
    step = Answers(Pending("", 0.01, OPERATION), Done("made"))
    assert asyncio.run(wait_inside(step, CALL)) == Done("made")
    assert [each.operation for each in step.seen] == [None, OPERATION]


def test_what_takes_longer_is_answered_as_pending_and_keeps_its_operation() -> None:
    step = Answers(Pending("", 0.01, OPERATION), Pending("still", 0.01))
    outcome = asyncio.run(wait_inside(step, CALL))
    assert outcome == Pending("still", 0.01, OPERATION)
    most = waiting_inside.LONGEST_WAIT_POLLS * current_settings().policy.poll_max_seconds
    assert 1 < len(step.seen) <= 1 + most / 0.01


def test_what_is_answered_as_pending_is_recorded_once() -> None:
    step = Answers(Pending("", 0.01, OPERATION), Pending("still", 0.01))
    outcome = asyncio.run(wait_inside(step, CALL))
    assert step.left == [(step.seen[-1], outcome)]


def test_a_refusal_is_not_waited_out_inside() -> None:
    step = Answers(Pending("busy", 30.0, wait_in_full=True))
    asyncio.run(wait_inside(step, CALL))
    assert len(step.seen) == 1


def test_of_many_at_once_only_so_many_wait_inside() -> None:
    steps = [Answers(Pending("", 0.015, OPERATION), Done("made")) for _ in range(3 * MOST_WAITING)]

    async def all_at_once() -> list[Outcome]:
        return await asyncio.gather(*(wait_inside(step, CALL) for step in steps))

    outcomes = asyncio.run(all_at_once())
    inside = [outcome for outcome in outcomes if isinstance(outcome, Done)]
    assert MOST_WAITING <= len(inside) < len(steps)
    for step, outcome in zip(steps, outcomes, strict=True):
        assert len(step.seen) == 1 + isinstance(outcome, Done)
    longest = current_settings().policy.poll_max_seconds
    assert {outcome.wait for outcome in outcomes if isinstance(outcome, Pending)} == {longest}, "and it is over by then"


def test_a_thread_that_hangs_is_a_failure_that_passes() -> None:
    class Hanging(Answers):
        def act(self, call: Call) -> Outcome:
            with asyncio.Runner() as runner:
                runner.run(asyncio.sleep(0.3))
            return super().act(call)

    for work in (wait_inside, work_in_thread):
        outcome = asyncio.run(work(Hanging(Done("late")), CALL, call_seconds=0.05))
        assert isinstance(outcome, Failed)
        assert outcome.failure.transient


def test_what_is_asked_once_answers_as_it_is() -> None:
    step = Answers(Pending("", 0.01, OPERATION), Done("made"))
    assert asyncio.run(work_in_thread(step, CALL)) == Pending("", 0.01, OPERATION)
    assert step.seen == [CALL]
