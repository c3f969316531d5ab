"""The hub's peerings: what each side needs, and how long a step may wait for its row."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import AzureResourceException, Failure
from shared.tables.codec import as_entity, from_entity
from shared.writers.peering.documents import HubGateway, gateway_ids, hub_gateway, peering_status
from shared.writers.peering.peering_rows import HubWriter, PeeringRow
from shared.writers.peering.tasks import (
    DELETE,
    PUT,
    PeeringTask,
    hub_action,
    hub_side_document,
    plan_pass,
    spoke_action,
    spoke_side_document,
    task_of,
)

HUB = "/subscriptions/s/resourceGroups/hub-rg/providers/Microsoft.Network/virtualNetworks/hub-vnet"
MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)


def vnet_id(number: int) -> str:
    return f"/subscriptions/s/resourceGroups/hub-rg/providers/Microsoft.Network/virtualNetworks/spoke-vnet-{number}"


def row(number: int, **changes: Any) -> PeeringRow:
    made = PeeringRow(
        number,
        f"deploy-{number}",
        f"deploy-{number}",
        vnet_id(number),
        f"hub-to-spoke-{number}",
        f"spoke-{number}-to-hub",
        present=True,
        forwarded=False,
        desired_version=1,
        since=f"2026-01-01T00:00:{number:02d}.000Z",
    )
    return replace(made, **changes)


def side(task: PeeringTask, state: str = "Initiated", *, hub: bool = True, **changes: Any) -> dict[str, Any]:
    document = hub_side_document(task) if hub else spoke_side_document(task)
    properties = {**document["properties"], "peeringState": state, "provisioningState": "Succeeded", **changes}
    return {"name": task.hub_peering if hub else task.spoke_peering, "properties": properties}


def hub(*sides: dict[str, Any], gateway: bool = False) -> dict[str, Any]:
    subnets = [{"name": "GatewaySubnet", "properties": {"ipConfigurations": [{"id": "x"}] if gateway else []}}]
    return {"id": HUB, "name": "hub-vnet", "properties": {"virtualNetworkPeerings": list(sides), "subnets": subnets}}


def pass_over(vnet: dict[str, Any], *rows: PeeringRow, **more: Any) -> Any:
    return plan_pass(vnet, rows, **{"batch": 25, "in_flight": set(), "recreate": set(), "now": MIDNIGHT, **more})


def keys(tasks: list[PeeringTask]) -> list[str]:
    return [task.key for task in tasks]


@given(st.lists(st.integers(1, 60), unique=True), st.integers(1, 25))
def test_turns_are_taken_in_order_of_arrival_and_no_more_than_a_batch(numbers: list[int], batch: int) -> None:
    rows = [row(number, since=f"2026-01-01T00:00:{number:02d}") for number in numbers]
    decided = pass_over(hub(), *rows, batch=batch)
    assert keys(decided.hub_sides) == [f"turn:{number}" for number in sorted(numbers)][:batch]
    assert decided.left == len(numbers)


def test_each_state_of_the_hubs_side_has_its_next_call() -> None:
    task = task_of(row(1), HUB, False)
    gone = replace(task, present=False)
    elsewhere = side(task, remoteVirtualNetwork={"id": vnet_id(9)})
    assert hub_action(task, None) == PUT
    assert hub_action(task, side(task)) is None
    assert hub_action(task, side(task, "Connected")) is None
    assert hub_action(task, side(task, "Disconnected")) == PUT
    assert hub_action(task, side(task, provisioningState="Failed")) == PUT
    assert hub_action(task, side(task, allowForwardedTraffic=True)) == PUT
    assert hub_action(gone, None) is None
    assert hub_action(gone, side(task, "Connected")) == DELETE
    assert hub_action(gone, elsewhere) is None


def test_each_state_of_the_spokes_side_has_its_next_call() -> None:
    task = task_of(row(1), HUB, False)
    gone = replace(task, present=False)
    assert spoke_action(task, None) == PUT
    assert spoke_action(task, side(task, "Initiated", hub=False)) == PUT
    assert spoke_action(task, side(task, "Connected", hub=False)) is None
    assert spoke_action(task, side(task, "Disconnected", hub=False)) == DELETE
    assert spoke_action(gone, None) is None
    assert spoke_action(gone, side(task, "Disconnected", hub=False)) == DELETE
    assert spoke_action(gone, side(task, hub=False, remoteVirtualNetwork={"id": vnet_id(9)})) is None


def test_ids_are_compared_without_letter_case() -> None:
    task = task_of(row(1), HUB, False)
    assert hub_action(task, side(task, remoteVirtualNetwork={"id": vnet_id(1).upper()})) is None


def test_a_peering_of_our_name_that_leads_elsewhere_fails_its_row_alone() -> None:
    task = task_of(row(1), HUB, False)
    decided = pass_over(hub(side(task, remoteVirtualNetwork={"id": vnet_id(9)})), row(1), row(2))
    assert [(each.spoke_id, each.error.code) for each in decided.marks.values()] == [(1, "NameTaken")]
    assert keys(decided.hub_sides) == ["turn:2"]


def test_what_was_done_and_is_gone_or_disconnected_is_made_anew() -> None:
    rows = [row(number).applied() for number in (1, 2, 3)]
    tasks = [task_of(each, HUB, False) for each in rows]
    decided = pass_over(hub(side(tasks[0], "Connected"), side(tasks[1], "Disconnected")), *rows)
    assert decided.repaired == {"turn:2": "Disconnected", "turn:3": "Missing"}
    assert [(mark.peering_status, mark.repairing) for mark in decided.marks.values()] == [
        ("Disconnected", True),
        ("Missing", True),
    ]
    assert keys(decided.hub_sides) == ["turn:2", "turn:3"]
    assert pass_over(hub(side(tasks[0], "Connected")), rows[0]).left == 0


def test_what_is_under_way_is_left_alone_and_a_disconnected_spoke_side_goes_first() -> None:
    decided = pass_over(hub(), row(1), row(2), row(3), in_flight={"turn:1"}, recreate={"turn:2"})
    assert keys(decided.spoke_sides) == ["turn:2"]
    assert keys(decided.hub_sides) == ["turn:3"]
    assert decided.left == 3


def test_the_hubs_gateway_is_lent_and_borrowed_only_when_there_is_one() -> None:
    assert hub_gateway(hub()).state == "none"
    assert hub_gateway(hub(gateway=True)).state == "ready"
    [with_one] = pass_over(hub(gateway=True), row(1, forwarded=True)).hub_sides
    [without] = pass_over(hub(), row(1)).hub_sides
    assert hub_side_document(with_one)["properties"]["allowGatewayTransit"] is True
    assert spoke_side_document(with_one)["properties"]["useRemoteGateways"] is True
    assert spoke_side_document(with_one)["properties"]["allowForwardedTraffic"] is True
    for document in (hub_side_document(without), spoke_side_document(without)):
        flags = {name: value for name, value in document["properties"].items() if isinstance(value, bool)}
        assert flags == {
            "allowVirtualNetworkAccess": True,
            "allowForwardedTraffic": False,
            "allowGatewayTransit": False,
            "useRemoteGateways": False,
        }


VPN = "/subscriptions/s/resourceGroups/hub-rg/providers/Microsoft.Network/virtualNetworkGateways/vpn"


def lent(*sides: dict[str, Any], **gateways: str) -> tuple[dict[str, Any], HubGateway]:
    """A hub whose GatewaySubnet holds these gateways, by name with their provisioning states."""
    vnet = hub(*sides)
    ids = [VPN.replace("vpn", name) for name in gateways]
    used = [{"id": f"{each}/ipConfigurations/default"} for each in ids]
    vnet["properties"]["subnets"][0]["properties"]["ipConfigurations"] = used
    documents = [
        {"id": each, "properties": {"provisioningState": state}}
        for each, state in zip(ids, gateways.values(), strict=True)
    ]
    return vnet, hub_gateway(vnet, documents)


@pytest.mark.parametrize(
    ("states", "state", "lends"),
    [
        ({}, "none", False),
        ({"vpn": "Succeeded"}, "ready", True),
        ({"vpn": "Updating"}, "not_ready", None),
        ({"vpn": "Failed"}, "failed", None),
        ({"vpn": "Failed", "expressroute": "Succeeded"}, "ready", True),
        ({"vpn": "Failed", "expressroute": "Updating"}, "not_ready", None),
    ],
)
def test_the_hubs_gateway_counts_when_it_is_ready(states: dict[str, str], state: str, lends: bool | None) -> None:
    vnet, gateway = lent(**states)
    assert (gateway.state, gateway.lends) == (state, lends)
    assert gateway_ids(vnet) == tuple(VPN.replace("vpn", name) for name in states)
    assert hub_gateway(vnet).state == ("ready" if states else "none"), "one that can't be read is taken for ready"


def test_a_new_spoke_waits_for_a_gateway_that_is_being_made_and_says_so() -> None:
    vnet, gateway = lent(vpn="Updating")
    gone = replace(row(3), present=False)
    decided = pass_over(vnet, row(1), row(2), gone, gateway=gateway)
    assert (decided.left, decided.held, keys(decided.hub_sides)) == (3, 2, [])
    assert keys(decided.spoke_sides) == ["turn:3"], "a removal needs no gateway"
    assert decided.marks["turn:1"].retry_reason == "The hub's virtual network gateway vpn is Updating"
    assert pass_over(vnet, decided.marks["turn:1"], gateway=gateway).marks == {}, "it is told once"


def test_without_a_gateway_that_works_a_spoke_is_peered_and_what_is_there_stays() -> None:
    vnet, gateway = lent(vpn="Failed")
    [task] = pass_over(vnet, row(1), gateway=gateway).hub_sides
    assert hub_side_document(task)["properties"]["allowGatewayTransit"] is False
    borrowed = side(replace(task, hub_has_gateway=True), "Connected", hub=False)
    assert spoke_action(task, borrowed) is None
    assert spoke_side_document(task, borrowed)["properties"]["useRemoteGateways"] is True


def test_old_peerings_learn_of_a_gateway_and_lose_one() -> None:
    done = row(1).applied()
    plain = side(task_of(done, HUB, False), "Connected")
    vnet, gateway = lent(plain, vpn="Succeeded")
    decided = pass_over(vnet, done, gateway=gateway)
    assert keys(decided.hub_sides) == ["turn:1"]
    lending = side(task_of(done, HUB, True), "Connected")
    vnet, _ = lent(lending, vpn="Succeeded")
    again = pass_over(vnet, decided.marks["turn:1"], gateway=gateway)
    assert keys(again.spoke_sides) == ["turn:1"], "the spoke's side follows, though the hub's is in order"
    assert pass_over(vnet, again.marks.get("turn:1", done).applied(), gateway=gateway).left == 0
    assert keys(pass_over(hub(lending), done).hub_sides) == ["turn:1"]


@pytest.mark.parametrize(
    ("level", "hub_first"),
    [("LocalNotInSync", True), ("LocalAndRemoteNotInSync", True), ("RemoteNotInSync", False)],
)
def test_a_peering_out_of_sync_is_repaired_on_the_side_that_can(level: str, hub_first: bool) -> None:
    done = row(1).applied()
    task = task_of(done, HUB, False)
    decided = pass_over(hub(side(task, "Connected", peeringSyncLevel=level)), done)
    assert decided.repaired == {"turn:1": level}
    assert keys(decided.hub_sides if hub_first else decided.spoke_sides) == ["turn:1"]
    assert spoke_action(task, side(task, "Connected", hub=False, peeringSyncLevel=level)) == (
        PUT if hub_first else None
    )
    assert pass_over(hub(side(task, "Connected", peeringSyncLevel="FullyInSync")), done).left == 0


def test_a_repair_that_changes_nothing_is_tried_at_every_tick_only() -> None:
    out = side(task_of(row(1), HUB, False), "Connected", peeringSyncLevel="RemoteNotInSync")
    begun = pass_over(hub(out), row(1).applied()).marks["turn:1"]
    over = begun.applied(MIDNIGHT.isoformat())
    assert (over.peering_status, over.repairing) == ("Connected", False)
    soon = pass_over(hub(out), over, now=MIDNIGHT + timedelta(seconds=10))
    assert soon.left == 0
    assert soon.marks["turn:1"].peering_status == "RemoteNotInSync", "the record doesn't say Connected"
    assert pass_over(hub(out), over, now=MIDNIGHT + timedelta(seconds=300)).left == 1
    refused = begun.repair_failed(Failure(AzureResourceException, "Odd", "No."), MIDNIGHT.isoformat())
    assert pass_over(hub(out), refused, now=MIDNIGHT + timedelta(seconds=10)).left == 0
    assert pass_over(hub(out), refused, now=MIDNIGHT + timedelta(seconds=300)).left == 1


def test_the_status_of_a_peering_is_azures_word() -> None:
    task = task_of(row(1), HUB, False)
    assert peering_status(None, vnet_id(1)) == "Missing"
    assert peering_status(side(task), vnet_id(1)) == "Initiated"
    assert peering_status(side(task, "Connected"), vnet_id(9)) == "Missing"
    assert peering_status(side(task, "Connected"), vnet_id(1)) == "Connected"


def test_the_same_request_is_the_same_version() -> None:
    first = row(1)
    assert first.request(deployment_id="x", now="t", present=True) is first
    gone = first.request_removal(deployment_id="x", now="t")
    assert (gone.desired_version, gone.present) == (2, False)
    failed = gone.failed(Failure(AzureResourceException, "Odd", "No."))
    assert failed.request_removal(deployment_id="x", now="t") is failed
    assert failed.request_removal(deployment_id="a retry", now="t").desired_version == 3


def test_rows_survive_the_table() -> None:
    failed = row(1).failed(Failure(AzureResourceException, "Odd", "No."))
    assert from_entity(PeeringRow, as_entity(failed, "p")) == failed
    assert from_entity(HubWriter, as_entity(HubWriter("n", "t"), "p")) == HubWriter("n", "t")
    queued = HubWriter("n", "t", queue=(3, 1), planned_at="2026-01-01T00:00:00.000Z", seconds_per_side=5.5)
    assert from_entity(HubWriter, as_entity(queued, "p")) == queued


def test_who_waits_learns_how_long_it_may_last() -> None:
    since, looked_at, later = "2026-01-01T00:00:00.000Z", "2026-01-01T00:00:01.000Z", "2026-01-01T00:00:02.000Z"
    at_work = "2026-01-01T00:00:09.000Z"
    writer = HubWriter("n", at_work, queue=(1, 2, 3), planned_at=looked_at, seconds_per_side=5.0)
    now = MIDNIGHT + timedelta(seconds=1)

    def expected(writer: HubWriter, of: PeeringRow, *, after: float = 0, batch: int = 2, arrived: int = 0) -> float:
        def arrived_between(after: str, before: str) -> int:
            assert (after, before) == (writer.planned_at, of.since)
            return arrived

        return writer.seconds_until(of, now + timedelta(seconds=after), 5.0, batch, arrived_between)

    assert [expected(writer, row(n, since=since)) for n in (1, 2, 3)] == [30, 30, 40]
    assert expected(writer, row(3, since=since), after=60) == 0
    # After the last pass, and so the last one; and one whose hub side is there.
    assert expected(writer, row(4, since=later)) == 40
    assert expected(writer, row(4, since=since)) == 0
    assert expected(writer, row(4, since=later), arrived=60) == 10 * 64, "behind all that came since the pass"
    assert expected(replace(writer, not_after=""), row(4, since=later)) == 0
    assert expected(HubWriter(), row(1)) == 0


def test_the_queue_holds_those_beyond_the_batch_too() -> None:
    hub = {"id": HUB, "properties": {}}
    decided = plan_pass(hub, [row(n) for n in (1, 2, 3)], batch=2, in_flight=set(), recreate=set(), now=MIDNIGHT)
    assert (len(decided.hub_sides), decided.queue) == (2, [1, 2, 3])
