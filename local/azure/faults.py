"""Faults: what goes wrong on purpose, for requests to come and for operations that run.

A fault is `{method, path, times, probability, mode, status, code, message, retry_after}`; `path` is a regular
expression searched in the request's path, `method` absent means any, `times` (1) how often it strikes and null for
ever, `probability` (1) whether it strikes when it could.

`retry_after` and `seconds` are Azure's seconds and scale as all others do.

- `refuse` answers `status` (500) with `code` and `message` before any effect; `body` and `content_type` instead of them
  give an HTML page or nothing; `status` 0 closes the connection before any effect.
- `fail_operation`: the operation that the request starts, or that such a request has started, ends Failed with `code`
  and `message`, `seconds` after it began if that is given.
- `drop_reply`: the effect happens, then the connection is closed without an answer.
- `slow`: the operation takes `seconds` (60, Azure's) longer; a request that starts none is answered that much later.
- `never_end`: the operation stays InProgress.
- `hold`: the request, to ARM or to the identity endpoint, gets no answer and has no effect before the faults are removed;
  then it is served, if its client still waits. `GET /_local/held` lists those that are held now.

`fail_operation`, `never_end` and `slow` take hold at once of an operation that runs and that a request with this method
and path has started. `refuse` and `drop_reply` reach an operation in flight through the address it is polled at.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from local.azure.errors import ArmError
from local.azure.operations import Operation
from local.azure.store import Json, Store

MODES = ("refuse", "fail_operation", "drop_reply", "slow", "never_end", "hold")
_ON_OPERATIONS = ("fail_operation", "slow", "never_end")
_CODES = {
    400: ("BadRequest", "The request was refused."),
    401: ("InvalidAuthenticationToken", "The access token is invalid."),
    403: (
        "AuthorizationFailed",
        "The client 'local' with object id 'local' does not have authorization to perform this action or the scope is "
        "invalid. If access was recently granted, please refresh your credentials.",
    ),
    404: ("NotFound", "The entity was not found in this Azure location."),
    409: ("Conflict", "The request failed due to conflict with a concurrent request."),
    429: ("TooManyRequests", "The request is being throttled."),
    500: ("InternalServerError", "Encountered internal server error."),
    502: ("BadGateway", "The gateway did not receive a response from 'Microsoft.Network' within the time allowed."),
    503: ("ServerBusy", "The server is busy. Please try again."),
    504: ("GatewayTimeout", "The gateway did not receive a response within the specified time period."),
}
_MESSAGES = {
    "AllocationFailed": "Allocation failed. We do not have sufficient capacity for the requested VM size in this region. "
    "Read more about improving likelihood of allocation success at https://aka.ms/allocation-guidance",
    "ReferencedResourceNotProvisioned": "Cannot proceed with operation because a referenced resource is not in Succeeded "
    "state.",
    "NicReservedForAnotherVm": "Nic(s) in request is reserved for another Virtual Machine for 180 seconds. Please "
    "provide another nic(s) or retry after 180 seconds.",
    "AnotherOperationInProgress": "Another operation on this or dependent resource is in progress.",
    "InternalServerError": "An error occurred.",
}


@dataclass(slots=True)
class Fault:
    """One fault."""

    mode: str
    path: str = ""
    method: str | None = None
    times: int | None = 1
    probability: float = 1.0
    status: int | None = None
    code: str | None = None
    message: str | None = None
    retry_after: float | None = None
    seconds: float | None = None
    body: str | None = None
    content_type: str | None = None
    details: list[Json] | None = None
    target: str | None = None
    n: int = 0

    def fits(self, method: str, path: str) -> bool:
        """Whether it could strike."""
        if self.method and self.method.upper() not in ("*", method.upper()):
            return False
        return re.search(self.path, path, re.IGNORECASE) is not None

    def error(self) -> Json:
        """The error of an operation that it fails."""
        code = self.code or "InternalServerError"
        error: Json = {"code": code, "message": self.message or _MESSAGES.get(code, f"The operation failed: {code}.")}
        error["details"] = self.details or []
        if self.target:
            error["target"] = self.target
        return error

    def refusal(self) -> ArmError:
        """The answer that it gives."""
        status = self.status or 500
        code, message = _CODES.get(status, ("InternalServerError", "The request failed."))
        text = self.message or (_MESSAGES.get(self.code) if self.code else None) or message
        return ArmError(
            status, self.code or code, text, retry_after=self.retry_after, details=self.details, target=self.target
        )


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0


def _status(value: Any) -> bool:
    return isinstance(value, int) and (value == 0 or 200 <= value <= 599)


# what a fault is made of; anything but the mode may be null, which is as good as left out
_PARTS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "mode": (lambda value: value in MODES, f"one of {', '.join(MODES)}"),
    "path": (_text, "a regular expression"),
    "method": (_text, "a method"),
    "times": (lambda value: isinstance(value, int) and value >= 1, "1 or more, or null for ever"),
    "probability": (lambda value: _number(value) and value <= 1, "0 to 1"),
    "status": (_status, "0 or 200 to 599"),
    "code": (_text, "a text"),
    "message": (_text, "a text"),
    "retry_after": (_number, "seconds"),
    "seconds": (_number, "seconds"),
    "body": (_text, "a text"),
    "content_type": (lambda value: _text(value) and value.isascii() and value.isprintable(), "a media type"),
    "details": (lambda value: isinstance(value, list) and all(isinstance(each, dict) for each in value), "objects"),
    "target": (_text, "a text"),
}


def parse(item: Any) -> Fault:
    """A fault as it was posted. ValueError says what is wrong with it."""
    if not isinstance(item, dict) or "mode" not in item:
        raise ValueError("a fault is an object with a mode")
    if unknown := set(item) - set(_PARTS):
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
    for name, value in item.items():
        fits, wanted = _PARTS[name]
        if (value is not None or name == "mode") and not fits(value):
            raise ValueError(f"{name} is {wanted}")
    try:
        re.compile(item.get("path") or "")
    except re.error as error:
        raise ValueError(f"path: {error}") from None
    return Fault(**{name: value for name, value in item.items() if value is not None or name == "times"})


class Faults:
    """Those that are waiting to strike."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._released = asyncio.Event()
        self.held: list[tuple[str, str]] = []
        self.load()

    def load(self) -> None:
        """Memory as the table says."""
        self._waiting: list[Fault] = []
        for number, doc in self._store.db.execute("SELECT n, doc FROM faults ORDER BY n"):
            fault = Fault(**json.loads(doc))
            fault.n = number
            self._waiting.append(fault)

    def add(self, fault: Fault, running: list[Operation]) -> list[Operation]:
        """Keep it, and say which operations it takes hold of at once."""
        cursor = self._store.db.execute("INSERT INTO faults (doc) VALUES (?)", (json.dumps(asdict(fault)),))
        fault.n = int(cursor.lastrowid or 0)
        self._waiting.append(fault)
        self._store.on_undo(lambda: self._waiting.remove(fault) if fault in self._waiting else None)
        if fault.mode not in _ON_OPERATIONS:
            return []
        return [each for each in running if fault.fits(each.method, each.path) and self._strikes(fault)]

    def clear(self) -> None:
        """Forget all."""
        before = list(self._waiting)
        self._store.on_undo(lambda: self._waiting.__setitem__(slice(None), before))
        self._waiting.clear()
        self._released.set()
        self._released = asyncio.Event()
        self._store.db.execute("DELETE FROM faults")

    def listed(self) -> list[Json]:
        """Those that wait."""
        return [asdict(each) for each in self._waiting]

    def striking(self, method: str, path: str, modes: tuple[str, ...]) -> Fault | None:
        """The first fault of these modes that strikes this request; it is used up by it."""
        for fault in list(self._waiting):
            if fault.mode in modes and fault.fits(method, path) and self._strikes(fault):
                return fault
        return None

    @property
    def may_hold(self) -> bool:
        return any(fault.mode == "hold" for fault in self._waiting)

    async def hold(self, method: str, path: str) -> None:
        """Comes back when the faults are removed; at once when none of them holds this request."""
        with self._store.transaction():
            fault = self.striking(method, path, ("hold",))
        if fault is None:
            return
        self.held.append((method, path))
        try:
            await self._released.wait()
        finally:
            self.held.remove((method, path))

    def _strikes(self, fault: Fault) -> bool:
        if fault not in self._waiting or (fault.probability < 1 and random.random() >= fault.probability):
            return False
        if fault.times is None:
            return True
        before = fault.times
        fault.times -= 1
        self._store.on_undo(lambda: self._restore(fault, before))
        if fault.times <= 0:
            self._waiting.remove(fault)
            self._store.db.execute("DELETE FROM faults WHERE n = ?", (fault.n,))
        else:
            self._store.db.execute("UPDATE faults SET doc = ? WHERE n = ?", (json.dumps(asdict(fault)), fault.n))
        return True

    def _restore(self, fault: Fault, times: int) -> None:
        fault.times = times
        if fault not in self._waiting:
            self._waiting.append(fault)
            self._waiting.sort(key=lambda each: each.n)


def take_hold(fault: Fault, operation: Operation, scaled_seconds: float | None) -> None:
    """Let a fault change an operation that runs."""
    if fault.mode == "fail_operation":
        operation.error = fault.error()
        if scaled_seconds is not None:
            operation.ends = operation.started + scaled_seconds
    elif fault.mode == "never_end":
        operation.ends = None
    elif operation.ends is not None:
        operation.ends += scaled_seconds or 0.0
