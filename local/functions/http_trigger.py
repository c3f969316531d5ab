"""HTTP requests into functions, and what functions return into HTTP responses, as the library's converters have it."""

from typing import Any

from azure.functions.http import HttpRequest, HttpResponseConverter
from starlette.requests import Request
from starlette.responses import Response

from local.functions.app import Function
from local.functions.routes import Route, RouteError, parse


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
            raise RouteError(f"function '{function.name}': {error}") from None

    def takes(self, method: str) -> bool:
        return not self.methods or method in self.methods


def find(functions: list[HttpFunction], method: str, path: str) -> tuple[HttpFunction, dict[str, str]] | None:
    """The function that answers. As in Azure, a method that no route takes is a path that isn't there: 404, not 405."""
    for function in functions:
        if function.takes(method):
            values = function.route.match(path)
            if values is not None:
                return function, values
    return None


async def request_for(function: HttpFunction, request: Request, values: dict[str, str]) -> HttpRequest:
    return HttpRequest(
        method=request.method,
        url=str(request.url),
        headers=dict(request.headers),
        params=dict(request.query_params),
        route_params=values,
        body_type="bytes",
        body=await request.body(),
    )


def response_for(result: Any) -> Response:
    """What the function returned. None is 204, as in Azure; what the library can't encode raises."""
    if result is None:
        return Response(status_code=204)
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
