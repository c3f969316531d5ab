"""VMs and disks: creation, late failures, what stays behind, quota."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError

from tests.contracts.azure import PLACE, RG, Azure, arm_error, codes


@pytest.fixture
def nic(azure: Azure) -> str:
    def build() -> None:
        azure.nic("n1", f"{azure.vnet('v1', '10.11.1.0/24', web='10.11.1.0/26')}/subnets/web")

    azure.begin_with("a NIC", build)
    return azure.id("networkInterfaces", "n1")


def _refused(azure: Azure, body: dict[str, Any], name: str = "vm1", **more: Any) -> HttpResponseError:
    with pytest.raises(HttpResponseError) as caught:
        azure.compute.virtual_machines.begin_create_or_update(RG, name, body, **more)
    return caught.value


def _failed(azure: Azure, body: dict[str, Any], name: str = "vm1") -> HttpResponseError:
    poller = azure.compute.virtual_machines.begin_create_or_update(RG, name, body, polling=azure.done)
    with pytest.raises(HttpResponseError) as caught:
        poller.result()
    return caught.value


def test_a_new_vm_is_201_creating_and_its_disk_is_there(azure: Azure, nic: str) -> None:
    path = azure.id("virtualMachines", "vm1")
    answer = azure.send("PUT", path, azure.vm_body("vm1", nic))
    body = answer.json()
    assert (answer.status_code, answer.headers["Retry-After"]) == (201, "10")
    assert answer.headers["Azure-AsyncNotification"] == "Enabled"
    assert body["properties"]["provisioningState"] == "Creating"
    assert "customData" not in body["properties"]["osProfile"]
    azure.advance(44)
    running = azure.poll(answer).json()
    assert (running["status"], "endTime" in running, bool(running["name"])) == ("InProgress", False, True)
    azure.advance(1)
    ended = azure.poll(answer).json()
    assert ended["status"] == "Succeeded"
    assert ended["startTime"] < ended["endTime"]
    vm = azure.compute.virtual_machines.get(RG, "vm1", expand="instanceView")
    assert vm.provisioning_state == "Succeeded"
    assert [each.code for each in vm.instance_view.statuses] == ["ProvisioningState/succeeded", "PowerState/running"]
    assert vm.storage_profile.os_disk.delete_option == "Detach"
    assert vm.storage_profile.image_reference.exact_version
    assert vm.etag != body["etag"]


def test_disk_ids_have_the_groups_name_in_capitals_and_the_vms_tags(azure: Azure, nic: str) -> None:
    vm = azure.vm("vm1", nic)
    disk_id = vm.storage_profile.os_disk.managed_disk.id
    assert disk_id == azure.id("disks", "vm1-osdisk", group="HUB-RG")
    disk = azure.compute.disks.get(RG, "vm1-osdisk")
    assert (disk.id, disk.tags, disk.managed_by, disk.disk_state) == (disk_id, {"made_by": "test"}, vm.id, "Attached")
    azure.compute.virtual_machines.begin_update(RG, "vm1", {"tags": {"b": "c"}}, polling=azure.done).result()
    assert azure.compute.virtual_machines.get(RG, "vm1").tags == {"b": "c"}
    assert azure.compute.disks.get(RG, "vm1-osdisk").tags == {"made_by": "test"}, "at creation only"


def test_deleting_leaves_disk_and_nic_and_the_order_is_enforced(azure: Azure, nic: str) -> None:
    vm = azure.vm("vm1", nic)
    path = azure.id("virtualMachines", "vm1")
    message = f"Disk vm1-osdisk is attached to VM {vm.id}."
    for _ in ("attached", "and while the VM's delete is running"):
        with pytest.raises(ResourceExistsError) as caught:
            azure.compute.disks.begin_delete(RG, "vm1-osdisk")
        assert codes(caught.value) == (409, "OperationNotAllowed")
        assert arm_error(caught.value).message == message
        answer = azure.send("DELETE", path)
    assert (answer.status_code, answer.content) == (202, b"")
    assert "monitor=true" in answer.headers["Location"]
    assert azure.compute.virtual_machines.get(RG, "vm1").provisioning_state == "Deleting"
    azure.advance(40)
    assert azure.send("GET", path).status_code == 404
    assert azure.compute.disks.get(RG, "vm1-osdisk").disk_state == "Unattached"
    assert azure.network.network_interfaces.get(RG, "n1").virtual_machine is None
    gone = azure.send("DELETE", azure.id("disks", "vm1-osdisk"))
    assert gone.status_code == 202
    assert "/DiskOperations/" in gone.headers["Azure-AsyncOperation"]
    assert "monitor=true" in gone.headers["Location"]
    azure.advance(5)
    azure.network.network_interfaces.begin_delete(RG, "n1", polling=azure.done).result()
    assert not {"vm1", "vm1-osdisk", "n1"} & set(azure.names())
    assert azure.send("DELETE", path).status_code == 204


def test_the_delete_option_takes_disk_and_nic_along(azure: Azure, nic: str) -> None:
    body = azure.vm_body("vm1", nic)
    body["properties"]["storageProfile"]["osDisk"]["deleteOption"] = "Delete"
    body["properties"]["networkProfile"]["networkInterfaces"][0]["properties"]["deleteOption"] = "Delete"
    azure.compute.virtual_machines.begin_create_or_update(RG, "vm1", body, polling=azure.done).result()
    azure.compute.virtual_machines.begin_delete(RG, "vm1", polling=azure.done).result()
    assert not {"vm1", "vm1-osdisk", "n1"} & set(azure.names())


def test_a_vm_that_fails_late_stays_with_its_disk_and_reserves_its_nic(azure: Azure, nic: str) -> None:
    azure.fault("fail_operation", method="PUT", path="virtualMachines/vm1$", code="AllocationFailed")
    error = _failed(azure, azure.vm_body("vm1", nic))
    assert codes(error) == (200, "AllocationFailed")
    assert arm_error(error).message.startswith("Allocation failed. We do not have sufficient capacity")
    vm = azure.compute.virtual_machines.get(RG, "vm1")
    assert vm.provisioning_state == "Failed"
    assert "vm1-osdisk" in azure.names()
    message = (
        "Nic(s) in request is reserved for another Virtual Machine for 180 seconds. Please provide another nic(s) or retry "
        f"after 180 seconds. Reserved VM: {vm.id}"
    )

    def reserved() -> None:
        with pytest.raises(HttpResponseError) as caught:
            azure.network.network_interfaces.begin_delete(RG, "n1")
        assert codes(caught.value) == (400, "NicReservedForAnotherVm")
        assert arm_error(caught.value).message == message

    reserved()
    assert codes(_refused(azure, azure.vm_body("vm2", nic), "vm2")) == (400, "NicReservedForAnotherVm")
    azure.compute.virtual_machines.begin_delete(RG, "vm1", polling=azure.done).result()
    reserved()
    azure.advance(180)
    azure.compute.disks.begin_delete(RG, "vm1-osdisk", polling=azure.done).result()
    azure.network.network_interfaces.begin_delete(RG, "n1", polling=azure.done).result()


def test_a_deleted_vm_reserves_nothing(azure: Azure, nic: str) -> None:
    azure.vm("vm1", nic)
    azure.compute.virtual_machines.begin_delete(RG, "vm1", polling=azure.done).result()
    azure.network.network_interfaces.begin_delete(RG, "n1", polling=azure.done).result()


def test_trying_again_on_a_failed_vm_meets_its_own_disk(azure: Azure, nic: str) -> None:
    azure.fault("fail_operation", method="PUT", path="virtualMachines/vm1$", code="AllocationFailed")
    _failed(azure, azure.vm_body("vm1", nic))
    error = _failed(azure, azure.vm_body("vm1", nic))
    assert codes(error) == (200, "ConflictingUserInput")
    assert arm_error(error).message == (
        "Disk vm1-osdisk already exists in resource group HUB-RG. Only CreateOption.Attach is supported."
    )
    assert arm_error(error).target == azure.id("disks", "vm1-osdisk", group="HUB-RG")


def test_a_disk_of_another_vm_stays_with_that_vm(azure: Azure, nic: str) -> None:
    first = azure.vm("vm1", nic)
    second = azure.nic("n2", azure.id("virtualNetworks/subnets", "v1", "web")).id
    body = azure.vm_body("vm2", second)
    body["properties"]["storageProfile"]["osDisk"] |= {"name": "vm1-osdisk", "deleteOption": "Delete"}
    assert codes(_failed(azure, body, "vm2")) == (200, "ConflictingUserInput")
    assert azure.compute.disks.get(RG, "vm1-osdisk").managed_by == first.id
    azure.compute.virtual_machines.begin_delete(RG, "vm2", polling=azure.done).result()
    assert azure.compute.disks.get(RG, "vm1-osdisk").managed_by == first.id
    azure.compute.virtual_machines.begin_delete(RG, "vm1", polling=azure.done).result()
    azure.compute.disks.begin_delete(RG, "vm1-osdisk", polling=azure.done).result()


def test_the_boot_log_is_where_azure_keeps_it_when_boot_diagnostics_are_on(azure: Azure, nic: str) -> None:
    azure.vm("vm1", nic)
    found = azure.compute.virtual_machines.retrieve_boot_diagnostics_data(RG, "vm1")
    assert found.serial_console_log_blob_uri.startswith("https://")
    off = {"properties": {"diagnosticsProfile": {"bootDiagnostics": {"enabled": False}}}}
    azure.compute.virtual_machines.begin_update(RG, "vm1", off, polling=azure.done).result()
    with pytest.raises(ResourceExistsError) as caught:
        azure.compute.virtual_machines.retrieve_boot_diagnostics_data(RG, "vm1")
    assert codes(caught.value) == (409, "OperationNotAllowed")


def test_a_vm_can_be_resized_within_the_quota_only_and_keeps_what_a_put_leaves_out(azure: Azure, nic: str) -> None:
    azure.vm("vm1", nic)
    azure.local("POST", "quota", {"location": PLACE, "quotas": {"standardDSv5Family": 2}})

    def resize(size: str) -> Any:
        return azure.send(
            "PATCH", azure.id("virtualMachines", "vm1"), {"properties": {"hardwareProfile": {"vmSize": size}}}
        )

    assert resize("Standard_Huge").json()["error"]["code"] == "InvalidParameter"
    assert resize("Standard_D4s_v5").json()["error"]["code"] == "OperationNotAllowed"
    assert resize("Standard_D2s_v5").status_code == 200
    azure.advance(10)
    body = azure.vm_body("vm1", nic)
    del body["properties"]["storageProfile"], body["properties"]["osProfile"]
    body["properties"]["hardwareProfile"]["vmSize"] = "Standard_D2s_v5"
    assert azure.send("PUT", azure.id("virtualMachines", "vm1"), body).status_code == 200
    azure.advance(45)
    profile = azure.compute.virtual_machines.get(RG, "vm1").storage_profile
    assert (profile.image_reference.sku, profile.os_disk.managed_disk.storage_account_type) == (
        "22_04-lts-gen2",
        "StandardSSD_LRS",
    )


def test_core_quota_is_operation_not_allowed(azure: Azure, nic: str) -> None:
    azure.local("POST", "quota", {"location": PLACE, "quotas": {"standardBSFamily": 3}})
    azure.vm("vm1", nic)
    second = azure.nic("n2", azure.id("virtualNetworks/subnets", "v1", "web")).id
    error = _refused(azure, azure.vm_body("vm2", second), "vm2")
    assert codes(error) == (409, "OperationNotAllowed")
    assert arm_error(error).message.startswith(
        "Operation could not be completed as it results in exceeding approved standardBSFamily Cores quota. Additional "
        "details - Deployment Model: Resource Manager, Location: eastus, Current Limit: 3, Current Usage: 2, Additional "
        "Required: 2, (Minimum) New Limit Required: 4. Submit a request for Quota increase at "
        "https://aka.ms/ProdportalCRP/"
    )
    azure.local("POST", "quota", {"location": PLACE, "quotas": {"standardBSFamily": 100, "cores": 3}})
    assert (
        "exceeding approved Total Regional Cores quota" in _refused(azure, azure.vm_body("vm2", second), "vm2").message
    )
    usage = {each.name.value: (each.current_value, each.limit) for each in azure.compute.usage.list(PLACE)}
    assert usage["cores"] == (2, 3)
    assert usage["standardBSFamily"] == (2, 100)


def test_there_is_room_for_two_hundred_spokes(azure: Azure) -> None:
    usage = {each.name.value: each.limit - each.current_value for each in azure.compute.usage.list(PLACE)}
    assert usage["standardBSFamily"] >= 400
    assert usage["cores"] >= 400


def test_a_restricted_size_is_not_available_but_a_zone_restriction_does_not_block(azure: Azure, nic: str) -> None:
    azure.local("POST", "quota", {"restrictions": [{"size": "Standard_B2s", "location": PLACE, "type": "Location"}]})
    error = _refused(azure, azure.vm_body("vm1", nic))
    assert codes(error) == (409, "SkuNotAvailable")
    assert arm_error(error).message == (
        "The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: Standard_B2s' is "
        "currently not available in location 'eastus'. Please try another size or deploy to a different location or "
        "different zone. See https://aka.ms/azureskunotavailable for details."
    )
    body = azure.vm_body("vm1", nic)
    body["properties"]["hardwareProfile"]["vmSize"] = "Standard_D2s_v3"
    skus = {each.name: each for each in azure.compute.resource_skus.list(filter=f"location eq '{PLACE}'")}
    assert [each.type for each in skus["Standard_D2s_v3"].restrictions] == ["Zone"]
    assert skus["Standard_B2s"].restrictions[0].reason_code == "NotAvailableForSubscription"
    azure.compute.virtual_machines.begin_create_or_update(RG, "vm1", body, polling=azure.done).result()


def _profile(**changes: Any) -> Any:
    def change(body: dict[str, Any]) -> None:
        body["properties"]["osProfile"] |= changes

    return change


def _key(text: str) -> Any:
    def change(body: dict[str, Any]) -> None:
        body["properties"]["osProfile"]["linuxConfiguration"]["ssh"]["publicKeys"][0]["keyData"] = text

    return change


def _image(**changes: str) -> Any:
    def change(body: dict[str, Any]) -> None:
        body["properties"]["storageProfile"]["imageReference"] |= changes

    return change


_RSA_1024 = base64.b64encode(
    b"\0\0\0\x07ssh-rsa\0\0\0\x03\x01\0\x01" + (129).to_bytes(4, "big") + b"\0" + b"\xff" * 128
).decode()


@pytest.mark.parametrize(
    ("change", "status", "code", "target"),
    [
        (_key("ssh-rsa nonsense"), 400, "InvalidParameter", "linuxConfiguration.ssh.publicKeys.keyData"),
        (_key("ecdsa-sha2-nistp256 AAAA"), 400, "InvalidParameter", "linuxConfiguration.ssh.publicKeys.keyData"),
        (_key(f"ssh-rsa {_RSA_1024}"), 400, "InvalidParameter", "linuxConfiguration.ssh.publicKeys.keyData"),
        (_profile(adminUsername="admin"), 400, "InvalidParameter", "adminUsername"),
        (_profile(adminUsername=None), 400, "InvalidParameter", "adminUsername"),
        (_profile(computerName="under_score"), 400, "InvalidParameter", "computerName"),
        (_profile(customData="no base64!"), 400, "InvalidParameter", "customData"),
        (_image(sku="23_13-lts"), 404, "PlatformImageNotFound", "imageReference"),
        (_image(version="1.2.3"), 404, "PlatformImageNotFound", "imageReference"),
        (
            lambda body: body["properties"]["hardwareProfile"].update(vmSize="Standard_Huge"),
            400,
            "InvalidParameter",
            "vmSize",
        ),
        (lambda body: body["properties"]["hardwareProfile"].update(vmSize="Standard_A1_v2"), 400, "BadRequest", None),
        (
            lambda body: body["properties"]["hardwareProfile"].update(vmSize="Standard_D2ps_v5"),
            400,
            "InvalidParameter",
            "vmSize",
        ),
        (lambda body: body["properties"].pop("networkProfile"), 400, "InvalidParameter", "networkProfile"),
    ],
)
def test_a_body_is_checked_at_once(
    azure: Azure, nic: str, change: Any, status: int, code: str, target: str | None
) -> None:
    body = azure.vm_body("vm1", nic)
    change(body)
    error = _refused(azure, json.loads(json.dumps(body)))
    assert codes(error) == (status, code)
    assert arm_error(error).target == target
    assert not {"vm1", "vm1-osdisk"} & set(azure.names())


def test_the_words_of_a_bad_key_a_missing_field_and_a_missing_image(azure: Azure, nic: str) -> None:
    body = azure.vm_body("vm1", nic)
    _key("x")(body)
    assert arm_error(_refused(azure, body)).message == (
        "The value of parameter linuxConfiguration.ssh.publicKeys.keyData is invalid."
    )
    body = azure.vm_body("vm1", nic)
    del body["properties"]["osProfile"]["adminUsername"]
    assert arm_error(_refused(azure, body)).message == "Required parameter 'adminUsername' is missing (null)."
    body = azure.vm_body("vm1", nic)
    _image(sku="nope")(body)
    assert arm_error(_refused(azure, body)).message == (
        "The platform image 'Canonical:0001-com-ubuntu-server-jammy:nope:latest' is not available. Verify that all fields "
        "in the storage profile are correct. For more details about storage profile information, please refer to "
        "https://aka.ms/storageprofile"
    )


def test_a_nic_that_is_missing_or_on_another_vm_is_refused(azure: Azure, nic: str) -> None:
    missing = azure.id("networkInterfaces", "none")
    assert codes(_refused(azure, azure.vm_body("vm1", missing))) == (400, "InvalidResourceReference")
    azure.vm("vm1", nic)
    assert codes(_refused(azure, azure.vm_body("vm2", nic), "vm2")) == (400, "NicInUse")


def test_what_was_fixed_at_creation_can_not_change(azure: Azure, nic: str) -> None:
    azure.vm("vm1", nic)
    body = azure.vm_body("vm1", nic)
    body["properties"]["priority"] = "Spot"
    error = _refused(azure, body)
    assert codes(error) == (409, "PropertyChangeNotAllowed")
    assert arm_error(error).message == "Changing property 'priority' is not allowed."
    body = azure.vm_body("vm1", nic)
    body["properties"]["osProfile"]["adminUsername"] = "other"
    assert codes(_refused(azure, body)) == (409, "PropertyChangeNotAllowed")
    same = azure.compute.virtual_machines.begin_create_or_update(
        RG, "vm1", azure.vm_body("vm1", nic), polling=azure.done
    ).result()
    assert same.provisioning_state == "Succeeded"


def test_if_none_match_keeps_a_vm_that_is_there(azure: Azure, nic: str) -> None:
    azure.vm("vm1", nic)
    error = _refused(azure, azure.vm_body("vm1", nic), headers={"If-None-Match": "*"})
    assert codes(error) == (412, "PreconditionFailed")


def test_a_write_while_a_vm_is_made_is_a_conflict_and_a_delete_preempts_it(azure: Azure, nic: str) -> None:
    path = azure.id("virtualMachines", "vm1")
    first = azure.send("PUT", path, azure.vm_body("vm1", nic))
    assert codes(_refused(azure, azure.vm_body("vm1", nic))) == (409, "Conflict")
    assert azure.send("DELETE", path).status_code == 202
    ended = azure.poll(first).json()
    assert (ended["status"], ended["error"]["code"]) == ("Canceled", "OperationPreempted")
    azure.advance(40)
    assert azure.send("GET", path).status_code == 404
    assert "vm1-osdisk" in azure.names()


def test_a_vm_can_be_deallocated_and_started(azure: Azure, nic: str) -> None:
    azure.vm("vm1", nic)

    def power() -> str:
        view = azure.compute.virtual_machines.instance_view(RG, "vm1")
        return next(each.code for each in view.statuses if each.code.startswith("PowerState/"))

    azure.compute.virtual_machines.begin_deallocate(RG, "vm1", polling=azure.done).result()
    assert power() == "PowerState/deallocated"
    azure.compute.virtual_machines.begin_start(RG, "vm1", polling=azure.done).result()
    assert power() == "PowerState/running"


def test_a_disk_put_is_202_with_both_addresses_and_its_operation_shows_the_disk(azure: Azure) -> None:
    body = {
        "location": PLACE,
        "sku": {"name": "StandardSSD_LRS"},
        "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 4},
    }
    answer = azure.send("PUT", azure.id("disks", "d1"), body, version="2023-04-02")
    assert (answer.status_code, answer.headers["Retry-After"]) == (202, "2")
    assert "/DiskOperations/" in answer.headers["Azure-AsyncOperation"]
    assert "monitor=true" in answer.headers["Location"]
    assert answer.json()["properties"]["provisioningState"] == "Updating"
    azure.advance(5)
    ended = azure.poll(answer).json()
    assert ended["properties"]["output"]["name"] == "d1"
    assert azure.compute.disks.begin_create_or_update(RG, "d1", body, polling=azure.done).result().disk_size_gb == 4


def test_sizes_usages_images_are_listed(azure: Azure) -> None:
    every = list(azure.compute.resource_skus.list())
    assert len({each.locations[0] for each in every}) > 5
    b2s = next(each for each in every if each.name == "Standard_B2s" and each.locations == [PLACE])
    capabilities = {each.name: each.value for each in b2s.capabilities}
    assert capabilities["HyperVGenerations"] == "V1,V2"
    assert (capabilities["CpuArchitectureType"], capabilities["vCPUs"], capabilities["vCPUsAvailable"]) == (
        "x64",
        "2",
        "2",
    )
    assert b2s.location_info[0].zones == ["1", "2", "3"]
    images = azure.compute.virtual_machine_images
    skus = images.list_skus(PLACE, "Canonical", "0001-com-ubuntu-server-jammy")
    assert "22_04-lts-gen2" in {each.name for each in skus}
    latest = images.list(
        PLACE, "Canonical", "0001-com-ubuntu-server-jammy", "22_04-lts-gen2", top=1, orderby="name desc"
    )
    image = images.get(PLACE, "Canonical", "0001-com-ubuntu-server-jammy", "22_04-lts-gen2", latest[0].name)
    assert image.hyper_v_generation == "V2"
    assert any(each.name.value == "VirtualNetworks" for each in azure.network.usages.list(PLACE))


def test_an_os_disk_that_was_left_can_be_attached(azure: Azure, nic: str) -> None:
    vm = azure.vm("vm1", nic)
    azure.compute.virtual_machines.begin_delete(RG, "vm1", polling=azure.done).result()
    body = azure.vm_body("vm1", nic)
    body["properties"]["storageProfile"] = {
        "osDisk": {
            "name": "vm1-osdisk",
            "createOption": "Attach",
            "osType": "Linux",
            "managedDisk": {"id": vm.storage_profile.os_disk.managed_disk.id},
        }
    }
    again = azure.compute.virtual_machines.begin_create_or_update(RG, "vm1", body, polling=azure.done).result()
    assert again.provisioning_state == "Succeeded"


def _attached(azure: Azure, *disks: dict[str, Any]) -> Any:
    vm = azure.id("virtualMachines", "vm1")
    return azure.send("PATCH", vm, {"properties": {"storageProfile": {"dataDisks": list(disks)}}})


def _a_disk(azure: Azure, name: str) -> dict[str, Any]:
    disk = azure.id("disks", name)
    body = {"location": PLACE, "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 8}}
    assert azure.send("PUT", disk, body).status_code == 202
    azure.advance(10)
    return {"createOption": "Attach", "managedDisk": {"id": disk}}


def test_data_disks_are_attached_kept_or_deleted_with_their_vm(azure: Azure) -> None:
    azure.vm_with_network()
    kept, gone = _a_disk(azure, "kept"), _a_disk(azure, "gone")
    made = {"lun": 2, "createOption": "Empty", "diskSizeGB": 16, "name": "made"}
    answer = _attached(azure, kept | {"lun": 0}, gone | {"lun": 1, "deleteOption": "Delete"}, made)
    assert answer.status_code == 200, answer.text
    azure.advance(10)
    shown = azure.compute.virtual_machines.get(RG, "vm1").storage_profile.data_disks
    assert [(disk.name, disk.lun, disk.delete_option) for disk in shown] == [
        ("kept", 0, "Detach"),
        ("gone", 1, "Delete"),
        ("made", 2, "Detach"),
    ]
    for name in ("kept", "gone", "made"):
        assert azure.compute.disks.get(RG, name).disk_state == "Attached"
        refused = azure.send("DELETE", azure.id("disks", name))
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "OperationNotAllowed")
    azure.compute.virtual_machines.begin_delete(RG, "vm1", polling=azure.done).result()
    assert azure.compute.disks.get(RG, "kept").disk_state == "Unattached"
    assert azure.compute.disks.get(RG, "made").disk_state == "Unattached"
    assert azure.send("GET", azure.id("disks", "gone")).status_code == 404


def test_a_whole_vm_that_is_put_back_changes_the_delete_option_of_its_data_disk(azure: Azure) -> None:
    azure.vm_with_network()
    _attached(azure, _a_disk(azure, "data") | {"lun": 0, "deleteOption": "Delete"})
    azure.advance(10)
    vm = azure.send("GET", azure.id("virtualMachines", "vm1")).json()
    vm["properties"]["storageProfile"]["dataDisks"][0]["deleteOption"] = "Detach"
    assert azure.send("PUT", vm["id"], vm).status_code == 200
    azure.advance(60)
    azure.compute.virtual_machines.begin_delete(RG, "vm1", polling=azure.done).result()
    assert azure.send("GET", azure.id("disks", "data")).status_code == 200


def test_bad_data_disks_are_refused(azure: Azure) -> None:
    azure.vm_with_network()
    one = _a_disk(azure, "one")
    nowhere = {"createOption": "Attach", "managedDisk": {"id": azure.id("disks", "nowhere")}}
    for disks, status, code in (
        ([one], 400, "InvalidParameter"),
        ([one | {"lun": 0}, nowhere | {"lun": 0}], 400, "InvalidParameter"),
        ([{"lun": 0, "managedDisk": one["managedDisk"]}], 400, "InvalidParameter"),
        ([one | {"lun": 0, "deleteOption": "Keep"}], 400, "InvalidParameter"),
        ([nowhere | {"lun": 0}], 404, "NotFound"),
        ([{"lun": n, "createOption": "Empty"} for n in range(5)], 409, "OperationNotAllowed"),
    ):
        refused = _attached(azure, *disks)
        assert (refused.status_code, refused.json()["error"]["code"]) == (status, code), refused.text
