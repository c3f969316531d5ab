"""POST /spokes, in both forms: accepted, refused, repeated, raced for, only planned."""

import json
from functools import partial

import httpx
import pytest

from shared.checks.preflight import PlanReport
from shared.tables.records import Records
from tests.api.calls import CROWD, Body, at_once, conforms, made, refused
from tests.api.conftest import Host
from triggers.http.answers import Accepted


def test_a_line_of_the_threads_work_reaches_the_hosts_log_under_its_function(
    http: httpx.Client, host: Host, body: Body
) -> None:
    """The host drops what is logged without an invocation; reserving happens in a thread of the app's own."""
    spoke = made(http, body)["spoke_id"]
    line = f"Spoke {spoke} is reserved for {body['client_name']}"
    found = [json.loads(each) for each in host.log.read_text(encoding="utf-8").splitlines() if line in each]
    assert [(each["function"], each["logger"]) for each in found] == [("create_spoke", "shared.tables.reservations")]
    assert found[0]["invocation_id"]


def test_a_chunked_body_is_refused_with_a_hint(http: httpx.Client, body: Body) -> None:
    """It reaches the function empty, as on the real host."""
    chunks = iter([json.dumps(body).encode()])
    for path in ("/spokes", "/spokes?mode=plan", "/v1/create-spoke"):
        answer = http.post(path, content=chunks, headers={"Content-Type": "application/json"})
        assert refused(answer, 411)["details"]["code"] == "LengthRequired"


def test_a_create_is_accepted_with_all_links(http: httpx.Client, host: Host, body: Body) -> None:
    answer = http.post("/spokes", json=body | {"spoke_id": 7})
    assert answer.status_code == 202, answer.text
    document = answer.json()
    conforms(document, Accepted)
    deployment_id = document["deployment_id"]
    assert deployment_id.startswith(f"deploy-{body['client_name']}-")
    assert (document["spoke_id"], document["status"]) == (7, "in_progress")
    assert document["message"] == "Spoke deployment initiated"
    assert document["progress_url"] == f"{host.endpoints['api']}/spokes/7/progress"
    assert document["id"] == deployment_id
    assert "statusQueryGetUri" in document
    assert not {"sendEventPostUri", "terminatePostUri", "purgeHistoryDeleteUri"} & set(document)
    assert answer.headers["Location"] == document["statusQueryGetUri"]
    assert answer.headers["Operation-Location"] == f"{host.endpoints['api']}/deployments/{deployment_id}"
    assert int(answer.headers["Retry-After"]) > 0
    status = host.anonymous.get(answer.headers["Location"])
    assert status.status_code in (200, 202)
    assert status.json()["name"] == "deploy_spoke"
    assert status.json()["input"] is None
    assert body["ssh_public_key"] not in status.text


def in_the_older_form(body: Body, address_prefix: str) -> Body:
    vm = {name.removeprefix("vm_"): value for name, value in body.items() if name != "client_name"}
    return {"client_name": body["client_name"], "address_prefix": address_prefix, "vm": vm}


def test_the_older_form_gives_the_same_answer(http: httpx.Client, body: Body) -> None:
    older = in_the_older_form(body, "10.11.9.0/24")
    answer = http.post("/v1/create-spoke", json=older)
    assert answer.status_code == 202, answer.text
    conforms(answer.json(), Accepted)
    assert answer.json()["spoke_id"] == 9
    assert answer.headers["Operation-Location"].endswith(f"/api/deployments/{answer.json()['deployment_id']}")
    assert http.get("/spokes/9").json()["vnet"]["address_space"] == "10.11.9.0/24"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"vm_size": None}, "vm_size"),
        ({"ssh_public_key": "ssh-rsa AAAAB3NzaC1yc2EAAA"}, "ssh_public_key"),
        ({"spoke_id": 0}, "spoke_id"),
        ({"spoke_id": 256}, "spoke_id"),
        ({"spoke_id": "one"}, "spoke_id"),
        ({"colour": "green"}, "colour"),
        ({"client_name": "Login"}, "client_name"),
        ({"host_name": "www.spokes.example.com"}, "host_name"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(http: httpx.Client, body: Body, changes: Body, field: str) -> None:
    error = refused(http.post("/spokes", json=body | changes), 400)
    assert error["error"] == "ValidationException"
    assert error["details"]["field"] == field
    assert http.get("/spokes").json()["total"] == 0


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b'{"a": 1, "a": 2}', "application/json", 400),
        (b"[" * 30_000, "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"a=b", "application/x-www-form-urlencoded", 415),
        (b'{"a": "' + b"x" * 41_000 + b'"}', "application/json", 413),
    ],
)
def test_a_body_that_is_no_json_document_is_refused(
    http: httpx.Client, content: bytes, content_type: str, status: int
) -> None:
    refused(http.post("/spokes", content=content, headers={"Content-Type": content_type}), status)


@pytest.mark.parametrize("character", ["x", "ä", "株", "\U0001f600", "\u0001"])
def test_the_longest_request_fits_into_the_records(http: httpx.Client, body: Body, character: str) -> None:
    def content(count: int) -> bytes:
        whole = body | {"cloud_init": character * count, "tags": {f"t{number}": "é" * 150 for number in range(46)}}
        return json.dumps(whole, ensure_ascii=False).encode()

    count = 24 * 1024 // len(character.encode())
    while len(content(count)) > 40 * 1024:
        count -= 100
    answer = http.post("/spokes", content=content(count), headers={"Content-Type": "application/json"})
    assert answer.status_code == 202, answer.text
    run = Records().run(answer.json()["deployment_id"])
    assert run is not None
    assert run.plan.cloud_init == character * count
    assert http.get(f"/spokes/{answer.json()['spoke_id']}").status_code == 200


def test_a_second_create_of_the_same_names_who_has_it(http: httpx.Client, body: Body) -> None:
    first = made(http, body | {"spoke_id": 5})
    error = refused(http.post("/spokes", json=body | {"spoke_id": 5}), 409)
    assert error["error"] == "DeploymentException"
    assert (error["details"]["field"], error["details"]["value"]) == ("spoke_id", 5)
    assert error["details"]["held_by"]["deployment_id"] == first["deployment_id"]
    error = refused(http.post("/spokes", json=body), 409)
    assert error["details"]["field"] == "client_name"


def test_of_creates_of_one_id_at_once_one_is_accepted(http: httpx.Client, body: Body) -> None:
    bodies = [
        body | {"spoke_id": 8, "client_name": f"c-{number}", "vm_name": f"vm-{number}"} for number in range(CROWD)
    ]
    answers = at_once([partial(http.post, "/spokes", json=one) for one in bodies])
    assert sorted(answer.status_code for answer in answers) == [202] + [409] * (CROWD - 1)
    winner = next(answer.json()["deployment_id"] for answer in answers if answer.status_code == 202)
    losers = [answer.json()["details"]["held_by"]["deployment_id"] for answer in answers if answer.status_code == 409]
    assert set(losers) == {winner}
    assert http.get("/spokes").json()["total"] == 1
    assert http.get("/capacity").json()["gateway_places"]["used"] == 1


def test_an_idempotency_key_makes_a_create_repeatable(http: httpx.Client, body: Body) -> None:
    first = http.post("/spokes", json=body, headers={"Idempotency-Key": "k1"})
    spaced = json.dumps(dict(reversed(body.items())), indent=3)
    headers = {"Idempotency-Key": "k1", "Content-Type": "application/json"}
    again = http.post("/spokes", content=spaced, headers=headers)
    assert (again.status_code, again.json()) == (202, first.json())
    error = refused(http.post("/spokes", json=body | {"spoke_id": 9}, headers={"Idempotency-Key": "k1"}), 422)
    assert error["details"]["code"] == "IdempotencyKeyReused"


def test_repeats_with_one_key_at_once_have_one_answer(http: httpx.Client, body: Body) -> None:
    answers = at_once([partial(http.post, "/spokes", json=body, headers={"Idempotency-Key": "k"})] * CROWD)
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    assert http.get("/spokes").json()["total"] == 1


def test_a_plan_touches_nothing(http: httpx.Client, host: Host, body: Body) -> None:
    answer = http.post("/spokes", params={"mode": "plan"}, json=body)
    assert answer.status_code == 200, answer.text
    report = answer.json()
    conforms(report, PlanReport)
    assert (report["spoke_id"], report["conflicts"]) == (1, [])
    assert report["would_succeed"], report["checks"]
    assert http.get("/spokes").json()["total"] == 0
    journal = host.arm.get("/_local/requests").json()
    assert not [entry for entry in journal if entry["method"] not in ("GET", "HEAD")]
    made(http, body)
    report = http.post("/spokes", params={"mode": "plan"}, json=body).json()
    assert not report["would_succeed"]
    assert report["conflicts"][0]["details"]["field"] == "client_name"
    refused(http.post("/spokes", params={"mode": "dry"}, json=body), 400)


def test_a_plan_is_no_deployment_however_its_parameter_is_written(http: httpx.Client, body: Body) -> None:
    assert http.post("/spokes?Mode=plan", json=body).status_code == 200
    assert http.post("/v1/create-spoke?MODE=plan", json=in_the_older_form(body, "10.11.9.0/24")).status_code == 200
    refused(http.post("/spokes?mode=deploy&Mode=plan", json=body), 400)
    assert http.get("/spokes").json()["total"] == 0


def test_a_plan_in_the_older_form_is_a_plan(http: httpx.Client, body: Body) -> None:
    answer = http.post("/v1/create-spoke", params={"mode": "plan"}, json=in_the_older_form(body, "10.11.9.0/24"))
    assert answer.status_code == 200, answer.text
    assert answer.json()["spoke_id"] == 9
    assert answer.json()["plan"] == http.post("/spokes?mode=plan", json=body | {"spoke_id": 9}).json()["plan"]
    assert http.get("/spokes").json()["total"] == 0
