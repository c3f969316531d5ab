"""How busy the cores are while something is measured, and how much memory its processes take."""

import contextlib
import threading
import time
from types import TracebackType
from typing import Self

import psutil

from local.stack import Stack

SECONDS_BETWEEN_LOOKS = 0.2


class Load:
    """Watches the processes of a stack from `with` to its end.

    stack: share of all cores that the stack's processes used.  machine: share that everybody used, the benchmark and
    whatever else ran included; a machine that was busy otherwise disturbs the figures.  host_megabytes: the most that
    the Functions host and its worker held together.
    """

    def __init__(self, stack: Stack) -> None:
        pids = stack.endpoints["pids"]
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.seconds = 0.0
        self.stack = 0.0
        self.machine = 0.0
        self.host_megabytes = 0.0
        self.cpu_seconds: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._begun = time.monotonic()
        self._before = {name: _cpu(process) for name, process in self._processes.items()}
        self._machine_before = psutil.cpu_times()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self.seconds = time.monotonic() - self._begun
        cores = psutil.cpu_count() or 1
        for name, process in self._processes.items():
            self.cpu_seconds[name] = _cpu(process) - self._before[name]
        self.stack = sum(self.cpu_seconds.values()) / self.seconds / cores
        now, before = psutil.cpu_times(), self._machine_before
        total = sum(now) - sum(before)
        idle = (now.idle - before.idle) + (getattr(now, "iowait", 0.0) - getattr(before, "iowait", 0.0))
        self.machine = 1 - idle / total if total else 0.0

    def _watch(self) -> None:
        while True:
            with contextlib.suppress(psutil.NoSuchProcess):
                host = (self._processes[name] for name in ("functions", "worker") if name in self._processes)
                held = sum(process.memory_info().rss for process in host) / 2**20
                self.host_megabytes = max(self.host_megabytes, held)
            if self._ended.wait(SECONDS_BETWEEN_LOOKS):
                return


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system
