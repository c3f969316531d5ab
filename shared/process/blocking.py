"""Runs blocking work in threads of the app's own, for functions that wait for it.

Three pools, so that an Azure Resource Manager that hangs takes no thread from what only needs the tables, and the steps of
many deployments none from a caller who waits; where there are several hubs, each has its own pools for Azure, so that one
whose subscription hangs takes none from another, and what is about no hub in particular has one, too. They are made once in a
process, and there are no other threads: what hangs in a request holds one of these until the request's timeout, and never
more of them than there are. The caller's context variables go along; the thread's log lines are handed on by who waits for
it (`shared.process.logs.HeldLines`).

What runs in a pool doesn't wait for the same pool: `side_by_side` does the work itself where no thread is free.
"""

import asyncio
import contextlib
import queue
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from shared.errors import ConfigurationException
from shared.process import logs
from shared.process.deadline import Deadline, set_deadline
from shared.process.once import once
from shared.process.share import ACTIVITIES_AT_ONCE
from shared.settings import current_settings, has_several_hubs, place_of_call

P = ParamSpec("P")
T = TypeVar("T")

ARM = "arm"
TABLES = "tables"
ACTIVITIES = "activities"
# Of an app whose settings can't be used: something has to say so.
_THREADS_WITHOUT_SETTINGS = 4


def _pool(name: str) -> ThreadPoolExecutor:
    place = place_of_call() if name != TABLES else None
    return _pool_of(name, place.hub_key if place is not None and has_several_hubs() else "")


@once
def _pool_of(name: str, hub_key: str) -> ThreadPoolExecutor:
    size = _THREADS_WITHOUT_SETTINGS
    with contextlib.suppress(ConfigurationException):
        settings = current_settings()
        size = {ARM: settings.arm_threads, TABLES: settings.tables_threads, ACTIVITIES: ACTIVITIES_AT_ONCE}[name]
    return ThreadPoolExecutor(size, thread_name_prefix=name)


async def in_tables_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What the function returns or raises. For work on the records, and for what only computes."""
    return await _run(TABLES, None, partial(function, *args, **kwargs))


async def in_arm_thread(seconds: float, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The same for work that asks Azure Resource Manager: requests and tokens keep the deadline, too.

    When it passes: an `AzureResourceException` that says what hangs, whether the thread has ended or not.
    """
    return await _run(ARM, Deadline(seconds), partial(function, *args, **kwargs))


async def in_activity_thread(seconds: float, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The same for an activity of a run: a burst of them takes no thread from callers and writers."""
    return await _run(ACTIVITIES, Deadline(seconds), partial(function, *args, **kwargs))


async def _run(name: str, deadline: Deadline | None, work: Callable[[], T]) -> T:
    loop, arrived = asyncio.get_running_loop(), asyncio.Event()

    def tell() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(arrived.set)

    held = logs.HeldLines(tell)
    context = logs.context_of_thread(held)
    if deadline is not None:
        context.run(set_deadline, deadline)
    done = asyncio.wrap_future(_pool(name).submit(context.run, work))
    done.add_done_callback(lambda _: arrived.set())
    try:
        async with asyncio.timeout(deadline.left() if deadline else None):
            while not done.done():
                await arrived.wait()
                arrived.clear()
                held.hand_on()
    except TimeoutError:
        assert deadline is not None
        raise deadline.failure().as_exception() from None
    finally:
        done.cancel()
        held.close()
    return done.result()


def side_by_side(name: str, calls: Sequence[Callable[[], T]], most: int) -> list[Future[T]]:
    """Carries the calls out, at most so many at a time, and answers their futures, all of them done.

    Blocking. The caller works, too, so that a pool without a free thread makes it slower and never stops it.
    """
    futures: list[Future[T]] = [Future() for _ in calls]
    waiting = deque(zip(futures, calls, strict=True))

    def work() -> None:
        while waiting:
            try:
                future, call = waiting.popleft()
            except IndexError:  # another one took it
                return
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
                future.set_exception(error)

    events: queue.SimpleQueue[Future[None] | None] = queue.SimpleQueue()
    outer, own = logs.held_lines(), logs.HeldLines(lambda: events.put(None))
    most = min(most, len(calls))
    helpers = {_pool(name).submit(logs.context_of_thread(outer or own).run, work) for _ in range(most - 1)}
    try:
        work()
        helpers = {helper for helper in helpers if not helper.cancel()}
        for helper in helpers:
            helper.add_done_callback(events.put)
        while helpers:
            ended = events.get()
            if ended is not None:
                helpers.discard(ended)
            own.hand_on()
    finally:
        own.close()
    return futures
