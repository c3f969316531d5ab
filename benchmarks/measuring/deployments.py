"""A stack of one's own, and many deployments on it at once, timed from the POST to the finished record."""

import json
import ssl
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from local.azure.hub import Hub, read
from local.recipes import ROOT
from local.stack import Stack

Document = dict[str, Any]

UNDER_WAY = frozenset({"accepted", "in_progress"})
# Looking costs the host work: the more there is to see, the more seldom. Records tell when they ended.
SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_A_SPOKE = 0.03


@dataclass(frozen=True)
class Deployed:
    """One finished deployment; moments in seconds since 1970."""

    spoke_id: int
    posted: float
    accepted: float
    completed: float

    @property
    def seconds(self) -> float:
        return self.completed - self.posted


class Bench:
    """A running stack and a client of its API."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        endpoints = stack.endpoints
        self.http = httpx.Client(
            base_url=endpoints["api"],
            headers={"x-functions-key": endpoints["function_key"]},
            timeout=120,
            trust_env=False,
            limits=httpx.Limits(max_connections=100),
        )
        self.arm = httpx.Client(
            base_url=endpoints["arm"],
            verify=ssl.create_default_context(cafile=endpoints["ca"]),
            timeout=120,
            trust_env=False,
        )

    def close(self) -> None:
        self.http.close()
        self.arm.close()

    def raise_quota(self) -> None:
        """Room for any number of VMs: the quota isn't what is measured."""
        quotas = {"cores": 9999, "standardBSFamily": 9999}
        for hub in read(self.stack.hubs) if self.stack.hubs else (Hub(),):
            of = {"subscription_id": hub.spoke_subscription, "location": hub.location}
            self.arm.post("/_local/quota", json={"quotas": quotas, **of}).raise_for_status()

    def deploy(self, spoke_ids: Iterable[int], clients: int = 100, seconds: float = 540) -> list[Deployed]:
        """POSTs all of them side by side and waits until all are completed; raises when one is not."""
        wanted = list(spoke_ids)
        with ThreadPoolExecutor(min(len(wanted), clients)) as threads:
            posted = dict(zip(wanted, threads.map(self._post, wanted), strict=True))
        records = self._wait_for_all(set(wanted), seconds)
        return [
            Deployed(number, *posted[number], completed=moment(records[number]["deployment"]["completed_at"]))
            for number in wanted
        ]

    def _post(self, spoke_id: int) -> tuple[float, float]:
        posted = time.time()
        answer = self.http.post("/spokes", json=request_for(spoke_id))
        accepted = time.time()
        if answer.status_code != 202:
            raise RuntimeError(f"POST of spoke {spoke_id}: {answer.status_code} {answer.text}")
        return posted, accepted

    def remove(self, spoke_id: int, seconds: float = 120) -> None:
        """Takes one down again."""
        self.http.delete(f"/spokes/{spoke_id}").raise_for_status()
        latest = time.monotonic() + seconds
        while self.http.get(f"/spokes/{spoke_id}").status_code != 404:
            if time.monotonic() > latest:
                raise RuntimeError(f"spoke {spoke_id} is not gone after {seconds:g} s")
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def _wait_for_all(self, wanted: set[int], seconds: float) -> dict[int, Document]:
        latest = time.monotonic() + seconds
        while True:
            found = {each["spoke_id"]: each for each in self.spokes() if each["spoke_id"] in wanted}
            bad = [each for each in found.values() if each["status"] not in UNDER_WAY | {"completed"}]
            if bad:
                raise RuntimeError(f"spoke {bad[0]['spoke_id']} is {bad[0]['status']}: {json.dumps(bad[0]['error'])}")
            left = [each for each in found.values() if each["status"] != "completed"]
            if not left and found.keys() == wanted:
                return found
            if time.monotonic() > latest:
                raise RuntimeError(f"{len(left)} of {len(wanted)} deployments are not finished after {seconds:g} s")
            time.sleep(max(SECONDS_BETWEEN_LOOKS, SECONDS_A_SPOKE * len(wanted)))

    def spokes(self) -> list[Document]:
        answer = self.http.get("/spokes", params={"limit": "1000"})
        answer.raise_for_status()
        found: list[Document] = answer.json()["spokes"]
        return found


@contextmanager
def bench(**options: Any) -> Iterator[Bench]:
    """A fresh stack, stopped and forgotten at the end. The options are those of `Stack`."""
    with tempfile.TemporaryDirectory(prefix="bench-") as state, Stack(Path(state), **options) as stack:
        one = Bench(stack)
        try:
            one.raise_quota()
            yield one
        finally:
            one.close()


def request_for(spoke_id: int) -> Document:
    """The sample's request, for another client."""
    body: Document = json.loads((ROOT / "samples" / "acme-corp.json").read_text(encoding="utf-8"))
    return body | {"spoke_id": spoke_id, "client_name": f"client-{spoke_id}", "vm_name": f"vm-{spoke_id}"}


def moment(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()
