"""Tables of desired state that were emptied: what Azure holds of completed spokes is known again, and goes with them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from shared.arm.client import arm
from shared.recovery.lost_rows import remake_lost_rows
from shared.saga.outcomes import Done
from shared.spoke.records import GATEWAY_SITES_TABLE, HUB_TURNS_TABLE, RunRow
from shared.tables.client import table
from shared.writers.gateway.document import element_named
from tests.activities.azure_stand_in import LocalAzure, recorded
from tests.activities.test_orphans import a_vnet
from tests.activities.writers import WriterHarness

IP = "10.11.1.4"


@pytest.fixture
def run(harness: WriterHarness) -> RunRow:
    """A completed spoke with its site and its peering, whose rows are lost."""
    run = harness.run(1)
    a_vnet(run.plan)
    harness.pass_time(10)
    harness.step(run, "update_agw", private_ip=IP)
    harness.step(run, "create_peering")
    harness.write_gateway()
    harness.write_hub()
    assert isinstance(harness.step(run, "update_agw", private_ip=IP), Done)
    assert isinstance(harness.step(run, "create_peering"), Done)
    result = {"private_ip": IP, "peering_status": "Connected"}
    for name in (GATEWAY_SITES_TABLE, HUB_TURNS_TABLE):
        client = table(name).client
        for row in list(client.list_entities()):
            client.delete_entity(row["PartitionKey"], row["RowKey"])
    return recorded(replace(run, status="completed", result=result), result=result)


def elements(azure: LocalAzure) -> list[Any]:
    gateway = arm().get(arm().ids.gateway) or {}
    return [
        element_named(gateway, "httpListeners", "client-1-listener"),
        element_named(gateway, "probes", "client-1-probe"),
    ]


def hub_side() -> Any:
    return arm().get(arm().ids.hub_peering("hub-to-spoke-1"))


def test_lost_rows_are_made_anew_and_change_nothing_in_azure(
    harness: WriterHarness, azure: LocalAzure, run: RunRow
) -> None:
    writes = len(azure.requests("PUT"))
    assert remake_lost_rows() == ["site:client-1", "turn:1"]
    harness.write_gateway()
    harness.write_hub()
    site, turn = harness.site(1), harness.turn(1)
    assert site is not None
    assert turn is not None
    assert (site.is_applied, site.owned, turn.is_applied) == (True, True, True)
    assert len(azure.requests("PUT")) == writes
    assert remake_lost_rows() == []


def test_a_delete_removes_a_site_and_a_peering_whose_rows_are_lost(
    harness: WriterHarness, azure: LocalAzure, run: RunRow
) -> None:
    removal = recorded(replace(run, kind="delete", status="deleting", deployment_id="delete-client-1-1-aaaa"))
    for name, write in (("remove_from_agw", harness.write_gateway), ("delete_peering", harness.write_hub)):
        assert not isinstance(harness.step(removal, name), Done)
        write()
        assert isinstance(harness.step(removal, name), Done)
    assert elements(azure) == [None, None]
    assert hub_side() is None


def moved(pool: dict[str, Any], listener: dict[str, Any]) -> None:
    pool["backendAddresses"] = [{"ipAddress": "10.11.9.9"}]


def renamed(pool: dict[str, Any], listener: dict[str, Any]) -> None:
    listener["hostName"] = "somebody.example.com"


@pytest.mark.parametrize("change", [moved, renamed])
def test_what_others_have_under_the_same_names_is_not_claimed(
    harness: WriterHarness, azure: LocalAzure, run: RunRow, change: Callable[..., None]
) -> None:
    gateway = arm().get(arm().ids.gateway) or {}
    parts = [
        (element_named(gateway, collection, name) or {})["properties"]
        for collection, name in (("backendAddressPools", "client-1-pool"), ("httpListeners", "client-1-listener"))
    ]
    change(*parts)
    azure.plant(gateway)
    hub = hub_side()
    hub["properties"]["remoteVirtualNetwork"]["id"] += "-of-another"
    azure.plant(hub)
    assert remake_lost_rows() == []
    removal = recorded(replace(run, kind="delete", status="deleting", deployment_id="delete-client-1-1-aaaa"))
    assert isinstance(harness.step(removal, "remove_from_agw"), Done)
    assert isinstance(harness.step(removal, "delete_peering"), Done)
    assert None not in [*elements(azure), hub_side()]
