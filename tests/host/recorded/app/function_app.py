"""A small app that shows what a Functions host does: the recordings beside it were made with it on the real host."""

import json
from datetime import timedelta

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)


@app.route(route="hello/{name}", methods=["GET", "POST"])
def hello(req: func.HttpRequest) -> func.HttpResponse:
    seen = {
        "method": req.method,
        "url": req.url,
        "route_params": dict(req.route_params),
        "params": dict(req.params),
        "x-seen": req.headers.get("x-seen"),
        "content-type": req.headers.get("content-type"),
        "body": req.get_body().decode("utf-8", "replace")[:200],
        "body_length": len(req.get_body()),
    }
    return func.HttpResponse(json.dumps(seen), mimetype="application/json")


@app.route(route="open", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def open_to_all(req: func.HttpRequest) -> str:
    return "open"


@app.route(route="masters", methods=["GET"], auth_level=func.AuthLevel.ADMIN)
def masters(req: func.HttpRequest) -> str:
    return "masters"


@app.route(route="nothing", methods=["GET"])
def nothing(req: func.HttpRequest):
    return None


@app.route(route="boom", methods=["GET"])
def boom(req: func.HttpRequest) -> str:
    raise ValueError("boom")


@app.route(route="teapot", methods=["GET"])
def teapot(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(
        b"\x00\xff",
        status_code=418,
        headers={"X-One": "1", "Cache-Control": "no-store"},
        mimetype="application/octet-stream",
    )


@app.route(route="empty", methods=["GET"])
def empty(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(status_code=204)


@app.route(route="start/{name}/{id?}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    given = json.loads(req.get_body() or b"null")
    instance = await client.start_new(
        req.route_params["name"], instance_id=req.route_params.get("id"), client_input=given
    )
    return client.create_check_status_response(req, instance)


@app.timer_trigger(schedule="0 0 5 29 2 *", arg_name="timer")
def leap(timer: func.TimerRequest) -> None:
    pass


@app.orchestration_trigger(context_name="context")
def echo(context: df.DurableOrchestrationContext):
    upper = yield context.call_activity("upper", context.get_input()["text"])
    return upper


@app.orchestration_trigger(context_name="context")
def sleeper(context: df.DurableOrchestrationContext):
    context.set_custom_status({"waiting": "for go"})
    given = yield context.wait_for_external_event("go")
    return given


@app.orchestration_trigger(context_name="context")
def failing(context: df.DurableOrchestrationContext):
    yield context.call_activity("explode", "x")


@app.orchestration_trigger(context_name="context")
def raising(context: df.DurableOrchestrationContext):
    yield context.create_timer(context.current_utc_datetime + timedelta(milliseconds=10))
    raise ValueError("not today")


@app.orchestration_trigger(context_name="context")
def parent(context: df.DurableOrchestrationContext):
    return (yield context.call_sub_orchestrator("echo", {"text": "child"}, context.instance_id + ":child"))


@app.orchestration_trigger(context_name="context")
def again(context: df.DurableOrchestrationContext):
    left = context.get_input()["left"]
    yield context.call_activity("upper", str(left))
    if left > 0:
        context.continue_as_new({"left": left - 1})
        return None
    return "over"


@app.orchestration_trigger(context_name="context")
def woken(context: df.DurableOrchestrationContext):
    given = context.get_input()
    yield context.call_activity("upper", "check")
    event = context.wait_for_external_event("settled")
    timer = context.create_timer(context.current_utc_datetime + timedelta(seconds=given["fallback"]))
    won = yield context.task_any([event, timer])
    if not timer.is_completed:
        timer.cancel()
    seen = [*given["seen"], "event" if won == event else "timer"]
    if len(seen) >= given["generations"]:
        return seen
    context.continue_as_new({**given, "seen": seen})
    return None


@app.activity_trigger(input_name="payload")
def upper(payload: str) -> str:
    return str(payload).upper()


@app.activity_trigger(input_name="payload")
def explode(payload: str) -> str:
    raise KeyError("exploded")
