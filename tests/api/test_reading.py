"""What is shown of spokes and runs, by id and in pages."""

from dataclasses import replace
from typing import Any

import httpx
import pytest

from shared.saga.progress import Progress
from shared.spoke.records import StepRow
from shared.tables.records import Records
from shared.writers.peering.peering_rows import PeeringRow
from shared.writers.writer_tables import hub_peerings
from tests.api.calls import Body, conforms, made, refused
from tests.api.conftest import Moves
from triggers.http.answers import RunList, Spoke, SpokeList


def test_a_spoke_is_shown(http: httpx.Client, moves: Moves, body: Body) -> None:
    deployment_id = made(http, body | {"spoke_id": 3})["deployment_id"]
    spoke = http.get("/spokes/3").json()
    conforms(spoke, Spoke)
    assert (spoke["status"], spoke["vm"]["private_ip"], spoke["agw"]["configured"]) == ("accepted", None, False)
    assert spoke["vnet"]["subnets"][0] == {"name": "web-subnet-3", "address_prefix": "10.11.3.0/26"}
    assert spoke["deployment"]["deployment_id"] == deployment_id
    assert spoke["deployment"]["duration_seconds"] is None
    moves.to(3, "completed", completed_at=spoke["deployment"]["created_at"])
    spoke = http.get("/spokes/3").json()
    assert (spoke["status"], spoke["agw"]["configured"], spoke["error"]) == ("completed", True, None)
    assert spoke["deployment"]["duration_seconds"] == 0


def test_the_peering_of_a_spoke_is_shown_as_it_was_seen_last(http: httpx.Client, moves: Moves, body: Body) -> None:
    deployment_id = made(http, body | {"spoke_id": 3})["deployment_id"]
    moves.to(3, "completed", result={"peering_status": "Connected"})
    assert http.get("/spokes/3").json()["vnet"]["peering_status"] == "Connected"
    since = "2026-01-01T00:00:00.000Z"
    row = PeeringRow(
        3,
        deployment_id,
        deployment_id,
        "v",
        "h",
        "s",
        present=True,
        forwarded=False,
        desired_version=1,
        since=since,
        applied_version=1,
    )
    hub_peerings().request(replace(row, peering_status="RemoteNotInSync"))
    assert http.get("/spokes/3").json()["vnet"]["peering_status"] == "RemoteNotInSync"
    (listed,) = http.get("/spokes").json()["spokes"]
    assert listed["vnet"]["peering_status"] == "RemoteNotInSync"


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


@pytest.mark.parametrize("wanted", ["x", "deploy-a-1-abcd", "DEPLOY", "a%2Fb", "%23", "ü", "x" * 300])
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
    conforms(by_run, Progress)
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
    conforms(whole, SpokeList)
    assert [spoke["spoke_id"] for spoke in whole["spokes"]] == [1, 2, 4, 9]
    assert (whole["total"], whole["continuation"]) == (4, None)
    seen, continuation = [], None
    while True:
        params: dict[str, Any] = {"limit": 1, "status": "accepted"} | (
            {"continuation": continuation} if continuation else {}
        )
        page = http.get("/spokes", params=params).json()
        assert page["total"] == 3
        seen += [spoke["spoke_id"] for spoke in page["spokes"]]
        if (continuation := page["continuation"]) is None:
            break
    assert seen == [1, 2, 4]
    assert [spoke["spoke_id"] for spoke in http.get("/spokes", params={"client_name": "c-9"}).json()["spokes"]] == [9]
    for name, value in (("limit", 0), ("limit", "x"), ("status", "gone"), ("continuation", "x")):
        refused(http.get("/spokes", params={name: value}), 400)


def test_every_run_of_a_spoke_is_listed(http: httpx.Client, moves: Moves, body: Body) -> None:
    first = made(http, body | {"spoke_id": 3})["deployment_id"]
    moves.to(3, "completed")
    second = http.delete("/spokes/3").json()["deployment_id"]
    listed = http.get("/spokes/3/deployments").json()
    conforms(listed, RunList)
    assert [(run["deployment_id"], run["kind"]) for run in listed["deployments"]] == [
        (second, "delete"),
        (first, "deploy"),
    ]
