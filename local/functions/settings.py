"""What the host is told: host.json, local.settings.json and the environment."""

import json
import os
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class SettingsError(Exception):
    """A settings file can't be used; the message says which and why."""


@dataclass(frozen=True)
class HostSettings:
    route_prefix: str = "api"
    hub_name: str = "TestHubName"
    most_activities: int = 10
    most_orchestrators: int = 10
    default_version: str = ""


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
    document = read_json(script_root / "host.json")
    extensions = document.get("extensions") or {}
    durable = extensions.get("durableTask") or {}
    processors = os.cpu_count() or 1
    return HostSettings(
        route_prefix=str((extensions.get("http") or {}).get("routePrefix", "api")).strip("/"),
        hub_name=resolved(
            str(durable.get("hubName") or environment.get("WEBSITE_SITE_NAME") or "TestHubName"), environment
        ),
        most_activities=int(durable.get("maxConcurrentActivityFunctions") or 10 * processors),
        most_orchestrators=int(durable.get("maxConcurrentOrchestratorFunctions") or 10 * processors),
        default_version=str(durable.get("defaultVersion") or ""),
    )


def apply_local_settings(script_root: Path, environment: MutableMapping[str, str]) -> None:
    """The Values of local.settings.json become environment variables, but for those that are set already."""
    values = read_json(script_root / "local.settings.json").get("Values") or {}
    for name, value in values.items():
        environment.setdefault(str(name), str(value))


def resolved(expression: str, environment: Mapping[str, str]) -> str:
    """`%NAME%` stands for an app setting."""

    def value_of(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in environment:
            raise SettingsError(f"'%{name}%' does not resolve to a value: there is no app setting {name}.")
        return environment[name]

    return re.sub(r"%([^%]+)%", value_of, expression)


def threads_for_functions(environment: Mapping[str, str]) -> int:
    """As the Python worker: PYTHON_THREADPOOL_THREAD_COUNT, from 1 to 32."""
    usual = min(32, (os.cpu_count() or 1) + 4)
    given = environment.get("PYTHON_THREADPOOL_THREAD_COUNT", "")
    return min(max(int(given), 1), 32) if given.isdigit() else usual
