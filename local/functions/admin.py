"""What the host says of itself: GET / and /admin/, as the real host's controllers have it.

All of /admin/ but the ping needs the master key. What the real host can and this one can't is 501, with that key.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from local.functions.app import Function
from local.functions.keys import SYSTEM_KEY_NAME, Keys

HOME = """<!DOCTYPE html>
<html><head><title>Your Functions app is up and running</title></head>
<body><h1>Your Functions app is up and running</h1><ul>{functions}</ul></body></html>
"""
# The version of the real host whose answers these are.
VERSION = "4.1037.0.0"
BUNDLE = {"id": "Microsoft.Azure.Functions.ExtensionBundle", "version": "4.38.0"}
JSON_TYPES = ("application/json", "text/json")
ONLY_IN_AZURE = {
    ("GET", "host/processes"),
    ("POST", "host/drain"),
    ("POST", "host/resume"),
    ("POST", "host/restart"),
    ("POST", "host/synctriggers"),
    ("POST", "host/log"),
    ("POST", "host/debug"),
    ("POST", "host/scale/status"),
    ("PUT", "host/state"),
    ("GET", "functions/download"),
    *((method, "host/extensions") for method in ("GET", "POST", "PUT")),
    ("DELETE", "host/extensions/*"),
    ("GET", "host/extensions/jobs"),
    ("GET", "host/extensions/jobs/*"),
    ("GET", "host/extensionbundle/v1/*"),
    ("GET", "instance/info"),
    ("POST", "instance/assign"),
    ("POST", "pod/assign"),
    ("PUT", "functions/*"),
    ("DELETE", "functions/*"),
    *(
        (method, f"host/{scope}/*")
        for method in ("POST", "PUT", "DELETE")
        for scope in ("keys", "functionkeys", "systemkeys")
    ),
    *((method, "functions/*/keys/*") for method in ("POST", "PUT", "DELETE")),
}


FILES = ("vfs", "zip")


@dataclass(frozen=True)
class AdminAnswer:
    make: Callable[[Request], Awaitable[Response]]
    is_open: bool = False
    """Whether it needs no key."""

    async def __call__(self, request: Request) -> Response:
        return await self.make(request)


def reply(document: Any) -> Response:
    return Response(json.dumps(document, ensure_ascii=False), media_type="application/json; charset=utf-8")


class Admin:
    def __init__(
        self,
        functions: list[Function],
        disabled: set[str],
        paths: dict[str, str],
        keys: Keys,
        options: dict[str, Any],
        base_url: Callable[[], str],
        run: Callable[[Function, Any], Awaitable[Any]],
    ) -> None:
        """`paths` are those of the HTTP functions; `run` invokes a function by hand."""
        self._functions = {one.name.lower(): one for one in sorted(functions, key=lambda one: one.name)}
        self._disabled = disabled
        self._paths = paths
        self._keys = keys
        self._options = options
        self._base_url = base_url
        self._run = run
        self._started = time.monotonic()
        self._running: set[asyncio.Future[Any]] = set()

    def home(self) -> Response:
        functions = self._functions.values()
        rows = (f"<li>{one.name}: {one.kind} {self._paths.get(one.name, '')}</li>" for one in functions)
        return Response(HOME.format(functions="".join(rows)), headers={"content-type": "text/html"})

    def find(self, method: str, parts: list[str]) -> AdminAnswer | None:
        """What answers at /admin/ and these parts of a path; None when the real host has no such route either."""
        found = self._host(method, [part.lower() for part in parts[:2]] + parts[2:])
        if found is None and parts[:1] and parts[0].lower() == "functions":
            found = self._of_functions(method, parts[1:])
        if found is None and _is_only_in_azure(method, parts):
            return AdminAnswer(_not_here)
        return found

    def _host(self, method: str, parts: list[str]) -> AdminAnswer | None:
        match method, parts:
            case ("GET" | "POST", ["host", "ping"]) | ("GET", ["instance", "http-health"]):
                return AdminAnswer(_ping, is_open=True)
            case "GET", ["host", "status"]:
                return self._says(self._status)
            case "GET", ["host", "config"]:
                return AdminAnswer(self._config)
            case "GET", ["host", "drain", status] if status.lower() == "status":
                return self._says(lambda: {"state": "Disabled", "outstandingInvocations": 0, "outstandingRetries": 0})
            case "GET", ["host", "keys" | "functionkeys", *name]:
                return self._key(name, {"default": self._keys.function})
            case "GET", ["host", "systemkeys", *name]:
                keys = {SYSTEM_KEY_NAME: self._keys.system}
                return self._key(name, keys | ({"_master": self._keys.master} if name else {}))
        return None

    def _of_functions(self, method: str, parts: list[str]) -> AdminAnswer | None:
        if not parts:
            return AdminAnswer(self._list) if method == "GET" else None
        function = self._functions.get(parts[0].lower())
        match method, [part.lower() for part in parts[1:2]]:
            case "GET", [] if parts[0].lower() != "download":
                return self._says(lambda: function and self._description(function, self._base_url()))
            case "POST", []:
                return AdminAnswer(lambda request: self._invoke(request, function))
            case "GET", ["status"] if len(parts) == 2:
                return self._says(lambda: None if function is None else {})
            case "GET", ["keys"]:
                return self._key(parts[2:], {"default": self._keys.of_function(function.name)} if function else None)
        return None

    def _says(self, document: Callable[[], Any]) -> AdminAnswer:
        """A document, None for 404."""

        async def make(_request: Request) -> Response:
            found = document()
            return Response(status_code=404) if found is None else reply(found)

        return AdminAnswer(make)

    def _key(self, name: list[str], keys: dict[str, str] | None) -> AdminAnswer | None:
        """All keys, or the one of a name."""
        if len(name) > 1:
            return None

        async def make(request: Request) -> Response:
            if keys is None or (name and name[0] not in keys):
                return Response(status_code=404)
            found: dict[str, Any] = {"keys": [{"name": one, "value": keys[one]} for one in keys]}
            if name:
                found = {"name": name[0], "value": keys[name[0]]}
            return reply(found | {"links": [{"rel": "self", "href": str(request.url.replace(query=""))}]})

        return AdminAnswer(make)

    async def _config(self, _request: Request) -> Response:
        return PlainTextResponse(json.dumps(self._options, indent=2))

    def _status(self) -> dict[str, Any]:
        return {
            "id": "local",
            "state": "Running",
            "version": VERSION,
            "versionDetails": f"{VERSION} (local)",
            "platformVersion": "",
            "instanceId": "",
            "computerName": "",
            "processUptime": int((time.monotonic() - self._started) * 1000),
            "functionAppContentEditingState": "Unknown",
            "extensionBundle": BUNDLE,
        }

    async def _list(self, _request: Request) -> Response:
        """All functions, by name. The real host writes https into this list, whatever it was asked by."""
        secure = self._base_url().replace("http://", "https://", 1)
        return reply([self._description(function, secure) for function in self._functions.values()])

    def _description(self, function: Function, base_url: str) -> dict[str, Any]:
        path = self._paths.get(function.name)
        return {
            "name": function.name,
            "script_root_path_href": None,
            "script_href": f"{base_url}/admin/vfs{function.directory}/function_app.py",
            "config_href": None,
            "test_data_href": f"{base_url}/admin/vfs{function.directory}/{function.name}.dat",
            "href": f"{base_url}/admin/functions/{function.name}",
            "invoke_url_template": f"{base_url}/{path}".lower() if path is not None else None,
            "language": "python",
            "config": {
                "name": function.name,
                "entryPoint": function.entry_point,
                "scriptFile": "function_app.py",
                "language": "python",
                "functionDirectory": function.directory,
                "bindings": function.bindings,
            },
            "files": None,
            "test_data": "",
            "isDisabled": function.name in self._disabled,
            "isDirect": False,
            "isProxy": False,
        }

    async def _invoke(self, request: Request, function: Function | None) -> Response:
        """Accepted at once, run in the background. The body is `{"input": "..."}` or an empty object."""
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in JSON_TYPES and not (
            media_type.startswith("application/") and media_type.endswith("+json")
        ):
            return Response(status_code=415)
        try:
            given = _input_in(await request.body())
        except ValueError:
            return Response(status_code=400)
        if function is None:
            return Response(status_code=404)
        running = asyncio.ensure_future(self._run(function, given))
        self._running.add(running)
        running.add_done_callback(self._done)
        return Response(status_code=202)

    def _done(self, running: "asyncio.Future[Any]") -> None:
        self._running.discard(running)
        if not running.cancelled():
            running.exception()  # logged where it was raised


def _input_in(body: bytes) -> str | None:
    """What a body gives as the function's input: a text, or a number as a text. Raises ValueError for anything else."""
    document = json.loads(body)
    if not isinstance(document, dict):
        raise ValueError("an object is expected")
    given = next((value for name, value in document.items() if name.lower() == "input"), None)
    if isinstance(given, (dict, list)):
        raise ValueError("the input is a text")
    return given if given is None or isinstance(given, str) else json.dumps(given)


def _is_only_in_azure(method: str, parts: list[str]) -> bool:
    if parts[:1] and parts[0].lower() in FILES:
        return True
    return any(method == verb and _fits(path, parts) for verb, path in ONLY_IN_AZURE)


def _fits(path: str, parts: list[str]) -> bool:
    expected = path.split("/")
    return len(expected) == len(parts) and all(
        one in ("*", part.lower()) for one, part in zip(expected, parts, strict=True)
    )


async def _ping(_request: Request) -> Response:
    return Response(headers={"Cache-Control": "no-store,no-cache", "Pragma": "no-cache"})


async def _not_here(_request: Request) -> Response:
    return Response(status_code=501)
