"""The ARM documents of a spoke, as decided before anything is sent."""

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.spoke.documents import has_subnets, nic_document, os_of, vm_document, vnet_document, vnet_with_subnets
from shared.spoke.plan import SpokePlan, our_tags
from shared.spoke.resource_ids import ResourceIds, name_of, same_id, type_of
from shared.spoke.security_rules import HubNetwork, hub_network, nsg_document

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
    rules = nsg_document(a_plan(), HUB, ("10.0.1.10/32",))["properties"]["securityRules"]
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
        ("Outbound", 4096, "DenyPrivateOut"),
    ]
    by_name = {rule["name"]: rule["properties"] for rule in rules}
    assert by_name["AllowGatewayToWeb"]["sourceAddressPrefixes"] == ["10.0.2.0/24"]
    assert by_name["AllowGatewayToWeb"]["destinationPortRanges"] == ["80", "443"]
    assert by_name["DenyVirtualNetworkIn"]["sourceAddressPrefix"] == "VirtualNetwork"


def test_tags_and_stars_never_stand_in_a_plural_property() -> None:
    for rule in nsg_document(a_plan(), HUB, ())["properties"]["securityRules"]:
        for side in ("source", "destination"):
            plural = rule["properties"].get(f"{side}AddressPrefixes", [])
            assert all(prefix[0].isdigit() for prefix in plural)
            assert bool(plural) != (f"{side}AddressPrefix" in rule["properties"])


def test_without_allowed_destinations_there_is_no_rule_to_the_hub() -> None:
    names = {rule["name"] for rule in nsg_document(a_plan(), HUB, ())["properties"]["securityRules"]}
    assert "AllowToHub" not in names


def test_the_private_ranges_are_denied_once_each_even_where_the_hub_lies_in_one() -> None:
    hub = replace(HUB, address_spaces=("10.0.0.0/16", "100.64.0.0/16"))
    rules = {
        rule["name"]: rule["properties"] for rule in nsg_document(a_plan(), hub, ())["properties"]["securityRules"]
    }
    assert rules["DenyPrivateOut"]["destinationAddressPrefixes"] == [
        "100.64.0.0/16",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
    ]


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
