"""What passes between an orchestrator's answer and the engine: answers, decisions, outcomes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from local.functions.durable.events import Event

HTTP_ACTIVITY = "BuiltIn::HttpActivity"


class NonDeterminismError(Exception):
    def __init__(self, details: str) -> None:
        super().__init__(
            f"Non-Deterministic workflow detected: {details} Was a change made to the orchestrator code after this "
            "instance had already started running?"
        )


@dataclass(slots=True)
class Schedule:
    """An activity, in .NET's words a ScheduleTaskOrchestratorAction."""

    id: int
    name: str
    input: Any


@dataclass(slots=True)
class StartSub:
    id: int
    name: str
    instance_id: str
    input: Any
    version: str


@dataclass(slots=True)
class SetTimer:
    id: int
    due: float


@dataclass(slots=True)
class SendEvent:
    id: int
    instance_id: str
    name: str
    input: str


Decision = Schedule | StartSub | SetTimer | SendEvent
DOTNET_NAMES = {
    Schedule: "ScheduleTaskOrchestratorAction",
    StartSub: "CreateSubOrchestrationAction",
    SetTimer: "CreateTimerOrchestratorAction",
    SendEvent: "SendEventOrchestratorAction",
}


@dataclass(slots=True)
class Outcome:
    """What an episode leads to. `status` None: the instance waits on."""

    decisions: list[Decision] = field(default_factory=list)
    status: str | None = None
    result: str | None = None
    details: str | None = None
    continue_with: str | None = None
    unprocessed: list[Event] = field(default_factory=list)
    custom_status: str | None = None
    suspended: bool = False


@dataclass(slots=True)
class Answer:
    """What the orchestrator function answered: its state, or how it failed without leaving one."""

    actions: list[dict[str, Any]] = field(default_factory=list)
    is_done: bool = False
    output: Any = None
    error: str | None = None
    stack: str = ""
    custom_status: Any = None
    broken: tuple[str, str] | None = None
    """Reason and details, when there is no state to replay."""

    @property
    def failed(self) -> bool:
        return self.broken is not None or self.error is not None


@dataclass(frozen=True, slots=True)
class Success:
    result: str
    """The activity's result as JSON."""


@dataclass(frozen=True, slots=True)
class Failure:
    reason: str
    details: str


def missing_function(kind: str, name: str, known: Mapping[str, Any]) -> str:
    """The extension's words for a name that no function has. Values of `known` are the names as registered."""
    message = f"The function '{name}' doesn't exist, is disabled, or is not an {kind} function. Additional info: "
    if known:
        names = "', '".join(map(str, known.values()))
        return f"{message}The following are the known {kind} functions: '{names}'."
    return f"{message}No {kind} functions are currently registered!"
