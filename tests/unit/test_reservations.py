"""Of racers exactly one wins, and the losers leave no row: against a real Azurite, many threads at once."""

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.processes import running
from local.recipes import tables_connection_string, tables_proxy_recipe
from shared.clock import nonce, timestamp, utc_now
from shared.errors import DeploymentException, HubSpokeException, StorageException, ValidationException
from shared.settings import Settings, current_settings, process_settings
from shared.spoke.names import sanitize_name
from shared.spoke.request.model import check_against_settings, plan_from, spoke_request
from shared.tables import client as store
from shared.tables import reservations
from shared.tables.client import ConcurrentUpdate, Partition
from shared.tables.idempotency import IdempotencyKey, forget_expired_keys
from shared.tables.places import free_slots
from shared.tables.records import Records, begin_removal
from shared.tables.reservations import Reservation, ReservationRequest, forget_spoke, preview, release, reserve
from tests.app import forget_app, know_tables

T = TypeVar("T")
SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJFPNCFoTy+GNqzeT9tbAh6XAz3RiVuhXOD7cqUMmiUI someone@example.com"
# How many want to have something at once: what they lose to each other grows with the square of it.
CROWDS = [6, pytest.param(24, marks=pytest.mark.full)]
# How many want the same: each meets another in any part of its call.
RIVALS = 4
KINDS_OF_A_SPOKE = Counter(
    dict.fromkeys(("spoke", "run", "client", "vm", "host", "block", "slot", "vnet", "pool", "rule"), 1)
)


@pytest.fixture
def settings(azurite: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    yield from _settings(tables_connection_string(azurite), monkeypatch)


def _settings(connection_string: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The app's settings, with a hub of the test's own: its rows are a partition of its own."""
    for name in list(os.environ):
        if name.startswith(("AZURE_", "HUB_", "SPOKE_", "TABLES_")):
            monkeypatch.delenv(name)
    given = {
        "AZURE_SUBSCRIPTION_ID": "00000000-0000-0000-0000-000000000001",
        "HUB_RESOURCE_GROUP": "hub-rg",
        "HUB_VNET_NAME": f"hub-{nonce(8)}",
        "HUB_AGW_NAME": "hub-agw",
        "TASK_HUB": "HubSpokeTest",
        "SPOKE_DOMAIN": "spokes.example.com",
        "TABLES_CONNECTION_STRING": connection_string,
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    forget_app()
    know_tables()
    yield current_settings()
    forget_app()


@pytest.fixture(scope="module")
def proxy(azurite: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A way to the tables with faults on it, and where they are ordered."""
    with running(tables_proxy_recipe(0, azurite), tmp_path_factory.mktemp("proxy")) as process:
        assert process.announced is not None
        yield process.announced


@pytest.fixture
def slow_tables(proxy: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Settings, str]]:
    """Settings that lead through the proxy, and where its faults are ordered; there are none yet."""
    httpx.delete(proxy["faults"], trust_env=False).raise_for_status()
    for settings in _settings(tables_connection_string(proxy["tables"]), monkeypatch):
        yield settings, proxy["faults"]


def reservation_request(
    client_name: str, settings: Settings, *, key: str | None = None, fingerprint: str = "body", **body: Any
) -> ReservationRequest:
    whole = {
        "client_name": client_name,
        "vm_name": f"vm-{sanitize_name(client_name)}"[:60].rstrip("-"),
        "vm_size": "Standard_B2s",
        "admin_username": "azureuser",
        "ssh_public_key": SSH_KEY,
        **body,
    }
    request = check_against_settings(spoke_request(whole), settings)
    return ReservationRequest(
        client=sanitize_name(client_name),
        client_name=client_name,
        request=request.as_body(),
        plan_for=lambda spoke_id, deployment_id: plan_from(request, settings, spoke_id, deployment_id),
        spoke_id=request.spoke_id,
        key=IdempotencyKey(key, fingerprint) if key else None,
    )


def rows(settings: Settings, *, but: tuple[str, ...] = ()) -> list[str]:
    query = store.table("Spokes").client.query_entities(
        "PartitionKey eq @hub", parameters={"hub": settings.hub_key}, select=["RowKey"]
    )
    return sorted(row["RowKey"] for row in query if row["RowKey"].partition(":")[0] not in ("marker", *but))


def kinds(settings: Settings) -> Counter[str]:
    return Counter(key.partition(":")[0] for key in rows(settings))


def race(racers: list[Callable[[], T]]) -> tuple[list[T], list[HubSpokeException]]:
    """All of them at once: what the winners got, what the losers were told."""
    start = threading.Barrier(len(racers))

    def run(racer: Callable[[], T]) -> T | HubSpokeException:
        start.wait()
        try:
            return racer()
        except HubSpokeException as error:
            return error

    with ThreadPoolExecutor(len(racers)) as threads:
        ended = list(threads.map(run, racers))
    return (
        [one for one in ended if not isinstance(one, HubSpokeException)],
        [one for one in ended if isinstance(one, HubSpokeException)],
    )


def end(settings: Settings, made: Reservation, status: str) -> None:
    """As the orchestration would: its rows freed, its run and spoke finished."""
    records = Records()
    run, spoke = records.run(made.deployment_id), records.spoke(made.spoke_id)
    assert run is not None
    assert spoke is not None
    if status == "failed":
        release(run)
    records.change_together(run, spoke, run_changes={"status": status}, spoke_changes={"status": status})


def test_a_reservation_is_one_row_of_each_kind(settings: Settings) -> None:
    made = reserve(reservation_request("Acme Corp!", settings, spoke_id=7), settings)
    assert made.spoke_id == 7
    assert made.deployment_id.startswith("deploy-acme-corp-")
    assert kinds(settings) == KINDS_OF_A_SPOKE
    assert {"spoke:7", "client:acme-corp", "vm:vm-acme-corp", "block:10.11.7.0-24"} <= set(rows(settings))
    assert "host:acme-corp.spokes.example.com" in rows(settings)
    run, spoke = Records().run(made.deployment_id), Records().spoke(7)
    assert run is not None
    assert spoke is not None
    assert (run.status, spoke.status) == ("accepted", "accepted")
    assert run.plan.made_by == spoke.deployment_id == made.deployment_id
    assert spoke.request["client_name"] == "Acme Corp!"


def test_ids_are_given_from_the_lowest(settings: Settings) -> None:
    reserve(reservation_request("second", settings, spoke_id=2), settings)
    assert [reserve(reservation_request(name, settings), settings).spoke_id for name in ("a", "b", "c")] == [1, 3, 4]


def test_a_block_in_use_is_not_given_with_its_id(settings: Settings) -> None:
    reserve(reservation_request("elsewhere", settings, spoke_id=9, address_prefix="10.11.1.0/24"), settings)
    assert reserve(reservation_request("next", settings), settings).spoke_id == 2


def test_an_id_whose_vnet_name_a_client_chose_is_not_given_nor_planned(settings: Settings) -> None:
    reserve(reservation_request("elsewhere", settings, spoke_id=9, vnet_name="Spoke-VNet-1"), settings)
    plan, conflicts = preview(reservation_request("next", settings), settings)
    assert (plan.spoke_id, conflicts) == (2, [])
    assert reserve(reservation_request("next", settings), settings).spoke_id == 2
    assert reserve(reservation_request("named", settings, vnet_name="its-own"), settings).spoke_id == 1


@pytest.mark.parametrize(
    ("shared", "field"),
    [
        ({"spoke_id": 5}, "spoke_id"),
        ({"vm_name": "the-vm"}, "vm_name"),
        ({"host_name": "the-host.spokes.example.com"}, "host_name"),
        ({"vnet_name": "the-vnet"}, "vnet_name"),
        ({"backend_pool_name": "the-pool"}, "backend_pool_name"),
        ({"routing_rule_name": "the-rule"}, "routing_rule_name"),
    ],
)
def test_one_of_racers_for_the_same_name_wins(settings: Settings, shared: dict[str, Any], field: str) -> None:
    reservation_requests = [reservation_request(f"client-{number}", settings, **shared) for number in range(RIVALS)]
    won, lost = race([partial(reserve, one, settings) for one in reservation_requests])
    assert len(won) == 1
    assert {error.failure.details["field"] for error in lost} == {field}
    assert {error.failure.details["held_by"]["deployment_id"] for error in lost} == {won[0].deployment_id}
    assert kinds(settings) == KINDS_OF_A_SPOKE


def test_one_of_racers_for_the_same_block_wins(settings: Settings) -> None:
    reservation_requests = [
        reservation_request(f"client-{number}", settings, spoke_id=number, address_prefix="10.11.200.0/24")
        for number in range(1, RIVALS + 1)
    ]
    won, lost = race([partial(reserve, one, settings) for one in reservation_requests])
    assert len(won) == 1
    assert {error.failure.details["field"] for error in lost} == {"address_prefix"}
    assert kinds(settings) == KINDS_OF_A_SPOKE


def test_one_of_clients_that_are_alike_after_sanitising_wins(settings: Settings) -> None:
    names = ["Acme Corp", "acme-corp", "ACME_CORP!", "acme corp.", "(Acme) Corp"]
    reservation_requests = [
        reservation_request(name, settings, vm_name=f"vm-{number}") for number, name in enumerate(names)
    ]
    won, lost = race([partial(reserve, one, settings) for one in reservation_requests])
    fields = {error.failure.details["field"] for error in lost}
    assert len(won) == 1, lost
    assert fields == {"client_name"}
    assert kinds(settings) == KINDS_OF_A_SPOKE


@pytest.mark.parametrize("racers", CROWDS)
def test_racers_share_the_last_three_places(settings: Settings, racers: int) -> None:
    partition = Partition(settings.hub_key)
    taken = [
        ("create", {"PartitionKey": settings.hub_key, "RowKey": f"slot:{place:03d}", "deployment_id": "others"})
        for place in range(1, 97)
    ]
    assert partition.submit(taken, won=lambda: False)
    reservation_requests = [reservation_request(f"client-{number}", settings) for number in range(racers)]
    won, lost = race([partial(reserve, one, settings) for one in reservation_requests])
    assert len(won) == 3
    assert len({made.spoke_id for made in won}) == 3
    assert {error.failure.code for error in lost} == {"GatewayFull"}
    assert all((error.failure.details["used"], error.failure.details["limit"]) == (99, 99) for error in lost)
    assert kinds(settings) == Counter(dict.fromkeys(KINDS_OF_A_SPOKE, 3)) | Counter(slot=99)


@given(st.sets(st.integers(1, 99)), st.integers(0, 99), st.data())
def test_slots_never_let_more_through_than_fit(used: set[int], limit: int, data: st.DataObject) -> None:
    free = free_slots(used, limit)
    assert len(used) + len(free) == max(limit, len(used))
    assert not used & set(free)
    if free:  # whoever comes next sees the rest, or less
        taken = data.draw(st.sampled_from(free))
        assert set(free_slots(used | {taken}, limit)) == set(free) - {taken}


@pytest.mark.parametrize("racers", CROWDS)
def test_many_at_once_without_an_id_all_get_one(settings: Settings, racers: int) -> None:
    reservation_requests = [reservation_request(f"client-{number}", settings) for number in range(racers)]
    won, lost = race([partial(reserve, one, settings) for one in reservation_requests])
    assert lost == []
    assert len({made.spoke_id for made in won}) == racers
    assert kinds(settings) == Counter(dict.fromkeys(KINDS_OF_A_SPOKE, racers))


def test_repeats_with_one_key_at_once_are_one_deployment(settings: Settings) -> None:
    reservation_requests = [reservation_request("acme", settings, key="k1") for _ in range(RIVALS)]
    won, lost = race([partial(reserve, one, settings) for one in reservation_requests])
    assert lost == []
    assert len({made.deployment_id for made in won}) == 1
    assert sum(not made.repeated for made in won) == 1
    assert kinds(settings) == KINDS_OF_A_SPOKE + Counter(key=1)


def test_a_key_with_another_body_is_refused(settings: Settings) -> None:
    reserve(reservation_request("acme", settings, key="k1"), settings)
    with pytest.raises(ValidationException) as refused:
        reserve(reservation_request("globex", settings, key="k1", fingerprint="another"), settings)
    assert refused.value.failure.code == "IdempotencyKeyReused"
    assert kinds(settings) == KINDS_OF_A_SPOKE + Counter(key=1)


def test_an_expired_key_is_used_anew(settings: Settings) -> None:
    first = reserve(reservation_request("acme", settings, key="k1"), settings)
    _age_key(settings, "k1")
    second = reserve(reservation_request("globex", settings, key="k1", fingerprint="another"), settings)
    assert second.deployment_id != first.deployment_id
    assert reserve(reservation_request("globex", settings, key="k1", fingerprint="another"), settings) == replace(
        second, repeated=("accepted", "accepted")
    )


def test_expired_keys_are_forgotten_and_others_stay(settings: Settings) -> None:
    reserve(reservation_request("acme", settings, key="old"), settings)
    reserve(reservation_request("globex", settings, key="new"), settings)
    _age_key(settings, "old")
    forget_expired_keys()
    assert [key for key in rows(settings) if key.startswith("key:")] == ["key:new"]


def _age_key(settings: Settings, key: str) -> None:
    store.table("Spokes").client.update_entity(
        {
            "PartitionKey": settings.hub_key,
            "RowKey": f"key:{key}",
            "expires_at": timestamp(utc_now() - timedelta(seconds=1)),
        }
    )


def test_a_failed_spoke_gives_its_id_to_who_asks_for_it(settings: Settings) -> None:
    failed = reserve(reservation_request("acme", settings, spoke_id=4), settings)
    end(settings, failed, "failed")
    assert reserve(reservation_request("others", settings), settings).spoke_id == 1
    won, lost = race(
        [
            partial(reserve, reservation_request(f"client-{number}", settings, spoke_id=4), settings)
            for number in range(RIVALS)
        ]
    )
    assert len(won) == 1
    assert {(error.failure.code, error.failure.details["kind"]) for error in lost} == {("NameTaken", "spoke_id")}


def test_a_retry_whose_spoke_moved_meanwhile_is_decided_anew(settings: Settings) -> None:
    end(settings, reserve(reservation_request("acme", settings, spoke_id=4), settings), "failed")
    again = replace(reservation_request("acme", settings, spoke_id=4), retry_of=Records().spoke(4))
    winner = reserve(again, settings)
    with pytest.raises(ConcurrentUpdate):
        reserve(again, settings)
    end(settings, winner, "failed")
    spoke = Records().spoke(4)
    assert spoke is not None
    forget_spoke(spoke)
    with pytest.raises(ConcurrentUpdate):
        reserve(again, settings)
    assert kinds(settings) == Counter(run=2)


def test_ids_of_failed_spokes_are_given_when_nothing_else_is_free(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPOKE_ADDRESS_POOL", "10.11.0.0/22")
    process_settings.cache_clear()
    small = current_settings()
    made = [reserve(reservation_request(name, small), small) for name in ("a", "b", "c")]
    assert [one.spoke_id for one in made] == [1, 2, 3]
    with pytest.raises(DeploymentException) as refused:
        reserve(reservation_request("d", small), small)
    assert refused.value.failure.code == "NoFreeSpokeId"
    end(small, made[1], "failed")
    assert reserve(reservation_request("d", small), small).spoke_id == 2


def test_release_frees_what_is_ours_and_can_be_repeated(settings: Settings) -> None:
    mine, other = (
        reserve(reservation_request("acme", settings), settings),
        reserve(reservation_request("globex", settings), settings),
    )
    run = Records().run(mine.deployment_id)
    assert run is not None
    for _ in range(2):
        release(run)
        assert kinds(settings) == KINDS_OF_A_SPOKE + Counter(spoke=1, run=1)
    taken_over = reserve(reservation_request("acme", settings), settings)
    release(run)  # late: the rows of the same names are another run's by now
    assert kinds(settings) == KINDS_OF_A_SPOKE + KINDS_OF_A_SPOKE + Counter(spoke=1, run=1)
    assert len({mine.deployment_id, other.deployment_id, taken_over.deployment_id}) == 3


def test_a_lost_reply_to_our_own_transaction_is_success(slow_tables: tuple[Settings, str]) -> None:
    settings, faults = slow_tables
    store.table("Spokes")
    order = [{"mode": "drop_after", "method": "POST", "path": "batch", "times": 1}]
    httpx.post(faults, json=order, trust_env=False).raise_for_status()
    made = reserve(reservation_request("acme", settings, spoke_id=3, key="k"), settings)
    assert httpx.get(faults, trust_env=False).json()[0]["hits"] == 1
    assert (made.spoke_id, made.repeated) == (3, None)
    assert kinds(settings) == KINDS_OF_A_SPOKE + Counter(key=1)


def test_a_refused_transaction_gives_its_connection_back(
    slow_tables: tuple[Settings, str], caplog: pytest.LogCaptureFixture
) -> None:
    settings, faults = slow_tables
    caplog.set_level("DEBUG", logger="urllib3.connectionpool")
    order = [{"mode": "busy", "method": "POST", "path": "batch", "times": 2}]
    httpx.post(faults, json=order, trust_env=False).raise_for_status()
    reserve(reservation_request("acme", settings), settings)
    assert httpx.get(faults, trust_env=False).json()[0]["hits"] == 2
    assert caplog.text.count("Starting new HTTP connection") == 1


def test_reservations_get_through_a_storm(slow_tables: tuple[Settings, str]) -> None:
    settings, faults = slow_tables
    store.table("Spokes")
    modes = ("busy", "timeout", "timeout_after", "drop_before", "drop_after")
    order = [{"mode": mode, "probability": 0.04} for mode in modes]
    httpx.post(faults, json=order, trust_env=False).raise_for_status()

    def try_until_answered(number: int) -> Reservation:
        while True:
            try:
                return reserve(reservation_request(f"client-{number}", settings, key=f"key-{number}"), settings)
            except StorageException:
                continue

    won, lost = race([partial(try_until_answered, number) for number in range(6)])
    httpx.delete(faults, trust_env=False).raise_for_status()
    assert lost == []
    assert len({made.spoke_id for made in won}) == 6
    assert kinds(settings) == Counter(dict.fromkeys((*KINDS_OF_A_SPOKE, "key"), 6))


def test_of_deletes_at_once_one_begins(settings: Settings) -> None:
    made = reserve(reservation_request("acme", settings), settings)
    end(settings, made, "completed")
    spoke = Records().spoke(made.spoke_id)
    assert spoke is not None

    def begin() -> str | None:
        try:
            return begin_removal(spoke, "delete").deployment_id
        except ConcurrentUpdate:
            return None

    won, _ = race([begin for _ in range(RIVALS)])
    begun = [one for one in won if one]
    assert len(begun) == 1
    left = Records().spoke(made.spoke_id)
    assert left is not None
    assert (left.status, left.deployment_id) == ("deleting", begun[0])
    run = Records().run(begun[0])
    assert run is not None
    assert (run.status, run.kind, run.plan.made_by) == ("accepted", "delete", made.deployment_id)


def test_only_a_failed_spoke_is_forgotten(settings: Settings) -> None:
    made = reserve(reservation_request("acme", settings), settings)
    spoke = Records().spoke(made.spoke_id)
    assert spoke is not None
    with pytest.raises(ConcurrentUpdate):
        forget_spoke(spoke)
    end(settings, made, "failed")
    for _ in range(2):
        forget_spoke(spoke)
    assert kinds(settings) == Counter(run=1)


def test_a_preview_names_every_conflict_and_takes_nothing(settings: Settings) -> None:
    reserve(reservation_request("acme", settings, spoke_id=1), settings)
    before = rows(settings)
    plan, conflicts = preview(reservation_request("acme", settings, spoke_id=1), settings)
    assert plan.spoke_id == 1
    assert {"spoke_id", "client_name", "vm_name", "host_name", "address_prefix"} <= {
        conflict["details"]["field"] for conflict in conflicts
    }
    assert preview(reservation_request("globex", settings), settings)[1] == []
    assert rows(settings) == before


def test_the_order_of_choice_depends_on_the_name_alone() -> None:
    numbers = list(range(1, 100))
    chosen = [reservations._by_name("acme", 1, numbers) for _ in range(3)]
    assert len(set(chosen)) == 1
    assert len({reservations._by_name(f"client-{number}", 1, numbers) for number in range(50)}) > 25
