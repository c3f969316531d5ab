"""The gateway's document: what isn't ours goes back as it was, and sites come and go together."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from local.azure.evaluation import route
from shared.writers.gateway.document import edited, present, unmanaged_changes, unmanaged_digests, unmanaged_users
from shared.writers.gateway.plan_pass import plan_pass
from shared.writers.gateway.site_rows import SiteRow
from tests.unit.gateways import (
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

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text("abcäß", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("xyz", min_size=1, max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    wanted=st.lists(st.sets(st.integers(1, 6)), min_size=1, max_size=5),
    unknown=JSON,
    tags=st.dictionaries(st.text("abc", min_size=1, max_size=3), st.text(max_size=3), max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_whatever_comes_and_goes_what_is_not_ours_stays_as_it_was(wanted, unknown, tags):
    wild = (listener("wild", "*.spokes.example.com"), rule("wildRule", "wild", 700))
    original = gateway(1001, wild, futureThing=unknown)
    original["tags"] = tags
    live = original
    rows: list[SiteRow] = []
    for clients in [*wanted, set()]:
        there = {row.client: row for row in rows}
        rows = [
            there.get(f"client-{number}") or site_row(number)
            for number in range(1, 7)
            if number in clients or f"client-{number}" in there
        ]
        rows = [
            row
            if (int(row.client[7:]) in clients) == (row.site is not None)
            else site_row(
                int(row.client[7:]),
                site=site_row(int(row.client[7:])).site if int(row.client[7:]) in clients else None,
                desired_version=row.desired_version + 1,
                applied_version=row.applied_version,
                owned=row.owned,
                priority=row.priority,
            )
            for row in rows
        ]
        decided = plan_pass(live, rows, WRITER)
        assert not decided.failed
        before = json.dumps(live, sort_keys=False)
        rows = applied_rows(decided, rows)
        if decided.document is not None:
            assert json.dumps(live) == before, "the document that was read is not changed in place"
            live = served(decided.document)
        again = plan_pass(live, rows, WRITER)
        assert again.document is None
        rows = applied_rows(again, rows)
        names = [row.names for row in rows]
        assert unmanaged_digests(live, names) == unmanaged_digests(original, names)
        given_numbers = [number for name, number in numbers_of(live).items() if name.startswith("client-")]
        assert all(number is not None and number < 700 for number in given_numbers)
        assert len(set(given_numbers)) == len(given_numbers)
        for number in clients:
            found = route(live["properties"], f"client-{number}.spokes.example.com", 80)
            assert found is not None
            assert found["addresses"] == [f"10.11.{number}.4"]
    assert live == original, "nothing is left when all have gone"


def test_a_site_is_five_elements_that_come_and_go_together():
    decided = plan_pass(gateway(), [site_row(1)], WRITER)
    assert decided.document is not None
    live = served(decided.document)
    assert len(present(live, site_row(1).names)) == 5
    gone = site_row(1, site=None, owned=True, priority=1000, desired_version=2, applied_version=1)
    after = plan_pass(live, [gone], WRITER)
    assert after.document is not None
    assert present(after.document, gone.names) == []


def test_a_back_reference_to_what_is_removed_goes_and_all_others_stay():
    decided = plan_pass(gateway(), [site_row(1), site_row(2)], WRITER)
    assert decided.document is not None
    live = served(decided.document)
    port = next(each for each in live["properties"]["frontendPorts"] if each["name"] == "port_80")
    assert len(port["properties"]["httpListeners"]) == 3
    document = edited(live, [], [site_row(1).names])
    port = next(each for each in document["properties"]["frontendPorts"] if each["name"] == "port_80")
    assert [each["id"].rsplit("/", 1)[-1] for each in port["properties"]["httpListeners"]] == [
        "defaultListener",
        "client-2-listener",
    ]


def test_elements_that_differ_are_replaced_in_their_place():
    decided = plan_pass(gateway(), [site_row(1), site_row(2)], WRITER)
    assert decided.document is not None
    live = served(decided.document)
    pool = live["properties"]["backendAddressPools"][1]
    assert pool["name"] == "client-1-pool"
    pool["properties"]["backendAddresses"] = []
    rows = [row.applied() for row in applied_rows(decided, [site_row(1), site_row(2)])]
    repaired = plan_pass(live, rows, WRITER)
    assert repaired.repaired == ["client-1"]
    assert repaired.document is not None
    names = [each["name"] for each in repaired.document["properties"]["backendAddressPools"]]
    assert names == ["defaultPool", "client-1-pool", "client-2-pool"]
    assert repaired.document["properties"]["backendAddressPools"][1]["properties"]["backendAddresses"] == [
        {"ipAddress": "10.11.1.4"}
    ]


def test_an_unmanaged_rule_that_uses_a_site_is_named():
    decided = plan_pass(gateway(), [site_row(1)], WRITER)
    assert decided.document is not None
    other = rule("theirs", "theirListener", 50)
    other["properties"]["backendAddressPool"] = part("backendAddressPools", "client-1-pool")
    decided.document["properties"]["requestRoutingRules"].append(other)
    decided.document["properties"]["httpListeners"].append(listener("theirListener", "a.example.com"))
    live = served(decided.document)
    names = site_row(1).names
    assert unmanaged_users(live, names, [names]) == ["requestRoutingRules/theirs"]
    gone = site_row(1, site=None, owned=True, priority=1000, desired_version=2, applied_version=1)
    after = plan_pass(live, [gone], WRITER)
    assert after.document is None
    assert [known(row.error).code for row in after.failed] == ["SiteInUse"]


def test_unmanaged_changes_are_named_and_ours_and_back_references_are_none():
    rows = [site_row(1)]
    decided = plan_pass(gateway(), rows, WRITER)
    assert decided.document is not None
    before = unmanaged_digests(decided.document, [rows[0].names])
    live = served(decided.document)
    assert unmanaged_changes(before, unmanaged_digests(live, [rows[0].names])) == []
    live["properties"]["backendAddressPools"][0]["properties"]["futurePool"] = 1
    live["properties"]["rewriteRuleSets"] = []
    live["properties"]["probes"].append({"name": "theirs", "properties": {}})
    live["properties"]["enableHttp2"] = True
    live["tags"] = {}
    assert unmanaged_changes(before, unmanaged_digests(live, [rows[0].names])) == [
        "backendAddressPools/defaultPool changed",
        "probes/theirs added",
        "properties.enableHttp2 added",
        "rewriteRuleSets/rewrites removed",
        "tags changed",
    ]
