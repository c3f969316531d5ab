"""Calls functions: `async` ones on an event loop of their own, others in a pool of as many threads as the worker has.

What an `async` function blocks is the other `async` ones, as in Azure, where they have a process of their own: the host
goes on answering, and its timers fire.
"""

import asyncio
import contextvars
import functools
import logging
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import azure.functions as func

from local.functions.app import Function, Retry
from local.functions.logs import Invocation, current, executed, here, own_stack, running, stack_of

log = logging.getLogger("host")


class TraceContext:
    def __init__(self, headers: Mapping[str, str]) -> None:
        self.trace_parent = headers.get("traceparent", "")
        self.trace_state = headers.get("tracestate", "")
        self.attributes: dict[str, str] = {}


@dataclass(frozen=True)
class RetryContext:
    retry_count: int = 0
    max_retry_count: int = 0
    exception: BaseException | None = None


class Result:
    """An output parameter (`func.Out`)."""

    def __init__(self) -> None:
        self._value: Any = None

    def set(self, val: Any) -> None:
        self._value = val

    def get(self) -> Any:
        return self._value


class FunctionExitError(Exception):
    """The function raised what isn't meant for a function to raise: SystemExit, CancelledError. It ends nothing else."""


class Context(func.Context):
    """The `context` parameter of a function."""

    def __init__(
        self, function: Function, invocation_id: str, headers: Mapping[str, str], retries: RetryContext
    ) -> None:
        self._function = function
        self._invocation_id = invocation_id
        self._trace_context = TraceContext(headers)
        self._retry_context = retries

    @property
    def invocation_id(self) -> str:
        return self._invocation_id

    @property
    def thread_local_storage(self) -> Any:
        return here

    @property
    def function_name(self) -> str:
        return self._function.name

    @property
    def function_directory(self) -> str:
        return self._function.directory

    @property
    def trace_context(self) -> Any:
        return self._trace_context

    @property
    def retry_context(self) -> Any:
        return self._retry_context


def _is_being_cancelled() -> bool:
    """Whether the host is stopping, rather than that the function has raised a CancelledError of its own."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


class Invoker:
    def __init__(self, client_binding: Callable[[dict[str, Any]], str], threads: int) -> None:
        """`client_binding` makes what a durable client parameter is given, from its binding."""
        self._client_binding = client_binding
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="function")

    def arguments(
        self,
        function: Function,
        given: Any,
        invocation_id: str,
        headers: Mapping[str, str] | None = None,
        retries: RetryContext | None = None,
    ) -> dict[str, Any]:
        arguments: dict[str, Any] = {function.trigger_name: given}
        for binding in function.bindings:
            if binding["name"] in function.clients:
                arguments[binding["name"]] = self._client_binding(binding)
        if function.takes_context:
            arguments["context"] = Context(function, invocation_id, headers or {}, retries or RetryContext())
        if function.output:
            arguments[function.output] = Result()
        return arguments

    async def call_with_retries(self, function: Function, given: Any) -> Any:
        """As `call`, again and again as the function's retry policy has it."""
        policy = function.retry or Retry(0, 0, 0)
        retries = RetryContext(0, policy.most)
        while True:
            try:
                return await self.call(function, given, retries=retries)
            except Exception as error:
                if retries.retry_count == policy.most:
                    raise
                retries = RetryContext(retries.retry_count + 1, policy.most, error)
            pause = policy.pause(retries.retry_count)
            log.info("Waiting for `%g` seconds before retrying function execution of '%s'", pause, function.name)
            await asyncio.sleep(pause)

    async def call(
        self,
        function: Function,
        given: Any,
        headers: Mapping[str, str] | None = None,
        retries: RetryContext | None = None,
    ) -> Any:
        """The function's result; its end is logged with its duration, and what it raises is raised on."""
        invocation = Invocation(str(uuid.uuid4()), function.name)
        arguments = self.arguments(function, given, invocation.id, headers, retries)
        token = current.set(invocation)
        if function.takes_context:
            running[invocation.id] = invocation
        begun = time.perf_counter()

        def in_thread() -> Any:
            nonlocal begun
            here.invocation_id = invocation.id
            begun = time.perf_counter()  # waiting for a thread is no time of the function's
            return context.run(function.call, **arguments)

        try:
            if function.is_async:
                work = _guarded(function.call(**arguments), invocation)
                result = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))
            else:
                context = contextvars.copy_context()
                result = await asyncio.get_running_loop().run_in_executor(self._threads, in_thread)
            if function.output:
                result = arguments[function.output].get() if result is None else result
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and _is_being_cancelled():
                raise
            log.error("%s\n%s", executed(function.name, "Failed", invocation.id, begun), stack_of(error))
            if isinstance(error, Exception):
                raise
            raise exit_of(error) from None
        else:
            log.info(executed(function.name, "Succeeded", invocation.id, begun))
            return result
        finally:
            current.reset(token)
            running.pop(invocation.id, None)

    @functools.cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, name="functions", daemon=True).start()
        return loop

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


async def _guarded(work: Awaitable[Any], invocation: Invocation) -> Any:
    """What would end the loop of the functions is a failure of this one."""
    here.invocation_id = invocation.id
    try:
        return await work
    except (SystemExit, KeyboardInterrupt) as error:
        raise exit_of(error) from None


def exit_of(error: BaseException) -> FunctionExitError:
    return FunctionExitError(f"{type(error).__name__}: {error}").with_traceback(own_stack(error))
