"""The management API: for people under /runtime/webhooks/durabletask, for the SDK's client at an address of its own.

Answers are those of the extension's HttpApiHandler, refusals in its words.
"""

import asyncio
import json
import math
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response

from local.functions.durable import events as ev
from local.functions.durable.client import Addresses
from local.functions.durable.clock import seconds, stamp
from local.functions.durable.engine import AlreadyExistsError, Engine, RefusedError
from local.functions.durable.entities import entity_of
from local.functions.durable.events import text
from local.functions.durable.queries import STATUSES, Filter, as_json, history_document, page, status_document
from local.functions.durable.store import Instance

CONTINUATION = "x-ms-continuation-token"
USUAL_PAGE = 100
EMPTY_KEY = "$"
MOST_ON_A_PAGE = 1000


def reply(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(text(document), status, headers, media_type="application/json; charset=utf-8")


def nothing(status: int) -> Response:
    return Response(status_code=status)


def refusal(status: int, message: str, reason: str | None = None, kind: str = "System.ArgumentException") -> Response:
    document = {"Message": message}
    if reason is not None:
        document |= {"ExceptionMessage": reason, "ExceptionType": kind, "StackTrace": None}
    return reply(document, status)


def impossible(reason: str) -> Response:
    words = "Something went wrong while processing your request"
    return refusal(500, words, reason, "System.InvalidOperationException")


class Waiters:
    """Those who wait for an instance to finish."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[tuple[asyncio.AbstractEventLoop, asyncio.Event]]] = {}

    def changed(self, instance: Instance) -> None:
        if instance.status in ev.FINISHED:
            for loop, finished in self._waiting.pop(instance.id, ()):
                loop.call_soon_threadsafe(finished.set)

    async def wait(self, engine: Engine, instance_id: str, at_most: float) -> None:
        entry = (asyncio.get_running_loop(), asyncio.Event())
        self._waiting.setdefault(instance_id, []).append(entry)
        try:
            instance = engine.store.instance(instance_id)
            if instance and instance.status not in ev.FINISHED:
                await asyncio.wait_for(entry[1].wait(), at_most)
        except TimeoutError:
            return
        finally:
            if entry in self._waiting.get(instance_id, ()):
                self._waiting[instance_id].remove(entry)


class Management:
    def __init__(self, engine: Engine, addresses: Addresses) -> None:
        self.engine = engine
        self.addresses = addresses
        self.waiters = Waiters()
        engine.on_change = self.waiters.changed

    async def answer(self, request: Request, path: str) -> Response:
        """`path` is what follows the API's own address, as it was sent: ids may hold escaped characters."""
        return await self.engine.faults.answer(request, path, lambda: self._answer(request, path))

    async def _answer(self, request: Request, path: str) -> Response:
        parts = [unquote(part) for part in path.strip("/").split("/")]
        try:
            return await self._route(request, request.method, parts)
        except AlreadyExistsError as error:
            words = "Something went wrong while processing your request"
            return refusal(500, words, str(error), "DurableTask.Core.Exceptions.OrchestrationAlreadyExistsException")
        except RefusedError as error:
            return refusal(400, "One or more of the arguments submitted is incorrect", str(error))

    async def _route(self, request: Request, method: str, parts: list[str]) -> Response:
        match [parts[0].lower(), *parts[1:]], method:
            case ["orchestrators", name], "POST":
                return await self._start(request, name, None)
            case ["orchestrators", name, instance_id], "POST":
                return await self._start(request, name, instance_id)
            case ["instances"] | ["instances", ""], "GET":
                return self._list(request)
            case ["instances"] | ["instances", ""], "DELETE":
                return self._purge_many(request)
            case ["instances", instance_id], "GET":
                return self._status(request, instance_id)
            case ["instances", instance_id], "DELETE":
                return self._purge(instance_id)
            case ["instances", instance_id, operation], "POST":
                return await self._operate(request, instance_id, operation.lower())
            case ["instances", instance_id, "raiseEvent" | "raiseevent", name], "POST":
                return await self._raise_event(request, instance_id, name)
            case ["entities"] | ["entities", ""], "GET":
                return self._entities(request, "")
            case ["entities", name], "GET":
                return self._entities(request, name)
            case ["entities", name, key], "GET":
                return self._entity(name, key)
            case ["entities", name, key], "POST":
                return await self._signal(request, name, key, request.query_params.get("op", ""))
            case ["entities", name, key], "DELETE":
                return await self._signal(request, name, key, "delete")
        return nothing(404)

    # --- starting -----------------------------------------------------------------------------------------------------

    async def _start(self, request: Request, name: str, instance_id: str | None) -> Response:
        body = await request.body()
        given = None
        if body.strip():
            try:
                given = text(json.loads(body))
            except ValueError as error:
                return refusal(400, "Invalid JSON content", str(error), "Newtonsoft.Json.JsonReaderException")
        started = self.engine.start(name, given, instance_id, request.query_params.get("version", ""))
        return await self._check_status(request, started)

    async def _check_status(self, request: Request, instance_id: str) -> Response:
        """202 with the instance's addresses; with `timeout` and `pollingInterval`, its result if that comes in time."""
        timeout, interval = (_number(request, name) for name in ("timeout", "pollingInterval"))
        if timeout is not None and interval is not None:
            if interval > timeout:
                raise RefusedError(f"Total timeout {timeout:g} should be bigger than retry timeout {interval:g}")
            await self.waiters.wait(self.engine, instance_id, timeout)
            instance = self.engine.store.instance(instance_id)
            if instance and instance.status == ev.COMPLETED:
                return reply(as_json(instance.output))
            if instance and instance.status in ev.FINISHED:
                return self._status(request, instance_id)
        urls = self.addresses.management_urls(instance_id, origin=str(request.base_url).rstrip("/"))
        del urls["rewindPostUri"]
        return reply(urls, 202, {"Location": urls["statusQueryGetUri"], "Retry-After": "10"})

    # --- looking ------------------------------------------------------------------------------------------------------

    def _status(self, request: Request, instance_id: str) -> Response:
        instance = self.engine.store.instance(instance_id)
        if instance is None:
            return nothing(404)
        show_input = _flag(request, "showInput", True)
        history = None
        if _flag(request, "showHistory", False) and instance.status != ev.PENDING:
            texts = self.engine.store.history(instance_id)
            show_output = _flag(request, "showHistoryOutput", False)
            history = history_document(texts, show_output=show_output, show_input=show_input)
        document = status_document(instance, show_input=show_input, history=history)
        if instance.status not in ev.FINISHED:
            return reply(document, 202, {"Location": str(request.url), "Retry-After": "5"})
        failed = instance.status == ev.FAILED and _flag(request, "returnInternalServerErrorOnFailure", False)
        return reply(document, 500 if failed else 200)

    def _list(self, request: Request) -> Response:
        size = _whole_number(request, "top") or USUAL_PAGE
        token = request.headers.get(CONTINUATION)
        try:
            found, more = page(self.engine.store, _filter(request), max(1, min(size, MOST_ON_A_PAGE)), token)
        except ValueError as error:
            raise RefusedError(str(error)) from None
        show_input = _flag(request, "showInput", True)
        headers = {CONTINUATION: more} if more else {}
        return reply([status_document(instance, show_input=show_input) for instance in found], 200, headers)

    # --- changing -----------------------------------------------------------------------------------------------------

    async def _operate(self, request: Request, instance_id: str, operation: str) -> Response:
        if operation == "restart":
            return await self._restart(request, instance_id)
        operations = {
            "terminate": self.engine.terminate,
            "suspend": self.engine.suspend,
            "resume": self.engine.resume,
            "rewind": self.engine.rewind,
        }
        perform = operations.get(operation)
        if perform is None:
            return nothing(404)
        instance = self.engine.store.instance(instance_id)
        if instance is None:
            return nothing(404)
        if instance.status in ev.FINISHED and not (operation == "rewind" and instance.status == ev.FAILED):
            return nothing(410)
        if operation == "rewind" and instance.status != ev.FAILED:
            return impossible("The rewind operation is only supported on failed orchestration instances.")
        if operation == "resume" and not self.engine.can_resume(instance):
            return impossible(
                f"Cannot resume the orchestration instance {instance_id} because instance is in the {instance.status} "
                "state."
            )
        perform(instance_id, request.query_params.get("reason"))
        return nothing(202)

    async def _restart(self, request: Request, instance_id: str) -> Response:
        new = _flag(request, "restartWithNewInstanceId", True)
        try:
            started = self.engine.restart(instance_id, under_new_id=new)
        except AlreadyExistsError:
            raise
        except RefusedError as error:
            return refusal(400, "InstanceId does not match a valid orchestration instance.", str(error))
        return await self._check_status(request, started)

    async def _raise_event(self, request: Request, instance_id: str, name: str) -> Response:
        instance = self.engine.store.instance(instance_id)
        if instance is None:
            return nothing(404)
        if instance.status in ev.FINISHED:
            return nothing(410)
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            return refusal(400, "Only application/json request content is supported")
        try:
            data = json.loads(await request.body())
        except ValueError as error:
            return refusal(400, "Invalid JSON content", str(error), "Newtonsoft.Json.JsonReaderException")
        self.engine.raise_event(instance_id, name, text(data))
        return nothing(202)

    def _purge(self, instance_id: str) -> Response:
        if self.engine.store.instance(instance_id) is None:
            return nothing(404)
        return reply({"instancesDeleted": self.engine.purge([instance_id])})

    def _purge_many(self, request: Request) -> Response:
        wanted = _filter(request)
        if wanted.created_from is None:
            return reply("Please provide value for 'createdTimeFrom' parameter.", 400)
        where, values = wanted.sql()
        gone = self.engine.purge([instance.id for instance in self.engine.store.instances(where, values)])
        return reply({"instancesDeleted": gone}) if gone else nothing(404)

    # --- entities -----------------------------------------------------------------------------------------------------

    def _entity(self, name: str, key: str) -> Response:
        state = self.engine.store.entity(f"@{name.lower()}@{'' if key == EMPTY_KEY else key}")
        return nothing(404) if state is None else reply(as_json(state))

    def _entities(self, request: Request, name: str) -> Response:
        size = max(1, min(_whole_number(request, "top") or USUAL_PAGE, MOST_ON_A_PAGE))
        after = request.headers.get(CONTINUATION, "")
        found = self.engine.store.entities(f"@{name.lower()}@" if name else "@", after, size + 1)
        with_state = _flag(request, "fetchState", False)
        document = []
        for entity_id, state, updated in found[:size]:
            entity_name, key = entity_of(entity_id)
            row = {"entityId": {"name": entity_name, "key": key}, "lastOperationTime": stamp(updated)}
            document.append(row | ({"state": as_json(state)} if with_state else {}))
        return reply(document, 200, {CONTINUATION: found[size - 1][0]} if len(found) > size else {})

    async def _signal(self, request: Request, name: str, key: str, operation: str) -> Response:
        body = (await request.body()).decode()
        given: Any = body or None
        if body and request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
            try:
                given = json.loads(body)
            except ValueError as error:
                return refusal(400, f"Could not parse JSON content: {error}")
        self.engine.signal_entity(name, "" if key == EMPTY_KEY else key, operation, given)
        return nothing(202)


def _flag(request: Request, name: str, otherwise: bool) -> bool:
    value = request.query_params.get(name, "").strip().lower()
    return value == "true" if value in ("true", "false") else otherwise


def _number(request: Request, name: str) -> float | None:
    try:
        number = float(request.query_params[name])
    except (KeyError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _whole_number(request: Request, name: str) -> int | None:
    try:
        return int(request.query_params[name])
    except (KeyError, ValueError):
        return None


def _moment(request: Request, name: str) -> float | None:
    try:
        return seconds(request.query_params[name])
    except (KeyError, ValueError):
        return None


def _filter(request: Request) -> Filter:
    # As in Azure a status that isn't spelt exactly so counts for nothing.
    asked = {one.strip() for value in request.query_params.getlist("runtimeStatus") for one in value.split(",")}
    statuses = [status for status in STATUSES if status in asked]
    return Filter(
        _moment(request, "createdTimeFrom"),
        _moment(request, "createdTimeTo"),
        statuses,
        request.query_params.get("instanceIdPrefix", ""),
    )
