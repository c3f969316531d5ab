"""One JSON object a line, with the deployment, spoke and step that the line is about, and without secrets.

`context(...)` says what the lines within it are about; triggers and activities enter it, no code passes ids to a logger.
Contextvars go along into the threads of `shared.process.blocking`, whose lines are handed on by the function that waits for them
(`HeldLines`): the host drops a record that comes without an invocation, and an invocation belongs to a function's own
thread or task.

Who writes the lines depends on where the app runs, and `configure` fits itself in:

- Under the Functions worker the root logger has a handler already, which sends every record to the host: level, message
  and category, nothing else. It gets our formatter, so that the message is the JSON line and its fields can be queried
  (`parse_json(message).deployment_id`). A second handler would only write every line twice.
- Anywhere else there is none, and lines go to standard error.
- With `APPLICATIONINSIGHTS_CONNECTION_STRING` set, azure-monitor-opentelemetry is imported and exports the same fields as
  custom dimensions; without it, it is never imported. The host's own telemetry of these lines can then be turned off
  in host.json (`"Function": "None"`), or both be kept.

Levels: DEBUG addresses and names, INFO milestones, WARNING rollback and retries, ERROR failures.
"""

import contextlib
import json
import logging
import re
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import Context, ContextVar, copy_context
from datetime import UTC, datetime
from typing import Any

from shared.clock import timestamp
from shared.errors import UNEXPECTED, ConfigurationException, Failure, HubSpokeException
from shared.process.once import importing, once
from shared.settings import Settings, current_settings

log = logging.getLogger(__name__)

FIELDS = ("deployment_id", "spoke_id", "step")
OUR_LOGGERS = ("shared", "triggers", "activities", "orchestrators")
# The SDKs tell every request and header at INFO, and the worker every invocation.
QUIET_LOGGERS = ("azure", "azure_functions_worker", "azure_functions_runtime", "urllib3", "msal", "opentelemetry")

_HIDDEN = "(hidden)"
# Lines of threads that outlived those who waited for them: handed on by the next function that runs.
MOST_LATE_LINES = 1000

_about: ContextVar[dict[str, Any]] = ContextVar("about")
_held: ContextVar["HeldLines | LateLines | None"] = ContextVar("held", default=None)

# Each leaves what names the secret and hides the secret. Order matters: keys in PEM form span lines.
_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL),
        _HIDDEN,
    ),
    (re.compile(r"\b((?:ssh|ecdsa|sk)-[a-z0-9@.-]+ )AAAA[A-Za-z0-9+/=]{8,}"), rf"\1{_HIDDEN}"),
    (
        re.compile(
            r"(?i)\b((?:account|shared ?access|access|x-functions-|instrumentation)-?key[\"']?\s*[=:]\s*[\"']?)[^;\"'\s&,}]+"
        ),
        rf"\1{_HIDDEN}",
    ),
    (re.compile(r"(?i)([?&](?:code|sig|token|access_token|client_secret)=)[^&\s\"'<>]+"), rf"\1{_HIDDEN}"),
    (re.compile(r"(?i)\b(sig|SharedAccessSignature)=[^&;\s\"']+"), rf"\1={_HIDDEN}"),
    (re.compile(r"(?i)\b(bearer|sharedkey(?:lite)?)(\s+)[A-Za-z0-9._~+/=:-]{8,}"), rf"\1\2{_HIDDEN}"),
    (
        re.compile(
            r"(?i)([\"']?(?:access_token|client_secret|password|identity_header|x-identity-header|authorization)[\"']?\s*[=:]\s*[\"']?)(?!bearer|sharedkey)[^\"'\s,;}&]+"
        ),
        rf"\1{_HIDDEN}",
    ),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"), _HIDDEN),
)


def redacted(text: str) -> str:
    """The text without keys, tokens, signatures and SSH keys."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


@contextlib.contextmanager
def context(**about: Any) -> Iterator[None]:
    """Lines within it carry these fields (`deployment_id`, `spoke_id`, `step`) beside those of the contexts around it."""
    _configure_once()
    _fit_handlers()  # a worker can add its exporter later
    if _held.get() is None:
        LATE.hand_on()
    token = _about.set({**_about.get({}), **{name: value for name, value in about.items() if value is not None}})
    try:
        yield
    finally:
        _about.reset(token)


Line = tuple[logging.Handler, logging.LogRecord]


def failure_of(error: Exception) -> Failure:
    """What an exception means, as data. An unexpected one is logged with its traceback; a step tries it again a few times."""
    if isinstance(error, HubSpokeException):
        return error.failure
    log.error("An unexpected error", exc_info=error)
    return Failure(
        HubSpokeException,
        UNEXPECTED,
        f"The app met an unexpected error ({type(error).__name__}).",
        "The log has its traceback; please report it.",
        transient=True,
    )


class HeldLines:
    """The lines of a thread, kept for the function that it works for, which hands them on from its own thread or task.

    There the host finds the invocation and the exporters the operation that they belong to. After `close` what still
    comes is late. arrived: called, in any thread, when there is something to hand on.
    """

    def __init__(self, arrived: Callable[[], None]) -> None:
        self._lines: deque[Line] = deque()
        self._lock = threading.Lock()
        self._closed = False
        self._arrived = arrived

    def keep(self, line: Line) -> None:
        with self._lock:
            if not self._closed:
                self._lines.append(line)
                self._arrived()
                return
        LATE.keep(line)

    def hand_on(self) -> None:
        """What has come by now, to the handlers that it was meant for."""
        while self._lines:
            handler, record = self._lines.popleft()
            handler.handle(record)

    def close(self) -> None:
        """The function has stopped waiting for the thread."""
        with self._lock:
            self._closed = True
        self.hand_on()


class LateLines:
    """What threads logged after their function had stopped waiting: a hung request that ended, a renewed token."""

    def __init__(self) -> None:
        self._lines: deque[Line] = deque()
        self._dropped = 0

    def keep(self, line: Line) -> None:
        if len(self._lines) < MOST_LATE_LINES:
            self._lines.append(line)
        else:
            self._dropped += 1

    def hand_on(self) -> None:
        """Under the function that runs now; each line has the fields of the one that it came from."""
        dropped, self._dropped = self._dropped, 0
        with contextlib.suppress(IndexError):  # two functions can be at it
            while self._lines:
                handler, record = self._lines.popleft()
                handler.handle(record)
        if dropped:
            logging.getLogger(__name__).warning("%d lines of threads that hung were left out", dropped)


LATE = LateLines()


def context_of_thread(held: HeldLines | LateLines) -> Context:
    """A copy of the present context for a thread to run in, whose lines are kept there."""
    copied = copy_context()
    copied.run(_held.set, held)
    return copied


def held_lines() -> HeldLines | LateLines | None:
    """Where the lines of this thread are kept; None in a function's own thread or task."""
    return _held.get()


class AboutFilter(logging.Filter):
    """Puts the fields on a handler's record and takes the secrets out of it; keeps it in a thread whose lines are held."""

    def __init__(self, handler: logging.Handler) -> None:
        super().__init__()
        self._handler = handler

    def filter(self, record: logging.LogRecord) -> bool:
        about = _about.get({})
        for name in FIELDS:
            if not hasattr(record, name):
                setattr(record, name, about.get(name))
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = f"{record.msg} {record.args}"
        record.msg, record.args = redacted(message), None
        held = _held.get()
        if held is None:
            return True
        held.keep((self._handler, record))
        return False


class JsonLine(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": timestamp(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname,
            "logger": record.name,
            "message": redacted(record.getMessage()),
        }
        line |= {name: value for name in FIELDS if (value := getattr(record, name, None)) is not None}
        if record.exc_info:
            line["traceback"] = redacted(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=True, default=str)


def configure(settings: Settings | None) -> None:
    """Fits our format and our levels into the logging that is there. Can be repeated. None: there are no good settings."""
    for name in OUR_LOGGERS:
        logging.getLogger(name).setLevel(settings.log_level if settings else logging.INFO)
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(logging.StreamHandler(sys.stderr))
    if settings and settings.application_insights:
        _export_to_application_insights()
    _fit_handlers()


def _fit_handlers() -> None:
    """Each handler that our lines reach gets our filter, and our formatter where it has none of its own."""
    for name in (None, *OUR_LOGGERS):
        for handler in logging.getLogger(name).handlers:
            if any(isinstance(one, AboutFilter) for one in handler.filters):
                continue
            handler.addFilter(AboutFilter(handler))
            if not _is_exporter(handler) and (
                handler.formatter is None or type(handler.formatter) is logging.Formatter
            ):
                handler.setFormatter(JsonLine())


@once
def _configure_once() -> None:
    """`configure` with this process's settings, at the first line that could need it."""
    settings = None
    with contextlib.suppress(ConfigurationException):  # the call that needs them answers with all that is wrong
        settings = current_settings()
    configure(settings)


def _export_to_application_insights() -> None:
    if any(_is_exporter(handler) for handler in logging.getLogger().handlers):
        return
    with importing:
        from azure.monitor.opentelemetry import configure_azure_monitor

        configure_azure_monitor()


def _is_exporter(handler: logging.Handler) -> bool:
    """Application Insights' handler: it sends message and fields apart, and needs no line."""
    return type(handler).__module__.startswith("opentelemetry")
