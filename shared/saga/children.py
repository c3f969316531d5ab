"""The sub-orchestrations of a run: side by side, and begun again when the platform broke one off. Pure.

`run_step` never raises. One that fails all the same lost its worker while it was replayed (durable-extension#2922), or was
terminated: it is begun again under a next id, after growing waits, before its step has failed.
"""

from collections.abc import Generator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from shared.saga.instances import RUN_STEP, step_instance_id
from shared.saga.policy import Policy
from shared.saga.step_run import StepRun

if TYPE_CHECKING:
    from azure.durable_functions import DurableOrchestrationContext

# So often a step is begun before it has failed as `StepBroke`.
MOST_TRIES = 8


@dataclass(frozen=True)
class _Child:
    """pauses: its last try broke off, and the next one is waited for."""

    name: str
    run: StepRun
    number: int = 1
    pauses: bool = False


class Children:
    """`start` as many as may run side by side, then take `next_settled` until `count` is 0."""

    def __init__(self, context: "DurableOrchestrationContext", deployment_id: str, policy: Policy) -> None:
        self._context = context
        self._deployment_id = deployment_id
        self._policy = policy
        self._waiting: dict[Any, _Child] = {}
        self._unsent: list[Any] = []

    @property
    def count(self) -> int:
        return len(self._waiting)

    def start(self, name: str, run: StepRun) -> None:
        """Begins a step at the next `next_settled`. All its tries share one deadline."""
        self._call(_Child(name, run.begun(self._context.current_utc_datetime)))

    def next_settled(self) -> Generator[Any, Any, tuple[str, Any]]:
        """The name of the next child that has ended, and its answer; of one that broke too often, what Durable says."""
        while True:
            yield from self._send()
            task = yield self._context.task_any(list(self._waiting))
            child = self._waiting.pop(task)
            if child.pauses:
                self._call(replace(child, number=child.number + 1, pauses=False))
            elif is_answer(task.result) or child.number >= MOST_TRIES:
                return child.name, task.result
            else:
                seconds = self._policy.refusal_wait(self._deployment_id, child.name, child.number, None)
                self._await(self._timer(seconds), replace(child, pauses=True))

    def _call(self, child: _Child) -> None:
        instance_id = step_instance_id(self._deployment_id, child.name, child.number)
        self._await(self._context.call_sub_orchestrator(RUN_STEP, child.run.as_data(), instance_id=instance_id), child)

    def _await(self, task: Any, child: _Child) -> None:
        self._waiting[task] = child
        self._unsent.append(task)

    def _send(self) -> Generator[Any, Any, None]:
        """Hands new tasks to Durable while others are under way.

        A `task_any` is sent with its new tasks only, and the extension waits for one of those before it reads on: a timer
        that is due at once lets it, so that what ended earlier is seen, and followed, right away.
        """
        new, self._unsent = self._unsent, []
        if new and len(new) < len(self._waiting):
            yield self._context.task_any([*new, self._timer(0)])

    def _timer(self, seconds: float) -> Any:
        return self._context.create_timer(self._context.current_utc_datetime + timedelta(seconds=seconds))


def is_answer(result: Any) -> bool:
    """Whether `run_step` itself answered; Durable gives an exception for one that was broken off."""
    return isinstance(result, dict) and "outcome" in result
