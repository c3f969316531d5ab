"""HTTP requests into functions, and what functions return into HTTP responses, as the library's converters have it."""

import logging
from typing import Any

from azure.functions.http import HttpResponseConverter
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from local.functions.app import Function, LoadError
from local.functions.calls import RequestParts
from local.functions.paths import query_of, url_of
from local.functions.routes import Route, RouteError, parse

log = logging.getLogger("host")


class HttpFunction:
    def __init__(self, function: Function, prefix: str) -> None:
        trigger = function.trigger
        route = str(trigger.get("route") or function.name)
        self.function = function
        self.auth_level = str(trigger.get("authLevel") or "function").lower()
        self.methods = {str(method).upper() for method in trigger.get("methods") or ()}
        self.path = f"{prefix}/{route.lstrip('/')}".strip("/")
        try:
            self.route: Route = parse(self.path)
        except RouteError as error:
            raise LoadError(f"{function.place}cannot load the {function.name} function: {error}") from None

    def takes(self, method: str) -> bool:
        return not self.methods or method in self.methods

    def hides(self, other: "HttpFunction") -> bool:
        """Whether it answers, being asked first, what the other would answer with a route that says more."""
        example = other.route.example
        return (
            other.route.rank < self.route.rank
            and bool(not self.methods or not other.methods or self.methods & other.methods)
            and self.route.match(example) is not None
            and other.route.match(example) is not None
        )


def in_order(functions: list[HttpFunction]) -> list[HttpFunction]:
    """As the host asks them: by their names, whatever their routes say (azure-functions-host#9876)."""
    ordered = sorted(functions, key=lambda one: one.function.name.lower())
    for place, function in enumerate(ordered):
        for earlier in ordered[:place]:
            if earlier.hides(function):
                log.warning(
                    "'%s' answers the route '%s' of '%s', too: functions are asked in the order of their names, here as "
                    "in Azure. A constraint on its route or another name helps.",
                    earlier.function.name,
                    function.path,
                    function.function.name,
                )
    return ordered


def find(functions: list[HttpFunction], method: str, path: str) -> tuple[HttpFunction, dict[str, str]] | None:
    """The function that answers. As in Azure, a method that no route takes is a path that isn't there: 404, not 405."""
    for function in functions:
        if function.takes(method):
            values = function.route.match(path)
            if values is not None:
                return function, values
    return None


async def request_for(request: Request, values: dict[str, str]) -> RequestParts:
    """A body that comes in chunks doesn't reach the function (azure-functions-host#4926)."""
    body = await request.body()
    return RequestParts(
        method=request.method,
        url=url_of(request),
        headers=_together(request.headers),
        params={name: value for name, values in query_of(request).items() if (value := ",".join(values))},
        route_params=values,
        body=b"" if "transfer-encoding" in request.headers else body,
    )


def _together(headers: Headers) -> dict[str, str]:
    """What is given more than once arrives as one text, as the host hands it to the Python worker."""
    together: dict[str, str] = {}
    for name, value in headers.items():
        together[name] = f"{together[name]},{value}" if name in together else value
    return together


def response_for(result: Any) -> Response:
    """What the function returned; raises for what is no response, None among it. Without Content-Length: in chunks."""
    response = _response_for(result)
    del response.headers["content-length"]
    return response


def _response_for(result: Any) -> Response:
    if result is None:
        raise TypeError("the function returned None")
    datum = HttpResponseConverter.encode(result, expected_type=None)
    if datum.type == "string":
        return Response(datum.value, media_type="text/plain")
    answer = datum.value
    response = Response(answer["body"].value, status_code=int(answer["status_code"].value))
    for name, value in answer["headers"].items():
        if name.lower() != "content-length":
            response.headers[name] = value.value
    for cookies in answer["cookies"] or ():
        for cookie in cookies.values():
            response.headers.append("set-cookie", cookie.OutputString())
    return response
