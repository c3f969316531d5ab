"""The whole app's calls and timers: keys, health, capacity, the document, what is started by itself."""

import time
from dataclasses import replace
from urllib.parse import urlsplit

import httpx
import pytest

from shared.arm.client import arm
from shared.clock import timestamp
from shared.saga.instances import writer_id
from shared.settings import Settings
from shared.tables.client import table
from shared.tables.records import Records
from shared.writers.peering.peering_rows import PeeringRow
from shared.writers.writer_tables import hub_peerings
from tests.api.calls import Body, conforms, made, refused
from tests.api.conftest import Host
from tests.infra.alert_lines import found
from triggers.http.answers import Capacity, Health


def test_without_a_key_nothing_but_liveness_answers(host: Host, settings: Settings) -> None:
    alive = host.anonymous.get("/health/live")
    assert (alive.status_code, alive.json()) == (200, {"status": "alive"})
    for path in ("/spokes", "/spokes/1", "/health", "/capacity", "/openapi.json", "/deployments/x"):
        assert host.anonymous.get(path).status_code == 401


def test_capacity_counts_blocks_peerings_and_the_gateway(http: httpx.Client, body: Body) -> None:
    made(http, body)
    answer = http.get("/capacity")
    assert answer.status_code == 200, answer.text
    conforms(answer.json(), Capacity)
    capacity = answer.json()
    assert capacity["address_blocks"] == {"used": 1, "limit": 255, "free": 254}
    assert capacity["gateway_places"]["used"] == 1
    assert capacity["peerings"] == {"used": 0, "limit": 500, "free": 500}
    assert {"pools", "settings", "listeners", "rules", "priorities"} <= set(capacity)
    assert capacity["pools"]["limit"] == 100
    assert capacity["unknown"] == []


def test_a_site_that_was_written_by_hand_costs_no_other_client_an_answer(
    http: httpx.Client, settings: Settings, body: Body
) -> None:
    table("GatewaySites").client.create_entity(
        {"PartitionKey": settings.gateway_key, "RowKey": f"site:{body['client_name']}"}
    )
    assert http.get("/capacity").json()["unknown"] == []
    others = body | {"client_name": "another", "vm_name": "another"}
    assert http.post("/spokes", params={"mode": "plan"}, json=others).json()["would_succeed"]
    error = refused(http.post("/spokes", params={"mode": "plan"}, json=body), 503)
    assert (error["error"], error["details"]["code"]) == ("StorageException", "MalformedRow")
    assert error["details"]["row_key"] == f"site:{body['client_name']}"


def test_health_tells_every_dependency(http: httpx.Client) -> None:
    http.get("/capacity")  # so that importing the SDKs on a busy machine doesn't count
    answer = http.get("/health")
    assert answer.status_code == 200, answer.text
    conforms(answer.json(), Health)
    dependencies = answer.json()["dependencies"]
    assert {"tables", "credential", "arm", "hub", "gateway", "permissions"} <= set(dependencies)
    assert all(finding["latency_ms"] >= 0 for finding in dependencies.values())


def without(host: Host, *missing: str) -> None:
    """Takes actions out of all roles of the app."""
    roles = host.arm.get("/_local/roles").json()
    for role in roles["roleDefinitions"]:
        (permission,) = role["properties"]["permissions"]
        permission["actions"] = [each for each in permission["actions"] if each not in missing]
    host.arm.put("/_local/roles", json=roles).raise_for_status()


def test_health_and_the_plan_name_a_missing_right(http: httpx.Client, host: Host, body: Body) -> None:
    missing = "Microsoft.Network/applicationGateways/read"
    http.get("/capacity")
    without(host, missing)
    try:
        answer = http.get("/health")
        capacity = http.get("/capacity")
        plan = http.post("/spokes", params={"mode": "plan"}, json=body).json()
    finally:
        host.arm.delete("/_local/roles").raise_for_status()
    assert answer.status_code == 503
    conforms(answer.json(), Health)
    dependencies = answer.json()["dependencies"]
    gateway = dependencies.pop("gateway")
    assert gateway["status"] == "failing"
    assert dependencies.pop("permissions")["details"]["missing"] == gateway["details"]["missing"]
    assert {finding["status"] for finding in dependencies.values()} == {"ok"}
    (right,) = gateway["details"]["missing"]
    assert right["action"] == missing
    assert right["scope"].endswith("/applicationGateways/hub-agw")
    assert capacity.status_code == 200
    assert capacity.json()["unknown"][0]["of"] == "gateway"
    assert not plan["would_succeed"]
    hints = [finding["hint"] for check in plan["checks"] for finding in check["findings"]]
    for hint in (gateway["details"]["hint"], *hints):
        assert f"{missing} over {right['scope']};" in hint


def test_health_and_the_plan_name_rights_that_nothing_has_asked_for_yet(
    http: httpx.Client, host: Host, settings: Settings, body: Body
) -> None:
    """Of a write, which only a deployment would miss, and of one without which a deployment works."""
    write, read = "Microsoft.Compute/virtualMachines/write", "Microsoft.Compute/locations/usages/read"
    http.get("/capacity")
    without(host, write, read)
    try:
        failing = http.get("/health")
        plan = http.post("/spokes", params={"mode": "plan"}, json=body).json()
        host.arm.delete("/_local/roles").raise_for_status()
        without(host, read)
        degraded = http.get("/health")
    finally:
        host.arm.delete("/_local/roles").raise_for_status()
    assert failing.status_code == 503
    finding = failing.json()["dependencies"]["permissions"]
    named = {each["action"]: each["scope"].split("/", 3)[-1] for each in finding["details"]["missing"]}
    assert named == {write: "resourceGroups/hub-rg", read: settings.subscription_id}
    assert all(action in finding["message"] for action in named)
    assert not plan["would_succeed"]
    (check,) = (each for each in plan["checks"] if each["check"] == "permissions")
    assert {(each["severity"], each["code"]) for each in check["findings"]} == {
        ("error", "PermissionMissing"),
        ("warning", "PermissionMissing"),
        ("warning", "AuthorizationFailed"),
    }
    assert degraded.status_code == 200
    finding = degraded.json()["dependencies"]["permissions"]
    assert (finding["status"], read in finding["message"]) == ("degraded", True)


def test_timers_write_the_lines_that_alerts_stand_on(http: httpx.Client, host: Host, settings: Settings) -> None:
    """What is used, and that /health would be 503, without a caller."""
    host.arm.post("/_local/save", json={"name": "whole"}).raise_for_status()
    try:
        host.arm.delete("/_local/resources", params={"id": arm().ids.gateway}).raise_for_status()
        begun = len(host.log.read_text(encoding="utf-8"))
        fire(host, "report_capacity")
        fire(host, "watch_health")
        used, unhealthy = lines_of(host, "capacity", begun), lines_of(host, "unhealthy", begun)
    finally:
        host.arm.post("/_local/restore", json={"name": "whole"}).raise_for_status()
    assert {"address_blocks", "gateway_places"} <= {each["what"] for each in used}
    assert all("gateway: " in each["line"] for each in unhealthy)


def lines_of(host: Host, alert: str, begun: int) -> list[dict[str, str]]:
    """The lines that an alert finds in the host's log behind a place, as soon as there is one: timers run on their own."""
    latest = time.monotonic() + 30
    while not (lines := found(alert, host.log.read_text(encoding="utf-8")[begun:])):
        assert time.monotonic() < latest, f"no line for {alert}"
        time.sleep(0.05)
    return lines


@pytest.mark.parametrize(
    ("dependency", "kind", "properties", "code"),
    [
        ("gateway", "applicationGateways", {"operationalState": "Stopped"}, "GatewayStopped"),
        ("gateway", "applicationGateways", {"provisioningState": "Failed"}, "GatewayFailed"),
        ("hub", "virtualNetworks", {"provisioningState": "Failed"}, "HubFailed"),
        ("gateway", "applicationGateways", None, "GatewayNotFound"),
        ("hub", "virtualNetworks", None, "HubNotFound"),
    ],
)
def test_health_and_the_check_name_a_broken_hub_alike(
    http: httpx.Client, host: Host, body: Body, dependency: str, kind: str, properties: dict[str, str] | None, code: str
) -> None:
    """properties: None for one that isn't there."""
    http.get("/capacity")
    host.arm.post("/_local/save", json={"name": "whole"}).raise_for_status()
    try:
        resources = host.arm.get("/_local/resources").json()
        [document] = [each for each in resources if each["id"].split("/")[-2] == kind]
        if properties is None:
            host.arm.delete("/_local/resources", params={"id": document["id"]}).raise_for_status()
        else:
            document["properties"] |= properties
            host.arm.put("/_local/resources", json=[document]).raise_for_status()
        health = http.get("/health").json()["dependencies"][dependency]
        plan = http.post("/spokes", params={"mode": "plan"}, json=body).json()
    finally:
        host.arm.post("/_local/restore", json={"name": "whole"}).raise_for_status()
    assert health["details"]["code"] == code
    assert code in [finding["code"] for check in plan["checks"] for finding in check["findings"]]


@pytest.mark.parametrize("waits", [True, False])
def test_health_names_a_writer_that_stands_still(http: httpx.Client, body: Body, waits: bool) -> None:
    created = made(http, body)
    run = created["deployment_id"]
    rows = hub_peerings()
    rows.mark(replace(rows.writer(), due="2026-01-01T00:00:00.000Z"))
    if waits:
        rows.request(
            PeeringRow(
                created["spoke_id"],
                run,
                run,
                "/vnet",
                "a",
                "b",
                present=True,
                forwarded=False,
                desired_version=1,
                since=timestamp(),
            )
        )
    answer = http.get("/health")
    conforms(answer.json(), Health)
    states = {name: each["status"] for name, each in answer.json()["dependencies"].items()}
    finding = answer.json()["dependencies"]["writers"]
    assert finding["status"] == ("degraded" if waits else "ok")
    assert answer.json()["status"] == ("unhealthy" if "failing" in states.values() else finding["status"])
    assert ("hub-hub-vnet stands still" in finding["message"]) == waits


def test_the_document_is_served(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    import function_app  # noqa: F401 - it declares the routes
    from triggers.http.openapi import openapi_document

    assert document == openapi_document()


def test_a_spoofed_host_breaks_nothing(http: httpx.Client, body: Body) -> None:
    answer = http.post("/spokes", json=body, headers={"Host": "evil.example.com"})
    assert answer.status_code == 202
    assert urlsplit(answer.json()["progress_url"]).path.endswith("/progress")


def test_runs_that_were_never_started_are_started_by_the_timer(
    http: httpx.Client, host: Host, settings: Settings, body: Body
) -> None:
    """As after a crash between the reservation and the start: the record is there, the instance isn't."""
    from shared.spoke.request.model import check_against_settings, plan_from, spoke_request
    from shared.tables.reservations import ReservationRequest, reserve

    request = check_against_settings(spoke_request(body), settings)
    left = reserve(
        ReservationRequest(
            body["client_name"], body["client_name"], body, lambda one, run: plan_from(request, settings, one, run)
        ),
        settings,
    )
    records = Records()
    run = records.run(left.deployment_id)
    assert run is not None
    records.change_run(run, created_at="2025-12-11T01:00:00.000Z")
    assert instance_of(host, left.deployment_id).status_code == 404
    begun = len(host.log.read_text(encoding="utf-8"))
    fire(host, "start_accepted_runs")
    assert started_as(host, left.deployment_id) == "deploy_spoke"
    assert int(lines_of(host, "not-started", begun)[0]["waited_seconds"]) > 180


def test_the_gateway_is_looked_at_while_it_has_sites(http: httpx.Client, host: Host, settings: Settings) -> None:
    writer = writer_id("gateway", settings.hub_agw_name)
    assert instance_of(host, writer).status_code == 404
    table("GatewaySites").client.create_entity({"PartitionKey": settings.gateway_key, "RowKey": "site:acme"})
    fire(host, "repair_gateway")
    assert started_as(host, writer) == "write_gateway"


def instance_of(host: Host, instance_id: str) -> httpx.Response:
    """What Durable says of an instance."""
    origin = host.endpoints["api"].removesuffix("/api")
    url = f"{origin}/runtime/webhooks/durabletask/instances/{instance_id}"
    return host.anonymous.get(url, params={"code": host.endpoints["system_key"]})


def started_as(host: Host, instance_id: str) -> str:
    """The story of an instance that a timer, which runs on its own, starts soon."""
    latest = time.monotonic() + 30
    while (status := instance_of(host, instance_id)).status_code == 404:
        assert time.monotonic() < latest, f"{instance_id} was not started"
        time.sleep(0.02)
    return str(status.json()["name"])


def fire(host: Host, timer: str) -> None:
    """Runs a timer's function as if it were due."""
    origin = host.endpoints["api"].removesuffix("/api")
    key = {"x-functions-key": host.endpoints["master_key"]}
    fired = host.anonymous.post(f"{origin}/admin/functions/{timer}", json={}, headers=key)
    assert fired.status_code in (200, 202), fired.text
