"""One event loop in a thread of its own, for the whole process: runs `async` functions of a test's app, and serves the
management API to the SDK's client within them.

There is one only because the SDK keeps one HTTP session for the process, which belongs to the loop that opened it.
"""

import asyncio
import atexit
import contextlib
import functools
import secrets
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import uvicorn
from azure.durable_functions.models.utils import http_utils
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from local.functions.connection import Protocol
from local.functions.durable.management import Management
from local.functions.paths import path_of

LOOPBACK = "127.0.0.1"
# Longer than the SDK's client keeps a connection: a server that closes first could cut a request off.
SECONDS_TO_KEEP_CONNECTIONS = 75


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class ServiceLoop:
    def __init__(self) -> None:
        self._management: dict[str, Callable[[], Management]] = {}
        self._loop = asyncio.new_event_loop()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.bind((LOOPBACK, 0))
        config = uvicorn.Config(
            self._answer,
            log_config=None,
            access_log=False,
            lifespan="off",
            loop="none",
            http=Protocol,
            interface="asgi3",
            timeout_keep_alive=SECONDS_TO_KEEP_CONNECTIONS,
        )
        self._server = _Server(config)
        self._thread = threading.Thread(target=self._serve, name="service-loop", daemon=True)
        self._thread.start()
        atexit.register(self._close)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._server.serve([self._socket]))
        session = http_utils._client_session
        if session is not None and not session.closed:
            self._loop.run_until_complete(session.close())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def _close(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=5)

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Runs a coroutine on the loop and waits for it, from any other thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def serve(self, management: Callable[[], Management]) -> tuple[str, str]:
        """An address at which this API is answered, and the token that gives it back."""
        token = secrets.token_urlsafe(12)
        self._management[token] = management
        return f"http://{LOOPBACK}:{self._socket.getsockname()[1]}/{token}", token

    def withdraw(self, token: str) -> None:
        self._management.pop(token, None)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        token, _, rest = path_of(request).lstrip("/").partition("/")
        management = self._management.get(token)
        response = Response(status_code=404)
        if management:
            inner = rest.partition("rpc/")[2] or rest.partition("runtime/webhooks/durabletask/")[2]
            response = await management().answer(request, inner)
        await response(scope, receive, send)


@functools.cache
def service_loop() -> ServiceLoop:
    return ServiceLoop()
