"""Sites on the gateway: asked for, written, taken off again; against a stand-in of Azure and real tables."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest

from activities.steps import gateway as steps
from shared.saga.outcomes import Cancelled, Done, Pending, outcome_from_data
from shared.tables.client import ConcurrentUpdate
from shared.writers.gateway.document import unmanaged_digests
from shared.writers.writer_tables import gateway_sites
from tests.activities.azure_stand_in import call_of
from tests.activities.writers import WriterHarness, code_of


def test_a_site_is_asked_for_written_and_taken_off_again(harness: WriterHarness) -> None:
    before = harness.gateway()
    run, outcome = harness.want_site(1)
    assert isinstance(outcome, Pending)
    assert outcome.wakes == "gateway"
    harness.write_gateway()
    outcome = harness.step(run, "update_agw", private_ip="10.11.1.4")
    assert isinstance(outcome, Done)
    assert outcome.result["agw"] == {
        "backend_pool_name": "client-1-pool",
        "routing_rule_name": "client-1-route",
        "host_name": "client-1.spokes.example.com",
        "configured": True,
    }
    assert harness.reaches(1)
    assert gateway_sites().writer().capacity == 99
    run = harness.set_status(run, "rolling_back")
    assert isinstance(harness.step(run, "remove_from_agw"), Pending)
    harness.write_gateway()
    assert isinstance(harness.step(run, "remove_from_agw"), Done)
    assert harness.site(1) is None
    assert unmanaged_digests(harness.gateway(), []) == unmanaged_digests(before, [])
    assert len(harness.gateway_puts()) == 2


def test_the_undo_of_nothing_is_done_at_once(harness: WriterHarness) -> None:
    run = harness.run(1, status="rolling_back")
    assert isinstance(harness.step(run, "remove_from_agw"), Done)
    assert harness.azure.requests() == []


def test_a_run_that_is_over_asks_for_nothing(harness: WriterHarness) -> None:
    run = harness.run(1, status="failed")
    assert isinstance(harness.step(run, "update_agw", private_ip="10.11.1.4"), Cancelled)
    assert harness.site(1) is None


def test_99_sites_at_once_are_one_put_and_each_host_reaches_its_own(harness: WriterHarness) -> None:
    harness.want_sites(range(1, 100))
    harness.write_gateway()
    assert len(harness.gateway_puts()) == 1
    assert harness.reached(range(1, 100)) == list(range(1, 100))
    assert harness.reaches(99)
    assert harness.address_of("unknown.example.com") == []
    run, _ = harness.want_site(100)
    harness.write_gateway()
    assert code_of(harness.step(run, "update_agw", private_ip="10.11.100.4")) == "GatewayFull"
    assert len(harness.gateway_puts()) == 1


def test_who_comes_while_a_put_runs_has_the_next_one(harness: WriterHarness) -> None:
    harness.want_site(1)
    late = iter([2, 3])

    def arrive(name: str) -> None:
        if name == "poll_gateway" and (number := next(late, None)):
            harness.want_site(number)

    harness.before_call = arrive
    harness.write_gateway()
    assert len(harness.gateway_puts()) == 2
    assert all(harness.reaches(number) for number in (1, 2, 3))


def test_a_site_that_is_cancelled_while_its_put_runs_is_taken_off_again(harness: WriterHarness) -> None:
    run, _ = harness.want_site(1)
    harness.want_site(2)

    def cancel(name: str) -> None:
        if name == "poll_gateway" and run.status == "in_progress":
            rolling_back = harness.set_status(run, "rolling_back")
            harness.step(rolling_back, "remove_from_agw")
            harness.before_call = lambda name: None

    harness.before_call = cancel
    harness.write_gateway()
    assert not harness.reaches(1)
    assert harness.reaches(2)
    assert harness.site(1) is None


def test_49_go_and_50_come_at_the_same_moment(harness: WriterHarness) -> None:
    harness.want_sites(range(1, 50))
    harness.write_gateway()
    harness.forget_sites(range(1, 50))
    harness.want_sites(range(50, 100))
    harness.write_gateway()
    assert len(harness.gateway_puts()) == 2
    assert harness.reached(range(1, 100)) == list(range(50, 100))
    _, rows = gateway_sites().everything()
    assert {row.client for row in rows} == {f"client-{number}" for number in range(50, 100)}


def test_the_step_starts_the_writer(harness: WriterHarness) -> None:
    """Through the wrapper that Durable calls, with a client that only notes what it is asked."""
    started: list[tuple[str, str]] = []

    class Client:
        _orchestration_bindings = SimpleNamespace(rpc_base_url="http://127.0.0.1/")

        async def _get_async_request(self, url: str) -> tuple[int, None]:
            return 404, None

        async def start_new(self, name: str, instance_id: str) -> None:
            started.append((name, instance_id))

    run = harness.run(1)
    answer = asyncio.run(steps.update_agw(call_of(run, "update_agw", private_ip="10.11.1.4"), Client()))
    assert isinstance(outcome_from_data(answer), Pending)
    assert started == [("write_gateway", "gateway-hub-agw")]


def test_a_waf_policy_with_old_rules_leaves_room_for_39(harness: WriterHarness) -> None:
    policy_id = harness.azure.id_of(
        "hub-rg", "Microsoft.Network/ApplicationGatewayWebApplicationFirewallPolicies", "waf"
    )
    rules = {"managedRuleSets": [{"ruleSetType": "OWASP", "ruleSetVersion": "3.1"}]}
    harness.azure.plant({"id": policy_id, "location": "eastus", "properties": {"managedRules": rules}})
    document = harness.gateway()
    document["properties"] |= {"firewallPolicy": {"id": policy_id}, "sku": {"name": "WAF_v2", "tier": "WAF_v2"}}
    harness.azure.plant(document)
    harness.want_sites(range(1, 41))
    harness.write_gateway()
    assert gateway_sites().writer().capacity == 39
    assert sorted(row.has_failed for row in gateway_sites().everything()[1]) == [False] * 39 + [True]


def test_a_site_that_was_never_there_is_gone_at_once_whoever_holds_the_gateway(harness: WriterHarness) -> None:
    document = harness.gateway()
    document["properties"]["provisioningState"] = "Updating"
    harness.azure.plant(document)
    run, _ = harness.want_site(1)
    assert isinstance(harness.step(run, "update_agw", private_ip="10.11.1.4"), Pending)
    run = harness.set_status(run, "rolling_back")
    assert isinstance(harness.step(run, "remove_from_agw"), Done)
    assert harness.site(1) is None
    assert harness.gateway_puts() == []


def test_a_writer_that_has_read_the_row_before_it_went_writes_nothing_of_it(harness: WriterHarness) -> None:
    """The claim and the fence are one transaction: one of the two comes too late."""
    run, _ = harness.want_site(1)
    harness.want_site(2)
    rows = gateway_sites().everything()[1]
    run = harness.set_status(run, "rolling_back")
    assert isinstance(harness.step(run, "remove_from_agw"), Done)
    writer, _ = gateway_sites().everything()
    claimed = [replace(row, owned=True) for row in rows if row.client == "client-1"]
    with pytest.raises(ConcurrentUpdate):
        gateway_sites().mark(writer, claimed)
    harness.write_gateway()
    assert not harness.reaches(1)
    assert harness.reaches(2)
