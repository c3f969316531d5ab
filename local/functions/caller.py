"""How the host has functions called: each kind in its own way, all of them in the worker process."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from local.functions.app import Function, Retry
from local.functions.calls import FunctionTimeoutException, Retries, WorkerProcessExitException
from local.functions.durable.decisions import Answer, Failure, Success
from local.functions.durable.outcomes import failure_of
from local.functions.durable.store import Task
from local.functions.worker_process import WorkerProcess

log = logging.getLogger("host")


class Caller:
    def __init__(self, worker: WorkerProcess) -> None:
        self._worker = worker

    async def call(
        self,
        function: Function,
        given: Any,
        headers: Mapping[str, str] | None = None,
        retries: Retries | None = None,
    ) -> Any:
        """What the function's kind returns (see `calls.Ended`). Raises when it failed, or its worker died."""
        return await asyncio.wrap_future(self._worker.submit(function, given, headers, retries))

    async def call_with_retries(self, function: Function, given: Any) -> Any:
        """As `call`, again and again as the function's retry policy has it."""
        policy = function.retry or Retry(0, 0, 0)
        retries = Retries(0, policy.most)
        while True:
            try:
                return await self.call(function, given, retries=retries)
            except Exception as error:
                if retries.count == policy.most:
                    raise
                retries = Retries(retries.count + 1, policy.most, error)
            pause = policy.pause(retries.count)
            log.info("Waiting for `%g` seconds before retrying function execution of '%s'", pause, function.name)
            await asyncio.sleep(pause)

    async def activity(self, function: Function, task: Task) -> Success | Failure:
        try:
            outcome: Success | Failure = await self.call(function, task)
        except (FunctionTimeoutException, WorkerProcessExitException) as error:
            return failure_of(task.name, error)
        return outcome

    def orchestrator(self, function: Function) -> Callable[[str], Answer]:
        """Blocks: to be called in a thread."""
        return lambda body: self._worker.submit(function, body).result()

    def entity(self, function: Function) -> Callable[[Any], str]:
        return lambda body: self._worker.submit(function, body).result()
