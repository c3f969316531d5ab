"""Managed disks: a VM's OS disk outlives it."""

from __future__ import annotations

from typing import Any, ClassVar

from local.azure import errors, ids
from local.azure.arm import Arm, Call, Reply
from local.azure.ids import ResourceId
from local.azure.resources import shapes, tags
from local.azure.resources.kind import Kind
from local.azure.store import Json, Resource

VM = "Microsoft.Compute/virtualMachines"


class Disk(Kind):
    """Microsoft.Compute/disks: PUT and DELETE answer 202, with AAO and Location."""

    type: ClassVar[str] = "Microsoft.Compute/disks"
    form: ClassVar[str] = "disk"
    operation_noun: ClassVar[str] = "Disk"
    put_seconds: ClassVar[float] = 5
    put_retry_after: ClassVar[float] = 2
    delete_seconds: ClassVar[float] = 5
    delete_retry_after: ClassVar[float] = 2
    has_etag: ClassVar[bool] = False
    read_only: ClassVar[frozenset[str]] = frozenset({"provisioningState", "diskState", "uniqueId", "timeCreated"})

    def written_id(self, target: ResourceId) -> str:
        """The group's name in capitals."""
        return ids.with_upper_case_group(super().written_id(target))

    def check_free(self, arm: Arm, call: Call, target: ResourceId, verb: str) -> None:
        """One write at a time."""
        if arm.operations.holding(str(target)) is not None:
            raise errors.conflict()

    def check(self, arm: Arm, call: Call, target: ResourceId, existing: Resource | None) -> None:
        """It has to say what it is made from."""
        creation = (call.body.get("properties") or {}).get("creationData") or {}
        if existing is None and not creation.get("createOption"):
            raise errors.missing_parameter("disk.creationData.createOption")

    def become(self, arm: Arm, call: Call, target: ResourceId, existing: Resource | None) -> Json:
        """With Azure's defaults."""
        properties = super().become(arm, call, target, existing)
        before = existing.properties if existing else {}
        return (
            before | _shown(int(properties.get("diskSizeGB") or 30), arm.clock.timestamp(), arm.new_guid()) | properties
        )

    def put(self, arm: Arm, call: Call, target: ResourceId) -> Reply:
        """202, new or not."""
        reply = super().put(arm, call, target)
        reply.status = 202
        return reply

    def patch(self, arm: Arm, call: Call, target: ResourceId) -> Reply:
        """Tags, size: 202 and an operation."""
        found = self.find(arm, target)
        shapes.check(call.body)
        tags.check(call.body.get("tags"))
        self.check_free(arm, call, target, "put")
        parts: dict[str, Any] = {"properties": found.properties | (call.body.get("properties") or {})}
        if call.body.get("tags") is not None:
            parts["tags"] = dict(call.body["tags"])
        changed = arm.store.change(found, **parts)
        operation = self.start(arm, call, changed, "put", self.put_seconds, self.put_retry_after)
        return Reply(202, self.show(arm, changed, call), arm.operations.first_headers(operation, call.host))

    def blocks_delete(self, arm: Arm, resource: Resource) -> None:
        """Attached, also while the VM's delete is running [R]."""
        for vm in holders(arm, resource):
            raise errors.ArmError(409, "OperationNotAllowed", f"Disk {resource.name} is attached to VM {vm.id}.")

    def show(self, arm: Arm, resource: Resource, call: Call | None = None) -> Json:
        """With the VM that it is attached to."""
        shown = super().show(arm, resource, call)
        users = holders(arm, resource)
        shown.pop("managedBy", None)
        if users:
            shown["managedBy"] = users[0].id
        deallocated = users and users[0].hidden.get("power") == "deallocated"
        shown["properties"]["diskState"] = "Reserved" if deallocated else "Attached" if users else "Unattached"
        return shown


def holders(arm: Arm, disk: Resource) -> list[Resource]:
    """The VMs that a disk is attached to: not one that wanted a disk of this name and found it taken."""
    return [vm for vm in arm.store.referrers(disk.id, VM) if ids.key(str(vm.hidden.get("taken_disk", ""))) != disk.key]


def _shown(gigabytes: int, at: str, guid: str) -> Json:
    return {
        "diskSizeGB": gigabytes,
        "diskIOPSReadWrite": 500,
        "diskMBpsReadWrite": 100,
        "encryption": {"type": "EncryptionAtRestWithPlatformKey"},
        "networkAccessPolicy": "AllowAll",
        "publicNetworkAccess": "Enabled",
        "timeCreated": at,
        "diskSizeBytes": gigabytes * 1024**3,
        "uniqueId": guid,
    }


def make_os_disk(arm: Arm, vm: Resource, os_disk: Json) -> None:
    """What a VM's PUT makes: it takes the VM's tags at creation only."""
    made_from = {"createOption": "FromImage", "imageReference": {"id": _image_id(vm)}}
    _make(arm, vm, os_disk, {"osType": "Linux", "hyperVGeneration": "V2", "creationData": made_from}, 30)


def make_data_disk(arm: Arm, vm: Resource, data_disk: Json) -> None:
    """The same for an empty data disk."""
    _make(arm, vm, data_disk, {"creationData": {"createOption": "Empty"}}, 4)


def _make(arm: Arm, vm: Resource, reference: Json, properties: Json, gigabytes: int) -> None:
    gigabytes = int(reference.get("diskSizeGB") or gigabytes)
    properties = properties | {"provisioningState": "Succeeded"}
    properties |= _shown(gigabytes, arm.clock.timestamp(), arm.new_guid())
    sku = str(reference["managedDisk"].get("storageAccountType", "Standard_LRS"))
    doc: Json = {"location": vm.location, "sku": {"name": sku, "tier": sku.split("_")[0].replace("SSD", "")}}
    doc["properties"] = properties
    if vm.doc.get("tags"):
        doc["tags"] = dict(vm.doc["tags"])
    arm.store.put(Resource(reference["managedDisk"]["id"], Disk.type, doc))


def _image_id(vm: Resource) -> str:
    image = (vm.properties.get("storageProfile") or {}).get("imageReference") or {}
    return (
        f"/Subscriptions/{ids.subscription_of(vm.id)}/Providers/Microsoft.Compute/Locations/{vm.location}/Publishers/"
        f"{image.get('publisher')}/ArtifactTypes/VMImage/Offers/{image.get('offer')}/Skus/{image.get('sku')}/Versions/"
        f"{image.get('exactVersion')}"
    )
