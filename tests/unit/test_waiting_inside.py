"""Waiting for a short operation inside its activity."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from activities import waiting_inside
from activities.waiting_inside import MOST_WAITING, wait_inside
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


def leave(call: Call, outcome: Pending) -> Outcome:
    return outcome


def answers(*outcomes: Outcome) -> tuple[Callable[[Call], Outcome], list[Call]]:
    seen: list[Call] = []

    def perform(call: Call) -> Outcome:
        seen.append(call)
        return outcomes[min(len(seen), len(outcomes)) - 1]

    return perform, seen


def test_what_is_over_after_a_poll_is_answered_by_the_first_call() -> None:
    perform, seen = answers(Pending("", 0.01, OPERATION), Done("made"))
    assert asyncio.run(wait_inside(perform, leave, CALL)) == Done("made")
    assert [each.operation for each in seen] == [None, OPERATION]


def test_what_takes_longer_is_answered_as_pending_and_keeps_its_operation() -> None:
    perform, seen = answers(Pending("", 0.01, OPERATION), Pending("still", 0.01))
    outcome = asyncio.run(wait_inside(perform, leave, CALL))
    assert outcome == Pending("still", 0.01, OPERATION)
    most = waiting_inside.LONGEST_WAIT_POLLS * current_settings().policy.poll_max_seconds
    assert 1 < len(seen) <= 1 + most / 0.01


def test_what_is_answered_as_pending_is_recorded_once() -> None:
    perform, seen = answers(Pending("", 0.01, OPERATION), Pending("still", 0.01))
    left: list[tuple[Call, Outcome]] = []

    def record(call: Call, outcome: Pending) -> Outcome:
        left.append((call, outcome))
        return outcome

    outcome = asyncio.run(wait_inside(perform, record, CALL))
    assert left == [(seen[-1], outcome)]


def test_a_refusal_is_not_waited_out_inside() -> None:
    perform, seen = answers(Pending("busy", 30.0, wait_in_full=True))
    asyncio.run(wait_inside(perform, leave, CALL))
    assert len(seen) == 1


def test_of_many_at_once_only_so_many_wait_inside() -> None:
    async def all_at_once() -> list[int]:
        each = [answers(Pending("", 0.02, OPERATION), Done("made")) for _ in range(3 * MOST_WAITING)]
        outcomes = await asyncio.gather(*(wait_inside(perform, leave, CALL) for perform, _ in each))
        assert all(
            isinstance(outcome, Done) == (len(seen) == 2) for outcome, (_, seen) in zip(outcomes, each, strict=True)
        )
        return [len(seen) for _, seen in each]

    calls = asyncio.run(all_at_once())
    assert MOST_WAITING <= calls.count(2) < len(calls)


def test_a_thread_that_hangs_is_a_failure_that_passes() -> None:
    def hang(call: Call) -> Outcome:
        with asyncio.Runner() as runner:
            runner.run(asyncio.sleep(0.3))
        return Done("late")

    outcome = asyncio.run(wait_inside(hang, leave, CALL, call_seconds=0.05))
    assert isinstance(outcome, Failed)
    assert outcome.failure.transient
