"""What a step's row says when the table itself has a bad moment: never less than what is done."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from activities.decorators import Kind, activity
from activities.runs import begin_rollback, save_to_storage
from local.processes import running
from local.recipes import tables_connection_string, tables_proxy_recipe
from shared.clock import utc_now
from shared.data import as_data
from shared.errors import AzureResourceException, Failure, StorageException
from shared.saga.outcomes import Call, Done, Failed, Outcome
from shared.saga.policy import Policy
from shared.saga.progress import progress_of
from shared.saga.step_run import StepRun, Wait, next_move
from shared.saga.steps import STEP_NUMBERS
from shared.settings import Settings
from shared.spoke.records import RunRow
from shared.tables.records import Records
from tests.activities.azure_stand_in import a_plan, a_run, call_of, recorded
from tests.app import forget_app


@pytest.fixture(scope="module")
def proxy(azurite_process: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A proxy before the tables."""
    target = dict(part.split("=", 1) for part in azurite_process.split(";") if part)["TableEndpoint"]
    target = target.rsplit("/", 1)[0]
    with running(tables_proxy_recipe(0, target), tmp_path_factory.mktemp("proxy")) as process:
        assert process.announced is not None
        with httpx.Client(base_url=process.announced["tables"], trust_env=False) as client:
            yield client


@pytest.fixture
def faults(proxy: httpx.Client, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """The tables through a proxy, and where its faults are asked for."""
    monkeypatch.setenv("TABLES_CONNECTION_STRING", tables_connection_string(str(proxy.base_url).rstrip("/")))
    forget_app()
    yield proxy
    proxy.delete("/_local/faults").raise_for_status()
    forget_app()


@pytest.mark.parametrize("mode", ["drop_after", "timeout_after"])
def test_a_step_that_is_done_stays_done_when_the_reply_to_its_transaction_is_lost(
    faults: httpx.Client, mode: str
) -> None:
    run = recorded(a_run(a_plan()))
    # As often as the SDK itself tries.
    faults.post("/_local/faults", json={"mode": mode, "path": "batch", "times": 3}).raise_for_status()
    first = asyncio.run(save_to_storage(call_of(run, "save_to_storage")))
    assert first["outcome"] == "failed", first
    faults.delete("/_local/faults").raise_for_status()

    found = Records().run(run.deployment_id)
    assert found is not None
    progress = as_data(progress_of(found, Records().steps(run.deployment_id)))
    assert progress["status"] == "completed"
    assert progress["deployment_steps"][-1]["status"] == "completed", progress["deployment_steps"][-1]

    assert asyncio.run(save_to_storage(call_of(run, "save_to_storage")))["outcome"] == "done"


def test_an_attempt_says_why_it_is_needed_although_the_one_before_could_not(settings: Settings, tables: str) -> None:
    """What fails because the table doesn't answer can't say so in its row: the next attempt does."""
    run, number = recorded(a_run(a_plan())), STEP_NUMBERS["create_vnet"]
    failed = Failed(Failure(StorageException, "NoAnswer", "Not before noon.", transient=True))
    first = StepRun(Call(run.deployment_id, run.spoke_id, "create_vnet", number), Policy(), deadline_seconds=60).begun(
        utc_now()
    )
    move = next_move(first, failed, utc_now())
    assert isinstance(move, Wait)
    seen = []

    @activity(Kind.RECORD)
    def create_vnet(call: Call, run: RunRow) -> Outcome:
        seen.append(Records().step(run.deployment_id, number))
        return Done("made")

    asyncio.run(create_vnet(as_data(move.then.call)))
    assert [(row.attempts, row.message) for row in seen if row] == [(2, "Not before noon.")]


@pytest.mark.parametrize("mode", ["drop_before", "drop_after"])
def test_a_step_that_has_failed_is_not_tried_again_because_its_row_could_not_be_written(
    faults: httpx.Client, mode: str
) -> None:
    """Its row may say so already, and a failed step never becomes one that is in progress."""
    run, number = recorded(a_run(a_plan())), STEP_NUMBERS["create_vnet"]

    @activity(Kind.RECORD)
    def create_vnet(call: Call, run: RunRow) -> Outcome:
        raise AzureResourceException("Not here.", code="ScopeLocked")

    faults.post("/_local/faults", json={"mode": mode, "body": "Not here", "times": 3}).raise_for_status()
    answer = asyncio.run(create_vnet(call_of(run, "create_vnet") | {"number": number}))
    assert answer["failure"]["code"] == "ScopeLocked"
    faults.delete("/_local/faults").raise_for_status()

    told = {"create_vnet": {"status": "failed", "message": "Not here.", "attempts": 1}}
    asyncio.run(begin_rollback(call_of(run, "begin_rollback", error={"message": "Not here."}, noted=[], told=told)))
    row = Records().step(run.deployment_id, number)
    assert row is not None
    assert (row.status, row.message, row.attempts) == ("failed", "Not here.", 1)
