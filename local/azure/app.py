"""The ASGI application: one request, one transaction, one answer.

A request is read, its due operations settled, faults, token and allowance are looked at, the rule answers, the journal
is written, and only then is the answer sent.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import traceback
import uuid
from dataclasses import asdict, dataclass, field
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from local.azure import errors, faults, local_api, routes
from local.azure.arm import Call, Reply, parse_json
from local.azure.errors import ArmError
from local.azure.faults import Fault
from local.azure.state import State

MOST_BYTES = 4 * 1024 * 1024
_LOG = logging.getLogger("local.azure")
_EVERY_METHOD = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@dataclass(slots=True)
class _Outcome:
    """What is to be sent, and how."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drop: bool = False


def build(state: State) -> Starlette:
    """The application over a state."""
    endpoint = _Endpoint(state)
    return Starlette(
        routes=[
            Route("/_local/{name:path}", endpoint.local, methods=_EVERY_METHOD),
            Route("/_identity/token", endpoint.identity, methods=["GET"]),
            Mount("/", endpoint.arm),
        ]
    )


class TooLargeError(Exception):
    """A body over ARM's 4 MB."""


async def _read(receive: Receive, most: int = MOST_BYTES) -> bytes | None:
    """The body; None when the other side went away."""
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > most:
            raise TooLargeError
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


def _echoed(given: dict[str, str]) -> dict[str, str]:
    """The ids that a client chose for its request, for it to find the answer by."""
    echoed = {}
    if correlation := given.get("x-ms-correlation-request-id"):
        echoed["x-ms-correlation-request-id"] = correlation
    if given.get("x-ms-return-client-request-id", "").lower() == "true" and "x-ms-client-request-id" in given:
        echoed["x-ms-client-request-id"] = given["x-ms-client-request-id"]
    return echoed


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


class _Endpoint:
    def __init__(self, state: State) -> None:
        self._state = state

    # -- beside ARM

    async def local(self, request: Request) -> Response:
        """`/_local/*`."""
        try:
            raw = await _read(request.receive, 16 * MOST_BYTES)
            body = parse_json(raw) if raw else None
        except TooLargeError:
            return Response(json.dumps({"error": "too much"}), 413, {"Connection": "close"}, "application/json")
        except ValueError as error:
            return Response(json.dumps({"error": f"no JSON: {error}"}), 400, media_type="application/json")
        with self._state.store.transaction():
            self._state.arm.operations.settle()
            reply = local_api.answer(self._state, request.method, request.url.path, dict(request.query_params), body)
        return Response(json.dumps(reply.body), reply.status, media_type="application/json")

    async def identity(self, request: Request) -> Response:
        """The managed identity's endpoint."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        if not await self._held(request.scope, request.receive):
            return Response(status_code=499)
        with self._state.store.transaction():
            fault = self._state.faults.striking(request.method, request.url.path, ("refuse",))
        if fault is not None:
            outcome = self._refused(fault)
            if outcome.drop:
                request.scope["state"]["transport"].abort()
            return Response(outcome.body, outcome.status or 500, outcome.headers)
        reply = self._state.identity.managed_identity(dict(request.query_params), headers)
        return Response(json.dumps(reply.body), reply.status, media_type="application/json")

    # -- ARM

    async def arm(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Everything else."""
        if scope["type"] != "http":
            return
        too_large = False
        body: bytes | None = b""
        try:
            body = await _read(receive)
        except TooLargeError:
            too_large = True
        if body is None or not await self._held(scope, receive):
            return
        outcome = self._authority(scope, body) or self._outcome(scope, body, too_large)
        if outcome.delay:
            await asyncio.sleep(outcome.delay)
        if outcome.drop:
            scope["state"]["transport"].abort()
            await _disconnected(receive)
            return
        if too_large:
            outcome.headers["Connection"] = "close"
        await Response(outcome.body, outcome.status, outcome.headers)(scope, receive, send)

    async def _held(self, scope: Scope, receive: Receive) -> bool:
        """Waits while a fault holds the request; whether its client still waits, too."""
        if not self._state.faults.may_hold:
            return True
        held = asyncio.ensure_future(self._state.faults.hold(scope["method"], scope["path"]))
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait({held, gone}, return_when=asyncio.FIRST_COMPLETED)
            return held.done()
        finally:
            held.cancel()
            gone.cancel()

    def _authority(self, scope: Scope, body: bytes) -> _Outcome | None:
        path = scope["path"]
        if path.startswith(("/subscriptions", "/tenants", "/providers")):
            return None
        host = _headers(scope).get("host", "")
        reply = self._state.identity.authority(path, scope["method"], body, host)
        if reply is None:
            return None
        return _Outcome(reply.status, json.dumps(reply.body).encode(), {"Content-Type": "application/json"})

    def _outcome(self, scope: Scope, body: bytes, too_large: bool) -> _Outcome:
        raw_query = scope["query_string"].decode("latin-1")
        call = Call(
            method=scope["method"],
            path=scope["path"],
            query={name.lower(): value for name, value in parse_qsl(raw_query, keep_blank_values=True)},
            headers=_headers(scope),
            raw_query=raw_query,
            raw_body=body,
        )
        call.host = call.headers.get("host", "")
        state = self._state
        with state.store.transaction():
            try:
                if moment := call.headers.get("x-local-clock"):
                    state.arm.clock.advance_to(float(moment))
            except ValueError as error:
                said = json.dumps({"error": f"x-local-clock: {error}"})
                return _Outcome(400, said.encode(), {"Content-Type": "application/json"})
            state.arm.operations.settle()
            outcome = self._answered(call, too_large)
            outcome.headers |= _echoed(call.headers)
            state.journal.add(
                method=call.method,
                path=call.path,
                query=raw_query,
                api_version=call.query.get("api-version"),
                request_headers=call.headers,
                request=body.decode(errors="replace") if body else None,
                status=outcome.status,
                headers=outcome.headers,
                response=outcome.body.decode(errors="replace") if outcome.body else None,
                dropped=outcome.drop,
                principal=call.principal or None,
                needs=[asdict(each) for each in call.needs],
            )
        return outcome

    def _answered(self, call: Call, too_large: bool) -> _Outcome:
        state = self._state
        fault = state.faults.striking(call.method, call.path, ("refuse",))
        if fault is not None:
            return self._refused(fault)
        limits: dict[str, str] = {}
        state.arm.operations.started.clear()
        delay, drop = 0.0, None
        try:
            call.principal = state.identity.check(call.headers.get("authorization"))
            limits = state.throttle.check(call.method, call.path)
            if too_large:
                raise errors.by_gateway(
                    413,
                    "RequestContentTooLarge",
                    f"The request content size exceeds the maximum size of {MOST_BYTES // 1024 // 1024} MB.",
                )
            with state.store.undone_on_error():
                reply = routes.answer(state.arm, call)
            delay = self._let_faults_take_hold(call)
        except ArmError as error:
            reply = self._error(error)
        except Exception:  # noqa: BLE001 - a mistake of ours must neither stop the server nor leave the journal
            _LOG.error("%s %s\n%s", call.method, call.path, traceback.format_exc())
            reply = self._error(ArmError(500, "InternalServerError", "Encountered internal server error."))
        drop = state.faults.striking(call.method, call.path, ("drop_reply",))
        outcome = self._encoded(reply, limits)
        outcome.delay, outcome.drop = delay, drop is not None
        return outcome

    def _let_faults_take_hold(self, call: Call) -> float:
        """What a request started may be made to fail, to last longer, or never to end."""
        state, clock = self._state, self._state.arm.clock
        started = list(state.arm.operations.started)
        if started:
            for mode in ("slow", "fail_operation", "never_end"):
                fault = state.faults.striking(call.method, call.path, (mode,))
                if fault is None:
                    continue
                seconds = 60 if mode == "slow" and fault.seconds is None else fault.seconds
                for operation in started:
                    faults.take_hold(fault, operation, None if seconds is None else clock.scaled(seconds))
                    state.arm.operations.save(operation)
            return 0.0
        fault = state.faults.striking(call.method, call.path, ("slow",))
        if fault is None or clock.frozen:
            return 0.0
        return clock.scaled(60 if fault.seconds is None else fault.seconds)

    def _refused(self, fault: Fault) -> _Outcome:
        if fault.status == 0:
            return _Outcome(0, drop=True)
        if fault.body is not None:
            outcome = _Outcome(fault.status or 500, fault.body.encode(), self._common_headers())
            outcome.headers["Content-Type"] = fault.content_type or "text/html"
            if fault.retry_after is not None:
                outcome.headers["Retry-After"] = self._state.arm.clock.retry_after(fault.retry_after)
            return outcome
        return self._encoded(self._error(fault.refusal()), {})

    def _error(self, error: ArmError) -> Reply:
        headers = dict(error.headers)
        if error.from_gateway:
            headers["x-ms-failure-cause"] = "gateway"
        if error.retry_after is not None:
            headers["Retry-After"] = self._state.arm.clock.retry_after(error.retry_after)
        return Reply(error.status, error.body(), headers)

    @staticmethod
    def _common_headers() -> dict[str, str]:
        request_id, correlation = str(uuid.uuid4()), str(uuid.uuid4())
        at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        return {
            "Cache-Control": "no-cache",
            "x-ms-request-id": request_id,
            "x-ms-correlation-request-id": correlation,
            "x-ms-arm-service-request-id": request_id,
            "x-ms-routing-request-id": f"EASTUS:{at}:{correlation}",
            "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
            "X-Content-Type-Options": "nosniff",
        }

    def _encoded(self, reply: Reply, limits: dict[str, str]) -> _Outcome:
        headers = self._common_headers() | limits | reply.headers
        body = b""
        if reply.body is not None:
            body = json.dumps(reply.body, separators=(",", ":"), ensure_ascii=False).encode()
            headers["Content-Type"] = "application/json; charset=utf-8"
        return _Outcome(reply.status, body, headers)
