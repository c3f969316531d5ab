"""What comes of an episode, written into the store: new messages, activities and timers, a longer history, a status.

All of it happens inside one of the store's transitions, under the engine's lock.
"""

import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from local.functions.durable import events as ev
from local.functions.durable.agenda import Agenda
from local.functions.durable.bill import APPENDS, MESSAGES, Bill
from local.functions.durable.clock import Clock, stamp
from local.functions.durable.decisions import Decision, Outcome, Schedule, SendEvent, SetTimer, StartSub
from local.functions.durable.episode import Catalogue, Episode, History, as_played, start_of
from local.functions.durable.events import Event, encodable, event, text
from local.functions.durable.faults import CALL, Faults
from local.functions.durable.store import Instance, Store, Task, Timer

HISTORIES_IN_MEMORY = 256


class Histories:
    """Those of the instances that were played last, so that they needn't be read again."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[str, History] = OrderedDict()

    def of(self, instance_id: str) -> History:
        return self._kept.get(instance_id) or History.read(self._store.history(instance_id))

    def keep(self, instance_id: str, history: History) -> None:
        self._kept[instance_id] = history
        self._kept.move_to_end(instance_id)
        while len(self._kept) > HISTORIES_IN_MEMORY:
            self._kept.popitem(last=False)

    def forget(self, instance_id: str) -> None:
        self._kept.pop(instance_id, None)


@dataclass(slots=True)
class Effects:
    """What an episode causes outside its own history, published once it is committed."""

    changed: list[Instance]
    tasks: list[Task] = field(default_factory=list)
    timers: list[Timer] = field(default_factory=list)


@dataclass(slots=True)
class _Finishing:
    instance: Instance
    now: float
    new: list[Event]
    """What the history gets."""
    effects: Effects


class Transitions:
    def __init__(
        self,
        store: Store,
        agenda: Agenda,
        histories: Histories,
        catalogue: Catalogue,
        faults: Faults,
        bill: Bill,
        clock: Clock,
    ) -> None:
        self._store = store
        self._agenda = agenda
        self._histories = histories
        self._catalogue = catalogue
        self._faults = faults
        self._bill = bill
        self._clock = clock

    def begin(
        self,
        name: str,
        given: str | None,
        instance_id: str,
        version: str,
        parent: tuple[Instance, int] | None = None,
    ) -> Instance:
        """A new instance in place of the one there was, and the message that sets it going."""
        now = self._clock.now()
        self._store.forget_instance(instance_id)
        self._histories.forget(instance_id)
        instance = Instance(instance_id, name, version, uuid.uuid4().hex, ev.PENDING, given, None, None, now, now)
        if parent:
            instance.parent, instance.parent_execution = parent[0].id, parent[0].execution
            instance.parent_task = parent[1]
        self._store.put_instance(instance)
        self._agenda.begins(instance)
        self.send(instance_id, start_of(instance, now), instance.execution)
        return instance

    def send(
        self,
        instance_id: str,
        message: Event,
        execution: str | None = None,
        *,
        ahead: bool = False,
        function: str | None = None,
    ) -> None:
        """`function` is whose message it is, if it isn't one of the receiver itself."""
        function = function or self._agenda.name_of(instance_id)
        if not ahead and message["EventType"] != ev.TIMER_FIRED:
            self._bill.count(MESSAGES, function)
        if not ahead and self._faults.loses_message(message, instance_id, function):
            return
        self._store.send(instance_id, message, execution, ahead=ahead)
        self._agenda.has_message(instance_id)

    def finish(self, episode: Episode, outcome: Outcome) -> Effects:
        instance, now = episode.instance, self._clock.now()
        finishing = _Finishing(instance, now, [*episode.new], Effects([instance]))
        self._store.take_from_inbox(episode.places)
        for decision in outcome.decisions:
            self._HANDLERS[type(decision)](self, decision, finishing)
        instance.updated = now
        instance.custom_status = outcome.custom_status or instance.carried_status
        instance.carried_status = None
        if outcome.continue_with is not None:
            self._continue_as_new(instance, outcome, now)
        else:
            self._settle(instance, outcome, now, finishing.new)
            texts = [text(as_played(one)) for one in finishing.new]
            self._bill.count(APPENDS, instance.name)
            self._store.append_history(instance.id, len(episode.past.events), texts)
            if instance.status not in ev.FINISHED:
                episode.past.extend(finishing.new, texts)
                self._histories.keep(instance.id, episode.past)
        self._store.put_instance(instance)
        return finishing.effects

    # --- decisions ----------------------------------------------------------------------------------------------------

    def _schedule(self, decision: Schedule, finishing: _Finishing) -> None:
        instance = finishing.instance
        name = self._catalogue.activities.get(decision.name.lower(), decision.name)
        # The framework keeps an activity's parameters, of which there is one.
        given = text([decision.input])
        words = {"Name": name, "Version": "", "Input": given}
        finishing.new.append(event(ev.TASK_SCHEDULED, finishing.now, decision.id, **words))
        self._bill.count(MESSAGES, name)
        if not self._faults.loses(CALL, instance.id, name):
            task = self._store.add_task(instance.id, instance.execution, decision.id, name, given)
            finishing.effects.tasks.append(task)

    def _set_timer(self, decision: SetTimer, finishing: _Finishing) -> None:
        instance, due = finishing.instance, stamp(decision.due)
        finishing.new.append(event(ev.TIMER_CREATED, finishing.now, decision.id, FireAt=due))
        self._bill.count(MESSAGES, instance.name)
        fired = event(ev.TIMER_FIRED, finishing.now, TimerId=decision.id, FireAt=due)
        timer = self._store.add_timer(instance.id, instance.execution, decision.id, decision.due, fired)
        finishing.effects.timers.append(timer)

    def _start_sub(self, decision: StartSub, finishing: _Finishing) -> None:
        name, _ = self._catalogue.orchestrators[decision.name.lower()]
        child, given = decision.instance_id, text(decision.input)
        words = {"InstanceId": child, "Name": name, "Version": decision.version, "Input": given}
        finishing.new.append(event(ev.SUB_CREATED, finishing.now, decision.id, **words))
        # Unlike a client's start this one asks nothing: it takes the place of an instance that runs, too.
        if not self._faults.loses("start", child, name):
            started = self.begin(name, given, child, decision.version, (finishing.instance, decision.id))
            finishing.effects.changed.append(started)

    def _send_event(self, decision: SendEvent, finishing: _Finishing) -> None:
        words: dict[str, Any] = {"Name": decision.name, "Input": decision.input}
        finishing.new.append(event(ev.EVENT_SENT, finishing.now, decision.id, InstanceId=decision.instance_id, **words))
        self.send(decision.instance_id, event(ev.EVENT_RAISED, finishing.now, **words))

    _HANDLERS: dict[type[Decision], Callable[["Transitions", Any, _Finishing], None]] = {  # noqa: RUF012 - never changed
        Schedule: _schedule,
        SetTimer: _set_timer,
        StartSub: _start_sub,
        SendEvent: _send_event,
    }

    # --- how an episode ends ------------------------------------------------------------------------------------------

    def _settle(self, instance: Instance, outcome: Outcome, now: float, new: list[Event]) -> None:
        for told in new:
            if told["EventType"] in (ev.EXECUTION_SUSPENDED, ev.EXECUTION_RESUMED) and told["Reason"] is not None:
                instance.output = told["Reason"]
        if outcome.status is None:
            instance.status = ev.SUSPENDED if outcome.suspended else ev.RUNNING
            new.append(event(ev.ORCHESTRATOR_COMPLETED, now))
            return
        instance.status = outcome.status
        instance.output = None if outcome.result is None else encodable(outcome.result)
        new.append(
            event(
                ev.EXECUTION_COMPLETED,
                now,
                OrchestrationStatus=outcome.status,
                Result=outcome.result,
                FailureDetails=None,
            )
        )
        new.append(event(ev.ORCHESTRATOR_COMPLETED, now))
        self._agenda.forget_timers(self._store.drop_timers(instance.id))
        self._agenda.ends(instance.id)
        self._histories.forget(instance.id)
        if instance.parent:
            if outcome.status == ev.COMPLETED:
                told = event(ev.SUB_COMPLETED, now, TaskScheduledId=instance.parent_task, Result=outcome.result)
            else:
                told = event(
                    ev.SUB_FAILED,
                    now,
                    TaskScheduledId=instance.parent_task,
                    Reason=outcome.result,
                    Details=outcome.details,
                )
            self.send(instance.parent, told, instance.parent_execution, function=instance.name)

    def _continue_as_new(self, instance: Instance, outcome: Outcome, now: float) -> None:
        """The next generation: an empty history; events that were not waited for go along."""
        self._store.clear_history(instance.id)
        self._agenda.forget_timers(self._store.drop_timers(instance.id))
        self._histories.forget(instance.id)
        instance.execution, instance.input = uuid.uuid4().hex, outcome.continue_with
        instance.status = ev.SUSPENDED if outcome.suspended else ev.RUNNING
        instance.carried_status = instance.custom_status
        for left in reversed(outcome.unprocessed):
            self.send(instance.id, {**left, "IsPlayed": False}, ahead=True)
        self.send(instance.id, start_of(instance, now), instance.execution, ahead=True)
