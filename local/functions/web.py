"""The host's ASGI application: which part answers which path, and which key opens it."""

import hmac
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from local.functions.admin import Admin
from local.functions.app import HTTP, Function
from local.functions.durable.client import WEBHOOK_PATH
from local.functions.durable.faults import faults_api
from local.functions.durable.management import Management
from local.functions.http_trigger import HttpFunction, find, in_order, request_for, response_for
from local.functions.invoke import Invoker
from local.functions.keys import Keys

log = logging.getLogger("host")

RPC_PATH = "/runtime/rpc"
FAULTS_PATH = "/_local/faults"
LARGEST_BODY = 100 * 1024 * 1024


class Web:
    def __init__(
        self,
        functions: list[Function],
        disabled: set[str],
        prefix: str,
        keys: Keys,
        invoker: Invoker,
        management: Management,
        base_url: Callable[[], str],
        run_by_hand: Callable[[Function, Any], Awaitable[Any]],
    ) -> None:
        self._keys = keys
        self._invoker = invoker
        self._management = management
        http = [HttpFunction(one, prefix) for one in functions if one.kind == HTTP]
        self._http = in_order([one for one in http if one.function.name not in disabled])
        self._admin = Admin(functions, disabled, {one.function.name: one.path for one in http}, base_url, run_by_hand)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        response = await self._answer(request, scope)
        await response(scope, receive, send)

    async def _answer(self, request: Request, scope: Scope) -> Response:
        path = scope["raw_path"].decode("latin-1").partition("?")[0]
        lower = path.lower()
        if path == FAULTS_PATH:
            return await faults_api(request, self._management.engine.faults)
        if path == "/" and request.method in ("GET", "HEAD") and not find(self._http, request.method, path):
            return self._admin.home()
        if lower.startswith(f"{RPC_PATH}/"):
            token, _, rest = path[len(RPC_PATH) + 1 :].partition("/")
            if same(token, self._keys.rpc):
                return await self._management.answer(request, rest)
            return Response(status_code=401)
        if lower.startswith(WEBHOOK_PATH):
            if not self._opens(request, self._keys.system):
                return Response(status_code=401)
            return await self._management.answer(request, path[len(WEBHOOK_PATH) :])
        if lower.startswith("/admin/"):
            if key_of(request) and not self._opens(request):
                return Response(status_code=401)
            return await self._admin.answer(request, path)
        return await self._call(request, path)

    async def _call(self, request: Request, path: str) -> Response:
        found = find(self._http, request.method, path)
        if found is None:
            return Response(status_code=404)
        function, values = found
        allowed = {"anonymous": True, "function": self._opens(request, self._keys.function)}
        if not allowed.get(function.auth_level, self._opens(request)):
            return Response(status_code=401)
        if int(request.headers.get("content-length") or 0) > LARGEST_BODY:
            return Response(status_code=413)
        given = await request_for(function, request, values)
        try:
            result = await self._invoker.call(function.function, given, request.headers)
        except Exception:  # noqa: BLE001 - the invoker has logged it; the caller learns nothing of it
            return Response(status_code=500)
        try:
            return response_for(result)
        except Exception:
            log.exception("Functions.%s returned what is no HTTP response: %r", function.function.name, type(result))
            return Response(status_code=500)

    def _opens(self, request: Request, *keys: str) -> bool:
        given = key_of(request)
        return bool(given) and any(same(given, key) for key in (*keys, self._keys.master))


def key_of(request: Request) -> str:
    return request.headers.get("x-functions-key") or request.query_params.get("code") or ""


def same(given: str, key: str) -> bool:
    return hmac.compare_digest(given.encode(), key.encode())
