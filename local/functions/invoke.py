"""Calls functions, in the worker process and as the real worker does: `async` ones on the process's one event loop, all
others, orchestrators and entities among them, in one pool of PYTHON_THREADPOOL_THREAD_COUNT threads.

So what an `async` function blocks is every other call; sixteen slow activities on sixteen threads hold up every
orchestrator; and a ContextVar that a function sets and doesn't reset is what the next call on that thread finds.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import azure.functions as func

from local.functions.app import ACTIVITY, ENTITY, HTTP, ORCHESTRATION, TIMER, Function
from local.functions.calls import Call, RequestParts, Retries
from local.functions.durable.episode import OrchestrationContext, answer_of
from local.functions.durable.outcomes import failure_of, given_to, result_of
from local.functions.http_trigger import response_for
from local.functions.logs import Invocation, executed, here, host_log, own_stack, running, stack_of, works_for

SELF_ENDING = (SystemExit, KeyboardInterrupt)


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
    """The function raised a CancelledError of its own."""


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
        retries: Retries | None = None,
    ) -> dict[str, Any]:
        arguments: dict[str, Any] = {function.trigger_name: given}
        for binding in function.bindings:
            if binding["name"] in function.clients:
                arguments[binding["name"]] = self._client_binding(binding)
        if function.takes_context:
            tries = retries or Retries()
            context = RetryContext(tries.count, tries.most, tries.error)
            arguments["context"] = Context(function, invocation_id, headers or {}, context)
        if function.output:
            arguments[function.output] = Result()
        return arguments

    async def call(self, function: Function, call: Call) -> Any:
        """What `calls.Ended` carries. Raises what the function raises; its end is in the log, with its duration."""
        invocation = Invocation(call.id, function.name)
        works_for(invocation)
        begun = [time.perf_counter()]
        try:
            value = await self._value(function, call, begun)
        except SELF_ENDING:
            raise
        except BaseException as error:  # noqa: BLE001 - a CancelledError of the function's own, too
            host_log.error("%s\n%s", executed(function.name, "Failed", call.id, begun[0]), stack_of(error))
            failed = error if isinstance(error, Exception) else _as_exception(error)
            if function.kind == ACTIVITY:
                return failure_of(function.name, failed)
            raise failed from None
        else:
            how = "Failed" if function.kind == ORCHESTRATION and value.failed else "Succeeded"
            host_log.info(executed(function.name, how, call.id, begun[0]))
            return value
        finally:
            running.pop(call.id, None)

    async def _value(self, function: Function, call: Call, begun: list[float]) -> Any:
        if function.kind == ORCHESTRATION:
            return await self._in_thread(call.id, begun, lambda: answer_of(function.name, function.call, call.given))
        if function.kind == ENTITY:
            context = OrchestrationContext(call.given)
            return await self._in_thread(call.id, begun, lambda: function.call(context))
        given = _given_to(function.kind, call.given)
        arguments = self.arguments(function, given, call.id, call.headers, call.retries)
        if function.is_async:
            returned = await function.call(**arguments)
        else:
            returned = await self._in_thread(call.id, begun, lambda: function.call(**arguments))
        if function.output and returned is None:
            returned = arguments[function.output].get()
        return _encoded(function, call, returned)

    async def _in_thread(self, invocation_id: str, begun: list[float], work: Callable[[], Any]) -> Any:
        def in_thread() -> Any:
            here.invocation_id = invocation_id
            begun[0] = time.perf_counter()  # waiting for a thread is no time of the function's
            try:
                return work()
            finally:
                here.invocation_id = None

        return await asyncio.get_running_loop().run_in_executor(self._threads, in_thread)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _given_to(kind: str, given: Any) -> Any:
    if kind == ACTIVITY:
        return given_to(given)
    if isinstance(given, RequestParts):
        return func.HttpRequest(
            given.method,
            given.url,
            headers=given.headers,
            params=given.params,
            route_params=given.route_params,
            body=given.body,
        )
    return given


def _encoded(function: Function, call: Call, returned: Any) -> Any:
    if function.kind == ACTIVITY:
        return result_of(call.given, returned)
    if function.kind == HTTP:
        return response_for(returned)
    if function.kind == TIMER and returned is not None:
        raise RuntimeError(f"function '{function.name}' without a $return binding returned a non-None value")
    return None


def _as_exception(error: BaseException) -> Exception:
    return FunctionExitError(f"{type(error).__name__}: {error}").with_traceback(own_stack(error))
