"""The whole app on a running stack: hosts killed at random, and a storm of faults. All end well, nothing leaks, and
progress never lies."""

import json
import os
import random
import signal
import time
from collections.abc import Iterable
from typing import Any

import httpx
import pytest

from local.stack import Stack
from tests.e2e.client import GONE, Api, request_for
from tests.e2e.conftest import StartStack, start_stack
from tests.faults.progress import assert_moves_on
from tests.faults.simulation import _alike

__all__ = ["start_stack"]

Document = dict[str, Any]
UNDER_WAY = frozenset({"accepted", "in_progress", "rolling_back", "deleting"})
FULL = pytest.mark.full
# What the gateway's writer doesn't know the end of it waits out: a little longer than a request may take.
SHORT_REQUESTS = {"ARM_TIMEOUT_SECONDS": "5"}
# An activity or a look that meets a fault is tried again soon: it is the stand-in's time that is scaled, not the table's.
PATIENT = {"RETRY_FIRST_SECONDS": "0.1", "RETRY_MAX_SECONDS": "1", **SHORT_REQUESTS}

# 30 % of all calls of Azure Resource Manager, one in ten calls of the tables.
ARM_STORM: list[dict[str, Any]] = [
    {"mode": "refuse", "status": 429, "code": "TooManyRequests", "retry_after": 1},
    {"mode": "refuse", "status": 409, "code": "AnotherOperationInProgress"},
    {"mode": "refuse", "status": 500},
    {"mode": "refuse", "status": 0},
    {"mode": "drop_reply"},
]
TABLES_STORM = [{"mode": mode} for mode in ("busy", "timeout", "drop_before", "drop_after")]


class Observer:
    """Looks at many spokes at once, until all have finished; no look may contradict an earlier one."""

    def __init__(self, api: Api, spokes: Iterable[int]) -> None:
        self.api = api
        self.open = set(spokes)
        self.last: dict[str, Document] = {}
        self.ended: dict[int, str] = {}
        self.looks = 0

    def look(self) -> None:
        for spoke_id in sorted(self.open):
            try:
                answer = self.api.http.get(f"/spokes/{spoke_id}/progress")
            except httpx.TransportError:
                continue  # the host is being started again
            if answer.status_code == 404:
                self._has_ended(spoke_id, GONE)
            if answer.status_code != 200:
                continue
            self.looks += 1
            now = answer.json()
            run = now["deployment_id"]
            assert_moves_on(self.last.get(run), now)
            self.last[run] = now
            if now["status"] not in UNDER_WAY:
                self._has_ended(spoke_id, now["status"])

    def _has_ended(self, spoke_id: int, status: str) -> None:
        self.ended[spoke_id] = status
        self.open.discard(spoke_id)

    def all_end_as(self, *expected: str, seconds: float) -> None:
        """Waits until all have finished, and prints the history of one that ended otherwise."""
        self.until_all_have_ended(seconds)
        others = {n: status for n, status in self.ended.items() if status not in expected}
        stories = [last for last in self.last.values() if last["spoke_id"] in others]
        assert not others, json.dumps(stories, indent=1)

    def until_all_have_ended(self, seconds: float) -> dict[int, str]:
        latest = time.monotonic() + seconds
        while self.open:
            self.look()
            assert time.monotonic() < latest, {
                run: last for run, last in self.last.items() if last["status"] in UNDER_WAY
            }
            time.sleep(0.05)
        return self.ended


def kill_host(stack: Stack) -> None:
    """Kills a host that lives: the one killed last may still be known, and its successor not yet."""
    latest = time.monotonic() + 60
    while time.monotonic() < latest:
        try:
            os.kill(stack.endpoints["pids"]["functions"], signal.SIGKILL)
        except ProcessLookupError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the host has not been started again")


def patiently(call: Any, *given: Any) -> httpx.Response:
    """A call that is repeated while the host is down or the tables don't answer."""
    latest = time.monotonic() + 60
    while True:
        try:
            answer: httpx.Response = call(*given)
            if answer.status_code < 500:
                return answer
            problem = answer.text
        except httpx.TransportError as lost:
            problem = repr(lost)
        assert time.monotonic() < latest, problem
        time.sleep(0.1)


def resources_of(api: Api) -> dict[str, Document]:
    return {each["id"].lower(): _alike(each) for each in api.arm_resources()}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("deployments", "deletes", "kills", "seconds", "settings"),
    [(6, 3, 2, 240, SHORT_REQUESTS), pytest.param(50, 25, 15, 1500, {}, marks=FULL)],
)
def test_random_kills(
    start_stack: StartStack, deployments: int, deletes: int, kills: int, seconds: float, settings: dict[str, str]
) -> None:
    dice = random.Random(6)
    with start_stack(settings=settings) as stack, Api(stack) as api:
        before = resources_of(api)
        for spoke_id in range(1, deployments + 1):
            answer = patiently(lambda n=spoke_id: api.post_spoke(request_for(n), idempotency_key=f"kills-{n}"))
            assert answer.status_code == 202, answer.text
        observer = Observer(api, range(1, deployments + 1))
        for _ in range(kills - kills // 2):
            for _ in range(dice.randrange(3, 9)):
                observer.look()
            kill_host(stack)
        observer.all_end_as("completed", seconds=seconds)

        gone = list(range(1, deletes + 1))
        for spoke_id in gone:
            assert patiently(api.delete, spoke_id).status_code in (202, 404)
        observer = Observer(api, gone)
        for _ in range(kills // 2):
            for _ in range(dice.randrange(2, 6)):
                observer.look()
            kill_host(stack)
        observer.all_end_as(GONE, "deleted", seconds=seconds)

        for spoke_id in range(deletes + 1, deployments + 1):
            assert patiently(api.delete, spoke_id).status_code == 202
        rest = Observer(api, range(deletes + 1, deployments + 1))
        rest.all_end_as(GONE, "deleted", seconds=seconds)
        assert resources_of(api) == before


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("spokes", "seconds"), [(5, 240), pytest.param(50, 1500, marks=FULL)])
def test_a_storm_of_faults(start_stack: StartStack, spokes: int, seconds: float) -> None:
    arm = [{**fault, "times": None, "probability": 0.3 / len(ARM_STORM)} for fault in ARM_STORM]
    tables = [{**fault, "probability": 0.1 / len(TABLES_STORM)} for fault in TABLES_STORM]
    with start_stack(tables_proxy=True, settings=PATIENT) as stack, Api(stack) as api:
        with api.arm_faults(*arm), api.tables_faults(*tables):
            for spoke_id in range(1, spokes + 1):
                answer = patiently(lambda n=spoke_id: api.post_spoke(request_for(n), idempotency_key=f"storm-{n}"))
                assert answer.status_code == 202, answer.text
            observer = Observer(api, range(1, spokes + 1))
            ended = observer.until_all_have_ended(seconds)
        assert ended == dict.fromkeys(range(1, spokes + 1), "completed"), {
            run: last["error"] for run, last in observer.last.items() if last["status"] != "completed"
        }
        hosts = {n: api.spoke(n).json()["agw"]["host_name"] for n in ended}
        assert {n: api.route(host).json()["pool"] for n, host in hosts.items()} == {
            n: f"client-{n}-pool" for n in ended
        }
