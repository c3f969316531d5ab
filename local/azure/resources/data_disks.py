"""A VM's data disks: attached and made with a PUT or PATCH of the VM, kept or deleted with it ([D] delete, attach-disk)."""

from __future__ import annotations

from typing import Any

from local.azure import errors, ids
from local.azure.arm import Arm
from local.azure.catalogue import SIZES
from local.azure.ids import ResourceId
from local.azure.resources import disk
from local.azure.store import Json, Resource


def check(arm: Arm, vm_id: str, properties: Json) -> None:
    """Numbers, what each is made from, and that the VM may have it. A disk that is attached to it already stays so."""
    given = _given(properties)
    numbers = [each.get("lun") for each in given]
    for number in numbers:
        if not isinstance(number, int) or number < 0:
            raise errors.invalid_parameter("dataDisk.lun")
    if len(set(numbers)) < len(numbers):
        raise errors.invalid_parameter("dataDisk.lun", "The lun of a data disk has to be unique in its VM.")
    size = SIZES.get(str((properties.get("hardwareProfile") or {}).get("vmSize")).lower())
    if size is not None and len(given) > size.disks:
        raise errors.ArmError(
            409,
            "OperationNotAllowed",
            f"The maximum number of data disks allowed to be attached to a VM of this size is {size.disks}.",
            target="dataDisks",
        )
    for each in given:
        _check_one(arm, vm_id, each)


def _check_one(arm: Arm, vm_id: str, given: Json) -> None:
    option = str(given.get("createOption") or "").lower()
    if not option:
        raise errors.missing_parameter("dataDisk.createOption")
    if str(given.get("deleteOption") or "Detach").lower() not in ("delete", "detach"):
        raise errors.invalid_parameter("dataDisk.deleteOption")
    disk_id = (given.get("managedDisk") or {}).get("id")
    found = arm.store.get(str(disk_id)) if disk_id else None
    if found is None and option == "attach":
        raise errors.ArmError(404, "NotFound", f"Disk {given.get('name')} is not found.", target="managedDisk.id")
    for vm in disk.holders(arm, found) if found is not None else []:
        if vm.key != ids.key(vm_id):
            message = f"Disk {disk_id} cannot be attached as the disk is already owned by VM {vm.id}."
            raise errors.ArmError(409, "ConflictingUserInput", message, target="dataDisk")


def shown(target: ResourceId, properties: Json) -> list[Json]:
    """As a GET shows them: with name, id and defaults."""
    return [_shown(target, each) for each in _given(properties)]


def _shown(target: ResourceId, given: Json) -> Json:
    managed = {"storageAccountType": "Standard_LRS"} | (given.get("managedDisk") or {})
    own_name = managed["id"].rsplit("/", 1)[-1] if managed.get("id") else None
    name = given.get("name") or own_name or f"{target.name}_disk{given['lun'] + 2}"
    made = ResourceId(target.subscription.lower(), target.group.upper(), "Microsoft.Compute", ("disks",), (name,))
    managed.setdefault("id", str(made))
    defaults = {"caching": "None", "deleteOption": "Detach", "toBeDetached": False}
    return defaults | given | {"name": name, "managedDisk": managed}


def make(arm: Arm, vm: Resource) -> None:
    """Those that are not there yet, empty; like the OS disk they take the VM's tags when they are made."""
    for each in _given(vm.properties):
        if arm.store.get(each["managedDisk"]["id"]) is None:
            disk.make_data_disk(arm, vm, each)


def remove(arm: Arm, vm: Resource) -> None:
    """With their VM, as their delete option says ([R])."""
    for each in _given(vm.properties):
        if str(each.get("deleteOption")).lower() == "delete":
            arm.store.delete(each["managedDisk"]["id"])


def _given(properties: Json) -> list[Any]:
    return (properties.get("storageProfile") or {}).get("dataDisks") or []
