"""Who uses a spoke besides us, told from its VNet alone."""

from typing import Any

import pytest

from shared.recovery.blockers import blocking_locks, unmanaged_in, unmanaged_on
from shared.spoke.documents.resources import vm_keeping_unmanaged
from shared.spoke.inventory import named_by
from shared.spoke.resource_ids import ResourceIds
from tests.activities.azure_stand_in import a_plan

IDS = ResourceIds("sub", "hub-rg", "hub-vnet", "hub-agw", "spoke-rg")
PLAN = a_plan(7)
NETWORK = f"{IDS.spoke_group}/providers/Microsoft.Network"
SUBNET = IDS.subnet(PLAN.vnet_name, PLAN.web_subnet_name)


def vnet(*peerings: dict[str, Any], **subnet: Any) -> dict[str, Any]:
    subnets = [{"id": SUBNET, "name": PLAN.web_subnet_name, "properties": subnet}]
    return {"properties": {"subnets": subnets, "virtualNetworkPeerings": list(peerings)}}


def peering(name: str, remote: str) -> dict[str, Any]:
    return {"name": name, "properties": {"remoteVirtualNetwork": {"id": remote}}}


@pytest.mark.parametrize(
    ("place", "reference", "kind", "resource"),
    [
        (
            "ipConfigurations",
            f"{NETWORK}/loadBalancers/lb/frontendIPConfigurations/fe",
            "load balancer",
            f"{NETWORK}/loadBalancers/lb",
        ),
        (
            "ipConfigurations",
            f"{IDS.spoke_group}/providers/Microsoft.Compute/virtualMachineScaleSets/s/virtualMachines/0/networkInterfaces/n/ipConfigurations/i",
            "scale set",
            f"{IDS.spoke_group}/providers/Microsoft.Compute/virtualMachineScaleSets/s",
        ),
        ("privateEndpoints", f"{NETWORK}/privateEndpoints/pe", "private endpoint", f"{NETWORK}/privateEndpoints/pe"),
        ("ipConfigurations", f"{NETWORK}/somethingNew/x/parts/y", "resource", f"{NETWORK}/somethingNew/x"),
        (
            "serviceAssociationLinks",
            f"{SUBNET}/serviceAssociationLinks/acisal",
            "service link",
            f"{SUBNET}/serviceAssociationLinks/acisal",
        ),
    ],
)
def test_users_of_a_subnet_are_named_by_their_own_ids(place: str, reference: str, kind: str, resource: str) -> None:
    (found,) = unmanaged_in(PLAN, IDS, vnet(**{place: [{"id": reference}, {"id": reference}]}))
    assert (found["kind"], found["resource"]) == (kind, resource)


def test_a_delegation_is_named_with_its_service() -> None:
    delegation = {"name": "web", "properties": {"serviceName": "Microsoft.Web/serverFarms"}}
    (found,) = unmanaged_in(PLAN, IDS, vnet(delegations=[delegation]))
    assert found["kind"] == "delegation"
    assert found["resource"] == f"{SUBNET}/delegations/web"
    assert "Microsoft.Web/serverFarms" in found["message"]


def test_only_the_peering_with_the_hub_is_ours() -> None:
    ours = peering(PLAN.spoke_peering_name, IDS.hub_vnet.upper())
    theirs = peering("to-another", f"{NETWORK}/virtualNetworks/another")
    (found,) = unmanaged_in(PLAN, IDS, vnet(ours, theirs))
    assert found["kind"] == "peering"
    assert found["resource"] == IDS.spoke_peering(PLAN.vnet_name, "to-another")


@pytest.mark.parametrize(
    ("scope", "level", "stands"),
    [
        (IDS.hub_vnet, "CanNotDelete", True),
        (IDS.hub_peering(PLAN.hub_peering_name), "ReadOnly", True),
        (IDS.hub_peering("another"), "ReadOnly", False),
        (IDS.gateway, "ReadOnly", True),
        (IDS.gateway, "CanNotDelete", False),
        (IDS.nic(PLAN.nic_name), "CanNotDelete", True),
        (IDS.nic("another"), "ReadOnly", False),
    ],
)
def test_locks_count_on_what_a_delete_touches(scope: str, level: str, stands: bool) -> None:
    lock = {"id": f"{scope}/providers/Microsoft.Authorization/locks/l", "properties": {"level": level}}
    assert bool(blocking_locks([lock], lambda undo: named_by(undo, PLAN, IDS))) is stands
    assert blocking_locks([lock], lambda undo: ()) == []


def vm(**options: str) -> dict[str, Any]:
    """Its own NIC and disk, a data disk and a NIC of the client's. options: their delete options."""
    return {
        "id": IDS.vm(PLAN.vm_name),
        "resources": [{"id": "an extension"}],
        "properties": {
            "storageProfile": {
                "osDisk": {"managedDisk": {"id": IDS.disk(PLAN.os_disk_name)}, "deleteOption": "Delete"},
                "dataDisks": [
                    {"lun": 0, "managedDisk": {"id": IDS.disk("theirs")}, "deleteOption": options.get("disk", "Detach")}
                ],
            },
            "networkProfile": {
                "networkInterfaces": [
                    {"id": IDS.nic(PLAN.nic_name).upper(), "properties": {"deleteOption": "Delete", "primary": True}},
                    {"id": IDS.nic("theirs"), "properties": {"deleteOption": options.get("nic", "Detach")}},
                ]
            },
        },
    }


def test_what_is_attached_to_the_vm_and_not_ours_is_a_blocker() -> None:
    disk, nic = unmanaged_on(PLAN, IDS, vm(disk="Delete"))
    assert (disk["kind"], disk["resource"]) == ("data disk", IDS.disk("theirs"))
    assert "delete option Delete" in disk["message"]
    assert (nic["kind"], nic["resource"]) == ("network interface", IDS.nic("theirs"))
    assert "delete option" not in nic["message"]
    assert unmanaged_on(PLAN, IDS, {"properties": {}}) == []


@pytest.mark.parametrize("options", [{"disk": "Delete"}, {"nic": "delete"}, {"disk": "delete", "nic": "Delete"}])
def test_before_a_vm_goes_what_is_not_ours_is_told_to_stay(options: dict[str, str]) -> None:
    kept = vm_keeping_unmanaged(vm(**options), IDS.nic(PLAN.nic_name))
    assert kept == {name: value for name, value in vm().items() if name != "resources"}


def test_a_vm_whose_delete_spares_them_anyway_is_not_written() -> None:
    assert vm_keeping_unmanaged(vm(), IDS.nic(PLAN.nic_name)) is None
    assert vm_keeping_unmanaged({"properties": {}}, IDS.nic(PLAN.nic_name)) is None
