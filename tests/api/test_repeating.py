"""A repeated Idempotency-Key: the run that it began as it is now, and a conflict once the spoke of that run is gone."""

from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from local.run import Api, request_sample
from local.stack import Stack
from shared.tables.records import Records
from tests.api.calls import Body, conforms, made, refused
from tests.api.conftest import Host, Moves
from triggers.http.answers import Accepted


def post(http: httpx.Client, body: Body, key: str = "k") -> httpx.Response:
    return http.post("/spokes", json=body, headers={"Idempotency-Key": key})


def gone(moves: Moves, spoke_id: int) -> None:
    """What a delete's orchestration writes at its end."""
    moves.to(spoke_id, "failed")
    records = Records()
    spoke = records.spoke(spoke_id)
    assert spoke is not None
    run = records.run(spoke.deployment_id)
    assert run is not None
    records.change_together(run, spoke, run_changes={"status": "deleted"}, forget_spoke=True)


def spent(http: httpx.Client, body: Body, deployment_id: str) -> None:
    error = refused(post(http, body), 409)
    assert error["details"]["code"] == "IdempotencyKeySpent"
    assert error["details"]["deployment_id"] == deployment_id


@pytest.mark.parametrize("status", ["completed", "failed", "rolling_back", "rollback_failed"])
def test_a_repeated_key_tells_the_present_state_of_its_run(
    http: httpx.Client, moves: Moves, body: Body, status: str
) -> None:
    first = post(http, body).json()
    moves.to(first["spoke_id"], status)
    again = post(http, body)
    assert again.status_code == 202
    conforms(again.json(), Accepted)
    assert (again.json()["deployment_id"], again.json()["status"]) == (first["deployment_id"], status)
    assert refused(post(http, body | {"vm_size": "Standard_B1s"}), 422)["details"]["code"] == "IdempotencyKeyReused"


def test_a_key_is_spent_by_the_delete_of_its_spoke_and_not_before(http: httpx.Client, moves: Moves, body: Body) -> None:
    first = post(http, body).json()
    moves.to(1, "completed")
    assert http.delete("/spokes/1").status_code == 202
    again = post(http, body).json()
    assert (again["deployment_id"], again["status"]) == (first["deployment_id"], "completed")
    assert again["message"].endswith("its spoke is deleting now")
    moves.to(1, "rollback_failed")
    assert post(http, body).json()["status"] == "completed"
    gone(moves, 1)
    spent(http, body, first["deployment_id"])
    assert http.get("/spokes").json()["total"] == 0


def test_a_spent_key_says_nothing_of_the_client_who_has_the_id_now(
    http: httpx.Client, moves: Moves, body: Body
) -> None:
    first = post(http, body).json()
    moves.to(1, "completed")
    assert http.delete("/spokes/1").status_code == 202
    gone(moves, 1)
    other = made(http, body | {"client_name": "another-client", "vm_name": "another-vm", "spoke_id": 1})
    assert "another-client" not in post(http, body).text
    spent(http, body, first["deployment_id"])
    assert other["deployment_id"] not in post(http, body).text


def test_a_key_follows_its_spoke_through_retries(http: httpx.Client, moves: Moves, body: Body) -> None:
    first = post(http, body).json()
    for _ in range(2):
        moves.to(1, "failed")
        retried = http.post("/spokes/1/retry").json()
        assert retried["deployment_id"] != first["deployment_id"]
        again = post(http, body).json()
        assert (again["deployment_id"], again["status"]) == (first["deployment_id"], "failed")
    moves.to(1, "failed")
    assert http.delete("/spokes/1").json()["status"] == "deleted"
    spent(http, body, first["deployment_id"])


def test_a_key_is_spent_when_another_request_takes_the_place_of_its_failed_spoke(
    http: httpx.Client, moves: Moves, body: Body
) -> None:
    first = post(http, body).json()
    moves.to(1, "failed")
    made(http, body | {"client_name": "another-client", "vm_name": "another-vm", "spoke_id": 1})
    spent(http, body, first["deployment_id"])


def test_the_sample_of_make_run_is_requested_anew_after_each_delete_and_failure(
    http: httpx.Client, host: Host, moves: Moves, body: Body
) -> None:
    body = body | {"spoke_id": 1}
    api = Api(cast(Stack, SimpleNamespace(endpoints=host.endpoints, stopping=False)))
    runs: list[Any] = []
    for end in ("completed", "failed", "completed", "completed"):
        request_sample(api, body)
        request_sample(api, body)
        runs.append(http.get("/spokes/1").json()["deployment"]["deployment_id"])
        moves.to(1, end)
        if end == "completed":
            assert http.delete("/spokes/1").status_code == 202
            gone(moves, 1)
    assert len(set(runs)) == 4
    api.client.close()
