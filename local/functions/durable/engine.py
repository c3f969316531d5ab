"""The engine: what happens to orchestrations, one transaction per transition.

It decides nothing about when: a driver asks it for work (`take_episode`, `take_task`), does the work where it likes,
and hands back what came of it (`finish_episode`, `finish_task`). `next_due` says when to call `fire_due_timers`.
`local.functions.durable.driver` does so on an event loop, `local.functions.durable.stage` step by step in tests; both
go through here. What was taken and not handed back is simply taken again by the next engine on the same store.

All methods may be called from any thread.
"""

import json
import logging
import re
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from local.functions.durable import events as ev
from local.functions.durable.agenda import Agenda
from local.functions.durable.bill import CALLS, EPISODES, Bill
from local.functions.durable.clock import Clock, SystemClock, stamp
from local.functions.durable.decisions import Failure, Outcome, Success, missing_function
from local.functions.durable.entities import (
    EntityBatch,
    EntityFunction,
    EntityOutcome,
    is_entity,
    play_batch,
    request,
    response,
)
from local.functions.durable.episode import Catalogue, Episode, Orchestrator, play
from local.functions.durable.events import Event, event, text
from local.functions.durable.faults import Faults
from local.functions.durable.rewind import without_failures
from local.functions.durable.store import Instance, Message, Store, Task
from local.functions.durable.transitions import Histories, Transitions
from local.functions.durable.visibility import Taken, Visibility

log = logging.getLogger("durable")

# Ids are keys of Azure's tables, in which some characters are written as `^` and two digits.
LONGEST_KEY = 512
ESCAPED_IN_KEYS = re.compile(r"[/\\#?^\x00-\x1f\x7f-\x9f]")


class RefusedError(Exception):
    """A request that can't be met, in the extension's words; the management API answers 400."""


class StorageError(Exception):
    """What Azure's storage would not take; the management API answers 500."""


class AlreadyExistsError(RefusedError):
    """The instance id belongs to an orchestration that isn't finished."""


class Engine:
    def __init__(
        self,
        orchestrators: Mapping[str, Orchestrator],
        activities: Iterable[str],
        store: Store,
        clock: Clock | None = None,
        default_version: str = "",
        entities: Mapping[str, EntityFunction] | None = None,
        faults: Faults | None = None,
        visibility: Visibility | None = None,
        bill: Bill | None = None,
    ) -> None:
        """Without `visibility`, what a killed engine had taken is there at once for the next one."""
        self.catalogue = Catalogue(
            {name.lower(): (name, function) for name, function in orchestrators.items()},
            {name.lower(): name for name in activities},
            default_version,
            {name.lower(): (name, function) for name, function in (entities or {}).items()},
        )
        self.store = store
        self.clock = clock or SystemClock()
        self.faults = faults or Faults()
        self.bill = bill or Bill()
        self.on_work: Callable[[], None] = lambda: None
        """Called, in whatever thread, when there may be something to do."""
        self.on_change: Callable[[Instance], None] = lambda instance: None
        """Called with the new state of an instance, after the commit."""
        self._lock = threading.RLock()
        self.visibility = visibility
        self._taken = Taken(store, self.clock, visibility)
        self._agenda = Agenda(store, self.clock.now())
        self._histories = Histories(store)
        self._transitions = Transitions(
            store, self._agenda, self._histories, self.catalogue, self.faults, self.bill, self.clock
        )

    # --- what clients ask for -----------------------------------------------------------------------------------------

    def start(self, name: str, given: str | None = None, instance_id: str | None = None, version: str = "") -> str:
        """Starts an orchestration. `given` is its input as JSON text, as it came in a request's body.

        Neither name nor id are checked: as in Azure, an orchestration without a function fails when it runs.
        """
        instance_id = instance_id or uuid.uuid4().hex
        if len(ESCAPED_IN_KEYS.sub("^00", instance_id)) > LONGEST_KEY:
            raise StorageError(f"The instance ID is longer than the {LONGEST_KEY} characters that a key may have.")
        with self._lock:
            present = self.store.instance(instance_id)
            if present and present.status not in ev.FINISHED:
                raise AlreadyExistsError(f"An Orchestration instance with the status {present.status} already exists.")
            with self.store.transition():
                instance = self._transitions.begin(name, given, instance_id, version or self.catalogue.default_version)
            self._changed(instance)
        return instance_id

    def raise_event(self, instance_id: str, name: str, data: str) -> None:
        self._message(instance_id, event(ev.EVENT_RAISED, self.clock.now(), Name=name, Input=data))

    def signal_entity(self, name: str, key: str, operation: str, given: Any) -> None:
        if name.lower() not in self.catalogue.entities:
            known = {one: registered for one, (registered, _) in self.catalogue.entities.items()}
            raise RefusedError(missing_function("entity", name, known))
        message = text(request(operation, given, str(uuid.uuid4())))
        self._message(f"@{name.lower()}@{key}", event(ev.EVENT_RAISED, self.clock.now(), Name="op", Input=message))

    def terminate(self, instance_id: str, reason: str | None) -> None:
        self._message(instance_id, event(ev.EXECUTION_TERMINATED, self.clock.now(), Input=reason))

    def suspend(self, instance_id: str, reason: str | None) -> None:
        self._message(instance_id, event(ev.EXECUTION_SUSPENDED, self.clock.now(), Reason=reason))

    def resume(self, instance_id: str, reason: str | None) -> None:
        self._message(instance_id, event(ev.EXECUTION_RESUMED, self.clock.now(), Reason=reason))

    def restart(self, instance_id: str, *, under_new_id: bool) -> str:
        """Starts the same orchestration with the same input again."""
        instance = self.store.instance(instance_id)
        if instance is None:
            raise RefusedError(f"No instance with ID '{instance_id}' was found. (Parameter 'instanceId')")
        return self.start(instance.name, instance.input, None if under_new_id else instance_id, instance.version)

    def rewind(self, instance_id: str, reason: str | None) -> None:
        """Lets a failed instance, and those of its children that failed, try again what failed."""
        with self._lock:
            instance = self.store.instance(instance_id)
            if instance is None or instance.status != ev.FAILED:
                raise RefusedError("The rewind operation is only supported on failed orchestration instances.")
            with self.store.transition():
                rewound = self._rewind(instance, reason)
            for one in rewound:
                self._changed(one)

    def _rewind(self, instance: Instance, reason: str | None) -> list[Instance]:
        texts, children = without_failures(self.store.history(instance.id))
        self.store.clear_history(instance.id)
        self.store.append_history(instance.id, 0, texts)
        self._histories.forget(instance.id)
        instance.status, instance.updated = ev.PENDING, self.clock.now()
        self.store.put_instance(instance)
        self._agenda.begins(instance)
        self._transitions.send(instance.id, event(ev.GENERIC, self.clock.now(), Data=reason), instance.execution)
        rewound = [instance]
        for child_id in children:
            child = self.store.instance(child_id)
            if child and child.status == ev.FAILED:
                rewound += self._rewind(child, reason)
        return rewound

    def _message(self, instance_id: str, message: Event) -> None:
        with self._lock:
            with self.store.transition():
                self._transitions.send(instance_id, message)
            self.on_work()

    def purge(self, instance_ids: Iterable[str], *, finished_only: bool = True) -> int:
        """Forgets instances, finished ones or all, and entities. Says how many there were."""
        gone = 0
        with self._lock, self.store.transition():
            for instance_id in instance_ids:
                instance = self.store.instance(instance_id)
                if instance is None and self.store.entity(instance_id) is None:
                    continue
                if instance and finished_only and instance.status not in ev.FINISHED:
                    continue
                self._agenda.forget_timers(self.store.drop_timers(instance_id))
                self._agenda.ends(instance_id)
                self.store.forget_instance(instance_id)
                self.store.put_entity(instance_id, None, self.clock.now())
                self._histories.forget(instance_id)
                gone += 1
        return gone

    # --- episodes -----------------------------------------------------------------------------------------------------

    def ready(self) -> list[str]:
        """The instances that have messages and aren't in an episode, longest waiting first."""
        with self._lock:
            return self._agenda.ready()

    def take_episode(self, instance_id: str | None = None) -> Episode | EntityBatch | None:
        with self._lock:
            while chosen := self._agenda.take_instance(instance_id):
                try:
                    episode = self._batch_of(chosen) if self._is_entity(chosen) else self._episode_of(chosen)
                except Exception:
                    self._agenda.done_with(chosen)
                    self._agenda.has_message(chosen)
                    raise
                if episode:
                    self._taken.take_messages(chosen, episode.places)
                    return episode
                self._agenda.done_with(chosen)
            return None

    def _is_entity(self, instance_id: str) -> bool:
        """An orchestration may have an id that begins like an entity's."""
        return is_entity(instance_id) and self.store.instance(instance_id) is None

    def _episode_of(self, instance_id: str) -> Episode | None:
        instance = self.store.instance(instance_id)
        messages = self._taken.visible(instance_id)
        meant = [
            message
            for message in messages
            if instance and instance.status not in ev.FINISHED and message.execution in (None, instance.execution)
        ]
        if len(meant) < len(messages):
            with self.store.transition():
                kept = {message.place for message in meant}
                self.store.take_from_inbox(message.place for message in messages if message.place not in kept)
        past = self._histories.of(instance_id)
        starts = any(message.event["EventType"] == ev.EXECUTION_STARTED for message in meant)
        if not instance or not meant:
            return None
        if not past.events and not starts:
            if len(messages) < len(self.store.inbox(instance_id)):
                return None  # its start may be among what can't be seen yet
            self._terminate_unstarted(instance, meant)
            return None
        now = event(ev.ORCHESTRATOR_STARTED, self.clock.now())
        # The start comes first, also when it follows on what an earlier generation left.
        meant.sort(key=lambda message: message.event["EventType"] != ev.EXECUTION_STARTED)
        return Episode(instance, past, [now, *(one.event for one in meant)], [one.place for one in meant])

    def renew(self) -> None:
        """Keeps what is being worked on from being seen by others. To be called before half the time has passed."""
        with self._lock:
            self._taken.renew()

    def _terminate_unstarted(self, instance: Instance, messages: list[Message]) -> None:
        """An instance whose start got lost has no episode, but it can be terminated."""
        ends = [one.event for one in messages if one.event["EventType"] == ev.EXECUTION_TERMINATED]
        with self.store.transition():
            self.store.take_from_inbox(one.place for one in messages)
            if ends:
                instance.status, instance.output, instance.updated = (
                    ev.TERMINATED,
                    ends[-1]["Input"],
                    self.clock.now(),
                )
                self.store.put_instance(instance)
        if ends:
            self._agenda.ends(instance.id)
            self.on_change(instance)

    def _batch_of(self, entity_id: str) -> EntityBatch | None:
        visible = self._taken.visible(entity_id)
        messages = [one for one in visible if one.event.get("Name") == "op"]
        if len(messages) < len(visible):  # an orchestration of this id was purged while its activity ran
            with self.store.transition():
                self.store.take_from_inbox(one.place for one in visible if one not in messages)
        if not messages:
            return None
        requests = [json.loads(one.event["Input"]) for one in messages]
        return EntityBatch(entity_id, self.store.entity(entity_id), requests, [one.place for one in messages])

    def play(self, episode: Episode | EntityBatch) -> Outcome | EntityOutcome:
        """The episode itself: user code. Takes no lock, writes nothing."""
        if isinstance(episode, EntityBatch):
            return play_batch(episode, self.catalogue.entities)
        return self.faults.outcome_of(episode, lambda answer: play(episode, self.catalogue, log.error, answer))

    def finish_episode(self, episode: Episode | EntityBatch, outcome: Outcome | EntityOutcome) -> None:
        """Makes an episode's outcome true, in one transaction."""
        if isinstance(episode, EntityBatch) and isinstance(outcome, EntityOutcome):
            self._finish_batch(episode, outcome)
        elif isinstance(episode, Episode) and isinstance(outcome, Outcome):
            self._finish_orchestration(episode, outcome)

    def _finish_batch(self, batch: EntityBatch, outcome: EntityOutcome) -> None:
        with self._lock:
            now = self.clock.now()
            with self.store.transition():
                self.store.take_from_inbox(batch.places)
                self.store.put_entity(batch.instance_id, outcome.state, now)
                for asked, result in zip(batch.requests, outcome.results, strict=False):
                    if asked.get("parent"):
                        answer = event(ev.EVENT_RAISED, now, Name=asked["id"], Input=response(result))
                        self._transitions.send(asked["parent"], answer, asked["parentExecution"])
            self._done_with(batch.instance_id)
            self.on_work()

    def _finish_orchestration(self, episode: Episode, outcome: Outcome) -> None:
        with self._lock:
            instance = episode.instance
            self.bill.count(EPISODES, instance.name)
            if self._was_replaced(instance):
                self._done_with(instance.id)
                self.on_work()
                return
            with self.store.transition():
                effects = self._transitions.finish(episode, outcome)
            self._done_with(instance.id)
            self._agenda.add_tasks(effects.tasks)
            self._agenda.add_timers(effects.timers)
            for one in effects.changed:
                self._changed(one)

    def _was_replaced(self, instance: Instance) -> bool:
        """Whether another instance has taken its id since: what comes of an episode of the old one counts no more."""
        present = self.store.instance(instance.id)
        return present is None or present.execution != instance.execution

    def abandon_episode(self, episode: Episode | EntityBatch) -> None:
        """Puts an episode back whose outcome never came about."""
        with self._lock:
            self._histories.forget(episode.instance_id)
            self._taken.put_back_messages(episode.instance_id, episode.places)
            self._done_with(episode.instance_id)
            self._agenda.has_message(episode.instance_id)
            self.on_work()

    def _done_with(self, instance_id: str) -> None:
        self._taken.done_with_messages(instance_id)
        self._agenda.done_with(instance_id)

    # --- activities ---------------------------------------------------------------------------------------------------

    def pending_tasks(self) -> list[Task]:
        """Activities that were scheduled and not taken yet, oldest first."""
        with self._lock:
            return self._agenda.pending_tasks()

    def take_task(self, task_id: int | None = None) -> Task | None:
        with self._lock:
            task = self._agenda.take_task(task_id)
            if task:
                self.bill.count(CALLS, task.name)
                self._taken.take_task(task)
            return task

    def finish_task(self, task: Task, outcome: Success | Failure) -> None:
        now = self.clock.now()
        if isinstance(outcome, Success):
            message = event(ev.TASK_COMPLETED, now, TaskScheduledId=task.task, Result=outcome.result)
        else:
            message = event(
                ev.TASK_FAILED, now, TaskScheduledId=task.task, Reason=outcome.reason, Details=outcome.details
            )
        with self._lock:
            with self.store.transition():
                if self.store.remove_task(task.id):
                    self._transitions.send(task.instance, message, task.execution, function=task.name)
            self._taken.done_with_task(task.id)
            self._agenda.forget_task(task.id)
            self.on_work()

    def abandon_task(self, task: Task) -> None:
        """Puts an activity back whose outcome could not be kept."""
        with self._lock:
            self._taken.put_back_task(task.id)
            self._agenda.add_tasks([task])
            self.on_work()

    # --- timers -------------------------------------------------------------------------------------------------------

    def next_due(self) -> float | None:
        with self._lock:
            return self._agenda.next_due()

    def fire_due_timers(self) -> int:
        """All timers that are due, in the order in which they are. Says how many there were.

        What a killed host had taken and is visible again is found here, too.
        """
        with self._lock:
            now, fired = self.clock.now(), 0
            if self._agenda.reveal(now):
                self.on_work()
            while timer := self._agenda.take_due(now):
                try:
                    with self.store.transition():
                        message = self.store.take_timer(timer.id)
                        if message:
                            self._transitions.send(
                                timer.instance, {**message, "Timestamp": stamp(now)}, timer.execution
                            )
                except Exception:
                    self._agenda.add_timers([timer])
                    raise
                fired += 1
            if fired:
                self.on_work()
            return fired

    def _changed(self, instance: Instance) -> None:
        self.on_change(instance)
        self.on_work()
