"""One JSON object a line, with the deployment, spoke and step that the line is about, and without secrets.

`context(...)` says what the lines within it are about; triggers and activities enter it, nobody passes ids to a logger.
Contextvars go along into threads that `asyncio.to_thread` starts.

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
import functools
import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from shared.clock import timestamp
from shared.errors import ConfigurationException

if TYPE_CHECKING:
    from shared.settings import Settings

FIELDS = ("deployment_id", "spoke_id", "step")
OUR_LOGGERS = ("shared", "triggers", "activities", "orchestrators")
# The SDKs tell every request and header at INFO.
QUIET_LOGGERS = ("azure", "urllib3", "msal", "opentelemetry")

_HIDDEN = "(hidden)"
_about: ContextVar[dict[str, Any]] = ContextVar("about")
_configured = False

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
    configure_once()
    token = _about.set({**_about.get({}), **{name: value for name, value in about.items() if value is not None}})
    try:
        yield
    finally:
        _about.reset(token)


def in_step(activity: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The activity, with its name as the `step` of its lines."""

    @functools.wraps(activity)
    def within(payload: Any) -> Any:
        with context(step=activity.__name__):
            return activity(payload)

    return within


class AboutFilter(logging.Filter):
    """Puts the fields on the record and takes the secrets out of it, for every handler that follows."""

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
        return True


class JsonLine(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": timestamp(),
            "level": record.levelname,
            "logger": record.name,
            "message": redacted(record.getMessage()),
        }
        line |= {name: value for name in FIELDS if (value := getattr(record, name, None)) is not None}
        if record.exc_info:
            line["traceback"] = redacted(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=True, default=str)


def configure(settings: "Settings | None") -> None:
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
    for handler in root.handlers:
        if not any(isinstance(one, AboutFilter) for one in handler.filters):
            handler.addFilter(AboutFilter())
        if not _is_exporter(handler) and (handler.formatter is None or type(handler.formatter) is logging.Formatter):
            handler.setFormatter(JsonLine())


def configure_once() -> None:
    """`configure` with this process's settings, at the first line that could need it."""
    global _configured
    if _configured:
        return
    from shared.settings import current_settings

    settings = None
    with contextlib.suppress(ConfigurationException):  # the call that needs them answers with all that is wrong
        settings = current_settings()
    _configured = True
    configure(settings)


def _export_to_application_insights() -> None:
    if any(_is_exporter(handler) for handler in logging.getLogger().handlers):
        return
    from azure.monitor.opentelemetry import configure_azure_monitor

    configure_azure_monitor()


def _is_exporter(handler: logging.Handler) -> bool:
    """Application Insights' handler: it sends message and fields apart, and needs no line."""
    return type(handler).__module__.startswith("opentelemetry")
