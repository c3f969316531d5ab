"""The VM's step: what it says of the VM that it made."""

import pytest

from activities.vm import create_vm
from shared.arm.client import arm
from shared.settings import Settings
from shared.spoke.plan import our_tags
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
    answer = create_vm(call_of(run, "create_vm"))
    assert answer["outcome"] == "done"
    assert answer["result"]["vm"]["os"] == "Ubuntu 24.04 LTS"
