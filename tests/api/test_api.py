"""Every call as a caller makes it: over HTTP, on a running host."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from shared.arm.ids import ids_of
from shared.http import documents
from shared.protocol import gateway_writer_id
from shared.settings import Settings
from shared.tables.records import Records
from shared.tables.rows import StepRow
from shared.tables.store import table
from tests.api.conftest import Host, Moves

Body = dict[str, Any]


def made(http: httpx.Client, body: Body, **headers: str) -> Body:
    answer = http.post("/spokes", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def refused(answer: httpx.Response, status: int) -> Body:
    assert answer.status_code == status, answer.text
    error: Body = answer.json()
    documents.ErrorAnswer.model_validate(error)
    return error


# --- create ---


def test_a_create_is_accepted_with_all_links(http: httpx.Client, host: Host, body: Body) -> None:
    answer = http.post("/spokes", json=body | {"spoke_id": 7})
    assert answer.status_code == 202, answer.text
    document = answer.json()
    documents.Accepted.model_validate(document)
    deployment_id = document["deployment_id"]
    assert deployment_id.startswith(f"deploy-{body['client_name']}-")
    assert (document["spoke_id"], document["status"]) == (7, "in_progress")
    assert document["message"] == "Spoke deployment initiated"
    assert document["progress_url"] == f"{host.endpoints['api']}/spokes/7/progress"
    assert document["id"] == deployment_id
    assert {"statusQueryGetUri", "sendEventPostUri", "terminatePostUri", "purgeHistoryDeleteUri"} <= set(document)
    assert answer.headers["Location"] == document["statusQueryGetUri"]
    assert answer.headers["Operation-Location"] == f"{host.endpoints['api']}/deployments/{deployment_id}"
    assert int(answer.headers["Retry-After"]) > 0
    status = httpx.get(answer.headers["Location"], trust_env=False)
    assert status.status_code in (200, 202)
    assert status.json()["name"] == "deploy_spoke"
    given = status.json()["input"]
    given = json.loads(given) if isinstance(given, str) else given
    assert (given["deployment_id"], given["spoke_id"], given["kind"]) == (deployment_id, 7, "deploy")
    assert body["ssh_public_key"] not in status.text


def in_the_older_form(body: Body, address_prefix: str) -> Body:
    vm = {name.removeprefix("vm_"): value for name, value in body.items() if name != "client_name"}
    return {"client_name": body["client_name"], "address_prefix": address_prefix, "vm": vm}


def test_the_older_form_gives_the_same_answer(http: httpx.Client, body: Body) -> None:
    older = in_the_older_form(body, "10.11.9.0/24")
    answer = http.post("/v1/create-spoke", json=older)
    assert answer.status_code == 202, answer.text
    documents.Accepted.model_validate(answer.json())
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


def test_an_idempotency_key_makes_a_create_repeatable(http: httpx.Client, body: Body) -> None:
    first = http.post("/spokes", json=body, headers={"Idempotency-Key": "k1"})
    spaced = json.dumps(dict(reversed(body.items())), indent=3)
    headers = {"Idempotency-Key": "k1", "Content-Type": "application/json"}
    again = http.post("/spokes", content=spaced, headers=headers)
    assert (again.status_code, again.json()) == (202, first.json())
    error = refused(http.post("/spokes", json=body | {"spoke_id": 9}, headers={"Idempotency-Key": "k1"}), 422)
    assert error["details"]["code"] == "IdempotencyKeyReused"


def test_a_plan_touches_nothing(http: httpx.Client, host: Host, body: Body) -> None:
    answer = http.post("/spokes", params={"mode": "plan"}, json=body)
    assert answer.status_code == 200, answer.text
    report = answer.json()
    documents.PlanReport.model_validate(report)
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


def test_a_plan_in_the_older_form_is_a_plan(http: httpx.Client, body: Body) -> None:
    answer = http.post("/v1/create-spoke", params={"mode": "plan"}, json=in_the_older_form(body, "10.11.9.0/24"))
    assert answer.status_code == 200, answer.text
    assert answer.json()["spoke_id"] == 9
    assert answer.json()["plan"] == http.post("/spokes?mode=plan", json=body | {"spoke_id": 9}).json()["plan"]
    assert http.get("/spokes").json()["total"] == 0


def test_without_a_key_nothing_but_liveness_answers(http: httpx.Client, host: Host) -> None:
    api = host.endpoints["api"]
    alive = httpx.get(f"{api}/health/live", trust_env=False)
    assert (alive.status_code, alive.json()) == (200, {"status": "alive"})
    for path in ("/spokes", "/spokes/1", "/health", "/capacity", "/openapi.json", "/deployments/x"):
        assert httpx.get(api + path, trust_env=False).status_code == 401


# --- at once ---


def at_once(calls: list[Callable[[], httpx.Response]]) -> list[httpx.Response]:
    with ThreadPoolExecutor(len(calls)) as threads:
        return [future.result() for future in [threads.submit(call) for call in calls]]


def test_of_creates_of_one_id_at_once_one_is_accepted(http: httpx.Client, body: Body) -> None:
    bodies = [body | {"spoke_id": 8, "client_name": f"c-{number}", "vm_name": f"vm-{number}"} for number in range(8)]
    answers = at_once([partial(http.post, "/spokes", json=one) for one in bodies])
    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 7
    winner = next(answer.json()["deployment_id"] for answer in answers if answer.status_code == 202)
    losers = [answer.json()["details"]["held_by"]["deployment_id"] for answer in answers if answer.status_code == 409]
    assert set(losers) == {winner}
    assert http.get("/spokes").json()["total"] == 1
    assert http.get("/capacity").json()["gateway_places"]["used"] == 1


def test_repeats_with_one_key_at_once_have_one_answer(http: httpx.Client, body: Body) -> None:
    answers = at_once([partial(http.post, "/spokes", json=body, headers={"Idempotency-Key": "k"})] * 8)
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    assert http.get("/spokes").json()["total"] == 1


def test_deletes_at_once_are_one_delete(http: httpx.Client, moves: Moves, body: Body) -> None:
    made(http, body | {"spoke_id": 3})
    moves.to(3, "completed")
    answers = at_once([partial(http.delete, "/spokes/3")] * 6)
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["deployment_id"] for answer in answers}) == 1
    assert http.get("/spokes/3/deployments").json()["total"] == 2


# --- read ---


def test_a_spoke_is_shown(http: httpx.Client, moves: Moves, body: Body) -> None:
    deployment_id = made(http, body | {"spoke_id": 3})["deployment_id"]
    spoke = http.get("/spokes/3").json()
    documents.Spoke.model_validate(spoke)
    assert (spoke["status"], spoke["vm"]["private_ip"], spoke["agw"]["configured"]) == ("accepted", None, False)
    assert spoke["vnet"]["subnets"][0] == {"name": "web-subnet-3", "address_prefix": "10.11.3.0/26"}
    assert spoke["deployment"]["deployment_id"] == deployment_id
    assert spoke["deployment"]["duration_seconds"] is None
    moves.to(3, "completed", completed_at=spoke["deployment"]["created_at"])
    spoke = http.get("/spokes/3").json()
    assert (spoke["status"], spoke["agw"]["configured"], spoke["error"]) == ("completed", True, None)
    assert spoke["deployment"]["duration_seconds"] == 0


@pytest.mark.parametrize(
    "path", ["/spokes/9", "/spokes/abc", "/spokes/0", "/spokes/-1", "/spokes/1e9", "/spokes/9999999999999"]
)
def test_an_unknown_id_is_404_everywhere(http: httpx.Client, path: str) -> None:
    for method, rest in (
        ("GET", ""),
        ("GET", "/progress"),
        ("GET", "/deployments"),
        ("DELETE", ""),
        ("POST", "/retry"),
    ):
        error = refused(http.request(method, path + rest), 404)
        assert error["details"]["code"] == "SpokeNotFound"


@pytest.mark.parametrize("wanted", ["x", "deploy-a-1-abcd", "DEPLOY", "a%2Fb", "a%00b", "%23", "ü", "x" * 300])
def test_an_unknown_deployment_is_404(http: httpx.Client, wanted: str) -> None:
    answer = http.get(f"/deployments/{wanted}")
    assert answer.status_code == 404


def test_progress_lists_every_step_from_the_start(http: httpx.Client, body: Body) -> None:
    document = made(http, body)
    records = Records()
    row = StepRow(
        document["deployment_id"], 1, "validate_config", "completed", 2, "In order", "2025-12-11T01:00:00Z", ""
    )
    records.write_step(row, over=None)
    by_spoke = http.get(f"/spokes/{document['spoke_id']}/progress").json()
    by_run = http.get(f"/deployments/{document['deployment_id']}").json()
    assert by_spoke == by_run
    documents.Progress.model_validate(by_run)
    first, *rest = by_run["deployment_steps"]
    assert (first["step_name"], first["status"], first["attempts"]) == ("validate_config", "completed", 2)
    assert {step["status"] for step in rest} == {"pending"}
    assert len(rest) == 8
    assert 0 < by_run["progress_percentage"] < 100


def test_spokes_are_listed_in_pages(http: httpx.Client, moves: Moves, body: Body) -> None:
    for number in (4, 2, 9, 1):
        made(http, body | {"spoke_id": number, "client_name": f"c-{number}", "vm_name": f"vm-{number}"})
    moves.to(9, "completed")
    whole = http.get("/spokes").json()
    documents.SpokeList.model_validate(whole)
    assert [spoke["spoke_id"] for spoke in whole["spokes"]] == [1, 2, 4, 9]
    assert (whole["total"], whole["continuation"]) == (4, None)
    seen, continuation = [], None
    while True:
        params = {"limit": 1, "status": "accepted"} | ({"continuation": continuation} if continuation else {})
        page = http.get("/spokes", params=params).json()
        assert page["total"] == 3
        seen += [spoke["spoke_id"] for spoke in page["spokes"]]
        if (continuation := page["continuation"]) is None:
            break
    assert seen == [1, 2, 4]
    assert [spoke["spoke_id"] for spoke in http.get("/spokes", params={"client_name": "c-9"}).json()["spokes"]] == [9]
    for params in ({"limit": 0}, {"limit": "x"}, {"status": "gone"}, {"continuation": "x"}):
        refused(http.get("/spokes", params=params), 400)


def test_every_run_of_a_spoke_is_listed(http: httpx.Client, moves: Moves, body: Body) -> None:
    first = made(http, body | {"spoke_id": 3})["deployment_id"]
    moves.to(3, "completed")
    second = http.delete("/spokes/3").json()["deployment_id"]
    listed = http.get("/spokes/3/deployments").json()
    documents.RunList.model_validate(listed)
    assert [(run["deployment_id"], run["kind"]) for run in listed["deployments"]] == [
        (second, "delete"),
        (first, "deploy"),
    ]


# --- delete and retry ---


def test_a_delete_begins_once_and_is_joined(http: httpx.Client, moves: Moves, body: Body) -> None:
    made(http, body | {"spoke_id": 3})
    moves.to(3, "completed")
    answers = [http.delete("/spokes/3") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    first, second = (answer.json() for answer in answers)
    documents.Accepted.model_validate(first)
    assert first["deployment_id"].startswith(f"delete-{body['client_name']}-")
    assert first["deployment_id"] == second["deployment_id"]
    assert http.get("/spokes/3").json()["status"] == "deleting"
    assert httpx.get(answers[0].headers["Location"], trust_env=False).json()["name"] == "delete_spoke"


def test_a_delete_of_a_running_deployment_cancels_it(http: httpx.Client, body: Body) -> None:
    deployment_id = made(http, body | {"spoke_id": 3})["deployment_id"]
    for _ in range(2):
        answer = http.delete("/spokes/3")
        assert (answer.status_code, answer.json()["deployment_id"]) == (202, deployment_id)
    assert http.get("/spokes/3/progress").json()["cancel_requested"] is True


def test_a_delete_of_a_failed_spoke_forgets_it(http: httpx.Client, moves: Moves, body: Body) -> None:
    deployment_id = made(http, body | {"spoke_id": 3})["deployment_id"]
    moves.to(3, "failed")
    answer = http.delete("/spokes/3")
    assert answer.status_code == 202
    documents.Accepted.model_validate(answer.json())
    assert (answer.json()["status"], answer.json()["deployment_id"]) == ("deleted", None)
    refused(http.get("/spokes/3"), 404)
    assert http.get(f"/deployments/{deployment_id}").json()["status"] == "failed"
    assert http.get("/spokes/3/deployments").json()["total"] == 1


def test_a_delete_looks_first_and_goes_on_by_force(
    http: httpx.Client, host: Host, moves: Moves, settings: Settings, body: Body
) -> None:
    deployment_id = made(http, body | {"spoke_id": 3})["deployment_id"]
    moves.to(3, "completed")
    ids = ids_of(settings)
    other = ids.vnet("somebody-elses")
    peering = {"name": "theirs", "properties": {"remoteVirtualNetwork": {"id": other}}}
    vnet = {
        "id": ids.vnet("spoke-vnet-3"),
        "name": "spoke-vnet-3",
        "type": "Microsoft.Network/virtualNetworks",
        "location": "eastus",
        "tags": {"deployment_id": deployment_id},
        "properties": {
            "provisioningState": "Succeeded",
            "addressSpace": {"addressPrefixes": ["10.11.3.0/24"]},
            "subnets": [],
            "virtualNetworkPeerings": [peering],
        },
    }
    host.arm.put("/_local/resources", json=[vnet]).raise_for_status()
    try:
        error = refused(http.delete("/spokes/3"), 409)
        assert error["details"]["code"] == "SpokeInUse"
        assert [obstacle["kind"] for obstacle in error["details"]["obstacles"]] == ["peering"]
        assert http.get("/spokes/3").json()["status"] == "completed"
        assert http.delete("/spokes/3", params={"force": "false"}).status_code == 409
        refused(http.delete("/spokes/3", params={"force": "perhaps"}), 400)
        forced = http.delete("/spokes/3", params={"force": "true"})
    finally:
        host.arm.delete("/_local/resources", params={"id": vnet["id"]}).raise_for_status()
    assert forced.status_code == 202, forced.text
    run = Records().run(forced.json()["deployment_id"])
    assert run is not None
    assert run.force


def test_a_failed_spoke_is_deployed_again(http: httpx.Client, moves: Moves, body: Body) -> None:
    first = made(http, body | {"spoke_id": 3, "tags": {"a": "b"}})["deployment_id"]
    refused(http.post("/spokes/3/retry"), 409)
    moves.to(3, "failed")
    answer = http.post("/spokes/3/retry")
    assert answer.status_code == 202, answer.text
    assert answer.json()["deployment_id"] != first
    assert http.get("/spokes/3").json()["status"] == "accepted"
    run = Records().run(answer.json()["deployment_id"])
    assert run is not None
    assert (run.kind, run.plan.made_by, run.plan.tags) == ("deploy", run.deployment_id, {"a": "b"})


@pytest.mark.parametrize(("begun_as", "kind"), [("deploy", "rollback"), ("delete", "delete")])
def test_an_unfinished_removal_is_taken_up_again(
    http: httpx.Client, moves: Moves, body: Body, begun_as: str, kind: str
) -> None:
    first = made(http, body | {"spoke_id": 3})["deployment_id"]
    if begun_as == "delete":
        moves.to(3, "completed")
        http.delete("/spokes/3")
    moves.to(3, "rollback_failed")
    answer = http.post("/spokes/3/retry")
    assert answer.status_code == 202, answer.text
    run = Records().run(answer.json()["deployment_id"])
    assert run is not None
    assert (run.kind, run.status, run.plan.made_by) == (kind, "accepted", first)


# --- the rest ---


def test_capacity_counts_blocks_peerings_and_the_gateway(http: httpx.Client, body: Body) -> None:
    made(http, body)
    answer = http.get("/capacity")
    assert answer.status_code == 200, answer.text
    documents.Capacity.model_validate(answer.json())
    capacity = answer.json()
    assert capacity["address_blocks"] == {"used": 1, "limit": 255, "free": 254}
    assert capacity["gateway_places"]["used"] == 1
    assert capacity["peerings"] == {"used": 0, "limit": 500, "free": 500}
    assert {"pools", "settings", "listeners", "rules", "priorities"} <= set(capacity)
    assert capacity["pools"]["limit"] == 100
    assert capacity["unknown"] == []


def test_health_tells_every_dependency(http: httpx.Client) -> None:
    http.get("/capacity")  # so that importing the SDKs on a busy machine doesn't count
    answer = http.get("/health")
    assert answer.status_code == 200, answer.text
    documents.Health.model_validate(answer.json())
    dependencies = answer.json()["dependencies"]
    assert {"tables", "credential", "arm", "hub", "gateway"} <= set(dependencies)
    assert all(finding["latency_ms"] >= 0 for finding in dependencies.values())


def test_health_names_what_fails(http: httpx.Client, host: Host) -> None:
    fault = {
        "method": "GET",
        "path": "applicationGateways",
        "mode": "refuse",
        "status": 403,
        "code": "AuthorizationFailed",
        "times": 9,
    }
    http.get("/capacity")
    host.arm.post("/_local/faults", json=[fault]).raise_for_status()
    try:
        answer = http.get("/health")
        capacity = http.get("/capacity")
    finally:
        host.arm.delete("/_local/faults").raise_for_status()
    assert answer.status_code == 503
    documents.Health.model_validate(answer.json())
    states = {name: finding["status"] for name, finding in answer.json()["dependencies"].items()}
    assert states.pop("gateway") == "failing"
    assert set(states.values()) == {"ok"}
    assert capacity.status_code == 200
    assert capacity.json()["unknown"][0]["of"] == "gateway"


def test_tables_that_do_not_answer_are_503_with_a_time(http: httpx.Client, host: Host, body: Body) -> None:
    httpx.post(host.tables_faults, json=[{"mode": "busy"}], trust_env=False).raise_for_status()
    try:
        answers = [http.get("/spokes"), http.post("/spokes", json=body), http.delete("/spokes/1")]
        health = http.get("/health")
    finally:
        httpx.delete(host.tables_faults, trust_env=False).raise_for_status()
    for answer in answers:
        assert refused(answer, 503)["error"] == "StorageException"
        assert int(answer.headers["Retry-After"]) > 0
    assert health.json()["dependencies"]["tables"]["status"] == "failing"


def test_the_document_is_served(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    from shared.openapi import openapi_document

    assert document == openapi_document()


def test_a_spoofed_host_breaks_nothing(http: httpx.Client, body: Body) -> None:
    answer = http.post("/spokes", json=body, headers={"Host": "evil.example.com"})
    assert answer.status_code == 202
    assert urlsplit(answer.json()["progress_url"]).path.endswith("/progress")


def test_runs_that_were_never_started_are_started_by_the_timer(
    http: httpx.Client, host: Host, settings: Settings, body: Body
) -> None:
    """As after a crash between the reservation and the start: the record is there, the instance isn't."""
    from shared.models import check_against_settings, plan_from, spoke_request
    from shared.tables.reservations import Wish, reserve

    request = check_against_settings(spoke_request(body), settings)
    left = reserve(
        Wish(body["client_name"], body["client_name"], body, lambda one, run: plan_from(request, settings, one, run)),
        settings,
    )
    records = Records()
    run = records.run(left.deployment_id)
    assert run is not None
    records.change_run(run, created_at="2025-12-11T01:00:00.000Z")
    assert instance_of(host, left.deployment_id).status_code == 404
    fire(host, "start_accepted_runs")
    assert started_as(host, left.deployment_id) == "deploy_spoke"


def test_the_gateway_is_looked_at_while_it_has_sites(http: httpx.Client, host: Host, settings: Settings) -> None:
    writer = gateway_writer_id(settings.hub_agw_name)
    assert instance_of(host, writer).status_code == 404
    table("GatewaySites").create_entity({"PartitionKey": settings.gateway_key, "RowKey": "site:acme"})
    fire(host, "repair_gateway")
    assert started_as(host, writer) == "write_gateway"


def instance_of(host: Host, instance_id: str) -> httpx.Response:
    """What Durable says of an instance."""
    origin = host.endpoints["api"].removesuffix("/api")
    url = f"{origin}/runtime/webhooks/durabletask/instances/{instance_id}"
    return httpx.get(url, params={"code": host.endpoints["system_key"]}, trust_env=False)


def started_as(host: Host, instance_id: str) -> str:
    """The story of an instance that a timer, which runs on its own, starts soon."""
    latest = time.monotonic() + 30
    while (status := instance_of(host, instance_id)).status_code == 404:
        assert time.monotonic() < latest, f"{instance_id} was not started"
    return str(status.json()["name"])


def fire(host: Host, timer: str) -> None:
    """Runs a timer's function as if it were due."""
    origin = host.endpoints["api"].removesuffix("/api")
    fired = httpx.post(f"{origin}/admin/functions/{timer}", json={}, trust_env=False)
    assert fired.status_code in (200, 202), fired.text
