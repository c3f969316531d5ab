"""The stack starts everything, keeps it running, and leaves nothing behind: with an app that has nothing to do with ours."""

import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import psutil
import pytest
from azure.data.tables import TableServiceClient

from local.processes import free_port, is_free
from local.recipes import ROOT, StackError, app_settings, clean_environment
from local.stack import Stack
from local.state_directory import StateInUseError

APP = """
import json
import os

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)


@app.route(route="environment", methods=["GET"])
def environment(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(dict(os.environ)), mimetype="application/json")
"""
KEYS = {
    "api",
    "function_key",
    "system_key",
    "master_key",
    "arm",
    "ca",
    "identity_endpoint",
    "identity_header",
    "subscription_id",
    "tables",
    "pids",
}
FOREIGN = {
    "AZURE_CLIENT_ID": "someone",
    "AZURE_CLIENT_SECRET": "secret",
    "AZURE_TENANT_ID": "elsewhere",
    "HTTPS_PROXY": "http://proxy.invalid:3128",
    "https_proxy": "http://proxy.invalid:3128",
    "REQUESTS_CA_BUNDLE": "/nowhere.pem",
    "TABLES_ENDPOINT": "https://real.table.core.windows.net",
}

StartStack = Callable[..., Stack]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A function app with one route, which tells its environment."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "function_app.py").write_text(APP, encoding="utf-8")
    host = {"version": "2.0", "extensions": {"http": {"routePrefix": "api"}}}
    (folder / "host.json").write_text(json.dumps(host), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def stack(start_stack: StartStack, app: Path) -> Iterator[Stack]:
    """With the proxy before the tables. One without it: `CommandLine`."""
    with pytest.MonkeyPatch.context() as caller:
        for name, value in FOREIGN.items():
            caller.setenv(name, value)
        stack = start_stack(script_root=app, settings={"LOG_LEVEL": "DEBUG"}, tables_proxy=True)
        yield stack
        stack.stop()


def environment_of_the_app(endpoints: dict[str, Any]) -> dict[str, str]:
    url, key = f"{endpoints['api']}/environment", endpoints["function_key"]
    answer = httpx.get(url, headers={"x-functions-key": key}, trust_env=False)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def arm_resources(stack: Stack) -> Any:
    trusted = ssl.create_default_context(cafile=stack.endpoints["ca"])
    answer = httpx.get(f"{stack.endpoints['arm']}/_local/resources", verify=trusted, trust_env=False)
    assert answer.status_code == 200, answer.text
    return answer.json()


def tables_of(endpoints: dict[str, Any]) -> TableServiceClient:
    return TableServiceClient.from_connection_string(endpoints["tables"])


def written_endpoints(state: Path) -> dict[str, Any]:
    return dict(json.loads((state / "endpoints.json").read_text(encoding="utf-8")))


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def until(happens: Callable[[], bool], what: str, seconds: float = 30) -> None:
    latest = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < latest, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)


# --- a running stack --------------------------------------------------------------------------------------------------


def test_a_ready_stack_has_written_all_its_endpoints(stack: Stack) -> None:
    assert set(stack.endpoints) == {*KEYS, "tables_faults"}
    assert written_endpoints(stack.state) == stack.endpoints
    assert list(stack.endpoints["pids"]) == ["functions", "worker", "tables_proxy", "azure", "azurite"]
    assert all(psutil.pid_exists(pid) for pid in stack.endpoints["pids"].values())
    assert arm_resources(stack)
    with tables_of(stack.endpoints) as tables:
        tables.create_table_if_not_exists("Ready")


def test_everything_listens_on_loopback_only(stack: Stack) -> None:
    for name, pid in stack.endpoints["pids"].items():
        listening = [each for each in psutil.Process(pid).net_connections() if each.status == psutil.CONN_LISTEN]
        addresses = set() if name == "worker" else {"127.0.0.1"}
        assert {each.laddr.ip for each in listening} == addresses, name


def test_the_app_learns_of_the_stack_by_settings_alone(stack: Stack) -> None:
    environment = environment_of_the_app(stack.endpoints)
    assert environment["ARM_ENDPOINT"] == stack.endpoints["arm"]
    assert environment["REQUESTS_CA_BUNDLE"] == stack.endpoints["ca"]
    assert environment["IDENTITY_ENDPOINT"] == stack.endpoints["identity_endpoint"]
    assert environment["IDENTITY_HEADER"] == stack.endpoints["identity_header"]
    assert environment["AZURE_SUBSCRIPTION_ID"] == stack.endpoints["subscription_id"]
    assert environment["LOG_LEVEL"] == "DEBUG"
    told = {name for name in FOREIGN if environment.get(name) == FOREIGN[name]}
    assert told == set(), "the caller's environment must not lead to another Azure"


def test_the_tables_proxy_stands_between_the_app_and_the_tables(stack: Stack) -> None:
    told = environment_of_the_app(stack.endpoints)["TABLES_CONNECTION_STRING"]
    assert told != stack.endpoints["tables"]
    with TableServiceClient.from_connection_string(told, retry_total=0) as tables:
        tables.create_table("Proxied")
    with tables_of(stack.endpoints) as tables:
        assert "Proxied" in {table.name for table in tables.list_tables()}
    assert httpx.get(stack.endpoints["tables_faults"], trust_env=False).json() == []


@pytest.mark.parametrize("name", ["worker", "functions", "tables_proxy", "azure"])
def test_what_is_killed_is_started_again_where_it_was(stack: Stack, name: str) -> None:
    before, resources = dict(stack.endpoints), arm_resources(stack)
    old_pid = stack.kill(name)
    new_pid = stack.wait_until_restarted(name, old_pid)
    assert new_pid != old_pid
    assert is_gone(old_pid)
    worker = stack.pid("worker")  # its host starts another with itself
    assert (worker == before["pids"]["worker"]) is (name in ("tables_proxy", "azure"))
    assert written_endpoints(stack.state) == before | {"pids": before["pids"] | {"worker": worker, name: new_pid}}
    assert environment_of_the_app(stack.endpoints)["ARM_ENDPOINT"] == before["arm"]
    assert arm_resources(stack) == resources


def test_a_host_that_stops_itself_after_three_deaths_of_its_worker_is_started_anew(stack: Stack) -> None:
    host, deaths = stack.pid("functions"), 0
    while stack.pid("functions") == host:
        assert deaths < 3
        stack.restart("worker")
        deaths += 1
    assert environment_of_the_app(stack.endpoints)["ARM_ENDPOINT"] == stack.endpoints["arm"]


def test_azurite_is_started_again_too(stack: Stack) -> None:
    with tables_of(stack.endpoints) as tables:
        tables.create_table_if_not_exists("BeforeTheEnd")
        old_pid = stack.pid("azurite")
        os.kill(old_pid, signal.SIGINT)
        stack.wait_until_restarted("azurite", old_pid)
        assert "BeforeTheEnd" in {table.name for table in tables.list_tables()}


def test_killing_azurite_is_refused_because_it_would_lose_writes(stack: Stack) -> None:
    with pytest.raises(ValueError, match="loses acknowledged writes"):
        stack.kill("azurite")


def test_a_state_directory_in_use_is_refused(stack: Stack) -> None:
    with pytest.raises(StateInUseError, match=rf"in use by another stack \(process {os.getpid()}\).*STATE=DIR"):
        Stack(stack.state).start()
    assert environment_of_the_app(stack.endpoints), "the one that runs is not disturbed"


def test_a_taken_port_is_refused_before_anything_is_started(tmp_path: Path, stack: Stack) -> None:
    taken = httpx.URL(stack.endpoints["api"]).port
    with pytest.raises(StackError, match=f"Port {taken} is taken"):
        Stack(tmp_path, port=taken).start()
    assert not (tmp_path / "logs").exists()


# --- stopping and starting again --------------------------------------------------------------------------------------


class CommandLine:
    """`python -m local.stack` as a process, and all that it starts."""

    def __init__(self, state: Path, app: Path, *options: str) -> None:
        self.state = state
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "local.stack",
                "--state",
                str(state),
                "--script-root",
                str(app),
                "--time-scale",
                "0.01",
                *options,
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.seen: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.communicate(timeout=60)

    def started(self) -> set[str]:
        """The names of the processes that it has started by now."""
        try:
            noted = json.loads((self.state / "stack.json").read_text(encoding="utf-8"))["processes"]
        except (FileNotFoundError, ValueError):
            return set()
        self.seen |= {each["pid"] for each in noted.values()}
        return set(noted)

    def wait_until_ready(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.started()
        return dict(json.loads(line)) if line else {}

    def end(self) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors

    def nothing_is_left(self) -> bool:
        return bool(self.seen) and all(is_gone(pid) for pid in self.seen)


# That a killed stack takes its processes along needs prctl(PR_SET_PDEATHSIG), which is Linux's.
KILLED = [signal.SIGKILL] if sys.platform == "linux" else []


def test_a_signal_or_a_kill_stops_everything_and_the_next_start_takes_up_what_the_state_holds(
    tmp_path: Path, app: Path
) -> None:
    port = free_port()
    noted: dict[str, Any] = {}
    for number in (signal.SIGINT, *KILLED, signal.SIGTERM):
        with CommandLine(tmp_path, app, *(() if noted else ("--port", str(port)))) as command:
            endpoints = command.wait_until_ready()
            assert endpoints == written_endpoints(tmp_path)
            assert set(endpoints) == KEYS
            assert endpoints["api"] == f"http://127.0.0.1:{port}/api"
            assert environment_of_the_app(endpoints)["TABLES_CONNECTION_STRING"] == endpoints["tables"]
            assert {**endpoints, "pids": None} == {**(noted or endpoints), "pids": None}
            with tables_of(endpoints) as tables:
                kept = tables.create_table_if_not_exists("Kept")
                assert [each["value"] for each in kept.list_entities()] == ([42] if noted else [])
                kept.upsert_entity({"PartitionKey": "p", "RowKey": "r", "value": 42})
            noted = endpoints
            command.process.send_signal(number)
            if number == signal.SIGKILL:
                command.end()
                until(command.nothing_is_left, "all processes are gone")
            else:
                assert command.end() == (0, "")
                assert command.nothing_is_left()
                assert not (tmp_path / "endpoints.json").exists()


@pytest.mark.parametrize("moment", ["azurite", "azure", "functions"])
def test_a_signal_during_the_start_leaves_nothing_behind(tmp_path: Path, app: Path, moment: str) -> None:
    with CommandLine(tmp_path / "state", app) as command:
        until(lambda: moment in command.started(), f"{moment} is being started")
        command.process.send_signal(signal.SIGINT)
        code, errors = command.end()
        command.started()
        assert code == 0, errors
        assert "Traceback" not in errors
        assert command.nothing_is_left()


def test_what_cannot_start_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    stack = Stack(tmp_path, script_root=tmp_path / "no-such-app", settings={"LOG_LEVEL": "DEBUG"})
    with pytest.raises(StackError, match=r"functions did not start"):
        stack.start()
    noted = json.loads((tmp_path / "stack.json").read_text(encoding="utf-8"))
    assert noted["processes"] == {}
    assert all(is_free(port) for port in noted["ports"].values())


# --- what processes are told, without any process ---------------------------------------------------------------------

AZURE = {
    "arm": "https://127.0.0.1:1",
    "ca": "/ca.pem",
    "identity_endpoint": "http://127.0.0.1:1/token",
    "identity_header": "x",
    "subscription_id": "s",
}


def test_waits_follow_the_time_scale() -> None:
    settings = app_settings(AZURE, "tables", 0.1)
    assert {name: value for name, value in settings.items() if name.endswith("_SECONDS")} == {
        "POLL_MAX_SECONDS": "0.5",
        "POLL_DEFAULT_SECONDS": "0.5",
        "AGW_GATHER_SECONDS": "0.2",
        "WRITER_POLL_SECONDS": "0.1",
        "RETRY_FIRST_SECONDS": "0.5",
        "RETRY_MAX_SECONDS": "6",
    }


def test_no_wait_is_shorter_than_its_floor() -> None:
    settings = app_settings(AZURE, "tables", 0)
    waits = {float(value) for name, value in settings.items() if name.endswith("_SECONDS")}
    assert min(waits) == 0.02


def test_the_callers_azure_and_proxies_are_not_handed_on() -> None:
    environment = clean_environment(FOREIGN | {"PATH": "/bin", "SPOKE_OUTBOUND": "none", "NO_PROXY": "example.com"})
    assert environment["PATH"] == "/bin"
    assert environment["SPOKE_OUTBOUND"] == "none"
    assert environment["NO_PROXY"] == "127.0.0.1,localhost"
    assert not FOREIGN.keys() & environment.keys()
