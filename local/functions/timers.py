"""Timer triggers: six-field NCRONTAB schedules in UTC, never two runs of one function at a time.

When each function ran last and is due next is kept in the state directory: a run that fell due while the host was down
is made up for at the start, once, and says that it is past due.
"""

import asyncio
import contextlib
import datetime as dt
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from azure.functions.timer import TimerRequest
from croniter import CroniterError, croniter

from local.functions.app import Function, LoadError
from local.functions.durable.clock import UTC, Clock
from local.functions.settings import SettingsError, resolved, span

log = logging.getLogger("host")

LONGEST_SLEEP = 24 * 3600.0


class ScheduleError(Exception):
    """A schedule that can't be read."""


class Schedule:
    """When a timer is due next: NCRONTAB with six fields, with five (no seconds), or a time span `hh:mm:ss`."""

    def __init__(self, expression: str) -> None:
        # NCRONTAB takes full names of days and months, too.
        self._expression = re.sub("[A-Za-z]{3,}", lambda name: name[0][:3], expression.strip())
        self._every = None
        if ":" in self._expression:
            try:
                self._every = span(self._expression)
            except ValueError as error:
                raise ScheduleError(str(error)) from None
            if not self._every:
                raise ScheduleError(f"'{expression}' is no time to wait")
            return
        # croniter knows more than NCRONTAB does.
        if re.search(r"\b[a-zA-Z]{1,2}\b|[#?@]", self._expression):
            raise ScheduleError(f"'{expression}' is no NCRONTAB expression")
        if len(self._expression.split()) not in (5, 6):
            raise ScheduleError(f"'{expression}' is no NCRONTAB expression: six fields are expected")
        try:
            self.next_after(0)
        except CroniterError as error:
            raise ScheduleError(f"'{expression}' is no NCRONTAB expression: {error}") from None

    def next_after(self, moment: float) -> float:
        if self._every is not None:
            return moment + self._every
        start = dt.datetime.fromtimestamp(moment, UTC)
        with_seconds = len(self._expression.split()) == 6
        # A day must suit both fields, that of the month and that of the week; other crons take either.
        days = croniter(self._expression, start, second_at_beginning=with_seconds, day_or=False)
        return float(days.get_next(float))


class Timers:
    def __init__(
        self,
        functions: list[Function],
        run: Callable[[Function, TimerRequest], Awaitable[Any]],
        state: Path,
        clock: Clock,
        environment: Mapping[str, str],
    ) -> None:
        self._run = run
        self._clock = clock
        self._file = state / "timers.json"
        self._kept: dict[str, dict[str, float]] = {}
        with contextlib.suppress(FileNotFoundError, ValueError):
            kept = json.loads(self._file.read_text("utf-8"))
            self._kept = kept if isinstance(kept, dict) else {}
        self._timers: list[tuple[Function, Schedule]] = []
        self._running: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []
        for function in functions:
            try:
                expression = resolved(str(function.trigger["schedule"]), environment)
                self._timers.append((function, Schedule(expression)))
            except (ScheduleError, SettingsError) as error:
                raise LoadError(f"{function.place}cannot load the {function.name} function: {error}") from None

    def start(self) -> None:
        for function, schedule in self._timers:
            self._tasks.append(asyncio.get_running_loop().create_task(self._keep(function, schedule)))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self, function: Function, schedule: Schedule) -> None:
        kept = self._kept.get(function.name)
        monitored = str(function.trigger.get("useMonitor")).lower() != "false"
        late = monitored and kept is not None and kept["next"] < self._clock.now()
        if late or _is_true(function.trigger.get("runOnStartup")):
            await self._occur(function, schedule, past_due=late)
        while True:
            due = schedule.next_after(self._clock.now())
            self._note(function, {"next": due})
            while (left := due - self._clock.now()) > 0:
                nap = min(left, LONGEST_SLEEP)
                await asyncio.sleep(nap)
            await self._occur(function, schedule, past_due=False)

    async def _occur(self, function: Function, schedule: Schedule, *, past_due: bool) -> None:
        now = self._clock.now()
        kept = self._kept.get(function.name, {})
        status = {
            "Last": _moment(kept.get("last", 0)),
            "Next": _moment(schedule.next_after(now)),
            "LastUpdated": _moment(kept.get("last", 0)),
        }
        self._note(function, {"last": now, "next": schedule.next_after(now)})
        await self.run_once(
            function, TimerRequest(past_due=past_due, schedule_status=status, schedule={"AdjustForDST": True})
        )

    async def run_once(self, function: Function, given: TimerRequest) -> None:
        """Runs a timer function unless it is running; what it raises is in the log and stops nothing."""
        if function.name in self._running:
            return
        self._running.add(function.name)
        try:
            await self._run(function, given)
        except Exception:
            log.debug("timer %s failed", function.name, exc_info=True)
        finally:
            self._running.discard(function.name)

    def _note(self, function: Function, what: dict[str, float]) -> None:
        self._kept[function.name] = self._kept.get(function.name, {}) | what
        draft = self._file.with_suffix(".new")
        draft.write_text(json.dumps(self._kept), "utf-8")
        draft.replace(self._file)


def _is_true(value: object) -> bool:
    return str(value).lower() == "true"


def _moment(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, UTC).isoformat()
