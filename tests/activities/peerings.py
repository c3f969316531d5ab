"""Spokes whose peerings with the hub are asked for, and what there is of them."""

from typing import Any

from shared.arm.client import arm
from shared.saga.outcomes import Pending
from shared.spoke.plan import our_tags
from shared.spoke.records import RunRow
from tests.activities.azure_stand_in import a_plan
from tests.activities.writers import WriterHarness

PEERING = "/virtualNetworkPeerings/"


def hub_side(harness: WriterHarness, number: int) -> str:
    return f"{arm().ids.hub_vnet}/virtualNetworkPeerings/hub-to-spoke-{number}"


def spoke_side(harness: WriterHarness, number: int) -> str:
    return f"{arm().ids.vnet(f'spoke-vnet-{number}')}/virtualNetworkPeerings/spoke-{number}-to-hub"


def a_vnet(harness: WriterHarness, number: int, prefix: str | None = None) -> None:
    body = {
        "location": "eastus",
        "tags": our_tags(a_plan(number)),
        "properties": {"addressSpace": {"addressPrefixes": [prefix or f"10.11.{number}.0/24"]}},
    }
    arm().put(arm().ids.vnet(f"spoke-vnet-{number}"), body)


def ready(harness: WriterHarness, *numbers: int) -> list[RunRow]:
    """Spokes with their VNets, that ask to be peered."""
    runs = [harness.run(number) for number in numbers]
    for number in numbers:
        a_vnet(harness, number)
    harness.pass_time(10)
    for run in runs:
        assert isinstance(harness.step(run, "create_peering"), Pending)
    harness.azure.forget_requests()
    return runs


def states(harness: WriterHarness, number: int) -> tuple[str | None, str | None]:
    def state(resource_id: str) -> str | None:
        found = arm().get(resource_id)
        return found["properties"]["peeringState"] if found else None

    return state(hub_side(harness, number)), state(spoke_side(harness, number))


def writes(harness: WriterHarness) -> list[dict[str, Any]]:
    return [
        each for each in harness.azure.requests() if each["method"] in ("PUT", "DELETE") and PEERING in each["path"]
    ]
