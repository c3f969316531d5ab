"""Sites on the gateway: asked for, written, taken off again; against a stand-in of Azure and real tables."""

import asyncio
from typing import Any

from activities import gateway as steps
from shared.gateway.document import foreign_digests
from shared.outcomes import Cancelled, Done, Pending, outcome_from_data
from shared.tables.sites import gateway_sites, places_seen
from tests.activities.far_side import call_of
from tests.activities.writers import World, code_of


def test_a_site_is_asked_for_written_and_taken_off_again(world: World) -> None:
    before = world.gateway()
    run, outcome = world.want_site(1)
    assert isinstance(outcome, Pending)
    assert outcome.wakes == "gateway"
    world.write_gateway()
    outcome = world.step(run, "update_agw", private_ip="10.11.1.4")
    assert isinstance(outcome, Done)
    assert outcome.result["agw"] == {
        "backend_pool_name": "client-1-pool",
        "routing_rule_name": "client-1-route",
        "host_name": "client-1.spokes.example.com",
        "configured": True,
    }
    assert world.reaches(1)
    assert places_seen() == 99
    run = world.set_status(run, "rolling_back")
    assert isinstance(world.step(run, "remove_from_agw"), Pending)
    world.write_gateway()
    assert isinstance(world.step(run, "remove_from_agw"), Done)
    assert world.site(1) is None
    assert foreign_digests(world.gateway(), []) == foreign_digests(before, [])
    assert len(world.gateway_puts()) == 2


def test_the_undo_of_nothing_is_done_at_once(world: World) -> None:
    run = world.run(1, status="rolling_back")
    assert isinstance(world.step(run, "remove_from_agw"), Done)
    assert world.azure.requests() == []


def test_a_run_that_is_over_asks_for_nothing(world: World) -> None:
    run = world.run(1, status="failed")
    assert isinstance(world.step(run, "update_agw", private_ip="10.11.1.4"), Cancelled)
    assert world.site(1) is None


def test_99_sites_at_once_are_one_put_and_each_host_reaches_its_own(world: World) -> None:
    world.want_sites(range(1, 100))
    world.write_gateway()
    assert len(world.gateway_puts()) == 1
    assert world.reached(range(1, 100)) == list(range(1, 100))
    assert world.reaches(99)
    assert world.address_of("unknown.example.com") == []
    run, _ = world.want_site(100)
    world.write_gateway()
    assert code_of(world.step(run, "update_agw", private_ip="10.11.100.4")) == "GatewayFull"
    assert len(world.gateway_puts()) == 1


def test_who_comes_while_a_put_runs_has_the_next_one(world: World) -> None:
    world.want_site(1)
    late = iter([2, 3])

    def arrive(name: str) -> None:
        if name == "poll_gateway" and (number := next(late, None)):
            world.want_site(number)

    world.before_call = arrive
    world.write_gateway()
    assert len(world.gateway_puts()) == 2
    assert all(world.reaches(number) for number in (1, 2, 3))


def test_a_site_that_is_cancelled_while_its_put_runs_is_taken_off_again(world: World) -> None:
    run, _ = world.want_site(1)
    world.want_site(2)

    def cancel(name: str) -> None:
        if name == "poll_gateway" and run.status == "in_progress":
            rolling_back = world.set_status(run, "rolling_back")
            world.step(rolling_back, "remove_from_agw")
            world.before_call = lambda name: None

    world.before_call = cancel
    world.write_gateway()
    assert not world.reaches(1)
    assert world.reaches(2)
    assert world.site(1) is None


def test_49_go_and_50_come_at_the_same_moment(world: World) -> None:
    world.want_sites(range(1, 50))
    world.write_gateway()
    world.forget_sites(range(1, 50))
    world.want_sites(range(50, 100))
    world.write_gateway()
    assert len(world.gateway_puts()) == 2
    assert world.reached(range(1, 100)) == list(range(50, 100))
    _, rows = gateway_sites().everything()
    assert {row.client for row in rows} == {f"client-{number}" for number in range(50, 100)}


def test_the_step_starts_the_writer(world: World) -> None:
    """Through the wrapper that Durable calls, with a client that only notes what it is asked."""
    started: list[tuple[str, str, Any]] = []

    class Client:
        async def get_status(self, instance_id: str) -> None:
            return None

        async def start_new(self, name: str, instance_id: str, client_input: Any) -> None:
            started.append((name, instance_id, client_input))

    run = world.run(1)
    answer = asyncio.run(steps.update_agw(call_of(run, "update_agw", private_ip="10.11.1.4"), Client()))
    assert isinstance(outcome_from_data(answer), Pending)
    [(name, instance_id, given)] = started
    assert (name, instance_id) == ("write_gateway", "gateway-hub-agw")
    assert given["poll_seconds"] == 1


def test_a_waf_policy_with_old_rules_leaves_room_for_39(world: World) -> None:
    policy_id = world.azure.id_of("hub-rg", "Microsoft.Network/ApplicationGatewayWebApplicationFirewallPolicies", "waf")
    rules = {"managedRuleSets": [{"ruleSetType": "OWASP", "ruleSetVersion": "3.1"}]}
    world.azure.plant({"id": policy_id, "location": "eastus", "properties": {"managedRules": rules}})
    document = world.gateway()
    document["properties"] |= {"firewallPolicy": {"id": policy_id}, "sku": {"name": "WAF_v2", "tier": "WAF_v2"}}
    world.azure.plant(document)
    world.want_sites(range(1, 41))
    world.write_gateway()
    assert places_seen() == 39
    failed = [number for number in range(1, 41) if (site := world.site(number)) and site.has_failed]
    assert len(failed) == 1
