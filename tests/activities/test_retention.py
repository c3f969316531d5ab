"""Forgetting ended runs, with a real Durable engine and real tables."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from local.processes import running
from local.recipes import app_settings, functions_recipe
from shared.clock import timestamp
from shared.data import as_data
from shared.settings import Settings, current_settings
from shared.spoke.records import SPOKES_TABLE, RunRow, StepRow
from shared.tables.client import table
from shared.tables.codec import json_columns
from shared.tables.records import Records
from tests.activities.azure_stand_in import a_plan, a_run, recorded

# Orchestrations that end at once or never, and a call that lets the timer tick.
APP = """
import json

import azure.durable_functions as df
import azure.functions as func

from shared.recovery.runs.retention import forget_ended_runs

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.orchestration_trigger(context_name="context")
def run_step(context):
    if context.get_input() == "waits":
        yield context.wait_for_external_event("never")
    return context.get_input()


@app.route(route="start", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client) -> func.HttpResponse:
    await client.start_new("run_step", instance_id=req.params["id"], client_input=req.params["input"])
    return await client.wait_for_completion_or_create_check_status_response(req, req.params["id"], 2000)


@app.route(route="forget", methods=["POST"])
@app.durable_client_input(client_name="client")
async def forget(req: func.HttpRequest, client) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(await forget_ended_runs(client)))


@app.route(route="instances", methods=["GET"])
@app.durable_client_input(client_name="client")
async def instances(req: func.HttpRequest, client) -> func.HttpResponse:
    found = await client.get_status_all()
    return func.HttpResponse(json.dumps({each.instance_id: each.runtime_status.name for each in found}))
"""


@pytest.fixture(scope="module")
def one_host(
    azure_process: dict[str, str], azurite_process: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """For all tests: each has runs of its own."""
    state = tmp_path_factory.mktemp("retention")
    root = state / "app"
    root.mkdir()
    (root / "function_app.py").write_text(APP)
    (root / "host.json").write_text('{"version": "2.0"}')
    recipe = functions_recipe(state / "state", 0, root, app_settings(azure_process, azurite_process, 0.02))
    with running(recipe, state / "logs") as process:
        assert process.announced is not None
        with httpx.Client(base_url=process.announced["api"], trust_env=False, timeout=30) as client:
            yield client


@pytest.fixture
def host(one_host: httpx.Client, settings: Settings) -> httpx.Client:
    """Its tables are empty."""
    return one_host


def instances(host: httpx.Client, run: RunRow) -> dict[str, str]:
    """Those of a run, of its children, and of whose ids begin like its own."""
    return {name: state for name, state in host.get("/instances").json().items() if name.startswith(run.deployment_id)}


def an_old_run(spoke_id: int, steps: tuple[str, ...], host: httpx.Client, state: str = "ends") -> RunRow:
    """A run that ended long ago, as an older version left it: its secrets are in the row; its spoke is gone."""
    ended = {"completed_at": "2026-01-02T00:00:00.000Z", "task_hub": current_settings().task_hub.name}
    run = recorded(a_run(a_plan(spoke_id, cloud_init="hunter2"), **ended))
    client, hub = table(SPOKES_TABLE).client, Records().hub_key
    client.delete_entity(hub, f"spoke:{spoke_id}")
    client.update_entity({"PartitionKey": hub, "RowKey": f"run:{run.deployment_id}", "status": "deleted"})
    for number, name in enumerate(steps, start=1):
        row = StepRow(run.deployment_id, number, name, "completed", 1, "", run.created_at, run.created_at)
        Records().write_step(row, over=None)
        host.post("/start", params={"id": f"{run.deployment_id}:{name}", "input": state})
    host.post("/start", params={"id": run.deployment_id, "input": "ends"})
    return run


def rows(run: RunRow) -> list[str]:
    found = table(SPOKES_TABLE).client.query_entities("deployment_id eq @run", parameters={"run": run.deployment_id})
    return [row["RowKey"] for row in found]


def test_an_old_run_goes_with_its_steps_its_history_and_those_of_its_children(host: httpx.Client) -> None:
    old = an_old_run(1, ("create_vnet", "create_vnet:2"), host)
    neighbour = f"{old.deployment_id}0"
    host.post("/start", params={"id": neighbour, "input": "ends"})
    lately = recorded(a_run(a_plan(2), status="completed", completed_at=timestamp()))
    others = recorded(a_run(a_plan(4), status="failed", completed_at="2026-01-02T00:00:00.000Z", task_hub="AnotherApp"))
    table(SPOKES_TABLE).client.delete_entity(Records().hub_key, "spoke:4")
    living = recorded(a_run(a_plan(3), status="completed", completed_at="2026-01-02T00:00:00.000Z"))
    assert len(instances(host, old)) == 4
    assert host.post("/forget").json() == [old.deployment_id]
    assert rows(old) == []
    assert list(instances(host, old)) == [neighbour]
    assert rows(lately)
    assert rows(living)
    assert rows(others)
    assert host.post("/forget").json() == []


def test_a_child_that_still_runs_is_ended_first_and_the_run_goes_at_a_later_tick(host: httpx.Client) -> None:
    old = an_old_run(5, ("create_vm",), host, "waits")
    child = f"{old.deployment_id}:create_vm"
    assert instances(host, old)[child] == "Running"
    assert host.post("/forget").json() == []
    assert rows(old)
    for _ in range(200):
        if instances(host, old).get(child) != "Running":
            break
    assert host.post("/forget").json() == [old.deployment_id]
    assert (rows(old), instances(host, old)) == ([], {})


def test_idle_secrets_leave_rows_of_older_versions(host: httpx.Client) -> None:
    run = recorded(
        a_run(a_plan(1), status="completed", completed_at=timestamp()), request={"ssh_public_key": "x", "vm_size": "y"}
    )
    client, hub = table(SPOKES_TABLE).client, Records().hub_key
    plan: dict[str, Any] = json_columns("plan", as_data(a_plan(1, cloud_init="hunter2")))
    request = json_columns("request", {"ssh_public_key": "ssh-rsa hunter2", "cloud_init": "hunter2", "vm_size": "y"})
    for key, columns in ((f"run:{run.deployment_id}", plan), ("spoke:1", plan | request)):
        client.update_entity({"PartitionKey": hub, "RowKey": key, **columns})
    assert "hunter2" in str(list(client.list_entities()))
    assert host.post("/forget").json() == []
    kept = str(list(client.list_entities()))
    assert "hunter2" not in kept
    assert "ssh-ed25519" not in kept
    spoke = Records().spoke(1)
    assert spoke is not None
    assert spoke.request == {"vm_size": "y"}
    assert json.loads(client.get_entity(hub, "spoke:1")["plan"])["vm_size"] == "Standard_B2s"
