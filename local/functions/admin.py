"""What the host says of itself: GET /, GET /admin/host/status, GET /admin/functions, POST /admin/functions/{name}.

As under `func start`, the admin API asks for no key: only the loopback interface is served. A key that is given must
be the master key.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from local.functions.app import HTTP, Function

HOME = """<!DOCTYPE html>
<html><head><title>Your Functions app is up and running</title></head>
<body><h1>Your Functions app is up and running</h1><ul>{functions}</ul></body></html>
"""


class Admin:
    def __init__(
        self,
        functions: list[Function],
        disabled: set[str],
        paths: dict[str, str],
        base_url: Callable[[], str],
        run: Callable[[Function, Any], Awaitable[Any]],
    ) -> None:
        """`paths` are those of the HTTP functions; `run` invokes a function by hand."""
        self._functions = functions
        self._disabled = disabled
        self._paths = paths
        self._base_url = base_url
        self._run = run
        self._started = time.monotonic()
        self._running: set[asyncio.Future[Any]] = set()

    def home(self) -> Response:
        rows = (f"<li>{one.name}: {one.kind} {self._paths.get(one.name, '')}</li>" for one in self._functions)
        return HTMLResponse(HOME.format(functions="".join(rows)))

    async def answer(self, request: Request, path: str) -> Response:
        parts = path.lower().strip("/").split("/")[1:]
        if request.method == "GET" and parts == ["host", "status"]:
            return JSONResponse(self._status())
        if request.method == "GET" and parts == ["functions"]:
            return JSONResponse([self._description(one) for one in self._functions])
        if len(parts) == 2 and parts[0] == "functions":
            function = next((one for one in self._functions if one.name.lower() == parts[1]), None)
            if function and request.method == "GET":
                return JSONResponse(self._description(function))
            if function and request.method == "POST":
                return await self._invoke(function, await request.body())
        return Response(status_code=404)

    def _status(self) -> dict[str, Any]:
        return {
            "id": "local",
            "state": "Running",
            "version": "4.0.0",
            "versionDetails": "local",
            "platformVersion": "",
            "instanceId": "local",
            "computerName": "local",
            "processUptime": int((time.monotonic() - self._started) * 1000),
            "functionAppContentEditingState": "NotAllowed",
        }

    def _description(self, function: Function) -> dict[str, Any]:
        path = self._paths.get(function.name)
        return {
            "name": function.name,
            "href": f"{self._base_url()}/admin/functions/{function.name}",
            "invoke_url_template": f"{self._base_url()}/{path}" if path is not None else None,
            "language": "python",
            "isDisabled": function.name in self._disabled,
            "isDirect": function.kind == HTTP,
            "config": {"name": function.name, "scriptFile": "function_app.py", "bindings": function.bindings},
        }

    async def _invoke(self, function: Function, body: bytes) -> Response:
        """Accepted at once, run in the background. The body is `{"input": ...}`, or nothing."""
        try:
            document = json.loads(body) if body.strip() else {}
        except ValueError:
            return Response(status_code=400)
        given = document.get("input") if isinstance(document, dict) else None
        running = asyncio.ensure_future(self._run(function, given))
        self._running.add(running)
        running.add_done_callback(self._done)
        return Response(status_code=202)

    def _done(self, running: "asyncio.Future[Any]") -> None:
        self._running.discard(running)
        if not running.cancelled():
            running.exception()  # logged where it was raised
