"""What run_step decides, without Durable and without a clock."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.data import as_data, from_data
from shared.errors import CLASSES, UNEXPECTED, AzureResourceException, Failure, HubSpokeException
from shared.saga.outcomes import Call, Cancelled, Done, Failed, Operation, Pending, outcome_as_data, outcome_from_data
from shared.saga.policy import Policy, WriterPolicy, jitter
from shared.saga.step_run import UNEXPECTED_ATTEMPTS, GiveUp, StepRun, Wait, next_move

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
CALL = Call("deploy-acme-1-abcd", 1, "create_vnet", number=2)
BUSY = Failure(AzureResourceException, "AnotherOperationInProgress", "Busy.", transient=True)


def a_run(**changes: Any) -> StepRun:
    return replace(StepRun(CALL, Policy(), deadline_seconds=1800).begun(NOW), **changes)


def test_done_and_cancelled_are_rest() -> None:
    for outcome in (Done("made"), Cancelled("not wanted")):
        assert next_move(a_run(), outcome, NOW) is outcome


def test_a_permanent_failure_ends_the_step_at_once() -> None:
    outcome = Failed(replace(BUSY, transient=False))
    assert next_move(a_run(), outcome, NOW) is outcome


def test_a_poll_waits_no_longer_than_the_maximum_whatever_arm_asks() -> None:
    move = next_move(a_run(), Pending("creating", wait=10, operation=Operation("https://x/op")), NOW)
    assert isinstance(move, Wait)
    assert move.seconds == 5
    assert move.then.call.operation == Operation("https://x/op")
    assert move.then.call.attempt == 1


def test_polls_keep_our_pace_however_long_each_takes_but_never_ask_before_arm_allows() -> None:
    run = a_run(call=replace(CALL, operation=Operation("https://x/op")))
    assert _seconds(next_move(run, Pending("creating", wait=10), NOW, spent=0.5)) == 4.5
    assert _seconds(next_move(run, Pending("creating"), NOW, spent=0.5)) == 4.5
    assert _seconds(next_move(run, Pending("creating", wait=10), NOW, spent=60)) == 2.5
    assert _seconds(next_move(run, Pending("creating", wait=3), NOW, spent=0.5)) == 3


def test_the_pace_begins_with_the_answer_that_begins_the_operation() -> None:
    begun = Pending("creating", wait=10, operation=Operation("https://x/op"))
    assert _seconds(next_move(a_run(), begun, NOW, spent=0.5)) == 5


def _seconds(move: object) -> float:
    assert isinstance(move, Wait)
    return move.seconds


def test_a_refusal_waits_for_all_of_its_retry_after() -> None:
    move = next_move(a_run(), Failed(replace(BUSY, retry_after=300.0)), NOW)
    assert isinstance(move, Wait)
    assert move.seconds >= 300
    assert move.then.call.attempt == 2


def test_a_poll_that_was_throttled_waits_for_all_of_its_retry_after_and_keeps_the_operation() -> None:
    run = a_run(call=replace(CALL, operation=Operation("https://x/op")))
    move = next_move(run, Pending("throttled", wait=30, wait_in_full=True), NOW)
    assert isinstance(move, Wait)
    assert move.seconds == 30
    assert move.then.call.operation == Operation("https://x/op")


def test_a_failed_try_forgets_its_operation() -> None:
    run = a_run(call=replace(CALL, operation=Operation("https://x/op")))
    move = next_move(run, Failed(BUSY), NOW)
    assert isinstance(move, Wait)
    assert move.then.call.operation is None


@pytest.mark.parametrize("outcome", [Failed(BUSY), Pending("still creating")])
def test_the_deadline_ends_a_step_that_never_finishes(outcome: Failed | Pending) -> None:
    move = next_move(a_run(), outcome, NOW + timedelta(seconds=1800))
    assert isinstance(move, GiveUp)
    assert move.failure.code == "DeadlineExceeded"
    assert not move.failure.transient


def test_no_wait_reaches_beyond_the_deadline() -> None:
    move = next_move(a_run(), Failed(replace(BUSY, retry_after=900.0)), NOW + timedelta(seconds=1795))
    assert isinstance(move, Wait)
    assert move.seconds == pytest.approx(5)


def test_what_keeps_trying_is_ended_by_nothing() -> None:
    run = StepRun(CALL, Policy(), deadline_seconds=None).begun(NOW)
    move = next_move(run, Failed(replace(BUSY, transient=False)), NOW + timedelta(days=3))
    assert isinstance(move, Wait)


def test_a_writers_waits_after_failures_grow_to_the_longest() -> None:
    policy = WriterPolicy(poll_seconds=1.0, retry_first_seconds=5.0, retry_max_seconds=60.0)
    assert [policy.retry_wait(failures) for failures in (0, 1, 2, 3, 4, 99)] == [5, 10, 20, 40, 60, 60]


def test_the_whole_state_survives_continue_as_new() -> None:
    run = a_run(
        call=replace(CALL, attempt=3, operation=Operation("https://x/op", "location"), given={"a": 1}), unexpected=2
    )
    assert from_data(StepRun, as_data(run)) == run


@given(st.integers(1, 200), st.text(max_size=20))
def test_waits_grow_are_spread_and_are_the_same_at_every_replay(attempt: int, deployment_id: str) -> None:
    policy = Policy()
    wait = policy.refusal_wait(deployment_id, "create_vm", attempt, None)
    assert wait == policy.refusal_wait(deployment_id, "create_vm", attempt, None)
    assert 2.5 <= wait <= 60
    assert 0 <= jitter(deployment_id, "create_vm", attempt) < 1


@given(
    st.one_of(
        st.builds(Done, st.text(), st.dictionaries(st.text(), st.integers())),
        st.builds(Cancelled, st.text()),
        st.builds(
            Pending, st.text(), st.none() | st.floats(0, 1e6), st.none() | st.builds(Operation, st.text(min_size=1))
        ),
        st.builds(Failed, st.builds(Failure, st.sampled_from(CLASSES), st.text(), st.text(), transient=st.booleans())),
    )
)
def test_an_outcome_crosses_the_activity_boundary_unchanged(outcome: Done | Pending | Failed | Cancelled) -> None:
    assert outcome_from_data(outcome_as_data(outcome)) == outcome


@pytest.mark.parametrize("asked", [1e9, float("inf"), float("nan"), -5.0])
def test_no_refusal_keeps_a_step_without_a_deadline_asleep_for_days(asked: float) -> None:
    run = replace(a_run(), deadline=None, deadline_seconds=None)
    refused = Failed(replace(BUSY, retry_after=asked))
    assert 0 <= _seconds(next_move(run, refused, NOW)) <= 3600


def test_an_unexpected_error_is_tried_again_a_few_times_before_it_is_final() -> None:
    unexpected = Failure(HubSpokeException, UNEXPECTED, "Half imported.", transient=True)
    run = a_run()
    for attempt in range(1, UNEXPECTED_ATTEMPTS):
        move = next_move(run, Failed(unexpected), NOW)
        assert isinstance(move, Wait)
        assert move.seconds > 0
        run = from_data(StepRun, as_data(move.then))  # as over a continue-as-new
        assert run.call.attempt == attempt + 1
    assert next_move(run, Failed(unexpected), NOW) == GiveUp(unexpected.permanent())
    # Other trouble between them doesn't count, and what keeps trying goes on.
    assert isinstance(next_move(run, Failed(BUSY), NOW), Wait)
    assert isinstance(next_move(replace(run, deadline_seconds=None), Failed(unexpected), NOW), Wait)


def test_a_run_that_began_before_unexpected_errors_were_counted_goes_on() -> None:
    data = as_data(a_run())
    del data["unexpected"]
    assert from_data(StepRun, data).unexpected == 0
