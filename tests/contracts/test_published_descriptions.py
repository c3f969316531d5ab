"""A spoke's whole life, asked and answered as Microsoft's published descriptions say."""

from __future__ import annotations

import re

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


def test_a_spokes_life_is_as_described(azure: Azure, descriptions: Descriptions) -> None:
    _live(azure)
    journal = azure.journal()
    judged = [each for each in journal if descriptions.find(each["method"], each["path"])]
    assert len(judged) > 45
    wrong = [fault for entry in judged for fault in descriptions.faults(entry)]
    assert [each for each in dict.fromkeys(wrong) if not _BEYOND.search(each)] == []
