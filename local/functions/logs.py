"""Log lines on standard error, with the function and the invocation that they come from.

The app's records reach the root logger, which has a handler of ours when the app is imported, as it has one of the
worker's in Azure. An app may give it a formatter: lines that are JSON objects stay JSON objects and get the fields
`function` and `invocation_id`, where they aren't there; other lines get a prefix. An app that adds a handler of its own
to the root logger writes its lines itself.
"""

import concurrent.futures
import datetime as dt
import json
import logging
import sys
import threading
import time
import traceback
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

NOT_THE_APP = (str(Path(__file__).parent), str(Path(concurrent.futures.__file__).parent))
HOST_LOGGERS = ("host", "durable", "uvicorn", "uvicorn.error")


@dataclass(frozen=True, slots=True)
class Invocation:
    id: str
    function: str


current: ContextVar[Invocation | None] = ContextVar("current_invocation", default=None)
running: dict[str, Invocation] = {}
"""The invocations that can be named by their id, in threads of the app's own."""
here = threading.local()
"""`context.thread_local_storage`: such a thread writes there the `invocation_id` that it works for."""


def invocation_here() -> Invocation | None:
    return current.get() or running.get(getattr(here, "invocation_id", ""))


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
        if all(handler is self for handler in logging.getLogger().handlers):
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
