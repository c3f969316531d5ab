"""Hosts that are killed: nothing is lost, everything goes on; and what the command line promises."""

import collections
import json
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.host.hosting import APPS, ROOT, RunningHost, running

APP = """
import os
import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.activity_trigger(input_name="payload")
def count(payload: dict) -> int:
    with open(os.environ["JOURNAL"], "a") as journal:
        journal.write(f"{payload['run']} {payload['step']}\\n")
    return payload["value"] + payload["step"]


@app.orchestration_trigger(context_name="context")
def add_up(context):
    value = 0
    for step in range(10):
        value = yield from counted(context, step, value)
    return value


def counted(context, step, value):
    # An activity whose worker died is tried again: that is the business of the app.
    while True:
        try:
            given = {"run": context.instance_id, "step": step, "value": value}
            return (yield context.call_activity("count", given))
        except Exception as error:
            if "WorkerProcessExitException" not in str(error):
                raise


@app.route(route="alive")
def alive(req: func.HttpRequest) -> str:
    return "yes"
"""


def soak(folder: Path, orchestrations: int, kills: int, seed: int) -> None:
    """Many orchestrations of ten activities, the host, its worker or both killed at random: all complete, each effect
    is there, no result is wrong. Orchestrations that a dying worker failed are started again."""
    chance = random.Random(seed)
    app = folder / "app"
    app.mkdir()
    (app / "function_app.py").write_text(APP)
    journal = folder / "journal"
    with running(app, folder / "state", JOURNAL=str(journal)) as host:
        runs = [f"run-{number}" for number in range(orchestrations)]
        started = 0
        for killing in range(kills + 1):
            share = orchestrations * (killing + 1) // (kills + 1)
            for run in runs[started:share]:
                answer = host.management("POST", f"orchestrators/add_up/{run}")
                assert answer.status_code == 202, answer.text
            started = share
            if killing < kills:
                time.sleep(chance.uniform(0, 0.15))
                if killing % 2:
                    host.kill_worker()
                else:
                    host.restart()
        for run in runs:
            assert output_of(host, run) == 45
    effects = collections.Counter(journal.read_text().splitlines())
    assert set(effects) == {f"{run} {step}" for run in runs for step in range(10)}


def output_of(host: RunningHost, run: str) -> object:
    while (status := host.until(run))["runtimeStatus"] == "Failed":
        assert re.search(r"exited with code 137 \(0x89\)|^Non-Deterministic workflow detected", status["output"])
        assert host.management("POST", f"orchestrators/add_up/{run}").status_code == 202
    return status["output"]


def test_a_host_and_a_worker_killed_at_random_lose_nothing(tmp_path: Path) -> None:
    soak(tmp_path, orchestrations=8, kills=2, seed=1)


@pytest.mark.full
def test_soak(tmp_path: Path) -> None:
    soak(tmp_path, orchestrations=200, kills=20, seed=time.time_ns())


def test_timers_that_came_due_while_the_host_was_down_fire(host: RunningHost) -> None:
    run = host.begin("sleeper", 0.3)
    host.until(run, "Running")
    host.kill()
    time.sleep(0.4)
    host.start()
    assert host.until(run)["output"] >= 0.4


def test_an_activity_that_was_running_is_run_again(host: RunningHost) -> None:
    journal = host.state.with_suffix(".journal")
    run = host.begin("left_open")
    while "echo" not in (journal.read_text() if journal.exists() else ""):
        time.sleep(0.005)
    host.restart()
    assert host.until(run)["output"] == "quick"


def test_keys_and_port_stay_the_same(host: RunningHost) -> None:
    before = host.endpoints
    host.restart()
    assert host.endpoints == before
    assert set(before) >= {"api", "function_key", "system_key"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_within_two_seconds_also_with_work_under_way(host: RunningHost, number: signal.Signals) -> None:
    run = host.begin("chain", {"steps": 200})
    host.until(run, "Running")
    assert host.process
    begun = time.monotonic()
    host.process.send_signal(number)
    assert host.process.wait(10) == 0
    assert time.monotonic() - begun < 2
    host.start()
    assert host.status(run)["runtimeStatus"] == "Running"
    host.management("POST", f"instances/{run}/terminate").raise_for_status()
    host.until(run)


def test_a_state_directory_belongs_to_one_host(host: RunningHost) -> None:
    message = refused(APPS / "durable", host.state)
    assert message == f"The state directory {host.state} is in use by another host.\n"
    assert host.http.get(host.base).status_code == 200


def test_only_the_loopback_interface_is_served(host: RunningHost) -> None:
    import psutil

    assert host.process
    connections = psutil.Process(host.process.pid).net_connections()
    assert [one.laddr.ip for one in connections if one.status == psutil.CONN_LISTEN] == ["127.0.0.1"]


def test_an_app_that_cannot_be_loaded_is_one_message_and_exit_code_1(tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    (app / "function_app.py").write_text("import json\n\nimport nowhere_at_all\n")
    command = [sys.executable, "-m", "local.functions", "--script-root", str(app), "--state", str(tmp_path / "state")]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr == f"{app}/function_app.py:3: ModuleNotFoundError: No module named 'nowhere_at_all'\n"


@pytest.mark.parametrize("waiting", ["await forever()", "time.sleep(60)"])
def test_no_function_can_keep_it_from_ending(tmp_path: Path, waiting: str) -> None:
    app = tmp_path / "app"
    app.mkdir()
    (app / "function_app.py").write_text(
        "import asyncio, contextlib, time\n"
        "import azure.functions as func\n"
        "app = func.FunctionApp()\n"
        "print('what an app prints is in the log')\n"
        "async def forever():\n"
        "    while True:\n"
        "        with contextlib.suppress(asyncio.CancelledError):\n"
        "            await asyncio.sleep(60)\n"
        "@app.timer_trigger(arg_name='timer', schedule='0 0 0 1 1 *', run_on_startup=True)\n"
        "async def stubborn(timer):\n"
        "    print('stubborn', flush=True)\n"
        f"    {waiting}\n"
    )
    with running(app, tmp_path / "state") as host:
        while "stubborn\n" not in host.logs:
            time.sleep(0.005)
        assert host.process
        assert host.stop() < 2
        assert host.process.returncode == 0


def refused(app: Path, state: Path, port: int = 0) -> str:
    other = RunningHost(app, state)
    other.http.close()
    other.port = port
    answer = subprocess.run(other.command(), cwd=ROOT, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.count("\n") == 1
    return answer.stderr


@pytest.mark.parametrize(("file", "reason"), [("durable.sqlite", "file is not a database"), ("keys.json", "Expecting")])
def test_a_state_that_cannot_be_read_is_one_message_and_exit_code_1(tmp_path: Path, file: str, reason: str) -> None:
    (tmp_path / file).write_text("no" * 1000)
    assert f"{tmp_path / file}: can't be read: {reason}" in refused(APPS / "durable", tmp_path)


def test_paths_that_are_no_folders_are_one_message_and_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert f"The state directory {tmp_path / 'file'} can't be used: " in refused(APPS / "durable", tmp_path / "file")
    nowhere = tmp_path / "nowhere"
    assert refused(nowhere, tmp_path / "state") == f"{nowhere}/function_app.py: there is no function_app.py\n"


def test_a_port_in_use_is_one_message_and_exit_code_1(host: RunningHost, tmp_path: Path) -> None:
    message = refused(APPS / "durable", tmp_path / "other", host.port)
    assert f"can't be served on port {host.port}: " in message


def test_a_journal_that_was_cut_off_or_overwritten_at_its_end_loses_no_more_than_that_end(tmp_path: Path) -> None:
    with running(APPS / "durable", tmp_path / "state") as host:
        done = host.begin("chain", {"steps": 3})
        host.until(done)
        host.kill()
        journal = tmp_path / "state" / "durable.sqlite-wal"
        whole = journal.read_bytes()
        for rest in (whole[:-1000], whole + b"no" * 1000, whole[:-1000] + b"no" * 500):
            journal.write_bytes(rest)
            host.start()
            assert host.until(done)["output"] == 3
            assert host.until(host.begin("hello", "you"))["output"] == "hello you"
            host.kill()


def test_activities_and_orchestrators_at_once_are_limited_by_host_json(tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    limits = {"maxConcurrentActivityFunctions": 2, "maxConcurrentOrchestratorFunctions": 1}
    (app / "host.json").write_text(json.dumps({"extensions": {"durableTask": limits}}))
    (app / "function_app.py").write_text(
        "import threading, time\n"
        "import azure.durable_functions as df\n"
        "app = df.DFApp()\n"
        "lock, inside, most = threading.Lock(), 0, 0\n"
        "@app.activity_trigger(input_name='given')\n"
        "def act(given):\n"
        "    global inside, most\n"
        "    with lock:\n"
        "        inside += 1\n"
        "        most = max(most, inside)\n"
        "    time.sleep(0.05)\n"
        "    with lock:\n"
        "        inside -= 1\n"
        "    return most\n"
        "@app.orchestration_trigger(context_name='context')\n"
        "def crowd(context):\n"
        "    return max((yield context.task_all([context.call_activity('act', 0) for _ in range(8)])))\n"
        "@app.orchestration_trigger(context_name='context')\n"
        "def blocks(context):\n"
        "    return act._function._func(0)\n"
    )
    with running(app, tmp_path / "state") as host:
        waiting = {"timeout": "20", "pollingInterval": "1"}
        for _ in range(4):
            host.management("POST", "orchestrators/blocks")
        assert host.management("POST", "orchestrators/blocks", params=waiting).json() == 1
        assert host.management("POST", "orchestrators/crowd", params=waiting).json() == 2


def test_a_slow_request_does_not_hold_the_others_up(host: RunningHost) -> None:
    run = host.begin("takes_long")
    assert httpx.get(host.base, timeout=60).status_code == 200
    assert host.status(run)["runtimeStatus"] in ("Pending", "Running"), "it answered after the slow one only"
