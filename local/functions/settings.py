"""What the host is told: host.json, local.settings.json and the environment."""

import json
import os
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.functions.options import options


class SettingsError(Exception):
    """A settings file can't be used; the message says which and why."""


class UnresolvedError(SettingsError):
    """host.json names an app setting that there isn't."""


@dataclass(frozen=True)
class HostSettings:
    route_prefix: str = "api"
    hub_name: str = "TestHubName"
    most_activities: int = 10
    most_orchestrators: int = 10
    default_version: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    """What GET /admin/host/config shows."""
    control_queue_visibility: float = 300.0
    """Seconds, as the next ones: after them a message that a killed host had taken is seen again."""
    work_item_queue_visibility: float = 300.0
    function_timeout: float | None = 1800.0
    """Seconds; None for no limit."""


def read_json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text("utf-8-sig"))
    except ValueError as error:
        raise SettingsError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(found, dict):
        raise SettingsError(f"{path}: an object is expected")
    return found


def host_settings(script_root: Path, environment: Mapping[str, str]) -> HostSettings:
    file = script_root / "host.json"
    document = read_json(file)
    extensions = _section(file, document, "extensions")
    durable = _section(file, extensions, "durableTask")
    hub_name = resolved(
        str(durable.get("hubName") or environment.get("WEBSITE_SITE_NAME") or "TestHubName"), environment
    )
    return HostSettings(
        route_prefix=str(_section(file, extensions, "http").get("routePrefix", "api")).strip("/"),
        hub_name=hub_name,
        most_activities=_at_once(file, durable, "maxConcurrentActivityFunctions"),
        most_orchestrators=_at_once(file, durable, "maxConcurrentOrchestratorFunctions"),
        default_version=str(durable.get("defaultVersion") or ""),
        options=options(document, hub_name),
        control_queue_visibility=_visibility(file, durable, "controlQueueVisibilityTimeout"),
        work_item_queue_visibility=_visibility(file, durable, "workItemQueueVisibilityTimeout"),
        function_timeout=_function_timeout(file, document),
    )


def _function_timeout(file: Path, document: dict[str, Any]) -> float | None:
    """Seconds; by default half an hour, as on every plan but Consumption; -1 is no limit."""
    found = str(document.get("functionTimeout") or "00:30:00")
    if found == "-1":
        return None
    try:
        return span(found)
    except ValueError as error:
        raise SettingsError(f"{file}: functionTimeout: {error}") from None


def _visibility(file: Path, durable: dict[str, Any], name: str) -> float:
    """Seconds; the extension takes 1 to 60 minutes."""
    found = _section(file, durable, "storageProvider").get(name, "00:05:00")
    try:
        seconds = span(str(found))
    except ValueError as error:
        raise SettingsError(f"{file}: {name}: {error}") from None
    if not 60 <= seconds <= 3600:
        raise SettingsError(f"{file}: {name} must be between 1 and 60 minutes.")
    return seconds


def _section(file: Path, document: dict[str, Any], name: str) -> dict[str, Any]:
    found = document.get(name) or {}
    if not isinstance(found, dict):
        raise SettingsError(f"{file}: {name} must be an object")
    return found


def _at_once(file: Path, durable: dict[str, Any], name: str) -> int:
    found = durable.get(name) or 10 * (os.cpu_count() or 1)
    if not str(found).isdecimal() or int(found) < 1:
        raise SettingsError(f"{file}: {name} must be a number from 1 on, not {found!r}")
    return int(found)


def apply_local_settings(script_root: Path, environment: MutableMapping[str, str]) -> None:
    """The Values of local.settings.json become environment variables, but for those that are set already."""
    file = script_root / "local.settings.json"
    values = read_json(file).get("Values") or {}
    if not isinstance(values, dict):
        raise SettingsError(f"{file}: Values must be an object")
    for name, value in values.items():
        if value is not None:
            environment.setdefault(name, value if isinstance(value, str) else json.dumps(value))


def resolved(expression: str, environment: Mapping[str, str]) -> str:
    """`%NAME%` stands for an app setting."""

    def value_of(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in environment:
            raise UnresolvedError(f"'%{name}%' does not resolve to a value: there is no app setting {name}.")
        return environment[name]

    return re.sub(r"%([^%]+)%", value_of, expression)


def is_disabled(function: str, environment: Mapping[str, str]) -> bool:
    """By the app setting `AzureWebJobs.NAME.Disabled`, or with underscores where a shell wants them."""
    names = (f"azurewebjobs.{function}.disabled".lower(), f"azurewebjobs_{function}_disabled".lower())
    return any(name.lower() in names and value.lower() in ("true", "1") for name, value in environment.items())


def span(text: str) -> float:
    """Seconds of a .NET time span: `hh:mm:ss`, `d.hh:mm:ss`, `d:hh:mm:ss`. Hours of 24 and more are days."""
    found = re.fullmatch(r"(?:(\d+)[.:])?(\d+):(\d+):(\d+(?:\.\d+)?)", text.strip())
    if not found:
        raise ValueError(f"'{text}' is no time span: hh:mm:ss is expected")
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    if not found[1] and hours > 23:
        days, hours, minutes, seconds = hours, minutes, seconds, 0.0
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def debug_port(environment: Mapping[str, str]) -> int | None:
    """LOCAL_DEBUG_PORT: where the worker listens for a debugger; None when it isn't set."""
    given = environment.get("LOCAL_DEBUG_PORT", "")
    if not given:
        return None
    if not (given.isdecimal() and 0 < int(given) < 65536):
        raise SettingsError(f"LOCAL_DEBUG_PORT must be a port, 1 to 65535, and is '{given}'")
    return int(given)


def threads_for_functions(environment: Mapping[str, str]) -> int:
    """As the Python worker: PYTHON_THREADPOOL_THREAD_COUNT, if that is a number from 1 on."""
    given = environment.get("PYTHON_THREADPOOL_THREAD_COUNT", "")
    return int(given) if given.isdecimal() and int(given) else min(32, (os.cpu_count() or 1) + 4)
