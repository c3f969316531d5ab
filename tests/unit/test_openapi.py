"""The OpenAPI document says what the functions are."""

import asyncio
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest

from function_app import TRIGGERS
from shared.spoke.request import model
from shared.spoke.request.model import SpokeRequest
from triggers import status
from triggers.http.openapi import ERRORS, openapi_document
from triggers.http.queries import IN_PATHS, MODE
from triggers.http.responses import _STATUS_OF_CODE, _STATUS_OF_ERROR
from triggers.http.wiring import ROUTES, Call, Route

ROOT = Path(__file__).resolve().parents[2]
BY_NAME = {route.name: route for route in ROUTES}


def registered() -> dict[str, Any]:
    functions = [builder._function for module in TRIGGERS for builder in module.blueprint._function_builders]
    return {each.get_function_name(): each for each in functions if each.get_trigger().type == "httpTrigger"}


def test_every_http_function_comes_from_a_route() -> None:
    found = {
        name: (str(function.get_trigger().route), [method.value for method in function.get_trigger().methods])
        for name, function in registered().items()
    }
    assert found == {route.name: (route.path, [route.method]) for route in ROUTES}


def missing_parts(route: Route) -> list[str]:
    """What the declaration of a route lacks, in words."""
    answers = {status: answer for status, answer in route.answers.items() if answer is not None}
    in_path = re.findall(r"{(\w+)}", route.path)
    takes_input = route.body or any(each.where == "query" for each in route.parameters)
    parts = {
        "a docstring, its summary": route.summary.strip(),
        "an answer": route.answers,
        **{f"a docstring of {answer.__name__}, its answer": not is_generated(answer) for answer in answers.values()},
        **{f"{name} in IN_PATHS": name in IN_PATHS for name in in_path},
        "404 among its errors: it has an id in its path": not in_path or 404 in route.errors,
        "400 among its errors: it takes a query or a body": not takes_input or 400 in route.errors,
        **{f"a sentence for {status} in ERRORS": status in ERRORS for status in route.errors},
        "its body in shared.spoke.request.model": not route.body or hasattr(model, route.body),
    }
    return [part for part, there in parts.items() if not there]


def is_generated(answer: type) -> bool:
    """Whether a docstring is the signature that `dataclass` writes where there is none."""
    return not answer.__doc__ or answer.__doc__.startswith(f"{answer.__name__}(")


@pytest.mark.parametrize("name", BY_NAME)
def test_a_route_lacks_no_part(name: str) -> None:
    assert missing_parts(BY_NAME[name]) == []


def test_a_route_that_lacks_parts_is_told_which() -> None:
    @dataclass
    class Undescribed:
        spoke_id: int

    bare = Route("GET", "hubs/{hub}", "get_hub", "", {200: Undescribed}, (418,), (MODE,), "HubRequest", anonymous=False)
    assert len(missing_parts(bare)) == 7


def test_a_query_parameter_that_a_route_does_not_declare_is_not_read() -> None:
    request = func.HttpRequest("GET", "https://x/api/spokes", params={"force": "true", "LIMIT": "3"}, body=b"")
    assert Call(request, BY_NAME["list_spokes"]).params == {"limit": "3"}


def test_only_liveness_is_anonymous() -> None:
    levels = {name: function.get_trigger().auth_level.name for name, function in registered().items()}
    assert {name for name, level in levels.items() if level == "ANONYMOUS"} == {"get_liveness"}
    assert set(levels.values()) == {"ANONYMOUS", "FUNCTION"}


def test_only_what_starts_orchestrations_has_a_durable_client() -> None:
    with_client = {
        name
        for name, function in registered().items()
        if any(binding.type == "durableClient" for binding in function.get_bindings())
    }
    assert with_client == {"create_spoke", "create_spoke_v1", "remove_spoke", "retry_spoke"}


def test_the_document_is_closed_and_json() -> None:
    document = openapi_document()
    text = json.dumps(document)
    assert document["openapi"] == "3.1.0"
    schemas = document["components"]["schemas"]
    used = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert used <= set(schemas)
    assert set(schemas["SpokeRequest"]["properties"]) == set(SpokeRequest.model_fields)
    assert schemas["SpokeRequest"]["additionalProperties"] is False


def test_every_status_that_we_choose_is_described() -> None:
    described = {status for route in ROUTES for status in (*route.errors, *route.answers)}
    assert {*_STATUS_OF_CODE.values(), *_STATUS_OF_ERROR.values()} <= described


def test_importing_the_triggers_imports_no_sdk() -> None:
    code = (
        "import sys\n"
        "from triggers import deployments, spokes, status, timers\n"
        "heavy = ('pydantic', 'cryptography', 'azure.data', 'azure.identity', 'azure.mgmt', 'azure.monitor')\n"
        "print([name for name in sys.modules if name.startswith(heavy)])\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def test_the_guide_names_every_call_and_every_field_of_a_request() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for route in ROUTES:
        assert re.search(rf"^\| `{route.method} /{re.escape(route.path)}[`?]", text, re.MULTILINE), (
            f"docs/api.md lacks {route.method} /{route.path}"
        )
    table = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (required|optional) \|", text, re.MULTILINE)
    told = {name.strip("`"): kind == "required" for names, kind in table for name in names.split(", ")}
    fields = {name: field.is_required() for name, field in SpokeRequest.model_fields.items()}
    assert sorted(fields.items() ^ told.items()) == [], "docs/api.md and the request's model differ in these"


@pytest.mark.parametrize(
    ("url", "server"), [("https://x/v2/openapi.json", "/v2"), ("https://x/openapi.json?code=k", "/")]
)
def test_the_document_names_the_hosts_route_prefix(url: str, server: str) -> None:
    request = func.HttpRequest("GET", url, body=b"")
    answer = asyncio.run(status.get_openapi(Call(request, BY_NAME["get_openapi"])))
    assert answer.body["servers"] == [{"url": server}]
    assert openapi_document()["servers"] == [{"url": "/api"}]
