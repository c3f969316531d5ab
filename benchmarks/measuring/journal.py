"""What the stand-in was asked and what it did, read from its state: the journal's copy by HTTP would be a gigabyte."""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

Document = dict[str, Any]

HUB_SIDE = "/virtualnetworks/hub-vnet/virtualnetworkpeerings/"
PEERING = "/virtualnetworkpeerings/"
GATEWAY = "/applicationgateways/"


@dataclass(frozen=True)
class Request:
    """One line of the journal. `at` is when it was answered, in seconds since 1970."""

    at: float
    method: str
    path: str
    status: int

    @property
    def writes(self) -> bool:
        return self.method not in ("GET", "HEAD")

    @property
    def refused(self) -> bool:
        return self.status >= 400 and not (self.method == "GET" and self.status == 404)

    @property
    def polls(self) -> bool:
        return "/operations/" in self.path or "/operationresults/" in self.path or "/diskoperations/" in self.path


@dataclass(frozen=True)
class Operation:
    """One long operation, from its beginning to its own end."""

    id: str
    method: str
    target: str
    status: str
    started: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.started


class Journal:
    """A stand-in's journal and operations since a moment, as they are now. Paths and ids are in lower case."""

    def __init__(self, state: Path, since: float = 0.0) -> None:
        database = sqlite3.connect(f"file:{state / 'azure' / 'azure.sqlite'}?mode=ro", uri=True)
        try:
            rows = database.execute("SELECT time, method, path, status FROM journal ORDER BY n").fetchall()
            documents = database.execute("SELECT doc FROM operations").fetchall()
        finally:
            database.close()
        self.requests = [
            Request(datetime.fromisoformat(at).timestamp(), method, path.lower(), status)
            for at, method, path, status in rows
        ]
        self.requests = [each for each in self.requests if each.at >= since]
        self.operations = sorted(
            (each for (text,) in documents if (each := _operation(json.loads(text))).started >= since),
            key=lambda each: each.started,
        )

    def of(self, part: str, method: str = "PUT") -> list[Operation]:
        """Operations on what has `part` in its id."""
        return [each for each in self.operations if part in each.target and each.method == method]

    def of_spoke(self, number: int) -> list[Operation]:
        """The operations on what belongs to one spoke alone."""
        names = {f"spoke-vnet-{number}", f"spoke-nsg-{number}", f"vm-{number}", f"vm-{number}-nic"}
        names.add(f"hub-to-spoke-{number}")
        return [each for each in self.operations if not names.isdisjoint(each.target.split("/"))]

    def seen_after(self, operation: Operation) -> float:
        """Seconds from an operation's beginning to the first answer that could tell the asker of its end."""
        for request in self.requests:
            if request.at >= operation.ended and operation.id in request.path:
                return request.at - operation.started
        return operation.seconds

    def calls(self) -> int:
        return len(self.requests)

    def refusals(self, part: str) -> int:
        """Writes of what has `part` in its path that were refused."""
        return sum(1 for each in self.requests if each.writes and each.refused and part in each.path)

    def superseded(self) -> int:
        return sum(1 for each in self.operations if each.status == "Canceled")

    def hub_idle_share(self) -> float:
        """How much of the time in which spokes waited for the hub nothing was being written there.

        They wait from the moment at which the first VM is begun (the peerings are asked for together with the VMs) until
        the last hub side has ended.
        """
        sides = self.of(HUB_SIDE)
        begun = min(min(each.started for each in self.of("/virtualmachines/")), sides[0].started)
        ended = max(each.ended for each in sides)
        return 1 - busy_seconds(sides) / (ended - begun)

    def hub_gaps(self) -> list[float]:
        """Seconds between one hub side's end and the next one's beginning."""
        return [after.started - before.ended for before, after in pairwise(self.of(HUB_SIDE))]

    def gateway_windows(self) -> list[float]:
        """Of each PUT of the gateway, the seconds between the answer to the last GET before it and its own."""
        windows, seen = [], None
        for each in self.requests:
            if not each.path.rstrip("/").rsplit("/", 1)[0].endswith(GATEWAY.rstrip("/")):
                continue
            if each.method == "GET":
                seen = each.at
            elif each.method == "PUT" and seen is not None and not each.refused:
                windows.append(each.at - seen)
        return windows


def busy_seconds(operations: Iterable[Operation]) -> float:
    """The time in which at least one of them ran."""
    busy, until = 0.0, 0.0
    for each in sorted(operations, key=lambda each: each.started):
        busy += max(each.ended - max(each.started, until), 0.0)
        until = max(until, each.ended)
    return busy


def _operation(document: Document) -> Operation:
    return Operation(
        id=document["id"],
        method=document["method"],
        target=document["target"].lower(),
        status=document["status"],
        started=document["started"],
        ended=document["ended"] or document["ends"] or document["started"],
    )
