"""The ARM documents of a spoke, as decided before anything is sent."""

import base64
import ipaddress
import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ConfigurationException
from shared.spoke.documents.resources import (
    has_subnets,
    nic_document,
    os_of,
    vm_document,
    vnet_document,
    vnet_with_subnets,
)
from shared.spoke.documents.security_rules import HubNetwork, OutboundRules, hub_network, nsg_document, security_rules
from shared.spoke.plan import SpokePlan, our_tags
from shared.spoke.resource_ids import ResourceIds, name_of, same_id, type_of

IDS = ResourceIds("sub", "hub-rg", "hub-vnet", "hub-agw", "spoke-rg")
HUB = HubNetwork(("10.0.2.0/24",), ("10.0.1.0/24",), ("10.0.0.0/16",))
IMAGE = "Canonical:0001-com-ubuntu-server-jammy:22_04-lts-gen2:latest"


def a_plan() -> SpokePlan:
    return SpokePlan(
        spoke_id=7,
        client_name="Acme Corp!",
        client="acme-corp",
        made_by="deploy-acme-corp-1-abcd",
        location="eastus",
        resource_group="spoke-rg",
        vnet_name="spoke-vnet-7",
        address_prefix="10.11.7.0/24",
        subnet_prefixes=("10.11.7.0/26", "10.11.7.64/26", "10.11.7.128/26", "10.11.7.192/26"),
        vm_name="acme-vm",
        vm_size="Standard_B2s",
        admin_username="azureuser",
        ssh_public_key="ssh-ed25519 AAAA",
        host_name="acme-corp.spokes.example.com",
        backend_pool_name="acme-corp-pool",
        routing_rule_name="acme-corp-route",
        tags={"team": "blue"},
    )


def test_the_second_vnet_put_repeats_the_whole_first_body() -> None:
    plan = a_plan()
    first, second = vnet_document(plan), vnet_with_subnets(plan, IDS, "default")
    assert "subnets" not in first["properties"]
    subnets = second["properties"].pop("subnets")
    assert second == first
    assert [subnet["name"] for subnet in subnets] == [
        "web-subnet-7",
        "app-subnet-7",
        "db-subnet-7",
        "management-subnet-7",
    ]
    assert all(subnet["properties"]["networkSecurityGroup"]["id"] == IDS.nsg("spoke-nsg-7") for subnet in subnets)


@pytest.mark.parametrize(
    ("outbound", "expected"),
    [
        ("default", {"defaultOutboundAccess": True}),
        ("none", {"defaultOutboundAccess": False}),
        ("nat:/subscriptions/s/nat", {"defaultOutboundAccess": False, "natGateway": {"id": "/subscriptions/s/nat"}}),
        ("route:/subscriptions/s/rt", {"defaultOutboundAccess": False, "routeTable": {"id": "/subscriptions/s/rt"}}),
    ],
)
def test_outbound_is_explicit_on_every_subnet(outbound: str, expected: dict[str, object]) -> None:
    for subnet in vnet_with_subnets(a_plan(), IDS, outbound)["properties"]["subnets"]:
        assert expected.items() <= subnet["properties"].items()


def test_a_vnet_without_its_nsg_or_a_subnet_is_not_complete() -> None:
    plan = a_plan()
    whole = vnet_with_subnets(plan, IDS, "default")
    assert has_subnets(plan, whole)
    assert not has_subnets(plan, vnet_document(plan))
    del whole["properties"]["subnets"][2]["properties"]["networkSecurityGroup"]
    assert not has_subnets(plan, whole)


def test_our_tags_win_over_the_callers() -> None:
    tags = our_tags(replace(a_plan(), tags={"spoke_id": "99", "team": "blue"}))
    assert tags == {
        "team": "blue",
        "client_name": "Acme Corp!",
        "spoke_id": "7",
        "deployment_id": "deploy-acme-corp-1-abcd",
        "managed_by": "hub-spoke-automation",
    }


def test_the_vm_is_reached_by_key_only_and_its_parts_outlive_it() -> None:
    vm = vm_document(replace(a_plan(), cloud_init="#cloud-config\n"), IDS, IMAGE, "TrustedLaunch")["properties"]
    assert vm["osProfile"]["linuxConfiguration"]["disablePasswordAuthentication"] is True
    assert "adminPassword" not in vm["osProfile"]
    assert base64.b64decode(vm["osProfile"]["customData"]) == b"#cloud-config\n"
    assert vm["storageProfile"]["osDisk"]["deleteOption"] == "Detach"
    assert vm["storageProfile"]["osDisk"]["name"] == "acme-vm-osdisk"
    assert vm["networkProfile"]["networkInterfaces"][0]["properties"]["deleteOption"] == "Detach"
    assert vm["securityProfile"] == {
        "securityType": "TrustedLaunch",
        "uefiSettings": {"secureBootEnabled": True, "vTpmEnabled": True},
    }
    assert vm_document(a_plan(), IDS, IMAGE, "Standard")["properties"]["securityProfile"] == {
        "securityType": "Standard"
    }


def test_the_nic_lies_in_the_web_subnet() -> None:
    configuration = nic_document(a_plan(), IDS)["properties"]["ipConfigurations"][0]["properties"]
    assert configuration["subnet"]["id"].endswith("/virtualNetworks/spoke-vnet-7/subnets/web-subnet-7")


def test_the_groups_rules_are_the_contracts() -> None:
    rules = security_rules(a_plan(), HUB, OutboundRules(allowed=("10.0.1.10/32",)))
    seen = [(rule["properties"]["direction"], rule["properties"]["priority"], rule["name"]) for rule in rules]
    assert seen == [
        ("Inbound", 100, "AllowGatewayToWeb"),
        ("Inbound", 110, "AllowWebToApp"),
        ("Inbound", 120, "AllowAppToDb"),
        ("Inbound", 130, "AllowSshFromManagement"),
        ("Inbound", 140, "AllowSshFromOperators"),
        ("Inbound", 150, "AllowWithinWeb"),
        ("Inbound", 151, "AllowWithinApp"),
        ("Inbound", 152, "AllowWithinDb"),
        ("Inbound", 153, "AllowWithinManagement"),
        ("Inbound", 4090, "AllowAzureLoadBalancer"),
        ("Inbound", 4096, "DenyVirtualNetworkIn"),
        ("Outbound", 100, "AllowSpokeOut"),
        ("Outbound", 110, "AllowToHub"),
        ("Outbound", 4000, "AllowPlatform"),
        ("Outbound", 4095, "DenyConnectedOut"),
        ("Outbound", 4096, "DenyPrivateOut"),
    ]
    by_name = {rule["name"]: rule["properties"] for rule in rules}
    assert by_name["AllowGatewayToWeb"]["sourceAddressPrefixes"] == ["10.0.2.0/24"]
    assert by_name["AllowGatewayToWeb"]["destinationPortRanges"] == ["80", "443"]
    assert by_name["DenyVirtualNetworkIn"]["sourceAddressPrefix"] == "VirtualNetwork"
    assert by_name["DenyConnectedOut"]["destinationAddressPrefix"] == "VirtualNetwork"
    assert {name for name, each in by_name.items() if each["access"] == "Deny"} == {
        "DenyVirtualNetworkIn",
        "DenyConnectedOut",
        "DenyPrivateOut",
    }
    for name, ports in {
        "AllowSshFromManagement": ["22"],
        "AllowSshFromOperators": ["22"],
        "AllowWebToApp": ["*"],
    }.items():
        each = by_name[name]
        assert (each.get("destinationPortRanges") or [each["destinationPortRange"]]) == ports
        assert each["protocol"] == ("Tcp" if ports == ["22"] else "*")
    assert nsg_document(a_plan(), HUB, OutboundRules())["tags"]["managed_by"] == "hub-spoke-automation"


def test_behind_a_route_table_the_tag_of_connected_networks_is_not_denied() -> None:
    """The tag holds the routes, too: with a default route to a firewall it would deny everything."""
    names = [rule["name"] for rule in security_rules(a_plan(), HUB, OutboundRules(routed=True))]
    assert "DenyConnectedOut" not in names
    assert "DenyPrivateOut" in names


def test_tags_and_stars_never_stand_in_a_plural_property() -> None:
    for rule in security_rules(a_plan(), HUB, OutboundRules()):
        for side in ("source", "destination"):
            plural = rule["properties"].get(f"{side}AddressPrefixes", [])
            assert all(prefix[0].isdigit() for prefix in plural)
            assert bool(plural) != (f"{side}AddressPrefix" in rule["properties"])


def test_without_allowed_destinations_there_is_no_rule_to_the_hub() -> None:
    names = {rule["name"] for rule in security_rules(a_plan(), HUB, OutboundRules())}
    assert "AllowToHub" not in names


def denied(hub: HubNetwork, *destinations: str) -> list[str]:
    rules = {
        each["name"]: each["properties"] for each in security_rules(a_plan(), hub, OutboundRules((), destinations))
    }
    found: list[str] = rules["DenyPrivateOut"]["destinationAddressPrefixes"]
    return found


def test_the_private_ranges_are_denied_once_each_even_where_the_hub_lies_in_one() -> None:
    private = ["10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16"]
    assert denied(replace(HUB, address_spaces=("10.0.0.0/16", "100.64.0.0/16"))) == private
    assert denied(replace(HUB, address_spaces=("10.0.0.0/16",)), "20.1.0.0/16", "10.4.0.0/16") == sorted(
        [*private, "20.1.0.0/16"], key=lambda prefix: ipaddress.ip_network(prefix)
    )


SIX = "fd12:3456:789a"


def a_hub(*, subnets: dict[str, list[str]], spaces: tuple[str, ...] = ("10.0.0.0/16", f"{SIX}::/48")) -> dict[str, Any]:
    made = [
        {"name": name, "id": f"{IDS.hub_vnet}/subnets/{name}", "properties": {"addressPrefixes": prefixes}}
        for name, prefixes in subnets.items()
    ]
    return {"id": IDS.hub_vnet, "properties": {"addressSpace": {"addressPrefixes": list(spaces)}, "subnets": made}}


def a_gateway(*subnet_ids: str) -> dict[str, Any]:
    used = [{"properties": {"subnet": {"id": each}}} for each in subnet_ids]
    return {"id": IDS.gateway, "name": "hub-agw", "properties": {"gatewayIPConfigurations": used}}


DUAL = {
    "hub-subnet": ["10.0.1.0/24", f"{SIX}:1::/64"],
    "agw-subnet": [f"{SIX}:2::/64", "10.0.2.0/24"],
    "AzureBastionSubnet": ["10.0.3.0/26", f"{SIX}:3::/64"],
}


def test_rules_hold_ipv4_only_beside_a_dual_stack_hub() -> None:
    hub = hub_network(a_hub(subnets=DUAL), a_gateway(f"{IDS.hub_vnet}/subnets/agw-subnet"), None)
    assert hub == HubNetwork(("10.0.2.0/24",), ("10.0.1.0/24", "10.0.3.0/26"), ("10.0.0.0/16",))
    assert SIX not in str([rule["properties"] for rule in security_rules(a_plan(), hub, OutboundRules())])


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(8, 32)), min_size=1, max_size=8))
def test_what_is_read_from_azure_never_overlaps_in_a_rule(prefixes: list[tuple[int, int]]) -> None:
    own = [str(ipaddress.ip_network(each, strict=False)) for each in prefixes]
    vnet = a_hub(subnets={**DUAL, "hub-subnet": own, "agw-subnet": own}, spaces=tuple(own))
    hub = hub_network(vnet, a_gateway(f"{IDS.hub_vnet}/subnets/agw-subnet"), None)
    for rule in security_rules(a_plan(), hub, OutboundRules(denied=tuple(own))):
        for side in ("source", "destination"):
            networks = [ipaddress.ip_network(each) for each in rule["properties"].get(f"{side}AddressPrefixes", [])]
            assert not any(one.overlaps(other) for one, other in itertools.combinations(networks, 2))


OUTSIDE = f"{IDS.hub_group}/providers/Microsoft.Network/virtualNetworks/ingress-vnet/subnets/agw"


@pytest.mark.parametrize(
    ("subnets", "gateway", "gap"),
    [
        (DUAL, a_gateway(OUTSIDE), "GatewayOutsideHub"),
        (DUAL, a_gateway(f"{IDS.hub_vnet}/subnets/agw-subnet", OUTSIDE), "GatewayOutsideHub"),
        (DUAL, a_gateway(f"{IDS.hub_vnet}/subnets/gone"), "GatewaySubnetNotFound"),
        (DUAL, a_gateway(), "GatewaySubnetNotFound"),
        ({"agw-subnet": [f"{SIX}:2::/64"]}, a_gateway(f"{IDS.hub_vnet}/subnets/agw-subnet"), "GatewaySubnetHasNoIPv4"),
        ({"agw-subnet": []}, a_gateway(f"{IDS.hub_vnet}/subnets/agw-subnet"), "GatewaySubnetHasNoIPv4"),
    ],
)
def test_without_the_gateways_prefix_no_group_is_written(
    subnets: dict[str, list[str]], gateway: dict[str, Any], gap: str
) -> None:
    hub = hub_network(a_hub(subnets=subnets), gateway, ("192.0.2.0/24",))
    assert [(each.code, each.stops) for each in hub.gaps] == [(gap, True)]
    with pytest.raises(ConfigurationException) as refused:
        security_rules(a_plan(), hub, OutboundRules())
    assert refused.value.failure.code == gap


@pytest.mark.parametrize("subnets", [{}, {"hub-subnet": [f"{SIX}:1::/64"]}, {"hub-subnet": []}])
def test_a_hub_without_operators_is_told_and_has_no_rule_for_them(subnets: dict[str, list[str]]) -> None:
    vnet = a_hub(subnets={"agw-subnet": ["10.0.2.0/24"], **subnets})
    gateway = a_gateway(f"{IDS.hub_vnet}/subnets/agw-subnet")
    hub = hub_network(vnet, gateway, None)
    assert [(each.code, each.stops) for each in hub.gaps] == [("NoOperatorPrefixes", False)]
    assert "AllowSshFromOperators" not in {each["name"] for each in security_rules(a_plan(), hub, OutboundRules())}
    assert hub_network(vnet, gateway, ("192.0.2.0/24",)).gaps == ()


@pytest.mark.parametrize("form", ["addressPrefix", "addressPrefixes"])
def test_the_hub_is_read_in_both_forms_of_prefixes(form: str) -> None:
    def subnet(name: str, prefix: str) -> dict[str, object]:
        value: object = prefix if form == "addressPrefix" else [prefix]
        return {"name": name, "id": f"{IDS.hub_vnet}/subnets/{name}", "properties": {form: value}}

    subnets = [
        subnet("hub-subnet", "10.0.1.0/24"),
        subnet("agw-subnet", "10.0.2.0/24"),
        subnet("AzureBastionSubnet", "10.0.3.0/26"),
    ]
    vnet = {"properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": subnets}}
    reference = {"subnet": {"id": f"{IDS.hub_vnet.upper()}/subnets/AGW-SUBNET"}}
    gateway = {"properties": {"gatewayIPConfigurations": [{"properties": reference}]}}
    assert hub_network(vnet, gateway, None) == HubNetwork(
        ("10.0.2.0/24",), ("10.0.1.0/24", "10.0.3.0/26"), ("10.0.0.0/16",)
    )
    assert hub_network(vnet, gateway, ("192.0.2.0/24",)).operator_prefixes == ("192.0.2.0/24",)


@given(st.sampled_from([IDS.hub_vnet, IDS.gateway, IDS.vm("x"), IDS.subnet("v", "s")]))
def test_ids_are_compared_without_letter_case(resource_id: str) -> None:
    assert same_id(resource_id, resource_id.upper())
    assert not same_id(resource_id, None)
    assert name_of(resource_id)


def test_types_are_read_off_ids() -> None:
    assert type_of(IDS.subnet("v", "s")) == "Microsoft.Network/virtualNetworks/subnets"
    assert type_of(IDS.disk("d")) == "Microsoft.Compute/disks"
    assert type_of(IDS.hub_group).endswith("resourceGroups")


def test_an_image_is_named_as_a_person_would() -> None:
    assert os_of("Canonical:0001-com-ubuntu-server-jammy:22_04-lts-gen2:latest") == "Ubuntu 22.04 LTS"
    assert os_of("me:mine:1:latest") == "me:mine:1:latest"
