"""The server: TLS with a throw-away authority, one port, one line on standard output when it is ready."""

from __future__ import annotations

import fcntl
import json
import logging
import signal
import socket
import ssl
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from local.azure import app, errors, hub, ids
from local.azure.hub import Hub
from local.azure.state import State
from local.azure.store import Json

HOST = "127.0.0.1"
_LOG = logging.getLogger("local.azure")


class InUseError(Exception):
    """The state directory or the port is in use by another process."""


class _Protocol(HttpToolsProtocol):
    """Lets a request close its connection without an answer."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["state"]["transport"] = self.transport

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP, or of a method that HTTP doesn't know, is refused in ARM's form all the same."""
        body = json.dumps(errors.by_gateway(400, "BadRequest", msg).body()).encode()
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json; charset=utf-8\r\nx-ms-failure-cause: gateway\r\n"
            f"x-ms-request-id: {uuid.uuid4()}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


class _Server(uvicorn.Server):
    """Says when it is ready, and ends quietly when it is told to."""

    def __init__(self, config: uvicorn.Config, ready: dict[str, str]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, without raising the signal once more in the end: ending is what was asked for."""
        before = {each: signal.signal(each, self.handle_exit) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(json.dumps(self._ready), flush=True)


def lock(directory: Path) -> IO[str]:
    """Keep the directory to this process, for as long as the file is open."""
    held = (directory / "lock").open("w")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        held.close()
        raise InUseError(f"{directory} is in use by another stand-in") from None
    return held


def certificates(directory: Path) -> tuple[Path, Path]:
    """The authority's certificate and the server's chain; made once, so that clients go on trusting them."""
    ca, server = directory / "ca.pem", directory / "server.pem"
    if not (ca.exists() and server.exists()):
        import trustme

        authority = trustme.CA(organization_name="Local Azure")
        issued = authority.issue_cert("127.0.0.1", "localhost")
        chain = b"".join([issued.private_key_pem.bytes(), *[each.bytes() for each in issued.cert_chain_pems]])
        _write(server, chain)
        _write(ca, authority.cert_pem.bytes())
    return ca, server


def _write(path: Path, content: bytes) -> None:
    """All of it or nothing, also when the process is killed meanwhile; readable by its owner only."""
    unfinished = path.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=0o600)
    unfinished.write_bytes(content)
    unfinished.replace(path)


def listen(port: int, state: State) -> socket.socket:
    """The port asked for, or with 0 the one that this state had before, or a free one."""
    wanted = port or int(state.store.meta("port") or 0)
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, wanted))
    except OSError as error:
        listening.close()
        raise InUseError(f"port {wanted} can't be had: {error.strerror}") from None
    with state.store.transaction():
        state.store.set_meta("port", listening.getsockname()[1])
    return listening


def serve(
    port: int,
    directory: Path,
    time_scale: float,
    gateway_limit: int,
    hubs: tuple[Hub, ...],
    roles: Json | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT. roles: documents for `rights.parsed`; None allows everything."""
    directory.mkdir(parents=True, exist_ok=True)
    held = lock(directory)
    state = State(directory / "azure.sqlite", time_scale, gateway_limit, hubs, roles)
    ca, server = certificates(directory)
    listening = listen(port, state)
    address = f"https://{HOST}:{listening.getsockname()[1]}"
    ready = {
        "arm": address,
        "ca": str(ca.resolve()),
        "identity_endpoint": f"{address}/_identity/token",
        "identity_header": state.identity.header,
        "subscription_id": ids.SUBSCRIPTION_ID,
        "tenant_id": ids.TENANT_ID,
    }
    config = uvicorn.Config(
        app.build(state),
        http=_Protocol,
        loop="uvloop",
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        ssl_certfile=str(server),
        ssl_keyfile=str(server),
        ssl_version=ssl.PROTOCOL_TLS_SERVER,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
        server_header=False,
        date_header=True,
    )
    _LOG.info("serving at %s, state in %s, time scale %s", address, directory, time_scale)
    try:
        _Server(config, ready).run(sockets=[listening])
    finally:
        state.store.db.close()
        held.close()


def run(arguments: Any) -> int:
    """0 after a signal, 1 when it couldn't start."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    try:
        hubs = hub.read(arguments.hubs) if arguments.hubs else (Hub(),)
        serve(arguments.port, arguments.state, arguments.time_scale, arguments.gateway_limit, hubs, arguments.roles)
    except (InUseError, ValueError) as error:
        print(f"local.azure: {error}", file=sys.stderr)
        return 1
    return 0
