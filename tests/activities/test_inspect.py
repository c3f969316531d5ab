"""What a delete looks at before it touches anything."""

from typing import Any

import pytest

from shared.arm.client import arm
from shared.arm.failures import ArmError
from shared.recovery.blockers import blockers_of_delete
from shared.settings import Settings
from shared.spoke.plan import our_tags
from tests.activities.azure_stand_in import LocalAzure, a_plan

PLAN = a_plan(3)


def plant_spoke(azure: LocalAzure, tags: dict[str, str] | None = None, **web_subnet: Any) -> str:
    """The spoke's VNet with its own NIC in the web subnet; answers the VNet's id."""
    ids = arm().ids
    vnet_id = ids.vnet(PLAN.vnet_name)
    own = {"id": f"{ids.nic(PLAN.nic_name).upper()}/ipConfigurations/ipconfig1"}
    subnets: list[dict[str, Any]] = [
        {
            "name": name,
            "id": f"{vnet_id}/subnets/{name}",
            "properties": {"addressPrefix": prefix, "provisioningState": "Succeeded"},
        }
        for name, prefix in PLAN.subnets
    ]
    subnets[0]["properties"].update({**web_subnet, "ipConfigurations": [own, *web_subnet.get("ipConfigurations", [])]})
    azure.plant(
        {
            "id": vnet_id,
            "name": PLAN.vnet_name,
            "type": "Microsoft.Network/virtualNetworks",
            "location": "eastus",
            "tags": our_tags(PLAN) if tags is None else tags,
            "properties": {
                "provisioningState": "Succeeded",
                "addressSpace": {"addressPrefixes": [PLAN.address_prefix]},
                "subnets": subnets,
            },
        }
    )
    return vnet_id


def plant_nic(azure: LocalAzure, name: str, tags: dict[str, str] | None = None) -> str:
    ids = arm().ids
    azure.plant(
        {
            "id": ids.nic(name),
            "name": name,
            "type": "Microsoft.Network/networkInterfaces",
            "location": "eastus",
            "tags": tags or {},
            "properties": {
                "provisioningState": "Succeeded",
                "ipConfigurations": [
                    {
                        "name": "ipconfig1",
                        "id": f"{ids.nic(name)}/ipConfigurations/ipconfig1",
                        "properties": {
                            "subnet": {"id": ids.subnet(PLAN.vnet_name, PLAN.web_subnet_name)},
                            "privateIPAddress": f"10.11.3.{4 + len(name)}",
                            "privateIPAllocationMethod": "Dynamic",
                        },
                    }
                ],
            },
        }
    )
    return ids.nic(name)


def found() -> list[tuple[str, str]]:
    return [(obstacle["kind"], obstacle["resource"].lower()) for obstacle in blockers_of_delete(PLAN)]


def test_a_spoke_that_is_gone_has_no_obstacles(settings: Settings) -> None:
    assert blockers_of_delete(PLAN) == []


def test_the_spokes_own_nic_and_peering_are_no_obstacles(settings: Settings, azure: LocalAzure) -> None:
    plant_spoke(azure)
    plant_nic(azure, PLAN.nic_name, our_tags(PLAN))
    assert blockers_of_delete(PLAN) == []
    assert {request["method"] for request in azure.requests()} == {"GET"}


def test_a_clients_own_nic_is_named(settings: Settings, azure: LocalAzure) -> None:
    plant_spoke(azure)
    nic = plant_nic(azure, "clients-own")
    assert found() == [("network interface", nic.lower())]
    (obstacle,) = blockers_of_delete(PLAN)
    assert obstacle["message"] == f"The network interface clients-own is in the subnet {PLAN.web_subnet_name}"


def test_an_unmanaged_vnet_holds_nothing_back(settings: Settings, azure: LocalAzure) -> None:
    plant_spoke(azure, tags={})
    plant_nic(azure, "clients-own")
    assert blockers_of_delete(PLAN) == []


@pytest.mark.parametrize(("level", "target"), [("ReadOnly", "vnet"), ("CanNotDelete", "vm"), ("CanNotDelete", "group")])
def test_locks_on_the_spoke_or_above_are_named(settings: Settings, azure: LocalAzure, level: str, target: str) -> None:
    ids = arm().ids
    scope = {"vnet": ids.vnet(PLAN.vnet_name), "vm": ids.vm(PLAN.vm_name), "group": ids.spoke_group}[target]
    azure.lock(scope, level)
    assert blockers_of_delete(PLAN) == []
    plant_spoke(azure)
    plant(azure, ids.vm(PLAN.vm_name))
    (obstacle,) = blockers_of_delete(PLAN)
    assert obstacle["kind"] == "lock"
    assert level in obstacle["message"]


def plant(azure: LocalAzure, resource_id: str) -> None:
    """Something else of the spoke's own."""
    azure.plant({"id": resource_id, "location": "eastus", "tags": our_tags(PLAN), "properties": {}})


def test_a_lock_on_a_vm_whose_vnet_is_gone_is_named(settings: Settings, azure: LocalAzure) -> None:
    vm_id = arm().ids.vm(PLAN.vm_name)
    plant(azure, vm_id)
    azure.lock(vm_id, "CanNotDelete")
    (obstacle,) = blockers_of_delete(PLAN)
    assert (obstacle["kind"], "vm-3" in obstacle["message"]) == ("lock", True)


def test_a_lock_on_what_is_left_alone_is_named(settings: Settings, azure: LocalAzure) -> None:
    nsg_id = arm().ids.nsg(PLAN.nsg_name)
    azure.lock(nsg_id, "CanNotDelete")
    azure.lock(arm().ids.vm(PLAN.vm_name), "CanNotDelete")
    plant(azure, nsg_id)
    (obstacle,) = blockers_of_delete(PLAN)
    assert nsg_id.lower() in obstacle["resource"].lower()


def test_a_delete_goes_on_when_locks_may_not_be_read(settings: Settings, azure: LocalAzure) -> None:
    plant_spoke(azure)
    azure.fault(method="GET", path=".*/locks", times=1, mode="refuse", status=403, code="AuthorizationFailed")
    assert blockers_of_delete(PLAN) == []


def test_a_transient_failure_is_passed_on(settings: Settings, azure: LocalAzure) -> None:
    plant_spoke(azure)
    azure.fault(method="GET", path=".*/locks", times=1, mode="refuse", status=503, code="ServerBusy")
    with pytest.raises(ArmError) as caught:
        blockers_of_delete(PLAN)
    assert caught.value.failure.transient
