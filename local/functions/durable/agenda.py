"""What there is to do, held in memory: read from the store at the start, kept up with every transition after its commit.

It can always be made anew from the store; so a kill loses nothing of it.

Functions take turns: a hundred calls of one of them don't keep the only call of another waiting.
"""

import heapq
from collections import OrderedDict
from collections.abc import Container, Hashable, Iterable
from typing import Generic, TypeVar

from local.functions.durable.store import Instance, Store, Task, Timer

K = TypeVar("K", bound=Hashable)


class _Turns(Generic[K]):
    """Waiting things, each under the name of its function. Names take turns; of one name who waits longest goes first."""

    def __init__(self) -> None:
        self._by_name: OrderedDict[str, dict[K, int]] = OrderedDict()
        self._names: dict[K, str] = {}
        self._arrivals = 0

    def __contains__(self, key: K) -> bool:
        return key in self._names

    def add(self, key: K, name: str) -> None:
        """At the end of its name's line, unless it waits there already."""
        if key not in self._names:
            self._arrivals += 1
            self._names[key] = name
            self._by_name.setdefault(name, {})[key] = self._arrivals

    def remove(self, key: K) -> None:
        name = self._names.pop(key, None)
        if name is not None:
            del self._by_name[name][key]
            if not self._by_name[name]:
                del self._by_name[name]

    def take(self, but: Container[K] = ()) -> K | None:
        """The next one that isn't in `but`; its name goes to the end."""
        for name, line in self._by_name.items():
            for key in line:
                if key not in but:
                    self._by_name.move_to_end(name)
                    self.remove(key)
                    return key
        return None

    def by_arrival(self) -> list[K]:
        return sorted(self._names, key=lambda key: self._by_name[self._names[key]][key])


class Agenda:
    def __init__(self, store: Store, now: float) -> None:
        self._names: dict[str, str] = store.names_of_unfinished()
        self._ready: _Turns[str] = _Turns()
        self._hidden: list[tuple[float, str, Task | None]] = []
        self._busy: set[str] = set()
        for instance_id, hidden in store.with_messages():
            if any(until <= now for until in hidden):
                self.has_message(instance_id)
            for until in {until for until in hidden if until > now}:
                self.hide(until, instance_id)
        self._pending: dict[int, Task] = {}
        self._tasks: _Turns[int] = _Turns()
        tasks = store.tasks()
        self.add_tasks(task for task in tasks if task.hidden <= now)
        for task in tasks:
            if task.hidden > now:
                self.hide(task.hidden, task.instance, task)
        self._timers: dict[int, Timer] = {timer.id: timer for timer in store.timers()}
        self._by_due = [(timer.due, timer.id) for timer in self._timers.values()]
        heapq.heapify(self._by_due)

    # --- instances that have messages ---------------------------------------------------------------------------------

    def begins(self, instance: Instance) -> None:
        self._names[instance.id] = instance.name

    def ends(self, instance_id: str) -> None:
        self._names.pop(instance_id, None)

    def name_of(self, instance_id: str) -> str:
        """The name of the orchestration of an unfinished instance, else nothing."""
        return self._names.get(instance_id, "")

    def has_message(self, instance_id: str) -> None:
        self._ready.add(instance_id, self.name_of(instance_id))

    def ready(self) -> list[str]:
        return [instance_id for instance_id in self._ready.by_arrival() if instance_id not in self._busy]

    def take_instance(self, instance_id: str | None = None) -> str | None:
        """An instance that has messages and isn't in an episode; it is busy now."""
        if instance_id is None:
            instance_id = self._ready.take(but=self._busy)
        elif instance_id in self._ready and instance_id not in self._busy:
            self._ready.remove(instance_id)
        else:
            return None
        if instance_id is not None:
            self._busy.add(instance_id)
        return instance_id

    def done_with(self, instance_id: str) -> None:
        self._busy.discard(instance_id)

    # --- activities ---------------------------------------------------------------------------------------------------

    def add_tasks(self, tasks: Iterable[Task]) -> None:
        for task in tasks:
            self._pending[task.id] = task
            self._tasks.add(task.id, task.name)

    def pending_tasks(self) -> list[Task]:
        return list(self._pending.values())

    def take_task(self, task_id: int | None = None) -> Task | None:
        if task_id is None:
            task_id = self._tasks.take()
        elif task_id in self._tasks:
            self._tasks.remove(task_id)
        return self._pending.pop(task_id, None) if task_id is not None else None

    def forget_task(self, task_id: int) -> None:
        self._pending.pop(task_id, None)
        self._tasks.remove(task_id)

    # --- what a killed host had taken ---------------------------------------------------------------------------------

    def hide(self, until: float, instance_id: str, task: Task | None = None) -> None:
        """Messages of an instance, or an activity, that can't be seen before."""
        heapq.heappush(self._hidden, (until, instance_id if task is None else f"{instance_id}#{task.id}", task))

    def reveal(self, now: float) -> bool:
        """Makes visible what has been hidden long enough. Whether there was anything."""
        revealed = False
        while self._hidden and self._hidden[0][0] <= now:
            _, instance_id, task = heapq.heappop(self._hidden)
            revealed = True
            if task is None:
                self.has_message(instance_id)
            else:
                self.add_tasks([task])
        return revealed

    # --- timers -------------------------------------------------------------------------------------------------------

    def add_timers(self, timers: Iterable[Timer]) -> None:
        for timer in timers:
            self._timers[timer.id] = timer
            heapq.heappush(self._by_due, (timer.due, timer.id))

    def forget_timers(self, timer_ids: Iterable[int]) -> None:
        for timer_id in timer_ids:
            self._timers.pop(timer_id, None)

    def next_due(self) -> float | None:
        while self._by_due and self._by_due[0][1] not in self._timers:
            heapq.heappop(self._by_due)
        first = [line[0][0] for line in (self._by_due, self._hidden) if line]
        return min(first, default=None)

    def take_due(self, now: float) -> Timer | None:
        self.next_due()
        if not self._by_due or self._by_due[0][0] > now:
            return None
        _, timer_id = heapq.heappop(self._by_due)
        return self._timers.pop(timer_id)
