"""The worker process: loads the app and runs its functions, as the Python worker does beside the Functions host.

It has one connection, a socket to the host that started it; when that is closed, it ends. `calls.py` has the messages.
"""

import asyncio
import dataclasses
import io
import os
import signal
import sys
import threading
import warnings
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from local.functions import logs
from local.functions.app import Function, IndexingError, LoadError, load_app, runs_in_the_worker
from local.functions.calls import Call, Ended, FunctionFailedError, Loaded, NotLoaded, Start, code_of
from local.functions.invoke import SELF_ENDING, Invoker

# Computation in one thread shall not make the event loop, and with it all calls, wait for long.
SWITCH_INTERVAL = 0.0005


class Worker:
    def __init__(self, connection: "Connection[Any, Any]", functions: list[Function], start: Start) -> None:
        self._connection = connection
        self._functions = {(one.kind, one.name): one for one in functions}
        self._invoker = Invoker(start.addresses.binding, start.threads)
        self._calls: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(logs.invocation_task)
        threading.Thread(target=self._read, args=(loop,), name="calls", daemon=True).start()
        await asyncio.Event().wait()

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            while True:
                loop.call_soon_threadsafe(self._begin, self._connection.recv())
        except (EOFError, OSError):
            end(0)

    def _begin(self, call: Call) -> None:
        task = asyncio.get_running_loop().create_task(self._perform(call))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _perform(self, call: Call) -> None:
        try:
            ended = Ended(call.id, await self._invoker.call(self._functions[call.kind, call.name], call))
        except SELF_ENDING as error:
            end(code_of(error))
        except Exception as error:  # noqa: BLE001 - what a function raises is the caller's business
            ended = Ended(call.id, error=FunctionFailedError(f"{type(error).__name__}: {error}"))
        sys.stdout.flush()
        self._connection.send(ended)


def end(code: int) -> NoReturn:
    """At once: threads in which functions still run don't keep the process."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def main(descriptor: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    warnings.filterwarnings("ignore", message="Potential duplicate Task completion")
    logs.set_up()
    connection: Connection[Any, Any] = Connection(descriptor)
    try:
        start: Start = connection.recv()
        if start.debug_port is not None:
            listen_for_debugger(start.debug_port)
        functions = functions_in(start)
        bare = [dataclasses.replace(one, call=runs_in_the_worker) for one in functions]
        connection.send(Loaded(bare))
    except LoadError as error:
        connection.send(NotLoaded(str(error)))
        end(1)
    except (EOFError, OSError):
        end(0)
    sys.setswitchinterval(SWITCH_INTERVAL)
    asyncio.run(Worker(connection, functions, start).serve())


def listen_for_debugger(port: int) -> None:
    """On loopback, for a debugger that may attach, leave and attach again. LoadError when the port can't be had.

    In this process: debugpy's adapter in one of its own could still hold the port when the next worker starts.
    """
    import debugpy

    try:
        debugpy.listen(("127.0.0.1", port), in_process_debug_adapter=True)
    except (OSError, RuntimeError) as error:
        raise LoadError(f"No debugger can be listened for on port {port}: {error}") from None
    logs.host_log.warning("A debugger can attach to 127.0.0.1:%d; functionTimeout is off", port)


def functions_in(start: Start) -> list[Function]:
    """As the real worker: when one function can't be indexed, none is."""
    try:
        return load_app(start.script_root)
    except IndexingError as error:
        logs.host_log.error("%s\n0 functions loaded: none of them is served, every route is 404.", error)
        return []
