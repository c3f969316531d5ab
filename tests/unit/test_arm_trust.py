"""What Azure Resource Manager answers, or seems to, takes the app's token nowhere else: pages, operations, redirects.

A TLS server of the test's own is ARM; another one is somebody else's, trusted by certificate, and must stay silent.
"""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import trustme

from local.processes import free_port
from shared.arm.client import Arm
from shared.arm.failures import ArmError
from shared.saga.outcomes import Operation
from shared.settings import settings_from
from tests.app import forget_app

VNET = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/v"
REQUIRED = {
    "AZURE_SUBSCRIPTION_ID": "00000000-0000-0000-0000-000000000001",
    "HUB_RESOURCE_GROUP": "hub-rg",
    "HUB_VNET_NAME": "hub-vnet",
    "HUB_AGW_NAME": "hub-agw",
    "SPOKE_DOMAIN": "spokes.example.com",
    "TABLES_ENDPOINT": "https://x.table.core.windows.net",
    "TASK_HUB": "HubSpokeTest",
}


class Server(ThreadingHTTPServer):
    """Answers every request alike, and notes the tokens that it was sent."""

    daemon_threads = True
    status: int = 200
    headers: dict[str, str]
    body: object = None

    def __init__(self, certificate: trustme.LeafCert) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.headers, self.tokens = {}, []  # type: ignore[var-annotated] # of strings
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.tokens.append(self.headers.get("Authorization"))
        body = json.dumps(self.server.body).encode()
        self.send_response(self.server.status)
        for name, value in {"Content-Length": str(len(body)), **self.server.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.answer()

    def do_PUT(self) -> None:
        self.answer()

    def do_DELETE(self) -> None:
        self.answer()

    def log_message(self, format: str, *args: object) -> None:
        return


@contextmanager
def serving(authority: trustme.CA) -> Iterator[Server]:
    server = Server(authority.issue_cert("localhost"))
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Server, Server]]:
    """ARM's, and somebody else's."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
    forget_app()
    with serving(authority) as ours, serving(authority) as others, serving(authority) as identity:
        identity.body = {"access_token": "a-token", "expires_on": "4102444800", "token_type": "Bearer"}
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{identity.url}/token")
        monkeypatch.setenv("IDENTITY_HEADER", "secret")
        yield ours, others
    forget_app()


@pytest.fixture
def arm(servers: tuple[Server, Server]) -> Iterator[Arm]:
    settings = replace(settings_from(REQUIRED), arm_endpoint=servers[0].url)
    made = Arm(settings)
    yield made
    made.close()


def test_a_token_goes_to_arm(arm: Arm, servers: tuple[Server, Server]) -> None:
    servers[0].body = {"id": VNET}
    assert arm.get(VNET) == {"id": VNET}
    assert servers[0].tokens == ["Bearer a-token"]


def test_a_password_file_of_the_machine_replaces_no_token(
    arm: Arm, servers: tuple[Server, Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`requests` looks into it unless it is told not to, and what it finds stands in place of the token."""
    (tmp_path / "netrc").write_text("default login somebody password something\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    servers[0].body = {"id": VNET}
    arm.get(VNET)
    assert servers[0].tokens == ["Bearer a-token"]


def test_the_proxy_of_the_environment_is_asked_but_for_hosts_that_need_none(
    arm: Arm, servers: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    servers[0].body = {"id": VNET}
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("NO_PROXY", "localhost")
    assert arm.get(VNET) == {"id": VNET}
    monkeypatch.setenv("NO_PROXY", "example.com")
    asked_anew = Arm(replace(settings_from(REQUIRED), arm_endpoint=servers[0].url))
    with pytest.raises(ArmError) as refused:
        asked_anew.get(VNET)
    asked_anew.close()
    assert "ServiceRequestError" in str(refused.value)
    assert len(servers[0].tokens) == 1


@pytest.mark.parametrize("form", ["status", "location"])
def test_an_operation_elsewhere_is_not_asked_after(arm: Arm, servers: tuple[Server, Server], form: str) -> None:
    ours, others = servers
    ours.status, ours.body = 201, {"id": VNET}
    ours.headers = {"Azure-AsyncOperation" if form == "status" else "Location": f"{others.url}/operations/1"}
    operation = arm.put(VNET, {}).operation
    assert operation is not None
    with pytest.raises(ArmError) as refused:
        arm.poll(operation)
    assert (refused.value.failure.code, refused.value.failure.transient) == ("TargetRefused", False)
    assert refused.value.failure.hint
    assert others.tokens == []


def test_the_next_page_elsewhere_is_not_read(arm: Arm, servers: tuple[Server, Server]) -> None:
    ours, others = servers
    ours.body = {"value": [{"id": VNET}], "nextLink": f"{others.url}/pages/2"}
    with pytest.raises(ArmError) as refused:
        arm.get_all("/subscriptions/s/providers/Microsoft.Network/virtualNetworks")
    assert refused.value.failure.code == "TargetRefused"
    assert others.tokens == []


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(arm: Arm, servers: tuple[Server, Server], status: int) -> None:
    ours, others = servers
    ours.status, ours.headers = status, {"Location": f"{others.url}{VNET}"}
    with pytest.raises(ArmError):
        arm.get(VNET)
    with pytest.raises(ArmError):
        arm.put(VNET, {})
    assert len(ours.tokens) == 2
    assert others.tokens == []


def test_of_a_url_with_braces_no_section_is_dropped(arm: Arm, servers: tuple[Server, Server]) -> None:
    """The SDK drops the section that it can't fill in: here the one with ARM's name, so that the next one is the host."""
    ours, others = servers
    with pytest.raises(ArmError):
        arm.poll(Operation(f"{ours.url}?x={{a}}/{others.url.removeprefix('https://')}/collect"))
    with pytest.raises(ArmError):
        arm.delete(f"{VNET}/{{x}}")
    assert ours.tokens == others.tokens == []
