"""The management API: for people under /runtime/webhooks/durabletask, for the SDK's client at an address of its own.

Answers are those of the extension's HttpApiHandler, refusals in its words.
"""

import asyncio
import json
import math
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from urllib.parse import unquote_plus

from starlette.requests import Request
from starlette.responses import Response

from local.functions.durable import events as ev
from local.functions.durable.client import CONNECTION, Addresses
from local.functions.durable.clock import seconds, stamp
from local.functions.durable.engine import AlreadyExistsError, Engine, RefusedError, StorageError
from local.functions.durable.entities import entity_of, is_entity
from local.functions.durable.events import text
from local.functions.durable.newtonsoft import JsonError, deserialized, loaded
from local.functions.durable.queries import STATUSES, Filter, as_json, history_document, page, status_document
from local.functions.durable.store import Instance, Store
from local.functions.paths import escaped, origin_of, query_value, query_values, url_of

CONTINUATION = "x-ms-continuation-token"
USUAL_PAGE = 100
EMPTY_KEY = "$"
MOST_ON_A_PAGE = 1000
WRONG_ARGUMENTS = "One or more of the arguments submitted is incorrect"
WENT_WRONG = "Something went wrong while processing your request"
NO_JSON = "Invalid JSON content"
JSON_READER = "Newtonsoft.Json.JsonReaderException"
# What .NET would show here are its own frames.
STACK = "   at local.functions.durable.management"
SUSPENDABLE = (ev.PENDING, ev.RUNNING)

Handler = Callable[[], Awaitable[Response] | Response]


class ImpossibleError(Exception):
    """What the extension's client can't do, in its words; the API answers 500."""


def reply(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(text(document), status, headers, media_type="application/json; charset=utf-8")


def nothing(status: int) -> Response:
    return Response(status_code=status)


def refusal(status: int, message: str, reason: object = None, kind: str = "System.ArgumentException") -> Response:
    """A message alone, or with the exception that was the reason."""
    document = {"Message": message}
    if reason is not None:
        document |= {"ExceptionMessage": str(reason), "ExceptionType": kind, "StackTrace": STACK}
    return reply(document, status)


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
        self._other_hubs: dict[str, Engine] = {}

    async def answer(self, request: Request, path: str) -> Response:
        """`path` is what follows the API's own address, without `/runtime/...`, decoded as Kestrel does."""
        return await self.engine.faults.answer(request, path, lambda: self._answer(request, path))

    async def _answer(self, request: Request, path: str) -> Response:
        try:
            handler = Call(self, request).handler(_path_of(path).split("/"))
            if handler is None:
                return nothing(404)
            answer = handler()
            return answer if isinstance(answer, Response) else await answer
        except RefusedError as error:
            return refusal(400, WRONG_ARGUMENTS, error)
        except StorageError as error:
            return refusal(500, WENT_WRONG, error, "DurableTask.AzureStorage.Storage.DurableTaskStorageException")
        except JsonError as error:
            return refusal(500, WENT_WRONG, error, error.kind)
        except ImpossibleError as error:
            return refusal(500, WENT_WRONG, error, "System.InvalidOperationException")

    def engine_of(self, request: Request) -> Engine:
        """The engine of the task hub that a request names. Another hub than the app's is one that no host serves: what is
        started there stays pending, and is forgotten with this process."""
        hub, connection = query_value(request, "taskHub"), query_value(request, "connection")
        if connection and connection.strip() and not _is_a_connection(connection):
            raise ImpossibleError(f"Unable to resolve the Azure Storage connection named '{connection}'.")
        own = self.addresses.hub_name.lower()
        name = hub.lower() if hub and hub.strip() else own
        if name == own:
            return self.engine
        if name not in self._other_hubs:
            self._other_hubs[name] = Engine({}, (), Store(":memory:"), self.engine.clock)
        return self._other_hubs[name]


def _path_of(path: str) -> str:
    """As the extension takes it from the address: decoded once more, `+` a blank."""
    return unquote_plus(escaped(path), errors="replace").strip("/")


def _is_a_connection(name: str) -> bool:
    """An app setting of this name, or several with it as their beginning, with `AzureWebJobs` before it or without."""
    names = {name.lower(), f"azurewebjobs{name}".lower()}
    settings = (setting.lower() for setting in os.environ)
    return name.lower() == CONNECTION.lower() or any(
        one in names or one.partition("__")[0] in names for one in settings
    )


class Call:
    """One request to the API."""

    def __init__(self, management: Management, request: Request) -> None:
        self._management = management
        self._request = request

    @property
    def engine(self) -> Engine:
        return self._management.engine_of(self._request)

    def handler(self, parts: list[str]) -> Handler | None:
        """What answers; None when no route has this path and method."""
        method = self._request.method
        match [parts[0].lower(), *parts[1:]]:
            case ["orchestrators", name, *rest] if name and len(rest) < 2:
                return (lambda: self._start(name, rest[0] if rest else None)) if method == "POST" else None
            case ["entities", *rest] if len(rest) < 3:
                return self._entities_handler(method, *rest)
            case ["instances"]:
                return {"GET": self._list, "DELETE": self._purge_many}.get(method)
            case ["instances", one]:
                routes = {"GET": lambda: self._status(one), "DELETE": lambda: self._purge(one)}
                return routes.get(method)
            case ["instances", one, operation] if method == "POST":
                return self._operation(one, operation.lower())
            case ["instances", one, raising, name] if method == "POST" and raising.lower() == "raiseevent":
                return lambda: self._raise_event(one, name)
            case ["makeprimary"]:
                return lambda: nothing(200)
        return None

    def _entities_handler(self, method: str, name: str = "", key: str = "") -> Handler | None:
        match method:
            case "GET":
                return (lambda: self._entity(name, key)) if key else (lambda: self._entities(name))
            case "POST":
                return lambda: self._signal(name, key, query_value(self._request, "op") or "")
            case "DELETE":
                return lambda: self._signal(name, key, "delete")
        return None

    # --- starting -----------------------------------------------------------------------------------------------------

    async def _start(self, name: str, instance_id: str | None) -> Response:
        """Nothing is checked: neither the name nor the id. The orchestration itself fails when no function has its name."""
        engine = self.engine
        body = (await self._request.body()).decode("utf-8", "replace")
        try:
            given = _kept(body, deserialized(body)) if body else None
            started = engine.start(name, given, instance_id, query_value(self._request, "version") or "")
            return await self._check_status(engine, started)
        except JsonError as error:
            if error.kind != JSON_READER:
                raise
            return refusal(400, NO_JSON, error, error.kind)
        except AlreadyExistsError as error:
            return refusal(409, str(error))
        except RefusedError as error:
            return refusal(400, str(error))

    async def _check_status(self, engine: Engine, instance_id: str) -> Response:
        """202 with the instance's addresses; with `timeout` and `pollingInterval`, its result if that comes in time."""
        timeout, interval = (_number(self._request, name) for name in ("timeout", "pollingInterval"))
        if timeout is not None and interval is not None:
            if interval > timeout:
                raise RefusedError(f"Total timeout {timeout:g} should be bigger than retry timeout {interval:g}")
            await self._management.waiters.wait(engine, instance_id, timeout)
            instance = engine.store.instance(instance_id)
            if instance and instance.status == ev.COMPLETED:
                return reply(as_json(instance.output))
            if instance and instance.status in ev.FINISHED:
                return self._status(instance_id, as_error=False)
        hub, connection = (query_value(self._request, name) for name in ("taskHub", "connection"))
        origin = origin_of(self._request)
        urls = self._management.addresses.management_urls(instance_id, hub, connection, origin)
        del urls["rewindPostUri"]
        return reply(urls, 202, {"Location": urls["statusQueryGetUri"], "Retry-After": "10"})

    # --- looking ------------------------------------------------------------------------------------------------------

    def _status(self, instance_id: str, *, as_error: bool | None = None) -> Response:
        engine = self.engine
        instance = engine.store.instance(instance_id)
        if instance is None:
            return nothing(404)
        show_input = _flag(self._request, "showInput", True)
        history = None
        if _flag(self._request, "showHistory", False) and instance.status != ev.PENDING:
            texts = engine.store.history(instance_id)
            show_output = _flag(self._request, "showHistoryOutput", False)
            history = history_document(texts, show_output=show_output, show_input=show_input)
        document = status_document(instance, show_input=show_input, history=history)
        if instance.status not in ev.FINISHED:
            return reply(document, 202, {"Location": url_of(self._request), "Retry-After": "5"})
        if as_error is None:
            as_error = _flag(self._request, "returnInternalServerErrorOnFailure", False)
        return reply(document, 500 if as_error and instance.status == ev.FAILED else 200)

    def _list(self) -> Response:
        """A page. A token that can't be read is taken for none."""
        size = _whole_number(self._request, "top") or USUAL_PAGE
        token = self._request.headers.get(CONTINUATION)
        found, more = page(self.engine.store, _filter(self._request), max(1, min(size, MOST_ON_A_PAGE)), token)
        show_input = _flag(self._request, "showInput", True)
        document = [status_document(instance, show_input=show_input) for instance in found]
        return reply(document, 200, {CONTINUATION: more or ""})

    # --- changing -----------------------------------------------------------------------------------------------------

    def _operation(self, instance_id: str, operation: str) -> Handler | None:
        engine, reason = self.engine, query_value(self._request, "reason")
        match operation:
            case "terminate":
                return lambda: self._send(instance_id, lambda _: engine.terminate(instance_id, reason))
            case "suspend":
                return lambda: self._send(instance_id, lambda instance: self._suspend(instance, reason))
            case "resume":
                return lambda: self._send(instance_id, lambda instance: self._resume(instance, reason))
            case "rewind":
                return lambda: self._rewind(instance_id, reason)
            case "restart":
                return lambda: self._restart(instance_id)
        return None

    def _send(self, instance_id: str, send: Callable[[Instance], None]) -> Response:
        """202 when the instance exists and hasn't ended."""
        instance = self.engine.store.instance(instance_id)
        if instance is None:
            return nothing(404)
        if instance.status in ev.FINISHED:
            return nothing(410)
        send(instance)
        return nothing(202)

    def _suspend(self, instance: Instance, reason: str | None) -> None:
        if instance.status not in SUSPENDABLE:
            raise _cannot("suspend", instance)
        self.engine.suspend(instance.id, reason)

    def _resume(self, instance: Instance, reason: str | None) -> None:
        if instance.status != ev.SUSPENDED:
            raise _cannot("resume", instance)
        self.engine.resume(instance.id, reason)

    def _rewind(self, instance_id: str, reason: str | None) -> Response:
        instance = self.engine.store.instance(instance_id)
        if instance is None:
            return reply(f'No orchestration with instance ID "${instance_id}" found.', 404)
        if instance.status != ev.FAILED:
            can = 'only orchestrations in the "Failed" state can be rewound'
            return reply(f"This orchestration has status {instance.status}, but {can}.", 412)
        self.engine.rewind(instance_id, reason)
        return nothing(202)

    async def _restart(self, instance_id: str) -> Response:
        engine = self.engine
        try:
            started = engine.restart(instance_id, under_new_id=_flag(self._request, "restartWithNewInstanceId", True))
            return await self._check_status(engine, started)
        except AlreadyExistsError as error:
            kind = "DurableTask.Core.Exceptions.OrchestrationAlreadyExistsException"
            return refusal(409, "A non-terminal instance with this instance ID already exists.", error, kind)
        except RefusedError as error:
            return refusal(400, "InstanceId does not match a valid orchestration instance.", error)

    async def _raise_event(self, instance_id: str, name: str) -> Response:
        body = (await self._request.body()).decode("utf-8", "replace")
        engine = self.engine
        instance = engine.store.instance(instance_id)
        if instance is None:
            return nothing(404)
        if instance.status in ev.FINISHED:
            return nothing(410)
        if not self._is_json():
            return refusal(400, "Only application/json request content is supported")
        try:
            data = loaded(body)
        except JsonError as error:
            return refusal(400, NO_JSON, error, error.kind)
        engine.raise_event(instance_id, name, text(data))
        return nothing(202)

    def _purge(self, instance_id: str) -> Response:
        """Ids that begin like an entity's are purged unseen, as in Azure."""
        engine = self.engine
        if not is_entity(instance_id):
            instance = engine.store.instance(instance_id)
            if instance is None:
                return nothing(404)
            if instance.status not in ev.FINISHED:
                can = "Only orchestrations in a terminal state can be purged"
                what = f"the orchestration with instance ID {instance_id} has status {instance.status}"
                return reply(f"{can}, but {what}", 412)
        return reply({"instancesDeleted": engine.purge([instance_id], finished_only=False)})

    def _purge_many(self) -> Response:
        """Statuses of unfinished instances don't count; without any other one everything goes, what runs included."""
        engine, wanted = self.engine, _filter(self._request)
        if wanted.created_from is None:
            return reply("Please provide value for 'createdTimeFrom' parameter.", 400)
        finished = [status for status in wanted.statuses if status in ev.FINISHED]
        where, values = replace(wanted, statuses=finished, prefix="").sql()
        ids = [instance.id for instance in engine.store.instances(where, values)]
        gone = engine.purge(ids, finished_only=False)
        return reply({"instancesDeleted": gone}) if gone else nothing(404)

    # --- entities -----------------------------------------------------------------------------------------------------

    def _entity(self, name: str, key: str) -> Response:
        state = self.engine.store.entity(f"@{name.lower()}@{'' if key == EMPTY_KEY else key}")
        return nothing(404) if state is None else reply(as_json(state))

    def _entities(self, name: str) -> Response:
        size = max(1, min(_whole_number(self._request, "top") or USUAL_PAGE, MOST_ON_A_PAGE))
        after = self._request.headers.get(CONTINUATION, "")
        found = self.engine.store.entities(f"@{name.lower()}@" if name else "@", after, size + 1)
        with_state = _flag(self._request, "fetchState", False)
        document = []
        for entity_id, state, updated in found[:size]:
            entity_name, key = entity_of(entity_id)
            row = {"entityId": {"name": entity_name, "key": key}, "lastOperationTime": stamp(updated)}
            document.append(row | ({"state": as_json(state)} if with_state else {}))
        return reply(document, 200, {CONTINUATION: found[size - 1][0] if len(found) > size else ""})

    async def _signal(self, name: str, key: str, operation: str) -> Response:
        if not name:
            words = "Invalid entity id: entity name must not be a null or empty string."
            return refusal(400, f"{words} (Parameter 'entityName')")
        body = (await self._request.body()).decode("utf-8", "replace")
        given: Any = body or None
        try:
            if body and self._is_json():
                given = loaded(body)
            self.engine.signal_entity(name, "" if key == EMPTY_KEY else key, operation, given)
        except JsonError as error:
            return refusal(400, f"Could not parse JSON content: {error}")
        except RefusedError as error:
            return refusal(400, str(error))
        return nothing(202)

    def _is_json(self) -> bool:
        media_type = self._request.headers.get("content-type", "").partition(";")[0].strip()
        return media_type.lower() == "application/json"


def _cannot(operation: str, instance: Instance) -> ImpossibleError:
    state = f"because instance is in the {instance.status} state."
    return ImpossibleError(f"Cannot {operation} the orchestration instance {instance.id} {state}")


def _kept(body: str, value: Any) -> str:
    """An input is kept as it came; what is no JSON by the standard, as the SDK reads it, is written anew."""
    try:
        json.loads(body)
    except ValueError:
        return text(value)
    return body


def _flag(request: Request, name: str, otherwise: bool) -> bool:
    value = (query_value(request, name) or "").strip().lower()
    return value == "true" if value in ("true", "false") else otherwise


def _number(request: Request, name: str) -> float | None:
    try:
        number = float(query_value(request, name) or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _whole_number(request: Request, name: str) -> int | None:
    try:
        return int(query_value(request, name) or "")
    except ValueError:
        return None


def _moment(request: Request, name: str) -> float | None:
    try:
        return seconds(query_value(request, name) or "")
    except ValueError:
        return None


def _filter(request: Request) -> Filter:
    """A status that isn't spelt exactly so counts for nothing; its number in .NET will do."""
    asked = {one.strip() for value in query_values(request, "runtimeStatus") for one in value.split(",")}
    statuses = [status for number, status in enumerate(STATUSES) if status in asked or str(number) in asked]
    return Filter(
        _moment(request, "createdTimeFrom"),
        _moment(request, "createdTimeTo"),
        statuses,
        query_value(request, "instanceIdPrefix") or "",
    )
