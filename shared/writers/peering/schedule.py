"""The schedule of the hub's writer: which calls come next, decided from the answers to the former ones. Pure.

Hub sides are written one after the other; what ends and what begins next are one call. Spoke sides begin side by side
while no hub side is being written, go on meanwhile, and are polled when they can be over, while the writer sleeps.
"""

from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.data import as_data, from_data, taken_from
from shared.errors import Failure
from shared.saga.outcomes import Operation
from shared.saga.policy import BROKEN_CALL_SECONDS, writer_wait
from shared.writers.peering.tasks import PeeringTask

# The activities' names in Durable.
RECONCILE_HUB = "hub_round"
WRITE_HUB_SIDE = "write_hub_side"
WRITE_SPOKE_SIDE = "write_spoke_side"
POLL_SPOKE_SIDES = "settle_spoke_sides"
HAND_OVER_HUB = "hand_over_hub"

# After so many calls a writer continues as new: its history is replayed from the top at every one of them.
CALLS_A_GENERATION = 30
SPOKE_SIDES_A_POLL = 5
# After each so many calls a write is polled a little before it should be over, to find out whether they have become quicker.
CALLS_A_PROBE = 15
# A call is polled after so many polls at the latest, whatever the last ones took.
MOST_POLLS_SLEPT = 10

Data = dict[str, Any]

RUNNING = "running"
DONE = "done"
FAILED = "failed"
AGAIN = "again"
RECREATE = "recreate"


@dataclass(frozen=True)
class SideAnswer:
    """What became of one side of a peering.

    state: `running` (with its `operation`), `done`, `failed` (with its `failure`), `again` (ask again after `wait`
    seconds) or `recreate` (its other side has to be deleted and made anew first).  lease_expired: nothing was sent, the
    lease has to be renewed by a pass.  only_this_task: the refusal concerns this peering alone, others can go on.
    then_again: after the operation the task isn't done, a pass looks at it again.  unseen: a poll was refused, whether it
    is still running isn't known.
    """

    state: str
    wait: float = 0.0
    operation: Operation | None = None
    failure: Failure | None = None
    lease_expired: bool = False
    only_this_task: bool = False
    then_again: bool = False
    unseen: bool = False


@dataclass(frozen=True)
class Result:
    """How a task ended: `done` or `failed`."""

    key: str
    version: int
    state: str
    failure: Failure | None = None


@dataclass(frozen=True)
class SpokeSide:
    """A spoke side that is being written. begun_at: ISO 8601.  was_polled: it took longer than it should."""

    key: str
    version: int
    operation: Operation
    then_again: bool = False
    begun_at: str = ""
    was_polled: bool = False


@dataclass(frozen=True)
class HubSide:
    """The hub side that is being written. begun_at: ISO 8601.  polls: how often it was found running.  unseen: one of them was
    refused, so that its end says little of how long it took."""

    task: PeeringTask
    operation: Operation
    begun_at: str
    polls: int = 0
    unseen: bool = False


@dataclass(frozen=True)
class HandedOver:
    """What one generation leaves to the next; what gets lost of it the next pass finds in the rows and in Azure."""

    current: HubSide | None = None
    in_flight: tuple[SpokeSide, ...] = ()
    results: tuple[Result, ...] = ()
    recreate: tuple[str, ...] = ()
    failed_passes: int = 0
    last_put_seconds: float | None = None


@dataclass(frozen=True)
class Call:
    activity: str
    payload: Data


@dataclass(frozen=True)
class Calls:
    """Activities to call side by side, and beside them a durable timer that fires at `until`. Never empty."""

    activities: tuple[Call, ...] = ()
    until: datetime | None = None


@dataclass(frozen=True)
class HubSchedule:
    """What one generation of the writer knows. All of it was answered by its own activities, but for its own names.

    nonce: names the writer in the lease. The orchestration chooses it, not an activity: one whose answer is lost would
    leave a lease that every other writer had to wait out.  not_after: the end of the lease.  due: when the next call is
    due, as the writer's row says.
    queue: hub sides to be written, in order.  ready: spoke sides to begin.  current: the hub side that is being written.
    in_flight: the spoke sides that are.  results: ended tasks that no pass has recorded yet.  recreate: keys of tasks
    whose spoke side has to go before the hub side can be written.  refused: keys that were refused since the last pass.
    recheck_first: the next write reads its side first, a call was refused.
    sleep: seconds before the next call.  pass_wait: the least wait before the next pass.  wrote: a hub side has ended
    since the last pass, or there was none yet.  failed_passes: failures in a row.  last_put_seconds: of the quickest hub side by now.
    """

    instance_id: str
    nonce: str
    not_after: str = ""
    due: str | None = None
    poll_seconds: float = BROKEN_CALL_SECONDS
    calls: int = 0
    queue: tuple[PeeringTask, ...] = ()
    ready: tuple[PeeringTask, ...] = ()
    current: HubSide | None = None
    in_flight: tuple[SpokeSide, ...] = ()
    results: tuple[Result, ...] = ()
    recreate: tuple[str, ...] = ()
    refused: frozenset[str] = frozenset()
    recheck_first: bool = False
    sleep: float = 0.0
    pass_wait: float = 0.0
    wrote: bool = False
    failed_passes: int = 0
    last_put_seconds: float | None = None
    handed_over: bool = False
    is_finished: bool = False

    def after(self, calls: Calls, answers: list[Data] | None, now: datetime) -> "HubSchedule":
        """The state that follows from the answers to `calls`, in their order; None when one of them broke off."""
        due = next((each["due"] for each in reversed(answers or ()) if each.get("due")), self.due)
        state = replace(self, calls=self.calls + len(calls.activities), due=due, sleep=0.0)
        activity = calls.activities[0].activity if calls.activities else ""
        if activity == RECONCILE_HUB:
            return _after_pass(state, answers[0] if answers else None)
        if activity == WRITE_SPOKE_SIDE:
            return _after_spoke_sides(state, answers, now)
        if activity == WRITE_HUB_SIDE:
            return _after_hub_side(state, answers[0] if answers else None, now)
        if activity == POLL_SPOKE_SIDES:
            return _after_polls(state, calls.activities[0].payload["in_flight"], answers)
        return replace(state, handed_over=activity == HAND_OVER_HUB)


def next_calls(state: HubSchedule, now: datetime) -> Calls | None:
    """What the writer does next; None when the generation is over, for ever when `state.is_finished`."""
    if state.is_finished or state.handed_over:
        return None
    if state.sleep > 0:
        return Calls(_polls(state, now), now + timedelta(seconds=writer_wait(state.sleep)))
    if state.ready:
        sides = [_call(state, WRITE_SPOKE_SIDE, task=task, not_after=state.not_after) for task in state.ready]
        return Calls(tuple(sides))
    if state.calls >= CALLS_A_GENERATION:
        return Calls((_call(state, HAND_OVER_HUB, nonce=state.nonce, handed=taken_from(state, HandedOver)),))
    if state.queue or state.current:
        return Calls((_hub_side_call(state),))
    if _only_spoke_sides_are_left(state):
        due = min(_due(state, each) for each in state.in_flight if not each.was_polled)
        return Calls((), due) if due > now else Calls(_polls(state, now))
    return Calls((_pass_call(state),))


def first_wait(poll_seconds: float, last_put_seconds: float | None, calls: int = 1) -> float:
    """Seconds until a write just begun is polled: when it is over, if it takes as long as the last ones.

    Now and then a little before (`CALLS_A_PROBE`). One that took far longer than any should, because ARM could not be polled,
    says nothing about the next.
    """
    if last_put_seconds is None:
        return poll_seconds
    expected = last_put_seconds * (0.9 if calls % CALLS_A_PROBE == 0 else 1.0)
    return max(min(expected, MOST_POLLS_SLEPT * poll_seconds), poll_seconds / 4)


def known_seconds(known: float | None, seconds: float, polls: int) -> float:
    """How long a write takes, by what is known and the last one. Of one that was over at its first poll the end isn't known;
    one that wasn't makes it longer, by a tenth at most."""
    if known is None:
        return seconds
    return min(seconds, 1.1 * known if polls else known)


def next_wait(poll_seconds: float, last_put_seconds: float | None) -> float:
    """Seconds until it is polled again: in short steps, because the hub stands idle from its end on."""
    if last_put_seconds is None:
        return poll_seconds
    return min(max(poll_seconds / 4, 0.05 * last_put_seconds), poll_seconds)


# --- the calls ---


def _call(state: HubSchedule, activity: str, **payload: Any) -> Call:
    return Call(activity, as_data({**payload, "instance_id": state.instance_id, "due": state.due}))


def _polls(state: HubSchedule, now: datetime) -> tuple[Call, ...]:
    """The call that asks after the spoke sides that can be over."""
    asked = [each for each in state.in_flight if each.was_polled or _due(state, each) <= now][:SPOKE_SIDES_A_POLL]
    return (_call(state, POLL_SPOKE_SIDES, in_flight=asked, nonce=state.nonce),) if asked else ()


def _due(state: HubSchedule, side: SpokeSide) -> datetime:
    """When a spoke side can be over: it takes as long as a hub side."""
    wait = timedelta(seconds=first_wait(state.poll_seconds, state.last_put_seconds))
    return datetime.fromisoformat(side.begun_at) + wait if side.begun_at else datetime.min.replace(tzinfo=UTC)


def _only_spoke_sides_are_left(state: HubSchedule) -> bool:
    """Whether the next pass can wait for them. Not for long: one of them that was polled is asked after between passes,
    which see what else is to be written."""
    news = state.wrote or state.results or state.recreate or state.pass_wait
    return not news and any(not each.was_polled for each in state.in_flight)


def _pass_call(state: HubSchedule) -> Call:
    return _call(
        state,
        RECONCILE_HUB,
        nonce=state.nonce,
        results=state.results,
        recreate=state.recreate,
        in_flight=[each.key for each in state.in_flight],
        failed_passes=state.failed_passes,
        last_put_seconds=state.last_put_seconds,
        first=state.calls == 0,
    )


def _hub_side_call(state: HubSchedule) -> Call:
    following = state.queue[0] if state.queue else None
    return _call(
        state,
        WRITE_HUB_SIDE,
        operation=state.current.operation if state.current else None,
        task=following,
        not_after=state.not_after,
        recheck_first=state.recheck_first or (following is not None and following.key in state.refused),
    )


# --- the answers ---


def _after_pass(state: HubSchedule, answer: Data | None) -> HubSchedule:
    state = replace(state, pass_wait=0.0, wrote=False)
    if answer is None:
        return _or_rest(replace(state, pass_wait=5 * state.poll_seconds))
    if answer.get("end"):
        return replace(state, is_finished=True)
    state = replace(state, poll_seconds=answer.get("poll_seconds", state.poll_seconds))
    if handed := answer.get("handed"):
        return _taken_over(replace(state, not_after=answer["not_after"]), handed)
    if "not_after" in answer:
        state = replace(state, not_after=answer["not_after"], results=(), recreate=())
    if state.last_put_seconds is None:
        state = replace(state, last_put_seconds=answer.get("last_put_seconds"))
    tasks = {
        name: tuple(from_data(PeeringTask, each) for each in answer.get(name, ()))
        for name in ("hub_sides", "spoke_sides")
    }
    return _or_rest(
        replace(
            state,
            queue=tasks["hub_sides"],
            ready=tasks["spoke_sides"],
            refused=frozenset(),
            pass_wait=answer["wait"],
            failed_passes=state.failed_passes + 1 if answer.get("failed") else 0,
        )
    )


def _taken_over(state: HubSchedule, data: Data) -> HubSchedule:
    """With what the former generation handed over; what another version wrote is ignored, and the next pass finds out."""
    try:
        handed = from_data(HandedOver, data)
    except TypeError:
        return state
    # A pass comes first: this generation has seen no row yet.
    return replace(state, wrote=True, **{each.name: getattr(handed, each.name) for each in fields(HandedOver)})


def _after_spoke_sides(state: HubSchedule, answers: list[Data] | None, now: datetime) -> HubSchedule:
    tasks, state = state.ready, replace(state, ready=())
    if answers is None:  # the next pass finds out what was begun
        return _or_rest(replace(state, pass_wait=state.poll_seconds))
    for task, data in zip(tasks, answers, strict=True):
        answer = from_data(SideAnswer, data["side"])
        if answer.operation:
            side = SpokeSide(task.key, task.version, answer.operation, answer.then_again, now.isoformat())
            state = replace(state, in_flight=(*state.in_flight, side))
        elif answer.state in (DONE, FAILED):
            state = _with_result(state, task, answer)
        else:
            state = replace(state, pass_wait=max(state.pass_wait, answer.wait))
    return _or_rest(state)


def _after_polls(state: HubSchedule, asked: list[Data], answers: list[Data] | None) -> HubSchedule:
    """Those that are still being written come last; all of them when the call broke off."""
    polled = [from_data(SpokeSide, each) for each in (answers[0]["in_flight"] if answers else asked)]
    keys = {each["key"] for each in asked}
    others = [each for each in state.in_flight if each.key not in keys]
    return replace(state, in_flight=(*others, *(replace(each, was_polled=True) for each in polled)))


def _after_hub_side(state: HubSchedule, answer: Data | None, now: datetime) -> HubSchedule:
    if answer is None:  # it may have begun something: the next pass sees it on the hub
        return _or_rest(replace(state, queue=(), current=None, pass_wait=5 * state.poll_seconds))
    if state.current:
        ended = from_data(SideAnswer, answer["current"])
        if ended.state == RUNNING:
            usual = next_wait(state.poll_seconds, state.last_put_seconds)
            unseen = state.current.unseen or ended.unseen
            current = replace(state.current, polls=state.current.polls + 1, unseen=unseen)
            return replace(state, current=current, sleep=max(usual, ended.wait - state.poll_seconds))
        state = _current_ended(state, state.current, ended, now)
    if answer.get("begun") is None:
        return _or_rest(state)
    return _or_rest(_begun(state, from_data(SideAnswer, answer["begun"]), now))


def _current_ended(state: HubSchedule, current: HubSide, answer: SideAnswer, now: datetime) -> HubSchedule:
    state = replace(state, current=None, wrote=True)
    if answer.state == FAILED:
        return _with_result(state, current.task, answer)
    if answer.state == DONE and not current.unseen:
        seconds = max((now - datetime.fromisoformat(current.begun_at)).total_seconds(), 0.0)
        state = replace(state, last_put_seconds=known_seconds(state.last_put_seconds, seconds, current.polls))
    return state


def _begun(state: HubSchedule, answer: SideAnswer, now: datetime) -> HubSchedule:
    """What came of the first hub side in the queue."""
    if answer.lease_expired:
        return replace(state, queue=())
    task, rest = state.queue[0], state.queue[1:]
    if answer.state == AGAIN:
        state, wait = replace(state, recheck_first=True), answer.wait or state.poll_seconds
        return _others_first(state, wait) if answer.only_this_task else replace(state, sleep=wait)
    state = replace(state, queue=rest, recheck_first=False)
    if answer.operation:
        current = HubSide(task, answer.operation, now.isoformat())
        return replace(
            state, current=current, sleep=first_wait(state.poll_seconds, state.last_put_seconds, state.calls)
        )
    if answer.state == FAILED:
        state = _with_result(state, task, answer)
    elif answer.state == RECREATE:
        state = replace(state, recreate=(*state.recreate, task.key))
    return replace(state, wrote=True)


def _others_first(state: HubSchedule, wait: float) -> HubSchedule:
    """One task alone is refused: it goes to the end of the queue, and the second time to the next pass's."""
    task, queue = state.queue[0], state.queue[1:]
    if task.key not in state.refused:
        queue = (*queue, task)
    elif not state.wrote:
        state = replace(state, pass_wait=max(state.pass_wait, wait))
    state = replace(state, queue=queue, refused=state.refused | {task.key})
    return replace(state, sleep=wait) if queue and queue[0].key in state.refused else state


def _or_rest(state: HubSchedule) -> HubSchedule:
    """Sleeps when there is nothing to write: the hub is busy, or only spoke sides are being written."""
    if state.ready or state.queue or state.current:
        return state
    polls = state.in_flight and not state.wrote and not _only_spoke_sides_are_left(state)
    return replace(state, sleep=max(state.pass_wait, state.poll_seconds) if polls else state.pass_wait)


def _with_result(state: HubSchedule, task: PeeringTask, answer: SideAnswer) -> HubSchedule:
    return replace(state, results=(*state.results, Result(task.key, task.version, answer.state, answer.failure)))
