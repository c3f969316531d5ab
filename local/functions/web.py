"""The host's ASGI application: which part answers which path, and which key opens it."""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from local.functions.admin import Admin
from local.functions.app import HTTP, Function
from local.functions.caller import Caller
from local.functions.durable.client import RPC_PATH
from local.functions.durable.faults import faults_api
from local.functions.durable.management import Management
from local.functions.http_trigger import HttpFunction, find, in_order, request_for
from local.functions.keys import ADMIN, ANONYMOUS, FUNCTION, SYSTEM, Keys, same
from local.functions.paths import path_of
from local.functions.settings import HostSettings

FAULTS_PATH = "/_local/faults"
BILL_PATH = "/_local/bill"
WEBHOOKS = ["runtime", "webhooks"]
WEBHOOK_METHODS = ("GET", "PUT", "POST", "DELETE", "OPTIONS")
DURABLE = "durabletask"
LARGEST_BODY = 100 * 1024 * 1024


class Web:
    def __init__(
        self,
        functions: list[Function],
        disabled: set[str],
        settings: HostSettings,
        keys: Keys,
        caller: Caller,
        management: Management,
        base_url: Callable[[], str],
        run_by_hand: Callable[[Function, Any], Awaitable[Any]],
    ) -> None:
        self._keys = keys
        self._caller = caller
        self._management = management
        http = [HttpFunction(one, settings.route_prefix) for one in functions if one.kind == HTTP]
        self._http = in_order([one for one in http if one.function.name not in disabled])
        paths = {one.function.name: one.path for one in http}
        self._admin = Admin(functions, disabled, paths, keys, settings.options, base_url, run_by_hand)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        response = await self._answer(request)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        """As the host's pipeline: its home page, its own routes, and what they don't take is the functions'."""
        path = path_of(request)
        parts = path.strip("/").split("/")
        if path == FAULTS_PATH:
            return await faults_api(request, self._management.engine.faults)
        if path == BILL_PATH and request.method == "GET":
            return JSONResponse(self._management.engine.bill.as_document())
        if path == "/" and not find(self._http, request.method, path):
            return self._admin.home()
        if path.startswith(f"{RPC_PATH}/"):
            token, _, rest = path[len(RPC_PATH) + 1 :].partition("/")
            return await self._management.answer(request, rest) if same(token, self._keys.rpc) else refused(ANONYMOUS)
        if [part.lower() for part in parts[:2]] == WEBHOOKS and len(parts) > 2 and request.method in WEBHOOK_METHODS:
            return await self._web_hook(request, parts[2].lower(), path)
        if parts[0].lower() == "admin":
            answer = self._admin.find(request.method, parts[1:])
            if answer:
                level = self._keys.level_of(request)
                return await answer(request) if answer.is_open or level == ADMIN else refused(level)
        return await self._call(request, path)

    async def _web_hook(self, request: Request, extension: str, path: str) -> Response:
        """Each extension has a system key of its own."""
        level = self._keys.level_of(request)
        if level != ADMIN and not (level == SYSTEM and extension == DURABLE):
            return refused(level)
        if extension != DURABLE:
            return Response(status_code=404)
        answer = await self._management.answer(request, path.strip("/").split("/", 2)[2][len(DURABLE) :])
        for name in [name for name, value in answer.headers.items() if not value]:
            del answer.headers[name]  # as the host does with what its extensions answer
        return answer

    async def _call(self, request: Request, path: str) -> Response:
        found = find(self._http, request.method, path)
        if found is None:
            return Response(status_code=404)
        function, values = found
        if function.auth_level != ANONYMOUS:
            level = self._keys.level_of(request, function.function.name)
            if level != ADMIN and not level == function.auth_level == FUNCTION:
                return Response(status_code=401)
        if int(request.headers.get("content-length") or 0) > LARGEST_BODY:
            return Response(status_code=413)
        given = await request_for(request, values)
        try:
            response: Response = await self._caller.call(function.function, given, given.headers)
        except Exception:  # noqa: BLE001 - it is in the log; the caller learns nothing of it
            return Response(status_code=500)
        return response


def refused(level: str) -> Response:
    """What the host's own routes say to a key that isn't enough: 403 if it is one of the host's, 401 if not."""
    if level == ANONYMOUS:
        return Response(status_code=401, headers={"WWW-Authenticate": "Bearer"})
    return Response(status_code=403)
