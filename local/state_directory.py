"""The stack's state directory: who uses it, and which ports and processes an earlier start had.

`stack.lock` keeps a second stack out; `stack.json` outlives the stack, so that the next start takes the same ports and
stops what a killed one left running; `endpoints.json` is there while the stack is ready.
"""

import contextlib
import fcntl
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

import psutil

from local.processes import Process
from local.recipes import StackError

SECONDS_BETWEEN_LOOKS = 0.03


class StateInUseError(StackError):
    def __init__(self, state: Path, holder: str) -> None:
        super().__init__(
            f"The state directory {state} is in use by another stack{f' (process {holder})' if holder else ''}. "
            "Stop that one, or choose another directory: make run STATE=DIR"
        )


class StateDirectory:
    """What is kept there between starts, by the one stack that holds the lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: TextIO | None = None

    def take_lock(self) -> None:
        """Keep other stacks out until `release`; StateInUseError when one is there."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = (self.path / "stack.lock").open("a+", encoding="utf-8")
        except OSError as failed:
            raise StackError(
                f"The state directory {self.path} can't be used: {failed.strerror}. Choose another: make run STATE=DIR"
            ) from failed
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip()
            lock.close()
            raise StateInUseError(self.path, holder) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def release(self) -> None:
        """Let another stack have it."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def publish(self, endpoints: dict[str, Any]) -> None:
        """Say where everything is."""
        write_whole(self.path / "endpoints.json", endpoints)

    def withdraw(self) -> None:
        """The stack is not ready, or no longer."""
        (self.path / "endpoints.json").unlink(missing_ok=True)

    def remembered(self, what: str) -> dict[str, Any]:
        """`ports` or `processes` of the latest start."""
        try:
            known = json.loads((self.path / "stack.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return dict(known.get(what, {}))

    def remember(self, ports: Mapping[str, int], processes: Mapping[str, Process]) -> None:
        """The ports, beside those of earlier starts, and the processes that run now."""
        running: dict[str, Any] = {}
        for name, process in processes.items():
            with contextlib.suppress(psutil.NoSuchProcess):
                born = psutil.Process(process.pid).create_time()
                running[name] = {"pid": process.pid, "born": born, "stop": int(process.recipe.stop_signal)}
        known = {"ports": self.remembered("ports") | dict(ports), "processes": running}
        write_whole(self.path / "stack.json", known)

    def stop_left_behind(self, order: Iterable[str], say: Callable[[str], None]) -> None:
        """End what a killed stack left running: it would write to the same files.

        On Linux they have had their signal from the kernel and are given the time to obey: a second one would keep
        Azurite from saving. Elsewhere they get it now.
        """
        left = self.remembered("processes")
        for name in [name for name in order if name in left]:
            noted = left[name]
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(noted["pid"])
                if abs(process.create_time() - noted["born"]) > 2 or has_ended(process):
                    continue  # the number belongs to another process by now, or this one has ended unnoticed
                say(f"waiting for {name}, left behind by a stack that was killed")
                if sys.platform == "linux" and has_ended(process, within=10):
                    continue
                process.send_signal(noted["stop"])
                if not has_ended(process, within=10):
                    process.kill()
                    has_ended(process, within=10)


def has_ended(process: psutil.Process, within: float = 0) -> bool:
    """Whether a process that isn't our child has ended within so many seconds."""
    latest = time.monotonic() + within
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() >= latest:
            return False
        time.sleep(SECONDS_BETWEEN_LOOKS)
    return True


def write_whole(path: Path, content: dict[str, Any]) -> None:
    """A reader sees the old content or the new, never half of it."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    part.replace(path)
