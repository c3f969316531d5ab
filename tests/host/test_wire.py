"""What Kestrel refuses on the wire, and how it reads paths: on a socket, without a client that would forbid it."""

import socket
from collections.abc import Iterator

import pytest

from local.functions.paths import decoded, escaped
from tests.host.hosting import RunningHost, running
from tests.host.recorded.asking import APP


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    with running(APP, tmp_path_factory.mktemp("wire") / "state") as one:
        yield one


def said(host: RunningHost, request: bytes) -> tuple[int, bytes]:
    """The status and the rest of the answer to what is written as it is."""
    with socket.create_connection(("127.0.0.1", host.port), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        while received := connection.recv(65536):
            answer += received
    return int(answer.split(b" ", 2)[1]), answer


def line(first: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join((first, b"Host: x", b"Connection: close", *headers, b"", b""))


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (line(b"GET /api/open HTTP/1.1"), 200),
        (line(b"GET http://elsewhere/api/open HTTP/1.1"), 200),
        (line(b"GET /api/x/%2e%2e/open HTTP/1.1"), 200),
        (line(b"get /api/open HTTP/1.1"), 404),
        (line(b"BREW /api/open HTTP/1.1"), 404),
        (line(b"OPTIONS * HTTP/1.1"), 404),
        (line(b"POST / HTTP/1.1"), 200),
        (line(b"GET /api/open HTTP/2.5"), 505),
        (line(b"GET api/open HTTP/1.1"), 400),
        (line(b"GET /api/%00 HTTP/1.1"), 400),
        (line(b"GET /api/\xff HTTP/1.1"), 400),
        (line(b"GET /api open HTTP/1.1"), 400),
        (b"GET /api/open HTTP/1.1\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (line(b"GET /api/open HTTP/1.1", b"bad header"), 400),
        (line(b"POST /api/open HTTP/1.1", b"Content-Length: x"), 400),
        (line(b"GET /api/open?" + b"q" * 8150 + b" HTTP/1.1"), 200),
        (line(b"GET /api/open?" + b"q" * 8200 + b" HTTP/1.1"), 414),
        (line(b"GET /api/open?" + b"q" * 100_000 + b" HTTP/1.1"), 414),
        (line(b"GET /api/open HTTP/1.1", b"x: " + b"y" * 32_000), 200),
        (line(b"GET /api/open HTTP/1.1", b"x: " + b"y" * 33_000), 431),
        (line(b"GET /api/open HTTP/1.1", b"x: " + b"y" * 200_000), 431),
        (line(b"GET /api/open HTTP/1.1", *[b"x: y"] * 98), 200),
        (line(b"GET /api/open HTTP/1.1", *[b"x: y"] * 99), 431),
    ],
    ids=lambda value: value[:40].decode("latin-1") if isinstance(value, bytes) else str(value),
)
def test_what_is_too_long_or_malformed_is_refused_as_by_kestrel(
    wire: RunningHost, request_: bytes, status: int
) -> None:
    answered, answer = said(wire, request_)
    assert answered == status
    assert b"\r\nserver: kestrel\r\n" in answer.lower()
    if status not in (200, 404):
        assert answer.endswith(b"\r\n\r\n"), "a refusal has no body"


def test_the_answer_of_a_function_comes_in_chunks(wire: RunningHost) -> None:
    _, answer = said(wire, line(b"GET /api/open HTTP/1.1"))
    assert b"\r\ntransfer-encoding: chunked\r\n" in answer.lower()
    assert b"content-length" not in answer.lower()


@pytest.mark.parametrize(
    ("path", "read", "shown"),
    [
        ("/a%2Fb%20c%C3%A9", "/a%2Fb cé", "/a%2Fb%20c%C3%A9"),
        ("/%ff%C3", "/%ff%C3", "/%ff%C3"),
        ("/%e2%82%ac%e2%82", "/€%e2%82", "/%E2%82%AC%e2%82"),
        ("/%ed%a0%80", "/%ed%a0%80", "/%ed%a0%80"),
        ("/%2525", "/%25", "/%25"),
        ("/a/../b/./c", "/b/c", "/b/c"),
        ("/a/..", "/", "/"),
        ("/../..", "/", "/"),
        ("/a/.%2e/b", "/b", "/b"),
        ("/a/..%2Fb", "/a/..%2Fb", "/a/..%2Fb"),
        ("/a/...", "/a/...", "/a/..."),
        ('/"<|>', '/"<|>', "/%22%3C%7C%3E"),
    ],
)
def test_paths_are_read_as_by_kestrel(path: str, read: str, shown: str) -> None:
    assert decoded(path) == read
    assert escaped(read) == shown


@pytest.mark.parametrize(
    ("query", "params"),
    [
        ("a=1&A=2&b", {"a": "1,2"}),
        ("a=%C3%A9+%2B&%61=%ff", {"a": "é +,%ff"}),
        ("a=b=c&=d", {"a": "b=c", "": "d"}),
        ("a=1;b=2&c=%zz", {"a": "1;b=2", "c": "%zz"}),
    ],
)
def test_queries_are_read_as_by_asp_net(wire: RunningHost, query: str, params: dict[str, str]) -> None:
    header = {"x-functions-key": wire.endpoints["function_key"]}
    answer = wire.http.get(f"{wire.api}/hello/ann?{query}", headers=header).json()
    assert (answer["params"], answer["url"].partition("?")[2]) == (params, query)


@pytest.mark.parametrize("key", ["function_key", "system_key", "master_key"])
def test_an_empty_header_counts_before_the_query(wire: RunningHost, key: str) -> None:
    url = f"{wire.api}/hello/ann"
    answer = wire.http.get(url, params={"code": wire.endpoints[key]}, headers={"x-functions-key": ""})
    assert answer.status_code == 401


def test_a_functions_own_key_opens_that_function_alone(wire: RunningHost) -> None:
    [key] = wire.admin("GET", "functions/hello/keys").json()["keys"]
    header = {"x-functions-key": key["value"]}
    assert wire.http.get(f"{wire.api}/hello/ann", headers=header).status_code == 200
    assert wire.http.get(f"{wire.api}/teapot", headers=header).status_code == 401
    assert wire.http.get(f"{wire.api}/masters", headers=header).status_code == 401
    for path in ("/runtime/webhooks/durabletask/instances", "/admin/functions"):
        refused = wire.http.get(wire.base + path, headers=header)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert wire.admin("GET", "functions/hello/keys/default").json()["value"] == key["value"]
    assert wire.admin("GET", "functions/hello/keys/other").status_code == 404
    assert wire.admin("GET", "functions/absent/keys").status_code == 404


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("host/keys/default", "function_key"),
        ("host/functionkeys/default", "function_key"),
        ("host/systemkeys/durabletask_extension", "system_key"),
        ("host/systemkeys/_master", "master_key"),
    ],
)
def test_scripts_read_the_hosts_keys_one_by_one(wire: RunningHost, path: str, key: str) -> None:
    answer = wire.admin("GET", path)
    assert answer.json()["value"] == wire.endpoints[key]
    assert answer.json()["links"] == [{"rel": "self", "href": f"{wire.base}/admin/{path}"}]
    assert wire.http.get(f"{wire.base}/admin/{path}").status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "statuses"),
    [
        ("POST", "host/restart", (401, 403, 501)),
        ("PUT", "host/keys/mine", (401, 403, 501)),
        ("DELETE", "functions/hello", (401, 403, 501)),
        ("PATCH", "host/status", (404, 404, 404)),
        ("GET", "host/nothing", (404, 404, 404)),
        ("GET", "", (404, 404, 404)),
        ("GET", "vfs/site", (401, 403, 501)),
        ("GET", "host/extensions", (401, 403, 501)),
        ("POST", "host/ping", (200, 200, 200)),
        ("GET", "Functions/HELLO", (401, 403, 200)),
    ],
)
def test_admin_routes_by_key(wire: RunningHost, method: str, path: str, statuses: tuple[int, ...]) -> None:
    keys = ("", wire.endpoints["system_key"], wire.endpoints["master_key"])
    seen = [wire.http.request(method, f"{wire.base}/admin/{path}", params={"Code": key}).status_code for key in keys]
    assert tuple(seen) == statuses


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        ("{}", "application/json", 202),
        ('{"input": 5}', "application/problem+json; charset=utf-8", 202),
        ('{"Input": null}', "text/json", 202),
        ("null", "application/json", 400),
        ("[]", "application/json", 400),
        ('{"input": {"a": 1}}', "application/json", 400),
        ("{", "application/json", 400),
        ("{}", "text/plain", 415),
        ("", "", 415),
    ],
)
def test_running_a_function_by_hand_takes_an_object_as_json(
    wire: RunningHost, body: str, media_type: str, status: int
) -> None:
    headers = {"x-functions-key": wire.endpoints["master_key"]} | ({"content-type": media_type} if media_type else {})
    answer = wire.http.post(f"{wire.base}/admin/functions/leap", content=body, headers=headers)
    assert (answer.status_code, answer.content) == (status, b"")
