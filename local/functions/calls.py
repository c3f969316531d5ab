"""What passes between the host and its worker process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.functions.app import Function
from local.functions.durable.client import Addresses


@dataclass(frozen=True, slots=True)
class Start:
    """The first message to a worker."""

    script_root: Path
    addresses: Addresses
    threads: int
    debug_port: int | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """A worker's first answer. The functions lack their code: that stays in the worker."""

    functions: list[Function]


@dataclass(frozen=True, slots=True)
class NotLoaded:
    message: str


@dataclass(frozen=True, slots=True)
class RequestParts:
    """An HTTP request for a function."""

    method: str
    url: str
    headers: dict[str, str]
    params: dict[str, str]
    route_params: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Retries:
    count: int = 0
    most: int = 0
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One invocation. `given` is by kind: RequestParts, TimerRequest, an activity's Task, the JSON of an orchestration."""

    id: str
    kind: str
    name: str
    given: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    retries: Retries = Retries()


@dataclass(frozen=True, slots=True)
class Ended:
    """How a call ended: with a value (by kind: Response, nothing, Success or Failure, Answer) or an error."""

    id: str
    value: Any = None
    error: Exception | None = None


class FunctionFailedError(Exception):
    """A function raised. The text is the exception's type and message."""


class FunctionTimeoutException(Exception):  # noqa: N818 - the name that the real host shows
    """A function took longer than `functionTimeout` of host.json."""


class WorkerProcessExitException(Exception):  # noqa: N818 - the name that the real host shows
    """The worker process ended under a call."""

    @classmethod
    def of(cls, code: int) -> "WorkerProcessExitException":
        """`code` as Popen has it: negative for a signal. The host sees 128 more than the signal's number."""
        seen = 128 - code if code < 0 else code
        return cls(f"python exited with code {seen} (0x{seen:X})")


def code_of(exit_: SystemExit | KeyboardInterrupt) -> int:
    """The exit code of a process that ends with this exception."""
    code = exit_.code if isinstance(exit_, SystemExit) else 1
    return code & 0xFF if isinstance(code, int) else 0 if code is None else 1
