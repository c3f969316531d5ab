"""Table Storage with bad days: a proxy in front of Azurite that refuses, times out and drops connections when told to.

    python -m local.tables_proxy --target http://127.0.0.1:AZURITE [--port P]

One JSON line on standard output when it is ready: {"tables": "http://127.0.0.1:P", "faults": ".../_local/faults"}.
`POST /_local/faults` takes one fault or a list of them, `GET` shows those in force with their hits, `DELETE` lifts all.
`GET /_local/requests` lists what was asked, `{"method", "path"}`, the oldest first; `DELETE` empties it.
Everything else goes to the target byte for byte, the request target and the Host header included, so that shared-key
signatures hold and the addresses in the answers are the proxy's.
"""

import argparse
import asyncio
import random
import re
import signal
import socket
import sys
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from json import dumps
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit
from xml.sax.saxutils import escape

import httpcore
import uvicorn
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

Mode = Literal["busy", "timeout", "timeout_after", "drop_before", "drop_after"]
HOP_BY_HOP = {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
TIMEOUTS = dict.fromkeys(("connect", "read", "write", "pool"), 30.0)
LOST = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException)
MOST_REQUESTS_KEPT = 100_000


class Fault(BaseModel):
    """What goes wrong, for which requests, and how often.

    `busy` and `timeout` are the service's own answers, without any effect on the tables; `timeout_after` is the same
    answer to an operation that was carried out. The two drops close the connection without an answer, before or after
    the operation.
    """

    model_config = ConfigDict(extra="forbid")

    mode: Mode
    method: str | None = None
    path: re.Pattern[str] = Field(default=re.compile(""), description="searched in the decoded path and query")
    body: re.Pattern[str] | None = Field(
        default=None, description="searched in the body: a transaction names its rows there"
    )
    times: Annotated[int, Field(ge=1)] | None = Field(default=None, description="how often; absent: until lifted")
    probability: Annotated[float, Field(ge=0, le=1)] = 1.0
    hits: int = 0

    def meets(self, method: str, path: str, body: bytes) -> bool:
        return (
            (self.times is None or self.hits < self.times)
            and (self.method is None or self.method.upper() == method)
            and self.path.search(path) is not None
            and (self.body is None or self.body.search(body.decode("utf-8", "replace")) is not None)
            and (self.probability == 1.0 or random.random() < self.probability)
        )


Faults = TypeAdapter(
    Annotated[list[Fault], BeforeValidator(lambda given: given if isinstance(given, list) else [given])]
)


@dataclass(frozen=True)
class ServiceError:
    status: int
    code: str
    message: str


# https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes
BUSY = ServiceError(503, "ServerBusy", "The server is currently unable to receive requests. Please retry your request.")
TIMED_OUT = ServiceError(500, "OperationTimedOut", "The operation could not be completed within the permitted time.")


def refusal(error: ServiceError, accept: str) -> Response:
    """The service's error in the form that the caller asked for: JSON when it accepts JSON, XML otherwise."""
    request_id, now = str(uuid.uuid4()), datetime.now(UTC)
    message = f"{error.message}\nRequestId:{request_id}\nTime:{now:%Y-%m-%dT%H:%M:%S.%f}0Z"
    if "json" in accept:
        media_type = "application/json;odata=minimalmetadata;streaming=true;charset=utf-8"
        content = dumps({"odata.error": {"code": error.code, "message": {"lang": "en-US", "value": message}}})
    else:
        media_type = "application/xml"
        content = (
            '<?xml version="1.0" encoding="utf-8" standalone="yes"?>'
            '<error xmlns="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata">'
            f'<code>{error.code}</code><message xml:lang="en-US">{escape(message)}</message></error>'
        )
    headers = {
        "content-type": media_type,
        "cache-control": "no-cache",
        "server": "Windows-Azure-Table/1.0 Microsoft-HTTPAPI/2.0",
        "x-ms-request-id": request_id,
        "x-ms-version": "2019-02-02",
        "x-content-type-options": "nosniff",
        "date": format_datetime(now, usegmt=True),
    }
    return Response(content, error.status, headers)


class Proxy:
    def __init__(self, target: str) -> None:
        self.target = target
        self.faults: list[Fault] = []
        self.requests: deque[dict[str, str]] = deque(maxlen=MOST_REQUESTS_KEPT)
        # Azurite closes idle connections after 5 s; a shorter life here means that none is found dead in use.
        # Without httpx around it: that would cost each request more than Azurite does.
        self.upstream = httpcore.AsyncConnectionPool(max_connections=None, keepalive_expiry=2)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/_local/faults", self.show, methods=["GET"]),
                Route("/_local/faults", self.add, methods=["POST"]),
                Route("/_local/faults", self.lift, methods=["DELETE"]),
                Route("/_local/requests", self.requested, methods=["GET"]),
                Route("/_local/requests", self.forget_requests, methods=["DELETE"]),
                Mount("/", self.forward),
            ]
        )

    async def show(self, request: Request) -> Response:
        return JSONResponse(Faults.dump_python(self.faults, mode="json"))

    async def add(self, request: Request) -> Response:
        try:
            self.faults += Faults.validate_json(await request.body())
        except ValidationError as refused:
            return JSONResponse(
                {"errors": refused.errors(include_url=False, include_context=False, include_input=False)}, 400
            )
        return await self.show(request)

    async def lift(self, request: Request) -> Response:
        self.faults.clear()
        return Response(status_code=204)

    async def requested(self, request: Request) -> Response:
        return JSONResponse(list(self.requests))

    async def forget_requests(self, request: Request) -> Response:
        self.requests.clear()
        return Response(status_code=204)

    async def forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        path = unquote(target.decode("ascii", "replace"))
        self.requests.append({"method": request.method, "path": path})
        fault = next((fault for fault in self.faults if fault.meets(request.method, path, body)), None)
        if fault is not None:
            fault.hits += 1
            print(f"{fault.mode}: {request.method} {path}", file=sys.stderr, flush=True)
        accept = request.headers.get("accept", "")

        mode = fault.mode if fault is not None else None
        match mode:
            case "busy":
                await refusal(BUSY, accept)(scope, receive, send)
            case "timeout":
                await refusal(TIMED_OUT, accept)(scope, receive, send)
            case "drop_before":
                await hang_up(scope, receive)
            case _:
                try:
                    response = await self.answer_of_the_target(request, target, body)
                except LOST as lost:
                    print(f"the target is not there: {lost!r}", file=sys.stderr, flush=True)
                    await hang_up(scope, receive)
                    return
                if mode == "drop_after":
                    await hang_up(scope, receive)
                elif mode == "timeout_after":
                    await refusal(TIMED_OUT, accept)(scope, receive, send)
                else:
                    await response(scope, receive, send)

    async def answer_of_the_target(self, request: Request, target: bytes, body: bytes) -> "Verbatim":
        headers = [(name, value) for name, value in request.headers.raw if name.lower() not in HOP_BY_HOP]
        extensions = {"target": target, "timeout": TIMEOUTS}
        response = await self.upstream.request(
            request.method, self.target, headers=headers, content=body or None, extensions=extensions
        )
        kept = [(name, value) for name, value in response.headers if name.lower() not in HOP_BY_HOP]
        return Verbatim(response.status, kept, response.content, request.method)


class Verbatim:
    """An answer passed on with its headers as they came."""

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], content: bytes, method: str) -> None:
        self.status, self.headers, self.content = status, headers, content
        has_body = method != "HEAD" and status not in (204, 304)
        if has_body and b"content-length" not in {name.lower() for name, _ in headers}:
            self.headers = [*headers, (b"content-length", str(len(content)).encode())]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.content})


class Disconnectable(HttpToolsProtocol):
    """Lets the application close the connection without an answer, which ASGI has no word for."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # narrower, as in uvicorn
        super().connection_made(transport)
        inner = self.app

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope["abort"] = transport.abort
            await inner(scope, receive, send)

        self.app = app


async def hang_up(scope: Scope, receive: Receive) -> None:
    abort: Callable[[], None] = scope["abort"]
    abort()
    while (await receive())["type"] != "http.disconnect":
        continue


def serve(
    app: Starlette, port: int, announce: Callable[[int], None], at_the_end: Callable[[], Awaitable[None]]
) -> None:
    """Serve on loopback until SIGTERM or SIGINT."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    config = uvicorn.Config(
        app,
        http=Disconnectable,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=1,
    )

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            announce(listener.getsockname()[1])

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            await super().shutdown(sockets)
            await at_the_end()

    # uvicorn ends on both and then raises them again, for the handlers that were there before it.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: None)
    Server(config).run(sockets=[listener])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.tables_proxy", description="Faults in front of Azurite.")
    parser.add_argument(
        "--target", required=True, help="where Azurite's table service is, such as http://127.0.0.1:10002"
    )
    parser.add_argument("--port", type=int, default=0, help="where to listen on loopback (default: a free port)")
    options = parser.parse_args()
    if urlsplit(options.target).scheme not in ("http", "https"):
        parser.error(f"--target is a URL, not {options.target!r}")
    proxy = Proxy(options.target)

    def announce(port: int) -> None:
        print(
            dumps({"tables": f"http://127.0.0.1:{port}", "faults": f"http://127.0.0.1:{port}/_local/faults"}),
            flush=True,
        )

    serve(proxy.app(), options.port, announce, proxy.upstream.aclose)


if __name__ == "__main__":
    main()
