"""The whole app on a running stack: hosts killed at random, and a storm of faults. All end well, nothing leaks, and
progress never lies."""

import json
import os
import random
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.recipes import ROOT
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


TWO_HUBS = ROOT / "samples" / "two-hubs.json"


def ids_of(count: int, hubs: Path | None) -> list[int]:
    """Of so many spokes; where there are two hubs, every other one is the second's."""
    return [number if hubs is None or number % 2 else 1000 + number for number in range(1, count + 1)]


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
            time.sleep(0.3)
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
    ("deployments", "deletes", "kills", "seconds", "settings", "hubs"),
    [
        (2, 2, 2, 240, SHORT_REQUESTS, TWO_HUBS),
        pytest.param(50, 25, 15, 1500, {}, None, marks=FULL),
        pytest.param(50, 25, 15, 1500, {}, TWO_HUBS, marks=FULL),
    ],
)
def test_random_kills(
    start_stack: StartStack,
    deployments: int,
    deletes: int,
    kills: int,
    seconds: float,
    settings: dict[str, str],
    hubs: Path | None,
) -> None:
    dice, spokes = random.Random(6), ids_of(deployments, hubs)
    with start_stack(settings=settings, hubs=hubs) as stack, Api(stack) as api:
        before = resources_of(api)
        for spoke_id in spokes:
            answer = patiently(lambda n=spoke_id: api.post_spoke(request_for(n), idempotency_key=f"kills-{n}"))
            assert answer.status_code == 202, answer.text
        observer = Observer(api, spokes)
        for _ in range(kills - kills // 2):
            for _ in range(dice.randrange(3, 9)):
                observer.look()
            kill_host(stack)
        observer.all_end_as("completed", seconds=seconds)

        gone = spokes[:deletes]
        for spoke_id in gone:
            assert patiently(api.delete, spoke_id).status_code in (202, 404)
        observer = Observer(api, gone)
        for _ in range(kills // 2):
            for _ in range(dice.randrange(2, 6)):
                observer.look()
            kill_host(stack)
        observer.all_end_as(GONE, "deleted", seconds=seconds)

        for spoke_id in spokes[deletes:]:
            assert patiently(api.delete, spoke_id).status_code == 202
        rest = Observer(api, spokes[deletes:])
        rest.all_end_as(GONE, "deleted", seconds=seconds)
        assert resources_of(api) == before


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("count", "seconds", "hubs"),
    [(3, 240, None), pytest.param(50, 1500, None, marks=FULL), pytest.param(50, 1500, TWO_HUBS, marks=FULL)],
)
def test_a_storm_of_faults(start_stack: StartStack, count: int, seconds: float, hubs: Path | None) -> None:
    spokes = ids_of(count, hubs)
    arm = [{**fault, "times": None, "probability": 0.3 / len(ARM_STORM)} for fault in ARM_STORM]
    tables = [{**fault, "probability": 0.1 / len(TABLES_STORM)} for fault in TABLES_STORM]
    with start_stack(tables_proxy=True, settings=PATIENT, hubs=hubs) as stack, Api(stack) as api:
        with api.arm_faults(*arm), api.tables_faults(*tables):
            for spoke_id in spokes:
                answer = patiently(lambda n=spoke_id: api.post_spoke(request_for(n), idempotency_key=f"storm-{n}"))
                assert answer.status_code == 202, answer.text
            observer = Observer(api, spokes)
            ended = observer.until_all_have_ended(seconds)
        assert ended == dict.fromkeys(spokes, "completed"), {
            run: last["error"] for run, last in observer.last.items() if last["status"] != "completed"
        }
        sites = {n: api.spoke(n).json()["agw"] for n in ended}
        reached = {n: api.route(site["host_name"], gateway=site.get("gateway", "hub-agw")) for n, site in sites.items()}
        assert {n: answer.json()["pool"] for n, answer in reached.items()} == {n: f"client-{n}-pool" for n in ended}
