"""Wakes steps that wait: one function raises the event, `orchestrators.run_step` waits for it.

An event is a hint: it can get lost, come late or twice, or find no instance. A step that is woken reads its row; one that isn't
does so by itself after a minute, and then more and more seldom. So nothing is raised a second time, and no failure counts.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING
from urllib.parse import quote

from shared.saga.instances import WAKE, step_instance_id
from shared.saga.saga import MOST_TRIES
from shared.writers.desired_state import DesiredState

if TYPE_CHECKING:
    from azure.durable_functions import DurableOrchestrationClient

log = logging.getLogger(__name__)

# `(deployment_id, step)`: a step of a run.
RunStep = tuple[str, str]

MOST_AT_ONCE = 16
# The caller has other things to do: what isn't raised by then goes on beside it.
MOST_SECONDS = 1.0

_ACCEPTED, _GONE = 202, 410
_finished: ContextVar[set[RunStep] | None] = ContextVar("finished", default=None)
_late: set[asyncio.Task[None]] = set()


@contextlib.contextmanager
def finished_steps() -> Iterator[set[RunStep]]:
    """Collects the steps whose rows are finished inside, also in threads that are waited for."""
    steps: set[RunStep] = set()
    token = _finished.set(steps)
    try:
        yield steps
    finally:
        _finished.reset(token)


def note_finished(rows: Iterable[DesiredState]) -> None:
    """These rows have been applied or have failed, or are gone: the steps that wait for them can go on."""
    steps = _finished.get()
    if steps is not None:
        steps.update((row.deployment_id, row.step) for row in rows)


async def wake(client: "DurableOrchestrationClient", steps: Iterable[RunStep]) -> None:
    """Raises the event on all of these, side by side. Never raises; returns after a second at the latest."""
    room = asyncio.Semaphore(MOST_AT_ONCE)
    tasks = {asyncio.create_task(_wake(client, *each, room)) for each in steps}
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=MOST_SECONDS)
        for task in late:
            _late.add(task)
            task.add_done_callback(_late.discard)


async def _wake(client: "DurableOrchestrationClient", run: str, step: str, room: asyncio.Semaphore) -> None:
    """A step that was broken off runs on under the next number. The SDK's `raise_event` doesn't tell one that has ended
    (410) from one that isn't in this task hub (404)."""
    async with room:
        for number in range(1, MOST_TRIES + 1):
            instance_id = quote(step_instance_id(run, step, number), safe="")
            url = f"{client._orchestration_bindings.rpc_base_url}instances/{instance_id}/raiseEvent/{WAKE}"
            try:
                status, _ = await client._post_async_request(url, json.dumps(None))
            except Exception as error:  # noqa: BLE001 - no connection, no JSON: the step asks by itself
                log.debug("%s of %s could not be woken: %s", step, run, error)
                return
            if status != _GONE:
                if status != _ACCEPTED:
                    log.debug("%s of %s could not be woken: the answer is %d", step, run, status)
                return
