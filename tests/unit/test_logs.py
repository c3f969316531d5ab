"""One JSON object a line, with what it is about and without secrets; in the worker's world and outside of it."""

import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.process import logs
from shared.settings import Settings, settings_from

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {
    "AZURE_SUBSCRIPTION_ID": "00000000-0000-0000-0000-000000000001",
    "HUB_RESOURCE_GROUP": "hub-rg",
    "HUB_VNET_NAME": "hub-vnet",
    "HUB_AGW_NAME": "hub-agw",
    "TASK_HUB": "HubSpokeTest",
    "SPOKE_DOMAIN": "spokes.example.com",
    "TABLES_ENDPOINT": "https://account.table.core.windows.net",
}
BLOB = "AAAAC3NzaC1lZDI1NTE5AAAAIJFPNCFoTy+GNqzeT9tbAh6XAz3RiVuhXOD7cqUMmiUI"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl"


@pytest.fixture
def settings() -> Settings:
    return settings_from(ENVIRONMENT)


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What a handler of ours on a logger of the test's own has written."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonLine())
    handler.addFilter(logs.AboutFilter(handler))
    logger = logging.getLogger("shared.lines_of_the_test")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield stream
    logger.removeHandler(handler)


log = logging.getLogger("shared.lines_of_the_test")


def written(lines: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


def test_a_line_tells_what_it_is_about(lines: io.StringIO) -> None:
    with logs.context(deployment_id="deploy-acme-1-abcd", spoke_id=1):
        with logs.context(step="create_vnet"):
            log.info("%s is ready", "spoke-vnet-1")
        log.warning("rolling back")
    log.error("alone")
    first, second, third = written(lines)
    assert first == {
        "time": first["time"],
        "level": "INFO",
        "logger": "shared.lines_of_the_test",
        "message": "spoke-vnet-1 is ready",
        "deployment_id": "deploy-acme-1-abcd",
        "spoke_id": 1,
        "step": "create_vnet",
    }
    assert "step" not in second
    assert second["spoke_id"] == 1
    assert not {"deployment_id", "spoke_id", "step"} & set(third)


def test_a_traceback_stays_in_its_line(lines: io.StringIO) -> None:
    try:
        raise ValueError(f"ssh-ed25519 {BLOB}")
    except ValueError:
        log.exception("broken\nin two")
    (line,) = written(lines)
    assert "ValueError" in line["traceback"]
    assert BLOB not in lines.getvalue()


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"key ssh-ed25519 {BLOB} someone@example.com", BLOB),
        (f'{{"ssh_public_key": "ssh-rsa {BLOB}"}}', BLOB),
        ("GET http://host/runtime/webhooks/durabletask/instances/x?taskHub=h&code=s3cr3t-k3y==", "s3cr3t-k3y"),
        ("https://x.table.core.windows.net/?sv=2024&sig=abc%2Fdef%3D&se=1", "abc%2Fdef"),
        ("AccountName=a;AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtl==;TableEndpoint=x", "Eby8vdM02xNOcqFlqUwJPLlmEtl"),
        ("SharedAccessKey=abcdef123456", "abcdef123456"),
        (f"Authorization: Bearer {JWT}", JWT),
        (f"token {JWT} was refused", JWT),
        ("SharedKey devstoreaccount1:abcdefghijkl=", "abcdefghijkl"),
        ('{"access_token": "opaque-token-value", "expires_on": 1}', "opaque-token-value"),
        ("client_secret=hunter2secret&x=1", "hunter2secret"),
        ("x-functions-key: fUnCt1onKey==", "fUnCt1onKey"),
        ("{'x-functions-key': 'fUnCt1onKey=='}", "fUnCt1onKey"),
        ("X-IDENTITY-HEADER: 853b9a84-5bfa", "853b9a84-5bfa"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1\n-----END OPENSSH PRIVATE KEY-----", "b3BlbnNzaC1"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEcut off", "MIIEcut"),
    ],
)
def test_secrets_are_hidden(lines: io.StringIO, text: str, secret: str) -> None:
    log.warning("it said %s", text)
    assert secret not in lines.getvalue()
    assert "(hidden)" in written(lines)[0]["message"]


@pytest.mark.parametrize(
    "text",
    [
        "Spoke 1 is reserved for acme-corp: deploy-acme-corp-1733888400-1f3a",
        "PUT /subscriptions/x/resourceGroups/hub-rg/providers/Microsoft.Network/virtualNetworks/spoke-vnet-1: 201",
        "Quota exceeded for Standard_B2s in eastus: 4 of 4 vCPUs used",
        "the code QuotaExceeded, key: none",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert logs.redacted(text) == text


@given(st.text())
def test_any_message_is_one_line_of_json(text: str) -> None:
    record = logging.LogRecord("shared.x", logging.INFO, "file", 1, text, None, None)
    line = logs.JsonLine().format(record)
    assert "\n" not in line
    assert json.loads(line)["level"] == "INFO"


def test_arguments_that_do_not_fit_are_no_error(lines: io.StringIO) -> None:
    log.info("%d of %d", "one")
    assert "one" in written(lines)[0]["message"]


def test_configure_fits_into_a_handler_that_is_there(settings: Settings) -> None:
    """As under the Functions worker, whose handler forwards what its formatter makes of a record."""
    forwarded: list[str] = []

    class Forwarding(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            forwarded.append(self.format(record))

    root, handler = logging.getLogger(), Forwarding()
    root.addHandler(handler)
    before = len(root.handlers)
    try:
        for _ in range(3):
            logs.configure(settings)
        with logs.context(spoke_id=5):
            logging.getLogger("activities.steps.vnet").info("code=%s", "abc", extra={})
    finally:
        root.removeHandler(handler)
    assert len(root.handlers) == before - 1
    assert len([one for one in handler.filters if isinstance(one, logs.AboutFilter)]) == 1
    assert [json.loads(line)["spoke_id"] for line in forwarded] == [5]


def test_the_sdks_are_quiet(settings: Settings) -> None:
    logs.configure(settings)
    assert not logging.getLogger("azure.core.pipeline.policies.http_logging_policy").isEnabledFor(logging.INFO)
    assert logging.getLogger("shared.tables").isEnabledFor(logging.INFO)
    assert not logging.getLogger("shared.tables").isEnabledFor(logging.DEBUG)


def alone(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter, with nothing but these settings."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**ENVIRONMENT, "PYTHONPATH": str(ROOT), **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


def test_without_a_handler_lines_go_to_standard_error() -> None:
    ended = alone(
        "import logging, sys\n"
        "from shared.process import logs\n"
        "with logs.context(spoke_id=3): logging.getLogger('triggers.spokes').warning('hello')\n"
        "assert not [name for name in sys.modules if 'opentelemetry' in name]\n"
    )
    assert json.loads(ended.stderr)["message"] == "hello"
    assert ended.stdout == ""


def test_bad_settings_do_not_stop_a_line_nor_change_its_form() -> None:
    code = "import logging\nfrom shared.process import logs\nwith logs.context(spoke_id=3): logging.warning('hello')\n"
    line = json.loads(alone(code, HUB_VNET_NAME="", APPLICATIONINSIGHTS_CONNECTION_STRING="rubbish").stderr)
    assert (line["message"], line["spoke_id"]) == ("hello", 3)


class IdentityEndpoint(ThreadingHTTPServer):
    """The identity endpoint of a function app; it keeps what it was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _TokenRequest)
        self.asked: list[dict[str, list[str]]] = []
        self.was_asked = threading.Event()


class _TokenRequest(BaseHTTPRequestHandler):
    server: IdentityEndpoint

    def do_GET(self) -> None:
        self.server.asked.append(parse_qs(urlsplit(self.path).query))
        self.server.was_asked.set()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"access_token": "token", "expires_on": str(2**31)}).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on standard error."""


def test_application_insights_is_reached_with_the_identity_that_its_setting_names() -> None:
    """A component without local authentication takes nothing else. The exporter reads the setting by itself: ours and the
    worker's are the same."""
    code = """
import logging
from shared.process import logs
from shared.settings import current_settings
logs.configure(current_settings())
from opentelemetry._logs import get_logger_provider
logging.getLogger("activities.steps.vm").warning("a line")
get_logger_provider().force_flush()
"""
    with IdentityEndpoint() as identity:
        thread = threading.Thread(target=identity.serve_forever)
        thread.start()
        environment = ENVIRONMENT | {
            "PYTHONPATH": str(ROOT),
            "APPLICATIONINSIGHTS_CONNECTION_STRING": (
                "InstrumentationKey=00000000-0000-0000-0000-000000000000;IngestionEndpoint=https://127.0.0.1:1/"
            ),
            "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": "Authorization=AAD;ClientId=the-client-id",
            "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
            "IDENTITY_ENDPOINT": f"http://127.0.0.1:{identity.server_address[1]}/token",
            "IDENTITY_HEADER": "header",
            "NO_PROXY": "127.0.0.1",
        }
        # It is killed when it has asked for a token: sending would be tried again for a minute.
        exporting = subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=ROOT, stderr=subprocess.DEVNULL)
        try:
            identity.was_asked.wait(60)
        finally:
            exporting.kill()
            exporting.wait()
            identity.shutdown()
            thread.join()
    assert identity.asked
    assert {each["client_id"][0] for each in identity.asked} == {"the-client-id"}
    assert {each["resource"][0] for each in identity.asked} == {"https://monitor.azure.com/"}


def test_application_insights_gets_the_fields_as_dimensions_and_each_line_of_a_thread_once_under_its_operation() -> (
    None
):
    """Its exporter is attached to the root logger, and what it is handed carries the fields and no secret.

    As with the worker's own exporter, each invocation's operation is current in the function's task or thread.
    """
    code = """
import asyncio, json, logging, os
from functools import partial
from shared.process import logs
from shared.process.blocking import ARM, in_tables_thread, side_by_side
from shared.settings import current_settings
logs.configure(current_settings())
from opentelemetry import context, trace
from opentelemetry._logs import get_logger_provider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
exported = InMemoryLogRecordExporter()
get_logger_provider().add_log_record_processor(SimpleLogRecordProcessor(exported))
with logs.context(deployment_id="deploy-acme-1-abcd", spoke_id=3, step="create_vm"):
    logging.getLogger("activities.steps.vm").info("from ?code=%s", "x")
(line,) = (each.log_record for each in exported.get_finished_logs())
fields = {**line.attributes, "body": line.body}
exported.clear()
log = logging.getLogger("activities.steps.peering")

def make_current(operation):
    parent = trace.SpanContext(operation, 1, True, trace.TraceFlags(1))
    context.attach(trace.set_span_in_context(trace.NonRecordingSpan(parent)))

def work(name):
    with logs.context(step=name):
        log.warning("%s is written", name)
        logging.getLogger("azure.core").info("a request")
        logging.getLogger("azure_functions_worker").info("an invocation")

async def function(operation, name):
    make_current(operation)
    with logs.context(deployment_id=f"deploy-{name}-1-abcd"):
        await in_tables_thread(work, name)

async def functions():
    await asyncio.gather(*(asyncio.create_task(function(number, f"step-{number}")) for number in (11, 12, 13)))

asyncio.run(functions())
make_current(14)
with logs.context(deployment_id="deploy-step-14-1-abcd"):
    side_by_side(ARM, [partial(work, "step-14")], 8)
lines = [each.log_record for each in exported.get_finished_logs()]
found = [[line.trace_id, line.body, line.attributes["deployment_id"], line.attributes["step"]] for line in lines]
print(json.dumps([fields, found]), flush=True)
os._exit(0)  # without the exporter's attempts to reach Azure
"""
    ended = alone(
        code,
        APPLICATIONINSIGHTS_CONNECTION_STRING=(
            "InstrumentationKey=00000000-0000-0000-0000-000000000000;IngestionEndpoint=https://127.0.0.1:1/"
        ),
        APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL="true",
    )
    fields, lines = json.loads(ended.stdout)
    assert fields["deployment_id"] == "deploy-acme-1-abcd"
    assert (fields["spoke_id"], fields["step"]) == (3, "create_vm")
    assert fields["body"] == "from ?code=(hidden)"
    assert sorted(lines) == [
        [number, f"step-{number} is written", f"deploy-step-{number}-1-abcd", f"step-{number}"]
        for number in (11, 12, 13, 14)
    ]


@pytest.mark.parametrize("name", logs.QUIET_LOGGERS)
def test_what_the_sdks_and_the_worker_say_of_every_call_is_quiet(settings: Settings, name: str) -> None:
    logs.configure(settings)
    assert not logging.getLogger(f"{name}.something").isEnabledFor(logging.INFO)
    assert logging.getLogger(f"{name}.something").isEnabledFor(logging.WARNING)
