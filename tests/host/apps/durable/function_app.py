"""Orchestrations of every kind, small enough to be told apart by their names."""

import asyncio
import datetime as dt
import os
import pathlib
import sys
import threading
import time

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


def note(line: str) -> None:
    """An effect that survives a kill: one line in a file."""
    journal = os.environ.get("JOURNAL")
    if journal:
        with pathlib.Path(journal).open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")


# --- activities -------------------------------------------------------------------------------------------------------


@app.activity_trigger(input_name="payload")
def echo(payload):
    note(f"echo {payload}")
    return payload


@app.activity_trigger(input_name="payload")
def double(payload: int) -> int:
    return 2 * payload


@app.activity_trigger(input_name="payload")
def fail(payload):
    note("fail")
    raise ValueError(f"no luck with {payload}")


@app.activity_trigger(input_name="payload")
def unserialisable(payload):
    return {1, 2, 3}


@app.activity_trigger(input_name="payload")
def leave(payload):
    sys.exit(payload)


@app.activity_trigger(input_name="payload")
async def cancel_itself(payload):
    raise asyncio.CancelledError(payload)


@app.activity_trigger(input_name="payload")
def say_what_cannot_be_written(payload):
    return ["half \ud83d", float("nan"), float("-inf")]


_attempts: dict[str, int] = {}


@app.activity_trigger(input_name="payload")
def fail_first(payload: dict) -> int:
    """Fails as often as it is told, then says how many calls it took."""
    name = payload["name"]
    _attempts[name] = _attempts.get(name, 0) + 1
    note(f"attempt {name}")
    if _attempts[name] <= payload["failures"]:
        raise RuntimeError(f"attempt {_attempts[name]}")
    return _attempts[name]


@app.activity_trigger(input_name="payload")
def slow(payload: float) -> str:
    time.sleep(payload)
    return threading.current_thread().name


@app.activity_trigger(input_name="payload")
@app.durable_client_input(client_name="client")
async def start_other(payload: dict, client) -> dict:
    """An activity with a durable client: starts an orchestration and looks at it."""
    started = await client.start_new(payload["name"], payload["id"], payload.get("input"))
    status = await client.get_status(started)
    return {"id": started, "name": status.name}


# --- orchestrations ---------------------------------------------------------------------------------------------------


@app.orchestration_trigger(context_name="context")
def hello(context):
    return f"hello {context.get_input()}"


@app.orchestration_trigger(context_name="context")
def chain(context):
    given = context.get_input() or {}
    value = given.get("from", 0)
    for _ in range(given.get("steps", 3)):
        value = yield context.call_activity("echo", value + 1)
    return value


@app.orchestration_trigger(context_name="context")
def fan_out(context):
    values = yield context.task_all([context.call_activity("double", n) for n in range(context.get_input())])
    return sum(values)


@app.orchestration_trigger(context_name="context")
def race(context):
    tasks = [context.call_activity("echo", n) for n in range(3)]
    order = []
    while tasks:
        first = yield context.task_any(tasks)
        tasks.remove(first)
        order.append(first.result)
    return order


@app.orchestration_trigger(context_name="context")
def retried(context):
    given = context.get_input()
    options = df.RetryOptions(given.get("pause", 10), given["attempts"])
    result = yield context.call_activity_with_retry("fail_first", options, given)
    after = yield context.call_activity("echo", "after")
    return [result, after]


@app.orchestration_trigger(context_name="context")
def retried_side_by_side(context):
    options = df.RetryOptions(10, 3)
    names = context.get_input()
    tasks = [
        context.call_activity_with_retry("fail_first", options, {"name": name, "failures": n})
        for n, name in enumerate(names)
    ]
    return (yield context.task_all(tasks))


@app.orchestration_trigger(context_name="context")
def caught(context):
    try:
        yield context.call_activity("fail", "this")
    except Exception as error:  # noqa: BLE001 - failures reach a story as bare exceptions
        return str(error)


@app.orchestration_trigger(context_name="context")
def outcome_of(context):
    try:
        return (yield context.call_activity(context.get_input(), 3))
    except Exception as error:  # noqa: BLE001 - the SDK raises nothing more exact
        return str(error).partition(" \n ")[0]


@app.orchestration_trigger(context_name="context")
def leaves(context):
    sys.exit(3)


@app.orchestration_trigger(context_name="context")
def raises(context):
    yield context.call_activity("echo", 1)
    raise RuntimeError("the story ends badly")


@app.orchestration_trigger(context_name="context")
def raises_at_once(context):
    raise RuntimeError("no beginning")


@app.orchestration_trigger(context_name="context")
def bad_result(context):
    return (yield context.call_activity("unserialisable", None))


@app.orchestration_trigger(context_name="context")
def bad_output(context):
    yield context.call_activity("echo", 1)
    return {1, 2}


@app.orchestration_trigger(context_name="context")
def missing_activity(context):
    return (yield context.call_activity("nobody", 1))


@app.orchestration_trigger(context_name="context")
def parent(context):
    given = context.get_input() or {}
    result = yield context.call_sub_orchestrator(given.get("child", "chain"), given.get("input"), given.get("id"))
    return {"child": result}


@app.orchestration_trigger(context_name="context")
def parent_of_failing(context):
    try:
        yield context.call_sub_orchestrator("raises", None)
    except Exception as error:  # noqa: BLE001 - failures reach a story as bare exceptions
        return str(error)


@app.orchestration_trigger(context_name="context")
def fails_first(context):
    count = yield context.call_activity("fail_first", {"name": context.get_input(), "failures": 0})
    if count < 3:
        raise RuntimeError(f"sub-orchestration {count}")
    return count


@app.orchestration_trigger(context_name="context")
def parent_with_retry(context):
    options = df.RetryOptions(10, 3)
    return (yield context.call_sub_orchestrator_with_retry("fails_first", options, context.get_input()))


@app.orchestration_trigger(context_name="context")
def family(context):
    return [context.instance_id, context.parent_instance_id, context.version, context.get_input()]


@app.orchestration_trigger(context_name="context")
def sleeper(context):
    begun = context.current_utc_datetime
    yield context.create_timer(begun + dt.timedelta(seconds=context.get_input()))
    return (context.current_utc_datetime - begun).total_seconds()


@app.orchestration_trigger(context_name="context")
def deadline(context):
    """An activity against a timer, which is cancelled."""
    timer = context.create_timer(context.current_utc_datetime + dt.timedelta(hours=1))
    work = context.call_activity("echo", "work")
    winner = yield context.task_any([work, timer])
    if winner is work:
        timer.cancel()
        after = yield context.call_activity("echo", "after")
        return [work.result, after]
    return "late"


@app.orchestration_trigger(context_name="context")
def events(context):
    """Waits for as many events as it is told, one after the other."""
    found = []
    for _ in range(context.get_input() or 1):
        found.append((yield context.wait_for_external_event("news")))
    return found


@app.orchestration_trigger(context_name="context")
def late_listener(context):
    yield context.create_timer(context.current_utc_datetime + dt.timedelta(seconds=context.get_input()))
    return (yield context.wait_for_external_event("news"))


@app.orchestration_trigger(context_name="context")
def approval(context):
    timer = context.create_timer(context.current_utc_datetime + dt.timedelta(seconds=context.get_input()))
    event = context.wait_for_external_event("approve")
    winner = yield context.task_any([timer, event])
    if winner is event:
        timer.cancel()
        return event.result
    return "nobody came"


@app.orchestration_trigger(context_name="context")
def counter(context):
    """Continues as new until it has counted to the goal; what it has seen of events goes along."""
    state = context.get_input()
    state["seen"] += [(yield context.call_activity("echo", len(state["seen"])))]
    context.set_custom_status({"seen": len(state["seen"])})
    if len(state["seen"]) < state["goal"]:
        context.continue_as_new(state)
        return None
    return [state["seen"], context.parent_instance_id]


@app.orchestration_trigger(context_name="context")
def event_per_generation(context):
    """Takes one event per generation; those that come in between must not be lost."""
    state = context.get_input()
    state["seen"].append((yield context.wait_for_external_event("news")))
    if len(state["seen"]) < state["goal"]:
        context.continue_as_new(state)
        return None
    return state["seen"]


@app.orchestration_trigger(context_name="context")
def reports(context):
    given = context.get_input()
    if given.get("first"):
        yield context.call_activity("echo", 0)
    context.set_custom_status(given["status"])
    yield context.call_activity("echo", 1)
    return "done"


@app.orchestration_trigger(context_name="context")
def replay_flags(context):
    flags = [context.is_replaying]
    yield context.call_activity("echo", 1)
    flags.append(context.is_replaying)
    yield context.call_activity("echo", 2)
    flags.append(context.is_replaying)
    return flags


@app.orchestration_trigger(context_name="context")
def deterministic(context):
    first = [str(context.new_guid()), context.new_uuid(), context.current_utc_datetime.isoformat()]
    seen = yield context.call_activity("echo", first)
    second = [str(context.new_guid()), context.new_uuid()]
    return {"same": seen == first, "different": first[0] != second[0] and first[1] != second[1]}


@app.orchestration_trigger(context_name="context")
def fickle(context):
    """Asks for another activity each time it is asked: that must not go through."""
    name = "echo" if os.environ.get("FICKLE", "") == "" else "double"
    os.environ["FICKLE"] = "yes"
    yield context.call_activity(name, 1)
    yield context.call_activity("echo", 2)


@app.orchestration_trigger(context_name="context")
def settle(context):
    """task_all fails with the first failure; the sibling goes on."""
    try:
        yield context.task_all([context.call_activity("fail", 1), context.call_activity("echo", "sibling")])
    except Exception as error:  # noqa: BLE001 - failures reach a story as bare exceptions
        after = yield context.call_activity("echo", "after")
        return [type(error).__name__, after]


@app.orchestration_trigger(context_name="context")
def left_open(context):
    """Returns while an activity still runs: Azure completes it only when that is done."""
    winner = yield context.task_any([context.call_activity("echo", "quick"), context.call_activity("slow", 0.3)])
    return winner.result


@app.orchestration_trigger(context_name="context")
def takes_long(context):
    return (yield context.call_activity("slow", 30))


@app.orchestration_trigger(context_name="context")
def uses_client(context):
    return (yield context.call_activity("start_other", context.get_input()))


@app.orchestration_trigger(context_name="context")
def calls_out(context):
    answer = yield context.call_http("POST", context.get_input(), content={"a": 1})
    after = yield context.call_activity("echo", answer["statusCode"])
    return [answer["content"], after]


@app.activity_trigger(input_name="payload")
def fail_unless_mended(payload):
    if os.environ.get("REPAIRED") != "yes":
        raise RuntimeError("broken")
    return "fixed"


@app.orchestration_trigger(context_name="context")
def mendable(context):
    before = yield context.call_activity("echo", "before")
    return [before, (yield context.call_activity("fail_unless_mended", None))]


@app.orchestration_trigger(context_name="context")
def mendable_parent(context):
    return (yield context.call_sub_orchestrator("mendable", None, "mendable-child"))


@app.entity_trigger(context_name="context")
def tally(context):
    value = context.get_state(lambda: 0)
    operation = context.operation_name
    if operation == "add":
        context.set_state(value + context.get_input())
        context.set_result(value + context.get_input())
    elif operation == "get":
        context.set_result(value)
    elif operation == "delete":
        context.destruct_on_exit()
    else:
        raise ValueError(f"what is {operation}?")


@app.orchestration_trigger(context_name="context")
def counts(context):
    entity = df.EntityId("tally", context.get_input())
    context.signal_entity(entity, "add", 1)
    first = yield context.call_entity(entity, "add", 2)
    echoed = yield context.call_activity("echo", first)
    try:
        yield context.call_entity(entity, "nonsense")
    except Exception as error:  # noqa: BLE001 - failures reach a story as bare exceptions
        return [first, echoed, (yield context.call_entity(entity, "get")), str(error)]


# --- starting over HTTP -----------------------------------------------------------------------------------------------


@app.route(route="start/{name}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client) -> func.HttpResponse:
    body = req.get_json() if req.get_body() else None
    instance_id = await client.start_new(req.route_params["name"], req.params.get("id"), body)
    return client.create_check_status_response(req, instance_id)


@app.route(route="wait/{name}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def wait(req: func.HttpRequest, client) -> func.HttpResponse:
    instance_id = await client.start_new(req.route_params["name"], None, req.get_json())
    return await client.wait_for_completion_or_create_check_status_response(req, instance_id, 5000, 50)


@app.route(route="job", methods=["POST"])
def job(req: func.HttpRequest) -> func.HttpResponse:
    location = req.url.replace("/job", "/job/result")
    return func.HttpResponse(status_code=202, headers={"Location": location, "Retry-After": "0"})


_looks = 0


@app.route(route="job/result", methods=["GET"])
def job_result(req: func.HttpRequest) -> func.HttpResponse:
    global _looks
    _looks += 1
    if _looks < 3:
        return func.HttpResponse(status_code=202, headers={"Location": req.url, "Retry-After": "0"})
    return func.HttpResponse(f"done after {_looks}")


@app.route(route="tally/{key}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def signal_tally(req: func.HttpRequest, client) -> func.HttpResponse:
    entity = df.EntityId("tally", req.route_params["key"])
    await client.signal_entity(entity, "add", 5)
    state = await client.read_entity_state(entity)
    return func.HttpResponse(str(state.entity_exists))
