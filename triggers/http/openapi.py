"""The OpenAPI document, generated from the models of requests and answers. Import inside functions: it needs pydantic."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from shared.process.once import once
from shared.spoke.request.model import SpokeRequest, V1SpokeRequest
from triggers.http import schemas as documents
from triggers.http.queries import DEFAULT_LIMIT, MAX_LIMIT, SPOKE_STATES
from triggers.http.requests import MAX_KEY_LENGTH

VERSION = "1.0.0"
_SCHEMAS = "#/components/schemas/{model}"

Schema = dict[str, Any]


@dataclass(frozen=True)
class Operation:
    """One call of the API. errors: the statuses it can answer beside its own."""

    function: str
    method: str
    path: str
    summary: str
    status: int
    answer: type[BaseModel] | None
    described: str
    errors: tuple[int, ...]
    request: type[BaseModel] | None = None
    parameters: tuple[Schema, ...] = ()
    anonymous: bool = False
    other_answers: tuple[tuple[int, str, type[BaseModel]], ...] = ()


def _parameter(name: str, where: str, schema: Schema, text: str) -> Schema:
    return {"name": name, "in": where, "required": where == "path", "schema": schema, "description": text}


_SPOKE_ID = _parameter("spoke_id", "path", {"type": "integer", "minimum": 1}, "The spoke's number.")
_DEPLOYMENT_ID = _parameter("deployment_id", "path", {"type": "string"}, "The id that POST answered.")
_IDEMPOTENCY_KEY = _parameter(
    "Idempotency-Key",
    "header",
    {"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH, "pattern": "^[ -~]+$"},
    "The same key and body give the same deployment for 24 hours; the same key with another body gives 422.",
)
_MODE = _parameter("mode", "query", {"enum": ["plan", "deploy"]}, "plan: say what would happen, touch nothing.")
_FORCE = _parameter("force", "query", {"enum": ["true", "false"]}, "true: delete in spite of what isn't ours.")
_PAGE = (
    _parameter("status", "query", {"enum": list(SPOKE_STATES)}, "Only spokes in this state."),
    _parameter("client_name", "query", {"type": "string"}, "Only this client's, as it was written in the request."),
    _parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT}, f"Default {DEFAULT_LIMIT}."),
    _parameter("continuation", "query", {"type": "string"}, "Of the page before, with the same filters."),
)

_CREATE_ERRORS = (400, 401, 409, 411, 413, 415, 422, 500, 502, 503)
_PLAN = ((200, "With mode=plan: what would be made, and every check with its result.", documents.PlanReport),)
_READ_ERRORS = (401, 404, 500, 503)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "create_spoke", "post", "/spokes", "Deploy a spoke, or with mode=plan say what would happen", 202,
        documents.Accepted, "Reserved and begun. `Location` is the Durable status, `Operation-Location` ours.",
        _CREATE_ERRORS, SpokeRequest, (_MODE, _IDEMPOTENCY_KEY), other_answers=_PLAN,
    ),
    Operation(
        "list_spokes", "get", "/spokes", "List the spokes", 200,
        documents.SpokeList, "A page of spokes, by id.", (400, 401, 500, 503), parameters=_PAGE,
    ),
    Operation(
        "get_spoke", "get", "/spokes/{spoke_id}", "Show a spoke", 200,
        documents.Spoke, "The spoke with its newest run.", _READ_ERRORS, parameters=(_SPOKE_ID,),
    ),
    Operation(
        "remove_spoke", "delete", "/spokes/{spoke_id}",
        "Delete a spoke, or cancel its deployment, or join the removal that is under way", 202,
        documents.Accepted,
        "Begun, cancelled or joined. A failed spoke has nothing left to delete: its record is removed at once, with "
        "status `deleted` and a null deployment_id.",
        (400, 401, 404, 409, 500, 502, 503), parameters=(_SPOKE_ID, _FORCE),
    ),
    Operation(
        "retry_spoke", "post", "/spokes/{spoke_id}/retry",
        "Deploy a failed spoke again, or finish an unfinished rollback", 202,
        documents.Accepted, "Begun.", (400, 401, 404, 409, 500, 503), parameters=(_SPOKE_ID,),
    ),
    Operation(
        "get_progress", "get", "/spokes/{spoke_id}/progress", "Show how far the newest run of a spoke is", 200,
        documents.Progress, "All steps, pending ones too.", _READ_ERRORS, parameters=(_SPOKE_ID,),
    ),
    Operation(
        "list_deployments", "get", "/spokes/{spoke_id}/deployments", "List every run of a spoke's id", 200,
        documents.RunList, "Newest first; also of spokes that are gone.", _READ_ERRORS, parameters=(_SPOKE_ID,),
    ),
    Operation(
        "get_deployment", "get", "/deployments/{deployment_id}", "Show a run, also long after it ended", 200,
        documents.Progress, "All steps, pending ones too.", _READ_ERRORS, parameters=(_DEPLOYMENT_ID,),
    ),
    Operation(
        "get_capacity", "get", "/capacity", "Show how many more spokes there is room for", 200,
        documents.Capacity, "Used, limit and free.", (401, 500, 503),
    ),
    Operation(
        "get_liveness", "get", "/health/live", "Does the app answer?", 200,
        documents.Liveness, "It does.", (), anonymous=True,
    ),
    Operation(
        "get_health", "get", "/health", "Does the app reach what it needs?", 200,
        documents.Health, "Every dependency is well.", (401,),
        other_answers=((503, "At least one dependency fails.", documents.Health),),
    ),
    Operation(
        "create_spoke_v1", "post", "/v1/create-spoke", "Deploy a spoke, in the older form", 202,
        documents.Accepted, "The same answers as POST /spokes.", _CREATE_ERRORS, V1SpokeRequest,
        (_MODE, _IDEMPOTENCY_KEY), other_answers=_PLAN,
    ),
    Operation(
        "get_openapi", "get", "/openapi.json", "This document", 200, None, "The OpenAPI document.", (401,),
    ),
)  # fmt: skip

_ERRORS = {
    400: "The request can't be accepted; `details.field` and `details.value` say which part.",
    401: "No function key, or a wrong one: answered by the Functions host, without a body of ours.",
    404: "There is none of that id.",
    409: "An id, name or address is taken, or the spoke is not in a state for this.",
    411: "The body arrived empty, because it was sent in chunks or without a Content-Length.",
    413: "The body is longer than 40 KiB.",
    415: "The Content-Type is not application/json, or the body is compressed.",
    422: "The Idempotency-Key was used with another body.",
    500: "The app's settings can't be used; `details.settings` names them.",
    502: "Azure Resource Manager refused or did not answer. `Retry-After` says when to try again, if it passes by itself.",
    503: "The records, or Azure Resource Manager, don't answer in time. `Retry-After` says when to try again.",
}


@once
def openapi_document() -> Schema:
    """The whole document. Its trigger puts the real route prefix into `servers`."""
    models: list[Any] = [(model, "validation") for model in (SpokeRequest, V1SpokeRequest)]
    answers = {operation.answer for operation in OPERATIONS if operation.answer} | {
        model for operation in OPERATIONS for _, _, model in operation.other_answers
    }
    named = sorted(answers | {documents.ErrorAnswer}, key=lambda model: model.__name__)
    models += [(model, "serialization") for model in named]
    _, definitions = models_json_schema(models, ref_template=_SCHEMAS)
    paths: dict[str, Schema] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Hub-Spoke Automation",
            "version": VERSION,
            "description": "One call builds an isolated network spoke in Azure and publishes it on the hub's gateway.",
        },
        "servers": [{"url": "/api"}],
        "security": [{"function_key": []}, {"code": []}],
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {
                "function_key": {"type": "apiKey", "in": "header", "name": "x-functions-key"},
                "code": {"type": "apiKey", "in": "query", "name": "code"},
            },
        },
    }


def _described(operation: Operation) -> Schema:
    responses: Schema = {str(operation.status): _answer(operation.described, operation.answer)}
    for status, text, model in operation.other_answers:
        responses[str(status)] = _answer(text, model)
    if operation.status == 202:
        responses["202"]["headers"] = {
            name: {"schema": {"type": "string"}} for name in ("Location", "Operation-Location", "Retry-After")
        }
    for status in operation.errors:
        error = None if status == 401 else documents.ErrorAnswer
        responses[str(status)] = _answer(_ERRORS[status], error, has_body=status != 401)
    described: Schema = {
        "operationId": operation.function,
        "summary": operation.summary,
        "responses": dict(sorted(responses.items())),
    }
    if operation.parameters:
        described["parameters"] = list(operation.parameters)
    if operation.request:
        schema = {"$ref": _SCHEMAS.format(model=operation.request.__name__)}
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if operation.anonymous:
        described["security"] = []
    return described


def _answer(text: str, model: type[BaseModel] | None, *, has_body: bool = True) -> Schema:
    if not has_body:
        return {"description": text}
    schema = {"$ref": _SCHEMAS.format(model=model.__name__)} if model else {"type": "object"}
    return {"description": text, "content": {"application/json": {"schema": schema}}}
