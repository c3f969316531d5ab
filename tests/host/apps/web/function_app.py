"""HTTP and timer triggers of every kind."""

import asyncio
import json
import logging
import os
import pathlib
import threading
import time
import urllib.request

import azure.functions as func
from pages import pages

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
app.register_functions(pages)


def note(line: str) -> None:
    with pathlib.Path(os.environ["JOURNAL"]).open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")


@app.route(route="mirror", methods=["GET", "POST", "PUT", "HEAD"])
def mirror(req: func.HttpRequest) -> func.HttpResponse:
    seen = {
        "method": req.method,
        "url": req.url,
        "params": dict(req.params),
        "header": req.headers.get("X-Mine"),
        "body": req.get_body().decode(),
    }
    return func.HttpResponse(json.dumps(seen), status_code=207, mimetype="application/json", headers={"X-Back": "yes"})


@app.route(route="items/{id:int}")
def item_by_number(req: func.HttpRequest) -> str:
    return f"number {req.route_params['id']}"


@app.route(route="items/{name}")
def named_item(req: func.HttpRequest) -> str:
    return f"name {req.route_params['name']}"


@app.route(route="items/special")
def a_special_item(req: func.HttpRequest) -> str:
    return "special"


@app.route(route="order/switched-off")
def a_disabled_function(req: func.HttpRequest) -> str:
    return "disabled"


@app.route(route="order/{any}")
def first_by_name(req: func.HttpRequest) -> str:
    return "first by name"


@app.route(route="order/exact")
def second_by_name(req: func.HttpRequest) -> str:
    return "second by name"


@app.route(route="maybe/{first}/{second?}")
def maybe(req: func.HttpRequest) -> str:
    return json.dumps(dict(req.route_params))


@app.route(methods=["POST"])
def named_by_function(req: func.HttpRequest) -> str:
    return req.get_json()["text"]


@app.route(route="nothing")
def nothing(req: func.HttpRequest):
    return None


@app.route(route="wrong")
def wrong(req: func.HttpRequest):
    return {"not": "a response"}


@app.route(route="broken")
async def broken(req: func.HttpRequest) -> func.HttpResponse:
    raise ValueError("this is broken")


@app.route(route="out", binding_arg_name="answer")
def through_a_parameter(req: func.HttpRequest, answer: func.Out[func.HttpResponse]) -> None:
    answer.set(func.HttpResponse("set", status_code=202))


@app.route(route="cookies")
def cookies(req: func.HttpRequest) -> func.HttpResponse:
    response = func.HttpResponse("sweet", status_code=200)
    response.headers.add("Set-Cookie", "a=1; Path=/")
    response.headers.add("Set-Cookie", "b=2; Path=/")
    return response


@app.route(route="level/function", auth_level=func.AuthLevel.FUNCTION)
def for_functions(req: func.HttpRequest) -> str:
    return "function"


@app.route(route="level/admin", auth_level=func.AuthLevel.ADMIN)
def for_admins(req: func.HttpRequest) -> str:
    return "admin"


@app.route(route="about")
def about(req: func.HttpRequest, context: func.Context) -> str:
    logging.getLogger("app").warning("about %s", context.invocation_id)
    return json.dumps(
        {
            "invocation": context.invocation_id,
            "function": context.function_name,
            "directory": context.function_directory,
            "retries": context.retry_context.retry_count,
            "trace": context.trace_context.trace_parent,
            "setting": os.environ.get("FROM_FILE"),
            "thread": threading.current_thread().name,
        }
    )


@app.route(route="about/thread")
def about_thread(req: func.HttpRequest, context: func.Context) -> str:
    def work() -> None:
        context.thread_local_storage.invocation_id = context.invocation_id
        logging.getLogger("app").warning("from a thread of its own")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return context.thread_local_storage.invocation_id


@app.route(route="about/async")
async def about_async(req: func.HttpRequest, context: func.Context) -> str:
    await asyncio.sleep(0)
    return json.dumps({"thread": threading.current_thread().name, "invocation": context.invocation_id})


@app.route(route="asks/{port:int}")
async def asks_its_own_host(req: func.HttpRequest) -> str:
    """And blocks the event loop meanwhile, which no function should do."""
    url = f"http://127.0.0.1:{req.route_params['port']}/admin/host/ping"
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: ASYNC210 - it is what this function is for
        return str(answer.status)


_inside = 0
_most = 0
_lock = threading.Lock()


@app.route(route="crowd")
def crowd(req: func.HttpRequest) -> str:
    """How many of these run at the same time."""
    global _inside, _most
    with _lock:
        _inside += 1
        _most = max(_most, _inside)
    time.sleep(0.1)
    with _lock:
        _inside -= 1
    return str(_most)


@app.timer_trigger(arg_name="timer", schedule="%EVERY_SECOND%", run_on_startup=True)
def tick(timer: func.TimerRequest) -> None:
    """Each run is longer than the time between two occurrences."""
    note(f"begin {timer.past_due}")
    time.sleep(1.2)
    note("end")


@app.timer_trigger(arg_name="timer", schedule="0 0 3 1 1 *", use_monitor=False)
def yearly(timer: func.TimerRequest) -> None:
    note("yearly")


@app.timer_trigger(arg_name="timer", schedule="0 0 3 1 1 *", use_monitor=False)
@app.retry(strategy="fixed_delay", max_retry_count="2", delay_interval="00:00:00")
def stubborn(timer: func.TimerRequest, context: func.Context) -> None:
    retries = context.retry_context
    note(f"stubborn {retries.retry_count} of {retries.max_retry_count} after {retries.exception!r}")
    raise RuntimeError("again")


@app.timer_trigger(arg_name="timer", schedule="0 0 3 1 1 *", use_monitor=False)
def failing(timer: func.TimerRequest) -> None:
    note("failing")
    raise RuntimeError("not today")
