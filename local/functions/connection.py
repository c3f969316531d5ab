"""HTTP on the wire as Kestrel, the real host's server, has it: its limits, and its answers to what it can't read.

Any token is a method here, as there: which methods a path takes is the application's business. And a connection can be
closed without an answer, for faults on demand.
"""

import http
from typing import Any

import h11
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from local.functions.paths import ORIGIN

LONGEST_REQUEST_LINE = 8 * 1024
LONGEST_HEADERS = 32 * 1024
MOST_HEADERS = 100
END_OF_LINE = 2
BETWEEN_NAME_AND_VALUE = 2
VERSIONS = (b"1.0", b"1.1")
# A client that is still sending when the connection is closed would lose the answer.
SECONDS_TO_READ_ON = 1.0


def refusal_of(request: h11.Request) -> int | None:
    """The status with which Kestrel answers a request that it doesn't hand on; None when it does."""
    line = len(request.method) + len(request.target) + len("  HTTP/1.1") + END_OF_LINE
    if line > LONGEST_REQUEST_LINE:
        return 414
    if request.http_version not in VERSIONS:
        return 505
    path = request.target.partition(b"?")[0]
    if b"%00" in path or not (path.startswith(b"/") or ORIGIN.match(path.decode("ascii")) or path == b"*"):
        return 400
    size = sum(len(name) + BETWEEN_NAME_AND_VALUE + len(value) + END_OF_LINE for name, value in request.headers)
    if len(request.headers) > MOST_HEADERS or size > LONGEST_HEADERS:
        return 431
    return None


class Connection(h11.Connection):
    """Raises h11's own error for what Kestrel refuses, too; `refused_with` is the status to answer with."""

    refused_with = 400

    def next_event(self) -> Any:
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            if error.error_status_hint == http.HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
                in_the_first_line = b"\n" not in self.trailing_data[0][:LONGEST_REQUEST_LINE]
                self.refused_with = 414 if in_the_first_line else 431
            raise
        if isinstance(event, h11.Request) and (status := refusal_of(event)):
            self.refused_with = status
            raise h11.RemoteProtocolError("refused", error_status_hint=status)
        return event


class Protocol(H11Protocol):
    """Hands each request its transport, in `scope["state"]`."""

    conn: Connection
    _refused = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}
        self.conn = Connection(h11.SERVER, LONGEST_REQUEST_LINE + LONGEST_HEADERS + END_OF_LINE)

    def data_received(self, data: bytes) -> None:
        if not self._refused:
            super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        """The status alone, as Kestrel has it, and the end of the connection."""
        self._refused = True
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            status = self.conn.refused_with
            headers = [(b"content-length", b"0"), (b"connection", b"close"), *self.server_state.default_headers]
            reason = http.HTTPStatus(status).phrase.encode()
            self.transport.write(self.conn.send(h11.Response(status_code=status, headers=headers, reason=reason)))
            self.conn.send(h11.EndOfMessage())
            self.loop.call_later(SECONDS_TO_READ_ON, self.transport.close)
        else:
            self.transport.close()


class NoAnswer(Response):
    """Closes the connection instead of answering. The server must use `Protocol`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["transport"].abort()
        while (await receive())["type"] != "http.disconnect":
            pass  # what is left of the body
