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
ROUNDS_OF_THE_FULL_TEST = 40
# What is imported in a fresh process while it makes its first calls: not by them, but before them, under one lock.
LATE = ("azure.core", "azure.data", "azure.identity", "azure.mgmt", "msal", "requests", "urllib3", "_strptime", "email")

# The app is imported once, which costs most; each of the programs then has a process of its own, in which nothing was called.
FORKS = """
import json, os, sys, traceback
import function_app

for program, payloads in json.load(sys.stdin):
    if os.fork() == 0:
        try:
            exec(program)
            print(flush=True)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
    if os.wait()[1]:
        sys.exit(1)
"""

FIRST_CALLS = """
import asyncio, inspect, threading

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
import asyncio, inspect
from shared.arm.client import arm
from shared.tables.client import table

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


Payloads = dict[str, dict[str, Any]]


def payloads_of(first: int, second: int) -> Payloads:
    """What `run_step` calls each act and each undo with: of a run that deploys, and of one that rolls back."""
    deploys = recorded(a_run(a_plan(first)))
    rolls_back = recorded(a_run(a_plan(second), status="rolling_back"))
    given: dict[str, dict[str, Any]] = {
        "create_nic": {"subnets": {}},
        "create_vm": {"nic_id": "x", "security_type": "Standard"},
        "update_agw": {"private_ip": f"10.11.{first}.4"},
    }
    acts = [step.name for step in STEPS if step is not SAVE_TO_STORAGE]
    undos = [undo.name for undo in UNDOS if undo.name != "release_reservations"]
    calls = {name: call_of(deploys, name, **given.get(name, {})) for name in acts}
    return calls | {name: call_of(rolls_back, name) for name in undos}


def run_fresh(*programs: tuple[str, Payloads]) -> tuple[list[Any], str]:
    """What each program answers in a fresh process, and what they log."""
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS],
        input=json.dumps(programs),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert ended.returncode == 0, ended.stderr
    answers = [json.loads(line) for line in ended.stdout.splitlines()]
    assert len(answers) == len(programs)
    return answers, ended.stderr


def check_first_calls(payloads: Payloads, answers: dict[str, Any], log: str) -> None:
    for broken in ("ImportError", "AttributeError", "partially initialized", "DeadlockError"):
        assert broken not in log
        assert broken not in json.dumps(answers)
    unexpected = {name: answers[name] for name in payloads if "InternalError" in json.dumps(answers[name])}
    assert unexpected == {}, log


def test_the_first_calls_of_all_activities_can_come_at_once_and_import_nothing_of_the_sdks(settings: Settings) -> None:
    """What an SDK imports at its first request is in `shared.process.once`, or would be imported by several threads at once."""
    payloads = payloads_of(1, 2)
    (answers, imported), log = run_fresh((FIRST_CALLS, payloads), (ONE_AFTER_THE_OTHER, payloads_of(3, 4)))
    check_first_calls(payloads, answers, log)
    assert [name for name in imported if name.startswith(LATE)] == []


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_the_first_calls_can_come_at_once_many_times(settings: Settings) -> None:
    payloads = payloads_of(1, 2)
    for _ in range(ROUNDS_OF_THE_FULL_TEST):
        (answers,), log = run_fresh((FIRST_CALLS, payloads))
        check_first_calls(payloads, answers, log)
