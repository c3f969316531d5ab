"""The whole stack: a deployment that someone terminates by Durable's own URL leaves nothing behind."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.stack import Stack
from tests.e2e.client import SECONDS_BETWEEN_POLLS, Api, request_for

# A VM takes 2.3 s to make: time to terminate the orchestration meanwhile.
TIME_SCALE = 0.05
SECONDS = 90


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    # The sweeper waits as long as a call of a child may be under way: ARM's timeout.
    with Stack(tmp_path, time_scale=TIME_SCALE, settings={"ARM_TIMEOUT_SECONDS": "2"}) as stack, Api(stack) as client:
        yield client


def tick(api: Api) -> None:
    """Lets the timer fire now."""
    root = str(api.http.base_url).rstrip("/").removesuffix("/api")
    key = {"x-functions-key": api.stack.endpoints["master_key"]}
    url = f"{root}/admin/functions/sweep_terminated_runs"
    answer = httpx.post(url, json={"input": ""}, headers=key, trust_env=False, timeout=60)
    assert answer.status_code == 202, answer.text


def step(progress: dict[str, Any], name: str) -> str:
    return next(str(each["status"]) for each in progress["deployment_steps"] if each["step_name"] == name)


def test_a_terminated_deployment_is_rolled_back(api: Api) -> None:
    before = {resource["id"].lower() for resource in api.arm_resources()}
    created = api.accepted(request_for(7))
    until(lambda: step(api.progress(7), "create_vm") == "in_progress")
    answer = httpx.post(created["statusQueryGetUri"].replace("?", "/terminate?reason=by-hand&"), trust_env=False)
    assert answer.status_code == 202, answer.text

    def is_handed_over() -> bool:
        tick(api)
        return bool(api.progress(7)["deployment_id"] != created["deployment_id"])

    # Not before a call can be over that was under way.
    until(is_handed_over, every=0.5)
    spoke = api.wait_until(7, "failed", seconds=SECONDS)
    assert "terminated" in spoke["error"]["message"]
    assert spoke["left_behind"] == []
    assert {resource["id"].lower() for resource in api.arm_resources()} == before

    def has_ended() -> bool:
        tick(api)
        return bool(api.deployment(created["deployment_id"])["status"] == "failed")

    # The dead run ends as its successor did.
    until(has_ended)
    assert "sweeper" in api.deployment(created["deployment_id"])["note"]

    # The id is free again.
    api.deployed(request_for(7), seconds=SECONDS)


def until(what: Callable[[], bool], every: float = SECONDS_BETWEEN_POLLS) -> None:
    latest = time.monotonic() + SECONDS
    while not what():
        assert time.monotonic() < latest
        time.sleep(every)
