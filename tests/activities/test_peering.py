"""The hub's writer against a stand-in of Azure and real tables: turns, refusals, kills, healing, other writers."""

import pytest

from shared.arm.client import arm
from shared.saga.outcomes import Done, Failed, Pending
from shared.settings import current_settings
from shared.spoke.records import HUB_TURNS_TABLE
from shared.tables.client import table
from shared.writers.writer_tables import hub_peerings
from tests.activities.peerings import a_vnet, hub_side, ready, spoke_side, states, writes
from tests.activities.writers import WriterHarness, as_sent, code_of


def test_a_peering_is_asked_for_made_and_removed_again(harness: WriterHarness) -> None:
    [run] = ready(harness, 1)
    harness.write_hub()
    outcome = harness.step(run, "create_peering")
    assert isinstance(outcome, Done)
    assert outcome.result == {"peering_status": "Connected"}
    assert states(harness, 1) == ("Connected", "Connected")
    assert [each["path"].rsplit("/", 1)[-1] for each in writes(harness)] == ["hub-to-spoke-1", "spoke-1-to-hub"]
    run = harness.set_status(run, "rolling_back")
    assert isinstance(harness.step(run, "delete_peering"), Pending)
    harness.write_hub()
    assert isinstance(harness.step(run, "delete_peering"), Done)
    assert states(harness, 1) == (None, None)
    assert harness.turn(1) is None


def test_the_undo_of_nothing_is_done_at_once(harness: WriterHarness) -> None:
    run = harness.run(1, status="rolling_back")
    assert isinstance(harness.step(run, "delete_peering"), Done)
    assert writes(harness) == []


@pytest.mark.parametrize("count", [10, pytest.param(30, marks=pytest.mark.full)])
def test_many_at_once_are_never_refused_and_keep_the_hub_busy(harness: WriterHarness, count: int) -> None:
    numbers = range(1, count + 1)
    ready(harness, *numbers)
    began = harness.now.moment
    harness.write_hub()
    seconds = (harness.now.moment - began).total_seconds()
    assert all(states(harness, number) == ("Connected", "Connected") for number in numbers)
    assert all(each["status"] < 400 for each in writes(harness))
    assert len(writes(harness)) == 2 * count
    assert seconds <= count * 5 * 1.2, "the hub stands idle for less than a fifth of the time"


def test_those_that_came_after_a_pass_and_before_a_row_are_counted(harness: WriterHarness) -> None:
    for number in (1, 2, 3, 4):  # ten seconds between them
        ready(harness, number)
    came = {row.spoke_id: row.since for row in hub_peerings().everything()[1]}
    assert hub_peerings().arrived_between(came[1], came[4]) == 2
    assert hub_peerings().arrived_between(came[4], came[4]) == 0


def test_deletes_and_creates_share_the_writer(harness: WriterHarness) -> None:
    first = ready(harness, 1, 2, 3)
    harness.write_hub()
    for run in first:
        harness.step(harness.set_status(run, "rolling_back"), "delete_peering")
    ready(harness, 4, 5, 6)
    harness.write_hub()
    assert [states(harness, number) for number in (1, 2, 3)] == [(None, None)] * 3
    assert [states(harness, number) for number in (4, 5, 6)] == [("Connected", "Connected")] * 3
    _, rows = hub_peerings().everything()
    assert sorted(row.spoke_id for row in rows) == [4, 5, 6]


def test_a_later_row_is_written_next(harness: WriterHarness) -> None:
    ready(harness, 1)
    for number in (2, 3):
        a_vnet(harness, number)
        harness.run(number)
    harness.pass_time(10)
    late = iter([2, 3])

    def arrive(name: str) -> None:
        if name == "write_hub_side" and (number := next(late, None)):
            harness.step(harness.run(number), "create_peering")

    harness.before_call = arrive
    harness.write_hub()
    assert all(states(harness, number) == ("Connected", "Connected") for number in (1, 2, 3))


def test_a_peering_that_can_not_be_written_fails_alone(harness: WriterHarness) -> None:
    runs = ready(harness, 1, 2, 3)
    arm().delete(arm().ids.vnet("spoke-vnet-2"))
    harness.pass_time(10)
    a_vnet(harness, 2, "10.11.1.0/24")
    harness.pass_time(10)
    harness.write_hub()
    outcomes = [harness.step(run, "create_peering") for run in runs]
    assert isinstance(outcomes[1], Failed)
    assert outcomes[1].failure.code == "VnetAddressSpaceOverlapsWithAlreadyPeeredVnet"
    assert [type(each) for each in outcomes] == [Done, Failed, Done]
    run = harness.set_status(runs[1], "rolling_back")
    harness.step(run, "delete_peering")
    harness.write_hub()
    assert isinstance(harness.step(run, "delete_peering"), Done)
    assert states(harness, 2) == (None, None)


@pytest.mark.parametrize(
    "code", ["ReferencedResourceNotProvisioned", pytest.param("AnotherOperationInProgress", marks=pytest.mark.full)]
)
def test_an_unmanaged_write_of_the_hub_is_waited_out(harness: WriterHarness, code: str) -> None:
    ready(harness, 1, 2)
    harness.azure.fault(method="PUT", path="hub-to-spoke-1$", mode="refuse", status=400, code=code)
    harness.write_hub()
    assert all(states(harness, number) == ("Connected", "Connected") for number in (1, 2))
    assert sum(each["status"] >= 400 for each in writes(harness)) == 1


def test_a_throttled_write_waits_as_long_as_it_is_told(harness: WriterHarness) -> None:
    ready(harness, 1)
    harness.azure.fault(
        method="PUT", path="spoke-1-to-hub$", mode="refuse", status=429, code="TooManyRequests", retry_after=17
    )
    began = harness.now.moment
    harness.write_hub()
    assert states(harness, 1) == ("Connected", "Connected")
    assert (harness.now.moment - began).total_seconds() > 17


@pytest.mark.parametrize(
    "failures",
    [
        # One after the other: reads are about all, writes about one.
        [
            ("GET", "/virtualNetworks/hub-vnet$", 403),
            ("PUT", "hub-to-spoke-1$", 429),
            ("PUT", "hub-to-spoke-1$", 500),
            ("PUT", "spoke-1-to-hub$", 500),
        ],
        [("GET", "/operations/", 500)],
    ],
    ids=["calls", "operations"],
)
def test_who_waits_is_told_what_for(harness: WriterHarness, failures: list[tuple[str, str, int]]) -> None:
    runs = ready(harness, 1, 2)
    for method, path, status in failures:
        message = f"Not before {method} {path} {status}."
        harness.azure.fault(method=method, path=path, times=1, mode="refuse", status=status, message=message)
    told: dict[int, list[str]] = {1: [], 2: []}

    def ask(name: str) -> None:
        for number, run in zip(told, runs, strict=True):
            outcome = harness.step(run, "create_peering")
            told[number].append(outcome.reason if isinstance(outcome, Pending) else "")

    harness.before_call = ask
    harness.write_hub()
    for method, path, status in failures:
        message = f"Not before {method} {path} {status}."
        assert any(message in reason for reason in told[1])
        assert any(message in reason for reason in told[2]) == (method == "GET"), "it was not about the other one"
    assert all(states(harness, number) == ("Connected", "Connected") for number in told)
    writer, rows = hub_peerings().everything()
    assert [writer.retry_reason, *(row.retry_reason for row in rows)] == [""] * 3


def test_a_peering_that_leads_elsewhere_is_neither_changed_nor_removed(harness: WriterHarness) -> None:
    runs = ready(harness, 1, 2)
    a_vnet(harness, 77)
    harness.pass_time(10)
    theirs = {"properties": {"remoteVirtualNetwork": {"id": arm().ids.vnet("spoke-vnet-77")}}}
    arm().put(hub_side(harness, 1), theirs)
    harness.pass_time(10)
    harness.write_hub()
    outcome = harness.step(runs[0], "create_peering")
    assert isinstance(outcome, Failed)
    assert outcome.failure.code == "NameTaken"
    assert states(harness, 2) == ("Connected", "Connected")
    run = harness.set_status(runs[0], "rolling_back")
    harness.step(run, "delete_peering")
    harness.write_hub()
    assert isinstance(harness.step(run, "delete_peering"), Done)
    assert states(harness, 1)[0] == "Initiated"


def test_disconnected_peerings_are_recreated_on_both_sides(harness: WriterHarness) -> None:
    """Of the first the hub's side is gone, of the second the spoke's, of the third both."""
    ready(harness, 1, 2, 3)
    harness.write_hub()
    for gone in (hub_side(harness, 1), spoke_side(harness, 2), hub_side(harness, 3), spoke_side(harness, 3)):
        arm().delete(gone)
        harness.pass_time(10)
    assert all(states(harness, number) != ("Connected", "Connected") for number in (1, 2, 3))
    harness.write_hub()
    assert all(states(harness, number) == ("Connected", "Connected") for number in (1, 2, 3))


def sync_levels(harness: WriterHarness, number: int) -> list[str]:
    sides = [arm().get(side_id(harness, number)) for side_id in (hub_side, spoke_side)]
    return [str(side["properties"]["peeringSyncLevel"]) for side in sides if side]


def grow(harness: WriterHarness, vnet_id: str, prefix: str) -> None:
    """An operator adds a prefix to a VNet."""
    vnet = arm().get(vnet_id)
    assert vnet is not None
    vnet["properties"]["addressSpace"]["addressPrefixes"].append(prefix)
    arm().put(vnet_id, as_sent(vnet))
    harness.pass_time(10)


def test_a_vnet_that_grows_is_synchronised_at_the_next_tick(
    harness: WriterHarness, caplog: pytest.LogCaptureFixture
) -> None:
    """The hub's, a spoke's, and both at once."""
    runs = ready(harness, 1, 2)
    harness.write_hub()
    for number, who in enumerate((("hub",), ("spoke",), ("hub", "spoke"))):
        harness.pass_time(300)
        if "hub" in who:
            grow(harness, arm().ids.hub_vnet, f"10.{90 + number}.0.0/16")
        if "spoke" in who:
            grow(harness, arm().ids.vnet("spoke-vnet-1"), f"10.{80 + number}.0.0/16")
        assert sync_levels(harness, 1) != ["FullyInSync", "FullyInSync"]
        harness.azure.forget_requests()
        caplog.clear()
        harness.write_hub()
        assert [sync_levels(harness, number) for number in (1, 2)] == [["FullyInSync", "FullyInSync"]] * 2
        assert "turn:1" in caplog.text
        assert "The peering of spoke 1 is repaired" in caplog.text
        assert [each["method"] for each in writes(harness)] == ["PUT"] * len(writes(harness))
        turn = harness.turn(1)
        assert turn is not None
        assert (turn.peering_status, turn.repairing) == ("Connected", False)
    assert all(isinstance(harness.step(run, "create_peering"), Done) for run in runs)
    harness.azure.forget_requests()
    harness.write_hub()
    assert writes(harness) == [], "nothing is left to be done"


def test_a_hub_that_azure_goes_on_calling_out_of_sync_is_left_alone_until_the_next_tick(harness: WriterHarness) -> None:
    ready(harness, 1)
    harness.write_hub()
    grow(harness, arm().ids.hub_vnet, "10.99.0.0/16")
    harness.azure.fault(method="PUT", path="spoke-1-to-hub$", mode="refuse", status=400, code="Odd", message="Never.")
    harness.write_hub()
    turn = harness.turn(1)
    assert turn is not None
    assert (turn.peering_status, turn.retry_reason) == ("RemoteNotInSync", "Never.")
    harness.pass_time(300)
    harness.write_hub()
    assert sync_levels(harness, 1) == ["FullyInSync", "FullyInSync"]
    turn = harness.turn(1)
    assert turn is not None
    assert (turn.peering_status, turn.retry_reason, turn.error) == ("Connected", "", None)


def plant_gateway(harness: WriterHarness, state: str, kind: str = "Vpn") -> None:
    """A virtual network gateway in the hub's GatewaySubnet."""
    subnet_id = arm().ids.subnet("hub-vnet", "GatewaySubnet").replace(arm().ids.spoke_group, arm().ids.hub_group)
    network = "Microsoft.Network/virtualNetworks/subnets"
    subnet = {"addressPrefix": "10.0.9.0/24", "provisioningState": "Succeeded"}
    used = [{"name": "default", "properties": {"subnet": {"id": subnet_id}}}]
    harness.azure.plant(
        {"id": subnet_id, "name": "GatewaySubnet", "type": network, "properties": subnet},
        {
            "id": harness.azure.id_of("hub-rg", "Microsoft.Network/virtualNetworkGateways", "vpn"),
            "name": "vpn",
            "type": "Microsoft.Network/virtualNetworkGateways",
            "location": "eastus",
            "properties": {"gatewayType": kind, "ipConfigurations": used, "provisioningState": state},
        },
    )


def flags(harness: WriterHarness, number: int) -> tuple[bool, bool]:
    hub, spoke = arm().get(hub_side(harness, number)), arm().get(spoke_side(harness, number))
    assert hub is not None
    assert spoke is not None
    return hub["properties"]["allowGatewayTransit"], spoke["properties"]["useRemoteGateways"]


# The app reads no gateway's type.
@pytest.mark.parametrize("kind", ["Vpn", pytest.param("ExpressRoute", marks=pytest.mark.full)])
def test_a_gateway_that_is_still_being_made_is_waited_for(harness: WriterHarness, kind: str) -> None:
    plant_gateway(harness, "Updating", kind)
    [run] = ready(harness, 1)
    reasons: list[str] = []

    def look(name: str) -> None:
        outcome = harness.step(run, "create_peering")
        reasons.append(outcome.reason if isinstance(outcome, Pending) else "")
        if len(reasons) == 4:
            plant_gateway(harness, "Succeeded", kind)

    harness.before_call = look
    harness.write_hub()
    assert "The hub's virtual network gateway vpn is Updating" in reasons[1]
    assert isinstance(harness.step(run, "create_peering"), Done)
    assert flags(harness, 1) == (True, True)
    assert all(each["status"] < 400 for each in writes(harness))


def test_a_gateway_that_azure_does_not_find_ready_yet_is_not_the_end(harness: WriterHarness) -> None:
    plant_gateway(harness, "Succeeded")
    [run] = ready(harness, 1)
    harness.azure.fault(
        method="PUT", path="spoke-1-to-hub$", mode="refuse", status=400, code="RemoteVnetHasNoGateways", times=2
    )
    harness.write_hub()
    assert isinstance(harness.step(run, "create_peering"), Done)
    assert flags(harness, 1) == (True, True)


def test_a_gateway_that_may_not_be_read_is_taken_for_ready(
    harness: WriterHarness, caplog: pytest.LogCaptureFixture
) -> None:
    plant_gateway(harness, "Succeeded")
    ready(harness, 1)
    harness.azure.fault(method="GET", path="virtualNetworkGateways", mode="refuse", status=403, times=None)
    harness.write_hub()
    assert flags(harness, 1) == (True, True)
    assert "can't be read, it is taken for ready" in caplog.text


def test_old_peerings_use_a_gateway_that_comes_later_and_none_that_has_failed(harness: WriterHarness) -> None:
    plant_gateway(harness, "Failed")
    ready(harness, 1)
    harness.write_hub()
    assert flags(harness, 1) == (False, False)
    plant_gateway(harness, "Succeeded")
    harness.write_hub()
    assert flags(harness, 1) == (True, True)
    plant_gateway(harness, "Failed")
    harness.azure.forget_requests()
    harness.write_hub()
    assert writes(harness) == [], "what is there stays as it is"


def test_a_spoke_side_left_disconnected_by_an_earlier_life_is_made_anew(harness: WriterHarness) -> None:
    ready(harness, 1)
    both = ((hub_side(harness, 1), "spoke-vnet-1", True), (spoke_side(harness, 1), "hub-vnet", False))
    for resource_id, remote, _ in both:
        remote_id = arm().ids.hub_vnet if remote == "hub-vnet" else arm().ids.vnet(remote)
        arm().put(resource_id, {"properties": {"remoteVirtualNetwork": {"id": remote_id}}})
        harness.pass_time(10)
    arm().delete(hub_side(harness, 1))
    harness.pass_time(10)
    assert states(harness, 1) == (None, "Disconnected")
    harness.write_hub()
    assert states(harness, 1) == ("Connected", "Connected")


def test_an_unmanaged_vnet_in_the_place_of_ours_is_not_peered(harness: WriterHarness) -> None:
    """The delete of ours left the hub's side `Disconnected`, which would be fixed."""
    ready(harness, 1)
    harness.write_hub()
    vnet_id = arm().ids.vnet("spoke-vnet-1")
    arm().delete(vnet_id)
    harness.pass_time(10)
    theirs = {"location": "eastus", "tags": {}, "properties": {"addressSpace": {"addressPrefixes": ["10.99.0.0/16"]}}}
    arm().put(vnet_id, theirs)
    harness.pass_time(10)
    before = arm().get(vnet_id)
    harness.write_hub()
    assert arm().get(vnet_id) == before
    turn = harness.turn(1)
    assert turn is not None
    assert turn.error is not None
    assert (turn.error.code, turn.error.details["resource"]) == ("NameTaken", vnet_id)


def test_the_spokes_vnet_may_be_gone_when_its_peering_is_removed(harness: WriterHarness) -> None:
    [run] = ready(harness, 1)
    harness.write_hub()
    arm().delete(arm().ids.vnet("spoke-vnet-1"))
    harness.pass_time(10)
    run = harness.set_status(run, "rolling_back")
    harness.step(run, "delete_peering")
    harness.write_hub()
    assert isinstance(harness.step(run, "delete_peering"), Done)
    assert states(harness, 1) == (None, None)


def test_a_peering_that_is_cancelled_while_it_is_written_is_undone(harness: WriterHarness) -> None:
    run, _ = ready(harness, 1, 2)

    def cancel(name: str) -> None:
        if name == "write_hub_side" and len(harness.calls) == 3:
            harness.step(harness.set_status(run, "rolling_back"), "delete_peering")

    harness.before_call = cancel
    harness.write_hub()
    assert states(harness, 1) == (None, None)
    assert states(harness, 2) == ("Connected", "Connected")
    assert harness.turn(1) is None


def test_a_peering_that_is_refused_for_long_keeps_no_other_waiting(harness: WriterHarness) -> None:
    ready(harness, 1, 2, 3)
    harness.azure.fault(method="PUT", path="spoke-vnet-1$", mode="slow", seconds=60)
    a_vnet(harness, 1)
    began = harness.now.moment
    done: dict[int, float] = {}

    def look(name: str) -> None:
        for turn in hub_peerings().everything()[1]:
            if turn.is_applied:
                done.setdefault(turn.spoke_id, (harness.now.moment - began).total_seconds())

    harness.before_call = look
    harness.write_hub()
    assert states(harness, 1) == ("Connected", "Connected")
    assert max(done[2], done[3]) < 45


def test_a_peering_row_that_was_written_by_hand_stops_no_other(harness: WriterHarness) -> None:
    (run,) = ready(harness, 1)
    table(HUB_TURNS_TABLE).client.create_entity({"PartitionKey": current_settings().hub_key, "RowKey": "turn:2"})
    harness.write_hub()
    assert isinstance(harness.step(run, "create_peering"), Done)
    assert code_of(harness.step(harness.run(2), "create_peering")) == "MalformedRow"
