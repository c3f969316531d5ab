"""A host in a process of its own, that a test can talk to, kill and start again."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from local.functions.pid_file import WORKER, pid_in

APPS = Path(__file__).parent / "apps"
ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0


class RunningHost:
    def __init__(self, app: Path, state: Path, **environment: str) -> None:
        self._app = app
        self.state = state
        self._environment = environment
        self.port = 0
        self.time_scale = 0.001
        self.log = state.with_suffix(".log")
        self.process: subprocess.Popen[str] | None = None
        self.endpoints: dict[str, str] = {}
        self.http = httpx.Client(timeout=PATIENCE)

    def start(self) -> "RunningHost":
        self._close_output()
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": str(ROOT)} | self._environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, self.log.read_text()
        self.endpoints = json.loads(line)
        self.port = int(self.endpoints["api"].split(":")[2].split("/")[0])
        return self

    def command(self) -> list[str]:
        options = {
            "--script-root": self._app,
            "--port": self.port,
            "--state": self.state,
            "--time-scale": self.time_scale,
        }
        return [sys.executable, "-m", "local.functions", *(str(word) for pair in options.items() for word in pair)]

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> float:
        """Asks it to stop, and says how many seconds that took."""
        begun = time.monotonic()
        self._end(signal.SIGTERM)
        return time.monotonic() - begun

    def _end(self, number: int) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(PATIENCE)
        self._close_output()

    def _close_output(self) -> None:
        if self.process and self.process.stdout:
            self.process.stdout.close()

    @property
    def worker_pid(self) -> int:
        pid = pid_in(self.state / WORKER)
        assert pid is not None
        return pid

    def kill_worker(self) -> None:
        """And waits for the next one."""
        before, patience = self.worker_pid, time.monotonic() + PATIENCE
        os.kill(before, signal.SIGKILL)
        while self.worker_pid == before:
            assert time.monotonic() < patience, self.logs[-4000:]
            time.sleep(0.01)

    def restart(self) -> None:
        self.kill()
        self.start()

    @property
    def api(self) -> str:
        return self.endpoints["api"]

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def logs(self) -> str:
        return self.log.read_text()

    def management(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        params = {"code": self.endpoints["system_key"]} | dict(kwargs.pop("params", {}))
        return self.http.request(method, f"{self.base}/runtime/webhooks/durabletask/{path}", params=params, **kwargs)

    def admin(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        headers = {"x-functions-key": self.endpoints["master_key"]}
        return self.http.request(method, f"{self.base}/admin/{path}", headers=headers, **kwargs)

    def begin(self, name: str, given: Any = None, instance_id: str | None = None) -> str:
        """Starts an orchestration through the app, that is through the SDK's client."""
        params = {"id": instance_id} if instance_id else {}
        answer = self.http.post(f"{self.api}/start/{name}", params=params, json=given)
        assert answer.status_code == 202, f"{answer.status_code} {answer.text} {self.logs}"
        return str(answer.json()["id"])

    def status(self, instance_id: str, **params: str) -> dict[str, Any]:
        answer = self.management("GET", f"instances/{instance_id}", params=params)
        assert answer.status_code in (200, 202), answer.text
        return dict(answer.json())

    def until(self, instance_id: str, *statuses: str) -> dict[str, Any]:
        """Looks until the instance has one of these statuses, by default a final one."""
        wanted = statuses or ("Completed", "Failed", "Terminated")
        patience = time.monotonic() + PATIENCE
        while (status := self.status(instance_id))["runtimeStatus"] not in wanted:
            assert time.monotonic() < patience, f"{status}\n{self.logs[-4000:]}"
            time.sleep(0.01)
        return status

    def result(self, name: str, given: Any = None) -> Any:
        status = self.until(self.begin(name, given))
        assert status["runtimeStatus"] == "Completed", status
        return status["output"]


@contextlib.contextmanager
def running(app: Path, state: Path, **environment: str) -> Iterator[RunningHost]:
    host = RunningHost(app, state, **environment)
    try:
        yield host.start()
    finally:
        host.kill()
        host.http.close()
