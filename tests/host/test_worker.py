"""The app's process beside the host: what dies with it, what its threads share, when it has to go."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests.host.hosting import RunningHost, running

APP = """
import asyncio, contextvars, logging, os, pathlib, sys, threading, time
import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
gates = pathlib.Path(os.environ["GATES"])
visitor = contextvars.ContextVar("visitor", default="no visitor")
logging.warning("while the app is imported")

def reach(name):
    (gates / f"{name}.reached").touch()

def wait_at(name):
    reach(name)
    while not (gates / f"{name}.open").exists():
        time.sleep(0.005)

@app.route(route="pid")
def pid(req: func.HttpRequest) -> str:
    return f"{os.getpid()}"

@app.route(route="waits/{name}")
def waits(req: func.HttpRequest) -> str:
    wait_at(req.route_params["name"])
    return "opened"

@app.route(route="blocks/{name}")
async def blocks(req: func.HttpRequest) -> str:
    wait_at(req.route_params["name"])
    return "opened"

@app.route(route="leaves/{code}")
def leaves(req: func.HttpRequest) -> str:
    sys.exit(int(req.route_params["code"]))

@app.route(route="leaves_async")
async def leaves_async(req: func.HttpRequest) -> str:
    raise KeyboardInterrupt

@app.route(route="visit/{name}")
def visit(req: func.HttpRequest) -> str:
    before = visitor.get()
    visitor.set(req.route_params["name"])
    return before

@app.route(route="visit_async/{name}")
async def visit_async(req: func.HttpRequest) -> str:
    before = visitor.get()
    visitor.set(req.route_params["name"])
    return before

@app.route(route="thread")
async def thread(req: func.HttpRequest) -> str:
    logging.warning("before the thread")
    await asyncio.to_thread(logging.warning, "within the thread")
    await asyncio.create_task(speak())
    return threading.current_thread().name

async def speak():
    logging.warning("within a task of its own")

@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *")
def returns_something(timer: func.TimerRequest):
    return "something"

@app.activity_trigger(input_name="gate")
def stay(gate: str) -> str:
    wait_at(gate)
    return f"{os.getpid()}"

@app.activity_trigger(input_name="code")
def leave_once(code: int) -> str:
    if (gates / "left").exists():
        return "stays"
    (gates / "left").touch()
    sys.exit(code)

@app.orchestration_trigger(context_name="context")
def tries_again(context):
    failures = []
    while True:
        try:
            given = context.get_input()
            return [failures, (yield context.call_activity(given["name"], given["input"]))]
        except Exception as error:
            failures.append(str(error))
            if len(failures) == 2:
                return [failures, None]

@app.orchestration_trigger(context_name="context")
def replayed(context):
    given = context.get_input()
    if given["episode"] == 2:
        yield context.call_activity("stay", "first")
    wait_at(given["gate"])
    return "through"
"""


DEATH = "Language Worker Process exited."


class Host(RunningHost):
    """A host whose functions wait at gates: files that the test makes. Tests take it one after the other."""

    def start(self) -> RunningHost:
        self._started = len(self._told())
        return super().start()

    def renew(self) -> None:
        """No gate is there, a worker is, and one may die: a host's third ends it."""
        for file in (*self.gates.glob("*.reached"), *self.gates.glob("*.open"), *self.gates.glob("left")):
            file.unlink()
        assert self.process
        if self.process.poll() is not None or self._told()[self._started :].count(DEATH) > 1:
            self.restart()
        self.http.get(f"{self.api}/pid").raise_for_status()
        self._renewed = len(self._told())

    def _told(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    @property
    def logs(self) -> str:
        """What the present test has brought."""
        return self._told()[self._renewed :]

    @property
    def gates(self) -> Path:
        return self.state.parent

    def open(self, gate: str) -> None:
        (self.gates / f"{gate}.open").touch()

    def until_reached(self, gate: str) -> None:
        until(lambda: (self.gates / f"{gate}.reached").exists())

    def ask(self, route: str) -> "Asking":
        return Asking(f"{self.api}/{route}")


class Asking:
    """A request whose answer isn't waited for yet."""

    def __init__(self, url: str) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._answer = self._thread.submit(httpx.get, url, timeout=60)
        self._thread.shutdown(wait=False)

    @property
    def answered(self) -> bool:
        return self._answer.done()

    def answer(self) -> httpx.Response:
        return self._answer.result()


def until(so: Callable[[], object]) -> None:
    latest = time.monotonic() + 60
    while not so():
        assert time.monotonic() < latest
        time.sleep(0.005)


@contextmanager
def serving(folder: Path, document: dict[str, object] | None = None, **environment: str) -> Iterator[Host]:
    app = folder / "app"
    app.mkdir()
    (app / "function_app.py").write_text(APP)
    (app / "host.json").write_text(json.dumps(document or {}))
    host = Host(app, folder / "state", GATES=str(folder), **environment)
    try:
        host.start()
        yield host
    finally:
        host.kill()
        host.http.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with serving(tmp_path_factory.mktemp("shared")) as one:
        yield one


@pytest.fixture
def host(shared: Host) -> Host:
    shared.renew()
    return shared


@pytest.fixture(scope="module")
def one_thread(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host whose worker has one thread for all functions."""
    with serving(tmp_path_factory.mktemp("one_thread"), PYTHON_THREADPOOL_THREAD_COUNT="1") as one:
        one.renew()
        yield one


KILLED = "python exited with code 137 (0x89)"


def test_a_killed_worker_is_replaced_and_the_host_stays(host: Host) -> None:
    assert host.process
    before, same = host.process.pid, host.http.get(f"{host.api}/pid").text
    assert int(same) == host.worker_pid != before
    host.kill_worker()
    assert host.process.poll() is None
    assert host.http.get(f"{host.api}/pid").text == str(host.worker_pid) != same
    assert f"{DEATH} Pid={same}." in host.logs
    assert KILLED in host.logs


def test_an_http_call_in_flight_gets_an_empty_500(host: Host) -> None:
    asking = host.ask("waits/gate")
    host.until_reached("gate")
    host.kill_worker()
    assert (asking.answer().status_code, asking.answer().content) == (500, b"")


def test_an_activity_in_flight_fails_and_the_app_tries_it_again(host: Host) -> None:
    run = begin(host, "tries_again", {"name": "stay", "input": "gate"})
    host.until_reached("gate")
    host.kill_worker()
    host.open("gate")
    output = host.until(run)["output"]
    assert output[1] == str(host.worker_pid)
    assert [KILLED in failure and "WorkerProcessExitException" in failure for failure in output[0]] == [True]


@pytest.mark.parametrize(
    ("episode", "reason"),
    [
        (1, f"Orchestrator function 'replayed' failed: One or more errors occurred. ({KILLED})"),
        (
            2,
            "Non-Deterministic workflow detected: A previous execution of this orchestration scheduled an activity task",
        ),
    ],
)
def test_an_orchestration_that_was_being_replayed_has_failed(host: Host, episode: int, reason: str) -> None:
    host.open("first")
    run = begin(host, "replayed", {"episode": episode, "gate": "gate"})
    host.until_reached("gate")
    host.kill_worker()
    status = host.until(run)
    assert status["runtimeStatus"] == "Failed"
    assert status["output"].startswith(reason)


def test_a_function_over_its_time_takes_the_worker_down_and_all_that_runs_there(tmp_path: Path) -> None:
    with serving(tmp_path, {"functionTimeout": "00:00:02"}) as host:
        host.renew()
        before = host.worker_pid
        run = begin(host, "tries_again", {"name": "stay", "input": "gate"})
        host.until_reached("gate")
        beside = host.ask("waits/for_ever")
        assert (beside.answer().status_code, beside.answer().content) == (500, b"")
        host.open("gate")
        [[failure], result] = host.until(run)["output"]
        assert "FunctionTimeoutException: Timeout value of 00:00:02 was exceeded by function: Functions.stay" in failure
        assert result == str(host.worker_pid) != str(before)
        assert "Timeout value of 00:00:02 exceeded by function 'Functions.stay'" in host.logs


def test_the_host_stops_itself_after_the_third_death_of_a_worker(host: Host) -> None:
    host.restart()
    assert host.process
    for _ in range(2):
        host.kill_worker()
    os.kill(host.worker_pid, signal.SIGKILL)
    assert host.process.wait(60) == 0
    assert "Exceeded language worker restart retry count for runtime:python." in host.logs
    host.start()
    assert host.http.get(f"{host.api}/pid").text == str(host.worker_pid)


@pytest.mark.parametrize(("route", "code"), [("leaves/3", 3), ("leaves_async", 1)])
def test_a_function_that_exits_ends_the_worker(host: Host, route: str, code: int) -> None:
    answer = host.http.get(f"{host.api}/{route}")
    assert (answer.status_code, answer.content) == (500, b"")
    assert f"python exited with code {code} (0x{code})" in host.logs


def test_an_activity_that_exits_ends_the_worker(host: Host) -> None:
    [failures, result] = host.until(begin(host, "tries_again", {"name": "leave_once", "input": 4}))["output"]
    assert ["python exited with code 4 (0x4)" in failure for failure in failures] == [True]
    assert result == "stays"


def test_a_worker_does_not_outlive_its_host(host: Host) -> None:
    worker = psutil.Process(host.worker_pid)
    asking = host.ask("waits/gate")
    host.until_reached("gate")
    assert host.process
    os.kill(host.process.pid, signal.SIGKILL)
    worker.wait(30)
    with pytest.raises(httpx.HTTPError):
        asking.answer()


def test_activities_and_orchestrators_share_one_pool_of_threads(one_thread: Host) -> None:
    host = one_thread
    asking = host.ask("waits/gate")
    host.until_reached("gate")
    run = begin(host, "tries_again", {"name": "stay", "input": "open"})
    host.open("open")
    assert host.status(run)["runtimeStatus"] == "Pending"
    assert not asking.answered
    host.open("gate")
    assert host.until(run)["runtimeStatus"] == "Completed"


def test_an_async_function_that_blocks_holds_up_every_function_but_not_the_host(host: Host) -> None:
    blocking = host.ask("blocks/gate")
    host.until_reached("gate")
    asking = host.ask("pid")
    assert host.http.get(host.base).status_code == 200
    assert not asking.answered
    host.open("gate")
    assert blocking.answer().text == "opened"
    assert asking.answer().text == str(host.worker_pid)


def test_a_context_variable_that_is_not_reset_is_found_by_the_next_call_on_that_thread(one_thread: Host) -> None:
    host = one_thread
    assert [host.http.get(f"{host.api}/visit/{name}").text for name in ("one", "two")] == ["no visitor", "one"]
    seen = [host.http.get(f"{host.api}/visit_async/{name}").text for name in ("one", "two")]
    assert seen == ["no visitor", "no visitor"]


def test_log_records_without_an_invocation_are_dropped(host: Host) -> None:
    assert host.http.get(f"{host.api}/thread").text == "MainThread"
    assert "before the thread" in host.logs
    assert "within a task of its own" in host.logs
    assert "within the thread" not in host.logs
    assert "while the app is imported" not in host.log.read_text()


def test_a_timer_that_returns_something_fails(host: Host) -> None:
    headers = {"x-functions-key": host.endpoints["master_key"]}
    answer = host.http.post(f"{host.base}/admin/functions/returns_something", json={}, headers=headers)
    assert answer.status_code == 202
    until(lambda: "Executed 'Functions.returns_something' (Failed" in host.logs)
    assert "function 'returns_something' without a $return binding returned a non-None value" in host.logs


def test_an_app_with_a_function_that_cannot_be_indexed_has_none(tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    (app / "function_app.py").write_text(
        "import azure.functions as func\n"
        "app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)\n"
        "@app.route(route='good')\n"
        "def good(req: func.HttpRequest) -> str:\n"
        "    return 'good'\n"
        "@app.route(route='bad')\n"
        "def bad(req: func.HttpRequest) -> None: ...\n"
    )
    with running(app, tmp_path / "state") as host:
        assert host.http.get(f"{host.api}/good").status_code == 404
        assert "0 functions loaded" in host.logs
        assert 'Python return annotation "NoneType" does not match binding type "http"' in host.logs


def begin(host: Host, name: str, given: object) -> str:
    answer = host.management("POST", f"orchestrators/{name}", json=given)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])
