"""The first moments of a process: after a kill, activities begin at once, each in a thread of its own, with nothing imported.

Fresh interpreters against the real tables and the real stand-in; threads change every ten microseconds, so that whatever
two of them can do to each other's imports and clients happens soon.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shared.saga.steps import SAVE_TO_STORAGE, STEPS, UNDOS
from shared.settings import Settings
from tests.activities.azure_stand_in import a_plan, a_run, call_of, recorded

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 1
ROUNDS_OF_THE_FULL_TEST = 40
# What is imported in a fresh process while it makes its first calls: not by them, but before them, under one lock.
LATE = ("azure.core", "azure.data", "azure.identity", "azure.mgmt", "msal", "requests", "urllib3", "_strptime", "email")

FIRST_CALLS = """
import asyncio, inspect, json, sys, threading
import function_app

payloads = json.load(sys.stdin)
functions = (*function_app.ACTIVITIES, *function_app.ACTIVITIES_WITH_CLIENT)
start, answers = threading.Barrier(len(functions)), {}

def call(function):
    payload = payloads.get(function.__name__, {})
    start.wait()
    try:
        if inspect.iscoroutinefunction(function):
            clients = [None] * (len(inspect.signature(function).parameters) - 1)
            answers[function.__name__] = asyncio.run(function(payload, *clients))
        else:
            answers[function.__name__] = function(payload)
    except Exception as error:
        answers[function.__name__] = repr(error)

threads = [threading.Thread(target=call, args=(function,)) for function in functions]
sys.setswitchinterval(1e-5)
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
json.dump(answers, sys.stdout)
"""

ONE_AFTER_THE_OTHER = """
import asyncio, inspect, json, sys
import function_app
from shared.arm.client import arm
from shared.tables.client import table

payloads = json.load(sys.stdin)
for name in ("Spokes", "GatewaySites", "HubTurns"):
    table(name)
for provider in ("compute", "network", "resources"):
    arm()._client(f"/providers/microsoft.{provider}/")
before = set(sys.modules)
for function in function_app.ACTIVITIES:
    if function.__name__ in payloads:
        answer = function(payloads[function.__name__])
        if inspect.iscoroutine(answer):
            asyncio.run(answer)
json.dump(sorted(set(sys.modules) - before), sys.stdout)
"""


@pytest.fixture
def payloads(settings: Settings) -> dict[str, dict[str, Any]]:
    """What `run_step` calls each act and each undo with: of a run that deploys, and of one that rolls back."""
    deploys = recorded(a_run(a_plan(1)))
    rolls_back = recorded(a_run(a_plan(2), status="rolling_back"))
    given: dict[str, dict[str, Any]] = {
        "create_nic": {"subnets": {}},
        "create_vm": {"nic_id": "x", "security_type": "Standard"},
        "update_agw": {"private_ip": "10.11.1.4"},
    }
    acts = [step.name for step in STEPS if step is not SAVE_TO_STORAGE]
    undos = [undo.name for undo in UNDOS if undo.name != "release_reservations"]
    calls = {name: call_of(deploys, name, **given.get(name, {})) for name in acts}
    return calls | {name: call_of(rolls_back, name) for name in undos}


def run_fresh(code: str, payloads: dict[str, Any]) -> tuple[Any, str]:
    """What a fresh interpreter answers, and what it logs."""
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        input=json.dumps(payloads),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout), ended.stderr


def make_first_calls(payloads: dict[str, Any]) -> None:
    answers, log = run_fresh(FIRST_CALLS, payloads)
    for broken in ("ImportError", "AttributeError", "partially initialized", "DeadlockError"):
        assert broken not in log
        assert broken not in json.dumps(answers)
    unexpected = {name: answers[name] for name in payloads if "InternalError" in json.dumps(answers[name])}
    assert unexpected == {}, log


@pytest.mark.parametrize("number", range(ROUNDS))
def test_the_first_calls_of_all_activities_can_come_at_once(payloads: dict[str, Any], number: int) -> None:
    make_first_calls(payloads)


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_the_first_calls_can_come_at_once_many_times(payloads: dict[str, Any]) -> None:
    for _ in range(ROUNDS_OF_THE_FULL_TEST):
        make_first_calls(payloads)


def test_requests_import_nothing_of_the_sdks(payloads: dict[str, Any]) -> None:
    """What an SDK imports at its first request is in `shared.process.once`, or would be imported by several threads at once."""
    imported, _ = run_fresh(ONE_AFTER_THE_OTHER, payloads)
    assert [name for name in imported if name.startswith(LATE)] == []
