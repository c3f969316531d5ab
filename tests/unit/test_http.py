"""Requests read strictly, answers in one shape."""

import json
from typing import Any

import azure.functions as func
import pytest
from azure.core.exceptions import ServiceRequestError
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import (
    AzureResourceException,
    ConfigurationException,
    DeploymentException,
    Failure,
    HubSpokeException,
    StorageException,
    ValidationException,
)
from shared.tables.client import storage_error
from triggers.http.queries import (
    FORCE,
    MAX_LIMIT,
    MODE,
    STATUS,
    Filters,
    continuation_after,
    continuation_token,
    deployment_id,
    flag,
    limit,
    one_of,
    spoke_id,
    subject,
)
from triggers.http.requests import MAX_BODY_BYTES, _without_duplicates, body_of, idempotency_key
from triggers.http.responses import RETRY_AFTER_SECONDS, error_answer, failure_answer
from triggers.http.wiring import Call, Route

JSON = "application/json"


def json_body(body: bytes, content_type: str | None = JSON, **headers: str) -> dict[str, Any]:
    said = {"Content-Length": str(len(body)), **headers}
    return body_of(body, said if content_type is None else {**said, "Content-Type": content_type})


def refusal_of(body: bytes, content_type: str | None = JSON) -> Failure:
    with pytest.raises(ValidationException) as refused:
        json_body(body, content_type)
    return refused.value.failure


# --- bodies ---


@pytest.mark.parametrize("content_type", [JSON, "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"])
def test_json_is_read(content_type: str) -> None:
    assert json_body('{"name": "Müller"}'.encode(), content_type) == {"name": "Müller"}


def test_a_byte_order_mark_is_no_harm() -> None:
    assert json_body(b"\xef\xbb\xbf{}", JSON) == {}


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "application/xml", "application/json; charset=utf-16"]
)
def test_what_does_not_say_json_is_415(content_type: str | None) -> None:
    assert failure_answer(refusal_of(b"{}", content_type)).status == 415


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "GZIP, identity"])
def test_a_compressed_body_is_415(coding: str) -> None:
    with pytest.raises(ValidationException) as refused:
        json_body(b"{}", **{"Content-Encoding": coding})
    assert failure_answer(refused.value.failure).status == 415
    assert json_body(b"{}", **{"Content-Encoding": "identity"}) == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b"null",
        b'"text"',
        b"\xff{}",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": 1, "a": 2}',
        b'{"x": {"a": 1, "a": 1}}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b"[" * 20_000,
        b'{"a":' * 7_000,
        b'{"a":' + b"[" * 17 + b"]" * 17 + b"}",
        b"{'a': 1}",
        b'{"tags": {"\\ud800": "x"}}',
        b'{"tags": {"a": ["\\udc00\\ud800"]}}',
    ],
)
def test_what_is_no_json_object_is_400(body: bytes) -> None:
    answer = failure_answer(refusal_of(body))
    assert answer.status == 400
    assert answer.body.error == "ValidationException"


def test_a_body_over_40_kib_is_413() -> None:
    fits = b'{"a": "' + b"x" * (MAX_BODY_BYTES - 9) + b'"}'
    assert len(fits) == MAX_BODY_BYTES
    assert json_body(fits, JSON)
    assert failure_answer(refusal_of(fits + b" ")).status == 413


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_bytes_are_an_object_or_a_400(body: bytes) -> None:
    try:
        document = json_body(body, JSON)
    except ValidationException as refused:
        assert failure_answer(refused.failure).status == 400  # noqa: PT017 - either outcome is right
    else:
        assert isinstance(document, dict)


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=5))
def test_a_fingerprint_does_not_depend_on_order_or_spaces(body: dict[str, Any]) -> None:
    again = json.loads(json.dumps(dict(reversed(body.items())), indent=2))
    assert idempotency_key("key", body) == idempotency_key("key", again)


def test_other_bodies_have_other_fingerprints() -> None:
    one, other = idempotency_key("key", {"a": 1}), idempotency_key("key", {"a": 2})
    assert one is not None
    assert other is not None
    assert one.digest == other.digest
    assert one.fingerprint != other.fingerprint
    assert idempotency_key(None, {}) is None


@pytest.mark.parametrize("header", ["", " ", "x" * 256, "a\tb", "schlüssel"])
def test_a_bad_idempotency_key_is_refused(header: str) -> None:
    with pytest.raises(ValidationException):
        idempotency_key(header, {})


# --- paths and queries ---


@pytest.mark.parametrize("text", ["abc", "", "-1", "1.0", "01", "1e3", "٣", "99999999999", "1/2", "1 "])
def test_what_cannot_be_an_id_is_unknown(text: str) -> None:
    with pytest.raises(ValidationException) as refused:
        spoke_id({"spoke_id": text})
    assert failure_answer(refused.value.failure).status == 404


@pytest.mark.parametrize("text", ["", "a/b", "a#b", "DEPLOY-a-1-abcd", "x" * 121, "a'b", "a b"])
def test_what_cannot_be_a_deployment_is_unknown(text: str) -> None:
    with pytest.raises(ValidationException) as refused:
        deployment_id({"deployment_id": text})
    assert failure_answer(refused.value.failure).status == 404


@pytest.mark.parametrize(
    "read",
    [
        lambda: flag({"force": "perhaps"}, FORCE),
        lambda: one_of({"mode": "dry"}, MODE),
        lambda: one_of({"status": "gone"}, STATUS),
        *[lambda text=text: limit({"limit": text}) for text in ("0", str(MAX_LIMIT + 1), "x", "", "1.5", "-1", "٣")],
    ],
)
def test_a_bad_parameter_is_400(read: Any) -> None:
    with pytest.raises(ValidationException) as refused:
        read()
    assert failure_answer(refused.value.failure).status == 400


def test_parameters_have_defaults() -> None:
    assert flag({}, FORCE) is False
    assert flag({"force": "True"}, FORCE) is True
    assert one_of({}, MODE) is None
    assert limit({}) == 100
    assert limit({"limit": "1000"}) == 1000


@given(st.integers(1, 10**6), st.text() | st.none())
def test_a_continuation_comes_back(after: int, client_name: str | None) -> None:
    filters = Filters("failed", client_name)
    assert continuation_after({"continuation": continuation_token(after, filters)}, filters) == after
    with pytest.raises(ValidationException):
        continuation_after({"continuation": continuation_token(after, filters)}, Filters("completed", client_name))


@given(st.text() | st.sampled_from(["0-", "-1-", "1_0-", "٣-", "1e400-", " 1-", "1", "9" * 5000]))
def test_any_other_continuation_is_refused(text: str) -> None:
    with pytest.raises(ValidationException):
        continuation_after({"continuation": text}, Filters())


@pytest.mark.parametrize(("written", "number"), [("0", 0), ("-1", -1), ("1_0", 10), ("٣", 3), (" 7", 7), ("07", 7)])
def test_a_continuation_is_taken_in_one_form_only(written: str, number: int) -> None:
    checksum = continuation_token(number, Filters()).rpartition("-")[2]
    with pytest.raises(ValidationException):
        continuation_after({"continuation": f"{written}-{checksum}"}, Filters())


@given(st.integers(1, 255), st.integers(0, 200), st.sampled_from("AZaz09-_=%"))
def test_a_continuation_that_was_tampered_with_is_refused(after: int, place: int, character: str) -> None:
    token = continuation_token(after, Filters())
    place %= len(token)
    changed = token[:place] + character + token[place + 1 :]
    if changed != token:
        with pytest.raises(ValidationException):
            continuation_after({"continuation": changed}, Filters())


def test_a_call_is_about_the_ids_in_its_path() -> None:
    assert subject({"spoke_id": "7"}) == {"spoke_id": 7}
    assert subject({"deployment_id": "deploy-acme-1-abcd"}) == {"deployment_id": "deploy-acme-1-abcd"}
    assert subject({}) == subject({"spoke_id": "x" * 5000}) == subject({"deployment_id": "a\nb"}) == {}


# --- answers ---


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValidationException("x"), 400),
        (ValidationException("x", code="SpokeNotFound"), 404),
        (ValidationException("x", code="IdempotencyKeyReused"), 422),
        (DeploymentException("x"), 409),
        (ConfigurationException("x"), 500),
        (AzureResourceException("x"), 502),
        (StorageException("x"), 503),
        (HubSpokeException("x"), 500),
    ],
)
def test_every_class_has_its_status(error: HubSpokeException, status: int) -> None:
    answer = error_answer(error)
    assert answer.status == status
    assert set(json.loads(answer.text())) == {"error", "message", "details", "timestamp"}
    assert answer.body.error == type(error).__name__
    assert answer.body.timestamp.endswith("Z")
    assert ("Retry-After" in answer.headers) == (status == 503)


@pytest.mark.parametrize(("named", "waits"), [(17.0, "17"), (0.2, "1"), (None, str(RETRY_AFTER_SECONDS))])
def test_a_transient_failure_of_azure_says_when_to_ask_again(named: float | None, waits: str) -> None:
    throttled = Failure(AzureResourceException, "TooManyRequests", "Slow down.", transient=True, retry_after=named)
    answer = failure_answer(throttled)
    assert (answer.status, answer.headers["Retry-After"]) == (502, waits)


def test_a_failure_of_the_tables_is_503() -> None:

    answer = error_answer(storage_error(ServiceRequestError("refused")))
    assert (answer.status, answer.body.error) == (503, "StorageException")


@pytest.mark.parametrize(
    ("url", "route", "base"),
    [
        ("https://x/api/spokes/1/retry?code=k", "spokes/{spoke_id}/retry", "https://x/api"),
        ("https://x/v1/spokes", "spokes", "https://x/v1"),
        ("https://x/spokes/health/v1/create-spoke/", "v1/create-spoke", "https://x/spokes/health"),
        ("https://x/OpenApi.json", "openapi.json", "https://x"),
        ("http://127.0.0.1:7071/api/spokes?code=x", "spokes", "http://127.0.0.1:7071/api"),
        ("/api/spokes", "spokes", "/api"),
        ("http://[::1/api/spokes", "spokes", "/api"),
    ],
)
def test_links_follow_any_route_prefix(url: str, route: str, base: str) -> None:
    declared = Route("GET", route, "", "", {}, (), (), None, anonymous=False)
    assert Call(func.HttpRequest(method="GET", url=url, body=b""), declared).base == base


@pytest.mark.parametrize(
    "headers", [{"Transfer-Encoding": "chunked"}, {}, {"Transfer-Encoding": "chunked", "Content-Length": "0"}]
)
def test_a_body_that_the_host_has_lost_is_411_with_a_hint(headers: dict[str, str]) -> None:
    with pytest.raises(ValidationException) as refused:
        body_of(b"", {"Content-Type": JSON, **headers})
    answer = error_answer(refused.value)
    assert (answer.status, answer.body.details["code"]) == (411, "LengthRequired")
    assert "Content-Length" in answer.body.details["hint"]


def test_an_empty_body_that_says_so_is_no_json() -> None:
    with pytest.raises(ValidationException) as refused:
        body_of(b"", {"Content-Type": JSON, "Content-Length": "0"})
    assert error_answer(refused.value).status == 400
    assert body_of(b'{"a": 1}', {"Content-Type": JSON, "Transfer-Encoding": "chunked"}) == {"a": 1}


class CountedName(str):
    """A field's name that counts what it is compared with."""

    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        CountedName.compared += 1
        return super().__eq__(other)


def test_a_field_that_stands_twice_is_found_in_linear_time() -> None:
    fields = 4000
    pairs = [(CountedName(f"field-{number}"), 1) for number in range(fields)]
    with pytest.raises(ValidationException, match="'field-3999' twice"):
        _without_duplicates([*pairs, (CountedName("field-3999"), 2)])
    assert CountedName.compared < 2 * fields
