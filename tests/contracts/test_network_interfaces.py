"""NICs: references, addresses, back-references, and what keeps one."""

from __future__ import annotations

from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError

from tests.contracts.azure import PLACE, RG, Azure, arm_error, codes, details


@pytest.fixture
def web(azure: Azure) -> str:
    subnets = {"web": "10.11.1.0/26", "tiny": "10.11.1.64/29"}
    azure.begin_with("a VNet with a tiny subnet", lambda: azure.vnet("v1", "10.11.1.0/24", **subnets))
    return azure.id("virtualNetworks/subnets", "v1", "web")


def _refused(azure: Azure, subnet: str, **inner: object) -> HttpResponseError:
    with pytest.raises(HttpResponseError) as caught:
        azure.nic("nic", subnet, **inner)
    return caught.value


def test_addresses_are_given_from_the_fifth_up(azure: Azure, web: str) -> None:
    first, second = azure.nic("n1", web), azure.nic("n2", web)
    assert [each.ip_configurations[0].private_ip_address for each in (first, second)] == ["10.11.1.4", "10.11.1.5"]
    assert azure.nic("n1", web).ip_configurations[0].private_ip_address == "10.11.1.4", "and kept"
    azure.network.network_interfaces.begin_delete(RG, "n1", polling=azure.done).result()
    assert azure.nic("n3", web).ip_configurations[0].private_ip_address == "10.11.1.4", "the first that is free"


def test_a_subnet_gives_all_but_the_first_four_and_the_last(azure: Azure, web: str) -> None:
    tiny = web.replace("/web", "/tiny")
    assert [azure.nic(f"n{n}", tiny).ip_configurations[0].private_ip_address for n in range(3)] == [
        "10.11.1.68",
        "10.11.1.69",
        "10.11.1.70",
    ]
    assert codes(_refused(azure, tiny)) == (400, "SubnetIsFull")


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("10.99.0.1", "PrivateIPAddressNotInAnySubnet"),
        ("10.11.1.70", "PrivateIPAddressNotInSubnet"),
        ("10.11.1.3", "PrivateIPAddressInReservedRange"),
        ("10.11.1.4", "PrivateIPAddressIsAllocated"),
    ],
)
def test_a_static_address_lies_in_the_subnet_and_is_free(azure: Azure, web: str, address: str, code: str) -> None:
    azure.nic("first", web)
    error = _refused(azure, web, privateIPAllocationMethod="Static", privateIPAddress=address)
    assert codes(error) == (400, code)
    kept = azure.nic("nic", web, privateIPAllocationMethod="Static", privateIPAddress="10.11.1.9")
    assert kept.ip_configurations[0].private_ip_address == "10.11.1.9"


def test_a_missing_subnet_and_a_missing_vnet_are_named(azure: Azure, web: str) -> None:
    nic = azure.id("networkInterfaces", "nic")
    tail = "was not found. Please make sure that the referenced resource exists, and that both resources are in the same region."
    missing = web.replace("/web", "/none")
    error = _refused(azure, missing)
    assert codes(error) == (400, "InvalidResourceReference")
    assert arm_error(error).message == f"Resource {missing} referenced by resource {nic} {tail}"
    vnet = azure.id("virtualNetworks", "none")
    error = _refused(azure, f"{vnet}/subnets/web")
    assert arm_error(error).message == f"Resource {vnet} referenced by resource {nic} {tail}"
    assert details(error) == ["NotFound"]


def test_a_subnet_that_is_being_written_makes_it_retryable(azure: Azure, web: str) -> None:
    body = {"properties": {"addressPrefix": "10.11.1.0/26"}}
    azure.network.subnets.begin_create_or_update(RG, "v1", "web", body, polling=False)
    error = _refused(azure, web)
    assert codes(error) == (429, "RetryableError")
    assert arm_error(error).message == "A retryable error occurred."
    assert details(error) == ["ReferencedResourceNotProvisioned"]
    answer: Any = error.response
    assert answer.headers["Retry-After"] == "10"
    azure.advance(4)
    azure.nic("nic", web)


def test_a_put_is_answered_with_or_without_an_operation(azure: Azure, web: str) -> None:
    body = {
        "location": PLACE,
        "properties": {"ipConfigurations": [{"name": "a", "properties": {"subnet": {"id": web}}}]},
    }
    azure.local("POST", "limits", {"nic_operations": "never"})
    without = azure.send("PUT", azure.id("networkInterfaces", "without"), body)
    assert without.status_code == 201
    assert "Azure-AsyncOperation" not in without.headers
    assert without.json()["properties"]["provisioningState"] == "Succeeded"
    azure.local("POST", "limits", {"nic_operations": "always"})
    with_one = azure.send("PUT", azure.id("networkInterfaces", "with"), body)
    assert azure.poll(with_one).json() == {"status": "InProgress"}
    assert with_one.json()["properties"]["provisioningState"] == "Updating"
    azure.advance(3)
    assert azure.poll(with_one).json() == {"status": "Succeeded"}
    azure.local("POST", "limits", {"nic_operations": "by_name"})
    forms = {
        "Azure-AsyncOperation" in azure.send("PUT", azure.id("networkInterfaces", f"n{n}"), body).headers
        for n in range(9)
    }
    assert forms == {True, False}, "both happen when nothing is chosen"


def test_the_vnet_shows_who_is_in_it(azure: Azure, web: str) -> None:
    before = azure.network.virtual_networks.get(RG, "v1").etag
    nic = azure.nic("n1", web)
    vnet = azure.network.virtual_networks.get(RG, "v1")
    assert [each.id for each in vnet.subnets[0].ip_configurations] == [f"{nic.id}/ipConfigurations/ipconfig1"]
    assert vnet.etag != before


def test_a_nic_shows_its_vm_and_mac_only_once_attached_and_is_in_use(azure: Azure) -> None:
    vnet = azure.vnet("v1", "10.11.1.0/24", web="10.11.1.0/26")
    nic = azure.nic("n1", f"{vnet}/subnets/web")
    assert nic.virtual_machine is None
    assert nic.mac_address is None
    vm = azure.vm("vm1", nic.id)
    nic = azure.network.network_interfaces.get(RG, "n1")
    assert nic.virtual_machine.id == vm.id
    assert nic.mac_address.startswith("00-0D-3A-")
    message = (
        f"Network Interface {nic.id} is used by existing resource {vm.id}. In order to delete the network interface, it "
        "must be dissociated from the resource. To learn more, see aka.ms/deletenic."
    )
    for _ in ("attached", "and while the VM's delete is running"):
        with pytest.raises(HttpResponseError) as caught:
            azure.network.network_interfaces.begin_delete(RG, "n1")
        assert codes(caught.value) == (400, "NicInUse")
        assert arm_error(caught.value).message == message
        azure.compute.virtual_machines.begin_delete(RG, "vm1", polling=False)
    azure.advance(40)
    azure.network.network_interfaces.begin_delete(RG, "n1", polling=azure.done).result()


def test_a_delete_is_202_or_200_with_an_operation_either_way(azure: Azure, web: str) -> None:
    seen = set()
    for number in range(8):
        azure.nic(f"n{number}", web)
        answer = azure.send("DELETE", azure.id("networkInterfaces", f"n{number}"))
        assert answer.content == b""
        assert "Azure-AsyncOperation" in answer.headers
        assert "Location" in answer.headers
        seen.add(answer.status_code)
    assert seen == {200, 202}


def test_a_write_to_a_nic_that_is_being_written_is_retryable(azure: Azure, web: str) -> None:
    azure.local("POST", "limits", {"nic_operations": "always"})
    azure.network.network_interfaces.begin_create_or_update(
        RG,
        "nic",
        {"location": PLACE, "properties": {"ipConfigurations": [{"name": "a", "properties": {"subnet": {"id": web}}}]}},
        polling=False,
    )
    error = _refused(azure, web)
    assert codes(error) == (429, "RetryableError")
    assert details(error) == ["RetryableErrorDueToAnotherOperation"]
    assert "The call can be retried in 3 seconds." in arm_error(error).details[0].message


def test_an_address_can_be_asked_about(azure: Azure, web: str) -> None:
    check = azure.network.virtual_networks.check_ip_address_availability
    azure.nic("n1", web)
    assert check(RG, "v1", ip_address="10.11.1.9").available
    taken = check(RG, "v1", ip_address="10.11.1.4")
    assert (taken.available, taken.available_ip_addresses[0]) == (False, "10.11.1.5")
    with pytest.raises(HttpResponseError) as caught:
        check(RG, "v1", ip_address="10.99.0.1")
    assert codes(caught.value) == (400, "PrivateIPAddressNotInAnySubnet")
