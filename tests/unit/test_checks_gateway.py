"""The shared gateway's findings, from its document and from what our other spokes have or want on it."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.checks.findings import Finding
from shared.checks.subjects.gateway.configuration import gateway_findings
from shared.errors import ValidationException
from shared.settings import Settings, settings_from
from shared.spoke.plan import SpokePlan
from shared.spoke.records import RunRow
from shared.spoke.resource_ids import ResourceIds
from shared.writers.gateway.site_rows import SiteRow
from shared.writers.gateway.sites import site_of
from tests.activities.azure_stand_in import a_plan, a_run

IDS = ResourceIds("sub", "hub-rg", "hub-vnet", "hub-agw", "spoke-rg")
SETTINGS = settings_from(
    {
        "AZURE_SUBSCRIPTION_ID": "00000000-0000-0000-0000-000000000001",
        "HUB_RESOURCE_GROUP": "hub-rg",
        "HUB_VNET_NAME": "hub-vnet",
        "HUB_AGW_NAME": "hub-agw",
        "TASK_HUB": "HubSpokeTest",
        "SPOKE_DOMAIN": "spokes.example.com",
        "TABLES_ENDPOINT": "https://tables.example.com",
    }
)
PLAN = a_plan(7)


def element(collection: str, name: str, **properties: Any) -> dict[str, Any]:
    return {"id": f"{IDS.gateway}/{collection}/{name}", "name": name, "properties": properties}


def listener(name: str, host: str | None = None, **more: Any) -> dict[str, Any]:
    return element(
        "httpListeners",
        name,
        frontendIPConfiguration={"id": f"{IDS.gateway}/frontendIPConfigurations/appGatewayFrontendIP"},
        frontendPort={"id": f"{IDS.gateway}/frontendPorts/port_80"},
        **({"hostName": host} if host else {}),
        **more,
    )


def gateway(foreign_pools: int = 1, **properties: Any) -> dict[str, Any]:
    return {
        "id": IDS.gateway,
        "name": "hub-agw",
        "tags": properties.pop("tags", {}),
        "properties": {
            "provisioningState": "Succeeded",
            "operationalState": "Running",
            "sku": {"name": "Standard_v2", "tier": "Standard_v2"},
            "frontendIPConfigurations": [element("frontendIPConfigurations", "appGatewayFrontendIP")],
            "frontendPorts": [element("frontendPorts", "port_80", port=80)],
            "backendAddressPools": [element("backendAddressPools", f"p{number}") for number in range(foreign_pools)],
            **properties,
        },
    }


def a_site(plan: SpokePlan, **changes: Any) -> SiteRow:
    row = SiteRow(
        client=plan.client,
        made_by=plan.made_by,
        deployment_id=plan.made_by,
        names=plan.site_names,
        site=site_of(plan, "10.11.1.4", SETTINGS),
        desired_version=1,
        since="2026",
    )
    return replace(row, **changes)


def found(
    document: dict[str, Any] | None,
    plan: SpokePlan = PLAN,
    sites: tuple[SiteRow, ...] = (),
    runs: tuple[RunRow, ...] = (),
    failed_by_us: bool = False,
    settings: Settings = SETTINGS,
) -> list[Finding]:
    return gateway_findings(plan, IDS, settings, document, sites, runs, failed_by_us=failed_by_us)


def codes(findings: list[Finding]) -> list[str]:
    return [finding.code for finding in findings]


@pytest.mark.parametrize("state", ["Succeeded", "Updating"])
def test_a_gateway_at_work_is_in_order(state: str) -> None:
    assert found(gateway(provisioningState=state)) == []


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (None, "GatewayNotFound"),
        (gateway(sku={"tier": "Standard"}), "GatewayTier"),
        (gateway(tags={"Managed-By-K8s-Ingress": "1.7"}), "GatewayManagedByIngress"),
        (gateway(operationalState="Stopped"), "GatewayStopped"),
        (gateway(provisioningState="Failed"), "GatewayFailed"),
        (gateway(frontendIPConfigurations=[]), "GatewayPartMissing"),
        (gateway(frontendPorts=[]), "GatewayPartMissing"),
    ],
)
def test_a_gateway_that_cannot_be_written_is_an_error(document: dict[str, Any] | None, code: str) -> None:
    assert codes(found(document)) == [code]


def test_everything_that_is_wrong_with_a_gateway_is_told_at_once() -> None:
    document = gateway(
        sku={"tier": "Standard"},
        operationalState="Stopped",
        provisioningState="Failed",
        tags={"managed-by-k8s-ingress": "1"},
    )
    assert codes(found(document)) == ["GatewayTier", "GatewayManagedByIngress", "GatewayStopped", "GatewayFailed"]


def test_what_our_own_put_left_failed_is_fixed_by_the_next_one() -> None:
    assert found(gateway(provisioningState="Failed"), failed_by_us=True) == []


@pytest.mark.parametrize(
    ("host", "listener_host", "code"),
    [
        (PLAN.host_name, PLAN.host_name.upper(), ["NameTaken"]),
        (PLAN.host_name, "*.spokes.example.com", ["NameTaken"]),
        ("shop.spokes.example.com", "*.spokes.example.com", ["NameTaken"]),
        ("shop.spokes.example.com", None, []),
        (PLAN.host_name, "another.spokes.example.com", []),
    ],
)
def test_a_host_name_is_refused_where_an_unmanaged_listener_has_it(
    host: str, listener_host: str | None, code: list[str]
) -> None:
    document = gateway(httpListeners=[listener("theirs", listener_host)])
    findings = found(document, a_plan(7, host_name=host))
    assert codes(findings) == code
    assert all(finding.error == ValidationException for finding in findings)


def test_a_wildcard_that_is_only_a_catch_all_refuses_no_name() -> None:
    document = gateway(httpListeners=[listener("theirs", "*.spokes.example.com")])
    settings = replace(SETTINGS, agw_override_wildcards=True)
    for host in (PLAN.host_name, "shop.spokes.example.com"):
        assert found(document, a_plan(7, host_name=host), settings=settings) == []
    taken = gateway(httpListeners=[listener("theirs", PLAN.host_name)])
    assert codes(found(taken, settings=settings)) == ["NameTaken"]


def test_a_site_that_is_there_keeps_its_name_under_a_wildcard() -> None:
    document = gateway(httpListeners=[listener("theirs", "*.spokes.example.com")])
    assert found(document, sites=(a_site(PLAN, owned=True),)) == []
    (finding,) = found(document, sites=(a_site(PLAN),))
    assert "AGW_OVERRIDE_WILDCARDS=true" in str(finding.hint)
    assert "*.spokes.example.com" in finding.message


def test_every_missing_part_is_told_with_what_is_there_and_the_command() -> None:
    settings = replace(SETTINGS, agw_ssl_certificate="wildcard", agw_frontend_port=443, agw_frontend_ip="gone")
    document = gateway(sslCertificates=[element("sslCertificates", "old")])
    ip, port, certificate = found(document, settings=settings)
    assert [each.code for each in (ip, port, certificate)] == ["GatewayPartMissing"] * 3
    assert "it has appGatewayFrontendIP" in ip.message
    assert "`az network application-gateway frontend-port create --resource-group hub-rg --gateway-name hub-agw" in str(
        port.hint
    )
    assert "--name port_443 --port 443`" in str(port.hint)
    assert "it has old" in certificate.message


@pytest.mark.parametrize(("certificate", "port", "odd"), [("w", 443, False), ("w", 80, True), (None, 443, True)])
def test_https_on_the_port_of_http_is_a_warning(certificate: str | None, port: int, odd: bool) -> None:
    settings = replace(SETTINGS, agw_ssl_certificate=certificate, agw_frontend_port=port)
    document = gateway(
        sslCertificates=[element("sslCertificates", "w")],
        frontendPorts=[element("frontendPorts", "p", port=port)],
    )
    findings = found(document, settings=settings)
    assert codes(findings) == (["OddFrontendPort"] if odd else [])
    assert not any(finding.stops for finding in findings)


def test_no_priority_below_an_unmanaged_rule_is_reported_with_the_command() -> None:
    rule = element("requestRoutingRules", "theirs", priority=1, httpListener={"id": listener("basic")["id"]})
    (finding,) = found(gateway(httpListeners=[listener("basic")], requestRoutingRules=[rule]))
    assert finding.code == "NoPriorityLeft"
    assert "az network application-gateway rule update" in str(finding.hint)
    assert (
        found(gateway(httpListeners=[listener("basic")], requestRoutingRules=[rule]), sites=(a_site(PLAN, priority=5),))
        == []
    )


def test_elements_of_our_names_that_we_did_not_make_are_in_the_way() -> None:
    document = gateway(backendAddressPools=[element("backendAddressPools", PLAN.backend_pool_name.upper())])
    assert codes(found(document)) == ["NameTaken"]
    assert found(document, sites=(a_site(PLAN, owned=True),)) == []


def test_a_full_gateway_is_told() -> None:
    assert found(gateway(foreign_pools=99)) == []
    (finding,) = found(gateway(foreign_pools=100))
    assert (finding.code, finding.check) == ("GatewayFull", "gateway_capacity")


@given(st.integers(0, 6), st.integers(0, 6), st.integers(90, 100))
def test_as_many_deployments_go_on_as_there_are_places(published: int, under_way: int, foreign: int) -> None:
    sites = tuple(a_site(a_plan(number), applied_version=1) for number in range(1, published + 1))
    runs = tuple(
        a_run(a_plan(number), created_at=f"2026-01-01T00:00:{number:02d}.000Z")
        for number in range(101, 101 + under_way)
    )
    go_on = [run for run in runs if not found(gateway(foreign), run.plan, sites, runs)]
    assert len(go_on) == min(under_way, max(0, 100 - foreign - published))
