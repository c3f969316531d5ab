"""Waiting for a short operation inside its activity."""

import asyncio
from collections.abc import Iterator

import pytest

from activities import waiting_inside
from activities.waiting_inside import MOST_WAITING, carry_out
from shared.errors import AzureResourceException, Failure
from shared.saga.outcomes import Call, Done, Failed, Operation, Outcome, Pending
from shared.settings import current_settings
from tests.app import forget_app
from tests.unit.test_checks import ENVIRONMENT

CALL = Call("deploy-a-1-aaaa", 1, "create_nsg", 3)
OPERATION = Operation("https://arm.example/operations/1")


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in (
        ENVIRONMENT | {"POLL_MAX_SECONDS": "0.02", "POLL_DEFAULT_SECONDS": "0.02", "RETRY_FIRST_SECONDS": "0.01"}
    ).items():
        monkeypatch.setenv(name, value)
    forget_app()
    yield
    forget_app()


class Answers:
    """A step that answers these, one after the other, and the last one again and again."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = outcomes
        self.seen: list[Call] = []
        self.left: list[tuple[Call, Outcome]] = []

    def act(self, call: Call) -> Outcome:
        self.seen.append(call)
        return self.outcomes[min(len(self.seen), len(self.outcomes)) - 1]

    def leave(self, call: Call, outcome: Outcome) -> Outcome:
        self.left.append((call, outcome))
        return outcome


def test_what_is_over_after_a_poll_is_answered_by_the_first_call() -> None:
    step = Answers(Pending("", 0.01, OPERATION), Done("made"))
    assert asyncio.run(carry_out(step, CALL, takes_seconds=True)) == Done("made")
    assert [each.operation for each in step.seen] == [None, OPERATION]


def test_what_takes_longer_is_answered_as_pending_and_keeps_its_operation() -> None:
    step = Answers(Pending("", 0.01, OPERATION), Pending("still", 0.01))
    outcome = asyncio.run(carry_out(step, CALL, takes_seconds=True))
    assert outcome == Pending("still", 0.02, OPERATION)
    assert len(step.seen) == 1 + waiting_inside.LONGEST_WAIT, "polled when it can be over, not as often as Azure says"


def test_what_is_answered_as_pending_is_recorded_once() -> None:
    step = Answers(Pending("", 0.01, OPERATION), Pending("still", 0.01))
    outcome = asyncio.run(carry_out(step, CALL, takes_seconds=True))
    assert step.left == [(step.seen[-1], outcome)]


def test_a_refusal_is_not_waited_out_inside() -> None:
    step = Answers(Pending("busy", 30.0, wait_in_full=True))
    asyncio.run(carry_out(step, CALL, takes_seconds=True))
    assert len(step.seen) == 1


def test_of_many_at_once_only_so_many_wait_inside() -> None:
    steps = [Answers(Pending("", 0.015, OPERATION), Done("made")) for _ in range(3 * MOST_WAITING)]

    async def all_at_once() -> list[Outcome]:
        return await asyncio.gather(*(carry_out(step, CALL, takes_seconds=True) for step in steps))

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

    outcome = asyncio.run(carry_out(Hanging(Done("late")), CALL, takes_seconds=True, call_seconds=0.05))
    assert isinstance(outcome, Failed)
    assert outcome.failure.transient


def test_what_takes_longer_than_seconds_is_not_waited_for() -> None:
    for wait in (0.0, 0.01):
        step = Answers(Pending("", wait, OPERATION), Done("made"))
        assert asyncio.run(carry_out(step, CALL, takes_seconds=False)) == Pending("", wait, OPERATION)
        assert [outcome for _, outcome in step.left] == [Pending("", wait, OPERATION)]


def refused(retry_after: float | None) -> Failed:
    return Failed(Failure(AzureResourceException, "TooMany", "No.", transient=True, retry_after=retry_after))


@pytest.mark.parametrize("takes_seconds", [False, True])
def test_a_short_refusal_is_waited_out_inside(takes_seconds: bool) -> None:
    step = Answers(refused(0.001), refused(0.002), Done("made"))
    assert asyncio.run(carry_out(step, CALL, takes_seconds=takes_seconds)) == Done("made")
    assert step.seen == [CALL] * 3, "one attempt: what counts them is the step"
    assert step.left == []


@pytest.mark.parametrize("refusal", [refused(30), refused(None)])
def test_another_refusal_is_the_steps(refusal: Failed) -> None:
    step = Answers(refusal, Done("made"))
    assert asyncio.run(carry_out(step, CALL, takes_seconds=True)) == refusal
    assert [outcome for _, outcome in step.left] == [refusal] * (refusal.failure.retry_after is not None)
