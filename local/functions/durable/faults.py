"""Faults on demand: messages that get lost, orchestrations that fail as with a dying worker, answers of the management
API that fail, are lost or come late.

A fault is an object with a `mode`. Regular expressions are searched in what they are compared with, without regard to
case; what is left out fits everything. `times` (1) is how often the fault strikes, null for ever; `skip` (0) how often
it lets pass what it fits first; `every` (1) strikes only each second, third, ... of what it fits.

- `lose`: a message gets lost, as a lost queue message does: what waits for it stays `Running` for ever. `message` is
  one of `start` (of an instance; a lost start of a sub-orchestration leaves no instance, that by a client leaves it
  `Pending`), `call` (of an activity), `result` (of an activity), `completion` (of a sub-orchestration), `timer`,
  `event`, `terminate`; absent means any. `instance` is the id of the instance that it would have reached (with `call`:
  that calls), `function` the name of the activity (`call`, `result`), of the sub-orchestration (`completion`), else of
  the orchestration that it would have reached; `event` the name of an external event.
- `fail`: an orchestration fails permanently, as when the worker dies while it replays it. `how` is `worker_exit` ("...
  failed: One or more errors occurred. (... exited with code 137 (0x89))") or `non_determinism` ("Non-Deterministic
  workflow detected: ...", which needs something scheduled before, so not in the first episode). `instance`, `function`;
  `episode` counts from 1 in the instance's present generation, absent means any.
- `refuse` (answers `status`, 500; 0 closes the connection before any effect), `drop_reply` (the effect happens, then
  the connection is closed without an answer) and `slow` (answers after `seconds`, or without them when the faults are
  ended): requests of the Durable management API, those of the SDK's client included. `method` (GET) and `path`, what
  follows the API's own address; by default the status queries, `instances` and `instances/ID`. The SDK's client asks
  once more when a connection that it had kept is closed under a GET: `times` 2 or null there.
"""

import asyncio
import contextlib
import re
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from local.functions.connection import NoAnswer
from local.functions.durable import events as ev
from local.functions.durable.decisions import Answer, Outcome
from local.functions.durable.episode import Episode
from local.functions.durable.events import Event

LOSE, FAIL = "lose", "fail"
ON_ANSWERS = ("refuse", "drop_reply", "slow")
WORKER_EXIT, NON_DETERMINISM = "worker_exit", "non_determinism"
STATUS_QUERIES = r"^instances(/[^/]*)?/?$"
CALL = "call"
MESSAGES = {
    ev.EXECUTION_STARTED: "start",
    ev.TASK_COMPLETED: "result",
    ev.TASK_FAILED: "result",
    ev.SUB_COMPLETED: "completion",
    ev.SUB_FAILED: "completion",
    ev.TIMER_FIRED: "timer",
    ev.EVENT_RAISED: "event",
    ev.EXECUTION_TERMINATED: "terminate",
}
_SCHEDULED = (ev.TASK_SCHEDULED, ev.SUB_CREATED, ev.TIMER_CREATED, ev.EVENT_SENT)
KILLED = "exited with code 137 (0x89)"


@dataclass(slots=True)
class Fault:
    """One fault; see the head of the module."""

    mode: str
    instance: str = ""
    function: str = ""
    times: int | None = 1
    skip: int = 0
    every: int = 1
    message: str | None = None
    event: str = ""
    how: str = WORKER_EXIT
    episode: int | None = None
    method: str = "GET"
    path: str = STATUS_QUERIES
    status: int = 500
    seconds: float | None = None

    def __post_init__(self) -> None:
        for part in fields(self):
            value = getattr(self, part.name)
            fits, expected = _PARTS[part.name]
            if value != part.default and not fits(value):
                raise ValueError(f"{part.name} is {expected}")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0


def _counts_from(first: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= first


def _is_expression(value: Any) -> bool:
    try:
        return _is_text(value) and re.compile(value) is not None
    except re.error:
        return False


def _one_of(*words: str) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value in words, f"one of {', '.join(words)}"


_EXPRESSION = (_is_expression, "a regular expression")
_PARTS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "mode": _one_of(LOSE, FAIL, *ON_ANSWERS),
    "instance": _EXPRESSION,
    "function": _EXPRESSION,
    "times": (lambda value: value is None or _counts_from(1)(value), "1 or more, or null for ever"),
    "skip": (_counts_from(0), "0 or more"),
    "every": (_counts_from(1), "1 or more"),
    "message": _one_of(CALL, *dict.fromkeys(MESSAGES.values())),
    "event": _EXPRESSION,
    "how": _one_of(WORKER_EXIT, NON_DETERMINISM),
    "episode": (_counts_from(1), "1 or more"),
    "method": (_is_text, "a method"),
    "path": _EXPRESSION,
    "status": (lambda value: value == 0 or (_counts_from(200)(value) and value <= 599), "0 or 200 to 599"),
    "seconds": (_is_number, "seconds"),
}


def parse(item: Any) -> Fault:
    """A fault as it was posted. ValueError says what is wrong with it."""
    if not isinstance(item, dict) or "mode" not in item:
        raise ValueError("a fault is an object with a mode")
    if unknown := set(item) - set(_PARTS):
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
    return Fault(**item)


class Faults:
    """The faults that wait to strike. May be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Fault] = []
        self._held: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self.struck: list[str] = []
        """What has been struck so far, in words."""

    def add(self, *added: Fault) -> None:
        with self._lock:
            self._waiting.extend(added)

    def end(self) -> None:
        """No fault waits any more, and answers that are being held back are given."""
        with self._lock:
            self._waiting.clear()
        for loop, ended in list(self._held):
            loop.call_soon_threadsafe(ended.set)

    def listed(self) -> list[dict[str, Any]]:
        with self._lock:
            return [{part.name: getattr(fault, part.name) for part in fields(Fault)} for fault in self._waiting]

    # --- what strikes -------------------------------------------------------------------------------------------------

    def loses(self, kind: str, instance: str, function: str, event: str = "") -> bool:
        """Whether this message gets lost."""

        def fits(fault: Fault) -> bool:
            return (
                fault.mode == LOSE
                and fault.message in (None, kind)
                and _found(fault.instance, instance)
                and _found(fault.function, function)
                and _found(fault.event, event)
            )

        return self._striking(fits, f"lost: {kind} ({function or event}) to '{instance}'") is not None

    def loses_message(self, message: Event, instance: str, function: str) -> bool:
        kind = MESSAGES.get(message["EventType"])
        name = str(message.get("Name", "")) if kind == "event" else ""
        return kind is not None and self.loses(kind, instance, function, name)

    def outcome_of(self, episode: Episode, play: Callable[[Answer | None], Outcome]) -> Outcome:
        """What comes of an episode: what is played, or a failure. `play` takes an answer in place of the function's."""
        how = self._failing(episode)
        if how == WORKER_EXIT:
            return worker_exited(episode.name)
        return play(Answer() if how == NON_DETERMINISM else None)

    def _failing(self, episode: Episode) -> str | None:
        def fits(fault: Fault) -> bool:
            return (
                fault.mode == FAIL
                and _found(fault.instance, episode.instance_id)
                and _found(fault.function, episode.name)
                and fault.episode in (None, episode.number)
                and (fault.how == WORKER_EXIT or has_scheduled(episode))
            )

        words = f"failed: {episode.name} '{episode.instance_id}' in its episode {episode.number}"
        fault = self._striking(fits, words)
        return fault.how if fault else None

    async def answer(self, request: Request, path: str, answer: Callable[[], Awaitable[Response]]) -> Response:
        """The answer to a request of the management API."""

        def fits(fault: Fault) -> bool:
            return (
                fault.mode in ON_ANSWERS
                and fault.method.upper() == request.method
                and _found(fault.path, path.strip("/"))
            )

        fault = self._striking(fits, f"{request.method} {path}")
        if fault is None:
            return await answer()
        if fault.mode == "refuse":
            return _refusal(fault.status) if fault.status else NoAnswer()
        if fault.mode == "slow":
            await self._hold(fault.seconds)
        answered = await answer()
        return NoAnswer() if fault.mode == "drop_reply" else answered

    async def _hold(self, seconds: float | None) -> None:
        held = (asyncio.get_running_loop(), asyncio.Event())
        self._held.append(held)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(held[1].wait(), seconds)
        self._held.remove(held)

    def _striking(self, fits: Callable[[Fault], bool], what: str) -> Fault | None:
        """The first fault that strikes; it is used up by that."""
        if not self._waiting:
            return None
        with self._lock:
            for fault in self._waiting:
                if not fits(fault):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.skip = fault.every - 1
                if fault.times is not None:
                    fault.times -= 1
                    if not fault.times:
                        self._waiting.remove(fault)
                self.struck.append(what)
                return fault
        return None


def _found(expression: str, text: str) -> bool:
    return re.search(expression, text, re.IGNORECASE) is not None


def has_scheduled(episode: Episode) -> bool:
    return any(one["EventType"] in _SCHEDULED for one in episode.past.events)


def worker_exited(name: str, how: str = KILLED) -> Outcome:
    """An orchestration whose worker died while it replayed: Failed permanently, as with Python and Durable 1.x."""
    cause = f"python {how}"
    reason = f"Orchestrator function '{name}' failed: One or more errors occurred. ({cause})"
    details = f"Microsoft.Azure.WebJobs.Script.Workers.WorkerProcessExitException: {cause}"
    return Outcome(status=ev.FAILED, result=reason, details=details)


def _refusal(status: int) -> Response:
    """The extension's words for what it does not handle, such as storage that doesn't answer."""
    document = {
        "Message": "Something went wrong while processing your request",
        "ExceptionMessage": "Service request failed.",
        "ExceptionType": "Azure.RequestFailedException",
        "StackTrace": None,
    }
    return JSONResponse(document, status)


async def faults_api(request: Request, faults: Faults) -> Response:
    """`/_local/faults`: GET lists those that wait and what was struck, POST adds one or a list, DELETE ends them."""
    if request.method == "DELETE":
        faults.end()
        return JSONResponse({})
    if request.method == "POST":
        try:
            document = await request.json()
            added = [parse(item) for item in (document if isinstance(document, list) else [document])]
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 400)
        faults.add(*added)
    elif request.method != "GET":
        return Response(status_code=405)
    return JSONResponse({"waiting": faults.listed(), "struck": faults.struck})
