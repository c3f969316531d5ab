"""The Durable engine's pace and cost, against a host in a process of its own: `python benchmarks/durable_engine.py`.

The targets are those that the engine is held to; the program ends with 1 when one is missed.
"""

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil

from local.functions.app import load_app
from local.functions.durable.episode import OrchestrationContext, body_of
from local.functions.durable.stage import Stage

ROOT = Path(__file__).resolve().parents[1]

APP = """
import datetime

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.activity_trigger(input_name="payload")
def nothing(payload):
    return None


@app.orchestration_trigger(context_name="context")
def chain(context):
    for _ in range(context.get_input()):
        yield context.call_activity("nothing", None)
    return "done"


@app.route(route="alive")
def alive(req: func.HttpRequest) -> str:
    return "yes"


@app.orchestration_trigger(context_name="context")
def naps(context):
    due = context.current_utc_datetime + datetime.timedelta(milliseconds=20)
    yield context.create_timer(due)
    return (context.current_utc_datetime - due).total_seconds()


@app.orchestration_trigger(context_name="context")
def waits(context):
    yield context.wait_for_external_event("never")
"""
HOST = {
    "version": "2.0",
    "extensions": {"durableTask": {"maxConcurrentActivityFunctions": 16, "maxConcurrentOrchestratorFunctions": 16}},
}


class Host:
    def __init__(self, app: Path, state: Path) -> None:
        begun = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "local.functions", "--script-root", str(app), "--port", "0", "--state", str(state)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        self._endpoints = json.loads(self._process.stdout.readline())
        self.seconds_to_start = time.perf_counter() - begun
        self.usage = psutil.Process(self._process.pid)
        self._http = httpx.Client(timeout=60)

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        base = self._endpoints["api"].removesuffix("/api")
        params = {"code": self._endpoints["system_key"]} | options.pop("params", {})
        return self._http.request(method, f"{base}/runtime/webhooks/durabletask/{path}", params=params, **options)

    def start(self, name: str, given: Any) -> None:
        # As the SDK's client: JSON within JSON.
        assert self.call("POST", f"orchestrators/{name}", json=json.dumps(given)).status_code == 202

    def run(self, name: str, given: Any) -> Any:
        waiting = {"timeout": "60", "pollingInterval": "1"}
        answer = self.call("POST", f"orchestrators/{name}", json=json.dumps(given), params=waiting)
        assert answer.status_code == 200
        return answer.json()

    def unfinished(self, name_of_status: str = "Running,Pending") -> int:
        return len(self.call("GET", "instances", params={"runtimeStatus": name_of_status, "top": "1000"}).json())

    def processes(self) -> list[psutil.Process]:
        """The host and its worker."""
        return [self.usage, *self.usage.children()]

    def cpu(self) -> float:
        return sum(times.user + times.system for times in (each.cpu_times() for each in self.processes()))

    def resident(self) -> float:
        return sum(each.memory_info().rss for each in self.processes()) / 1e6

    def stop(self) -> None:
        self._http.close()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)
        if self._process.stdout:
            self._process.stdout.close()


@contextlib.contextmanager
def host(app: Path) -> Iterator[Host]:
    with tempfile.TemporaryDirectory() as state:
        one = Host(app, Path(state))
        try:
            yield one
        finally:
            one.stop()


def throughput(app: Path, orchestrations: int = 100, activities: int = 10) -> float:
    """Completions of empty activities in a second, over many orchestrations at once."""
    with host(app) as one:
        begun = time.perf_counter()
        for _ in range(orchestrations):
            one.start("chain", activities)
        while one.unfinished():
            time.sleep(0.02)
        return orchestrations * activities / (time.perf_counter() - begun)


def replay_alone(app: Path, steps: int) -> float:
    """The seconds that the SDK needs for the episodes of one orchestration, with nothing around it."""
    functions = load_app(app)
    spent = 0.0
    with tempfile.TemporaryDirectory() as state, Stage(functions, Path(state) / "durable.sqlite") as stage:
        [chain] = [one.call for one in functions if one.name == "chain"]
        stage.start("chain", steps)
        while True:
            while episode := stage.engine.take_episode():
                body = body_of(episode)
                begun = time.perf_counter()
                chain(OrchestrationContext(body))
                spent += time.perf_counter() - begun
                stage.engine.finish_episode(episode, stage.engine.play(episode))
            if stage.step() is None:
                return spent


def sequential(app: Path, steps: int) -> float:
    with host(app) as one:
        one.run("chain", 1)
        begun = time.perf_counter()
        one.run("chain", steps)
        return time.perf_counter() - begun


def waiting(app: Path, count: int = 1000, seconds: float = 3.0) -> tuple[float, float, float]:
    """Resident megabytes and CPU seconds per second with so many orchestrations waiting; a step's time beside them."""
    with host(app) as one:
        one.run("chain", 1)
        for _ in range(count):
            one.start("waits", None)
        while one.unfinished("Pending"):
            time.sleep(0.02)
        before = one.cpu()
        time.sleep(seconds)
        idle = (one.cpu() - before) / seconds
        begun = time.perf_counter()
        one.run("chain", 40)
        return one.resident(), idle, (time.perf_counter() - begun) / 40


def main() -> int:
    missed = 0

    def report(what: str, value: float, unit: str, target: float, *, at_least: bool = False) -> None:
        nonlocal missed
        met = value >= target if at_least else value <= target
        missed += not met
        sign = "≥" if at_least else "≤"
        print(f"{what:<66} {value:9.3f} {unit:<8} target {sign} {target:g}{'' if met else '   MISSED'}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        app = Path(folder)
        (app / "function_app.py").write_text(APP, "utf-8")
        (app / "host.json").write_text(json.dumps(HOST), "utf-8")
        with host(app) as one:
            report("start of the host", one.seconds_to_start, "s", 2)
            one.run("chain", 1)
            begun = time.perf_counter()
            one.run("chain", 40)
            alone = (time.perf_counter() - begun) / 40
            late = statistics.median(one.run("naps", None) for _ in range(20)) * 1000
            report("a timer of 20 ms fires late by (median of 20)", late, "ms", 5)
        report("activity completions, 100 orchestrations x 10", throughput(app), "/s", 150, at_least=True)
        # The best of three each: what else the machine does is no part of either.
        sdk, engine = (min(measure(app, 100) for _ in range(3)) for measure in (replay_alone, sequential))
        print(f"{'  the SDK alone, 100 episodes':<66} {sdk:9.3f} s")
        print(f"{'  100 sequential activities through the host':<66} {engine:9.3f} s")
        report("100 sequential activities / the SDK alone", engine / sdk, "x", 1.5)
        megabytes, idle, step = waiting(app)
        report("resident memory of host and worker, 1,000 waiting orchestrations", megabytes, "MB", 200)
        report("CPU while 1,000 orchestrations wait", idle, "s/s", 0.01)
        report("a step beside 1,000 others / a step alone", step / alone, "x", 1.5)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
