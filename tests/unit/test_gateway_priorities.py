"""Priorities: below whatever would catch our hosts, unique, kept; and what is said when none is left."""

import copy
import re

import pytest

from shared.errors import ConfigurationException, Failure
from shared.spoke.documents.raw import properties_of
from shared.writers.gateway.plan_pass import plan_pass
from shared.writers.gateway.priorities import (
    Ceiling,
    ceiling_for,
    next_priority,
    no_priority_left,
    unmanaged_rules,
    with_all_numbered,
)
from shared.writers.gateway.site_rows import Site
from shared.writers.gateway.sites import frontend_of, host_conflict
from tests.unit.gateways import WRITER, applied_rows, gateway, listener, numbers_of, rule, served, site_row


def frontend(document, port=80):
    found = frontend_of(document, Site("x", "10.0.0.1", frontend_port=port))
    assert not isinstance(found, Failure)
    return found


@pytest.mark.parametrize(("default", "first"), [(1001, 1000), (20000, 19999), (100, 99), (2, 1)])
def test_the_default_rule_is_the_ceiling(default, first):
    decided = plan_pass(gateway(default), [site_row(1)], WRITER)
    assert decided.document is not None
    assert numbers_of(decided.document) == {"defaultRoutingRule": default, "client-1-route": first}


def test_a_wildcard_that_catches_our_host_is_the_ceiling_and_others_are_not():
    document = gateway(
        1001,
        (listener("wild", "*.spokes.example.com"), rule("wildRule", "wild", 500)),
        (listener("other", "*.example.org", "shop.example.com"), rule("otherRule", "other", 300)),
        (listener("secure", "*.spokes.example.com", port="port_443"), rule("secureRule", "secure", 200)),
    )
    others = unmanaged_rules(document, [])
    assert ceiling_for(document, others, "a.spokes.example.com", frontend(document)) == Ceiling(500, "wildRule")
    assert ceiling_for(document, others, "a.b.example.org", frontend(document)) == Ceiling(300, "otherRule")
    assert ceiling_for(document, others, "www.example.com", frontend(document)) == Ceiling(1001, "defaultRoutingRule")
    assert ceiling_for(document, others, "www.example.com", frontend(document, 443)) == Ceiling()


def test_numbers_of_unmanaged_rules_are_passed_over_and_kept_ones_are_not_moved():
    more = (listener("a", "a.example.com"), rule("aRule", "a", 1000))
    rows = [site_row(1), site_row(2, priority=998, owned=True)]
    decided = plan_pass(gateway(1001, more), rows, WRITER)
    assert decided.document is not None
    assert numbers_of(decided.document) == {
        "defaultRoutingRule": 1001,
        "aRule": 1000,
        "client-1-route": 999,
        "client-2-route": 998,
    }


def test_a_number_that_is_taken_or_that_a_lower_ceiling_covers_is_given_up():
    rows = [site_row(1, priority=1000, owned=True, applied_version=1)]
    taken = (listener("a", "a.example.com"), rule("aRule", "a", 1000))
    decided = plan_pass(gateway(1001, taken), rows, WRITER)
    assert decided.document is not None
    assert numbers_of(decided.document)["client-1-route"] == 999
    decided = plan_pass(gateway(500), rows, WRITER)
    assert decided.document is not None
    assert numbers_of(decided.document)["client-1-route"] == 499


def test_when_no_number_is_left_the_rule_and_the_command_are_named():
    decided = plan_pass(gateway(2), [site_row(1), site_row(2)], WRITER)
    [failed] = decided.failed
    assert failed.error is not None
    assert failed.error.error == ConfigurationException
    assert failed.error.code == "NoPriorityLeft"
    assert "defaultRoutingRule" in failed.error.message
    assert "az network application-gateway rule update --resource-group hub-rg --gateway-name hub-agw" in str(
        failed.error.hint
    )
    assert decided.batch == {"client-1": 1}


def commands(hint):
    """`(rule, number)` of each command of a hint, in order."""
    return [(name, int(number)) for name, number in re.findall(r"--name (\S+) --priority (\d+)", hint)]


def refused(document, client=1):
    [failed] = plan_pass(document, [site_row(client)], WRITER).failed
    assert failed.error is not None
    return failed.error


def with_numbers(document, moves):
    """The document after these commands; each has to be taken by Azure."""
    changed = copy.deepcopy(document)
    for name, number in moves:
        rules = {each["name"]: each["properties"] for each in changed["properties"]["requestRoutingRules"]}
        assert number not in {each.get("priority") for each in rules.values()}
        rules[name]["priority"] = number
    return changed


def test_the_command_names_a_number_that_is_free():
    last = (listener("last", "last.example.org"), rule("lastRule", "last", 20000))
    before = (listener("before", "before.example.org"), rule("beforeRule", "before", 19999))
    document = gateway(1, last, before)
    moves = commands(refused(document).hint)
    assert moves == [("defaultRoutingRule", 19998)]
    assert plan_pass(with_numbers(document, moves), [site_row(1)], WRITER).failed == []


def test_several_rules_in_the_way_are_moved_last_one_first_and_keep_their_order():
    wild = (listener("wild", "*.spokes.example.com"), rule("wildRule", "wild", 1))
    document = gateway(2, wild)
    moves = commands(refused(document).hint)
    assert moves == [("defaultRoutingRule", 20000), ("wildRule", 19999)]
    after = with_numbers(document, moves)
    assert plan_pass(after, [site_row(1)], WRITER).failed == []


def test_a_rule_that_is_out_of_the_way_stays_where_it_is():
    wild = (listener("wild", "*.spokes.example.com"), rule("wildRule", "wild", 1))
    document = gateway(1001, wild)
    assert commands(refused(document).hint) == [("wildRule", 1000)]


def test_without_any_free_number_no_command_is_given():
    frontend_of_ours = frontend(gateway())
    document = gateway(1)
    failure = no_priority_left(document, unmanaged_rules(document, []), set(range(1, 20001)), "a.b.c", frontend_of_ours)
    assert commands(failure.hint) == []


def test_rules_without_a_number_beside_others_get_free_ones_in_one_change():
    last = (listener("last", "last.example.org"), rule("lastRule", "last", 20000))
    shop = (listener("shop", "shop.example.com"), rule("shopRule", "shop", None))
    failure = refused(gateway(1001, last, shop))
    assert failure.code == "RuleWithoutPriority"
    assert commands(failure.hint) == [("shopRule", 1000)]
    failure = refused(gateway(None, last, shop))
    assert "rules defaultRoutingRule, shopRule" in failure.message
    assert "--set requestRoutingRules[0].priority=19999 requestRoutingRules[2].priority=19998`" in failure.hint


def test_a_gateway_without_any_priority_gets_all_in_the_present_order_of_evaluation():
    document = gateway(
        None,
        (listener("shop", "shop.example.com"), rule("shopRule", "shop", None)),
        (listener("plain", port="port_443"), rule("plainRule", "plain", None)),
        (listener("blog", "blog.example.com"), rule("blogRule", "blog", None)),
    )
    assert numbers_of(with_all_numbered(document)) == {
        "defaultRoutingRule": 19500,
        "shopRule": 19000,
        "plainRule": 20000,
        "blogRule": 19001,
    }
    decided = plan_pass(document, [site_row(1)], WRITER)
    assert decided.document is not None
    assert numbers_of(decided.document)["client-1-route"] == 19499
    live = served(decided.document)
    assert plan_pass(live, applied_rows(decided, [site_row(1)]), WRITER).document is None


def test_a_single_rule_without_priority_gets_the_last_number():
    assert numbers_of(with_all_numbered(gateway(None))) == {"defaultRoutingRule": 20000}


def test_without_anybody_who_wants_a_site_no_number_is_given():
    assert plan_pass(gateway(None), [], WRITER).document is None


def test_the_largest_free_number_is_taken():
    assert next_priority(Ceiling(), set()) == 20000
    assert next_priority(Ceiling(4, "r"), {3, 2}) == 1
    assert next_priority(Ceiling(1, "r"), set()) is None


def test_host_names_that_others_have_are_refused_and_basic_listeners_are_no_conflict():
    document = gateway(
        1001,
        (listener("shop", "shop.example.com", "www.example.com"), rule("shopRule", "shop", 10)),
        (listener("wild", "*.apps.example.com"), rule("wildRule", "wild", 20)),
    )
    names, front = site_row(1).names, frontend(document)

    def conflict(host, wildcards=True):
        found = host_conflict(document, names, host, front, wildcards=wildcards)
        return found.details["listener"] if found else None

    assert conflict("www.example.com") == "shop"
    assert conflict("a.apps.example.com") == "wild"
    assert conflict("a.apps.example.com", wildcards=False) is None
    assert conflict("client-1.spokes.example.com") is None


def test_https_listeners_name_the_certificate_and_a_missing_one_is_a_setting():
    site = Site("a.example.com", "10.11.1.4", frontend_port=443, ssl_certificate="wildcard")
    decided = plan_pass(gateway(), [site_row(1, site=site)], WRITER)
    assert decided.document is not None
    own = properties_of(decided.document["properties"]["httpListeners"][-1])
    assert own["protocol"] == "Https"
    assert own["requireServerNameIndication"] is True
    assert own["sslCertificate"]["id"].endswith("/sslCertificates/wildcard")
    assert numbers_of(decided.document)["client-1-route"] == 20000
    for missing in ({"ssl_certificate": "gone"}, {"frontend_port": 8080}, {"frontend_ip": "gone"}):
        site = Site("a.example.com", "10.11.1.4", **missing)
        [failed] = plan_pass(gateway(), [site_row(1, site=site)], WRITER).failed
        assert failed.error is not None
        assert failed.error.code == "GatewayPartMissing"
