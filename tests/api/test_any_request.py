"""Whatever is sent: the answer is one that the OpenAPI document describes, none is a server error, nothing leaks.

schemathesis makes the requests from our own document, valid and invalid ones; a part of them gets a real SSH key, so that
they reach the records.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from schemathesis import Case, GenerationMode, HookContext
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.pytest.lazy import get_all_tests
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import function_app  # noqa: F401 - it declares the routes
from tests.api.conftest import Host
from triggers.http.openapi import openapi_document
from triggers.http.wiring import ROUTES

pytest_plugins = ["schemathesis.pytest.plugin"]  # it makes the tests below of the document's routes

SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJFPNCFoTy+GNqzeT9tbAh6XAz3RiVuhXOD7cqUMmiUI someone@example.com"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES_IN_A_NORMAL_RUN = 8
# Those without any input can be called in a handful of ways only: the others make up for them.
WITH_INPUT = [route for route in ROUTES if route.parameters or route.body or "{" in route.path]
EXAMPLES_IN_A_FULL_RUN = 10_000 // len(WITH_INPUT) + 1

ANSWERED: Counter[tuple[str, int]] = Counter()
PLANNED = itertools.count()


def map_body(context: HookContext, body: Any) -> Any:
    """A key that parses, for bodies that have any: no generator finds one."""
    if isinstance(body, dict):
        holder = body["vm"] if isinstance(body.get("vm"), dict) else body
        given = holder.get("ssh_public_key")
        if isinstance(given, str) and len(given) % 4:
            holder["ssh_public_key"] = SSH_KEY
        if isinstance(body.get("client_name"), str) and len(body["client_name"]) % 4:
            body["client_name"] = f"Client {len(body['client_name'])} of {len(body)}!"
        if isinstance(body.get("host_name"), str) and len(body["host_name"]) % 4:
            body["host_name"] = f"h{len(body['host_name'])}.spokes.example.com"
        if isinstance(body.get("address_prefix"), str) and len(body["address_prefix"]) % 4:
            body["address_prefix"] = f"10.11.{200 + len(body['address_prefix'])}.0/24"
        if isinstance(body.get("spoke_id"), int) and body["spoke_id"] % 4:
            body["spoke_id"] = body["spoke_id"] % 300
    return body


def map_path_parameters(context: HookContext, path_parameters: Any) -> Any:
    """Ids that can be there."""
    if isinstance(path_parameters, dict) and isinstance(path_parameters.get("spoke_id"), int):
        path_parameters["spoke_id"] %= 300
    return path_parameters


@pytest.fixture(scope="module")
def document() -> BaseSchema:
    """The schema of our document, of which requests are made while a test runs: each worker of pytest collects the tests."""
    schema = schemathesis.openapi.from_dict(openapi_document())
    schema.config.generation.update(
        modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE], with_security_parameters=False
    )
    schema.hook(map_body)
    schema.hook(map_path_parameters)
    return schema


def quietly(count: int) -> hypothesis_settings:
    return hypothesis_settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )


def send(case: Case, host: Host, session: requests.Session, *, plans: int) -> None:
    """plans: how many requests may read Azure; the same without `mode=plan` afterwards."""
    if (case.query or {}).get("mode") == "plan" and next(PLANNED) >= plans:
        del case.query["mode"]
    response = case.call(
        base_url=host.endpoints["api"],
        session=session,
        headers={"x-functions-key": host.endpoints["function_key"]},
        timeout=60,
    )
    ANSWERED[(case.operation.label, response.status_code)] += 1
    case.validate_response(response, checks=CHECKS)


def on_each_route(
    document: BaseSchema, sent: Callable[[Case], None], examples: hypothesis_settings, subtests: pytest.Subtests
) -> None:
    made = list(get_all_tests(schema=document, test_func=sent, settings=examples, given_kwargs={}))
    assert len(made) == len(ROUTES)
    for each in made:
        assert isinstance(each, Ok)
        operation, send_all = each.ok()
        with subtests.test(operation.label):
            send_all()


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """One for all requests: making it, and a connection, costs as much as a request."""
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture(scope="module")
def app(host: Host) -> Iterator[Host]:
    """The host; when all has been sent, Azure is as it was, and each row of the records belongs to a spoke."""
    yield host
    print(*sorted(f"{operation}: {count} x {status}" for (operation, status), count in ANSWERED.items()), sep="\n")
    journal = host.arm.get("/_local/requests").json()
    assert {entry["method"] for entry in journal} <= {"GET", "HEAD"}
    rows = {row["RowKey"]: row for row in host.tables.get_table_client("Spokes").list_entities()}
    host.empty_tables()
    spokes = [row for key, row in rows.items() if key.startswith("spoke:")]
    for spoke in spokes:
        assert f"run:{spoke['deployment_id']}" in rows
    kinds = Counter(key.partition(":")[0] for key in rows)
    assert {kinds[kind] for kind in ("client", "vm", "host", "block", "slot", "vnet", "pool", "rule")} == {len(spokes)}


def test_any_request_has_a_described_answer(
    document: BaseSchema, app: Host, session: requests.Session, subtests: pytest.Subtests
) -> None:
    def sent(case: Case) -> None:
        send(case, app, session, plans=4)

    on_each_route(document, sent, quietly(EXAMPLES_IN_A_NORMAL_RUN), subtests)


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_ten_thousand_requests_have_described_answers(
    document: BaseSchema, app: Host, session: requests.Session, subtests: pytest.Subtests
) -> None:
    def sent(case: Case) -> None:
        send(case, app, session, plans=200)

    on_each_route(document, sent, quietly(EXAMPLES_IN_A_FULL_RUN), subtests)
