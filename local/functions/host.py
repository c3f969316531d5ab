"""Puts the host together: app, engine, triggers and the HTTP server, on one event loop."""

import asyncio
import contextlib
import logging
import os
import socket
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from azure.functions.timer import TimerRequest

from local.functions.app import ACTIVITY, ENTITY, HTTP, ORCHESTRATION, TIMER, Function
from local.functions.caller import Caller
from local.functions.calls import RequestParts
from local.functions.connection import Protocol
from local.functions.durable.client import Addresses
from local.functions.durable.clock import SystemClock
from local.functions.durable.decisions import HTTP_ACTIVITY, Failure, Success
from local.functions.durable.driver import Driver
from local.functions.durable.engine import Engine
from local.functions.durable.events import text
from local.functions.durable.http_call import call_http
from local.functions.durable.management import Management
from local.functions.durable.outcomes import failure_of, given_to, result_of
from local.functions.durable.store import Store, Task
from local.functions.durable.visibility import Visibility
from local.functions.keys import Keys, StateError
from local.functions.settings import HostSettings, is_disabled
from local.functions.timers import Timers
from local.functions.web import Web
from local.functions.worker_process import WorkerProcess

log = logging.getLogger("host")

SECONDS_FOR_OPEN_REQUESTS = 1
# What is larger would keep the start waiting.
BYTES_CHECKED_AT_THE_START = 50_000_000
# Longer than the SDK's client keeps a connection: a server that closes first could cut a request off.
SECONDS_TO_KEEP_CONNECTIONS = 75


class Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the command line's business."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.answering.set()

    answering: asyncio.Event


class Host:
    def __init__(
        self,
        worker: WorkerProcess,
        listening: socket.socket,
        settings: HostSettings,
        keys: Keys,
        addresses: Addresses,
        state: Path,
        time_scale: float = 1.0,
    ) -> None:
        self._worker = worker
        self._socket = listening
        self.base_url = addresses.base_url
        self.api = f"{self.base_url}/{settings.route_prefix}".rstrip("/")
        self._settings = settings
        functions = worker.functions()
        self._caller = Caller(worker)
        file = state / "durable.sqlite"
        try:
            self._store = Store(file)
            if file.stat().st_size < BYTES_CHECKED_AT_THE_START:
                self._store.check()
        except sqlite3.DatabaseError as error:
            raise StateError(file, error) from None
        disabled = {one.name for one in functions if is_disabled(one.name, os.environ)}
        enabled = [one for one in functions if one.name not in disabled]
        self._activities = {one.name.lower(): one for one in enabled if one.kind == ACTIVITY}
        self._engine = Engine(
            {one.name: self._caller.orchestrator(one) for one in enabled if one.kind == ORCHESTRATION},
            (one.name for one in self._activities.values()),
            self._store,
            default_version=settings.default_version,
            entities={one.name: self._caller.entity(one) for one in enabled if one.kind == ENTITY},
            visibility=Visibility(
                settings.control_queue_visibility * time_scale, settings.work_item_queue_visibility * time_scale
            ),
        )
        timed = [one for one in enabled if one.kind == TIMER]
        self._timers = Timers(timed, self._caller.call_with_retries, state, SystemClock(), os.environ)
        web = Web(
            functions,
            disabled,
            settings,
            keys,
            self._caller,
            Management(self._engine, addresses),
            lambda: self.base_url,
            self._run_by_hand,
        )
        self._server = Server(
            uvicorn.Config(
                web,
                log_config=None,
                access_log=False,
                lifespan="off",
                interface="asgi3",
                http=Protocol,
                ws="none",
                server_header=False,
                headers=[("Server", "Kestrel")],
                timeout_keep_alive=SECONDS_TO_KEEP_CONNECTIONS,
                timeout_graceful_shutdown=SECONDS_FOR_OPEN_REQUESTS,
            )
        )

    async def serve(self, ready: Callable[[], None], stop: asyncio.Event) -> None:
        """Serves until `stop` is set. `ready` is called once requests are answered."""
        driver = Driver(
            self._engine, self._run_activity, self._settings.most_activities, self._settings.most_orchestrators
        )
        self._server.answering = asyncio.Event()
        server = asyncio.create_task(self._server.serve([self._socket]))
        await self._server.answering.wait()
        driver.start()
        self._timers.start()
        ready()
        loop = asyncio.get_running_loop()
        self._worker.on_exhausted = partial(loop.call_soon_threadsafe, stop.set)
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({server, stopping}, return_when=asyncio.FIRST_COMPLETED)
        self._server.should_exit = True
        await self._timers.stop()
        await driver.stop()
        await server
        stopping.cancel()
        self._worker.stop()
        self._store.close()

    async def _run_activity(self, task: Task) -> Success | Failure:
        if task.name == HTTP_ACTIVITY:
            try:
                return result_of(task, await call_http(given_to(task)))
            except Exception as error:  # noqa: BLE001 - whatever it raises is its outcome
                return failure_of(task.name, error)
        function = self._activities.get(task.name.lower())
        if function is None:
            return failure_of(task.name, LookupError(f"Activity function '{task.name}' does not exist."))
        return await self._caller.activity(function, task)

    async def _run_by_hand(self, function: Function, given: Any) -> Any:
        """POST /admin/functions/{name}: a timer runs as if it were due, an HTTP function gets the input as its body."""
        if function.kind == TIMER:
            return await self._timers.run_once(function, TimerRequest())
        if function.kind == ORCHESTRATION:
            return self._engine.start(function.name)
        if function.kind == HTTP:
            body = given if isinstance(given, str) else ""
            given = RequestParts("POST", self.base_url, {}, {}, {}, body.encode())
        if function.kind == ACTIVITY:
            given = Task(0, "", "", 0, function.name, text([given]))
        return await self._caller.call(function, given)
