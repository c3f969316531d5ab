"""The main job, end to end: one POST makes a spoke that the gateway reaches, one DELETE leaves nothing of it."""

import base64
import re

import httpx
import pytest
from azure.data.tables import TableServiceClient
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from local.stack import Stack
from shared.saga.steps import STEPS, UNDOS
from tests.e2e.client import GONE, Api, request_for

STEP_NAMES = [step.name for step in STEPS]


def of_spoke(resources: object, spoke_id: int, vm_name: str) -> list[str]:
    """The ids that belong to a spoke, whatever the stand-in's list looks like."""
    listed = resources if isinstance(resources, list) else resources["resources"]  # type: ignore[index]
    pattern = re.compile(rf"(spoke-(vnet|nsg)-{spoke_id}|{re.escape(vm_name)}(-nic|-osdisk)?)$", re.I)
    return [resource["id"] for resource in listed if pattern.search(resource["id"])]


def test_one_post_makes_a_spoke_and_one_delete_removes_it(api: Api) -> None:
    body = request_for(1, "Acme Corp!", vm_name="acme-vm", tags={"team": "blue"})
    created = api.accepted(body)
    assert re.fullmatch(r"deploy-acme-corp-\d{10}-[0-9a-f]{4}", created["deployment_id"])
    assert created["status"] == "in_progress"
    assert {"id", "statusQueryGetUri"} <= created.keys()
    assert created["id"] == created["deployment_id"]

    spoke = api.wait_until(1, "completed")
    assert spoke["vnet"]["address_space"] == "10.11.1.0/24"
    assert spoke["vnet"]["peering_status"] == "Connected"
    assert [subnet["address_prefix"] for subnet in spoke["vnet"]["subnets"]] == [
        "10.11.1.0/26",
        "10.11.1.64/26",
        "10.11.1.128/26",
        "10.11.1.192/26",
    ]
    assert spoke["vm"]["private_ip"] == "10.11.1.4"
    assert spoke["agw"] == {
        "backend_pool_name": "acme-corp-pool",
        "routing_rule_name": "acme-corp-route",
        "host_name": "acme-corp.spokes.example.com",
        "configured": True,
    }
    assert len(of_spoke(api.arm_resources(), 1, body["vm_name"])) == 5

    reached = api.route("acme-corp.spokes.example.com").json()
    assert "10.11.1.4" in str(reached)
    assert "10.11.1.4" not in api.route("somebody-else.example.com").text

    progress = api.progress(1)
    assert [step["step_name"] for step in progress["deployment_steps"]] == STEP_NAMES
    assert {step["status"] for step in progress["deployment_steps"]} == {"completed"}
    assert progress["progress_percentage"] == 100
    durable = httpx.get(created["statusQueryGetUri"]).json()
    assert durable["runtimeStatus"] == "Completed"
    shown = durable["customStatus"]
    assert [step["step_name"] for step in shown["deployment_steps"]] == STEP_NAMES
    assert shown["progress_percentage"] == 100

    deleting = api.delete(1).json()
    again = api.delete(1)
    assert again.status_code == 404 or again.json()["deployment_id"] == deleting["deployment_id"]
    api.wait_until(1, GONE)
    assert of_spoke(api.arm_resources(), 1, body["vm_name"]) == []
    assert "10.11.1.4" not in api.route("acme-corp.spokes.example.com").text
    run = api.deployment(deleting["deployment_id"])
    assert (run["status"], run["progress_percentage"]) == ("deleted", 100)
    assert [step["step_name"] for step in run["rollback_steps"]] == [undo.name for undo in UNDOS]
    kept = api.deployments(1).json()["deployments"]
    assert [entry["status"] for entry in kept] == ["deleted", "completed"]

    # the id, the names and the place are free again
    assert api.deployed(body)["vm"]["private_ip"] == "10.11.1.4"


def test_a_step_that_fails_permanently_takes_everything_back_and_says_why(api: Api) -> None:
    fault = {
        "method": "PUT",
        "path": "/virtualMachines/vm-broke$",
        "mode": "fail_operation",
        "code": "AllocationFailed",
        "message": "Allocation failed. We do not have sufficient capacity for the requested VM size in this region.",
        "times": 1,
    }
    body = request_for(2, "broke")
    with api.arm_faults(fault):
        created = api.accepted(body)
        spoke = api.wait_until(2, "failed")
    assert spoke["error"]["error"] == "AzureResourceException"
    assert spoke["error"]["details"]["code"] == "AllocationFailed"
    assert spoke["error"]["details"]["hint"]
    assert spoke["left_behind"] == []
    progress = api.progress(2)
    steps = {step["step_name"]: step for step in progress["deployment_steps"]}
    assert steps["create_vm"]["status"] == "failed"
    assert "capacity" in steps["create_vm"]["message"]
    assert {step["status"] for step in progress["rollback_steps"]} == {"completed"}
    assert progress["progress_percentage"] < 100
    assert of_spoke(api.arm_resources(), 2, body["vm_name"]) == []
    assert httpx.get(created["statusQueryGetUri"]).json()["runtimeStatus"] == "Failed"

    assert api.retry(2).status_code == 202
    assert api.wait_until(2, "completed")["vm"]["name"] == "vm-broke"


def test_an_unknown_vm_size_fails_the_deployment_with_words_that_help(api: Api) -> None:
    api.accepted(request_for(3, "sized", vm_size="Standard_Nope"))
    error = api.wait_until(3, "failed")["error"]
    assert "Standard_Nope" in error["message"]
    assert error["details"]["findings"]
    assert api.delete(3).status_code == 202
    assert api.spoke(3).status_code == 404


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"vm_name": None}, "vm_name"),
        ({"ssh_public_key": "ssh-rsa broken"}, "ssh_public_key"),
        ({"spoke_id": 0}, "spoke_id"),
        ({"spoke_id": 256}, "spoke_id"),
        ({"spoke_id": "one"}, "spoke_id"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_input_that_can_not_be_is_refused_with_the_field(api: Api, changes: dict[str, object], field: str) -> None:
    body = {name: value for name, value in {**request_for(9, "refused"), **changes}.items() if value is not None}
    answer = api.post_spoke(body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"] == "ValidationException"
    assert answer.json()["details"]["field"] == field


def test_a_second_post_for_an_id_is_the_same_deployment_or_refused_and_an_unknown_id_is_404(api: Api) -> None:
    body = request_for(4, "idem")
    first, second = (api.accepted(body, idempotency_key="k-1") for _ in range(2))
    assert first["deployment_id"] == second["deployment_id"]
    assert api.post_spoke({**body, "vm_size": "Standard_D2s_v5"}, idempotency_key="k-1").status_code == 422
    answer = api.post_spoke(request_for(4, "second"))
    assert (answer.status_code, answer.json()["error"]) == (409, "DeploymentException")
    assert api.delete(200).status_code == 404
    api.wait_until(4, "completed")


def test_keys_and_cloud_init_are_nowhere_once_a_spoke_is_completed(api: Api, stack: Stack) -> None:
    """Neither in the history of Durable Functions nor in a log, an answer or a row; the local Azure has its VM's."""
    key = (
        ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    )
    body = request_for(8, "secretive", cloud_init="#cloud-config\n# hunter2", ssh_public_key=key)
    secrets = ("hunter2", base64.b64encode(body["cloud_init"].encode()).decode(), key.split()[1])
    created = api.accepted(body)
    api.wait_until(8, "completed")
    texts = {path.name: path.read_bytes().decode("latin-1") for path in stack.logs.glob("*") if path.is_file()}
    functions = stack.state / "functions"
    texts |= {path.name: path.read_bytes().decode("latin-1") for path in functions.rglob("*") if path.is_file()}
    answers = (f"/spokes/8{part}" for part in ("", "/progress", "/deployments"))
    texts |= {path: api.http.get(path).text for path in (*answers, f"/deployments/{created['deployment_id']}")}
    with TableServiceClient.from_connection_string(stack.endpoints["tables"]) as tables:
        for table in tables.list_tables():
            texts[table.name] = str(list(tables.get_table_client(table.name).list_entities()))
    assert created["deployment_id"] in texts["Spokes"]
    assert any(created["deployment_id"] in text for name, text in texts.items() if "sqlite" in name)
    found = {name for name, text in texts.items() for secret in secrets if secret in text}
    assert found == set()


def test_a_delete_while_it_is_being_built_cancels_and_takes_it_back(api: Api) -> None:
    body = request_for(6, "hasty")
    api.accepted(body)
    assert api.delete(6).status_code == 202
    spoke = api.wait_until(6, "failed", GONE)
    assert not spoke or spoke["error"]["details"]["code"] == "Cancelled"
    assert of_spoke(api.arm_resources(), 6, body["vm_name"]) == []


@pytest.mark.parametrize(("killed", "spoke_id"), [("functions", 7), pytest.param("worker", 17, marks=pytest.mark.full)])
def test_what_runs_goes_on_when_the_host_or_its_worker_is_killed(
    api: Api, stack: Stack, killed: str, spoke_id: int
) -> None:
    """The run's own orchestration, if the worker was just replaying it, waits for a timer of every minute."""
    api.accepted(request_for(spoke_id, f"resilient-{spoke_id}"))
    stack.restart(killed)
    assert api.wait_until(spoke_id, "completed", seconds=300)["vm"]["private_ip"] == f"10.11.{spoke_id}.4"


def test_only_the_liveness_answers_without_a_key(api: Api, stack: Stack) -> None:
    base = stack.endpoints["api"]
    assert httpx.get(f"{base}/health/live").status_code == 200
    for path in ("/health", "/spokes", "/spokes/1", "/capacity", "/deployments/x"):
        assert httpx.get(f"{base}{path}").status_code == 401
    health = api.http.get("/health")
    assert health.status_code == 200, health.text
