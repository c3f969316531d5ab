"""A step that waits for a writer: woken by an event, or by itself when the event got lost."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from shared.saga.instances import WAKE
from tests.stories.saga_harness import POLICY, RUN, SagaHarness, ScriptedActivities, script

NewHarness = Callable[[ScriptedActivities], SagaHarness]
STEP = "update_agw"
CHILD = f"{RUN}:{STEP}"


@pytest.fixture
def waiting(new_harness: NewHarness) -> SagaHarness:
    """A deployment whose only open step has asked once, and waits for its writer."""
    harness = new_harness(script())
    harness.script.policy = replace(POLICY, shared_deadline_seconds=20_000.0)
    harness.script.waits_for_writers.add(STEP)
    harness.begin("deploy")
    harness.stage.play()
    harness.stage.run_until_idle()
    assert calls(harness) == 1
    return harness


def calls(harness: SagaHarness) -> int:
    return harness.script.called.count(STEP)


def finish_row(harness: SagaHarness) -> None:
    harness.script.waits_for_writers.clear()


def wake(harness: SagaHarness) -> None:
    harness.stage.raise_event(CHILD, WAKE)
    harness.stage.play()
    harness.stage.run_until_idle()


def test_an_event_ends_the_wait_at_once(waiting: SagaHarness) -> None:
    began = waiting.stage.clock.now()
    finish_row(waiting)
    wake(waiting)
    assert waiting.stage.status(RUN).runtime_status == "Completed"
    assert waiting.stage.clock.now() == began
    assert calls(waiting) == 2


def test_without_an_event_it_asks_after_a_minute_then_more_and_more_seldom(waiting: SagaHarness) -> None:
    asked: list[float] = []
    began = waiting.stage.clock.now()
    while len(asked) < 5:
        before = calls(waiting)
        waiting.stage.advance_to_next_timer()
        waiting.stage.run_until_idle()
        if calls(waiting) > before:
            asked.append(waiting.stage.clock.now() - began)
    assert asked == [60, 180, 420, 900, 1500]
    finish_row(waiting)
    assert waiting.stage.run_to_end(RUN).runtime_status == "Completed"


def test_an_event_that_comes_for_nothing_costs_a_call_and_the_next_wait_is_short_again(waiting: SagaHarness) -> None:
    waiting.stage.advance(200)
    waiting.stage.run_until_idle()
    before = calls(waiting)
    for number in range(1, 4):
        wake(waiting)
        assert calls(waiting) == before + number
    began = waiting.stage.clock.now()
    finish_row(waiting)
    assert waiting.stage.run_to_end(RUN).runtime_status == "Completed"
    assert waiting.stage.clock.now() - began <= 60


def test_events_that_come_twice_do_no_harm(waiting: SagaHarness) -> None:
    waiting.stage.raise_event(CHILD, WAKE)
    waiting.stage.raise_event(CHILD, WAKE)
    finish_row(waiting)
    wake(waiting)
    assert waiting.stage.status(RUN).runtime_status == "Completed"
    assert calls(waiting) == 2


def test_an_event_that_comes_while_the_row_is_being_read_ends_the_wait_that_follows(new_harness: NewHarness) -> None:
    """The row is finished between the step's reading it and its going to sleep."""
    harness = new_harness(script())
    harness.script.waits_for_writers.add(STEP)
    harness.begin("deploy")
    harness.stage.play()
    while STEP not in [task.name for task in harness.stage.pending]:
        harness.stage.complete(harness.stage.pending[0])
    began = harness.stage.clock.now()
    harness.stage.raise_event(CHILD, WAKE)
    harness.stage.record(STEP)
    finish_row(harness)
    harness.stage.play()
    harness.stage.run_until_idle()
    assert harness.stage.status(RUN).runtime_status == "Completed"
    assert harness.stage.clock.now() == began


def test_an_event_between_two_waits_is_not_lost_when_its_generation_ends(waiting: SagaHarness) -> None:
    """The timer has ended the wait; the event comes before the row is read again, and the row is finished right after."""
    waiting.stage.advance_to_next_timer()
    while STEP not in [task.name for task in waiting.stage.pending]:
        waiting.stage.advance_to_next_timer()
    began = waiting.stage.clock.now()
    waiting.stage.raise_event(CHILD, WAKE)
    waiting.stage.play()
    waiting.stage.record(STEP)
    finish_row(waiting)
    waiting.stage.play()
    waiting.stage.run_until_idle()
    assert waiting.stage.status(RUN).runtime_status == "Completed"
    assert waiting.stage.clock.now() == began


def test_a_long_wait_stays_cheap(waiting: SagaHarness) -> None:
    """At most one call every ten minutes, and a history that doesn't grow."""
    waiting.stage.advance(1500)
    waiting.stage.run_until_idle()
    before, sizes = calls(waiting), set()
    for _ in range(10):
        waiting.stage.advance(600)
        waiting.stage.run_until_idle()
        sizes.add(len(waiting.stage.history(CHILD)))
    assert calls(waiting) - before <= 10
    assert max(sizes) < 20
