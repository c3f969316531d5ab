"""Long operations as ARM runs them: what the first answer carries, what a poll answers, and when they end.

Which form each provider uses is recorded [R]. Nothing runs in the background: every request first settles the
operations whose end has passed, in the order of their ends, so a killed process loses nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from local.azure import ids
from local.azure.clock import Clock
from local.azure.store import Json, Store

IN_PROGRESS, SUCCEEDED, FAILED, CANCELED = "InProgress", "Succeeded", "Failed", "Canceled"
_SIGNED_FILLER_BYTES = 2200  # with base64 and the rest, a URL of about 3.1 KB, as since 2024


@dataclass(slots=True)
class Operation:
    """One long operation. `ends` is None when it never will by itself."""

    id: str
    name: str
    verb: str
    method: str
    path: str
    target: str
    location: str
    form: str
    api_version: str
    started: float
    ends: float | None
    retry_after: float
    holds: list[str] = field(default_factory=list)
    state_meanwhile: str = "Updating"
    status: str = IN_PROGRESS
    error: Json | None = None
    data: Json = field(default_factory=dict)
    ended: float | None = None

    @property
    def running(self) -> bool:
        """Whether it hasn't ended."""
        return self.status == IN_PROGRESS


class Operations:
    """Those that run, and what became of the others."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.started: list[Operation] = []
        self.finish: Callable[[Operation], None] = lambda _: None
        self.load()
        if store.meta("url_secret") is None:
            store.set_meta("url_secret", uuid.uuid4().hex)

    def load(self) -> None:
        """Memory as the table says."""
        self._running: dict[str, Operation] = {}
        self._held: dict[str, dict[str, Operation]] = {}
        for (doc,) in self._store.db.execute("SELECT doc FROM operations WHERE running = 1"):
            self._hold(Operation(**json.loads(doc)))

    def start(self, operation: Operation) -> Operation:
        """Let it run. `started` names what the present request has begun."""
        self._keep(operation)
        self.started.append(operation)
        return operation

    def new(
        self,
        *,
        name: str,
        verb: str,
        method: str,
        path: str,
        target: str,
        location: str,
        form: str,
        api_version: str,
        seconds: float,
        retry_after: float,
        **more: Any,
    ) -> Operation:
        """An operation that begins now and takes so many of Azure's seconds."""
        now = self._clock.now()
        more["holds"] = [ids.key(each) for each in more.get("holds", [target])]
        return Operation(
            id=str(uuid.uuid4()),
            name=name,
            verb=verb,
            method=method,
            path=path,
            target=target,
            location=location,
            form=form,
            api_version=api_version,
            started=now,
            ends=now + self._clock.scaled(seconds),
            retry_after=retry_after,
            **more,
        )

    def holding(self, resource_id: str) -> Operation | None:
        """The operation that has this resource in its hands."""
        held = self._held.get(ids.key(resource_id))
        return next(iter(held.values())) if held else None

    def running(self) -> list[Operation]:
        """All that haven't ended."""
        return list(self._running.values())

    def find(self, operation_id: str) -> Operation | None:
        """One, running or ended."""
        if operation_id in self._running:
            return self._running[operation_id]
        row = self._store.db.execute("SELECT doc FROM operations WHERE id = ?", (operation_id,)).fetchone()
        return Operation(**json.loads(row[0])) if row else None

    def settle(self) -> None:
        """End every operation whose time has come."""
        now = self._clock.now()
        while True:
            due = [each for each in self._running.values() if each.ends is not None and each.ends <= now]
            if not due:
                return
            self.end(min(due, key=lambda each: each.ends or 0.0))

    def end(self, operation: Operation) -> None:
        """Let it take effect."""
        before = operation.status
        operation.status = FAILED if operation.error else SUCCEEDED
        operation.ended = operation.ends if operation.ends is not None else self._clock.now()
        self._store.on_undo(lambda: self._back_to(operation, before))
        self._keep(operation)
        self.finish(operation)

    def cancel(self, operation: Operation, error: Json) -> None:
        """End it without effect: another one took its place."""
        operation.status = CANCELED
        operation.error = error
        operation.ended = self._clock.now()
        self._store.on_undo(lambda: self._back_to(operation, IN_PROGRESS))
        self._keep(operation)

    def save(self, operation: Operation) -> None:
        """Keep what was changed on a running one."""
        self._keep(operation)

    def clear(self) -> None:
        """Forget all of them."""
        for operation in self.running():
            self._release(operation)
            self._store.on_undo(partial(self._hold, operation))
        self._store.db.execute("DELETE FROM operations")

    def _back_to(self, operation: Operation, status: str) -> None:
        operation.status = status
        operation.ended = None
        self._hold(operation)

    def _keep(self, operation: Operation) -> None:
        known = operation.id in self._running
        if operation.running:
            self._hold(operation)
            if not known:
                self._store.on_undo(lambda: self._release(operation))
        else:
            self._release(operation)
        self._store.db.execute(
            "INSERT OR REPLACE INTO operations VALUES (?, ?, ?)",
            (operation.id, int(operation.running), json.dumps(asdict(operation), separators=(",", ":"))),
        )

    def _hold(self, operation: Operation) -> None:
        self._running[operation.id] = operation
        for key in operation.holds:
            self._held.setdefault(key, {})[operation.id] = operation

    def _release(self, operation: Operation) -> None:
        self._running.pop(operation.id, None)
        for key in operation.holds:
            held = self._held.get(key, {})
            held.pop(operation.id, None)
            if not held:
                self._held.pop(key, None)

    # -- URLs

    def base_url(self, operation: Operation, host: str, results: bool = False) -> str:
        """The address of an operation without its signature, as error messages name it."""
        namespace = "Microsoft.Network" if operation.form == "network" else "Microsoft.Compute"
        kind = {"network": "operationResults" if results else "operations", "disk": "DiskOperations"}.get(
            operation.form, "operations"
        )
        url = (
            f"https://{host}/subscriptions/{ids.subscription_of(operation.target)}/providers/{namespace}"
            f"/locations/{operation.location}/{kind}/{operation.id}"
        )
        query = "?"
        if operation.form == "disk":
            query += f"p={ids.PRINCIPAL_ID}&"
        if operation.form != "network" and results:
            query += "monitor=true&"
        return f"{url}{query}api-version={operation.api_version}"

    def signed_url(self, operation: Operation, host: str, results: bool = False) -> str:
        """The long address that has to be replayed as it is (since 2024 about 3.1 KB)."""
        url = self.base_url(operation, host, results)
        return f"{url}&{self._signature(operation.id)}"

    def accepts(self, operation_id: str, query: str) -> bool:
        """Whether a poll's query is as it was given out: unsigned, or with the whole signature."""
        carries = re.findall(r"(?:^|&)([tcsh]=[^&]*)", query)
        return not carries or "&".join(carries) == self._signature(operation_id)

    def _signature(self, operation_id: str) -> str:
        secret = str(self._store.meta("url_secret")).encode()
        seed = hmac.digest(secret, operation_id.encode(), "sha256")
        ticks = 638_000_000_000_000_000 + int.from_bytes(seed[:6], "big")
        filler = hashlib.shake_256(seed).digest(_SIGNED_FILLER_BYTES)
        return "&".join(
            (
                f"t={ticks}",
                f"c={base64.urlsafe_b64encode(filler).decode().rstrip('=')}",
                f"s={base64.urlsafe_b64encode(hashlib.sha512(seed).digest()).decode().rstrip('=')}",
                f"h={base64.urlsafe_b64encode(seed).decode().rstrip('=')}",
            )
        )

    # -- answers

    def first_headers(self, operation: Operation, host: str) -> dict[str, str]:
        """What the answer that accepts an operation carries."""
        headers = {
            "Azure-AsyncOperation": self.signed_url(operation, host),
            **self._clock.first_retry_after(operation.retry_after),
        }
        if operation.form != "disk":
            headers["Azure-AsyncNotification"] = "Enabled"
        if operation.verb != "put" or operation.form == "disk":
            headers["Location"] = self.signed_url(operation, host, results=True)
        return headers

    def poll_body(self, operation: Operation, output: Json | None) -> Json:
        """The body of a poll: the network provider's is bare, the compute provider's has times and a name."""
        if operation.form == "network":
            body: Json = {"status": operation.status}
        else:
            body = {"startTime": self._clock.timestamp(operation.started)}
            if operation.ended is not None:
                body["endTime"] = self._clock.timestamp(operation.ended)
            body["status"] = operation.status
        if operation.error is not None and not operation.running:
            body["error"] = operation.error
        if operation.form == "disk" and output is not None and operation.status == SUCCEEDED:
            body["properties"] = {"output": output}
        if operation.form != "network":
            body["name"] = operation.id
        return body
