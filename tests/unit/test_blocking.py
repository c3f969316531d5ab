"""Blocking work in the app's own threads: who waits for it, for how long, and where its log lines arrive."""

import asyncio
import contextlib
import json
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import ContextVar
from functools import partial
from pathlib import Path

import pytest

from shared.errors import AzureResourceException
from shared.process import blocking, logs
from shared.process.blocking import ARM, TABLES, in_arm_thread, in_tables_thread, side_by_side
from shared.process.deadline import CODE, Deadline, seconds_left, within
from shared.process.share import MOST_OF_ONE_HUB, Share, share_of_activities
from shared.settings import Settings, at, current_settings
from shared.tables.places import hubs
from tests.app import forget_app

NEEDED = {
    "AZURE_SUBSCRIPTION_ID": "00000000-0000-0000-0000-000000000001",
    "HUB_RESOURCE_GROUP": "hub-rg",
    "HUB_VNET_NAME": "hub-vnet",
    "HUB_AGW_NAME": "hub-agw",
    "TASK_HUB": "HubSpokeV2",
    "SPOKE_DOMAIN": "spokes.example.com",
    "TABLES_ENDPOINT": "https://account.table.core.windows.net",
    "ARM_THREADS": "4",
    "TABLES_THREADS": "4",
}
log = logging.getLogger("shared.something")
caller: ContextVar[str] = ContextVar("caller", default="none")

# The host finds an invocation where the worker left it: at the task of an async function, in the thread of another.
invocation_of_thread = threading.local()


@pytest.fixture(autouse=True)
def small_pools(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)
    forget_app()
    yield
    forget_app()


class Host(logging.Handler):
    """Takes a record as the Functions host does: with its invocation, or not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[tuple[str, str]] = []
        self.has_taken = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            task = asyncio.current_task()
        except RuntimeError:
            task = None
        invocation = task.get_name() if task else getattr(invocation_of_thread, "id", None)
        if invocation:
            self.taken.append((invocation, record.getMessage()))
            self.has_taken.set()


@pytest.fixture
def host() -> Iterator[Host]:
    host, root = Host(), logging.getLogger()
    root.addHandler(host)
    logging.getLogger("shared").setLevel(logging.INFO)
    with logs.context(step="any"):
        logs.LATE.hand_on()
        host.taken.clear()
        yield host
    root.removeHandler(host)


def test_the_callers_context_goes_along_and_what_is_returned_and_raised_comes_back() -> None:
    async def function() -> None:
        caller.set("a function")
        assert await in_tables_thread(caller.get) == "a function"
        assert await in_arm_thread(9, partial(int, "17")) == 17
        with pytest.raises(ValueError, match="invalid literal"):
            await in_tables_thread(int, "x")

    asyncio.run(function())


def test_lines_of_a_thread_arrive_under_the_function_that_waits_for_it(host: Host) -> None:
    def work(name: str) -> None:
        log.warning("%s begins", name)
        log.error("%s ends", name)

    async def function(name: str) -> None:
        with logs.context(step=name):
            await in_tables_thread(work, name)

    async def functions() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.create_task(function(name), name=name) for name in ("a", "b", "c")))

    asyncio.run(functions())
    assert sorted(host.taken) == [(name, f"{name} {what}") for name in "abc" for what in ("begins", "ends")]


def test_a_line_arrives_while_the_thread_is_still_at_work(host: Host) -> None:
    released = threading.Event()

    def work() -> None:
        log.warning("waiting")
        released.wait()

    async def function() -> None:
        waiting = asyncio.ensure_future(in_tables_thread(work))
        waiting.set_name("f")  # the part of the function that waits
        await host.has_taken.wait()
        released.set()
        await waiting

    asyncio.run(function())
    assert host.taken == [("f", "waiting")]


def test_a_sync_function_hands_on_the_lines_of_its_threads(host: Host) -> None:
    """As validate_config, which reads Azure side by side."""
    together = threading.Barrier(3)

    def work(name: str) -> str:
        together.wait()  # so that each has a thread of its own
        log.warning("%s", name)
        return name

    def activity() -> list[str]:
        invocation_of_thread.id = "activity"
        with logs.context(step="validate_config"):
            return [each.result() for each in side_by_side(ARM, [partial(work, name) for name in "xyz"], 8)]

    with ThreadPoolExecutor(1) as worker:
        assert worker.submit(activity).result() == ["x", "y", "z"]
    assert sorted(host.taken) == [("activity", name) for name in "xyz"]


def test_what_a_thread_says_after_its_deadline_is_told_by_the_next_function(host: Host) -> None:
    released, said = threading.Event(), threading.Event()

    def hanging() -> None:
        with logs.context(deployment_id="deploy-late-1-abcd"):
            released.wait()
            log.warning("too late")
            said.set()

    async def function() -> None:
        with pytest.raises(AzureResourceException) as overdue:
            await in_arm_thread(0.01, hanging)
        assert overdue.value.failure.code == CODE
        assert overdue.value.failure.transient
        released.set()
        await in_tables_thread(said.wait)
        assert host.taken == []

    async def next_function() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.set_name("next")
        with logs.context(step="next"):
            pass

    asyncio.run(function())
    asyncio.run(next_function())
    assert host.taken == [("next", "too late")]


def test_a_thread_that_hangs_in_arm_takes_none_from_the_tables_and_no_more_than_there_are() -> None:
    released = threading.Event()

    async def function() -> None:
        waiting = [asyncio.ensure_future(in_arm_thread(60, released.wait)) for _ in range(20)]
        assert await asyncio.gather(*(in_tables_thread(int, "1") for _ in range(20))) == [1] * 20
        with pytest.raises(AzureResourceException):  # no thread is free, and the deadline counts all the same
            await in_arm_thread(0.01, int, "1")
        assert sum(thread.name.startswith("arm") for thread in threading.enumerate()) == int(NEEDED["ARM_THREADS"])
        released.set()
        await asyncio.gather(*waiting)

    asyncio.run(function())


def test_work_side_by_side_goes_on_when_all_threads_are_taken() -> None:
    """Also when those that took them do the same."""

    async def function() -> None:
        def outer() -> int:
            return sum(each.result() for each in side_by_side(TABLES, [partial(int, "1")] * 9, 8))

        assert await asyncio.gather(*(in_tables_thread(outer) for _ in range(16))) == [9] * 16

    asyncio.run(function())


def test_a_failure_side_by_side_is_raised_where_its_result_is_asked_for() -> None:
    first, second = side_by_side(ARM, [partial(int, "1"), partial(int, "x")], 2)
    assert first.result() == 1
    with pytest.raises(ValueError, match="invalid literal"):
        second.result()


def test_the_deadline_goes_along_and_is_never_more_than_what_is_left() -> None:
    async def function() -> None:
        assert 0 < await in_arm_thread(9, seconds_left, 60) <= 9
        assert await in_arm_thread(9, seconds_left, 1) == 1

    asyncio.run(function())
    assert seconds_left(60) == 60
    with within(5), within(60):
        assert seconds_left(60) <= 5


def test_a_deadline_names_the_innermost_thing_that_hangs() -> None:
    deadline = Deadline(3)
    with deadline.waiting_for("GET /subscriptions/x"), deadline.waiting_for("the identity endpoint"):
        failure = deadline.failure()
    assert failure.details == {"waiting_for": ["the identity endpoint"], "seconds": 3}
    assert "the identity endpoint" in failure.message
    assert failure.hint


def test_what_was_given_up_because_the_deadline_passed_is_named_after_it_was_left() -> None:
    deadline = Deadline(0)
    with (
        contextlib.suppress(TimeoutError),
        deadline.waiting_for("GET /subscriptions/x"),
        deadline.waiting_for("the identity endpoint"),
    ):
        raise TimeoutError
    assert deadline.failure().details["waiting_for"] == ["the identity endpoint"]


def test_what_was_answered_in_time_is_not_named() -> None:
    deadline = Deadline(60)
    with deadline.waiting_for("GET /subscriptions/x"):
        assert deadline.left() > 0
    assert deadline.failure().details["waiting_for"] == ["Azure Resource Manager"]


def test_the_pools_are_made_once() -> None:
    with ThreadPoolExecutor(8) as threads:
        pools = {id(threads.submit(blocking._pool, name).result()) for name in (ARM, TABLES) for _ in range(20)}
    assert len(pools) == 2


def test_nothing_of_the_app_makes_threads_elsewhere() -> None:
    """The linter refuses `asyncio.to_thread` and threads; only these modules may be told not to listen to it."""
    root = Path(__file__).resolve().parents[2]
    elsewhere = [
        path.name
        for folder in ("shared", "triggers", "activities", "orchestrators")
        for path in (root / folder).rglob("*.py")
        if any(word in path.read_text(encoding="utf-8") for word in ("to_thread", "run_in_executor", "ThreadPool"))
    ]
    assert sorted(elsewhere) == ["blocking.py", "identity.py"]


# --- one of several hubs ---


@pytest.fixture
def two_hubs(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    second = {"name": "second", "vnet": "second-vnet", "address_pool": "10.12.0.0/16"}
    gateways = [{"name": "second-agw", "domain": "second.example.com"}]
    monkeypatch.setenv("HUBS", json.dumps([{"name": "first"}, second | {"gateways": gateways}]))
    forget_app()
    return hubs()


def test_a_hub_that_takes_all_its_threads_for_azure_leaves_the_other_its_own(two_hubs: list[Settings]) -> None:
    released = threading.Event()

    async def scenario() -> str:
        with at(two_hubs[0]):
            hanging = [asyncio.ensure_future(in_arm_thread(60, released.wait)) for _ in range(8)]
        with at(two_hubs[1]):
            found = await in_arm_thread(60, lambda: current_settings().hub_name)
        released.set()
        await asyncio.gather(*hanging)
        return found

    assert asyncio.run(scenario()) == "second"


def test_activities_of_one_hub_leave_places_for_the_other(two_hubs: list[Settings]) -> None:
    with ExitStack() as at_work:
        with at(two_hubs[0]):
            for _ in range(MOST_OF_ONE_HUB):
                at_work.enter_context(share_of_activities())
            with pytest.raises(AzureResourceException) as refused, share_of_activities(0):
                pass
        assert (refused.value.failure.code, refused.value.failure.transient) == ("HubBusy", True)
        with at(two_hubs[1]), share_of_activities(0):
            pass
    with at(two_hubs[0]), share_of_activities(0):
        pass


def test_where_no_activity_has_ended_for_long_none_waits_for_a_place() -> None:
    moment = 0.0
    share = Share(MOST_OF_ONE_HUB, now=lambda: moment)
    assert [share.take(1e6) for _ in range(MOST_OF_ONE_HUB)] == [True] * MOST_OF_ONE_HUB
    moment = 2e6
    assert not share.take(1e6), "it would wait until the test is ended"
    share.give_back()
    assert share.take(0)


def test_what_is_about_no_hub_in_particular_has_threads_of_its_own(two_hubs: list[Settings]) -> None:
    """A token, for example: no matter which hub of the list hangs."""
    released = threading.Event()

    async def scenario() -> str:
        hanging = []
        for hub in two_hubs:
            with at(hub):
                hanging += [asyncio.ensure_future(in_arm_thread(60, released.wait)) for _ in range(8)]
        found = await in_arm_thread(60, lambda: current_settings().hub_name)
        released.set()
        await asyncio.gather(*hanging)
        return found

    assert asyncio.run(scenario()) == "first"


def test_activities_of_a_hub_alone_have_all_places() -> None:
    with ExitStack() as at_work:
        for _ in range(2 * MOST_OF_ONE_HUB):
            at_work.enter_context(share_of_activities(0))
