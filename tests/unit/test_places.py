"""Several hubs and gateways on the records: who gets which place, and what HUBS does to records that are there already.
Against a real Azurite."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import pytest

from local.processes import running
from local.recipes import tables_connection_string, tables_proxy_recipe
from shared.clock import nonce
from shared.errors import DeploymentException, ValidationException
from shared.settings import at, current_settings, process_settings
from shared.spoke.records import SPOKES_TABLE
from shared.tables import client as store
from shared.tables.places import INSTALLATION, at_each_hub, at_spoke, former_hubs, hub_of_run, hubs
from tests.unit.installations import Installation, deploy, end, gateway_of_spoke, refused
from triggers import use_cases
from triggers.deployments import _run
from triggers.http.queries import Filters, continuation_token
from triggers.spokes import READERS, _page, _view


@pytest.fixture(scope="module")
def counted(azurite: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The connection string of a way to the same tables on which requests are counted, and where they are listed."""
    state = tmp_path_factory.mktemp("proxy")
    with running(tables_proxy_recipe(0, azurite), state) as process:
        announced = process.announced or {}
        yield tables_connection_string(announced["tables"]), announced["faults"].replace("faults", "requests")


# --- gateways of one hub ---


@pytest.mark.parametrize("racers", [8, pytest.param(14, marks=pytest.mark.full)])
def test_racers_for_the_last_places_of_two_gateways_fill_both_and_no_more(
    installation: Installation, racers: int
) -> None:
    installation.use([installation.first | {"gateways": installation.gateways(hub_agw=3, other_agw=2)}])

    def racer(number: int) -> int | str:
        try:
            return deploy(f"client-{number}").spoke_id
        except DeploymentException as lost:
            return lost.failure.code

    with ThreadPoolExecutor(racers) as threads:
        ended = list(threads.map(racer, range(racers)))
    won = [each for each in ended if isinstance(each, int)]
    assert (len(won), len(set(won))) == (5, 5)
    assert {each for each in ended if isinstance(each, str)} == {"GatewayFull"}
    assert Counter(map(gateway_of_spoke, won)) == {"hub-agw": 3, "other-agw": 2}
    keys = {row["RowKey"] for row in installation.rows(current_settings().hub_key) if row["RowKey"].startswith("slot:")}
    assert keys == {f"slot:hub-agw:{n:03d}" for n in (1, 2, 3)} | {f"slot:other-agw:{n:03d}" for n in (1, 2)}


def test_the_gateway_with_the_most_free_places_is_chosen_unless_one_is_named(installation: Installation) -> None:
    gateways = installation.gateways(hub_agw=3, other_agw=5)
    installation.use([installation.first | {"gateways": gateways}])
    assert [gateway_of_spoke(deploy(f"c{n}").spoke_id) for n in range(2)] == ["other-agw"] * 2
    assert gateway_of_spoke(deploy("named", gateway="hub-agw").spoke_id) == "hub-agw"
    assert gateway_of_spoke(deploy("hosted", host_name="x.hub-agw.example.com").spoke_id) == "hub-agw"
    with at_spoke(4):
        spoke, _ = use_cases.spoke_and_run(3)
    assert spoke.plan.host_name == "named.hub-agw.example.com"
    assert refused(deploy, "wrong", gateway="hub-agw", host_name="x.other-agw.example.com") == "InvalidRequest"


def test_a_gateway_that_is_not_open_gets_no_new_site_and_keeps_the_others(installation: Installation) -> None:
    gateways = installation.gateways(hub_agw=3, other_agw=2)
    installation.use([installation.first | {"gateways": gateways}])
    before = deploy("before", gateway="hub-agw")
    end(before, "completed")
    gateways[0]["open"] = False
    installation.use([installation.first | {"gateways": gateways}])
    assert gateway_of_spoke(deploy("after").spoke_id) == "other-agw"
    assert refused(deploy, "named", gateway="hub-agw") == "GatewayClosed"
    assert gateway_of_spoke(before.spoke_id) == "hub-agw"
    spoke = use_cases.remove(before.spoke_id, force=False)
    removal = use_cases.remove(before.spoke_id, force=False, looked_at=spoke)  # type: ignore[arg-type]
    assert isinstance(removal, use_cases.RunHandle)
    assert removal.kind == "delete"


def test_a_retry_stays_on_its_gateway_and_moves_only_when_nothing_was_made(installation: Installation) -> None:
    installation.use([installation.first | {"gateways": installation.gateways(hub_agw=1, other_agw=5)}])
    first = deploy("first", gateway="hub-agw")
    end(first, "failed", began="create_vnet")
    assert gateway_of_spoke(use_cases.retry(first.spoke_id).spoke_id) == "hub-agw"

    end(first, "failed", began="create_vnet")
    taker = deploy("taker", gateway="hub-agw")
    assert refused(use_cases.retry, first.spoke_id) == "GatewayFull"
    end(taker, "failed")


def test_a_retry_of_what_came_no_further_than_the_checks_may_move(installation: Installation) -> None:
    gateways = installation.gateways(hub_agw=5, other_agw=1)
    installation.use([installation.first | {"gateways": gateways}])
    spoke = deploy("mover")
    assert gateway_of_spoke(spoke.spoke_id) == "hub-agw"
    end(spoke, "failed", began="validate_config")
    gateways[0]["limit"] = 1
    installation.use([installation.first | {"gateways": gateways}])
    assert gateway_of_spoke(use_cases.retry(spoke.spoke_id).spoke_id) == "other-agw"


@pytest.mark.parametrize("named", [{}, {"gateway": "hub-agw"}])
@pytest.mark.parametrize("closed", [("hub-agw",), ("hub-agw", "other-agw")])
def test_a_retry_of_what_was_begun_goes_on_at_its_gateway_when_that_is_closed(
    installation: Installation, named: dict[str, str], closed: tuple[str, ...]
) -> None:
    gateways = installation.gateways(hub_agw=5, other_agw=1)
    installation.use([installation.first | {"gateways": gateways}])
    begun, checked = deploy("begun", **named), deploy("checked", **named)
    end(begun, "failed", began="create_vnet")
    end(checked, "failed", began="validate_config")
    for gateway in gateways:
        gateway["open"] = gateway["name"] not in closed
    installation.use([installation.first | {"gateways": gateways}])
    assert gateway_of_spoke(use_cases.retry(begun.spoke_id).spoke_id) == "hub-agw"
    moves = not named and len(closed) == 1  # nothing was made, and another one is open
    assert gateway_of_spoke(use_cases.retry(checked.spoke_id).spoke_id) == ("other-agw" if moves else "hub-agw")
    if len(closed) == 2:
        assert refused(deploy, "new") == "GatewayClosed"


# --- hubs ---


@pytest.mark.parametrize(
    ("changes", "spoke_id", "address"),
    [
        ({}, 1, "10.11.1.0/24"),
        ({"hub": "second"}, 1001, "10.12.1.0/24"),
        ({"spoke_id": 1007}, 1007, "10.12.7.0/24"),
        ({"address_prefix": "10.12.9.0/24"}, 1009, "10.12.9.0/24"),
        ({"location": "West Europe"}, 1001, "10.12.1.0/24"),
        ({"location": "uksouth"}, 1, "10.11.1.0/24"),
        ({"hub": "FIRST", "location": "westeurope"}, 1, "10.11.1.0/24"),
    ],
)
def test_the_hub_of_a_request(installation: Installation, changes: dict[str, Any], spoke_id: int, address: str) -> None:
    installation.use([installation.first, installation.second])
    made = deploy("acme", **changes)
    with at_spoke(made.spoke_id):
        spoke, run = use_cases.spoke_and_run(made.spoke_id)
    assert run is not None
    assert (made.spoke_id, spoke.plan.address_prefix) == (spoke_id, address)
    assert hub_of_run(made.deployment_id or "").hub_key == (hubs()[0] if spoke_id < 1000 else hubs()[1]).hub_key


def test_names_are_unique_in_a_hub_and_not_beyond(installation: Installation) -> None:
    installation.use([installation.first, installation.second])
    assert [deploy("acme").spoke_id, deploy("acme", hub="second").spoke_id] == [1, 1001]
    assert refused(deploy, "acme", hub="second") == "NameTaken"


def test_lists_are_of_all_hubs_or_of_one(installation: Installation) -> None:
    installation.use([installation.first, installation.second])
    for name, hub in (("b", "second"), ("a", "first"), ("c", "first")):
        deploy(name, hub=hub)
    whole = _page(Filters(), 0, 100)
    assert [(each.spoke_id, each.hub) for each in whole.spokes] == [
        (1, "first"),
        (2, "first"),
        (1001, "second"),
    ]
    assert [each.spoke_id for each in _page(Filters(hub="second"), 0, 100).spokes] == [1001]
    assert _page(Filters(gateway="far-agw"), 0, 100).total == 1
    page = _page(Filters(), 0, 2)
    assert page.continuation == continuation_token(2, Filters())
    assert [each.spoke_id for each in _page(Filters(), 2, 2).spokes] == [1001]


def test_an_idempotency_key_is_one_key_in_all_hubs(installation: Installation) -> None:
    installation.use([installation.first, installation.second])
    key = nonce(12)
    first = deploy("acme", key)
    assert deploy("acme", key).deployment_id == first.deployment_id
    assert refused(deploy, "acme", key, hub="second") == "IdempotencyKeyReused"
    # A request that is refused leaves its key free for another try.
    other = nonce(12)
    assert refused(deploy, "acme", other) == "NameTaken"
    assert deploy("acme", other, hub="second").spoke_id == 1001


# --- HUBS over records that are there ---


def test_hubs_of_the_same_content_write_the_same_rows(installation: Installation) -> None:
    written = []
    for hubs_given in (None, [{"name": f"first-{installation.name}"}]):
        installation.use(hubs_given)
        made = deploy("acme", nonce(12), tags={"team": "blue"})
        rows = installation.rows(current_settings().hub_key)
        unlike = re.compile(rf'{made.deployment_id}|key:[0-9a-f]+|"\d{{4}}-\d\d-\d\dT[^"]+"|"[0-9a-f]{{16,}}"')
        written.append(
            {
                unlike.sub("*", row["RowKey"]): unlike.sub("*", json.dumps(dict(row), sort_keys=True, default=str))
                for row in rows
                if row["RowKey"] != "marker"
            }
        )
        assert installation.rows(INSTALLATION) == []
        for row in rows:
            store.table(SPOKES_TABLE).write([("delete", row)])
    assert written[0] == written[1]
    assert "slot:" in str(sorted(written[0]))
    assert '"gateway"' not in str(written[0]), "what only several gateways need is not in a row"


def test_spokes_of_one_hub_live_on_under_hubs_and_back(installation: Installation) -> None:
    installation.use()
    old = deploy("old")
    end(old, "completed")
    failed = deploy("failed")
    end(failed, "failed")

    gateways = [{"name": "hub-agw"}, *installation.gateways(other_agw=9)]
    installation.use([installation.first | {"gateways": gateways}, installation.second])
    assert gateway_of_spoke(old.spoke_id) == "hub-agw"
    assert _view(old.spoke_id).agw.host_name == "old.spokes.example.com"
    assert _run(str(old.deployment_id)).status == "completed"
    assert gateway_of_spoke(deploy("new").spoke_id) == "hub-agw", "98 places are free there, 9 on the other"
    other = deploy("other", gateway="other-agw")
    far = deploy("far", hub="second")
    assert use_cases.retry(failed.spoke_id).spoke_id == failed.spoke_id
    for each in (other, far):
        end(each, "completed")

    installation.use()
    assert former_hubs()[0].hub_name == "second"
    assert [each.client_name for each in _page(Filters(), 0, 100).spokes] == [
        "old",
        "failed",
        "new",
        "other",
        "far",
    ]
    assert _view(far.spoke_id).status == "completed", "it is shown as it is"
    assert (gateway_of_spoke(far.spoke_id), gateway_of_spoke(other.spoke_id)) == ("far-agw", "other-agw")
    assert _run(str(far.deployment_id)).status == "completed"
    assert refused(use_cases.remove, far.spoke_id, force=True) == "HubNotConfigured"
    assert refused(use_cases.remove, other.spoke_id, force=True) == "GatewayNotConfigured"
    spoke = use_cases.remove(old.spoke_id, force=False)
    removal = use_cases.remove(old.spoke_id, force=False, looked_at=spoke)  # type: ignore[arg-type]
    assert isinstance(removal, use_cases.RunHandle)
    latest = deploy("latest")
    slots = [
        row["RowKey"] for row in installation.rows(current_settings().hub_key) if row["RowKey"].startswith("slot:")
    ]
    assert len(slots) == len(set(slots)) == 5
    assert gateway_of_spoke(latest.spoke_id) == "hub-agw"


def test_places_of_both_forms_of_slots_are_counted_together(installation: Installation) -> None:
    installation.use(AGW_LIMIT="4")
    for name in ("a", "b"):
        deploy(name)
    first = installation.first | {"gateways": [{"name": "hub-agw", "limit": 4}, *installation.gateways(other_agw=1)]}
    installation.use([first])
    deploy("c", gateway="hub-agw")
    assert refused(deploy, "d", gateway="hub-agw") == "GatewayFull"
    installation.use(AGW_LIMIT="4")
    assert refused(deploy, "e") == "GatewayFull"


def test_work_for_each_hub_is_about_that_hub(installation: Installation) -> None:
    installation.use([installation.first, installation.second])
    assert at_each_hub(lambda: [current_settings().hub_name]) == ["first", "second"]
    assert current_settings() == replace(process_settings(), places=())
    with at(hubs()[1]):
        assert current_settings().hub_agw_name == "far-agw"
    with pytest.raises(ValidationException):
        deploy("nowhere", hub="third")


def test_a_key_that_was_used_under_one_hub_is_known_under_hubs_in_whichever_hub(installation: Installation) -> None:
    installation.use()
    key = nonce(12)
    first = deploy("acme", key)
    for hubs_given in ([installation.first, installation.second], [installation.second_as_first, installation.moved]):
        installation.use(hubs_given)
        again = deploy("acme", key)
        assert (again.deployment_id, again.start) == (first.deployment_id, False)
        assert refused(deploy, "acme", key, vm_name="another") == "IdempotencyKeyReused"
        assert refused(deploy, "acme", key, hub="second") == "IdempotencyKeyReused"
    installation.use()
    assert deploy("acme", key).deployment_id == first.deployment_id


def test_a_key_that_was_used_on_a_hub_is_known_when_that_hub_is_gone(installation: Installation) -> None:
    installation.use([installation.second_as_first, installation.moved])
    key = nonce(12)
    far = deploy("acme", key)
    assert far.spoke_id == 1
    installation.use()
    again = deploy("acme", key)
    assert (again.deployment_id, again.start) == (far.deployment_id, False)


def test_a_run_from_before_hubs_is_found_in_its_hub_wherever_that_stands_in_the_list(
    installation: Installation,
) -> None:
    installation.use()
    old = deploy("old")
    key = current_settings().hub_key
    installation.use([installation.second_as_first, installation.moved])
    assert hub_of_run(str(old.deployment_id)).hub_key == key
    assert _run(str(old.deployment_id)).client_name == "old"


def test_a_hub_from_before_hubs_is_known_when_it_leaves_the_list(installation: Installation) -> None:
    installation.use()
    end(deploy("old"), "completed")
    installation.use([installation.first, installation.second])
    deploy("far", hub="second")
    installation.use([installation.second])
    assert [hub.hub_name for hub in former_hubs()] == ["first"]
    assert [each.client_name for each in _page(Filters(), 0, 100).spokes] == ["old", "far"]


def test_a_key_of_the_time_after_hubs_was_taken_back_is_known_when_it_is_set_again(installation: Installation) -> None:
    installation.use([installation.first, installation.second])
    deploy("before")
    installation.use()
    key = nonce(12)
    first = deploy("acme", key)
    installation.use([installation.second_as_first, installation.moved])
    assert deploy("acme", key).deployment_id == first.deployment_id


def test_the_ids_of_a_hub_that_left_the_list_stay_those_of_its_spokes(installation: Installation) -> None:
    """Without `first_spoke_id` the second hub's ids are the first's, when it is the first of the list."""
    installation.use([installation.first, installation.second])
    near, far = deploy("near"), deploy("far", hub="second")
    for each in (near, far):
        end(each, "completed")
    installation.use([installation.second])
    assert [_view(each.spoke_id).client_name for each in (near, far)] == ["near", "far"]
    assert refused(use_cases.remove, near.spoke_id, force=True) == "HubNotConfigured"
    assert refused(deploy, "another", spoke_id=near.spoke_id) == "NameTaken"
    assert deploy("another").spoke_id == 2


def test_the_first_post_of_a_process_asks_as_often_with_eight_hubs_as_with_two(
    installation: Installation, counted: tuple[str, str]
) -> None:
    """With a key, without an id: with keys that were used under one hub, and again when all that is noted."""
    connection, requests = counted
    asked: dict[str, list[int]] = {}
    for count in (2, 8):
        installation.name = nonce(8)
        installation.use()
        key = nonce(12)
        old = deploy("old", key)
        more = [
            {"name": f"hub-{n}", "vnet": f"hub-{n}-{installation.name}", "address_pool": f"10.{20 + n}.0.0/16"}
            | {"gateways": [{"name": f"agw-{n}", "domain": f"{n}.example.com"}]}
            for n in range(1, count)
        ]
        for process in ("first", "later"):
            installation.use([installation.first, *more], TABLES_CONNECTION_STRING=connection)
            httpx.delete(requests, trust_env=False).raise_for_status()
            deploy(f"new-{process}", nonce(12), hub="hub-1")
            asked.setdefault(process, []).append(len(httpx.get(requests, trust_env=False).json()))
        assert deploy("old", key).deployment_id == old.deployment_id
        for row in installation.rows(INSTALLATION):
            store.table(SPOKES_TABLE).write([("delete", row)])
    for process, (few, many) in asked.items():
        assert few == many, process


def test_the_list_of_spokes_asks_as_often_while_many_are_deployed(
    installation: Installation, counted: tuple[str, str]
) -> None:
    connection, requests = counted
    installation.use(TABLES_CONNECTION_STRING=connection)
    asked = []
    for more in range(2):
        for number in range(READERS + 1):
            deploy(f"client-{more}-{number}")
        httpx.delete(requests, trust_env=False).raise_for_status()
        spokes = _page(Filters(), 0, 1000).spokes
        asked.append(len(httpx.get(requests, trust_env=False).json()))
        assert [each.deployment.created_at is not None for each in spokes] == [True] * len(spokes)
    assert len(spokes) == 2 * (READERS + 1)
    assert asked[0] == asked[1] < READERS


def test_names_of_elements_are_unique_on_a_gateway_and_not_beyond(installation: Installation) -> None:
    installation.use()
    deploy("old", backend_pool_name="shared")
    gateways = [{"name": "hub-agw"}, *installation.gateways(other_agw=9)]
    installation.use([installation.first | {"gateways": gateways}])
    assert refused(deploy, "first", gateway="hub-agw", backend_pool_name="shared") == "NameTaken"
    end(deploy("second", gateway="other-agw", backend_pool_name="shared"), "completed")
    assert refused(deploy, "third", gateway="other-agw", backend_pool_name="SHARED") == "NameTaken"
    freed = deploy("fourth", gateway="hub-agw", backend_pool_name="mine", routing_rule_name="my-rule")
    end(freed, "failed")
    assert deploy("fifth", gateway="hub-agw", backend_pool_name="mine", routing_rule_name="my-rule").start
    installation.use()
    assert refused(deploy, "sixth", backend_pool_name="mine") == "NameTaken"
