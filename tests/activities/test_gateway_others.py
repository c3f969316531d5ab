"""Others write the gateway too: nothing of theirs is lost, and nothing of ours for long."""

import asyncio
from typing import Any

import pytest

from activities.runs import list_left_behind
from activities.steps import validate
from shared.arm.client import arm
from shared.errors import StorageException
from shared.saga.outcomes import Done, Failed
from shared.settings import current_settings
from shared.spoke.records import GATEWAY_SITES_TABLE
from shared.tables.client import table
from shared.tables.codec import as_entity
from tests.activities.azure_stand_in import call_of
from tests.activities.network import A_TRANSACTION
from tests.activities.writers import (
    FENCE,
    GATEWAY,
    WriterHarness,
    as_sent,
    code_of,
    kill,
    site_row,
)
from tests.infra.alert_lines import found


def test_no_put_is_sent_onto_a_running_operation(harness: WriterHarness) -> None:
    body = as_sent(harness.gateway())
    body["tags"] = {"by": "somebody else"}
    arm().put(harness.gateway_id, body)
    harness.want_site(1)
    harness.write_gateway()
    assert harness.gateway()["tags"] == {"by": "somebody else"}
    assert harness.reaches(1)
    assert all(each["status"] < 400 for each in harness.gateway_puts())
    assert len(harness.gateway_puts()) == 2


def test_another_writers_put_over_ours_is_seen_and_ours_is_sent_again(
    harness: WriterHarness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", logger="activities")
    harness.want_site(1)
    theirs = as_sent(harness.gateway()) | {"tags": {"by": "them"}}
    once = iter([True])

    def meddle(name: str) -> None:
        if name == "poll_gateway" and next(once, False):
            arm().put(harness.gateway_id, theirs)

    harness.before_call = meddle
    harness.write_gateway()
    assert harness.reaches(1)
    assert harness.gateway()["tags"] == {"by": "them"}
    assert "tags" in found("unmanaged-change", caplog.text)[0]["line"]
    site = harness.site(1)
    assert site is not None
    assert site.is_applied


def test_a_write_between_our_read_and_our_put_begins_a_new_pass(
    harness: WriterHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.want_site(1)
    theirs = as_sent(harness.gateway()) | {"tags": {"by": "them"}}
    harness.network.after("POST", A_TRANSACTION, lambda: arm().put(harness.gateway_id, theirs), body=FENCE)
    harness.write_gateway()
    assert harness.reaches(1)
    assert harness.gateway()["tags"] == {"by": "them"}
    assert [each["status"] for each in harness.gateway_puts()] == [200, 200]


def test_unmanaged_elements_of_the_same_name_are_left_alone_also_by_the_undo(harness: WriterHarness) -> None:
    document = harness.gateway()
    document["properties"]["backendAddressPools"].append({"name": "client-1-pool", "properties": {}})
    harness.azure.plant(document)
    run, _ = harness.want_site(1)
    harness.want_site(2)
    harness.write_gateway()
    assert code_of(harness.step(run, "update_agw", private_ip="10.11.1.4")) == "NameTaken"
    run = harness.set_status(run, "rolling_back")
    harness.step(run, "remove_from_agw")
    harness.write_gateway()
    assert isinstance(harness.step(run, "remove_from_agw"), Done)
    assert "client-1-pool" in str(harness.gateway())
    assert harness.reaches(2)


@pytest.mark.parametrize("how", ["our look sees it", "ARM sees it", "the host is killed"])
def test_a_pool_of_the_same_name_that_comes_right_before_our_put_stays(
    harness: WriterHarness, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    document = as_sent(harness.gateway())
    theirs = {"name": "Client-1-Pool", "properties": {"backendAddresses": [{"ipAddress": "192.0.2.7"}]}}
    document["properties"]["backendAddressPools"].append(theirs)
    if how == "ARM sees it":
        harness.network.before("PUT", GATEWAY, lambda: harness.azure.plant(document))
    else:
        harness.network.after("POST", A_TRANSACTION, lambda: harness.azure.plant(document), body=FENCE)
    if how == "the host is killed":
        harness.after_a_kill = lambda: None
        harness.network.after("POST", A_TRANSACTION, kill, body=FENCE)
    run, _ = harness.want_site(1)
    harness.write_gateway()
    assert code_of(harness.step(run, "update_agw", private_ip="10.11.1.4")) == "NameTaken"
    run = harness.set_status(run, "rolling_back")
    harness.step(run, "remove_from_agw")
    harness.write_gateway()
    assert isinstance(harness.step(run, "remove_from_agw"), Done)
    pools = {pool["name"]: pool["properties"] for pool in harness.gateway()["properties"]["backendAddressPools"]}
    assert pools["Client-1-Pool"]["backendAddresses"] == [{"ipAddress": "192.0.2.7"}]
    assert "client-1-pool" not in pools


def test_what_was_removed_by_hand_is_put_back_by_the_next_start(harness: WriterHarness) -> None:
    before = as_sent(harness.gateway())
    harness.want_site(1)
    harness.write_gateway()
    arm().put(harness.gateway_id, before)
    harness.pass_time(60)
    assert not harness.reaches(1)
    harness.write_gateway()
    assert harness.reaches(1)
    puts = len(harness.gateway_puts())
    harness.write_gateway()
    assert len(harness.gateway_puts()) == puts, "nothing differs, nothing is put"


def test_a_removed_site_that_a_stale_document_brings_back_is_removed_again(harness: WriterHarness) -> None:
    harness.want_sites([1, 2])
    harness.write_gateway()
    stale = as_sent(harness.gateway())
    harness.forget_sites([1])
    harness.write_gateway()
    assert harness.site(1) is None
    arm().put(harness.gateway_id, stale)
    harness.pass_time(60)
    assert harness.reaches(1)
    harness.write_gateway()
    assert harness.reached([1, 2]) == [2]
    assert "client-1-" not in str(harness.gateway())


def test_a_site_whose_host_is_taken_keeps_no_other_from_the_gateway(
    harness: WriterHarness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.want_site(1)
    harness.write_gateway()
    document = as_sent(harness.gateway())
    for collection in ("httpListeners", "requestRoutingRules"):
        [own] = [each for each in document["properties"][collection] if each["name"].startswith("client-1-")]
        own["name"] = f"their-{own['name']}"
        own.pop("id")
    [rule] = [each for each in document["properties"]["requestRoutingRules"] if each["name"].startswith("their-")]
    rule["properties"]["httpListener"] = {"id": f"{harness.gateway_id}/httpListeners/their-client-1-listener"}
    arm().put(harness.gateway_id, document)
    harness.pass_time(60)
    harness.want_site(2)
    harness.write_gateway()
    assert harness.reaches(2)
    site = harness.site(1)
    assert site is not None
    assert site.is_applied, "nobody is told that it failed: it was there, and is what somebody wanted otherwise"
    assert "The site of client-1 is gone from the gateway and can't be put back" in caplog.text


def test_an_unmanaged_change_that_failed_after_ours_is_not_taken_for_ours(harness: WriterHarness) -> None:
    harness.want_site(1)
    once = iter([True])

    def fail(name: str) -> None:
        if name == "gateway_round" and harness.reaches(1) and next(once, False):
            document = harness.gateway()
            document["properties"]["provisioningState"] = "Failed"
            harness.azure.plant(document)
            harness.want_site(2)

    harness.before_call = fail
    harness.write_gateway()
    site = harness.site(2)
    assert site is not None
    assert site.error is not None
    assert site.error.code == "GatewayFailed"
    assert len(harness.gateway_puts()) == 1


# What somebody may do to the row of a site with a table editor.
BY_HAND: dict[str, dict[str, Any]] = {
    "a row of nothing but its key": {},
    "a copy under another key": {"client": "client-1"},
    "a moment that is none": {"since": "yesterday"},
    "a moment without a zone": {"since": "2026-01-01T00:00:00"},
    "a number as a text": {"desired_version": "1"},
    "half a document": {"names": '{"pool": '},
    "a number for a name": {"site": '{"host_name": 5, "private_ip": "10.11.2.4"}'},
    "a document of something else": {"names": '{"colour": "green"}'},
}


def test_a_row_that_was_written_by_hand_is_named_to_its_client_and_stops_no_other(
    harness: WriterHarness, caplog: pytest.LogCaptureFixture
) -> None:
    """One row of each kind, of the clients from 2 on."""
    harness.want_site(1)
    for number, change in enumerate(BY_HAND.values(), start=2):
        row = as_entity(site_row(number), current_settings().gateway_key)
        table(GATEWAY_SITES_TABLE).client.create_entity(
            row | change if change else {name: row[name] for name in ("PartitionKey", "RowKey")}
        )
    harness.write_gateway()
    assert harness.reached(range(1, 2 + len(BY_HAND))) == [1]
    for number, what in enumerate(BY_HAND, start=2):
        assert f"The row site:client-{number} of the table GatewaySites" in caplog.text, what
        run = harness.run(number)
        outcome = harness.step(run, "update_agw", private_ip=f"10.11.{number}.4")
        assert code_of(outcome) == "MalformedRow", what
        assert isinstance(outcome, Failed)
        assert (outcome.failure.error, outcome.failure.details["row_key"]) == (
            StorageException,
            f"site:client-{number}",
        ), what
        checked = asyncio.run(validate.validate_config(call_of(run, "validate_config")))
        assert checked["failure"]["code"] == "MalformedRow", what
        run = harness.set_status(run, "rolling_back")
        left = asyncio.run(
            list_left_behind(call_of(run, "list_left_behind", undos={"remove_from_agw": "why", "delete_nsg": "why"}))
        )
        assert [each["resource"] for each in left["result"]["left_behind"]] == [
            f"{harness.gateway_id}/{kind}/{name}" for kind, name in run.plan.site_names.by_collection().items()
        ], what
    fresh = harness.run(2 + len(BY_HAND))
    assert asyncio.run(validate.validate_config(call_of(fresh, "validate_config")))["outcome"] == "done"


@pytest.mark.parametrize("changes", [40, pytest.param(200, marks=pytest.mark.full)])
def test_unmanaged_configuration_is_the_same_after_many_changes(harness: WriterHarness, changes: int) -> None:
    """All that a gateway can have beside ours, with properties that no model knows, and in its own order."""
    document = as_sent(harness.gateway())
    properties, own = document["properties"], f"{harness.gateway_id}"
    document["tags"] = {"z": "1", "a": "2"}
    document["zones"] = ["3", "1"]
    document["futureTop"] = {"b": [1, {"deep": None}], "a": 1.5}
    properties["sku"]["futureSku"] = True
    properties["enableHttp2"] = True
    properties["customErrorConfigurations"] = [{"statusCode": "HttpStatus502", "customErrorPageUrl": "https://x/"}]
    properties["sslCertificates"] = [
        {"name": "theirs", "properties": {"data": "MII", "password": "x", "future": [2, 1]}}
    ]
    properties["frontendPorts"].append({"name": "port_443", "properties": {"port": 443}})
    properties["rewriteRuleSets"] = [{"name": "rw", "properties": {"rewriteRules": [{"ruleSequence": 9, "name": "r"}]}}]
    properties["probes"] = [
        {"name": "theirs", "properties": {"protocol": "Http", "host": "h", "path": "/x", "interval": 7, "future": None}}
    ]
    settings_id = f"{own}/backendHttpSettingsCollection/{properties['backendHttpSettingsCollection'][0]['name']}"
    pool_id = f"{own}/backendAddressPools/defaultPool"
    listener = {
        "frontendIPConfiguration": {"id": f"{own}/frontendIPConfigurations/appGatewayFrontendIP"},
        "frontendPort": {"id": f"{own}/frontendPorts/port_443"},
        "protocol": "Https",
        "sslCertificate": {"id": f"{own}/sslCertificates/theirs"},
        "hostNames": ["b.example.org", "a.example.org"],
    }
    properties["httpListeners"].insert(0, {"name": "zz", "properties": listener})
    properties["urlPathMaps"] = [
        {
            "name": "map",
            "properties": {
                "defaultBackendAddressPool": {"id": pool_id},
                "defaultBackendHttpSettings": {"id": settings_id},
                "pathRules": [
                    {
                        "name": "p",
                        "properties": {
                            "paths": ["/b/*", "/a/*"],
                            "backendAddressPool": {"id": pool_id},
                            "backendHttpSettings": {"id": settings_id},
                        },
                    }
                ],
            },
        }
    ]
    rule = {
        "ruleType": "PathBasedRouting",
        "priority": 1000,
        "httpListener": {"id": f"{own}/httpListeners/zz"},
        "urlPathMap": {"id": f"{own}/urlPathMaps/map"},
    }
    properties["requestRoutingRules"].insert(0, {"name": "zz", "properties": rule})
    arm().put(harness.gateway_id, document)
    harness.pass_time(60)
    before = harness.gateway()
    for _ in range(changes // 40):
        harness.want_sites(range(1, 21))
        harness.write_gateway()
        assert harness.reached(range(1, 21)) == list(range(1, 21))
        harness.forget_sites(range(1, 21))
        harness.write_gateway()
    assert without_stamps(harness.gateway()) == without_stamps(before)


def without_stamps(value: Any) -> Any:
    """Without what ARM writes anew at every change."""
    if isinstance(value, dict):
        return {key: without_stamps(part) for key, part in value.items() if key != "etag"}
    return [without_stamps(part) for part in value] if isinstance(value, list) else value
