"""What tests of the API do again and again."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from pydantic import create_model

from triggers.http.openapi import SHAPES
from triggers.http.responses import ErrorAnswer

Body = dict[str, Any]


def conforms(body: Any, shape: type) -> None:
    """Whether an answer is what the document says, field for field."""
    create_model("Held", __config__=SHAPES, body=(shape, ...)).model_validate({"body": body})


def made(http: httpx.Client, body: Body, **headers: str) -> Body:
    answer = http.post("/spokes", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def refused(answer: httpx.Response, status: int) -> Body:
    assert answer.status_code == status, answer.text
    error: Body = answer.json()
    conforms(error, ErrorAnswer)
    return error


def at_once(calls: list[Callable[[], httpx.Response]]) -> list[httpx.Response]:
    with ThreadPoolExecutor(len(calls)) as threads:
        return [future.result() for future in [threads.submit(call) for call in calls]]
