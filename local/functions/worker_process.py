"""The host's side of the worker process: starts it, hands it calls, starts it again when it has died.

What dies with it: calls that it had been given fail with WorkerProcessExitException; others wait for the next worker. A
function that exceeds `functionTimeout` takes the worker down, and with it everything that runs there. When a worker has
died three times within half an hour, the host stops itself; the platform (here the stack) starts it anew.
"""

import collections
import logging
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from local.functions.app import Function, LoadError
from local.functions.calls import (
    Call,
    Ended,
    FunctionTimeoutException,
    Loaded,
    NotLoaded,
    Retries,
    Start,
    WorkerProcessExitException,
)
from local.functions.logs import executed
from local.functions.pid_file import note_pid

log = logging.getLogger("host")

ROOT = Path(__file__).resolve().parents[2]
MOST_DEATHS = 3
SECONDS_IN_WHICH_DEATHS_COUNT = 30 * 60.0
SECONDS_BETWEEN_LOOKS = 0.5
MAIN = "import sys; sys.path.insert(0, {root!r}); from local.functions.worker import main; main({descriptor})"


@dataclass(slots=True)
class _Pending:
    call: Call
    future: "Future[Any]"
    begun: float
    deadline: float = float("inf")


class WorkerProcess:
    def __init__(self, start: Start, pid_file: Path, function_timeout: float | None) -> None:
        """`pid_file` is kept up with which process is the worker. `function_timeout`: seconds, None for no limit."""
        self._start = start
        self._pid_file = pid_file
        self._timeout = function_timeout
        self.on_exhausted: Callable[[], object] = lambda: None
        """Called, in another thread, when the worker has died too often."""
        self._changed = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._waiting: collections.deque[_Pending] = collections.deque()
        self._given: dict[str, _Pending] = {}
        self._deaths: collections.deque[float] = collections.deque()
        self._first: Loaded | NotLoaded | None = None
        self._timed_out = False
        self._stopped = False
        pid_file.unlink(missing_ok=True)
        threading.Thread(target=self._keep, name="worker", daemon=True).start()

    def functions(self) -> list[Function]:
        """Those of the app, once they are loaded. LoadError says why they can't be."""
        with self._changed:
            self._changed.wait_for(lambda: self._first is not None)
        if isinstance(self._first, Loaded):
            return self._first.functions
        raise LoadError(self._first.message if self._first else "")

    def submit(
        self,
        function: Function,
        given: Any,
        headers: Mapping[str, str] | None = None,
        retries: Retries | None = None,
    ) -> "Future[Any]":
        """Has a function called. The future can't be cancelled."""
        call = Call(str(uuid.uuid4()), function.kind, function.name, given, headers or {}, retries or Retries())
        pending = _Pending(call, Future(), time.perf_counter())
        pending.future.set_running_or_notify_cancel()
        with self._changed:
            self._waiting.append(pending)
            self._changed.notify_all()
        return pending.future

    def stop(self) -> None:
        """Ends the worker, whatever runs in it."""
        with self._changed:
            self._stopped = True
            if self._process:
                self._process.kill()
            self._changed.notify_all()
        self._pid_file.unlink(missing_ok=True)

    # --- the life of workers ------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        while not self._stopped:
            process, connection = self._spawn()
            if self._load(process, connection):
                sender = threading.Thread(target=self._send, args=(connection,), name="calls", daemon=True)
                sender.start()
                self._receive(connection)
                with self._changed:
                    self._ready = False
                    self._changed.notify_all()
                sender.join()
            connection.close()
            process.kill()
            self._bury(process, process.wait())

    def _spawn(self) -> "tuple[subprocess.Popen[bytes], Connection[Any, Any]]":
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-c", MAIN.format(root=str(ROOT), descriptor=theirs.fileno())]
            with self._changed:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(), pass_fds=(theirs.fileno(),)
                )
                self._process = process
                if self._stopped:
                    process.kill()
        return process, Connection(ours.detach())

    def _load(self, process: "subprocess.Popen[bytes]", connection: "Connection[Any, Any]") -> bool:
        """Whether the worker has loaded the app."""
        try:
            connection.send(self._start)
            loaded = connection.recv()
        except (EOFError, OSError):
            loaded = NotLoaded(f"The worker ended with code {process.wait()} while it loaded {self._start.script_root}")
        with self._changed:
            self._ready = isinstance(loaded, Loaded)
            if self._ready and not self._stopped:
                note_pid(self._pid_file, process.pid)
            elif self._first is not None:
                log.error("%s", loaded.message)
            self._first = self._first or loaded
            if isinstance(self._first, NotLoaded):
                self._stopped = True
            self._changed.notify_all()
        return self._ready

    def _bury(self, process: "subprocess.Popen[bytes]", code: int) -> None:
        """What the dead worker had been given fails; it is started again, unless it has died too often."""
        if self._stopped:
            return
        error = WorkerProcessExitException.of(code)
        if not self._timed_out:
            log.error("Language Worker Process exited. Pid=%d.\n%s", process.pid, error)
        with self._changed:
            given, self._given = self._given, {}
        for pending in given.values():
            self._fail(pending, error)
        if self._timed_out:
            self._timed_out = False
            return
        now = time.monotonic()
        if self._deaths and now - self._deaths[-1] > SECONDS_IN_WHICH_DEATHS_COUNT:
            self._deaths.clear()
        self._deaths.append(now)
        if len(self._deaths) >= MOST_DEATHS:
            log.error(
                "Exceeded language worker restart retry count for runtime:python. Shutting down and proactively "
                "recycling the Functions Host to recover"
            )
            self._stopped = True
            self.on_exhausted()

    # --- calls --------------------------------------------------------------------------------------------------------

    def _send(self, connection: "Connection[Any, Any]") -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or not self._ready)
                if not self._ready:
                    return
                pending = self._waiting.popleft()
                self._given[pending.call.id] = pending
                if self._timeout is not None:
                    pending.deadline = time.monotonic() + self._timeout
            try:
                connection.send(pending.call)
            except OSError:
                return  # the worker has died; who receives will notice
            except Exception as error:  # noqa: BLE001 - what can't be sent fails its own call, no other
                self._given.pop(pending.call.id, None)
                self._fail(pending, error)

    def _receive(self, connection: "Connection[Any, Any]") -> None:
        """Until the worker has died, or must."""
        try:
            while True:
                while not connection.poll(SECONDS_BETWEEN_LOOKS):
                    if self._too_long():
                        return
                ended: Ended = connection.recv()
                pending = self._given.pop(ended.id, None)
                if pending is None:
                    continue
                if ended.error is None:
                    pending.future.set_result(ended.value)
                else:
                    pending.future.set_exception(ended.error)
                if self._timeout is not None and self._too_long():
                    return
        except (EOFError, OSError):
            return

    def _too_long(self) -> bool:
        """Whether a function has exceeded its time; its call has failed then, and the worker must go."""
        with self._changed:
            pending = next(iter(self._given.values()), None)
        if pending is None or time.monotonic() < pending.deadline:
            return False
        name, limit = pending.call.name, span_of(self._timeout or 0)
        log.error(
            "Timeout value of %s exceeded by function 'Functions.%s' (Id: '%s'). Initiating cancellation.",
            limit,
            name,
            pending.call.id,
        )
        self._given.pop(pending.call.id, None)
        self._timed_out = True
        self._fail(
            pending, FunctionTimeoutException(f"Timeout value of {limit} was exceeded by function: Functions.{name}")
        )
        return True

    def _fail(self, pending: _Pending, error: Exception) -> None:
        words = executed(pending.call.name, "Failed", pending.call.id, pending.begun)
        log.error("%s\n%s: %s", words, type(error).__name__, error)
        pending.future.set_exception(error)


def span_of(seconds: float) -> str:
    """As .NET writes a time span."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{rest:02d}"
