"""The command line: `python -m local.functions --script-root DIR --port P --state DIR`."""

import argparse
import asyncio
import fcntl
import io
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import IO, NoReturn, TextIO

from local.functions import logs
from local.functions.app import LoadError
from local.functions.calls import Start
from local.functions.durable.client import RPC_PATH, Addresses
from local.functions.keys import StateError, kept_keys
from local.functions.pid_file import WORKER
from local.functions.settings import (
    SettingsError,
    UnresolvedError,
    apply_local_settings,
    debug_port,
    host_settings,
    threads_for_functions,
)
from local.functions.unavailable import serve_unavailable
from local.functions.worker_process import WorkerProcess
from local.options import state_directory

SECONDS_TO_WAIT_FOR_THE_STATE = 3.0
SECONDS_TO_END = 1.5
LOOPBACK = "127.0.0.1"
# Computation in one thread shall not make the event loop, and with it timers and requests, wait for long.
SWITCH_INTERVAL = 0.0005


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.functions", description="A local Azure Functions host.")
    parser.add_argument("--script-root", type=Path, default=Path(), metavar="DIR", help="where function_app.py is")
    parser.add_argument("--port", type=int, default=0, help="0, the default, picks a free one")
    parser.add_argument(
        "--state", type=state_directory, required=True, metavar="DIR", help="what must survive a restart"
    )
    parser.add_argument(
        "--time-scale",
        type=float,
        default=1.0,
        metavar="X",
        help="what the host's own waits are multiplied with: until messages that a killed host had taken are seen again",
    )
    return parser.parse_args()


def give_up(message: str) -> NoReturn:
    print(message, file=sys.stderr, flush=True)
    raise SystemExit(1)


def own_output() -> TextIO:
    """Standard output, for the one line that the host prints there: what the app prints goes where its log goes."""
    own = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    return own


def hold(state: Path) -> IO[str]:
    """The state directory belongs to one host at a time."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        lock = (state / "host.lock").open("w")
    except OSError as error:
        give_up(f"The state directory {state} can't be used: {error.strerror}")
    patience = time.monotonic() + SECONDS_TO_WAIT_FOR_THE_STATE
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > patience:
                give_up(f"The state directory {state} is in use by another host.")
            time.sleep(0.02)
        else:
            return lock


def socket_on(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((LOOPBACK, port))
    return listening


def main() -> None:
    options = arguments()
    output = own_output()
    logs.set_up()
    script_root = options.script_root.resolve()
    state = options.state.resolve()
    lock = hold(state)
    try:
        apply_local_settings(script_root, os.environ)
        settings = host_settings(script_root, os.environ)
        debugged_at = debug_port(os.environ)
        keys = kept_keys(state)
        listening = socket_on(options.port)
    except UnresolvedError as error:
        serve_unavailable(socket_on(options.port), kept_keys(state), output, str(error))
        return
    except (SettingsError, StateError) as error:
        give_up(str(error))
    except (OSError, OverflowError) as error:
        give_up(f"The function app in {script_root} can't be served on port {options.port}: {error}")
    if script_root.is_dir():
        os.chdir(script_root)
    base_url = f"http://{LOOPBACK}:{listening.getsockname()[1]}"
    addresses = Addresses(base_url, settings.hub_name, keys.system, f"{base_url}{RPC_PATH}/{keys.rpc}/")
    start = Start(script_root, addresses, threads_for_functions(os.environ), debugged_at)
    # A function that stands at a breakpoint isn't too slow.
    timeout = settings.function_timeout if debugged_at is None else None
    worker = WorkerProcess(start, state / WORKER, timeout)

    # While the worker loads the app.
    import uvloop

    from local.functions.host import Host

    sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        host = Host(worker, listening, settings, keys, addresses, state, options.time_scale)
    except (LoadError, StateError) as error:
        give_up(str(error))

    async def serve() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()

        def end(_number: int, _frame: object) -> None:
            """Not the loop's own handler: a function may be blocking the loop, or not let itself be cancelled."""
            watchdog = threading.Timer(SECONDS_TO_END, os._exit, (0,))
            watchdog.daemon = True
            watchdog.start()
            loop.call_soon_threadsafe(stop.set)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        endpoints = {
            "api": host.api,
            "function_key": keys.function,
            "system_key": keys.system,
            "master_key": keys.master,
        }
        await host.serve(lambda: print(json.dumps(endpoints), file=output, flush=True), stop)

    uvloop.run(serve())
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    lock.close()
    # Threads in which a function still runs would keep the process; what they do is done again after the next start.
    os._exit(0)


if __name__ == "__main__":
    main()
