"""One process of the stack: started on a leash, known to be ready, stopped by its own signal."""

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LEASH = Path(__file__).with_name("leash.py")
LOOPBACK = "127.0.0.1"
# Below the range from which the system takes the source ports of outgoing connections, so that no other process gets a port
# of ours in the moment between the end of a process and its next start.
PORTS = range(20_000, 32_000)


class NotReadyError(Exception):
    """A process ended, or kept silent, before it was ready."""

    def __init__(self, name: str, reason: str, log: Path) -> None:
        self.name, self.reason, self.log = name, reason, log
        super().__init__(f"{name} did not start: {reason}\n{last_lines(log)}\n(log: {log})")


@dataclass(frozen=True)
class Recipe:
    """How a process is started, recognised as ready, and stopped."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    directory: Path
    # What its standard output so far says about its readiness: None for "not yet".
    ready: Callable[[str], dict[str, Any] | None]
    # Whether that output holds keys, which are taken out of the log folder once they have been read.
    announces_keys: bool = False
    stop_signal: signal.Signals = signal.SIGTERM
    seconds_to_start: float = 60
    seconds_to_stop: float = 5


@dataclass
class Process:
    """A running recipe. All calls come from one thread: on Linux, the one that started a process holds its leash."""

    recipe: Recipe
    logs: Path
    popen: subprocess.Popen[bytes]
    started: float
    announced: dict[str, Any] | None = field(default=None)

    @classmethod
    def start(cls, recipe: Recipe, logs: Path) -> "Process":
        logs.mkdir(parents=True, exist_ok=True)
        leash = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), str(int(recipe.stop_signal))]
        output = logs / f"{recipe.name}.out"
        output.unlink(missing_ok=True)
        with output.open("ab") as out, (logs / f"{recipe.name}.log").open("ab") as err:
            popen = subprocess.Popen(
                [*leash, *recipe.command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=recipe.directory,
                env=dict(recipe.environment),
                process_group=0,
            )
        return cls(recipe, logs, popen, time.monotonic())

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def alive(self) -> bool:
        return self.popen.poll() is None

    @property
    def log(self) -> Path:
        return self.logs / f"{self.recipe.name}.log"

    def became_ready(self) -> bool:
        """Whether it has said so by now. NotReadyError when it has ended or has had its time."""
        if self.announced is not None:
            return True
        output = self.logs / f"{self.recipe.name}.out"
        self.announced = self.recipe.ready(output.read_text(encoding="utf-8", errors="replace"))
        if self.announced is not None:
            if self.recipe.announces_keys:
                os.truncate(output, 0)
            return True
        if not self.alive:
            raise NotReadyError(self.recipe.name, f"it ended with code {self.popen.returncode}", self.log)
        if time.monotonic() - self.started > self.recipe.seconds_to_start:
            raise NotReadyError(self.recipe.name, f"nothing heard for {self.recipe.seconds_to_start:.0f} s", self.log)
        return False

    def stop(self) -> None:
        """Ask, wait, then insist. What it started itself ends with it."""
        if self.alive:
            self.popen.send_signal(self.recipe.stop_signal)
            try:
                self.popen.wait(self.recipe.seconds_to_stop)
            except subprocess.TimeoutExpired:
                self.popen.kill()
        self.sweep()
        self.popen.wait()

    def sweep(self) -> None:
        """End the rest of the process group: workers that outlived their parent."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # nobody left; macOS says EPERM for a group of zombies
            return


def json_line_with(key: str) -> Callable[[str], dict[str, Any] | None]:
    """Ready when our own program has printed its line of JSON, known by one of its keys."""

    def ready(said: str) -> dict[str, Any] | None:
        for line in said.splitlines(keepends=True):
            if line.startswith("{") and line.endswith("\n") and key in (spoken := json.loads(line)):
                return dict(spoken)
        return None

    return ready


def words(phrase: str) -> Callable[[str], dict[str, Any] | None]:
    """Ready when the phrase has been printed."""
    return lambda said: {} if phrase in said else None


def last_lines(log: Path, count: int = 20) -> str:
    if not log.exists():
        return "(it wrote no log)"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]
    return "\n".join(f"    {line}" for line in lines) or "(its log is empty)"


def keep_one_older(log: Path) -> None:
    if log.exists() and log.stat().st_size:
        shutil.move(log, log.with_suffix(".log.1"))


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    for port in random.sample(PORTS, k=1_000):
        if is_free(port):
            return port
    raise OSError(f"no free port found between {PORTS.start} and {PORTS.stop}")


@contextlib.contextmanager
def running(recipe: Recipe, logs: Path) -> Iterator[Process]:
    """A process of its own, without a stack: ready on entry, gone on exit."""
    process = Process.start(recipe, logs)
    try:
        while not process.became_ready():
            time.sleep(0.02)
        yield process
    finally:
        process.stop()
