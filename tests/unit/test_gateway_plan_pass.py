"""Rounds: whose names are whose, how many sites there is room for, batches, and what a lost answer means."""

import copy
from dataclasses import replace
from datetime import UTC, datetime

from shared.tables.codec import as_entity, from_entity
from shared.writers.gateway.capacity import capacity_of, firewall_policy_ids, limits_of, site_capacity, unsuitable
from shared.writers.gateway.document import element_named, elements_digest, present
from shared.writers.gateway.plan_pass import drifted, plan_pass, put_was_applied
from shared.writers.gateway.site_rows import (
    SENDING,
    GatewayWriter,
    SiteRow,
    Tombstone,
    names_of_ours,
    remembered,
    request_site,
)
from shared.writers.gateway.sites import Frontend, frontend_of
from tests.unit.gateways import (
    NOW,
    WRITER,
    applied_rows,
    gateway,
    known,
    listener,
    numbers_of,
    part,
    rule,
    served,
    site_row,
)


def test_an_element_of_the_same_name_that_is_not_ours_fails_that_row_alone():
    document = gateway()
    document["properties"]["probes"].append({"name": "Client-1-Probe", "properties": {}})
    decided = plan_pass(document, [site_row(1), site_row(2)], WRITER)
    assert [(row.client, known(row.error).code) for row in decided.failed] == [("client-1", "NameTaken")]
    assert decided.batch == {"client-2": 1}
    rolled_back = replace(decided.failed[0]).request_removal(deployment_id="x", now=NOW)
    after = plan_pass(document, [rolled_back], WRITER)
    assert after.gone == [rolled_back]
    assert after.document is None


def test_there_is_room_for_99_beside_the_hubs_own_and_the_100th_is_refused_with_the_numbers():
    rows = [site_row(number, since=f"2026-01-01T00:{number:04d}") for number in range(1, 101)]
    assert site_capacity(gateway(), names_of_ours(rows), limits_of(gateway())) == 99
    decided = plan_pass(gateway(), rows, WRITER)
    assert len(decided.batch) == 99
    [failed] = decided.failed
    assert failed.client == "client-100"
    assert failed.error is not None
    assert failed.error.code == "GatewayFull"
    assert failed.error.details["places"] == 99


def test_an_old_core_rule_set_leaves_room_for_39():
    for version, most in (("3.1", 40), ("3.0", 40), ("2.2.9", 40), ("3.2", 100)):
        waf = {"enabled": True, "ruleSetType": "OWASP", "ruleSetVersion": version}
        document = gateway(webApplicationFirewallConfiguration=waf)
        assert limits_of(document)["settings"] == most, version
        assert limits_of(document)["pools"] == 100, version
        assert site_capacity(document, [], limits_of(document)) == most - 1


OLD, NEW = {"ruleSetType": "OWASP", "ruleSetVersion": "3.0"}, {"ruleSetType": "OWASP", "ruleSetVersion": "3.2"}
POLICY = "/subscriptions/s/resourceGroups/hub-rg/providers/Microsoft.Network/ApplicationGatewayWebApplicationFirewallPolicies/p"


def waf_policy(*rule_sets, **settings):
    return {"id": POLICY, "properties": {"policySettings": settings, "managedRules": {"managedRuleSets": rule_sets}}}


def test_a_waf_policy_decides_and_not_the_block_that_it_replaced():
    stale = gateway(
        webApplicationFirewallConfiguration={"enabled": True, **OLD}, firewallPolicy={"id": POLICY.replace("/p", "/P")}
    )
    assert site_capacity(stale, [], limits_of(stale, 100, [waf_policy(NEW)])) == 99
    assert site_capacity(stale, [], limits_of(stale, 100, [waf_policy(OLD)])) == 39
    assert site_capacity(stale, [], limits_of(stale)) == 99  # a policy that can't be read is taken for a new one


def test_only_core_rules_that_are_at_work_make_it_forty():
    def places(*policies, most=100):
        return site_capacity(gateway(), [], limits_of(gateway(), most, policies))

    bots = {"ruleSetType": "Microsoft_BotManagerRuleSet", "ruleSetVersion": "1.0"}
    assert places(waf_policy({"ruleSetType": "OWASP", "ruleSetVersion": "3.1"})) == 39
    assert places(waf_policy(NEW, bots)) == 99
    assert places(waf_policy({"ruleSetType": "Microsoft_DefaultRuleSet", "ruleSetVersion": "2.1"})) == 99
    assert places(waf_policy()) == 99
    assert places(waf_policy(OLD, state="Disabled")) == 99
    assert places(waf_policy(NEW), waf_policy(OLD)) == 39
    assert places(waf_policy(OLD), most=20) == 19
    assert places(most=200) == 199


def test_policies_of_listeners_and_path_rules_are_policies_of_the_gateway():
    of_rule, of_listener = f"{POLICY}-rule", f"{POLICY}-listener"
    path_map = {
        "name": "m",
        "properties": {"pathRules": [{"name": "r", "properties": {"firewallPolicy": {"id": of_rule}}}]},
    }
    document = gateway(firewallPolicy={"id": POLICY}, urlPathMaps=[path_map])
    document["properties"]["httpListeners"][0]["properties"]["firewallPolicy"] = {"id": of_listener}
    assert firewall_policy_ids(document) == [POLICY, of_listener, of_rule]
    assert firewall_policy_ids(gateway()) == []


def test_capacity_counts_requested_sites_and_what_is_unmanaged():
    document = gateway()
    found = frontend_of(document, known(site_row(1).site))
    assert isinstance(found, Frontend)
    counted = capacity_of(
        document, [site_row(1), site_row(2, site=None)], found, "x.spokes.example.com", limits_of(document)
    )
    assert counted["pools"] == {"used": 2, "limit": 100, "free": 98}
    assert counted["listeners"] == {"used": 2, "limit": 200, "free": 198}
    assert counted["active_listeners"] == {"used": 2, "limit": 100, "free": 98}
    assert counted["rules"] == {"used": 2, "limit": 400, "free": 398}
    assert counted["priorities"] == {"used": 0, "limit": 1000, "free": 1000}


def test_gateways_that_must_not_be_written():
    def code(**changes):
        document = gateway(**changes.pop("properties", {}))
        document |= changes
        failure = unsuitable(document)
        return failure.code if failure else None

    assert known(unsuitable(None)).code == "GatewayNotFound"
    assert code() is None
    assert code(tags={"Managed-By-k8s-Ingress": "1.2"}) == "GatewayManagedByIngress"
    assert code(properties={"operationalState": "Stopped"}) == "GatewayStopped"
    assert code(properties={"sku": {"tier": "Standard"}}) == "GatewayTier"
    failed = served(gateway(), "Failed")
    assert known(unsuitable(failed)).code == "GatewayFailed"
    assert unsuitable(failed, failed_by_us=True) is None


def test_a_limited_batch_takes_the_first_and_takes_the_others_off_again():
    rows = [site_row(number) for number in (1, 2, 3, 4)]
    first = plan_pass(gateway(), rows, WRITER)
    assert first.document is not None
    broken = served(first.document, "Failed")
    rows = applied_rows(first, rows)
    half = plan_pass(broken, rows, GatewayWriter(limit=2, our_failure=True))
    assert half.batch == {"client-1": 1, "client-2": 1}
    assert half.document is not None
    assert not half.applied
    assert [bool(present(half.document, row.names)) for row in rows] == [True, True, False, False]
    taken = served(half.document)
    after = plan_pass(taken, rows, GatewayWriter(limit=2))
    assert [row.client for row in after.applied] == ["client-1", "client-2"]
    assert after.batch == {"client-3": 1, "client-4": 1}


def test_a_site_that_failed_is_taken_off_again():
    first = plan_pass(gateway(), [site_row(1), site_row(2)], WRITER)
    assert first.document is not None
    rows = applied_rows(first, [site_row(1), site_row(2)])
    failed = rows[0].failed(known(unsuitable(None)))
    decided = plan_pass(served(first.document, "Failed"), [failed, rows[1]], GatewayWriter(our_failure=True))
    assert decided.document is not None
    assert present(decided.document, failed.names) == []
    assert len(present(decided.document, rows[1].names)) == 5


def test_a_lost_answer_is_known_to_have_landed_when_all_of_its_batch_is_there():
    rows = [site_row(1), site_row(2)]
    decided = plan_pass(gateway(), rows, WRITER)
    rows = applied_rows(decided, rows)
    sent = GatewayWriter(phase=SENDING, batch=decided.batch)
    assert decided.document is not None
    assert put_was_applied(served(decided.document), rows, sent)
    assert not put_was_applied(gateway(), rows, sent)
    assert not put_was_applied(
        served(decided.document), [rows[0].request_removal(deployment_id="x", now=NOW), rows[1]], sent
    )
    assert not put_was_applied(served(decided.document), rows, GatewayWriter(phase=SENDING))


def test_what_the_gateway_holds_otherwise_than_sent_fails_and_what_it_lacks_waits():
    decided = plan_pass(gateway(), [site_row(1), site_row(2)], WRITER)
    rows = applied_rows(decided, [site_row(1), site_row(2)])
    assert decided.document is not None
    live = served(decided.document)
    assert drifted(live, rows, decided.batch) == []
    live["properties"]["probes"][0]["properties"]["interval"] = 31
    live["properties"]["probes"].pop()
    [failed] = drifted(live, rows, decided.batch)
    assert failed.client == "client-1"
    assert failed.error is not None
    assert failed.error.details["elements"] == ["probes/client-1-probe"]


def test_the_same_request_is_the_same_version():
    row = site_row(1)

    def again(before: SiteRow | None, **changes):
        return request_site(
            before,
            **{
                "client": row.client,
                "made_by": row.made_by,
                "deployment_id": row.deployment_id,
                "names": row.names,
                "site": row.site,
                "now": NOW,
                **changes,
            },
        )

    first = again(None)
    assert first.desired_version == 1
    assert again(first) is first
    other = again(first, site=replace(known(row.site), private_ip="10.11.1.5"))
    assert other.desired_version == 2
    gone = other.request_removal(deployment_id="later", now=NOW)
    assert (gone.desired_version, gone.site) == (3, None)
    assert gone.request_removal(deployment_id="later", now=NOW) is gone
    failed = gone.failed(known(unsuitable(None)))
    assert failed.request_removal(deployment_id="later", now=NOW) is failed
    assert failed.request_removal(deployment_id="a retry", now=NOW).desired_version == 4


def test_rows_survive_the_table():
    row = site_row(1, priority=7, owned=True).failed(known(unsuitable(None)))
    assert from_entity(SiteRow, as_entity(row, "p")) == row
    writer = GatewayWriter(
        phase="running",
        nonce="n",
        not_after=NOW,
        operation={"url": "u"},
        batch={"a": 1},
        newly_owned=("a",),
        limit=3,
        unexplained=1,
        our_failure=True,
        blocked_by=unsuitable(None),
        retry_reason="Not now.",
        capacity=99,
        began=NOW,
        last_put_seconds=40.5,
        unmanaged={"x": "y"},
        removed={"client-1": Tombstone(row.names, "d", NOW)},
    )
    assert from_entity(GatewayWriter, as_entity(writer, "p")) == writer
    assert from_entity(GatewayWriter, as_entity(GatewayWriter(), "p")) == GatewayWriter()
    assert part("a", "b")["id"].endswith("/a/b")


def test_who_goes_makes_room_for_who_comes_in_the_same_document():
    rows = [site_row(number, since=f"2026-01-01T00:{number:04d}") for number in range(1, 100)]
    first = plan_pass(gateway(), rows, WRITER)
    rows = [row.applied() for row in applied_rows(first, rows)]
    leaving = [row.request_removal(deployment_id="x", now="2026-01-01T01:00") for row in rows[:49]]
    coming = [site_row(number, since="2026-01-01T00:30") for number in range(101, 150)]
    decided = plan_pass(served(known(first.document)), [*leaving, *rows[49:], *coming], WRITER)
    assert not decided.failed
    assert decided.left == 98
    assert len(known(decided.document)["properties"]["backendAddressPools"]) == 100
    part_of = plan_pass(served(known(first.document)), [*leaving, *rows[49:], *coming], GatewayWriter(limit=10))
    assert not part_of.failed
    assert len(known(part_of.document)["properties"]["backendAddressPools"]) == 90


def test_a_number_that_is_about_to_be_free_is_waited_for():
    rows = [site_row(number, since=f"2026-01-01T00:{number:04d}") for number in (1, 2, 3)]
    first = plan_pass(gateway(4), rows, WRITER)
    rows = [row.applied() for row in applied_rows(first, rows)]
    leaving = rows[0].request_removal(deployment_id="x", now=NOW)
    decided = plan_pass(served(known(first.document)), [leaving, *rows[1:], site_row(9)], WRITER)
    assert (decided.failed, decided.left) == ([], 2)
    live = served(known(decided.document))
    after = plan_pass(live, [leaving, *rows[1:], site_row(9)], WRITER)
    assert (after.gone, after.failed, after.left) == ([leaving], [], 1)
    last = plan_pass(live, [*rows[1:], site_row(9)], WRITER)
    assert numbers_of(known(last.document))["client-9-route"] == 3


def test_a_request_for_unmanaged_names_does_not_make_them_ours():
    greedy = site_row(1, names=replace(site_row(1).names, rule="defaultRoutingRule", pool="defaultPool"))
    decided = plan_pass(gateway(), [greedy, site_row(2)], WRITER)
    assert [known(row.error).code for row in decided.failed] == ["NameTaken"]
    assert numbers_of(known(decided.document)) == {"defaultRoutingRule": 1001, "client-2-route": 1000}
    full = site_capacity(gateway(), names_of_ours([greedy]), limits_of(gateway()))
    assert full == 99


def test_a_site_that_can_not_be_put_back_is_reported_and_stops_no_other():
    first = plan_pass(gateway(), [site_row(1)], WRITER)
    row = applied_rows(first, [site_row(1)])[0].applied()
    theirs = gateway(1001, (listener("theirs", "client-1.spokes.example.com"), rule("theirRule", "theirs", 5)))
    decided = plan_pass(theirs, [row, site_row(2)], WRITER)
    assert {client: failure.code for client, failure in decided.unrepairable.items()} == {"client-1": "NameTaken"}
    assert decided.batch == {"client-2": 1}
    assert decided.repaired == []
    assert "client-1-pool" not in str(decided.document)


def test_a_site_that_is_put_back_waits_like_a_new_one_and_can_be_the_offender():
    first = plan_pass(gateway(), [site_row(1)], WRITER)
    row = applied_rows(first, [site_row(1)])[0].applied()
    decided = plan_pass(gateway(), [row, site_row(2)], WRITER)
    assert decided.repaired == ["client-1"]
    assert decided.batch == {"client-1": 1, "client-2": 1}
    assert {row.client: row.is_waiting for row in decided.prepared} == {"client-1": True, "client-2": True}
    assert plan_pass(gateway(), [row, site_row(2)], GatewayWriter(limit=1)).batch == {"client-1": 1}


def test_a_removed_site_that_a_stale_document_brings_back_is_removed_again():
    first = plan_pass(gateway(), [site_row(1)], WRITER)
    stale, names = served(known(first.document)), site_row(1).names
    writer = GatewayWriter(removed={"client-1": Tombstone(names, elements_digest(stale, names), NOW)})
    again = plan_pass(stale, [], writer)
    assert again.repaired == ["client-1"]
    assert present(known(again.document), names) == []
    assert plan_pass(gateway(), [], writer).document is None
    new = plan_pass(stale, [site_row(1, site=replace(known(site_row(1).site), private_ip="10.11.1.9"))], writer)
    assert not new.failed
    assert "10.11.1.9" in str(new.document)
    assert "10.11.1.4" not in str(new.document)
    others = copy.deepcopy(stale)
    known(element_named(others, "backendAddressPools", "client-1-pool"))["properties"]["backendAddresses"] = []
    assert plan_pass(others, [], writer).document is None, "what differs is unmanaged by now"


def test_removed_sites_are_forgotten_in_time():
    names, now = site_row(1).names, datetime(2026, 1, 2, 12, tzinfo=UTC)
    kept = {f"client-{hour}": Tombstone(names, "d", f"2026-01-02T{hour:02d}:00:00.000Z") for hour in range(12)}
    old = {"old": Tombstone(names, "d", "2026-01-01T11:00:00.000Z")}
    assert remembered({**kept, **old}, now) == kept
    many = {
        f"c{number}": Tombstone(names, "d", f"2026-01-02T10:{number // 60:02d}:{number % 60:02d}Z")
        for number in range(300)
    }
    assert list(remembered(many, now)) == [f"c{number}" for number in range(200, 300)]


def test_one_rule_without_priority_beside_others_fails_all_that_wait_with_the_command_that_fixes_it():
    odd = gateway(1001, (listener("a", "a.example.com"), rule("aRule", "a", None)))
    decided = plan_pass(odd, [site_row(1)], WRITER)
    [failed] = decided.failed
    assert known(failed.error).code == "RuleWithoutPriority"
    assert "--name aRule --priority" in known(known(failed.error).hint)
    assert decided.document is None


def test_a_cancelled_site_that_never_came_to_be_leaves_a_failed_gateway_whatever_the_limit():
    """Else the offender of a failed change would stay in every document, and the failure be attributed to other sites."""
    first = plan_pass(gateway(), [site_row(1), site_row(2), site_row(3)], WRITER)
    rows = applied_rows(first, [site_row(1), site_row(2), site_row(3)])
    gone = [row.request_removal(deployment_id="x", now=NOW) for row in rows]
    kept = replace(gone[0], applied_version=1)
    broken = served(known(first.document), "Failed")
    decided = plan_pass(broken, [kept, *gone[1:]], GatewayWriter(limit=1, our_failure=True))
    assert decided.batch == {"client-1": 2}
    assert [bool(present(known(decided.document), row.names)) for row in rows] == [False, False, False]
