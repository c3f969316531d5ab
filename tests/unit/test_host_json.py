"""What host.json says: which lines go where, how Durable behaves after a stop, and that no function comes near its timeout.

Levels are chosen as Microsoft.Extensions.Logging chooses them: a provider's own rules go before the general ones, and of
those that fit the longest category decides; one `*` stands for anything.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from activities.waiting_inside import MOST_WAITING
from shared.process import deadline
from shared.process.identity import CONNECT_SECONDS, READ_SECONDS
from shared.process.share import ACTIVITIES_AT_ONCE, MOST_OF_ONE_HUB, most_of_one_hub
from shared.saga.policy import longest_request
from shared.settings import MOST_ARM_TIMEOUT_SECONDS
from shared.tables import client

ROOT = Path(__file__).resolve().parents[2]
HOST: dict[str, Any] = json.loads((ROOT / "host.json").read_text(encoding="utf-8"))
LEVELS = ("Trace", "Debug", "Information", "Warning", "Error", "Critical", "None")
DURABLE = HOST["extensions"]["durableTask"]
# .NET compares the name of a provider's section letter by letter: with a small a its levels would count for nothing.
INSIGHTS = "ApplicationInsights"


def level(category: str, provider: str | None = None) -> str:
    own = HOST["logging"].get(provider, {}).get("logLevel", {}) if provider else {}
    for rules in (own, HOST["logging"]["logLevel"]):
        fitting = [each for each in rules if each != "default" and _fits(each, category)]
        if fitting:
            return str(rules[max(fitting, key=len)])
        if "default" in rules:
            return str(rules["default"])
    raise AssertionError("host.json has no default level")


def _fits(rule: str, category: str) -> bool:
    before, _, after = rule.partition("*")
    return category.lower().startswith(before.lower()) and category.lower().endswith(after.lower())


def is_written(line: str, category: str, provider: str | None = None) -> bool:
    return LEVELS.index(line) >= LEVELS.index(level(category, provider))


@pytest.mark.parametrize("name", ["create_vm", "create_spoke", "report_orphans"])
def test_the_apps_own_lines_are_on_the_log_stream(name: str) -> None:
    assert is_written("Information", f"Function.{name}.User")


@pytest.mark.parametrize(
    "category",
    [
        "Azure.Core",
        "Azure.Core.1",
        "Azure.Identity",
        "DurableTask.AzureStorage",
        "DurableTask.Core",
        "Host.Triggers.DurableTask",
        "Function.create_vm",
    ],
)
def test_what_others_say_of_every_call_is_not(category: str) -> None:
    assert not is_written("Information", category)
    assert is_written("Warning", category)


def test_application_insights_gets_the_apps_lines_from_the_exporter_alone() -> None:
    """The exporter sends them with their fields, and unsampled; from the host each would come a second time."""
    assert not is_written("Critical", "Function.create_vm.User", INSIGHTS)
    for category in (
        "Azure.Core",
        "DurableTask.Core",
        "Host.Triggers.DurableTask",
        "Host.Startup",
        "Function.create_vm",
    ):
        assert not is_written("Information", category, INSIGHTS)
    assert is_written("Error", "Function.create_vm", INSIGHTS)
    assert is_written("Information", "Host.Results", INSIGHTS)


def test_no_line_request_or_exception_is_sampled_away() -> None:
    sampling = HOST["logging"][INSIGHTS]["samplingSettings"]
    assert {"Exception", "Request", "Trace"} <= set(sampling["excludedTypes"].split(";"))
    assert [each for each in HOST["logging"] if each.lower() == INSIGHTS.lower()] == [INSIGHTS]


def test_messages_of_a_killed_host_come_back_after_a_minute() -> None:
    storage = DURABLE["storageProvider"]
    assert storage["controlQueueVisibilityTimeout"] == storage["workItemQueueVisibilityTimeout"] == "00:01:00"


def test_traces_are_of_the_second_version_and_hold_no_inputs() -> None:
    assert DURABLE["tracing"] == {"distributedTracingEnabled": True, "version": "V2", "traceInputsAndOutputs": False}


def test_there_are_threads_for_all_orchestrators_at_once() -> None:
    said = {
        "local.settings.json.example": r'"PYTHON_THREADPOOL_THREAD_COUNT": "(\d+)"',
        "local/recipes.py": r'"PYTHON_THREADPOOL_THREAD_COUNT": "(\d+)"',
        "docs/operations.md": r"`PYTHON_THREADPOOL_THREAD_COUNT` \| set it to (\d+)",
        "docs/decisions/0008-host-json.md": r"`PYTHON_THREADPOOL_THREAD_COUNT=(\d+)`",
    }
    threads = {
        int(each)
        for name, pattern in said.items()
        for each in re.findall(pattern, (ROOT / name).read_text("utf-8")) or [0]
    }
    assert len(threads) == 1, f"these four don't say the same: {', '.join(said)}"
    assert threads.pop() >= DURABLE["maxConcurrentOrchestratorFunctions"]


def test_one_of_several_hubs_leaves_places_for_the_others() -> None:
    assert [most_of_one_hub(hubs) for hubs in (1, 2, 3, 4, 100)] == [MOST_OF_ONE_HUB, MOST_OF_ONE_HUB, 9, 6, 1]
    for hubs in range(2, 20):
        assert (hubs - 1) * most_of_one_hub(hubs) < ACTIVITIES_AT_ONCE, "all others stand still"


def test_those_that_wait_leave_places_for_those_that_work() -> None:
    assert DURABLE["maxConcurrentActivityFunctions"] == MOST_WAITING + ACTIVITIES_AT_ONCE


def seconds_of(text: str) -> int:
    hours, minutes, seconds = (int(part) for part in text.split(":"))
    return 3600 * hours + 60 * minutes + seconds


def test_no_function_of_the_app_comes_near_the_hosts_timeout() -> None:
    """Over it the host ends the worker, and with it everything else that runs there.

    What begins just before a deadline still connects: that is all by which a call can exceed it.
    """
    connecting = max(10.0, client._CONNECT_SECONDS, CONNECT_SECONDS)
    longest = max(deadline.CALL_SECONDS, deadline.TIMER_SECONDS, deadline.HTTP_SECONDS) + connecting
    assert longest <= 0.6 * seconds_of(HOST["functionTimeout"])
    assert deadline.HTTP_SECONDS + connecting < 230, "the platform's front end answers for us after that"


def test_an_activity_has_time_for_the_longest_request_and_its_records() -> None:
    assert longest_request(MOST_ARM_TIMEOUT_SECONDS) < deadline.ACTIVITY_SECONDS
    assert deadline.ACTIVITY_SECONDS + client._READ_SECONDS < deadline.CALL_SECONDS
    assert CONNECT_SECONDS + READ_SECONDS < deadline.ACTIVITY_SECONDS
