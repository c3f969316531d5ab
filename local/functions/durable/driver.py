"""Runs an engine on an event loop: episodes in threads, activities through a callable, timers exactly when due."""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from local.functions.durable.decisions import Failure, Success
from local.functions.durable.engine import Engine
from local.functions.durable.entities import EntityBatch
from local.functions.durable.episode import Episode
from local.functions.durable.store import Task

log = logging.getLogger("durable")

# Episodes are pure computation: more threads would only wait for each other. And what isn't taken yet gathers more
# messages, which one replay then answers together.
MOST_EPISODE_THREADS = 4
LONGEST_SLEEP = 24 * 3600.0
SECONDS_BEFORE_ANOTHER_LOOK = 1.0
SHORTEST_RENEWAL = 0.05


class Driver:
    def __init__(
        self,
        engine: Engine,
        run_activity: Callable[[Task], Awaitable[Success | Failure]],
        most_activities: int,
        most_orchestrators: int,
    ) -> None:
        self._engine = engine
        self._run_activity = run_activity
        self._most_activities = most_activities
        self._most_episodes = min(most_orchestrators, MOST_EPISODE_THREADS)
        self._threads = ThreadPoolExecutor(self._most_episodes, thread_name_prefix="episode")
        self._loop = asyncio.get_running_loop()
        self._work: set[asyncio.Task[None]] = set()
        self._episodes = 0
        self._activities = 0
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at: float | None = None
        self._looking = False
        self._stopped = False
        engine.on_work = self._wake
        self._renewal: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._wake()
        self._renew()

    def _renew(self) -> None:
        visibility = self._engine.visibility
        if visibility and min(visibility.messages, visibility.activities) > 0 and not self._stopped:
            with contextlib.suppress(sqlite3.Error):  # tried again soon; what can't be renewed is only seen earlier
                self._engine.renew()
            wait = min(visibility.messages, visibility.activities) / 3
            self._renewal = self._loop.call_later(max(wait, SHORTEST_RENEWAL), self._renew)

    async def stop(self) -> None:
        """What is under way is left as it is: it is done again by the next engine on the same store."""
        self._stopped = True
        self._engine.on_work = lambda: None
        for handle in (self._alarm, self._renewal):
            if handle:
                handle.cancel()
        for work in self._work:
            work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*self._work, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _wake(self) -> None:
        if not self._looking and not self._stopped:
            self._looking = True
            self._loop.call_soon_threadsafe(self._look)

    def _look(self) -> None:
        self._looking = False
        if self._stopped:
            return
        try:
            self._take_up()
        except Exception:
            log.exception("The store can't be used; what there is to do is looked for again")
            self._loop.call_later(SECONDS_BEFORE_ANOTHER_LOOK, self._wake)

    def _take_up(self) -> None:
        """Fires what is due, takes up as much work as the limits allow, and sets the alarm for the next timer."""
        self._engine.fire_due_timers()
        while self._episodes < self._most_episodes and (episode := self._engine.take_episode()):
            self._episodes += 1
            self._begin(self._play(episode))
        while self._activities < self._most_activities and (task := self._engine.take_task()):
            self._activities += 1
            self._begin(self._perform(task))
        self._set_alarm(self._engine.next_due())

    def _set_alarm(self, due: float | None) -> None:
        if due == self._alarm_at:
            return
        if self._alarm:
            self._alarm.cancel()
            self._alarm = None
        self._alarm_at = due
        if due is not None:
            wait = min(max(due - self._engine.clock.now(), 0), LONGEST_SLEEP)
            self._alarm = self._loop.call_later(wait, self._ring)

    def _ring(self) -> None:
        self._alarm = self._alarm_at = None
        self._look()

    def _begin(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _play(self, episode: Episode | EntityBatch) -> None:
        try:
            outcome = await self._loop.run_in_executor(self._threads, self._engine.play, episode)
            self._engine.finish_episode(episode, outcome)
        except Exception:
            log.exception("Orchestration '%s': the episode could not be finished and is run again", episode.instance_id)
            await asyncio.sleep(1)
            self._engine.abandon_episode(episode)
        finally:
            self._episodes -= 1
            self._wake()

    async def _perform(self, task: Task) -> None:
        try:
            self._engine.finish_task(task, await self._run_activity(task))
        except Exception:
            log.exception("Activity '%s' of '%s': its outcome can't be kept, it is run again", task.name, task.instance)
            await asyncio.sleep(1)
            self._engine.abandon_task(task)
        finally:
            self._activities -= 1
            self._wake()
