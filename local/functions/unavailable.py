"""A host whose app settings lack what host.json names (`%TASK_HUB%`): it runs, runs no function, and answers 503."""

import json
import logging
import socket
from typing import TextIO

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from local.functions.keys import Keys

log = logging.getLogger("host")

NOT_RUNNING = "Function host is not running."


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """503 for every request, whatever its route, method and key."""
    await Request(scope, receive).body()
    await PlainTextResponse(NOT_RUNNING, 503)(scope, receive, send)


def serve_unavailable(listening: socket.socket, keys: Keys, output: TextIO, reason: str) -> None:
    """Answers until it is asked to stop. output: gets the line that says that requests are answered."""
    import uvicorn

    log.error("The host can't start: %s", reason)
    base_url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    endpoints = {
        "api": f"{base_url}/api",
        "function_key": keys.function,
        "system_key": keys.system,
        "master_key": keys.master,
    }
    listening.listen()  # from now on requests wait to be answered
    print(json.dumps(endpoints), file=output, flush=True)
    config = uvicorn.Config(refuse, log_config=None, access_log=False, lifespan="off", interface="asgi3")
    uvicorn.Server(config).run(sockets=[listening])
