"""The sweeper with a real Durable engine and real tables: a terminated run is stopped, waited for, and handed over."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import httpx
import pytest

from local.processes import running
from local.recipes import app_settings, functions_recipe
from shared.clock import timestamp, utc_now
from shared.recovery.runs.dead_runs import NOTE
from shared.recovery.runs.liveness import MISSING_FOR
from shared.saga.policy import Policy
from shared.settings import Settings
from shared.spoke.records import RunRow, StepRow
from shared.tables.records import Records
from tests.activities.azure_stand_in import a_plan, a_run, recorded

LAST_CALLS = timedelta(seconds=Policy().last_call_seconds)
# Stories that stand still until somebody ends them, and a call that lets the sweeper tick at a chosen moment.
APP = """
import json

import azure.durable_functions as df
import azure.functions as func

from shared.timestamps import parse_timestamp
from shared.recovery.runs.dead_runs import sweep

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.orchestration_trigger(context_name="context")
def deploy_spoke(context):
    given = context.get_input()
    ids = [f"{given['deployment_id']}:{name}" for name in given["children"]]
    yield context.task_all([context.call_sub_orchestrator("run_step", None, instance_id=one) for one in ids])


@app.orchestration_trigger(context_name="context")
def delete_spoke(context):
    return context.get_input()


@app.orchestration_trigger(context_name="context")
def run_step(context):
    yield context.wait_for_external_event("never")


@app.route(route="start", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client) -> func.HttpResponse:
    given = req.get_json()
    instance = await client.start_new("deploy_spoke", instance_id=given["deployment_id"], client_input=given)
    return client.create_check_status_response(req, instance)


@app.route(route="sweep", methods=["POST"])
@app.durable_client_input(client_name="client")
async def tick(req: func.HttpRequest, client) -> func.HttpResponse:
    moves = await sweep(client, parse_timestamp(req.params["now"]))
    return func.HttpResponse(json.dumps({run: type(move).__name__ for run, move in moves.items()}))


@app.route(route="status", methods=["GET"])
@app.durable_client_input(client_name="client")
async def status(req: func.HttpRequest, client) -> func.HttpResponse:
    found = await client.get_status(req.params["instance"])
    runtime_status = found.runtime_status
    return func.HttpResponse(json.dumps(runtime_status.name if runtime_status else None))
"""


@dataclass(frozen=True)
class Durable:
    """The host's HTTP side."""

    client: httpx.Client

    def start(self, run: RunRow, *children: str) -> dict[str, str]:
        """A story of the run whose children all run; answers its management URLs."""
        answer = self.client.post("/api/start", json={"deployment_id": run.deployment_id, "children": children})
        assert answer.status_code == 202, answer.text
        for child in children:
            self.wait_for(f"{run.deployment_id}:{child}", "Running")
        urls: dict[str, str] = answer.json()
        return urls

    def terminate(self, run: RunRow, urls: dict[str, str]) -> None:
        answer = self.client.post(urls["terminatePostUri"].replace("{text}", "by-hand"))
        assert answer.status_code == 202, answer.text
        self.wait_for(run.deployment_id, "Terminated")

    def wait_for(self, instance: str, status: str) -> None:
        until = utc_now() + timedelta(seconds=20)
        while (seen := self.status(instance)) != status:
            assert utc_now() < until, f"{instance} is {seen}, not {status}"

    def status(self, instance: str) -> str | None:
        found: str | None = json.loads(self.client.get("/api/status", params={"instance": instance}).text)
        return found

    def sweep(self, now: datetime) -> dict[str, str]:
        answer = self.client.post("/api/sweep", params={"now": timestamp(now)})
        assert answer.status_code == 200, answer.text
        moves: dict[str, str] = json.loads(answer.text)
        return moves

    def sweep_until(self, run: RunRow, move: str, now: datetime) -> None:
        """Ticks at one moment until the sweeper makes this move: Durable terminates in the background."""
        until = utc_now() + timedelta(seconds=20)
        while (made := self.sweep(now).get(run.deployment_id)) != move:
            assert made in (None, "Stop"), made
            assert utc_now() < until


@pytest.fixture(scope="module")
def host(
    azure_process: dict[str, str], azurite_process: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Durable]:
    """One for all tests: each has spokes of its own."""
    state = tmp_path_factory.mktemp("dead-runs")
    root = state / "app"
    root.mkdir()
    (root / "function_app.py").write_text(APP)
    (root / "host.json").write_text('{"version": "2.0"}')
    recipe = functions_recipe(state / "state", 0, root, app_settings(azure_process, azurite_process, 0.02))
    with running(recipe, state / "logs") as process:
        assert process.announced is not None
        with httpx.Client(
            base_url=process.announced["api"].removesuffix("/api"), trust_env=False, timeout=30
        ) as client:
            yield Durable(client)


@pytest.fixture
def durable(host: Durable, settings: Settings) -> Durable:
    """Its tables are empty."""
    return host


def a_step(run: RunRow, number: int, name: str, status: str) -> None:
    row = StepRow(run.deployment_id, number, name, status, 1, "", run.created_at, run.created_at)
    Records().write_step(row, over=Records().step(run.deployment_id, number))


def run_now(run: RunRow) -> RunRow:
    found = Records().run(run.deployment_id)
    assert found is not None
    return found


def test_a_terminated_deployment_is_stopped_waited_for_and_handed_over(durable: Durable) -> None:
    run, now = recorded(a_run(a_plan(1))), utc_now()
    a_step(run, 2, "create_vnet", "completed")
    a_step(run, 7, "create_vm", "in_progress")
    urls = durable.start(run, "create_vm", "update_agw")
    assert durable.sweep(now) == {}

    durable.terminate(run, urls)
    assert durable.status(f"{run.deployment_id}:create_vm") == "Running"

    # Marked, and its children stopped, in one tick.
    assert durable.sweep(now) == {run.deployment_id: "Mark"}
    marked = run_now(run)
    assert marked.status == "rolling_back"
    assert marked.note == NOTE
    durable.wait_for(f"{run.deployment_id}:create_vm", "Terminated")
    durable.wait_for(f"{run.deployment_id}:update_agw", "Terminated")

    # A call that began before the mark may still be under way.
    durable.sweep_until(run, "Wait", now + LAST_CALLS / 2)
    assert [spoke.deployment_id for spoke in Records().spokes()] == [run.deployment_id]

    # Another run takes over.
    assert durable.sweep(now + LAST_CALLS) == {run.deployment_id: "HandOver"}
    spoke = Records().spoke(1)
    assert spoke is not None
    assert spoke.deployment_id.startswith("rollback-")
    durable.wait_for(spoke.deployment_id, "Completed")
    successor = Records().run(spoke.deployment_id)
    assert successor is not None
    assert (successor.kind, successor.status) == ("rollback", "accepted")
    assert run.deployment_id in str(successor.note)
    assert successor.plan.made_by == run.plan.made_by

    # When that one has ended, so does the dead one.
    Records().change_together(successor, spoke, run_changes={"status": "failed"}, spoke_changes={"status": "failed"})
    assert durable.sweep(now + LAST_CALLS) == {run.deployment_id: "Close"}
    ended = run_now(run)
    assert (ended.status, ended.left_behind, ended.note) == ("failed", [], NOTE)
    steps = {step.step_name: step.status for step in Records().steps(run.deployment_id)}
    assert steps == {"create_vnet": "completed", "create_vm": "cancelled"}
    spoke = Records().spoke(1)
    assert spoke is not None
    assert "terminated" in (spoke.error or {})["message"]
    assert durable.sweep(now + LAST_CALLS) == {}


def test_a_purged_run_is_found_and_a_fresh_one_is_left_alone(durable: Durable) -> None:
    purged = recorded(a_run(a_plan(2)))
    recorded(a_run(a_plan(3), status="accepted"))
    now = utc_now()
    assert durable.sweep(now) == {purged.deployment_id: "Missing"}
    assert durable.sweep(now + MISSING_FOR / 2) == {}
    assert durable.sweep(now + MISSING_FOR) == {purged.deployment_id: "Mark"}


def test_a_dead_delete_is_begun_again(durable: Durable) -> None:
    now = utc_now()
    run = recorded(
        a_run(a_plan(4), kind="delete", status="deleting", deployment_id="delete-client-4-1-aaaa", force=True)
    )
    assert durable.sweep(now - MISSING_FOR) == {run.deployment_id: "Missing"}
    assert durable.sweep(now) == {run.deployment_id: "Mark"}
    assert run_now(run).status == "deleting"
    assert durable.sweep(now + LAST_CALLS) == {run.deployment_id: "HandOver"}
    spoke = Records().spoke(4)
    assert spoke is not None
    successor = Records().run(spoke.deployment_id)
    assert successor is not None
    assert (successor.kind, successor.force) == ("delete", True)


def test_a_hand_over_that_was_cut_off_is_not_made_twice(durable: Durable) -> None:
    now = utc_now()
    run = recorded(a_run(a_plan(5)))
    durable.sweep(now - MISSING_FOR)
    durable.sweep(now)
    assert durable.sweep(now + LAST_CALLS) == {run.deployment_id: "HandOver"}
    for _ in range(3):
        moves = durable.sweep(now + LAST_CALLS)
        assert "HandOver" not in moves.values()
    assert len([row for row in Records().runs_of(5) if row.kind == "rollback"]) == 1
