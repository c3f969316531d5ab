"""What tests of the API do again and again."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import httpx
from pydantic import BaseModel, create_model

from triggers.http.openapi import SHAPES
from triggers.http.responses import ErrorAnswer

Body = dict[str, Any]

# So many callers at once: each meets another in any part of its call.
CROWD = 4


def a_request(client_name: str) -> Body:
    """A request for a spoke of this client."""
    return {
        "client_name": client_name,
        "vm_name": f"vm-{client_name}",
        "vm_size": "Standard_B2s",
        "admin_username": "azureuser",
        "ssh_public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJFPNCFoTy+GNqzeT9tbAh6XAz3RiVuhXOD7cqUMmiUI a@b",
    }


def conforms(body: Any, shape: type) -> None:
    """Whether an answer is what the document says, field for field."""
    _holding(shape).model_validate({"body": body})


@cache
def _holding(shape: type) -> type[BaseModel]:
    return create_model("Held", __config__=SHAPES, body=(shape, ...))


def caller(announced: dict[str, Any], *, seconds: float = 60, connections: int = 100) -> httpx.Client:
    """A caller with a function key of the host that has announced this."""
    return httpx.Client(
        base_url=announced["api"],
        headers={"x-functions-key": announced["function_key"]},
        timeout=seconds,
        trust_env=False,
        limits=httpx.Limits(max_connections=connections),
    )


def made(http: httpx.Client, body: Body, **headers: str) -> Body:
    answer = http.post("/spokes", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def refused(answer: httpx.Response, status: int) -> Body:
    assert answer.status_code == status, answer.text
    error: Body = answer.json()
    conforms(error, ErrorAnswer)
    return error


def until(is_so: Callable[[], object]) -> None:
    """Comes back when it is so; the test's timeout ends what never is."""
    while not is_so():
        time.sleep(0.02)


def at_once(calls: list[Callable[[], httpx.Response]]) -> list[httpx.Response]:
    with ThreadPoolExecutor(len(calls)) as threads:
        return [future.result() for future in [threads.submit(call) for call in calls]]
