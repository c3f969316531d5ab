"""The extension's own activity behind `call_http`: one request, and, when it is answered with 202, polls of its Location.

The orchestration gets the final answer. A host that is killed in between asks again from the start, as it runs any activity.
"""

import asyncio
from typing import Any

import httpx

SECONDS_BETWEEN_POLLS = 30.0
SECONDS_FOR_A_REQUEST = 100.0


async def call_http(request: dict[str, Any]) -> dict[str, Any]:
    if request.get("tokenSource"):
        raise ValueError("tokenSource: the local host has no managed identity to take a token from; only Azure's has")
    headers = dict(request.get("headers") or {})
    content = request.get("content")
    if content is not None and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = "application/json"
    async with httpx.AsyncClient(timeout=SECONDS_FOR_A_REQUEST, trust_env=False) as client:
        answer = await client.request(request["method"], request["uri"], content=content, headers=headers)
        # A key that opens the first address isn't meant for the one where the result will be.
        headers = {name: value for name, value in headers.items() if name.lower() != "x-functions-key"}
        while answer.status_code == httpx.codes.ACCEPTED and "location" in answer.headers and _polls(request):
            await asyncio.sleep(_pause(answer))
            answer = await client.get(answer.url.join(answer.headers["location"]), headers=headers)
    return {"statusCode": answer.status_code, "headers": dict(answer.headers), "content": answer.text}


def _polls(request: dict[str, Any]) -> bool:
    return bool(request.get("asynchronousPatternEnabled", True))


def _pause(answer: httpx.Response) -> float:
    asked = answer.headers.get("retry-after", "")
    return float(asked) if asked.isdigit() else SECONDS_BETWEEN_POLLS
