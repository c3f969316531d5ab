"""The three answers about an instance, read from a server that answers as it is told."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from urllib.parse import unquote

import pytest
from azure.durable_functions import DurableOrchestrationClient

from local.processes import free_port
from shared.writers.instances import NOT_KNOWN, NOT_THERE, status_of


class Answering(HTTPServer):
    """Answers everything alike, and notes what it was asked."""

    answer: tuple[int, bytes] = (200, b"")

    def __init__(self) -> None:
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Answering

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        code, body = self.server.answer
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture(scope="module")
def server() -> Iterator[Answering]:
    with Answering() as made:
        Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


def client_of(port: int) -> DurableOrchestrationClient:
    urls = {"rpcBaseUrl": f"http://127.0.0.1:{port}/durabletask/", "creationUrls": {}, "managementUrls": {}}
    return DurableOrchestrationClient(json.dumps({"taskHubName": "hub", **urls}))


def status_from(port: int, instance_id: str = "run-1") -> str:
    async def ask() -> str:
        from azure.durable_functions.models.utils.http_utils import _close_session

        # The SDK keeps one session in a process: that of a test before belongs to a loop that is closed.
        with contextlib.suppress(RuntimeError):
            await _close_session()
        try:
            return await status_of(client_of(port), instance_id)
        finally:
            await _close_session()

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("code", "body", "expected"),
    [
        (200, {"runtimeStatus": "Completed"}, "Completed"),
        (200, {"runtimeStatus": "Failed"}, "Failed"),
        (202, {"runtimeStatus": "Running"}, "Running"),
        (202, {"runtimeStatus": "Suspended"}, "Suspended"),
        (404, None, NOT_THERE),
        (500, None, NOT_KNOWN),
        (500, {"Message": "Something went wrong while processing your request"}, NOT_KNOWN),
        (500, {"runtimeStatus": "Failed"}, NOT_KNOWN),
        (400, {"Message": "no"}, NOT_KNOWN),
        (503, None, NOT_KNOWN),
        (200, {"runtimeStatus": "Odd"}, NOT_KNOWN),
        (200, [], NOT_KNOWN),
        (202, None, NOT_KNOWN),
    ],
)
def test_only_404_means_that_an_instance_is_not_there(
    server: Answering, code: int, body: object, expected: str
) -> None:
    server.answer = (code, b"" if body is None else json.dumps(body).encode())
    assert status_from(server.server_port) == expected


def test_an_answer_that_is_no_json_and_no_answer_at_all_are_not_known(server: Answering) -> None:
    server.answer = (404, b"<html>")
    assert status_from(server.server_port) == NOT_KNOWN
    assert status_from(free_port()) == NOT_KNOWN


def test_a_steps_instance_is_asked_for_by_its_whole_id(server: Answering) -> None:
    server.answer = (404, b"")
    status_from(server.server_port, "deploy-a-1-2:create_vm")
    assert unquote(server.asked[-1]) == "/durabletask/instances/deploy-a-1-2:create_vm"
