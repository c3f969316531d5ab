"""The VM's step: what it says of the VM that it made."""

import asyncio
from typing import Any

import pytest

from activities.steps.nic import create_nic
from activities.steps.nsg import create_nsg
from activities.steps.vm import VM, create_vm, note_duration, quickest_of_last
from activities.steps.vnet import create_subnets, create_vnet
from local.azure.resources.virtual_machine import VirtualMachine
from shared.arm.client import arm
from shared.settings import Settings
from shared.spoke.plan import our_tags
from shared.spoke.records import durations_key
from shared.tables.client import Partition
from tests.activities.azure_stand_in import LocalAzure, a_plan, a_run, call_of, recorded
from tests.app import forget_app


def test_the_operating_system_is_that_of_the_image_in_the_settings(
    settings: Settings, azure: LocalAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VM_IMAGE", "Canonical:ubuntu-24_04-lts:server:latest")
    forget_app()
    run = recorded(a_run(a_plan(1)))
    vm_id = arm().ids.of(run.plan).vm(run.plan.vm_name)
    azure.plant({"id": vm_id, "location": "eastus", "tags": our_tags(run.plan), "properties": {}})
    answer = asyncio.run(create_vm(call_of(run, "create_vm")))
    assert answer["outcome"] == "done"
    assert answer["result"]["vm"]["os"] == "Ubuntu 24.04 LTS"


BEFORE_THE_VM = (
    ("create_nsg", create_nsg),
    ("create_vnet", create_vnet),
    ("create_subnets", create_subnets),
    ("create_nic", create_nic),
)


def begun_and_ended(azure: LocalAzure, number: int) -> dict[str, Any]:
    """The first answer of `create_vm` for a new spoke, whose VM is there afterwards."""
    run = recorded(a_run(a_plan(number)))
    for name, step in BEFORE_THE_VM:
        while asyncio.run(step(call_of(run, name)))["outcome"] != "done":
            azure.advance(10)
    begun = asyncio.run(create_vm(call_of(run, "create_vm")))
    assert begun["outcome"] == "pending"
    azure.advance(VirtualMachine.put_seconds)
    assert asyncio.run(create_vm(call_of(run, "create_vm") | {"operation": begun["operation"]}))["outcome"] == "done"
    return begun


def test_a_vm_is_first_asked_after_when_it_can_be_there_by_the_last_ones(settings: Settings, azure: LocalAzure) -> None:
    first = begun_and_ended(azure, 1)
    assert "wait_in_full" not in first, "none is known: as Azure asks"
    assert quickest_of_last() == VirtualMachine.put_seconds
    note_duration(4 * VirtualMachine.put_seconds)
    second = begun_and_ended(azure, 2)
    assert (second["wait"], second["wait_in_full"]) == (VirtualMachine.put_seconds, True)


def test_a_row_of_durations_that_was_written_by_hand_is_as_good_as_none(settings: Settings, tables: str) -> None:
    rows = Partition(settings.hub_key)
    for seconds in ("soon", "[NaN, -3, 0, Infinity]"):
        rows.write(("upsert", {"PartitionKey": rows.key, "RowKey": durations_key(VM), "seconds": seconds}))
        assert quickest_of_last() is None
    note_duration(30.0)
    assert quickest_of_last() == 30.0


def test_the_last_durations_are_kept_and_no_more(settings: Settings, tables: str) -> None:
    for seconds in (10.0, 20.0, 26.0, 32.0, 40.0, 50.0, 60.0, 80.0, 100.0):
        note_duration(seconds)
    assert quickest_of_last() == 20.0
