"""One episode of an orchestration: the SDK's function is called with the whole history, its answer is replayed.

Pure computation on what was taken from the store; nothing is written here. It may run in any thread.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.functions.calls import FunctionTimeoutException, WorkerProcessExitException
from local.functions.durable import events as ev
from local.functions.durable.decisions import Answer, Outcome, missing_function
from local.functions.durable.entities import EntityFunction
from local.functions.durable.events import Event, event, text
from local.functions.durable.replay import Replay
from local.functions.durable.store import Instance
from local.functions.logs import stack_of

OUT_OF_PROC = "\n\n$OutOfProcData$:"
CONSTANT_PART = text(
    {
        "isReplaying": False,
        "upperSchemaVersion": 1,
        "upperSchemaVersionNew": 2,
        "maximumShortTimerDuration": "6.00:00:00",
        "longRunningTimerIntervalDuration": "3.00:00:00",
        "defaultHttpAsyncRequestSleepTimeMillseconds": 30000,
    }
)[1:]


class OrchestrationContext:
    """What the worker hands to an orchestrator function."""

    __slots__ = ("body",)

    def __init__(self, body: str) -> None:
        self.body = body


@dataclass(slots=True)
class History:
    """An instance's present generation, kept both as events and as the JSON text in which the SDK gets them."""

    events: list[Event] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, texts: list[str]) -> "History":
        return cls([json.loads(one) for one in texts], texts)

    def extend(self, events: list[Event], texts: list[str]) -> None:
        self.events.extend(events)
        self.texts.extend(texts)


@dataclass(slots=True)
class Episode:
    instance: Instance
    past: History
    new: list[Event]
    places: list[int]
    """Where the messages, now events in `new`, lie in the inbox."""

    @property
    def instance_id(self) -> str:
        return self.instance.id

    @property
    def name(self) -> str:
        return self.instance.name

    @property
    def number(self) -> int:
        """From 1, in the instance's present generation."""
        return 1 + len([one for one in self.past.events if one["EventType"] == ev.ORCHESTRATOR_STARTED])


Orchestrator = Callable[[str], Answer]
"""Given the context as JSON. Raises WorkerProcessExitException when the worker ends while it replays."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The orchestrators and activities there are, by name in lower case: names are compared without regard to it."""

    orchestrators: Mapping[str, tuple[str, Orchestrator]]
    activities: Mapping[str, str]
    default_version: str = ""
    entities: Mapping[str, tuple[str, EntityFunction]] = field(default_factory=dict)

    @property
    def orchestrator_names(self) -> dict[str, str]:
        return {key: name for key, (name, _) in self.orchestrators.items()}


def play(
    episode: Episode, catalogue: Catalogue, complain: Callable[[str], None], answer: Answer | None = None
) -> Outcome:
    """`answer` takes the place of what the orchestrator function would have answered."""
    instance = episode.instance
    replay = Replay(
        name=instance.name,
        instance_id=instance.id,
        parent_id=instance.parent,
        execution=instance.execution,
        activities=catalogue.activities,
        orchestrators=catalogue.orchestrator_names,
        default_version=catalogue.default_version,
        ask=lambda: answer or _ask(episode, catalogue),
        complain=complain,
    )
    return replay.run(episode.past.events, episode.new)


def _ask(episode: Episode, catalogue: Catalogue) -> Answer:
    instance = episode.instance
    known = catalogue.orchestrators.get(instance.name.lower())
    if known is None:
        reason = missing_function("orchestrator", instance.name, catalogue.orchestrator_names)
        return Answer(broken=(f"Orchestrator function '{instance.name}' failed: {reason}", reason))
    name, orchestrator = known
    try:
        return orchestrator(body_of(episode))
    except (FunctionTimeoutException, WorkerProcessExitException) as error:
        # A history that has scheduled something doesn't confirm this answer: then it is non-determinism.
        reason = f"Orchestrator function '{name}' failed: One or more errors occurred. ({error})"
        return Answer(broken=(reason, f"{type(error).__name__}: {error}"))


def answer_of(name: str, function: Callable[[OrchestrationContext], str], body: str) -> Answer:
    """Calls an orchestrator function. What it raises fails its instance; SystemExit ends the process."""
    try:
        return _answer(json.loads(function(OrchestrationContext(body))))
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001 - a CancelledError of the function's own, too
        return _failure(name, error)


def body_of(episode: Episode) -> str:
    """The context in the extension's JSON; the long part, the past, is not serialised anew."""
    instance = episode.instance
    past_is_played = ",".join(episode.past.texts)
    new = ",".join(text(one) for one in episode.new)
    history = f"{past_is_played},{new}" if past_is_played and new else past_is_played or new
    return (
        f'{{"history":[{history}],"input":{instance.input or "null"},"instanceId":{text(instance.id)},'
        f'"parentInstanceId":{text(instance.parent)},{CONSTANT_PART}'
    )


def _answer(state: dict[str, Any], error: BaseException | None = None) -> Answer:
    # The SDK nests its one list of actions in another.
    actions = state["actions"][0] if state["actions"] else []
    return Answer(
        actions=actions,
        is_done=bool(state.get("isDone")),
        output=state.get("output"),
        error=state.get("error"),
        stack=stack_of(error) if error else "",
        custom_status=state.get("customStatus"),
    )


def _failure(name: str, error: BaseException) -> Answer:
    message = str(error)
    marker = message.find(OUT_OF_PROC)
    if marker >= 0:
        try:
            return _answer(json.loads(message[marker + len(OUT_OF_PROC) :]), error.__cause__ or error)
        except ValueError:
            message = message[:marker]
    stack = stack_of(error)
    failure = (
        f"One or more errors occurred. (Result: Failure\nException: {type(error).__name__}: {message}\nStack: {stack})"
    )
    return Answer(broken=(f"Orchestrator function '{name}' failed: {failure}", stack))


def start_of(instance: Instance, now: float) -> Event:
    """The message that sets an instance's present generation going."""
    parent = None
    if instance.parent:
        parent = {
            "OrchestrationInstance": {"InstanceId": instance.parent, "ExecutionId": instance.parent_execution},
            "TaskScheduleId": instance.parent_task,
        }
    return event(
        ev.EXECUTION_STARTED,
        now,
        Name=instance.name,
        Version=instance.version,
        Input=instance.input,
        OrchestrationInstance={"InstanceId": instance.id, "ExecutionId": instance.execution},
        ParentInstance=parent,
        Tags=None,
    )


def as_played(one: Event) -> Event:
    return one if one["EventType"] == ev.ORCHESTRATOR_STARTED else {**one, "IsPlayed": True}
