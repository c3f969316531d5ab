"""The local stack: Azurite, the ARM stand-in and the Functions host, started, watched and stopped together.

    python -m local.stack [--state DIR] [--port N] [--time-scale X] ...

prints its endpoints as one JSON line when it is ready and serves until SIGINT or SIGTERM. In tests:

    with Stack(tmp_path, time_scale=0.01) as stack:
        httpx.get(stack.endpoints["api"] + "/health/live")

All processes are started, watched and stopped by one thread, the keeper: on Linux the leash that ends them with the
stack (local.leash) is held by the thread that started them. One that dies is started again with the same port and
state. A process that an earlier, killed stack left behind is stopped before anything is started (local.state_directory).
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from local.functions.pid_file import WORKER, pid_in
from local.options import add_options
from local.processes import LOOPBACK, NotReadyError, Process, Recipe, free_port, is_free, keep_one_older
from local.recipes import (
    ACCOUNT,
    ROOT,
    StackError,
    app_settings,
    azure_recipe,
    azurite_recipe,
    core_tools_recipe,
    functions_recipe,
    path_of_core_tools,
    tables_connection_string,
    tables_proxy_recipe,
)
from local.state_directory import SECONDS_BETWEEN_LOOKS, StateDirectory

SECONDS_TO_START_ALL = 120
LONGEST_PAUSE_BEFORE_A_RESTART = 5.0

Endpoints = dict[str, Any]


class StoppedError(StackError):
    def __init__(self) -> None:
        super().__init__("The stack was stopped before it was ready.")


# --- one process under watch ------------------------------------------------------------------------------------------


@dataclass
class Service:
    """A process that the keeper starts when those it needs are ready, and starts again when it has died."""

    name: str
    recipe: Callable[[], Recipe]
    needs: tuple[str, ...] = ()
    port_may_change: bool = True
    process: Process | None = None
    has_been_ready: bool = False
    failures: int = 0
    not_before: float = field(default=0.0)

    @property
    def ready(self) -> bool:
        return self.process is not None and self.process.announced is not None and self.process.alive

    @property
    def announced(self) -> dict[str, Any]:
        return (self.process.announced if self.process is not None else None) or {}


# --- the stack --------------------------------------------------------------------------------------------------------


class Stack:
    """A running local Azure with the app on it. Enter it, use its `endpoints`, leave it: nothing stays behind."""

    def __init__(
        self,
        state: Path,
        *,
        time_scale: float = 0.02,
        port: int | None = None,
        script_root: Path = ROOT,
        settings: Mapping[str, str] | None = None,
        gateway_limit: int | None = None,
        hubs: Path | None = None,
        tables_proxy: bool = False,
        core_tools: bool = False,
        say: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.state = state.absolute()
        self.time_scale = time_scale
        self.port = port
        self.script_root = script_root.absolute()
        self.settings = dict(settings or {})
        self.gateway_limit = gateway_limit
        self.hubs = hubs
        self.core_tools = core_tools
        self.say = say
        self.endpoints: Endpoints = {}

        self._ports: dict[str, int] = {}
        self._told: dict[str, Any] = {}  # what the host knows of the stand-in
        # In the order of their start. They are stopped in the order of `_stop_order`.
        self._services = {"azurite": Service("azurite", self._azurite), "azure": Service("azure", self._azure)}
        needed: tuple[str, ...] = ("azurite", "azure")
        if tables_proxy:
            self._services["tables_proxy"] = Service("tables_proxy", self._tables_proxy, needs=("azurite",))
            needed += ("tables_proxy",)
        self._services["functions"] = Service("functions", self._functions, needs=needed, port_may_change=port is None)
        self._stop_order = ("functions", "tables_proxy", "azure", "azurite")

        self._directory = StateDirectory(self.state)
        self._keeper: threading.Thread | None = None
        self._changed = threading.Condition()
        self._is_up = False
        self._ended = False
        # A plain flag, because a signal handler sets it: an Event's lock could be held by the thread it interrupts.
        self._stop_asked = False
        self._failure: BaseException | None = None

    # --- for its users

    def __enter__(self) -> Self:
        if not self._is_up:
            self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Return when everything is ready; otherwise raise, with nothing left running."""
        if self.core_tools:
            path_of_core_tools()
        self._directory.take_lock()
        try:
            self._keeper = threading.Thread(target=self._keep, name="stack-keeper", daemon=True)
            self._keeper.start()
            with self._changed:
                self._changed.wait_for(lambda: self._is_up or self._ended)
        except BaseException:
            self.stop()
            raise
        if not self._is_up:
            self.stop()
            raise self._failure or StoppedError()

    def ask_to_stop(self) -> None:
        """Begin to stop, from any thread or signal handler; `start` and `serve` return soon after."""
        self._stop_asked = True

    def serve(self) -> None:
        """Return when the stack has been asked to stop and has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended)
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """The host first, then the stand-in, then Azurite; each is waited for. Can be called again."""
        self._stop_asked = True
        if self._keeper is not None:
            self._keeper.join()
            self._keeper = None
        self._directory.release()

    @property
    def stopping(self) -> bool:
        return self._stop_asked or self._ended

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    def pid(self, name: str) -> int:
        return int(self.endpoints["pids"][name])

    def kill(self, name: str) -> int:
        """End one of the processes as a crash would; its old pid. Never Azurite: it would lose writes."""
        if name == "azurite":
            raise ValueError("Azurite loses acknowledged writes when it is killed: kill the host or the stand-in")
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_until_restarted(self, name: str, old_pid: int, seconds: float = 60) -> int:
        """The new pid, once the process that had `old_pid` is ready again."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._ended or self.pid(name) != old_pid, seconds) or self._ended:
                raise StackError(f"{name} was not started again within {seconds:g} s (logs: {self.logs})")
            return self.pid(name)

    def restart(self, name: str, seconds: float = 60) -> int:
        """Kill it and wait until it is back."""
        return self.wait_until_restarted(name, self.kill(name), seconds)

    # --- recipes, with what is known by the time they are asked for

    def _url(self, name: str) -> str:
        return f"http://{LOOPBACK}:{self._ports[name]}"

    def _azurite(self) -> Recipe:
        others = (self._port("blob"), self._port("queue")) if self.core_tools else None
        return azurite_recipe(self.state / "azurite", self._port("azurite"), blob_and_queue=others)

    def _tables_proxy(self) -> Recipe:
        return tables_proxy_recipe(self._port("tables_proxy"), self._url("azurite"))

    def _azure(self) -> Recipe:
        port = self._port("azure")
        return azure_recipe(self.state / "azure", port, self.time_scale, self.gateway_limit, self.hubs)

    def _functions(self) -> Recipe:
        tables = tables_connection_string(self._url("tables_proxy" if "tables_proxy" in self._services else "azurite"))
        self._told = self._services["azure"].announced
        settings = app_settings(self._told, tables, self.time_scale, self.hubs) | self.settings
        if not self.core_tools:
            state, port = self.state / "functions", self._port("functions")
            return functions_recipe(state, port, self.script_root, settings, self.time_scale)
        storage = tables_connection_string(self._url("azurite")) + "".join(
            f"{service.title()}Endpoint={self._url(service)}/{ACCOUNT};" for service in ("blob", "queue")
        )
        return core_tools_recipe(self._port("functions"), self.script_root, settings, storage)

    def _port(self, name: str) -> int:
        """The port of an earlier start with this state where it is free, so that noted addresses stay good."""
        if name not in self._ports:
            remembered = self._directory.remembered("ports").get(name)
            if name == "functions" and self.port is not None:
                if not is_free(self.port):
                    raise StackError(f"Port {self.port} is taken. Choose another: make run PORT=n, or leave it out.")
                self._ports[name] = self.port
            elif isinstance(remembered, int) and is_free(remembered):
                self._ports[name] = remembered
            else:
                self._ports[name] = next(port for port in iter(free_port, None) if port not in self._ports.values())
        return self._ports[name]

    # --- the keeper

    def _keep(self) -> None:
        try:
            self._directory.stop_left_behind(self._stop_order, self.say)
            self._directory.withdraw()
            if self.port is not None:  # a taken one is refused before anything is started
                self._port("functions")
            for name in self._services:
                keep_one_older(self.logs / f"{name}.log")
            latest = time.monotonic() + SECONDS_TO_START_ALL
            while not self._stop_asked:
                for service in self._services.values():
                    self._look_after(service)
                if all(service.ready for service in self._services.values()):
                    self._publish()
                elif not self._is_up and not self.core_tools and time.monotonic() > latest:
                    raise StackError(f"The stack was not ready within {SECONDS_TO_START_ALL} s (logs: {self.logs})")
                time.sleep(SECONDS_BETWEEN_LOOKS)
        except (NotReadyError, OSError) as failed:
            self._failure = StackError(str(failed))
        except BaseException as failure:  # noqa: BLE001  handed to the thread that waits in start() or serve()
            self._failure = failure
        finally:
            try:
                self._stop_all()
            finally:
                self._announce_the_end()

    def _announce_the_end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _look_after(self, service: Service) -> None:
        """One look at one service: start it, hear whether it is ready, or note that it has died."""
        if service.process is None:
            if time.monotonic() >= service.not_before and all(self._services[name].ready for name in service.needs):
                service.process = Process.start(service.recipe(), self.logs)
                self._remember()
            return
        if service.process.announced is not None:
            if not service.process.alive:
                self.say(f"{service.name} has ended (code {service.process.popen.returncode}); starting it again")
                self._bury(service, pause=0)
            return
        try:
            if service.process.became_ready():
                service.has_been_ready, service.failures = True, 0
                if service.name == "azure":
                    self._restart_host_told_otherwise()
        except NotReadyError as failed:
            service.failures += 1
            if not service.has_been_ready and not self._port_was_taken(service):
                raise
            self.say(f"{service.name} did not start, trying again: {failed.reason}")
            self._bury(service, pause=min(0.1 * 2**service.failures, LONGEST_PAUSE_BEFORE_A_RESTART))

    def _bury(self, service: Service, pause: float) -> None:
        if service.process is not None:
            service.process.stop()
        service.process = None
        service.not_before = time.monotonic() + pause

    def _port_was_taken(self, service: Service) -> bool:
        """Another process got the port between our choice and the start: another one is chosen, a few times."""
        if not service.port_may_change or service.failures > 3 or is_free(self._ports[service.name]):
            return False
        del self._ports[service.name]
        return True

    def _restart_host_told_otherwise(self) -> None:
        """A stand-in that comes back with another key or certificate needs a host that knows them."""
        host = self._services["functions"]
        if host.process is not None and self._told != self._services["azure"].announced:
            self.say("the stand-in has come back with other endpoints; starting the host again")
            self._bury(host, pause=0)

    def _publish(self) -> None:
        """Write `endpoints.json` when it isn't what is running now."""
        running = {name: service.process.pid for name, service in self._services.items() if service.process}
        if not self.core_tools:
            # The host starts and watches its worker itself; without one it is about to end.
            worker = pid_in(self.state / "functions" / WORKER)
            if worker is None:
                return
            running["worker"] = worker
        if running == self.endpoints.get("pids"):
            return
        azure, host = self._services["azure"].announced, self._services["functions"].announced
        endpoints: Endpoints = {key: host[key] for key in ("api", "function_key", "system_key", "master_key")}
        endpoints |= {
            key: azure[key] for key in ("arm", "ca", "identity_endpoint", "identity_header", "subscription_id")
        }
        endpoints["tables"] = tables_connection_string(self._url("azurite"))
        if "tables_proxy" in self._services:
            endpoints["tables_faults"] = self._services["tables_proxy"].announced["faults"]
        endpoints["pids"] = {
            name: running[name] for name in ("functions", "worker", *self._stop_order) if name in running
        }
        self._directory.publish(endpoints)
        with self._changed:
            self.endpoints, self._is_up = endpoints, True
            self._changed.notify_all()

    def _stop_all(self) -> None:
        for name in self._stop_order:
            service = self._services.get(name)
            if service is not None and service.process is not None:
                service.process.stop()
                service.process = None
        if self.state.is_dir():  # a test may have removed it
            self._directory.withdraw()
            self._remember()

    def _remember(self) -> None:
        running = {name: service.process for name, service in self._services.items() if service.process is not None}
        self._directory.remember(self._ports, running)


@contextlib.contextmanager
def stopping_on_signals(stack: Stack) -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP ask the stack to stop, at whatever point it is."""

    def ask(number: int, frame: FrameType | None) -> None:
        stack.ask_to_stop()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stack_from(options: argparse.Namespace, say: Callable[[str], None]) -> Stack:
    return Stack(
        options.state,
        time_scale=options.time_scale,
        port=options.port,
        settings=dict(options.settings),
        gateway_limit=options.gateway_limit,
        hubs=options.hubs,
        tables_proxy=options.tables_proxy,
        core_tools=options.func,
        say=say,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local.stack", description="The local Azure with the app on it.")
    add_options(parser)
    parser.add_argument("--script-root", type=Path, default=ROOT, help="the function app (default: this one)")
    options = parser.parse_args()
    stack = stack_from(options, say=lambda message: print(message, file=sys.stderr, flush=True))
    stack.script_root = options.script_root.absolute()
    with stopping_on_signals(stack):
        try:
            with stack:
                print(json.dumps(stack.endpoints), flush=True)
                stack.serve()
        except StoppedError:
            return 0
        except StackError as failed:
            print(failed, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
