"""Regions, VM sizes, images and quotas: the part of Azure's catalogue that is kept here.

Sizes, families, vCPUs and memory are Azure's published ones [D]. A restriction is added or lifted, and a quota changed,
with `POST /_local/quota`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from local.azure import ids
from local.azure.arm import Arm
from local.azure.resources.kind import LOCATIONS

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Size:
    """A VM size. `available` is vCPUsAvailable where it differs."""

    name: str
    family: str
    vcpus: int
    memory_gb: float
    generations: str = "V1,V2"
    architecture: str = "x64"
    trusted_launch: bool = True
    disks: int = 4
    zones: bool = True
    missing_in: tuple[str, ...] = ()


# Not every size is in every region [D]; which regions lack which is this table's own choice.
_FEW_CONFIDENTIAL = ("westus", "westus3", "swedencentral")

SIZES = {
    size.name.lower(): size
    for size in (
        Size("Standard_B1ls", "standardBSFamily", 1, 0.5, disks=2),
        Size("Standard_B1s", "standardBSFamily", 1, 1, disks=2),
        Size("Standard_B1ms", "standardBSFamily", 1, 2, disks=2),
        Size("Standard_B2s", "standardBSFamily", 2, 4),
        Size("Standard_B2ms", "standardBSFamily", 2, 8),
        Size("Standard_B4ms", "standardBSFamily", 4, 16, disks=8),
        Size("Standard_B2ts_v2", "standardBsv2Family", 2, 1),
        Size("Standard_B2ls_v2", "standardBsv2Family", 2, 4),
        Size("Standard_B2s_v2", "standardBsv2Family", 2, 8),
        Size("Standard_B4s_v2", "standardBsv2Family", 4, 16, disks=8),
        Size("Standard_B2pls_v2", "standardBpsv2Family", 2, 4, "V2", "Arm64", trusted_launch=False),
        Size("Standard_A1_v2", "standardAv2Family", 1, 2, "V1", trusted_launch=False, disks=2),
        Size("Standard_D2_v3", "standardDv3Family", 2, 8, "V1", trusted_launch=False),
        Size("Standard_D2s_v3", "standardDSv3Family", 2, 8),
        Size("Standard_D4s_v3", "standardDSv3Family", 4, 16, disks=8),
        Size("Standard_D2s_v5", "standardDSv5Family", 2, 8),
        Size("Standard_D4s_v5", "standardDSv5Family", 4, 16, disks=8),
        Size("Standard_D8s_v5", "standardDSv5Family", 8, 32, disks=16),
        Size("Standard_D2as_v5", "standardDASv5Family", 2, 8),
        Size("Standard_D2ps_v5", "standardDPSv5Family", 2, 8, "V2", "Arm64", trusted_launch=False),
        Size("Standard_E2s_v5", "standardESv5Family", 2, 16),
        Size("Standard_F2s_v2", "standardFSv2Family", 2, 4),
        Size("Standard_DS1_v2", "standardDSv2Family", 1, 3.5),
        Size(
            "Standard_DC2as_v5", "standardDCASv5Family", 2, 8, "V2", trusted_launch=False, missing_in=_FEW_CONFIDENTIAL
        ),
        Size("Standard_NC24ads_A100_v4", "StandardNCADSA100v4Family", 24, 220, zones=False),
    )
}

FAMILY_LABELS = {"standardBSFamily": "Standard BS Family vCPUs"}
REGIONAL_CORES = "cores"
_DEFAULT_QUOTAS = {
    "availabilitySets": 2500,
    REGIONAL_CORES: 1000,
    "virtualMachines": 25000,
    "standardBSFamily": 800,
    "StandardNCADSA100v4Family": 0,
}
_DEFAULT_FAMILY_QUOTA = 350
_NO_ZONES = {"westus", "northcentralus"}

# what is restricted from the start, as in a pay-as-you-go subscription: size -> (region or None, type, reason)
_RESTRICTED = (
    ("Standard_NC24ads_A100_v4", None, "Location", "NotAvailableForSubscription"),
    ("Standard_B2s", "swedencentral", "Location", "NotAvailableForSubscription"),
    ("Standard_D2s_v3", "eastus", "Zone", "NotAvailableForSubscription"),
)

PUBLISHER = "Canonical"
IMAGES = {
    ("0001-com-ubuntu-server-jammy", "22_04-lts"): ("V1", "x64"),
    ("0001-com-ubuntu-server-jammy", "22_04-lts-gen2"): ("V2", "x64"),
    ("0001-com-ubuntu-server-jammy", "22_04-lts-arm64"): ("V2", "Arm64"),
    ("0001-com-ubuntu-server-focal", "20_04-lts"): ("V1", "x64"),
    ("0001-com-ubuntu-server-focal", "20_04-lts-gen2"): ("V2", "x64"),
    ("ubuntu-24_04-lts", "server"): ("V2", "x64"),
    ("ubuntu-24_04-lts", "server-gen1"): ("V1", "x64"),
    ("ubuntu-24_04-lts", "server-arm64"): ("V2", "Arm64"),
}
IMAGE_VERSIONS = ("22.04.202404090", "22.04.202405010", "22.04.202410020")


def image_of(reference: Json) -> tuple[str, str, str] | None:
    """Generation, architecture and exact version of a platform image, or None."""
    if str(reference.get("publisher", "")).lower() != PUBLISHER.lower():
        return None
    wanted = (str(reference.get("offer", "")).lower(), str(reference.get("sku", "")).lower())
    for (offer, sku), (generation, architecture) in IMAGES.items():
        if (offer.lower(), sku.lower()) == wanted:
            version = str(reference.get("version", ""))
            if version.lower() == "latest":
                return generation, architecture, IMAGE_VERSIONS[-1]
            return (generation, architecture, version) if version in IMAGE_VERSIONS else None
    return None


def sizes_in(location: str) -> list[Size]:
    """The sizes that a region has."""
    return [size for size in SIZES.values() if location not in size.missing_in]


def restrictions(arm: Arm, subscription: str, size: Size, location: str) -> list[tuple[str, str]]:
    """What keeps a subscription from using a size in a region: (type, reason)."""
    found = [
        (kind, reason) for name, where, kind, reason in _RESTRICTED if name == size.name and where in (None, location)
    ]
    for each in arm.store.meta("restrictions", []):
        here = {"location": location, "subscription_id": subscription} | each
        place = (here["location"].lower(), here["subscription_id"].lower())
        if each["size"].lower() == size.name.lower() and place == (location, subscription):
            if each.get("remove"):
                found = []
            else:
                found.append((each.get("type", "Location"), each.get("reason", "NotAvailableForSubscription")))
    return found


def skus(arm: Arm, subscription: str, location: str | None) -> list[Json]:
    """The list that `Microsoft.Compute/skus` answers: one entry per size and region."""
    regions = [each for each in LOCATIONS if location is None or each == location]
    return [_sku(arm, subscription, size, region) for region in regions for size in sizes_in(region)]


def _sku(arm: Arm, subscription: str, size: Size, location: str) -> Json:
    zones = ["1", "2", "3"] if size.zones and location not in _NO_ZONES else []
    capabilities = {
        "MaxResourceVolumeMB": str(size.vcpus * 4096),
        "OSVhdSizeMB": "1047552",
        "vCPUs": str(size.vcpus),
        "MemoryPreservingMaintenanceSupported": "True",
        "HyperVGenerations": size.generations,
        "MemoryGB": f"{size.memory_gb:g}",
        "MaxDataDiskCount": str(size.disks),
        "CpuArchitectureType": size.architecture,
        "LowPriorityCapable": "False" if size.family == "standardBSFamily" else "True",
        "PremiumIO": "True" if "s" in size.name.lower().split("_")[1] else "False",
        "VMDeploymentTypes": "IaaS",
        "vCPUsAvailable": str(size.vcpus),
        "vCPUsPerCore": "1" if size.architecture == "Arm64" else "2",
        "EphemeralOSDiskSupported": "False",
        "EncryptionAtHostSupported": "True",
        "AcceleratedNetworkingEnabled": "True" if size.vcpus > 1 else "False",
        "RdmaEnabled": "False",
        "MaxNetworkInterfaces": str(max(2, size.vcpus)),
    }
    if not size.trusted_launch:
        capabilities["TrustedLaunchDisabled"] = "True"
    shown_restrictions = []
    for kind, reason in restrictions(arm, subscription, size, location):
        info: Json = {"locations": [location]}
        if kind == "Zone":
            info["zones"] = ["1"]
        shown_restrictions.append({"type": kind, "values": [location], "restrictionInfo": info, "reasonCode": reason})
    return {
        "resourceType": "virtualMachines",
        "name": size.name,
        "tier": "Standard",
        "size": size.name.removeprefix("Standard_"),
        "family": size.family,
        "locations": [location],
        "locationInfo": [{"location": location, "zones": zones, "zoneDetails": []}],
        "capabilities": [{"name": name, "value": value} for name, value in capabilities.items()],
        "restrictions": shown_restrictions,
    }


def limit(arm: Arm, subscription: str, location: str, name: str) -> int:
    """The quota of a family, or of all cores, in a region."""
    return arm.quota(subscription, location, name, _DEFAULT_QUOTAS.get(name, _DEFAULT_FAMILY_QUOTA))


def used(arm: Arm, subscription: str, location: str, name: str, but: str = "") -> int:
    """What the VMs that are there use of it. A deallocated VM keeps its cores in the count, as here the harder choice."""
    count = 0
    for vm in arm.store.of_type("Microsoft.Compute/virtualMachines", ids.subscription_id(subscription)):
        size = SIZES.get(str((vm.properties.get("hardwareProfile") or {}).get("vmSize")).lower())
        if size is None or vm.location != location or vm.key == but.lower():
            continue
        if name == "virtualMachines":
            count += 1
        elif name in (REGIONAL_CORES, size.family):
            count += size.vcpus
    return count


def usages(arm: Arm, subscription: str, location: str) -> list[Json]:
    """The list that `Microsoft.Compute/locations/{location}/usages` answers."""
    names = {
        "availabilitySets": "Availability Sets",
        REGIONAL_CORES: "Total Regional vCPUs",
        "virtualMachines": "Virtual Machines",
    }
    for size in SIZES.values():
        plain = size.family.removeprefix("standard").removeprefix("Standard").removesuffix("Family")
        names[size.family] = FAMILY_LABELS.get(size.family, f"Standard {plain} Family vCPUs")
    return [
        {
            "unit": "Count",
            "currentValue": used(arm, subscription, location, name),
            "limit": limit(arm, subscription, location, name),
            "name": {"value": name, "localizedValue": label},
        }
        for name, label in names.items()
    ]
