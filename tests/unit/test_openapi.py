"""The OpenAPI document says what the functions are."""

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest

from shared.spoke.request.model import SpokeRequest
from triggers import deployments, spokes, status
from triggers.http.openapi import OPERATIONS, openapi_document
from triggers.http.responses import _STATUS_OF_CODE, _STATUS_OF_ERROR
from triggers.http.wiring import Call

ROOT = Path(__file__).resolve().parents[2]
MODULES = (deployments, spokes, status)


def registered() -> dict[str, Any]:
    functions = (builder._function for module in MODULES for builder in module.blueprint._function_builders)
    return {function.get_function_name(): function for function in functions}


def test_every_function_is_described_and_nothing_else() -> None:
    found = {
        name: (str(function.get_trigger().route), [method.value for method in function.get_trigger().methods])
        for name, function in registered().items()
    }
    described = {one.function: (one.path.removeprefix("/"), [one.method.upper()]) for one in OPERATIONS}
    assert found == described


def test_only_liveness_is_anonymous() -> None:
    levels = {name: function.get_trigger().auth_level.name for name, function in registered().items()}
    assert {name for name, level in levels.items() if level == "ANONYMOUS"} == {"get_liveness"}
    assert set(levels.values()) == {"ANONYMOUS", "FUNCTION"}
    anonymous = {one.function for one in OPERATIONS if one.anonymous}
    assert anonymous == {"get_liveness"}


def test_only_what_starts_stories_has_a_durable_client() -> None:
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
    described = {status for one in OPERATIONS for status in (*one.errors, one.status)}
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
    for operation in OPERATIONS:
        assert re.search(rf"^\| `{operation.method.upper()} {re.escape(operation.path)}[`?]", text, re.MULTILINE), (
            operation
        )
    table = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (required|optional) \|", text, re.MULTILINE)
    told = {name.strip("`"): kind == "required" for names, kind in table for name in names.split(", ")}
    assert told == {name: field.is_required() for name, field in SpokeRequest.model_fields.items()}


@pytest.mark.parametrize(
    ("url", "server"), [("https://x/v2/openapi.json", "/v2"), ("https://x/openapi.json?code=k", "/")]
)
def test_the_document_names_the_hosts_route_prefix(url: str, server: str) -> None:
    request = func.HttpRequest("GET", url, body=b"")
    answer = asyncio.run(status.get_openapi(Call(request, route="openapi.json")))
    assert answer.body["servers"] == [{"url": server}]
    assert openapi_document()["servers"] == [{"url": "/api"}]
