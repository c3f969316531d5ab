"""A debugger attaches to the worker process, and stops in a trigger, an orchestrator and an activity."""

import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.host.hosting import PATIENCE, ROOT, RunningHost, running

APP = """
import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

@app.route(route="begin")
@app.durable_client_input(client_name="client")
async def begin(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> str:
    given = 21  # in the trigger
    return await client.start_new("doubles", client_input=given)

@app.orchestration_trigger(context_name="context")
def doubles(context):
    given = context.get_input()  # in the orchestrator
    return (yield context.call_activity("double", given))

@app.activity_trigger(input_name="number")
def double(number: int) -> int:
    return 2 * number  # in the activity
"""


class Debugger:
    """A client of the Debug Adapter Protocol: JSON messages, each after a header with its length."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._stream = self._socket.makefile("rwb")
        self._sent = 0

    def send(self, command: str, **arguments: Any) -> None:
        self._sent += 1
        message = {"seq": self._sent, "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(message).encode()
        self._stream.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self._stream.flush()

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        self.send(command, **arguments)
        answer = self.until(lambda message: message.get("command") == command and message["type"] == "response")
        assert answer["success"], answer
        return dict(answer.get("body") or {})

    def event(self, name: str) -> dict[str, Any]:
        return dict(self.until(lambda message: message.get("event") == name).get("body") or {})

    def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        while not wanted(message := self._next()):
            pass
        return message

    def _next(self) -> dict[str, Any]:
        length = 0
        while (line := self._stream.readline().strip()) or not length:
            name, _, value = line.partition(b":")
            assert name, "the debugger's connection has ended"
            length = int(value) if name.lower() == b"content-length" else length
        return dict(json.loads(self._stream.read(length)))

    def attach(self, file: Path, *lines: int) -> None:
        self.ask("initialize", adapterID="test", pathFormat="path", linesStartAt1=True)
        self.send("attach", justMyCode=True)
        self.event("initialized")
        set_ = self.ask("setBreakpoints", source={"path": str(file)}, breakpoints=[{"line": line} for line in lines])
        assert [one["verified"] for one in set_["breakpoints"]] == [True] * len(lines)
        self.ask("configurationDone")

    def stopped_in(self) -> tuple[str, int]:
        """The function and the line at which the app stands now; it goes on."""
        thread = self.event("stopped")["threadId"]
        frame = self.ask("stackTrace", threadId=thread)["stackFrames"][0]
        self.ask("continue", threadId=thread)
        return frame["name"], frame["line"]

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def app(tmp_path: Path) -> Path:
    file = tmp_path / "app" / "function_app.py"
    file.parent.mkdir()
    file.write_text(APP, encoding="utf-8")
    (file.parent / "host.json").write_text('{"version": "2.0"}', encoding="utf-8")
    return file


@pytest.fixture
def debugged(app: Path, tmp_path: Path) -> Iterator[tuple[RunningHost, int]]:
    port = free_port()
    with running(app.parent, tmp_path / "state", LOCAL_DEBUG_PORT=str(port)) as host:
        yield host, port


def line_of(comment: str) -> int:
    return next(number for number, line in enumerate(APP.splitlines(), 1) if line.endswith(f"# {comment}"))


def stops(host: RunningHost, debugger: Debugger, count: int) -> list[tuple[str, int]]:
    with ThreadPoolExecutor(1) as others:
        answer = others.submit(httpx.get, f"{host.api}/begin", timeout=PATIENCE)
        found = [debugger.stopped_in() for _ in range(count)]
        instance = answer.result(PATIENCE)
    assert instance.status_code == 200, host.logs
    return found


def test_a_debugger_stops_in_a_trigger_an_orchestrator_and_an_activity(
    debugged: tuple[RunningHost, int], app: Path
) -> None:
    host, port = debugged
    places = [line_of(f"in the {kind}") for kind in ("trigger", "orchestrator", "activity")]
    debugger = Debugger(port)
    debugger.attach(app, *places)
    found = stops(host, debugger, 4)
    debugger.close()
    # The orchestrator runs again from its beginning when the activity has ended.
    assert found == list(zip(("begin", "doubles", "double", "doubles"), (*places, places[1]), strict=True))


def test_the_next_worker_listens_again(debugged: tuple[RunningHost, int], app: Path) -> None:
    host, port = debugged
    first = Debugger(port)
    first.attach(app, line_of("in the trigger"))
    host.kill_worker()
    first.close()
    second = Debugger(port)
    second.attach(app, line_of("in the trigger"))
    assert stops(host, second, 1) == [("begin", line_of("in the trigger"))]
    second.close()


def test_what_is_no_port_is_refused(app: Path, tmp_path: Path) -> None:
    host = RunningHost(app.parent, tmp_path / "state", LOCAL_DEBUG_PORT="70000")
    with pytest.raises(AssertionError, match="LOCAL_DEBUG_PORT must be a port, 1 to 65535, and is '70000'"):
        host.start()
    host.kill()
    host.http.close()


def test_vs_code_attaches_where_its_task_has_the_worker_listen() -> None:
    launch, tasks = (json.loads((ROOT / ".vscode" / f"{name}.json").read_text("utf-8")) for name in ("launch", "tasks"))
    task = next(one for one in tasks["tasks"] if one["label"] == launch["configurations"][0]["preLaunchTask"])
    port = int(task["options"]["env"]["LOCAL_DEBUG_PORT"])
    assert [one["connect"] for one in launch["configurations"]] == [{"host": "127.0.0.1", "port": port}] * 2
    assert task["problemMatcher"]["background"]["endsPattern"] in (ROOT / "local" / "run.py").read_text("utf-8")
