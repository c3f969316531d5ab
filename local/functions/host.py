"""Puts the host together: app, engine, triggers and the HTTP server, on one event loop."""

import asyncio
import contextlib
import logging
import os
import socket
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from azure.functions.http import HttpRequest
from azure.functions.timer import TimerRequest

from local.functions.app import ACTIVITY, ENTITY, HTTP, ORCHESTRATION, TIMER, Function
from local.functions.connection import Protocol
from local.functions.durable.client import Addresses
from local.functions.durable.clock import SystemClock
from local.functions.durable.decisions import HTTP_ACTIVITY
from local.functions.durable.driver import Driver
from local.functions.durable.engine import Engine, Visibility
from local.functions.durable.http_call import call_http
from local.functions.durable.management import Management
from local.functions.durable.store import Store
from local.functions.invoke import Invoker
from local.functions.keys import Keys, StateError
from local.functions.settings import HostSettings, is_disabled, threads_for_functions
from local.functions.timers import Timers
from local.functions.web import RPC_PATH, Web

log = logging.getLogger("host")

LOOPBACK = "127.0.0.1"
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
        functions: list[Function],
        settings: HostSettings,
        keys: Keys,
        state: Path,
        port: int,
        time_scale: float = 1.0,
    ) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((LOOPBACK, port))
        self.base_url = f"http://{LOOPBACK}:{self._socket.getsockname()[1]}"
        self.api = f"{self.base_url}/{settings.route_prefix}".rstrip("/")
        self._settings = settings
        addresses = Addresses(self.base_url, settings.hub_name, keys.system, f"{self.base_url}{RPC_PATH}/{keys.rpc}/")
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
            {one.name: one.call for one in enabled if one.kind == ORCHESTRATION},
            (one.name for one in self._activities.values()),
            self._store,
            default_version=settings.default_version,
            entities={one.name: one.call for one in enabled if one.kind == ENTITY},
            visibility=Visibility(
                settings.control_queue_visibility * time_scale, settings.work_item_queue_visibility * time_scale
            ),
        )
        self._invoker = Invoker(addresses.binding, threads_for_functions(os.environ))
        timed = [one for one in enabled if one.kind == TIMER]
        self._timers = Timers(timed, self._invoker.call_with_retries, state, SystemClock(), os.environ)
        web = Web(
            functions,
            disabled,
            settings,
            keys,
            self._invoker,
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
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({server, stopping}, return_when=asyncio.FIRST_COMPLETED)
        self._server.should_exit = True
        await self._timers.stop()
        await driver.stop()
        await server
        stopping.cancel()
        self._invoker.close()
        self._store.close()

    async def _run_activity(self, name: str, given: Any) -> Any:
        if name == HTTP_ACTIVITY:
            return await call_http(given)
        function = self._activities.get(name.lower())
        if function is None:
            raise LookupError(f"Activity function '{name}' does not exist.")
        return await self._invoker.call(function, given)

    async def _run_by_hand(self, function: Function, given: Any) -> Any:
        """POST /admin/functions/{name}: a timer runs as if it were due, an HTTP function gets the input as its body."""
        if function.kind == TIMER:
            return await self._timers.run_once(function, TimerRequest())
        if function.kind == ORCHESTRATION:
            return self._engine.start(function.name)
        if function.kind == HTTP:
            body = given if isinstance(given, str) else ""
            given = HttpRequest(
                "POST", self.base_url, headers={}, params={}, route_params={}, body_type="string", body=body
            )
        return await self._invoker.call(function, given)
