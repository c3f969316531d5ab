"""Log lines on standard error, with the function and the invocation that they come from.

The app's records reach the root logger, which has a handler of ours when the app is imported, as it has one of the
worker's in Azure. Records without an invocation are dropped, as the real host does: those of threads of the app's own,
`asyncio.to_thread` among them, and what is logged while the app is imported. An app may give the handler a formatter:
lines that are JSON objects stay JSON objects and get the fields `function` and `invocation_id`, where they aren't
there; other lines get a prefix. An app that adds a handler of its own to the root logger writes its lines itself.
"""

import asyncio
import concurrent.futures
import datetime as dt
import json
import logging
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

NOT_THE_APP = (str(Path(__file__).parent), str(Path(concurrent.futures.__file__).parent))
HOST_LOGGERS = ("host", "durable", "uvicorn", "uvicorn.error")
host_log = logging.getLogger("host")


@dataclass(frozen=True, slots=True)
class Invocation:
    id: str
    function: str


running: dict[str, Invocation] = {}
"""The invocations that are under way, by id."""
here = threading.local()
"""`context.thread_local_storage`: a thread of the app's own writes there the `invocation_id` that it works for."""


class InvocationTask(asyncio.Task[Any]):
    invocation_id: str | None = None


def invocation_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> InvocationTask:
    """The worker's tasks: one that an invocation starts belongs to that invocation."""
    task = InvocationTask(coroutine, loop=loop, **options)
    task.invocation_id = getattr(asyncio.current_task(loop), "invocation_id", None)
    return task


def works_for(invocation: Invocation) -> None:
    """From now on this task, and until it says otherwise this thread, works for it."""
    running[invocation.id] = invocation
    here.invocation_id = invocation.id
    task = asyncio.current_task()
    if isinstance(task, InvocationTask):
        task.invocation_id = invocation.id


def invocation_here() -> Invocation | None:
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop runs here
        task = None
    found = getattr(task, "invocation_id", None) or getattr(here, "invocation_id", None)
    return running.get(found) if found else None


def _moment(record: logging.LogRecord) -> str:
    moment = dt.datetime.fromtimestamp(record.created, dt.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


class HostFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = f"[{_moment(record)}] {record.levelname:7} {record.name}: {record.getMessage()}"
        if record.exc_info:
            line += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip()
        return line


class AppHandler(logging.StreamHandler[Any]):
    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def emit(self, record: logging.LogRecord) -> None:
        if invocation_here() and all(handler is self for handler in logging.getLogger().handlers):
            super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        message = super().format(record)
        invocation = invocation_here()
        if message.startswith("{"):
            return _with_fields(message, invocation)
        where = f"{invocation.function} {invocation.id}" if invocation else "-"
        return f"[{_moment(record)}] {record.levelname:7} [{where}] {record.name}: {message}"


def _with_fields(message: str, invocation: Invocation | None) -> str:
    if not invocation:
        return message
    try:
        fields = json.loads(message)
    except ValueError:
        return message
    return json.dumps({"function": invocation.function, "invocation_id": invocation.id} | fields, ensure_ascii=False)


def executed(function: str, how: str, invocation_id: str, begun: float) -> str:
    """The line with which a function ends, as the real host words it. `begun` is a `time.perf_counter()`."""
    milliseconds = (time.perf_counter() - begun) * 1000
    return f"Executed 'Functions.{function}' ({how}, Id={invocation_id}, Duration={milliseconds:.1f}ms)"


def own_stack(error: BaseException) -> TracebackType | None:
    """The traceback without the frames of this host that lead to the app's code."""
    step = error.__traceback__
    while step and step.tb_frame.f_code.co_filename.startswith(NOT_THE_APP):
        step = step.tb_next
    return step or error.__traceback__


def stack_of(error: BaseException) -> str:
    return "".join(traceback.format_exception(type(error), error, own_stack(error))).rstrip()


def set_up() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(HostFormatter())
    for name in HOST_LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.WARNING if name.startswith("uvicorn") else logging.INFO)
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    root.addHandler(AppHandler())
    for name in ("azure", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
