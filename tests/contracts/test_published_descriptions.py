"""A spoke's whole life, asked and answered as Microsoft's published descriptions say."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.contracts.azure import PLACE, RG, Azure
from tests.contracts.descriptions import SPECS, Descriptions

pytestmark = pytest.mark.skipif(not SPECS.is_dir(), reason="the published descriptions are not beside the checkout")

# what Azure answers beyond its descriptions: recorded (back-references of a gateway's parts, a peering's routeServiceVips,
# a listener's enableHttp3, a NIC's kind and allowPort25Out), or newer than the ones at hand
_BEYOND = re.compile(
    r"\.(requestRoutingRules|httpListeners|routeServiceVips|enableHttp3|kind|allowPort25Out|defaultOutboundAccess) is unknown$"
)


@pytest.fixture(scope="module")
def descriptions() -> Descriptions:
    return Descriptions()


def _live(azure: Azure) -> None:
    network, compute = azure.network, azure.compute
    nsg = network.network_security_groups.begin_create_or_update(
        RG,
        "nsg",
        {
            "location": PLACE,
            "tags": {"a": "b"},
            "properties": {
                "securityRules": [
                    {
                        "name": "r",
                        "properties": {
                            "priority": 100,
                            "direction": "Inbound",
                            "access": "Allow",
                            "protocol": "Tcp",
                            "sourceAddressPrefixes": ["10.0.2.0/24"],
                            "sourcePortRange": "*",
                            "destinationAddressPrefix": "VirtualNetwork",
                            "destinationPortRanges": ["80", "443"],
                        },
                    }
                ]
            },
        },
        polling=azure.done,
    ).result()
    vm = azure.vm_with_network()
    subnet = {"properties": {"addressPrefix": "10.11.1.0/26", "networkSecurityGroup": {"id": nsg.id}}}
    network.subnets.begin_create_or_update(RG, "v1", "web", subnet, polling=azure.done).result()
    hub, spoke = azure.id("virtualNetworks", "hub-vnet"), azure.id("virtualNetworks", "v1")
    azure.peer("hub-vnet", "hub-to-v1", spoke)
    azure.peer("v1", "v1-to-hub", hub)
    gateway = network.application_gateways.get(RG, "hub-agw")
    network.application_gateways.begin_create_or_update(RG, "hub-agw", gateway, polling=azure.done).result()
    network.application_gateways.begin_backend_health(RG, "hub-agw", polling=azure.done).result()
    for listed in (
        network.virtual_networks.list(RG),
        network.virtual_networks.list_all(),
        network.subnets.list(RG, "v1"),
        network.virtual_network_peerings.list(RG, "v1"),
        network.network_security_groups.list(RG),
        network.security_rules.list(RG, "nsg"),
        network.network_interfaces.list(RG),
        network.public_ip_addresses.list(RG),
        network.application_gateways.list(RG),
        network.usages.list(PLACE),
        compute.virtual_machines.list(RG),
        compute.disks.list(),
        compute.usage.list(PLACE),
        compute.resource_skus.list(filter=f"location eq '{PLACE}'"),
        compute.virtual_machine_sizes.list(PLACE),
    ):
        list(listed)
    network.virtual_networks.get(RG, "v1")
    network.network_interfaces.get(RG, "vm1-nic")
    network.network_security_groups.get(RG, "nsg")
    compute.virtual_machines.get(RG, "vm1", expand="instanceView")
    compute.virtual_machines.instance_view(RG, "vm1")
    compute.disks.get(RG, "vm1-osdisk")
    compute.virtual_machines.begin_deallocate(RG, "vm1", polling=azure.done).result()
    for refused in (
        azure.id("virtualNetworks", "v1"),
        azure.id("disks", "vm1-osdisk"),
        azure.id("networkInterfaces", "vm1-nic"),
    ):
        assert azure.send("DELETE", refused).status_code in (400, 409)
    compute.virtual_machines.begin_delete(RG, "vm1", polling=azure.done).result()
    compute.disks.begin_delete(RG, "vm1-osdisk", polling=azure.done).result()
    network.network_interfaces.begin_delete(RG, "vm1-nic", polling=azure.done).result()
    network.virtual_network_peerings.begin_delete(RG, "hub-vnet", "hub-to-v1", polling=azure.done).result()
    network.virtual_networks.begin_delete(RG, "v1", polling=azure.done).result()
    network.network_security_groups.begin_delete(RG, "nsg", polling=azure.done).result()
    azure.send("DELETE", vm.id)


_TAGS = {"tags": {"a": "b"}}


def _other_operations(azure: Azure) -> None:
    """What an operator may do beside it: every other type and operation that is served."""
    _make_networks(azure)
    _tag_and_list_networks(azure)
    _run_vm(azure)
    _make_disk(azure)
    _read_images(azure)
    _use_resource_groups(azure)
    _delete_all(azure)


def _make_networks(azure: Azure) -> None:
    network = azure.network
    standard = {"location": PLACE, "sku": {"name": "Standard"}}
    public = standard | {"properties": {"publicIPAllocationMethod": "Static"}}
    network.public_ip_addresses.begin_create_or_update(RG, "pip", public, polling=azure.done).result()
    address = azure.id("publicIPAddresses", "pip")
    nat = standard | {"properties": {"publicIpAddresses": [{"id": address}]}}
    network.nat_gateways.begin_create_or_update(RG, "nat", nat, polling=azure.done).result()
    route: dict[str, Any] = {
        "name": "r",
        "properties": {"addressPrefix": "10.0.0.0/8", "nextHopType": "VirtualAppliance"},
    }
    route["properties"]["nextHopIpAddress"] = "10.0.1.4"
    table = {"location": PLACE, "properties": {"routes": [route]}}
    network.route_tables.begin_create_or_update(RG, "routes", table, polling=azure.done).result()
    group = {"location": PLACE, "properties": {}}
    network.network_security_groups.begin_create_or_update(RG, "nsg", group, polling=azure.done).result()
    vnet = azure.vnet("v1", "10.11.1.0/24", web="10.11.1.0/26")
    subnet = {
        "properties": {
            "addressPrefix": "10.11.1.0/26",
            "routeTable": {"id": azure.id("routeTables", "routes")},
            "natGateway": {"id": azure.id("natGateways", "nat")},
        }
    }
    network.subnets.begin_create_or_update(RG, "v1", "web", subnet, polling=azure.done).result()
    rule = {
        "priority": 100,
        "direction": "Outbound",
        "access": "Deny",
        "protocol": "*",
        "sourceAddressPrefix": "*",
        "sourcePortRange": "*",
        "destinationAddressPrefix": "Internet",
        "destinationPortRange": "*",
    }
    rules = network.security_rules
    rules.begin_create_or_update(RG, "nsg", "r", {"properties": rule}, polling=azure.done).result()
    rules.get(RG, "nsg", "r")
    rules.begin_delete(RG, "nsg", "r", polling=azure.done).result()
    azure.nic("n1", f"{vnet}/subnets/web")
    network.virtual_networks.check_ip_address_availability(RG, "v1", ip_address="10.11.1.4")
    azure.peer("v1", "to-hub", azure.id("virtualNetworks", "hub-vnet"))
    network.virtual_network_peerings.get(RG, "v1", "to-hub")
    network.subnets.get(RG, "v1", "web")


def _tag_and_list_networks(azure: Azure) -> None:
    network = azure.network
    for noun, operations in (
        ("v1", network.virtual_networks),
        ("nsg", network.network_security_groups),
        ("n1", network.network_interfaces),
        ("pip", network.public_ip_addresses),
        ("routes", network.route_tables),
        ("nat", network.nat_gateways),
        ("hub-agw", network.application_gateways),
    ):
        operations.update_tags(RG, noun, _TAGS)
        operations.get(RG, noun)
        list(operations.list(RG))
        list(operations.list_all())
    for listed in (network.virtual_network_gateways, network.private_endpoints, network.load_balancers):
        list(listed.list(RG))
    for action in (network.application_gateways.begin_stop, network.application_gateways.begin_start):
        action(RG, "hub-agw", polling=azure.done).result()


def _run_vm(azure: Azure) -> None:
    machines = azure.compute.virtual_machines
    azure.vm("vm1", azure.id("networkInterfaces", "n1"))
    machines.begin_update(RG, "vm1", _TAGS, polling=azure.done).result()
    for action in (machines.begin_power_off, machines.begin_start, machines.begin_restart):
        action(RG, "vm1", polling=azure.done).result()
    machines.retrieve_boot_diagnostics_data(RG, "vm1")
    list(machines.list_all())


def _make_disk(azure: Azure) -> None:
    disks = azure.compute.disks
    empty = {"location": PLACE, "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 4}}
    disks.begin_create_or_update(RG, "data", empty, polling=azure.done).result()
    disks.begin_update(RG, "data", _TAGS, polling=azure.done).result()
    list(disks.list_by_resource_group(RG))


def _read_images(azure: Azure) -> None:
    images = azure.compute.virtual_machine_images
    canonical = (PLACE, "Canonical")
    images.list_publishers(PLACE)
    jammy = images.list_offers(*canonical)[0].name
    sku = images.list_skus(*canonical, jammy)[0].name
    version = images.list(*canonical, jammy, sku)[0].name
    images.get(*canonical, jammy, sku, version)


def _use_resource_groups(azure: Azure) -> None:
    resources = azure.resources
    groups = resources.resource_groups
    groups.create_or_update("other", {"location": PLACE} | _TAGS)
    groups.get("other")
    groups.update("other", _TAGS)
    groups.check_existence("other")
    list(groups.list())
    list(resources.resources.list())
    list(resources.resources.list_by_resource_group(RG, expand="provisioningState"))
    resources.providers.get("Microsoft.Network")
    list(resources.providers.list())
    groups.begin_delete("other", polling=azure.done).result()


def _delete_all(azure: Azure) -> None:
    network = azure.network
    azure.compute.virtual_machines.begin_delete(RG, "vm1", polling=azure.done).result()
    for delete, *names in (
        (network.network_interfaces.begin_delete, "n1"),
        (network.subnets.begin_delete, "v1", "web"),
        (network.nat_gateways.begin_delete, "nat"),
        (network.public_ip_addresses.begin_delete, "pip"),
        (network.route_tables.begin_delete, "routes"),
        (network.application_gateways.begin_delete, "hub-agw"),
    ):
        delete(RG, *names, polling=azure.done).result()


# which operations must have been judged, so that none is left out by mistake: kind of path, and methods
_JUDGED = {
    r"/virtualNetworks/[^/]+": "DELETE GET PATCH PUT",
    r"/virtualNetworks/[^/]+/subnets/[^/]+": "DELETE GET PUT",
    r"/virtualNetworks/[^/]+/virtualNetworkPeerings/[^/]+": "DELETE GET PUT",
    r"/virtualNetworks/[^/]+/CheckIPAddressAvailability": "GET",
    r"/networkSecurityGroups/[^/]+": "DELETE GET PATCH PUT",
    r"/networkSecurityGroups/[^/]+/securityRules/[^/]+": "DELETE GET PUT",
    r"/networkInterfaces/[^/]+": "DELETE GET PATCH PUT",
    r"/publicIPAddresses/[^/]+": "DELETE GET PATCH PUT",
    r"/routeTables/[^/]+": "DELETE GET PATCH PUT",
    r"/natGateways/[^/]+": "DELETE GET PATCH PUT",
    r"/applicationGateways/[^/]+": "DELETE GET PATCH PUT",
    r"/applicationGateways/[^/]+/(start|stop|backendhealth)": "POST",
    r"/virtualMachines/[^/]+": "DELETE GET PATCH PUT",
    r"/virtualMachines/[^/]+/(start|deallocate|powerOff|restart|retrieveBootDiagnosticsData)": "POST",
    r"/virtualMachines/[^/]+/instanceView": "GET",
    r"/disks/[^/]+": "DELETE GET PATCH PUT",
    r"/versions/[^/]+": "GET",
    r"/locations/[^/]+/usages": "GET",
    r"/resourcegroups/[^/]+": "DELETE GET HEAD PATCH PUT",
    r"/subscriptions/[^/]+/resources": "GET",
}


def _described(azure: Azure, descriptions: Descriptions) -> list[dict[str, Any]]:
    """The calls so far of which there is a description."""
    return [each for each in azure.journal() if descriptions.find(each["method"], each["path"])]


def test_all_that_is_served_is_as_described(azure: Azure, descriptions: Descriptions) -> None:
    """A spoke's life by itself is most of what the app asks for."""
    _live(azure)
    assert len(_described(azure, descriptions)) > 45
    _other_operations(azure)
    judged = _described(azure, descriptions)
    for pattern, methods in _JUDGED.items():
        seen = {each["method"] for each in judged if re.search(pattern + "$", each["path"], re.IGNORECASE)}
        assert set(methods.split()) <= seen, pattern
    wrong = [fault for entry in judged for fault in descriptions.faults(entry)]
    assert [each for each in dict.fromkeys(wrong) if not _BEYOND.search(each)] == []
