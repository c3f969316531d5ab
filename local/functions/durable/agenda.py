"""What there is to do, held in memory: read from the store at the start, kept up with every transition after its commit.

It can always be made anew from the store; so a kill loses nothing of it.
"""

import heapq
from collections.abc import Iterable

from local.functions.durable.store import Store, Task, Timer


class Agenda:
    def __init__(self, store: Store) -> None:
        self._ready: dict[str, None] = dict.fromkeys(store.with_messages())
        self._busy: set[str] = set()
        self._pending: dict[int, Task] = {task.id: task for task in store.tasks()}
        self._timers: dict[int, Timer] = {timer.id: timer for timer in store.timers()}
        self._by_due = [(timer.due, timer.id) for timer in self._timers.values()]
        heapq.heapify(self._by_due)

    # --- instances that have messages ---------------------------------------------------------------------------------

    def has_message(self, instance_id: str) -> None:
        self._ready.setdefault(instance_id)

    def ready(self) -> list[str]:
        return [instance_id for instance_id in self._ready if instance_id not in self._busy]

    def take_instance(self, instance_id: str | None = None) -> str | None:
        """An instance that has messages and isn't in an episode, the one that has waited longest; it is busy now."""
        candidates = [instance_id] if instance_id else self._ready
        chosen = next((one for one in candidates if one in self._ready and one not in self._busy), None)
        if chosen is not None:
            del self._ready[chosen]
            self._busy.add(chosen)
        return chosen

    def done_with(self, instance_id: str) -> None:
        self._busy.discard(instance_id)

    # --- activities ---------------------------------------------------------------------------------------------------

    def add_tasks(self, tasks: Iterable[Task]) -> None:
        self._pending.update((task.id, task) for task in tasks)

    def pending_tasks(self) -> list[Task]:
        return list(self._pending.values())

    def take_task(self, task_id: int | None = None) -> Task | None:
        if task_id is None:
            task_id = next(iter(self._pending), None)
        return self._pending.pop(task_id, None) if task_id is not None else None

    def forget_task(self, task_id: int) -> None:
        self._pending.pop(task_id, None)

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
        return self._by_due[0][0] if self._by_due else None

    def take_due(self, now: float) -> Timer | None:
        due = self.next_due()
        if due is None or due > now:
            return None
        _, timer_id = heapq.heappop(self._by_due)
        return self._timers.pop(timer_id)
