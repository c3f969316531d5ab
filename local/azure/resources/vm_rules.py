"""What a VM's PUT is refused for."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from local.azure import catalogue, errors, ids
from local.azure.arm import Arm, Call
from local.azure.catalogue import Size
from local.azure.ids import ResourceId
from local.azure.resources import references
from local.azure.resources.disk import holders as disk_holders
from local.azure.resources.network_interface import NetworkInterface, refuse_reserved
from local.azure.store import Json, Resource

REFUSED_USERS = frozenset(
    """administrator admin user user1 test user2 test1 user3 admin1 1 123 a actuser adm admin2 aspnet backup console
    david guest john owner root server sql support support_388945a0 sys test2 test3 user4 user5""".split()  # noqa: SIM905 - a list of words reads best as words
)
_NAME = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9_])?$")
_COMPUTER_NAME = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9-]{0,62}[A-Za-z0-9])?$")


def check(arm: Arm, call: Call, target: ResourceId, location: str, existing: Resource | None) -> None:
    """Everything that is known at once; what isn't fails late, in the operation."""
    properties = call.body.get("properties") or {}
    size = _check_size(properties, location)
    if existing is None:
        _check_os(properties.get("osProfile"))
        _check_storage(arm, properties.get("storageProfile"), properties, size)
    else:
        refuse_changes(properties, existing)
    _check_nics(arm, str(target), properties.get("networkProfile"), location)
    check_capacity(arm, str(target), properties, location, existing)


def check_capacity(arm: Arm, vm_id: str, properties: Json, location: str, existing: Resource | None) -> None:
    """Whether a size, when it is new to the VM, can be had and paid for from the quota."""
    size = _check_size(properties, location)
    before = str((existing.properties.get("hardwareProfile") or {}).get("vmSize", "")) if existing else ""
    if before.lower() != size.name.lower():
        _check_restrictions(arm, ids.subscription_of(vm_id), size, location)
        _check_quota(arm, vm_id, size, location)


def _check_size(properties: Json, location: str) -> Size:
    name = (properties.get("hardwareProfile") or {}).get("vmSize")
    if not name:
        raise errors.missing_parameter("hardwareProfile.vmSize")
    size = catalogue.SIZES.get(str(name).lower())
    if size is None or location in size.missing_in:
        raise errors.invalid_parameter(
            "vmSize",
            f"The value {name} provided for the VM size is not valid. The valid sizes in the current region "
            f"are: {','.join(each.name for each in catalogue.sizes_in(location))}.",
        )
    return size


def _check_restrictions(arm: Arm, subscription: str, size: Size, location: str) -> None:
    """Only a restriction of type Location blocks [I]."""
    if any(kind == "Location" for kind, _ in catalogue.restrictions(arm, subscription, size, location)):
        raise errors.ArmError(
            409,
            "SkuNotAvailable",
            "The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: "
            f"{size.name}' is currently not available in location '{location}'. Please try another size or deploy to a "
            "different location or different zone. See https://aka.ms/azureskunotavailable for details.",
        )


def _check_quota(arm: Arm, vm_id: str, size: Size, location: str) -> None:
    """The family's quota, then the region's [I]."""
    subscription = ids.subscription_of(vm_id)
    for name, label in ((size.family, f"{size.family} Cores"), (catalogue.REGIONAL_CORES, "Total Regional Cores")):
        limit = catalogue.limit(arm, subscription, location, name)
        used = catalogue.used(arm, subscription, location, name, vm_id)
        if used + size.vcpus > limit:
            raise errors.ArmError(
                409,
                "OperationNotAllowed",
                f"Operation could not be completed as it results in exceeding approved {label} quota. Additional "
                f"details - Deployment Model: Resource Manager, Location: {location}, Current Limit: {limit}, Current "
                f"Usage: {used}, Additional Required: {size.vcpus}, (Minimum) New Limit Required: "
                f"{used + size.vcpus}. Submit a request for Quota increase at https://aka.ms/ProdportalCRP/#blade/"
                "Microsoft_Azure_Capacity/UsageAndQuota.ReactView by specifying parameters listed in the 'Details' "
                "section for deployment to succeed.",
            )


def _check_os(profile: Any) -> None:
    if not isinstance(profile, dict):
        raise errors.missing_parameter("osProfile")
    user = profile.get("adminUsername")
    _check_user(user)
    _check_computer_name(profile.get("computerName"))
    _check_custom_data(profile.get("customData"))
    _check_sign_in(str(user), profile)


def _check_user(user: Any) -> None:
    if not user:
        raise errors.missing_parameter("adminUsername")
    if str(user).lower() in REFUSED_USERS or str(user).endswith("."):
        raise errors.invalid_parameter(
            "adminUsername",
            "The Admin Username specified is not allowed. For more information about disallowed usernames, see "
            "https://aka.ms/vmosprofile",
        )
    if len(str(user)) > 64:
        raise errors.invalid_parameter("adminUsername", "The Admin Username cannot exceed 64 characters.")


def _check_computer_name(computer: Any) -> None:
    if computer is None:
        raise errors.missing_parameter("computerName")
    if not _COMPUTER_NAME.match(str(computer)):
        raise errors.invalid_parameter(
            "computerName",
            "Linux host name cannot exceed 64 characters in length or "
            "contain the following characters: ` ~ ! @ # $ % ^ & * ( ) = + _ [ ] { } \\ | ; : ' \" , < > / ?.",
        )


def _check_sign_in(user: str, profile: Json) -> None:
    """A password or keys."""
    linux = profile.get("linuxConfiguration") or {}
    keys = (linux.get("ssh") or {}).get("publicKeys") or []
    if linux.get("disablePasswordAuthentication"):
        if not keys:
            raise errors.invalid_parameter(
                "linuxConfiguration",
                "Authentication using either SSH or by user name and password must be enabled in Linux profile.",
            )
    elif not profile.get("adminPassword"):
        raise errors.missing_parameter("adminPassword")
    for key in keys:
        _check_key(user, key)


def _check_custom_data(data: Any) -> None:
    if data is None:
        return
    try:
        decoded = base64.b64decode(str(data), validate=True)
    except (binascii.Error, ValueError):
        raise errors.invalid_parameter("customData", "Custom data in OSProfile must be in Base64 encoding.") from None
    if len(decoded) > 65535:
        raise errors.invalid_parameter(
            "customData",
            "Custom data in OSProfile must be in Base64 encoding and with a maximum length of 87380 characters.",
        )


def _check_key(user: str, key: Json) -> None:
    path = f"/home/{user}/.ssh/authorized_keys"
    if key.get("path") != path:
        raise errors.invalid_parameter(
            "linuxConfiguration.ssh.publicKeys.path",
            "Destination path for SSH public keys is currently limited to its default value "
            f"{path}  due to a known issue in Linux provisioning agent.",
        )
    if not is_key(str(key.get("keyData") or "")):
        raise errors.invalid_parameter("linuxConfiguration.ssh.publicKeys.keyData")


def is_key(text: str) -> bool:
    """RSA of 2048 bits or more, or ed25519, on one line."""
    if "\n" in text.strip() or "\r" in text.strip():
        return False
    parts = text.split()
    if len(parts) < 2 or parts[0] not in ("ssh-rsa", "ssh-ed25519"):
        return False
    try:
        fields = _fields(base64.b64decode(parts[1], validate=True))
    except (binascii.Error, ValueError):
        return False
    if not fields or fields[0] != parts[0].encode():
        return False
    if parts[0] == "ssh-ed25519":
        return len(fields) == 2 and len(fields[1]) == 32
    return len(fields) == 3 and int.from_bytes(fields[2], "big").bit_length() >= 2048


def _fields(blob: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(blob):
        length = int.from_bytes(blob[at : at + 4], "big")
        if at + 4 + length > len(blob):
            raise ValueError("cut short")
        found.append(blob[at + 4 : at + 4 + length])
        at += 4 + length
    return found


def _check_storage(arm: Arm, profile: Any, properties: Json, size: Size) -> None:
    if not isinstance(profile, dict):
        raise errors.missing_parameter("storageProfile")
    disk = profile.get("osDisk")
    if not isinstance(disk, dict) or not disk.get("createOption"):
        raise errors.missing_parameter("osDisk.createOption")
    if str(disk["createOption"]).lower() == "attach":
        _check_attached_disk(arm, disk)
        return
    reference = profile.get("imageReference") or {}
    if not reference.get("id"):
        _check_image(reference, properties.get("securityProfile") or {}, size)


def _check_image(reference: Json, security: Json, size: Size) -> None:
    """A platform image that exists, and that the size can boot."""
    for name in ("publisher", "offer", "sku", "version"):
        if not reference.get(name):
            raise errors.missing_parameter(f"imageReference.{name}")
    urn = ":".join(str(reference[name]) for name in ("publisher", "offer", "sku", "version"))
    image = catalogue.image_of(reference)
    if image is None:
        raise errors.ArmError(
            404,
            "PlatformImageNotFound",
            f"The platform image '{urn}' is not available. Verify that all fields in the storage profile are correct. "
            "For more details about storage profile information, please refer to https://aka.ms/storageprofile",
            target="imageReference",
        )
    generation, architecture, _ = image
    if generation not in size.generations.split(","):
        raise errors.ArmError(
            400,
            "BadRequest",
            f"The selected VM size '{size.name}' cannot boot Hypervisor Generation '{generation[1]}'. If this was a "
            "Create operation please check that the Hypervisor Generation of the Image matches the Hypervisor "
            "Generation of the selected VM Size.",
        )
    if architecture != size.architecture:
        raise errors.invalid_parameter(
            "vmSize",
            f"Cannot create a VM of size '{size.name}' because this VM size only supports a CPU Architecture "
            f"of '{size.architecture}', but an image or disk with CPU Architecture '{architecture}' was given.",
        )
    trusted = str(security.get("securityType", "")).lower() == "trustedlaunch"
    if trusted and (not size.trusted_launch or generation != "V2"):
        raise errors.ArmError(
            400,
            "BadRequest",
            f"The VM size '{size.name}' is not supported for creation of VMs and Virtual Machine "
            "Scale Set with 'TrustedLaunch' security type.",
        )


def _check_attached_disk(arm: Arm, disk: Json) -> None:
    disk_id = (disk.get("managedDisk") or {}).get("id")
    found = arm.store.get(str(disk_id)) if disk_id else None
    if found is None:
        raise errors.ArmError(404, "NotFound", f"Disk {disk.get('name')} is not found.", target="managedDisk.id")
    for vm in disk_holders(arm, found):
        raise errors.ArmError(409, "ConflictingUserInput", f"Disk {found.name} is attached to VM {vm.id}.")


def nic_ids(properties: Json) -> list[str]:
    """The NICs that a VM names."""
    return [str(each.get("id")) for each in (properties.get("networkProfile") or {}).get("networkInterfaces") or []]


def _check_nics(arm: Arm, vm_id: str, profile: Any, location: str) -> None:
    if not isinstance(profile, dict) or not profile.get("networkInterfaces"):
        raise errors.missing_parameter("networkProfile")
    for nic_id in nic_ids({"networkProfile": profile}):
        identity = ids.parse(nic_id)
        if identity is None or identity.type.lower() != NetworkInterface.type.lower():
            raise errors.invalid_parameter("networkProfile.networkInterfaces.id")
        nic = arm.store.get(nic_id)
        if nic is None or not references.is_near(nic, vm_id, location):
            raise errors.invalid_reference(nic_id, vm_id)
        references.refuse_unsettled(arm, nic, vm_id)
        for other in arm.store.referrers(nic.id, "Microsoft.Compute/virtualMachines"):
            if other.key != ids.key(vm_id) and not other.hidden.get("failed_creation"):
                raise errors.by_network(
                    "NicInUse",
                    f"Network Interface {nic.id} is used by existing resource {other.id}. In order to delete the "
                    "network interface, it must be dissociated from the resource. To learn more, see aka.ms/deletenic.",
                )
        refuse_reserved(arm, nic, vm_id)


_IMMUTABLE = (
    ("osProfile", "adminUsername"),
    ("osProfile", "computerName"),
    ("osProfile", "customData"),
    ("storageProfile", "imageReference", "publisher"),
    ("storageProfile", "imageReference", "offer"),
    ("storageProfile", "imageReference", "sku"),
    ("storageProfile", "osDisk", "name"),
    ("storageProfile", "osDisk", "createOption"),
    ("osProfile", "linuxConfiguration", "disablePasswordAuthentication"),
    ("osProfile", "linuxConfiguration", "ssh"),
    ("priority",),
)


def refuse_changes(properties: Json, existing: Resource) -> None:
    """What can't change after creation. Custom data isn't shown, so it is compared where it is kept [R]."""
    before = existing.properties | {
        "osProfile": (existing.properties.get("osProfile") or {}) | {"customData": existing.hidden.get("custom_data")}
    }
    for path in _IMMUTABLE:
        wanted, present = _at(properties, path), _at(before, path)
        if wanted is not None and wanted != present and str(wanted).lower() != str(present).lower():
            raise errors.ArmError(
                409,
                "PropertyChangeNotAllowed",
                f"Changing property '{'.'.join(path[-2:]) if len(path) > 1 else path[0]}' is not allowed.",
                target=path[-1],
            )


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def check_name(target: ResourceId) -> None:
    """1 to 64 characters on Linux."""
    if not _NAME.match(target.name):
        raise errors.ArmError(
            400,
            "InvalidParameter",
            f"The resource name '{target.name}' is invalid: a virtual machine's name has 1 to 64 characters, starts "
            "with a letter or digit and holds letters, digits, '.', '_' and '-'.",
            target="name",
        )
