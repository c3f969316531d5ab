"""Which task hub looks after a run, and how the app learns the name of its own."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from shared.saga.instances import HUB_OF_OLD_RUNS, TaskHub, account_of
from shared.settings import settings_from
from tests.unit.test_checks import ENVIRONMENT

ROOT = Path(__file__).resolve().parents[2]
OWN = TaskHub("Blue", "store")


def looks_after(run_hub: str, own: TaskHub, *retired: TaskHub) -> bool:
    return replace(settings_from(ENVIRONMENT), task_hub=own, task_hubs_retired=retired).looks_after(run_hub)


@pytest.mark.parametrize(
    ("run_hub", "looked_after"),
    [
        ("store/Blue", True),
        ("store/BLUE", True),
        ("Blue", True),
        ("store/Green", False),
        ("other/Blue", False),
        ("", False),
        ("store/HubSpokeV1", False),
    ],
)
def test_a_run_is_looked_after_by_the_task_hub_that_began_it(run_hub: str, looked_after: bool) -> None:
    assert looks_after(run_hub, OWN) is looked_after


@pytest.mark.parametrize("retired", ["Green", "store/green"])
def test_a_retired_task_hub_leaves_its_runs_to_the_others(retired: str) -> None:
    hub = TaskHub.parse(retired)
    assert looks_after("store/Green", OWN, hub)
    assert looks_after("store/Blue", OWN, hub)
    assert not looks_after("store/Red", OWN, hub)


def test_runs_without_a_task_hub_belong_to_the_name_before_the_setting() -> None:
    assert looks_after("", TaskHub("HubSpokeV1", "store"))
    assert looks_after("", OWN, TaskHub.parse(HUB_OF_OLD_RUNS))


@pytest.mark.parametrize(
    ("environment", "account"),
    [
        ({}, ""),
        ({"AzureWebJobsStorage": "UseDevelopmentStorage=true"}, "devstoreaccount1"),
        ({"AzureWebJobsStorage": "DefaultEndpointsProtocol=https;AccountName=Store1;AccountKey=x=="}, "store1"),
        ({"AzureWebJobsStorage__accountName": "store1"}, "store1"),
        ({"AzureWebJobsStorage__queueServiceUri": "https://store1.queue.core.windows.net"}, "store1"),
    ],
)
def test_the_storage_account_is_that_of_the_functions_host(environment: dict[str, str], account: str) -> None:
    assert account_of(environment) == account


def test_host_json_takes_the_name_from_the_setting() -> None:
    host = json.loads((ROOT / "host.json").read_text(encoding="utf-8"))
    assert host["extensions"]["durableTask"]["hubName"] == "%TASK_HUB%"
