"""Visibility timeouts: for how long others don't see what a host has taken from the queues.

In Azure a message that a host has taken is invisible until its timeout, which the host renews while it works on it. If
the host is killed, the message is seen again only then.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from local.functions.durable.clock import Clock
from local.functions.durable.store import Message, Store, Task


@dataclass(frozen=True)
class Visibility:
    """Seconds."""

    messages: float
    """controlQueueVisibilityTimeout"""
    activities: float
    """workItemQueueVisibilityTimeout"""


class Taken:
    """What this engine has taken. Without `visibility` nothing is hidden. Called under the engine's lock."""

    def __init__(self, store: Store, clock: Clock, visibility: Visibility | None) -> None:
        self._store = store
        self._clock = clock
        self._visibility = visibility
        self._tasks: set[int] = set()
        self._messages: dict[str, list[int]] = {}

    def visible(self, instance_id: str) -> list[Message]:
        now = self._clock.now()
        return [message for message in self._store.inbox(instance_id) if message.hidden <= now]

    def take_messages(self, instance_id: str, places: list[int]) -> None:
        if self._visibility:
            self._messages[instance_id] = places
            self._hide_messages(places, self._clock.now() + self._visibility.messages)

    def take_task(self, task: Task) -> None:
        if self._visibility:
            self._tasks.add(task.id)
            self._hide_tasks([task.id], self._clock.now() + self._visibility.activities)

    def renew(self) -> None:
        if self._visibility and (self._tasks or self._messages):
            now = self._clock.now()
            self._hide_tasks(self._tasks, now + self._visibility.activities)
            places = [place for taken in self._messages.values() for place in taken]
            self._hide_messages(places, now + self._visibility.messages)

    def done_with_messages(self, instance_id: str) -> None:
        self._messages.pop(instance_id, None)

    def done_with_task(self, task_id: int) -> None:
        self._tasks.discard(task_id)

    def put_back_messages(self, instance_id: str, places: list[int]) -> None:
        self.done_with_messages(instance_id)
        if self._visibility:
            self._hide_messages(places, 0)

    def put_back_task(self, task_id: int) -> None:
        self.done_with_task(task_id)
        if self._visibility:
            self._hide_tasks([task_id], 0)

    def _hide_messages(self, places: Iterable[int], until: float) -> None:
        with self._store.transition():
            self._store.hide_messages(places, until)

    def _hide_tasks(self, task_ids: Iterable[int], until: float) -> None:
        with self._store.transition():
            self._store.hide_tasks(task_ids, until)
