"""Who is told when the gateway refuses: the site that is at fault, nobody else, and nobody for what passes."""

import pytest

from shared.arm.client import arm
from shared.outcomes import Done, Pending
from shared.tables.sites import gateway_sites
from tests.activities.writers import GATEWAY, World, as_sent, code_of, fail_puts_that_name


def test_one_bad_site_that_is_named_fails_alone(world: World) -> None:
    for number in (1, 2, 3):
        world.want_site(number)
    world.azure.fault(
        method="PUT",
        path=GATEWAY,
        mode="fail_operation",
        code="ApplicationGatewayBackendAddressInvalid",
        message=f"The pool {world.gateway_id}/backendAddressPools/client-2-pool is bad.",
    )
    world.write_gateway()
    assert [world.reaches(number) for number in (1, 2, 3)] == [True, False, True]
    run = world.run(2)
    assert code_of(world.step(run, "update_agw", private_ip="10.11.2.4")) == "ApplicationGatewayBackendAddressInvalid"
    run = world.set_status(run, "rolling_back")
    world.step(run, "remove_from_agw")
    world.write_gateway()
    assert isinstance(world.step(run, "remove_from_agw"), Done)
    assert world.site(2) is None
    assert world.gateway()["properties"]["provisioningState"] == "Succeeded"


def test_a_culprit_that_nobody_names_is_found_by_halving(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_puts_that_name("client-3-pool", world, monkeypatch, mode="fail_operation")
    for number in (1, 2, 3, 4, 5, 6, 7):
        world.want_site(number)
    world.write_gateway()
    assert [number for number in range(1, 8) if not world.reaches(number)] == [3]
    failed = world.site(3)
    assert failed is not None
    assert failed.has_failed
    assert "client-3-pool" not in str(world.gateway())
    assert len(world.gateway_puts()) <= 8


def test_an_innocent_site_is_not_blamed_for_one_that_was_cancelled_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_puts_that_name("client-1-pool", world, monkeypatch, mode="fail_operation")
    world.want_sites([1, 2])

    def cancel(name: str) -> None:
        if name == "poll_gateway":
            world.before_call = lambda name: None
            world.forget_sites([1])

    world.before_call = cancel
    world.write_gateway()
    assert world.site(1) is None
    assert world.reaches(2)


def test_a_site_that_is_put_back_and_refused_is_blamed_and_no_innocent_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = as_sent(world.gateway())
    world.want_site(1)
    world.write_gateway()
    arm().put(world.gateway_id, before)
    world.pass_time(60)
    fail_puts_that_name("client-1-pool", world, monkeypatch, mode="refuse", status=400)
    world.want_sites([2, 3, 4])
    world.write_gateway()
    assert world.reached([1, 2, 3, 4]) == [2, 3, 4]
    failed = [number for number in (1, 2, 3, 4) if (site := world.site(number)) and site.has_failed]
    assert failed == [1]


def test_foreign_trouble_lets_all_wait_with_its_reason_and_passes(world: World) -> None:
    world.azure.fault(
        method="PUT",
        path=GATEWAY,
        times=3,
        mode="fail_operation",
        code="ApplicationGatewayKeyVaultSecretException",
        message="The vault can't be read.",
    )
    run, _ = world.want_site(1)
    seen = []

    def look(name: str) -> None:
        if name == "gateway_round":
            outcome = world.step(run, "update_agw", private_ip="10.11.1.4")
            seen.append(outcome.reason if isinstance(outcome, Pending) else "")

    world.before_call = look
    world.write_gateway()
    assert any("The vault can't be read." in reason for reason in seen)
    assert world.reaches(1)
    assert len(world.gateway_puts()) == 4


def test_trouble_is_over_when_everybody_was_told_that_it_can_not_be(world: World) -> None:
    world.azure.fault(
        method="PUT", path=GATEWAY, mode="refuse", status=403, code="AuthorizationFailed", message="You may not."
    )
    run, _ = world.want_site(1)

    def stop(name: str) -> None:
        if world.gateway_puts():
            document = world.gateway()
            document["properties"]["operationalState"] = "Stopped"
            world.azure.plant(document)

    world.before_call = stop
    world.write_gateway()
    assert code_of(world.step(run, "update_agw", private_ip="10.11.1.4")) == "GatewayStopped"
    writer, _ = gateway_sites().everything()
    assert (writer.trouble, writer.limit) == (None, None)


def test_a_failure_whose_explanation_is_lost_is_tried_again_before_anybody_is_blamed(world: World) -> None:
    world.azure.fault(method="PUT", path=GATEWAY, mode="drop_reply")
    world.azure.fault(method="PUT", path=GATEWAY, mode="fail_operation", code="Odd", message="The vault is away.")
    world.want_site(1)
    world.write_gateway()
    assert world.reaches(1)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"operationalState": "Stopped"}, "GatewayStopped"),
        ({"provisioningState": "Failed"}, "GatewayFailed"),
        ({"tag": "managed-by-k8s-ingress"}, "GatewayManagedByIngress"),
    ],
)
def test_a_gateway_that_must_not_be_written_fails_who_waits(world: World, change: dict[str, str], code: str) -> None:
    document = world.gateway()
    if "tag" in change:
        document["tags"] = {change["tag"]: "1"}
    else:
        document["properties"] |= change
    world.azure.plant(document)
    run, _ = world.want_site(1)
    world.write_gateway()
    assert code_of(world.step(run, "update_agw", private_ip="10.11.1.4")) == code
    assert world.gateway_puts() == []
    run = world.set_status(run, "rolling_back")
    assert isinstance(world.step(run, "remove_from_agw"), Pending)
    world.write_gateway()
    assert isinstance(world.step(run, "remove_from_agw"), Done)
    assert world.gateway_puts() == []


def test_a_gateway_that_arm_misses_for_a_moment_fails_nobody(world: World) -> None:
    world.azure.fault(method="GET", path=GATEWAY, mode="refuse", status=404, code="ResourceNotFound")
    world.want_site(1)
    world.write_gateway()
    assert world.reaches(1)
