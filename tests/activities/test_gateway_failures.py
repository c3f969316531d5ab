"""Who is told when the gateway refuses: the site that is at fault, nobody else, and nobody for what passes."""

from typing import Any

import pytest

from shared.arm.client import arm
from shared.saga.outcomes import Done, Pending
from shared.writers.writer_tables import gateway_sites
from tests.activities.writers import GATEWAY, WriterHarness, as_sent, code_of, fail_puts_that_name


def test_one_bad_site_that_is_named_fails_alone(harness: WriterHarness) -> None:
    for number in (1, 2, 3):
        harness.want_site(number)
    harness.azure.fault(
        method="PUT",
        path=GATEWAY,
        mode="fail_operation",
        code="ApplicationGatewayBackendAddressInvalid",
        message=f"The pool {harness.gateway_id}/backendAddressPools/client-2-pool is bad.",
    )
    harness.write_gateway()
    assert [harness.reaches(number) for number in (1, 2, 3)] == [True, False, True]
    run = harness.run(2)
    assert code_of(harness.step(run, "update_agw", private_ip="10.11.2.4")) == "ApplicationGatewayBackendAddressInvalid"
    run = harness.set_status(run, "rolling_back")
    harness.step(run, "remove_from_agw")
    harness.write_gateway()
    assert isinstance(harness.step(run, "remove_from_agw"), Done)
    assert harness.site(2) is None
    assert harness.gateway()["properties"]["provisioningState"] == "Succeeded"


def test_an_offender_that_no_answer_names_is_found_by_bisecting(
    harness: WriterHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_puts_that_name("client-3-pool", harness, mode="fail_operation")
    for number in (1, 2, 3, 4, 5, 6, 7):
        harness.want_site(number)
    harness.write_gateway()
    assert [number for number in range(1, 8) if not harness.reaches(number)] == [3]
    failed = harness.site(3)
    assert failed is not None
    assert failed.has_failed
    assert "client-3-pool" not in str(harness.gateway())
    assert len(harness.gateway_puts()) <= 8


def test_a_failure_is_not_attributed_to_another_site_than_one_that_was_cancelled_meanwhile(
    harness: WriterHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_puts_that_name("client-1-pool", harness, mode="fail_operation")
    harness.want_sites([1, 2])

    def cancel(name: str) -> None:
        if name == "poll_gateway":
            harness.before_call = lambda name: None
            harness.forget_sites([1])

    harness.before_call = cancel
    harness.write_gateway()
    assert harness.site(1) is None
    assert harness.reaches(2)


def test_a_site_that_is_put_back_and_refused_is_the_offender_and_no_other(
    harness: WriterHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = as_sent(harness.gateway())
    harness.want_site(1)
    harness.write_gateway()
    arm().put(harness.gateway_id, before)
    harness.pass_time(60)
    fail_puts_that_name("client-1-pool", harness, mode="refuse", status=400)
    harness.want_sites([2, 3, 4])
    harness.write_gateway()
    assert harness.reached([1, 2, 3, 4]) == [2, 3, 4]
    failed = [number for number in (1, 2, 3, 4) if (site := harness.site(number)) and site.has_failed]
    assert failed == [1]


def test_an_unmanaged_failure_lets_all_wait_with_its_reason_and_passes(harness: WriterHarness) -> None:
    harness.azure.fault(
        method="PUT",
        path=GATEWAY,
        times=3,
        mode="fail_operation",
        code="ApplicationGatewayKeyVaultSecretException",
        message="The vault can't be read.",
    )
    run, _ = harness.want_site(1)
    seen = []

    def look(name: str) -> None:
        if name == "gateway_round":
            outcome = harness.step(run, "update_agw", private_ip="10.11.1.4")
            seen.append(outcome.reason if isinstance(outcome, Pending) else "")

    harness.before_call = look
    harness.write_gateway()
    assert any("The vault can't be read." in reason for reason in seen)
    assert harness.reaches(1)
    assert len(harness.gateway_puts()) == 4


def security_group(harness: WriterHarness, *rules: dict[str, Any]) -> dict[str, Any]:
    group_id = harness.azure.id_of("hub-rg", "Microsoft.Network/networkSecurityGroups", "agw-nsg")
    return {"id": group_id, "location": "eastus", "properties": {"securityRules": list(rules)}}


def test_a_network_security_group_that_blocks_the_gateway_fails_no_site(harness: WriterHarness) -> None:
    harness.azure.put_on_gateway_subnet("networkSecurityGroup", security_group(harness))
    harness.want_sites([1, 2, 3])
    run, _ = harness.want_site(4)
    seen = []

    def look(name: str) -> None:
        if name != "gateway_round":
            return
        outcome = harness.step(run, "update_agw", private_ip="10.11.4.4")
        seen.append(outcome.reason if isinstance(outcome, Pending) else "")
        if len(harness.gateway_puts()) == 3:
            management = {
                "direction": "Inbound",
                "access": "Allow",
                "protocol": "Tcp",
                "priority": 100,
                "sourceAddressPrefix": "GatewayManager",
                "sourcePortRange": "*",
                "destinationAddressPrefix": "*",
                "destinationPortRange": "65200-65535",
            }
            harness.azure.plant(security_group(harness, {"name": "management", "properties": management}))

    harness.before_call = look
    harness.write_gateway()
    assert harness.reached([1, 2, 3, 4]) == [1, 2, 3, 4]
    puts = harness.gateway_puts()
    assert [put["status"] for put in puts] == [400, 400, 400, 200]
    assert len(puts) == 4, "the batch was bisected"
    assert any("agw-nsg blocks incoming internet traffic" in reason and "mode=plan" in reason for reason in seen)


@pytest.mark.parametrize("mode", ["refuse", "fail_operation"])
def test_a_code_that_nothing_lists_fails_no_site_when_it_names_none(harness: WriterHarness, mode: str) -> None:
    subnet = harness.gateway_id.replace("applicationGateways/hub-agw", "virtualNetworks/hub-vnet/subnets/agw-subnet")
    harness.azure.fault(
        method="PUT",
        path=GATEWAY,
        times=2,
        mode=mode,
        status=400,
        code="NotSeenBefore",
        message=f"{subnet} is not right.",
    )
    harness.want_sites([1, 2, 3, 4])
    harness.write_gateway()
    assert harness.reached([1, 2, 3, 4]) == [1, 2, 3, 4]
    assert len(harness.gateway_puts()) == 3


def test_a_failure_is_over_when_every_site_has_failed_for_it(harness: WriterHarness) -> None:
    harness.azure.fault(
        method="PUT", path=GATEWAY, mode="refuse", status=403, code="AuthorizationFailed", message="You may not."
    )
    run, _ = harness.want_site(1)

    def stop(name: str) -> None:
        if harness.gateway_puts():
            document = harness.gateway()
            document["properties"]["operationalState"] = "Stopped"
            harness.azure.plant(document)

    harness.before_call = stop
    harness.write_gateway()
    assert code_of(harness.step(run, "update_agw", private_ip="10.11.1.4")) == "GatewayStopped"
    writer, _ = gateway_sites().everything()
    assert (writer.blocked_by, writer.limit) == (None, None)


def test_a_failure_whose_explanation_is_lost_is_tried_again_before_it_is_attributed(harness: WriterHarness) -> None:
    harness.azure.fault(method="PUT", path=GATEWAY, mode="drop_reply")
    harness.azure.fault(method="PUT", path=GATEWAY, mode="fail_operation", code="Odd", message="The vault is away.")
    harness.want_site(1)
    harness.write_gateway()
    assert harness.reaches(1)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"operationalState": "Stopped"}, "GatewayStopped"),
        ({"provisioningState": "Failed"}, "GatewayFailed"),
        ({"tag": "managed-by-k8s-ingress"}, "GatewayManagedByIngress"),
    ],
)
def test_a_gateway_that_must_not_be_written_fails_who_waits(
    harness: WriterHarness, change: dict[str, str], code: str
) -> None:
    document = harness.gateway()
    if "tag" in change:
        document["tags"] = {change["tag"]: "1"}
    else:
        document["properties"] |= change
    harness.azure.plant(document)
    run, _ = harness.want_site(1)
    harness.write_gateway()
    assert code_of(harness.step(run, "update_agw", private_ip="10.11.1.4")) == code
    assert harness.gateway_puts() == []
    run = harness.set_status(run, "rolling_back")
    assert isinstance(harness.step(run, "remove_from_agw"), Done)  # it was never there
    assert harness.gateway_puts() == []


def test_a_gateway_that_arm_misses_for_a_moment_fails_no_site(harness: WriterHarness) -> None:
    harness.azure.fault(method="GET", path=GATEWAY, mode="refuse", status=404, code="ResourceNotFound")
    harness.want_site(1)
    harness.write_gateway()
    assert harness.reaches(1)
