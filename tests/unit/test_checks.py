"""The hub, locks, addresses and names, judged from raw documents; and how findings become one failure."""

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.checks.findings import CHECKS, Finding, failure_from, in_order, results_of, warnings_in
from shared.checks.subjects.addresses import address_findings
from shared.checks.subjects.hub import (
    hub_gateway_findings,
    hub_vnet_findings,
    network_findings,
    outbound_findings,
    peering_findings,
)
from shared.checks.subjects.locks import covers, lock_findings
from shared.checks.subjects.names import name_findings, possible_conflicts
from shared.settings import settings_from
from shared.spoke.plan import our_tags
from shared.spoke.resource_ids import ResourceIds
from tests.activities.azure_stand_in import a_plan, a_run

IDS = ResourceIds("sub", "hub-rg", "hub-vnet", "hub-agw", "spoke-rg")
NETWORK = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network"
ENVIRONMENT = {
    "AZURE_SUBSCRIPTION_ID": "00000000-0000-0000-0000-000000000001",
    "HUB_RESOURCE_GROUP": "hub-rg",
    "HUB_VNET_NAME": "hub-vnet",
    "HUB_AGW_NAME": "hub-agw",
    "TASK_HUB": "HubSpokeTest",
    "SPOKE_DOMAIN": "spokes.example.com",
    "TABLES_ENDPOINT": "https://tables.example.com",
}
PLAN = a_plan(7)
OWN_VNET = IDS.vnet(PLAN.vnet_name)


def vnet(vnet_id: str, *prefixes: str, **properties: Any) -> dict[str, Any]:
    return {
        "id": vnet_id,
        "name": vnet_id.rsplit("/", 1)[-1],
        "properties": {
            "provisioningState": "Succeeded",
            "addressSpace": {"addressPrefixes": list(prefixes)},
            **properties,
        },
    }


def peering(name: str, remote: str, *prefixes: str, now: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "id": IDS.hub_peering(name),
        "name": name,
        "properties": {
            "remoteVirtualNetwork": {"id": remote},
            "remoteAddressSpace": {"addressPrefixes": list(prefixes)},
            "remoteVirtualNetworkAddressSpace": {"addressPrefixes": list(now or prefixes)},
        },
    }


def hub(*peerings: dict[str, Any], state: str = "Succeeded") -> dict[str, Any]:
    return vnet(IDS.hub_vnet, "10.0.0.0/16", virtualNetworkPeerings=list(peerings), provisioningState=state)


def lock(scope: str, level: str) -> dict[str, Any]:
    return {"id": f"{scope}/providers/Microsoft.Authorization/locks/l", "properties": {"level": level}}


def codes(found: list[Finding]) -> list[str]:
    return [finding.code for finding in found]


# --- the hub ---


@pytest.mark.parametrize("state", ["Succeeded", "Updating"])
def test_a_hub_that_another_run_is_writing_is_in_order(state: str) -> None:
    assert hub_vnet_findings(IDS, hub(state=state)) == []


@pytest.mark.parametrize("state", ["Failed", "Deleting", "Canceled"])
def test_a_broken_hub_is_an_error(state: str) -> None:
    assert codes(hub_vnet_findings(IDS, hub(state=state))) == ["HubFailed"]


def test_a_missing_hub_is_an_error() -> None:
    assert codes(hub_vnet_findings(IDS, None)) == ["HubNotFound"]


def test_the_hub_holds_five_hundred_peerings() -> None:
    others = [peering(f"p{number}", f"/v/{number}") for number in range(499)]
    assert peering_findings(PLAN, IDS, hub(*others)) == []
    assert peering_findings(PLAN, IDS, hub(*others, peering("own", OWN_VNET.upper()))) == []
    assert codes(peering_findings(PLAN, IDS, hub(*others, peering("another", "/v/x")))) == ["HubFull"]
    earlier = a_run(a_plan(8), created_at="2025")
    assert codes(peering_findings(PLAN, IDS, hub(*others), [earlier, a_run(PLAN)])) == ["HubFull"]
    assert peering_findings(earlier.plan, IDS, hub(*others), [earlier, a_run(PLAN)]) == []


OUT = NETWORK.replace("/s/", f"/{ENVIRONMENT['AZURE_SUBSCRIPTION_ID']}/")
HERE = {"location": "East US", "properties": {"publicIpAddresses": [{"id": "ip"}]}}


@pytest.mark.parametrize(
    ("outbound", "resource", "found"),
    [
        ("default", None, []),
        ("none", None, []),
        (f"nat:{OUT}/natGateways/x", None, ["OutboundNotFound"]),
        (f"route:{OUT}/routeTables/x", HERE, []),
        (f"nat:{OUT}/natGateways/x", HERE, []),
        (f"nat:{OUT.upper()}/natGateways/x", HERE, []),
        (f"route:{OUT}/routeTables/x", HERE | {"location": "westeurope"}, ["OutboundInAnotherRegion"]),
        (f"nat:{OUT}/natGateways/x", HERE | {"location": "westeurope"}, ["OutboundInAnotherRegion"]),
        (f"nat:{NETWORK}/natGateways/x", HERE, ["OutboundInAnotherSubscription"]),
        (f"route:{OUT}/routeTables/x", HERE | {"properties": {"provisioningState": "Failed"}}, ["OutboundNotReady"]),
        (f"nat:{OUT}/natGateways/x", HERE | {"properties": {}}, ["OutboundHasNoAddress"]),
        (f"nat:{OUT}/natGateways/x", HERE | {"properties": {"publicIpPrefixes": [{"id": "p"}]}}, []),
    ],
)
def test_the_way_out_has_to_be_there_and_here(outbound: str, resource: dict[str, Any] | None, found: list[str]) -> None:
    settings = settings_from({**ENVIRONMENT, "SPOKE_OUTBOUND": outbound})
    findings = outbound_findings(PLAN, settings, resource)
    assert codes(findings) == found
    assert all(each.hint and each.resource for each in findings)
    assert [each.severity for each in findings] == [
        "warning" if each == "OutboundHasNoAddress" else "error" for each in found
    ]


def test_a_gateway_in_another_vnet_is_an_error_and_a_hub_without_operators_a_warning() -> None:
    agw = f"{IDS.hub_group}/providers/Microsoft.Network/virtualNetworks/ingress-vnet/subnets/agw"
    gateway = {"id": IDS.gateway, "properties": {"gatewayIPConfigurations": [{"properties": {"subnet": {"id": agw}}}]}}
    found = network_findings(hub(), gateway, settings_from(ENVIRONMENT))
    assert [(each.check, each.severity, each.code) for each in found] == [
        ("gateway", "error", "GatewayOutsideHub"),
        ("hub_vnet", "warning", "NoOperatorPrefixes"),
    ]
    assert "ingress-vnet" in found[0].message


@pytest.mark.parametrize(
    ("state", "found"),
    [("Succeeded", []), ("Updating", ["HubGatewayNotReady"]), ("Failed", ["HubGatewayFailed"])],
)
def test_a_hub_gateway_that_is_not_ready_is_told(state: str, found: list[str]) -> None:
    vpn = f"{IDS.hub_group}/providers/Microsoft.Network/virtualNetworkGateways/vpn"
    subnet = {"name": "GatewaySubnet", "properties": {"ipConfigurations": [{"id": f"{vpn}/ipConfigurations/default"}]}}
    documents = [{"id": vpn, "name": "vpn", "properties": {"provisioningState": state}}]
    findings = hub_gateway_findings(vnet(IDS.hub_vnet, "10.0.0.0/16", subnets=[subnet]), documents)
    assert [(each.code, each.severity, each.resource) for each in findings] == [
        (code, "warning", vpn) for code in found
    ]
    assert hub_gateway_findings(hub(), []) == []


# --- locks ---


@pytest.mark.parametrize(
    ("scope", "level", "stands"),
    [
        (IDS.hub_vnet, "ReadOnly", True),
        (IDS.hub_vnet.upper(), "CanNotDelete", True),
        (IDS.gateway, "ReadOnly", True),
        (IDS.gateway, "CanNotDelete", False),
        (IDS.spoke_group, "CanNotDelete", True),
        (IDS.hub_group, "CanNotDelete", True),
        (IDS.subscription, "ReadOnly", True),
        (IDS.subscription, "CanNotDelete", True),
        (f"{IDS.hub_group}-2", "ReadOnly", False),
        (f"{IDS.hub_vnet}2", "ReadOnly", False),
        (f"{IDS.hub_group}/providers/Microsoft.Storage/storageAccounts/s", "ReadOnly", False),
    ],
)
def test_a_lock_stands_in_the_way_where_it_would_forbid_the_work_or_its_rollback(
    scope: str, level: str, stands: bool
) -> None:
    found = lock_findings(IDS, [lock(scope, level)])
    assert codes(found) == (["ScopeLocked"] if stands else [])
    assert all(level in finding.message for finding in found)


@given(
    st.lists(st.sampled_from("ab"), min_size=1, max_size=6).map("/".join), st.lists(st.sampled_from("ab"), max_size=6)
)
def test_a_lock_covers_its_scope_and_what_is_under_it_only(scope: str, more: list[str]) -> None:
    scope = f"/subscriptions/{scope}"
    assert covers(lock(scope, "ReadOnly"), scope)
    assert covers(lock(scope, "ReadOnly"), "/".join([scope, *more]))
    assert not covers(lock(scope + "x", "ReadOnly"), scope)
    assert not covers(lock(scope, "ReadOnly"), scope + "x")


# --- addresses ---


def test_the_own_vnet_and_its_peering_are_no_collision() -> None:
    own = vnet(OWN_VNET.upper(), PLAN.address_prefix)
    of_this_run = hub(peering(PLAN.hub_peering_name, OWN_VNET, PLAN.address_prefix))
    assert address_findings(PLAN, IDS, of_this_run, [own, of_this_run], strict=True) == []


@pytest.mark.parametrize("strict", [False, True])
def test_an_overlap_with_the_hub_is_an_error(strict: bool) -> None:
    wide = vnet(IDS.hub_vnet, "10.0.0.0/8")
    found = address_findings(PLAN, IDS, wide, [wide], strict=strict)
    assert [(finding.severity, finding.code) for finding in found] == [("error", "AddressBlockInUse")]


def test_an_overlap_with_what_is_peered_is_told_once() -> None:
    other = vnet("/v/other", "10.11.0.0/16")
    peered = hub(peering("p", "/v/other", "192.168.0.0/24", now=("10.11.0.0/16",)))
    found = address_findings(PLAN, IDS, peered, [other, peered], strict=False)
    assert [(finding.severity, finding.resource) for finding in found] == [("error", "/v/other")]


@pytest.mark.parametrize(("strict", "severity"), [(False, "warning"), (True, "error")])
def test_an_overlap_with_an_unmanaged_vnet_is_a_warning_unless_strict(strict: bool, severity: str) -> None:
    found = address_findings(PLAN, IDS, hub(), [vnet("/v/other", "10.11.7.128/25")], strict=strict)
    assert [finding.severity for finding in found] == [severity]


@given(st.integers(0, 2**32 - 1), st.integers(1, 32))
def test_an_overlap_is_found_exactly_when_the_networks_overlap(address: int, length: int) -> None:
    other = ipaddress.ip_network((address, length), strict=False)
    found = address_findings(PLAN, IDS, None, [vnet("/v/other", "fd00::/8", str(other))], strict=False)
    assert bool(found) == other.overlaps(ipaddress.ip_network(PLAN.address_prefix))


# --- names ---


def test_only_names_that_another_made_are_looked_up() -> None:
    theirs = {"id": IDS.disk(PLAN.os_disk_name).upper(), "tags": {"deployment_id": "deploy-other"}}
    ours = {"id": IDS.vm(PLAN.vm_name), "tags": our_tags(PLAN)}
    unrelated = {"id": IDS.vm("another"), "tags": {}}
    assert possible_conflicts(PLAN, IDS, [theirs, ours, unrelated]) == [IDS.disk(PLAN.os_disk_name)]


def test_names_of_others_are_in_the_way() -> None:
    found = name_findings(PLAN, IDS, [{"id": IDS.nic(PLAN.nic_name)}, {"id": OWN_VNET, "tags": our_tags(PLAN)}], hub())
    assert [finding.resource for finding in found] == [IDS.nic(PLAN.nic_name)]
    assert found[0].message == f"networkInterfaces {PLAN.nic_name} exists already and was not made by this deployment"


@pytest.mark.parametrize(
    ("name", "remote", "stands"),
    [
        (PLAN.hub_peering_name, OWN_VNET.lower(), False),
        (PLAN.hub_peering_name.upper(), "/v/another", True),
        ("hub-to-somewhere", OWN_VNET, True),
        ("hub-to-somewhere", "/v/another", False),
    ],
)
def test_a_peering_is_ours_by_name_and_remote_vnet(name: str, remote: str, stands: bool) -> None:
    assert bool(name_findings(PLAN, IDS, [], hub(peering(name, remote)))) is stands


# --- findings ---


def a_finding(check: str = "locks", severity: str = "error", message: str = "m") -> Finding:
    return Finding(check, severity, f"Code-{check}", message, "hint")


findings = st.lists(
    st.builds(
        a_finding,
        st.sampled_from(CHECKS),
        st.sampled_from(["error", "warning"]),
        st.text("ab", max_size=2),
    )
)


@given(findings)
def test_every_finding_is_told_and_the_first_error_speaks(found: list[Finding]) -> None:
    failure, ordered = failure_from(found), in_order(found)
    errors = [finding for finding in ordered if finding.stops]
    assert (failure is None) == (not errors)
    if failure is not None:
        assert failure.details["findings"] == [finding.as_data() for finding in ordered]
        assert failure.code == errors[0].code
        assert failure.message.startswith(errors[0].message)
        assert ("more finding" in failure.message) == (len(errors) > 1)
    assert len(warnings_in(found)) == len(ordered) - len(errors)


@given(findings)
def test_every_check_has_one_result(found: list[Finding]) -> None:
    results = results_of(found)
    assert tuple(result["check"] for result in results) == CHECKS
    assert any(result["result"] == "error" for result in results) == (failure_from(found) is not None)
    assert sum(len(result["findings"]) for result in results) == len(in_order(found))
