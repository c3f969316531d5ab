"""Turns a handler into an HTTP function: registered, logged, and never answering anything but our own shapes.

A route is declared once, at its handler: the function and its part of the OpenAPI document come from that (`ROUTES`).

A handler takes a `Call` and returns an `Answer` or raises. Every function here is `async`; blocking work goes into the
threads of `shared.process.blocking`. Only those that start or name orchestrations get a Durable client: reading needs none, and
liveness asks no other service.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import azure.functions as func

from shared.errors import HubSpokeException
from shared.process import logs
from shared.process.deadline import CODE as NO_ANSWER_IN_TIME
from shared.process.deadline import HTTP_SECONDS, TIMER_SECONDS
from triggers.http.queries import Parameter, subject
from triggers.http.responses import JSON, Answer, error_answer

if TYPE_CHECKING:
    from azure.durable_functions import Blueprint, DurableOrchestrationClient

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Route:
    """What a route is, wherever it is needed.

    path: behind the host's prefix.  name: of the function.  summary: its docstring.  answers: the class of its body by
    status; None: any JSON object.  errors: the other statuses, each an `ErrorAnswer`.  parameters: of query and
    headers; those of the path are known by their names.  body: the model in `shared.spoke.request.model`.
    """

    method: str
    path: str
    name: str
    summary: str
    answers: Mapping[int, type | None]
    errors: tuple[int, ...]
    parameters: tuple[Parameter, ...]
    body: str | None
    anonymous: bool


ROUTES: list[Route] = []


@dataclass(frozen=True)
class Call:
    """One HTTP request, with the Durable client of a function that has one."""

    request: func.HttpRequest
    route: Route
    client: "DurableOrchestrationClient | None" = None

    @property
    def base(self) -> str:
        """The URL of the API as the caller reached it, `https://host/api`; without an origin when its URL has none.

        What stands before the route's path is the host's prefix.
        """
        try:
            parts = urlsplit(self.request.url)
        except ValueError:
            return "/api"
        origin = f"{parts.scheme}://{parts.netloc}" if parts.scheme and parts.netloc else ""
        return origin + "/".join(parts.path.rstrip("/").split("/")[: -len(self.route.path.split("/"))])

    @property
    def durable(self) -> "DurableOrchestrationClient":
        if self.client is None:
            raise RuntimeError("this function is registered without a Durable client")
        return self.client

    @property
    def params(self) -> dict[str, str]:
        """The query, its names in lower case: `?Mode=plan` is no deployment. What stands twice is joined, as the host does.

        What the route doesn't declare is left out.
        """
        params: dict[str, str] = {}
        for name, value in self.request.params.items():
            folded = name.lower()
            params[folded] = f"{params[folded]},{value}" if folded in params else value
        return {each.name: params[each.name] for each in self.route.parameters if each.name in params}


Handler = Callable[[Call], Coroutine[Any, Any, Answer]]


def http_function(
    blueprint: "Blueprint",
    method: str,
    path: str,
    answers: Mapping[int, type | None],
    errors: tuple[int, ...],
    parameters: tuple[Parameter, ...] = (),
    *,
    body: str | None = None,
    anonymous: bool = False,
    durable: bool = False,
) -> Callable[[Handler], Handler]:
    """Declares a route and registers its handler under its own name: see `Route`. durable: it gets a Durable client."""

    def register(handler: Handler) -> Handler:
        name = handler.__name__
        route = Route(method, path, name, handler.__doc__ or "", answers, errors, parameters, body, anonymous)
        ROUTES.append(route)

        # The worker reads the parameters and annotations of what it calls, so both are written out.
        async def with_client(req: func.HttpRequest, client: Any) -> func.HttpResponse:
            return _response(await answered(handler, Call(req, route, client)))

        async def without_client(req: func.HttpRequest) -> func.HttpResponse:
            return _response(await answered(handler, Call(req, route)))

        function: Any = _named_like(with_client if durable else without_client, handler)
        if durable:
            function = blueprint.durable_client_input(client_name="client")(function)
        level = func.AuthLevel.ANONYMOUS if anonymous else func.AuthLevel.FUNCTION
        blueprint.function_name(name)(blueprint.route(route=path, methods=[method], auth_level=level)(function))
        return handler

    return register


def _named_like(function: Any, handler: Any) -> Any:
    function.__name__ = function.__qualname__ = handler.__name__
    function.__doc__, function.__module__ = handler.__doc__, handler.__module__
    return function


async def answered(handler: Handler, call: Call) -> Answer:
    """The handler's answer, or what its exception means to the caller."""
    with logs.context(**subject(call.request.route_params)):
        try:
            answer = await _in_time(HTTP_SECONDS, handler(call))
        except Exception as error:  # noqa: BLE001 - the boundary: every failure becomes an answer of ours
            answer = error_answer(error)
            log.log(
                logging.ERROR if answer.status >= 500 else logging.INFO,
                "%s %s: %s %s",
                call.request.method,
                call.request.url.partition("?")[0],
                answer.status,
                answer.body.message,
            )
        return answer


async def _in_time(seconds: float, work: Awaitable[T]) -> T:
    """None of our functions may come near the host's timeout, which takes the whole worker down."""
    try:
        async with asyncio.timeout(seconds) as limit:
            return await work
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise HubSpokeException(
            f"The app did not come to an end within {seconds:g} seconds.", code=NO_ANSWER_IN_TIME, transient=True
        ) from error


def _response(answer: Answer) -> func.HttpResponse:
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **answer.headers}
    return func.HttpResponse(answer.text(), status_code=answer.status, headers=headers, mimetype=JSON)


TimerHandler = Callable[["DurableOrchestrationClient"], Coroutine[Any, Any, None]]


def timer_function(blueprint: "Blueprint", schedule: str) -> Callable[[TimerHandler], TimerHandler]:
    """Registers a handler that runs on a schedule (NCRONTAB with seconds, in UTC). It may fail: the next time comes."""

    def register(handler: TimerHandler) -> TimerHandler:
        name = handler.__name__

        async def function(timer: func.TimerRequest, client: Any) -> None:
            with logs.context(step=name):
                try:
                    await _in_time(TIMER_SECONDS, handler(client))
                except Exception as error:  # noqa: BLE001 - the boundary: told in the log, tried again at the next time
                    log.error("%s: %s", name, error_answer(error).body.message)

        with_client = blueprint.durable_client_input(client_name="client")(_named_like(function, handler))
        timed = blueprint.timer_trigger(schedule=schedule, arg_name="timer", run_on_startup=False)(with_client)
        blueprint.function_name(name)(timed)
        return handler

    return register
