"""DELETE and retry: begun once, joined, refused while others use the spoke, resumed."""

from functools import partial
from typing import Any

import httpx
import pytest

from shared.settings import Settings
from shared.spoke.resource_ids import ids_of
from shared.tables.records import Records
from tests.api.calls import CROWD, Body, at_once, conforms, made, refused
from tests.api.conftest import Host, Moves
from triggers.http.answers import Accepted


def test_a_delete_begins_once_and_is_joined(http: httpx.Client, host: Host, moves: Moves, body: Body) -> None:
    made(http, body | {"spoke_id": 3})
    moves.to(3, "completed")
    answers = [http.delete("/spokes/3") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    first, second = (answer.json() for answer in answers)
    conforms(first, Accepted)
    assert first["deployment_id"].startswith(f"delete-{body['client_name']}-")
    assert first["deployment_id"] == second["deployment_id"]
    assert http.get("/spokes/3").json()["status"] == "deleting"
    assert host.anonymous.get(answers[0].headers["Location"]).json()["name"] == "delete_spoke"


def test_deletes_at_once_are_one_delete(http: httpx.Client, moves: Moves, body: Body) -> None:
    made(http, body | {"spoke_id": 3})
    moves.to(3, "completed")
    answers = at_once([partial(http.delete, "/spokes/3")] * CROWD)
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["deployment_id"] for answer in answers}) == 1
    assert http.get("/spokes/3/deployments").json()["total"] == 2


def test_of_retries_at_once_one_is_accepted_and_the_others_have_nothing_to_retry(
    http: httpx.Client, moves: Moves, body: Body
) -> None:
    made(http, body | {"spoke_id": 3})
    moves.to(3, "failed")
    answers = at_once([partial(http.post, "/spokes/3/retry")] * CROWD)
    assert sorted(answer.status_code for answer in answers) == [202] + [409] * (CROWD - 1)
    codes = {answer.json()["details"]["code"] for answer in answers if answer.status_code == 409}
    assert codes == {"NothingToRetry"}


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
    conforms(answer.json(), Accepted)
    assert (answer.json()["status"], answer.json()["deployment_id"]) == ("deleted", None)
    refused(http.get("/spokes/3"), 404)
    assert http.get(f"/deployments/{deployment_id}").json()["status"] == "failed"
    assert http.get("/spokes/3/deployments").json()["total"] == 1


def test_a_delete_names_blockers_and_goes_on_by_force(
    http: httpx.Client, host: Host, moves: Moves, settings: Settings, body: Body
) -> None:
    deployment_id = made(http, body | {"spoke_id": 3})["deployment_id"]
    moves.to(3, "completed")
    ids = ids_of(settings)
    other = ids.vnet("somebody-elses")
    peering = {"name": "theirs", "properties": {"remoteVirtualNetwork": {"id": other}}}
    vnet: dict[str, Any] = {
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


def test_a_failed_spoke_of_a_name_that_is_reserved_by_now_is_deployed_again(
    http: httpx.Client, moves: Moves, body: Body
) -> None:
    made(http, body | {"spoke_id": 3})
    moves.to(3, "failed")
    records = Records()
    spoke = records.spoke(3)
    assert spoke is not None
    run = records.run(spoke.deployment_id)
    assert run is not None
    request = spoke.request | {"host_name": "login.spokes.example.com"}
    records.change_together(run, spoke, run_changes={}, spoke_changes={"request": request})
    assert http.post("/spokes/3/retry").status_code == 202


@pytest.mark.parametrize(("begun_as", "kind"), [("deploy", "rollback"), ("delete", "delete")])
def test_an_unfinished_removal_is_resumed(
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
