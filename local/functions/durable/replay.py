"""Replays what an orchestrator asked for, as code, against what has happened: the extension's half of an episode.

The SDK answers every episode with all actions since the start. They are invoked one after the other, each awaited
before the next, while the history is played event by event. An invocation takes the next id; the history confirms
(`TaskScheduled`, `TimerCreated`, ...) what an earlier episode had already decided, and what is left unconfirmed in the
end is new: those are the decisions. An id that the history knows and the code doesn't is non-determinism.

Awaiting follows .NET, not Python: when-all waits for every child, also after a failure; a cancelled timer is done at
once; an external event is given to the latest that waits for its name. An orchestration that has returned, failed or
continued as new is not through before its open activities, sub-orchestrations and timers are.
"""

import uuid
from collections.abc import Callable, Generator, Mapping
from typing import Any

from local.functions.durable import events as ev
from local.functions.durable.clock import seconds
from local.functions.durable.decisions import (
    DOTNET_NAMES,
    HTTP_ACTIVITY,
    Answer,
    Decision,
    NonDeterminismError,
    Outcome,
    Schedule,
    SendEvent,
    SetTimer,
    StartSub,
    missing_function,
)
from local.functions.durable.entities import request
from local.functions.durable.events import Event, text

MOST_OF_CUSTOM_STATUS_KB = 16


class _Awaitable:
    __slots__ = ("_callbacks", "done", "failed")

    def __init__(self, *, done: bool = False, failed: bool = False) -> None:
        self.done = done
        self.failed = failed
        self._callbacks: list[Callable[[], None]] = []

    def finish(self, *, failed: bool = False) -> None:
        if self.done:
            return
        self.done, self.failed = True, failed
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def then(self, callback: Callable[[], None]) -> None:
        if self.done:
            callback()
        else:
            self._callbacks.append(callback)


class Replay:
    def __init__(
        self,
        *,
        name: str,
        instance_id: str,
        parent_id: str | None,
        execution: str,
        activities: Mapping[str, Any],
        orchestrators: Mapping[str, Any],
        default_version: str,
        ask: Callable[[], Answer],
        complain: Callable[[str], None],
    ) -> None:
        self._name = name
        self._instance_id = instance_id
        self._parent_id = parent_id
        self._execution = execution
        self._activities = activities
        self._orchestrators = orchestrators
        self._default_version = default_version
        self._ask = ask
        self._complain = complain

        self._next_id = 0
        self._now = 0.0
        self._new = False
        self._asked: dict[int, Decision] = {}
        self._asked_before_suspension: dict[int, Decision] = {}
        self._open: dict[int, _Awaitable] = {}
        self._waiting: dict[str, list[_Awaitable]] = {}
        self._buffered: dict[str, list[Event]] = {}
        self._events_while_suspended: list[Event] = []
        self._carried: list[Event] = []
        self._continue_with: str | None = None
        self._suspended = False
        self._is_terminated = False
        self._reason: str | None = None
        """With which it was terminated, if with any."""
        self._finished: tuple[str, str | None, str | None] | None = None
        self._custom_status: str | None = None

    # --- playing the history ------------------------------------------------------------------------------------------

    def run(self, past: list[Event], new: list[Event]) -> Outcome:
        try:
            for event in past:
                self._play(event)
            self._new = True
            for event in new:
                self._play(event)
        except NonDeterminismError as error:
            return self._outcome(ev.FAILED, str(error), f"Unhandled exception while executing orchestration: {error}")
        if self._is_terminated:
            return self._outcome(ev.TERMINATED, self._reason)
        if self._finished and not self._open:
            status, result, details = self._finished
            if status == ev.COMPLETED and self._continue_with is not None:
                outcome = self._outcome(None)
                outcome.continue_with = self._continue_with
                buffered = (event for waiting in self._buffered.values() for event in waiting)
                outcome.unprocessed = [*buffered, *self._carried]
                return outcome
            return self._outcome(status, result, details)
        return self._outcome(None)

    def _outcome(self, status: str | None, result: str | None = None, details: str | None = None) -> Outcome:
        decisions = [self._asked[number] for number in sorted(self._asked)]
        return Outcome(decisions, status, result, details, custom_status=self._custom_status, suspended=self._suspended)

    def _play(self, event: Event) -> None:
        kind = event["EventType"]
        if kind == ev.ORCHESTRATOR_STARTED:
            self._now = seconds(event["Timestamp"])
        elif self._suspended and kind not in (ev.EXECUTION_RESUMED, ev.EXECUTION_TERMINATED):
            if kind != ev.EXECUTION_SUSPENDED:
                self._events_while_suspended.append(event)
        else:
            handle = self._HANDLERS.get(kind)
            if handle:
                handle(self, event)

    def _on_started(self, _event: Event) -> None:
        answer = self._ask()
        if answer.broken:
            self._finished = (ev.FAILED, *answer.broken)
            return
        if answer.custom_status is not None:
            status = text(answer.custom_status)
            size = len(status.encode("utf-16-le", "surrogatepass")) // 1024
            if size > MOST_OF_CUSTOM_STATUS_KB:
                reason = (
                    f"The UTF-16 size of the JSON-serialized payload must not exceed {MOST_OF_CUSTOM_STATUS_KB} KB. "
                    f"The current payload size is {size:,} KB."
                )
                if answer.error is None:
                    reason = f"Orchestrator function '{self._name}' failed: {reason}"
                self._finished = (ev.FAILED, reason, reason)
                return
            self._custom_status = status
        self._drive(self._perform(answer))

    def _on_scheduled(self, event: Event) -> None:
        number, name = event["EventId"], event["Name"]
        words = f"an activity task with sequence ID {number} and name '{name}' (version '{event.get('Version') or ''}')"
        asked = self._confirm(event, Schedule, words, f"an activity task with sequence number {number} named '{name}'")
        if asked.name.lower() != name.lower():
            raise NonDeterminismError(
                f"A previous execution of this orchestration scheduled an activity task with sequence number {number} "
                f"named '{name}', but the current orchestration replay instead scheduled an activity task named "
                f"'{asked.name}' with this sequence number. "
            )

    def _on_sub_created(self, event: Event) -> None:
        number, name = event["EventId"], event["Name"]
        words = (
            f"a sub-orchestration task with sequence ID {number} and name '{name}' (version "
            f"'{event.get('Version') or ''}', instance ID '{event['InstanceId']}')"
        )
        asked = self._confirm(event, StartSub, words, words)
        if asked.name.lower() != name.lower():
            raise NonDeterminismError(
                f"A previous execution of this orchestration scheduled {words}, but the current orchestration replay "
                f"instead scheduled a sub-orchestration task with name {asked.name} at this sequence number."
            )

    def _on_timer_created(self, event: Event) -> None:
        words = f"a timer task with sequence number {event['EventId']}"
        self._confirm(event, SetTimer, words, f"{words} named")

    def _on_event_sent(self, event: Event) -> None:
        words = (
            f"a send event task with sequence ID {event['EventId']}, type 'EventSent', name '{event['Name']}', "
            f"instance ID '{event['InstanceId']}'"
        )
        self._confirm(event, SendEvent, words, words)

    def _confirm(self, event: Event, kind: type, missing: str, other: str) -> Any:
        number = event["EventId"]
        asked = self._asked.get(number)
        before = "A previous execution of this orchestration scheduled"
        if asked is None:
            raise NonDeterminismError(
                f"{before} {missing}, but the current replay execution hasn't (yet?) scheduled this task."
            )
        if not isinstance(asked, kind):
            raise NonDeterminismError(
                f"{before} {other}, but the current orchestration replay instead produced a "
                f"{DOTNET_NAMES[type(asked)]} action with this sequence number."
            )
        del self._asked[number]
        return asked

    def _on_completed(self, event: Event) -> None:
        self._close(event["TaskScheduledId"])

    def _on_failed(self, event: Event) -> None:
        self._close(event["TaskScheduledId"], failed=True)

    def _on_timer_fired(self, event: Event) -> None:
        self._close(event["TimerId"])

    def _close(self, number: int, *, failed: bool = False) -> None:
        task = self._open.pop(number, None)
        if task:
            task.finish(failed=failed)

    def _on_event_raised(self, event: Event) -> None:
        if self._continue_with is not None:
            self._carried.append(event)
            return
        name = event["Name"].lower()
        waiting = self._waiting.get(name)
        if waiting:
            waiting.pop().finish()
        else:
            self._buffered.setdefault(name, []).append(event)

    def _on_terminated(self, event: Event) -> None:
        if not self._is_terminated:
            self._is_terminated, self._reason = True, event.get("Input")

    def _on_suspended(self, _event: Event) -> None:
        self._suspended = True
        self._asked_before_suspension |= self._asked
        self._asked.clear()

    def _on_resumed(self, _event: Event) -> None:
        self._suspended = False
        self._asked |= self._asked_before_suspension
        self._asked_before_suspension.clear()
        held, self._events_while_suspended = self._events_while_suspended, []
        for event in held:
            self._play(event)

    _HANDLERS: dict[int, Callable[["Replay", Event], None]] = {  # noqa: RUF012 - built once, never changed
        ev.EXECUTION_STARTED: _on_started,
        ev.EXECUTION_TERMINATED: _on_terminated,
        ev.TASK_SCHEDULED: _on_scheduled,
        ev.TASK_COMPLETED: _on_completed,
        ev.TASK_FAILED: _on_failed,
        ev.SUB_CREATED: _on_sub_created,
        ev.SUB_COMPLETED: _on_completed,
        ev.SUB_FAILED: _on_failed,
        ev.TIMER_CREATED: _on_timer_created,
        ev.TIMER_FIRED: _on_timer_fired,
        ev.EVENT_SENT: _on_event_sent,
        ev.EVENT_RAISED: _on_event_raised,
        ev.EXECUTION_SUSPENDED: _on_suspended,
        ev.EXECUTION_RESUMED: _on_resumed,
    }

    # --- performing the actions ---------------------------------------------------------------------------------------

    def _drive(self, steps: Generator[_Awaitable, None, bool], result: _Awaitable | None = None) -> None:
        """Runs a coroutine of ours until it waits, and on when that is over. `result` takes over what it returns."""
        try:
            awaited = next(steps)
            while awaited.done:
                awaited = next(steps)
        except StopIteration as stop:
            if result:
                result.finish(failed=bool(stop.value))
            return
        awaited.then(lambda: self._drive(steps, result))

    def _spawn(self, steps: Generator[_Awaitable, None, bool]) -> _Awaitable:
        result = _Awaitable()
        self._drive(steps, result)
        return result

    def _perform(self, answer: Answer) -> Generator[_Awaitable, None, bool]:
        for action in answer.actions:
            try:
                awaited = self._invoke(action)
            except ValueError as error:
                self._finished = (ev.FAILED, f"Orchestrator function '{self._name}' failed: {error}", str(error))
                return True
            yield awaited
        if answer.error:
            details = f"Message: {answer.error}, StackTrace: {answer.stack}"
            self._finished = (ev.FAILED, f"Orchestrator function '{self._name}' failed: {answer.error}", details)
        elif answer.is_done:
            self._finished = (ev.COMPLETED, text(answer.output), None)
        return False

    def _invoke(self, action: dict[str, Any]) -> _Awaitable:
        kind = action["actionType"]
        perform = self._ACTIONS.get(kind)
        if perform is None:
            raise ValueError(f"Received an unexpected action type from the out-of-proc function: '${kind}'.")
        return perform(self, action)

    def _opened(self, decision: Decision) -> _Awaitable:
        self._asked[decision.id] = decision
        self._open[decision.id] = task = _Awaitable()
        return task

    def _take_id(self) -> int:
        number = self._next_id
        self._next_id += 1
        return number

    def _activity(self, action: dict[str, Any]) -> _Awaitable:
        name = action["functionName"]
        if name.lower() not in self._activities:
            return self._missing("activity", name, self._activities)
        return self._opened(Schedule(self._take_id(), name, action.get("input")))

    def _missing(self, kind: str, name: str, known: Mapping[str, Any]) -> _Awaitable:
        """The extension loses this error: its task fails unseen, the orchestration waits for ever. The log tells."""
        if self._new:
            self._complain(
                f"{missing_function(kind, name, known)} Orchestration '{self._instance_id}' will wait for it for ever, "
                "as it would in Azure."
            )
        return _Awaitable(done=True, failed=True)

    def _activity_with_retry(self, action: dict[str, Any]) -> _Awaitable:
        return self._spawn(self._retry(action, self._activity))

    def _sub(self, action: dict[str, Any]) -> _Awaitable:
        name, instance_id = action["functionName"], action.get("instanceId")
        if name.lower() not in self._orchestrators:
            return self._missing("orchestrator", name, self._orchestrators)
        if instance_id:
            own = {self._instance_id.lower(), (self._parent_id or self._instance_id).lower()}
            if instance_id.lower() in own or instance_id.startswith("@"):
                if self._new:
                    self._complain(f"'{instance_id}' can't be the instance ID of a sub-orchestration of this one.")
                return _Awaitable(done=True, failed=True)
        number = self._take_id()
        version = action.get("version") or self._default_version
        child = instance_id if instance_id and instance_id.strip() else f"{self._execution}:{number}"
        return self._opened(StartSub(number, name, child, action.get("input"), version))

    def _sub_with_retry(self, action: dict[str, Any]) -> _Awaitable:
        return self._spawn(self._retry(action, self._sub))

    def _retry(
        self, action: dict[str, Any], call: Callable[[dict[str, Any]], _Awaitable]
    ) -> Generator[_Awaitable, None, bool]:
        """A timer after each failed attempt; the one after the last is due at once, and still takes an id."""
        attempts = action["retryOptions"]["maxNumberOfAttempts"]
        pause = action["retryOptions"]["firstRetryIntervalInMilliseconds"] / 1000
        for attempt in range(1, attempts + 1):
            task = call(action)
            yield task
            if not task.failed:
                return False
            last = attempt == attempts
            yield self._opened(SetTimer(self._take_id(), self._now if last else self._now + pause))
        return True

    def _timer(self, action: dict[str, Any]) -> _Awaitable:
        number = self._take_id()
        task = self._opened(SetTimer(number, seconds(action["fireAt"])))
        if action.get("isCanceled"):
            del self._open[number]
            task.finish()
        return task

    def _external_event(self, action: dict[str, Any]) -> _Awaitable:
        name = action["externalEventName"].lower()
        task = _Awaitable()
        buffered = self._buffered.get(name)
        if buffered:
            buffered.pop(0)
            task.finish()
        else:
            self._waiting.setdefault(name, []).append(task)
        return task

    def _http(self, action: dict[str, Any]) -> _Awaitable:
        return self._opened(Schedule(self._take_id(), HTTP_ACTIVITY, action["httpRequest"]))

    def _call_entity(self, action: dict[str, Any]) -> _Awaitable:
        """A message to the entity; its answer comes as an event under the request's own name."""
        request_id = self._send_to_entity(action, self._instance_id)
        return self._external_event({"externalEventName": request_id})

    def _signal_entity(self, action: dict[str, Any]) -> _Awaitable:
        self._send_to_entity(action, None)
        return _Awaitable(done=True)

    def _send_to_entity(self, action: dict[str, Any], parent: str | None) -> str:
        number = self._take_id()
        request_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self._execution}:{number}"))
        message = request(action["operation"], action.get("input"), request_id, parent, self._execution)
        self._asked[number] = SendEvent(number, action["instanceId"], "op", text(message))
        return request_id

    def _continue_as_new(self, action: dict[str, Any]) -> _Awaitable:
        self._continue_with = text(action.get("input"))
        return _Awaitable(done=True)

    def _when_any(self, action: dict[str, Any]) -> _Awaitable:
        children = [self._invoke(child) for child in action["compoundActions"]]
        if not children:
            raise ValueError("The tasks argument contains no tasks. (Parameter 'tasks')")
        result = _Awaitable()
        for child in children:
            child.then(result.finish)
        return result

    def _when_all(self, action: dict[str, Any]) -> _Awaitable:
        children = [self._invoke(child) for child in action["compoundActions"]]
        result = _Awaitable()
        left = len(children)
        if not left:
            result.finish()

        def one_less() -> None:
            nonlocal left
            left -= 1
            if not left:
                result.finish(failed=any(child.failed for child in children))

        for child in children:
            child.then(one_less)
        return result

    _ACTIONS: dict[int, Callable[["Replay", dict[str, Any]], _Awaitable]] = {  # noqa: RUF012 - built once, never changed
        0: _activity,
        1: _activity_with_retry,
        2: _sub,
        3: _sub_with_retry,
        4: _continue_as_new,
        5: _timer,
        6: _external_event,
        7: _call_entity,
        8: _http,
        9: _signal_entity,
        11: _when_any,
        12: _when_all,
    }
