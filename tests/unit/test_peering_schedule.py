"""The schedule of the hub's writer: which calls follow from which answers, whatever the answers are."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.data import as_data
from shared.errors import AzureResourceException, Failure
from shared.saga.outcomes import Operation
from shared.saga.policy import LONGEST_WAIT_OF_A_WRITER
from shared.writers.peering.schedule import (
    AGAIN,
    CALLS_A_GENERATION,
    CALLS_A_PROBE,
    DONE,
    FAILED,
    HAND_OVER_HUB,
    POLL_SPOKE_SIDES,
    RECONCILE_HUB,
    RECREATE,
    RUNNING,
    WRITE_HUB_SIDE,
    WRITE_SPOKE_SIDE,
    Calls,
    HubSchedule,
    SideAnswer,
    SpokeSide,
    first_wait,
    known_seconds,
    next_calls,
    next_wait,
)
from shared.writers.peering.tasks import PeeringTask

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
OPERATION = Operation("https://u")
NEW = HubSchedule("hub-hub-vnet", "a-nonce")


def task(number: int, version: int = 1) -> PeeringTask:
    return PeeringTask(f"turn:{number}", version, True, "/hub", f"/vnet-{number}", "to", "back", False, False)


def a_pass(hub: tuple[int, ...] = (), spoke: tuple[int, ...] = (), **more: Any) -> dict[str, Any]:
    """The answer of a pass that asks for these sides."""
    sides = {"hub_sides": [as_data(task(n)) for n in hub], "spoke_sides": [as_data(task(n)) for n in spoke]}
    return {"not_after": "later", "poll_seconds": 1.0, "wait": 0.0, **sides, **more}


def side(state: str, **more: Any) -> dict[str, Any]:
    if state == RUNNING:
        more = {"operation": OPERATION, **more}
    if state == FAILED:
        more = {"failure": Failure(AzureResourceException, "Odd", "It can't be."), **more}
    return as_data(SideAnswer(state, **more))


def hub_answer(current: dict[str, Any] | None = None, begun: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"current": current, "begun": begun, "wait": 0.0}


class Driven:
    """A schedule with the time that passes for it."""

    def __init__(self, state: HubSchedule = NEW) -> None:
        self.state = state
        self.now = NOW
        self.slept = 0.0

    @property
    def calls(self) -> Calls:
        calls = next_calls(self.state, self.now)
        assert calls is not None
        return calls

    @property
    def names(self) -> list[str]:
        return [call.activity for call in self.calls.activities]

    @property
    def payload(self) -> dict[str, Any]:
        [call] = self.calls.activities
        return call.payload

    def answer(self, *answers: dict[str, Any] | None, seconds: float = 0.0) -> "Driven":
        """The next calls are answered so; None: one of them breaks off. A sleep passes in full."""
        calls = self.calls
        if calls.until:
            self.slept = (calls.until - self.now).total_seconds()
            self.now = calls.until
        self.now += timedelta(seconds=seconds)
        self.state = self.state.after(calls, None if None in answers else list(answers), self.now)  # type: ignore[arg-type]
        return self


def test_a_generation_begins_with_a_pass_and_ends_when_no_row_is_pending() -> None:
    driven = Driven()
    assert driven.names == [RECONCILE_HUB]
    assert (driven.payload["first"], driven.payload["instance_id"]) == (True, "hub-hub-vnet")
    driven.answer({"end": True})
    assert driven.state.is_finished
    assert next_calls(driven.state, NOW) is None


def test_spoke_sides_begin_side_by_side_and_before_the_next_hub_side() -> None:
    driven = Driven().answer(a_pass(hub=(3, 4), spoke=(1, 2)))
    assert driven.names == [WRITE_SPOKE_SIDE] * 2
    driven.answer({"side": side(RUNNING)}, {"side": side(DONE)})
    assert driven.names == [WRITE_HUB_SIDE]
    assert [each.key for each in driven.state.in_flight] == ["turn:1"]
    assert [each.key for each in driven.state.results] == ["turn:2"]


def test_hub_sides_are_written_one_after_the_other_and_spoke_sides_polled_meanwhile() -> None:
    driven = Driven().answer(a_pass(hub=(3, 4), spoke=(1,))).answer({"side": side(RUNNING)})
    assert driven.payload["task"]["key"] == "turn:3"
    driven.answer(hub_answer(begun=side(RUNNING)), seconds=1)
    assert driven.names == [POLL_SPOKE_SIDES]
    assert driven.payload["in_flight"] == [as_data(SpokeSide("turn:1", 1, OPERATION, begun_at=NOW.isoformat()))]
    driven.answer({"in_flight": []})
    assert driven.slept == 1.0
    assert driven.names == [WRITE_HUB_SIDE]
    assert (driven.payload["operation"], driven.payload["task"]["key"]) == (as_data(OPERATION), "turn:4")
    driven.answer(hub_answer(side(RUNNING, wait=1.0)))
    assert driven.names == [], "a timer alone"
    driven.answer()
    driven.answer(hub_answer(side(DONE), side(RUNNING)), seconds=3)
    assert driven.state.last_put_seconds == 5.0
    assert driven.state.current is not None
    assert driven.state.current.task.key == "turn:4"
    driven.answer()
    assert driven.slept == 5.0, "as long as the quickest write by now took"
    driven.answer(hub_answer(side(DONE)))
    assert driven.names == [RECONCILE_HUB], "no sleep: the spoke sides of what was written can begin"


def test_a_hub_side_whose_polls_were_refused_says_nothing_of_how_long_one_takes() -> None:
    driven = Driven().answer(a_pass(hub=(1,))).answer(hub_answer(begun=side(RUNNING)))
    driven.answer().answer(hub_answer(side(RUNNING, wait=90.0, unseen=True))).answer()
    driven.answer(hub_answer(side(DONE)))
    assert driven.state.last_put_seconds is None
    driven.answer(a_pass(spoke=(1,))).answer({"side": side(RUNNING)}).answer()
    assert (driven.slept, driven.names) == (1.0, [POLL_SPOKE_SIDES])


def test_a_pass_is_told_what_has_ended_until_one_has_recorded_it() -> None:
    driven = Driven().answer(a_pass(hub=(1, 2, 3)))
    driven.answer(hub_answer(begun=side(FAILED))).answer(hub_answer(begun=side(RECREATE))).answer(
        hub_answer(begun=side(DONE))
    )
    assert [(each["key"], each["state"]) for each in driven.payload["results"]] == [("turn:1", FAILED)]
    assert driven.payload["recreate"] == ["turn:2"]
    driven.answer({"wait": 5.0, "poll_seconds": 1.0, "failed": True})
    assert driven.state.results, "the pass did not come to mark them"
    driven.answer().answer(a_pass(hub=(1,)))
    assert (driven.state.results, driven.state.recreate) == ((), ())


def test_passes_that_fail_are_counted_until_one_works() -> None:
    driven, counted = Driven(), []
    for answer in (
        {"wait": 5.0, "failed": True},
        {"wait": 5.0, "failed": True},
        a_pass(hub=()),
        {"wait": 5.0, "failed": True},
    ):
        counted.append(driven.payload["failed_passes"])
        driven.answer(answer)
        if driven.state.sleep:
            driven.answer()
    assert counted == [0, 1, 2, 0]


def test_a_refusal_of_one_task_lets_the_others_go_first() -> None:
    refused = side(AGAIN, wait=1.0, only_this_task=True)
    driven = Driven().answer(a_pass(hub=(1, 2))).answer(hub_answer(begun=refused))
    assert (driven.payload["task"]["key"], driven.payload["recheck_first"]) == ("turn:2", True)
    driven.answer(hub_answer(begun=side(DONE)))
    assert driven.names == [WRITE_HUB_SIDE]
    assert (driven.payload["task"]["key"], driven.payload["recheck_first"]) == ("turn:1", True)
    driven.answer(hub_answer(begun=refused))
    assert driven.names == [RECONCILE_HUB], "the second time it is left to the next pass"


def test_a_refusal_of_all_waits_and_asks_again_for_the_same_task() -> None:
    driven = Driven().answer(a_pass(hub=(1, 2))).answer(hub_answer(begun=side(AGAIN, wait=7.0)))
    driven.answer()
    assert (driven.slept, driven.payload["task"]["key"], driven.payload["recheck_first"]) == (7.0, "turn:1", True)


def test_an_expired_lease_is_renewed_by_a_pass() -> None:
    driven = Driven().answer(a_pass(hub=(1, 2))).answer(hub_answer(begun=side(AGAIN, lease_expired=True)))
    assert driven.names == [RECONCILE_HUB]


@pytest.mark.parametrize(("hub", "spoke", "polls"), [((), (), 5), ((), (2,), 1), ((1,), (), 5)])
def test_a_call_that_broke_off_is_followed_by_a_pass_after_a_while(
    hub: tuple[int, ...], spoke: tuple[int, ...], polls: int
) -> None:
    driven = Driven(replace(NEW, poll_seconds=1.0))
    if hub or spoke:
        driven.answer(a_pass(hub, spoke))
    driven.answer(None).answer()
    assert (driven.slept, driven.names) == (polls, [RECONCILE_HUB])


def test_spoke_sides_alone_are_polled_once_when_they_can_be_over() -> None:
    driven = Driven(replace(NEW, last_put_seconds=5.0)).answer(a_pass(spoke=(1, 2)))
    driven.answer({"side": side(RUNNING)}, {"side": side(RUNNING)})
    assert driven.names == [], "a timer alone, and no pass"
    driven.answer()
    assert (driven.slept, driven.names) == (5.0, [POLL_SPOKE_SIDES])
    driven.answer({"in_flight": []})
    assert driven.names == [RECONCILE_HUB]


def test_a_spoke_side_that_takes_longer_is_polled_between_passes() -> None:
    driven = Driven(replace(NEW, last_put_seconds=5.0)).answer(a_pass(spoke=(1,)))
    driven.answer({"side": side(RUNNING)}).answer()
    driven.answer({"in_flight": driven.payload["in_flight"]})
    assert driven.names == [RECONCILE_HUB], "others may have come meanwhile"
    driven.answer(a_pass())
    assert driven.names == [POLL_SPOKE_SIDES]
    driven.answer({"in_flight": driven.payload["in_flight"]})
    assert (driven.slept, driven.names) == (1.0, [RECONCILE_HUB])


def test_a_poll_of_spoke_sides_that_broke_off_is_followed_by_a_pass() -> None:
    driven = Driven().answer(a_pass(spoke=(1,))).answer({"side": side(RUNNING)}).answer()
    assert driven.names == [POLL_SPOKE_SIDES]
    driven.answer(None)
    assert [each.key for each in driven.state.in_flight] == ["turn:1"]
    assert driven.names == [RECONCILE_HUB]


def test_the_next_generation_takes_over_what_the_last_one_knew() -> None:
    driven = Driven().answer(a_pass(hub=(1, 2), spoke=(3,))).answer({"side": side(RUNNING)})
    driven.answer(hub_answer(begun=side(RUNNING)))
    last = replace(driven.state, calls=CALLS_A_GENERATION, sleep=0.0, last_put_seconds=4.0)
    end = Driven(last)
    assert end.names == [HAND_OVER_HUB]
    handed = end.payload["handed"]
    end.answer({"wait": 0.0})
    assert next_calls(end.state, NOW) is None
    assert not end.state.is_finished, "it continues as new"
    new = Driven().answer({"handed": handed, "not_after": "later", "wait": 0.0, "poll_seconds": 1.0}).state
    assert (new.current, new.in_flight, new.last_put_seconds) == (last.current, last.in_flight, 4.0)
    assert Driven(new).names == [WRITE_HUB_SIDE]
    assert Driven(replace(new, current=None)).payload["first"] is False, "what is handed over is taken once"


@pytest.mark.parametrize("handed", [{"present": None, "open": []}, {"current": {"turn": {}}, "in_flight": []}])
def test_what_another_version_handed_over_is_found_out_by_a_pass(handed: dict[str, Any]) -> None:
    driven = Driven().answer({"handed": handed, "not_after": "later", "wait": 0.0, "poll_seconds": 1.0})
    assert driven.names == [RECONCILE_HUB]
    assert driven.payload["in_flight"] == []


def test_a_row_that_is_written_ahead_is_known_to_the_next_call() -> None:
    driven = Driven().answer({**a_pass(hub=(1,)), "due": "then"})
    assert driven.payload["due"] == "then"


STATES = st.sampled_from([RUNNING, DONE, FAILED, AGAIN, RECREATE])
SIDES = st.builds(
    side, STATES, wait=st.sampled_from([0.0, 1.0, 1e9]), lease_expired=st.booleans(), only_this_task=st.booleans()
)
NUMBERS = st.lists(st.integers(1, 9), max_size=4, unique=True).map(tuple)


@settings(max_examples=40)  # Each is a whole generation: hundreds of draws.
@given(st.data())
def test_whatever_is_answered_hub_sides_never_overlap_and_a_generation_ends(data: st.DataObject) -> None:
    """At most one hub side is being written, no spoke side begins meanwhile, no sleep is longer than a writer's."""
    play_a_generation(data)


@pytest.mark.full
@settings(max_examples=1000)
@given(st.data())
def test_whatever_is_answered_hub_sides_never_overlap_in_a_thousand_generations(data: st.DataObject) -> None:
    play_a_generation(data)


def play_a_generation(data: st.DataObject) -> None:
    state, now, count = NEW, NOW, 0
    while calls := next_calls(state, now):
        assert calls.activities or calls.until
        names = {call.activity for call in calls.activities}
        if WRITE_SPOKE_SIDE in names:
            assert state.current is None
        if calls.until:
            assert 0 < (calls.until - now).total_seconds() <= LONGEST_WAIT_OF_A_WRITER
            now = calls.until
        answers: list[dict[str, Any]] | None = []
        for call in calls.activities:
            if call.activity == RECONCILE_HUB:
                answers = [data.draw(st.builds(a_pass, NUMBERS, NUMBERS))]
            elif call.activity == WRITE_SPOKE_SIDE and answers is not None:
                answers.append({"side": data.draw(SIDES)})
            elif call.activity == WRITE_HUB_SIDE:
                current = data.draw(SIDES) if call.payload["operation"] else None
                begins = call.payload["task"] and (current is None or current["state"] != RUNNING)
                answers = [hub_answer(current, data.draw(SIDES) if begins else None)]
            elif call.activity == POLL_SPOKE_SIDES:
                answers = [{"in_flight": call.payload["in_flight"][data.draw(st.integers(0, 1)) :]}]
            else:
                answers = [{"wait": 0.0}]
        if data.draw(st.integers(0, 9)) == 0:
            answers = None
        state = state.after(calls, answers, now)
        count += 1
        assert count < 4 * CALLS_A_GENERATION
    assert state.handed_over


def test_polls_come_close_to_the_end_once_it_is_known() -> None:
    assert first_wait(1, None) == next_wait(1, None) == 1
    assert first_wait(1, 5) == 5
    assert first_wait(1, 5, calls=CALLS_A_PROBE) == 4.5, "now and then a little before: writes may have become quicker"
    assert next_wait(1, 5) == 0.25


def test_how_long_a_write_takes_follows_what_is_seen_of_its_end() -> None:
    assert known_seconds(None, 5.0, polls=3) == 5.0
    assert known_seconds(5.0, 5.2, polls=0) == 5.0, "over at its first poll: nobody knows since when"
    assert known_seconds(5.0, 4.5, polls=0) == 4.5
    assert known_seconds(5.0, 5.25, polls=1) == 5.25
    assert known_seconds(5.0, 60.0, polls=9) == 5.5, "one that could not be polled says little"
