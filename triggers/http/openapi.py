"""The OpenAPI document, generated from the routes and the classes of their answers. Import inside functions: it needs pydantic."""

import inspect
from typing import Any

from pydantic import ConfigDict, create_model
from pydantic.json_schema import models_json_schema

from shared.process.once import once
from shared.spoke.request import model as requests
from triggers.http.queries import IN_PATHS, Parameter
from triggers.http.responses import ErrorAnswer
from triggers.http.wiring import ROUTES, Route

VERSION = "1.0.0"
_SCHEMAS = "#/components/schemas/{model}"
# The answers are dataclasses: their docstrings, and the texts below their fields, are the descriptions.
SHAPES = ConfigDict(extra="forbid", use_attribute_docstrings=True)

Schema = dict[str, Any]

ERRORS = {
    400: "The request can't be accepted; `details.field` and `details.value` say which part.",
    401: "No function key, or a wrong one: answered by the Functions host, without a body of ours.",
    404: "There is none of that id.",
    409: "An id, name or address is taken, or the spoke is not in a state for this.",
    411: "The body arrived empty, because it was sent in chunks or without a Content-Length.",
    413: "The body is longer than 40 KiB.",
    415: "The Content-Type is not application/json, or the body is compressed.",
    422: "The Idempotency-Key was used with another body.",
    500: "The app's settings can't be used; `details.settings` names them.",
    502: "Azure Resource Manager refused or did not answer. `Retry-After` says when to try again, if the failure is transient.",
    503: "The records, or Azure Resource Manager, don't answer in time. `Retry-After` says when to try again.",
}


@once
def openapi_document() -> Schema:
    """The whole document. Its trigger puts the real route prefix into `servers`."""
    paths: dict[str, Schema] = {}
    for route in sorted(ROUTES, key=lambda route: route.path):
        paths.setdefault(f"/{route.path}", {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Hub-Spoke Automation",
            "version": VERSION,
            "description": "One call builds an isolated network spoke in Azure and publishes it on the hub's gateway. "
            "Times are ISO 8601 in UTC.",
        },
        "servers": [{"url": "/api"}],
        "security": [{"function_key": []}, {"code": []}],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "function_key": {"type": "apiKey", "in": "header", "name": "x-functions-key"},
                "code": {"type": "apiKey", "in": "query", "name": "code"},
            },
        },
    }


def _schemas() -> Schema:
    """Of all bodies, requests as they are read and answers as they are written, with what is inside them."""
    bodies = sorted({route.body for route in ROUTES if route.body})
    answers = {answer for route in ROUTES for answer in route.answers.values() if answer} | {ErrorAnswer}
    fields: dict[str, Any] = {each.__name__: (each, ...) for each in sorted(answers, key=lambda each: each.__name__)}
    whole = create_model("Answers", __config__=SHAPES, **fields)
    read: list[Any] = [(getattr(requests, name), "validation") for name in bodies]
    _, definitions = models_json_schema([*read, (whole, "serialization")], ref_template=_SCHEMAS)
    schemas: Schema = definitions["$defs"]
    del schemas[whole.__name__]
    return schemas


def _operation(route: Route) -> Schema:
    summary, _, more = route.summary.partition("\n\n")
    responses = {str(status): _response(answer) for status, answer in route.answers.items()}
    if "202" in responses:
        responses["202"]["headers"] = {
            name: {"schema": {"type": "string"}} for name in ("Location", "Operation-Location", "Retry-After")
        }
    for status in route.errors:
        responses[str(status)] = _response(ErrorAnswer, ERRORS[status])
    if not route.anonymous:
        responses["401"] = {"description": ERRORS[401]}
    in_path = [parameter for name, parameter in IN_PATHS.items() if f"{{{name}}}" in route.path]
    operation: Schema = {
        "operationId": route.name,
        "summary": summary.removesuffix("."),
        "responses": dict(sorted(responses.items())),
    }
    if more.strip():
        operation["description"] = inspect.cleandoc(more)
    if parameters := [*in_path, *route.parameters]:
        operation["parameters"] = [_parameter(each) for each in parameters]
    if route.body:
        operation["requestBody"] = {"required": True, "content": _json(route.body)}
    if route.anonymous:
        operation["security"] = []
    return operation


def _parameter(parameter: Parameter) -> Schema:
    return {
        "name": parameter.name,
        "in": parameter.where,
        "required": parameter.where == "path",
        "schema": parameter.schema,
        "description": parameter.description,
    }


def _response(answer: type | None, text: str = "") -> Schema:
    text = text or (inspect.cleandoc(answer.__doc__ or "") if answer else "A JSON object.")
    return {"description": text, "content": _json(answer.__name__ if answer else None)}


def _json(model: str | None) -> Schema:
    return {"application/json": {"schema": {"$ref": _SCHEMAS.format(model=model)} if model else {"type": "object"}}}
