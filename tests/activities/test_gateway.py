"""The gateway's writer against a stand-in of Azure and real tables: rounds, faults, kills, other writers."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from activities import gateway as steps
from activities import gateway_writer
from shared.arm.client import Arm, arm
from shared.gateway.document import foreign_digests
from shared.gateway.rows import RUNNING
from shared.gateway.writer import gateway_writer_input
from shared.outcomes import Cancelled, Done, Failed, Pending, outcome_from_data
from shared.settings import Settings, current_settings
from shared.tables.sites import gateway_sites, places_seen
from tests.activities.conftest import forget_app
from tests.activities.far_side import LocalAzure, call_of
from tests.activities.writers import KilledError, World

GATEWAY = "/applicationGateways/hub-agw$"


@pytest.fixture
def world(azure: LocalAzure, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("AGW_GATHER_SECONDS", "2")
    monkeypatch.setenv("WRITER_POLL_SECONDS", "1")
    monkeypatch.setenv("RETRY_FIRST_SECONDS", "5")
    monkeypatch.setenv("RETRY_MAX_SECONDS", "60")
    forget_app()
    return World(azure, monkeypatch)


def code_of(outcome: Any) -> str:
    assert isinstance(outcome, Failed), outcome
    return outcome.failure.code


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


def test_nobody_puts_onto_a_running_operation(world: World) -> None:
    body = {key: value for key, value in world.gateway().items() if key != "etag"}
    body["tags"] = {"by": "somebody else"}
    arm().put(world.gateway_id, body)
    world.want_site(1)
    world.write_gateway()
    assert world.gateway()["tags"] == {"by": "somebody else"}
    assert world.reaches(1)
    assert all(each["status"] < 400 for each in world.gateway_puts())
    assert len(world.gateway_puts()) == 2


def test_another_writers_put_over_ours_is_seen_and_ours_is_sent_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", logger="activities")
    world.want_site(1)
    theirs = {key: value for key, value in world.gateway().items() if key != "etag"} | {"tags": {"by": "them"}}
    once = iter([True])

    def meddle(name: str) -> None:
        if name == "poll_gateway" and next(once, False):
            arm().put(world.gateway_id, theirs)

    world.before_call = meddle
    world.write_gateway()
    assert world.reaches(1)
    assert world.gateway()["tags"] == {"by": "them"}
    assert "foreign change" in caplog.text
    assert "tags" in caplog.text
    site = world.site(1)
    assert site is not None
    assert site.is_applied


def test_a_write_between_our_look_and_our_put_begins_a_new_round(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.want_site(1)
    theirs = {key: value for key, value in world.gateway().items() if key != "etag"} | {"tags": {"by": "them"}}
    mark, once = gateway_writer._Look._mark, iter([True])

    def meddling(look: Any, writer: Any, *rows: Any) -> None:
        mark(look, writer, *rows)
        if writer.phase == "sending" and next(once, False):
            arm().put(world.gateway_id, theirs)

    monkeypatch.setattr(gateway_writer._Look, "_mark", meddling)
    world.write_gateway()
    assert world.reaches(1)
    assert world.gateway()["tags"] == {"by": "them"}
    assert [each["status"] for each in world.gateway_puts()] == [200, 200]


def test_a_look_that_fails_before_the_put_keeps_nobody_waiting_for_an_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.want_site(1)
    mark, once = gateway_writer._Look._mark, iter([True])

    def failing(look: Any, writer: Any, *rows: Any) -> None:
        mark(look, writer, *rows)
        if writer.phase == "sending" and next(once, False):
            world.azure.fault(method="GET", path=GATEWAY, mode="refuse", status=500)

    monkeypatch.setattr(gateway_writer._Look, "_mark", failing)
    began = world.now.moment
    world.write_gateway()
    assert world.reaches(1)
    assert (world.now.moment - began).total_seconds() < 70, "an unanswered PUT is waited for 80 s"


@pytest.mark.parametrize("status", [429, 503])
def test_a_throttled_put_waits_as_long_as_it_is_told(world: World, status: int) -> None:
    world.azure.fault(method="PUT", path=GATEWAY, mode="refuse", status=status, code="ServerBusy", retry_after=17)
    world.want_site(1)
    began = world.now.moment
    world.write_gateway()
    assert world.reaches(1)
    assert (world.now.moment - began).total_seconds() > 17


@pytest.mark.parametrize("mode", ["drop_reply", "refuse"])
def test_a_put_without_an_answer_is_never_doubled(world: World, mode: str) -> None:
    if mode == "drop_reply":
        world.azure.fault(method="PUT", path=GATEWAY, mode="drop_reply")
    else:
        world.azure.fault(method="PUT", path=GATEWAY, mode="refuse", status=502, code="BadGateway")
    world.want_site(1)
    world.write_gateway()
    assert world.reaches(1)
    accepted = [each for each in world.gateway_puts() if each["status"] in (200, 201)]
    assert len(accepted) == 1


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
    put = Arm.put

    def refusing(self: Arm, resource_id: str, body: dict[str, Any], **more: Any) -> Any:
        if "client-3-pool" in str(body):
            world.azure.fault(method="PUT", path=GATEWAY, mode="fail_operation", code="Odd", message="It can't be.")
        return put(self, resource_id, body, **more)

    monkeypatch.setattr(Arm, "put", refusing)
    for number in (1, 2, 3, 4, 5, 6, 7):
        world.want_site(number)
    world.write_gateway()
    assert [number for number in range(1, 8) if not world.reaches(number)] == [3]
    failed = world.site(3)
    assert failed is not None
    assert failed.has_failed
    assert "client-3-pool" not in str(world.gateway())
    assert len(world.gateway_puts()) <= 8


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


def test_foreign_elements_of_the_same_name_are_left_alone_also_by_the_undo(world: World) -> None:
    document = world.gateway()
    document["properties"]["backendAddressPools"].append({"name": "client-1-pool", "properties": {}})
    world.azure.plant(document)
    run, _ = world.want_site(1)
    world.want_site(2)
    world.write_gateway()
    assert code_of(world.step(run, "update_agw", private_ip="10.11.1.4")) == "GatewayNameTaken"
    run = world.set_status(run, "rolling_back")
    world.step(run, "remove_from_agw")
    world.write_gateway()
    assert isinstance(world.step(run, "remove_from_agw"), Done)
    assert "client-1-pool" in str(world.gateway())
    assert world.reaches(2)


@pytest.mark.parametrize("how", ["our look sees it", "ARM sees it", "the host is killed"])
def test_a_pool_of_the_same_name_that_comes_right_before_our_put_stays(
    world: World, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    document = {key: value for key, value in world.gateway().items() if key != "etag"}
    theirs = {"name": "Client-1-Pool", "properties": {"backendAddresses": [{"ipAddress": "192.0.2.7"}]}}
    document["properties"]["backendAddressPools"].append(theirs)
    mark, once = gateway_writer._Look._mark, iter([True])

    def meddling(look: Any, writer: Any, *rows: Any) -> None:
        mark(look, writer, *rows)
        if writer.phase == "sending" and next(once, False):
            if how == "ARM sees it":
                world.azure.fault(method="PUT", path=GATEWAY, mode="refuse", status=412, code="PreconditionFailed")
                monkeypatch.setattr(Arm, "put", after_planting(Arm.put))
                return
            world.azure.plant(document)
            if how == "the host is killed":
                raise KilledError

    def after_planting(put: Any) -> Any:
        def planted_first(*args: Any, **more: Any) -> Any:
            world.azure.plant(document)
            return put(*args, **more)

        return planted_first

    monkeypatch.setattr(gateway_writer._Look, "_mark", meddling)
    run, _ = world.want_site(1)
    with suppress(KilledError):
        world.write_gateway()
    world.write_gateway()
    assert code_of(world.step(run, "update_agw", private_ip="10.11.1.4")) == "GatewayNameTaken"
    run = world.set_status(run, "rolling_back")
    world.step(run, "remove_from_agw")
    world.write_gateway()
    assert isinstance(world.step(run, "remove_from_agw"), Done)
    pools = {pool["name"]: pool["properties"] for pool in world.gateway()["properties"]["backendAddressPools"]}
    assert pools["Client-1-Pool"]["backendAddresses"] == [{"ipAddress": "192.0.2.7"}]
    assert "client-1-pool" not in pools


def test_what_somebody_removed_is_put_back_by_the_next_start(world: World) -> None:
    before = {key: value for key, value in world.gateway().items() if key != "etag"}
    world.want_site(1)
    world.write_gateway()
    arm().put(world.gateway_id, before)
    world.pass_time(60)
    assert not world.reaches(1)
    world.write_gateway()
    assert world.reaches(1)
    puts = len(world.gateway_puts())
    world.write_gateway()
    assert len(world.gateway_puts()) == puts, "nothing differs, nothing is put"


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


# Everything that a round does to the world, in its order; a host can die before and after each.
EFFECTS = ("everything", "get", "mark", "put", "poll")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("victim", range(14))
def test_a_writer_that_is_killed_anywhere_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch, victim: int, after: bool
) -> None:
    world.want_site(1)
    run, _ = world.want_site(2)
    sites = type(gateway_sites())
    number = iter(range(10_000))

    def deadly(effect: Any) -> Any:
        def wrapped(*args: Any, **more: Any) -> Any:
            dies = next(number) == victim
            if dies and not after:
                raise KilledError
            result = effect(*args, **more)
            if dies:
                raise KilledError
            return result

        return wrapped

    for owner, name in ((sites, "everything"), (sites, "mark"), (Arm, "get"), (Arm, "put"), (Arm, "poll")):
        monkeypatch.setattr(owner, name, deadly(getattr(owner, name)))
    call = world.call

    def surviving(name: str, payload: dict[str, Any]) -> dict[str, Any]:
        try:
            return call(name, payload)
        except KilledError:
            return call(name, payload)

    monkeypatch.setattr(world, "call", surviving)
    world.write_gateway()
    assert world.reaches(1)
    assert world.reaches(2)
    assert len([each for each in world.gateway_puts() if each["status"] < 400]) == 1
    assert isinstance(world.step(run, "update_agw", private_ip="10.11.2.4"), Done)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", GATEWAY, 403), ("GET", "/operations/", 500), ("PUT", GATEWAY, 429), ("PUT", GATEWAY, 500)],
)
def test_who_waits_is_told_what_the_writer_waits_for(world: World, method: str, path: str, status: int) -> None:
    run, _ = world.want_site(1)
    world.azure.fault(method=method, path=path, times=4, mode="refuse", status=status, message="Not before noon.")
    reasons = []

    def ask(name: str) -> None:
        outcome = world.step(run, "update_agw", private_ip="10.11.1.4")
        reasons.append(outcome.reason if isinstance(outcome, Pending) else "")

    world.before_call = ask
    world.write_gateway()
    assert any("Not before noon." in reason for reason in reasons)
    assert world.reaches(1)
    assert gateway_sites().everything()[0].setback == ""


def test_a_round_that_runs_twice_writes_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.want_site(1)
    call = world.call
    monkeypatch.setattr(world, "call", lambda name, payload: call(name, payload) and call(name, payload))
    world.write_gateway()
    assert world.reaches(1)
    assert len(world.gateway_puts()) == 1


def test_two_writers_at_once_are_kept_apart_by_the_fence(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second comes between the first one's decision and its fence."""
    world.want_site(1)
    send, nested = gateway_writer._Look._send, iter([True])

    def slow(look: Any, *decided: Any) -> Any:
        if next(nested, False):
            world.write_gateway()
        return send(look, *decided)

    monkeypatch.setattr(gateway_writer._Look, "_send", slow)
    world.write_gateway()
    assert world.reaches(1)
    assert len(world.gateway_puts()) == 1


def test_a_table_that_is_busy_only_delays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from azure.core.exceptions import ServiceResponseError

    world.want_site(1)
    sites = type(gateway_sites())
    mark, everything, number = sites.mark, sites.everything, iter(range(10_000))

    def flaky(method: Any) -> Any:
        def wrapped(*args: Any) -> Any:
            if next(number) % 4 == 0:
                raise ServiceResponseError("broken off")
            return method(*args)

        return wrapped

    monkeypatch.setattr(sites, "mark", flaky(mark))
    monkeypatch.setattr(sites, "everything", flaky(everything))
    world.write_gateway()
    assert world.reaches(1)
    assert len([each for each in world.gateway_puts() if each["status"] < 400]) == 1


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


def as_sent(document: dict[str, Any]) -> dict[str, Any]:
    """What somebody sends who changes a document that he read."""
    return {key: value for key, value in document.items() if key != "etag"}


def test_a_removed_site_that_a_stale_document_brings_back_is_removed_again(world: World) -> None:
    world.want_sites([1, 2])
    world.write_gateway()
    stale = as_sent(world.gateway())
    world.forget_sites([1])
    world.write_gateway()
    assert world.site(1) is None
    arm().put(world.gateway_id, stale)
    world.pass_time(60)
    assert world.reaches(1)
    world.write_gateway()
    assert world.reached([1, 2]) == [2]
    assert "client-1-" not in str(world.gateway())


def test_a_site_whose_host_somebody_took_keeps_nobody_else_from_the_gateway(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.want_site(1)
    world.write_gateway()
    document = as_sent(world.gateway())
    for collection in ("httpListeners", "requestRoutingRules"):
        [own] = [each for each in document["properties"][collection] if each["name"].startswith("client-1-")]
        own["name"] = f"their-{own['name']}"
        own.pop("id")
    [rule] = [each for each in document["properties"]["requestRoutingRules"] if each["name"].startswith("their-")]
    rule["properties"]["httpListener"] = {"id": f"{world.gateway_id}/httpListeners/their-client-1-listener"}
    arm().put(world.gateway_id, document)
    world.pass_time(60)
    world.want_site(2)
    world.write_gateway()
    assert world.reaches(2)
    site = world.site(1)
    assert site is not None
    assert site.is_applied, "nobody is told that it failed: it was there, and is what somebody wanted otherwise"
    assert "The site of client-1 is gone from the gateway and can't be put back" in caplog.text


def test_a_site_that_is_put_back_and_refused_is_blamed_and_no_innocent_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = as_sent(world.gateway())
    world.want_site(1)
    world.write_gateway()
    arm().put(world.gateway_id, before)
    world.pass_time(60)
    put = Arm.put

    def refusing(self: Arm, resource_id: str, body: dict[str, Any], **more: Any) -> Any:
        if "client-1-pool" in str(body):
            world.azure.fault(method="PUT", path=GATEWAY, mode="refuse", status=400, code="Odd", message="It can't be.")
        return put(self, resource_id, body, **more)

    monkeypatch.setattr(Arm, "put", refusing)
    world.want_sites([2, 3, 4])
    world.write_gateway()
    assert world.reached([1, 2, 3, 4]) == [2, 3, 4]
    failed = [number for number in (1, 2, 3, 4) if (site := world.site(number)) and site.has_failed]
    assert failed == [1]


def test_a_gateway_that_arm_misses_for_a_moment_fails_nobody(world: World) -> None:
    world.azure.fault(method="GET", path=GATEWAY, mode="refuse", status=404, code="ResourceNotFound")
    world.want_site(1)
    world.write_gateway()
    assert world.reaches(1)


def test_a_failure_whose_explanation_is_lost_is_tried_again_before_anybody_is_blamed(world: World) -> None:
    world.azure.fault(method="PUT", path=GATEWAY, mode="drop_reply")
    world.azure.fault(method="PUT", path=GATEWAY, mode="fail_operation", code="Odd", message="The vault is away.")
    world.want_site(1)
    world.write_gateway()
    assert world.reaches(1)


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


def test_a_change_of_somebody_else_that_failed_after_ours_is_not_taken_for_ours(world: World) -> None:
    world.want_site(1)
    once = iter([True])

    def fail(name: str) -> None:
        if name == "gateway_round" and world.reaches(1) and next(once, False):
            document = world.gateway()
            document["properties"]["provisioningState"] = "Failed"
            world.azure.plant(document)
            world.want_site(2)

    world.before_call = fail
    world.write_gateway()
    site = world.site(2)
    assert site is not None
    assert site.error is not None
    assert site.error.code == "GatewayFailed"
    assert len(world.gateway_puts()) == 1


def test_a_writer_killed_before_it_mends_its_own_failure_knows_it_for_its_own(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.azure.fault(method="PUT", path=GATEWAY, mode="fail_operation", code="Odd", message="client-1-pool: no.")
    world.want_site(1)
    put, puts = Arm.put, iter(range(9))

    def killed(self: Arm, *args: Any, **more: Any) -> Any:
        if next(puts) == 1:
            raise KilledError
        return put(self, *args, **more)

    monkeypatch.setattr(Arm, "put", killed)
    call = world.call

    def surviving(name: str, payload: dict[str, Any]) -> dict[str, Any]:
        try:
            return call(name, payload)
        except KilledError:
            world.want_site(2)
            return call(name, payload)

    monkeypatch.setattr(world, "call", surviving)
    world.write_gateway()
    assert world.reached([1, 2]) == [2]
    site = world.site(1)
    assert site is not None
    assert site.error is not None
    assert site.error.code == "Odd"


def test_a_writer_that_slept_after_a_mark_does_not_take_up_another_ones_fence(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its mark and its next look at the rows another writer has come, fenced, and sent its PUT."""
    world.want_site(1)
    world.pass_time(60)
    sites, given = type(gateway_sites()), gateway_writer_input(current_settings())
    mark, nested = sites.mark, iter([True])

    def slow(self: Any, *args: Any) -> Any:
        marked = mark(self, *args)
        if args[1] and next(nested, False):
            world.pass_time(100)
            assert gateway_writer.gateway_round(given)["state"]["operation"]
        return marked

    monkeypatch.setattr(sites, "mark", slow)
    gateway_writer.gateway_round(given)
    writer, _ = gateway_sites().everything()
    assert writer.phase == RUNNING, "the PUT of the other one is still known"
    world.write_gateway()
    assert world.reaches(1)
    assert [each["status"] for each in world.gateway_puts()] == [200]


def test_an_innocent_site_is_not_blamed_for_one_that_was_cancelled_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Arm.put

    def refusing(self: Arm, resource_id: str, body: dict[str, Any], **more: Any) -> Any:
        if "client-1-pool" in str(body):
            world.azure.fault(method="PUT", path=GATEWAY, mode="fail_operation", code="Odd", message="It can't be.")
        return put(self, resource_id, body, **more)

    monkeypatch.setattr(Arm, "put", refusing)
    world.want_sites([1, 2])

    def cancel(name: str) -> None:
        if name == "poll_gateway":
            world.before_call = lambda name: None
            world.forget_sites([1])

    world.before_call = cancel
    world.write_gateway()
    assert world.site(1) is None
    assert world.reaches(2)


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


def test_foreign_configuration_is_the_same_after_200_changes(world: World) -> None:
    """All that a gateway can have beside ours, with properties that no model knows, and in its own order."""
    document = as_sent(world.gateway())
    properties, own = document["properties"], f"{world.gateway_id}"
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
    arm().put(world.gateway_id, document)
    world.pass_time(60)
    before = world.gateway()
    for _ in range(5):
        world.want_sites(range(1, 21))
        world.write_gateway()
        assert world.reached(range(1, 21)) == list(range(1, 21))
        world.forget_sites(range(1, 21))
        world.write_gateway()
    assert without_stamps(world.gateway()) == without_stamps(before)


def without_stamps(value: Any) -> Any:
    """Without what ARM writes anew at every change."""
    if isinstance(value, dict):
        return {key: without_stamps(part) for key, part in value.items() if key != "etag"}
    return [without_stamps(part) for part in value] if isinstance(value, list) else value
