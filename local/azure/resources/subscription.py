"""The subscription and what is listed across it: locations, providers, resources by tag, locks, usages, images."""

from __future__ import annotations

from local.azure import catalogue, errors, ids
from local.azure.arm import Arm
from local.azure.catalogue import Size
from local.azure.resources import network_quotas
from local.azure.resources.kind import LOCATIONS
from local.azure.resources.locks import TYPE as LOCK
from local.azure.store import Json, Resource

NAMESPACES = ("Microsoft.Network", "Microsoft.Compute", "Microsoft.Resources", "Microsoft.Authorization")
_TYPES = {
    "Microsoft.Network": (
        "virtualNetworks",
        "networkSecurityGroups",
        "networkInterfaces",
        "publicIPAddresses",
        "routeTables",
        "natGateways",
        "virtualNetworkGateways",
        "applicationGateways",
        "privateEndpoints",
        "loadBalancers",
        "locations/usages",
        "locations/operations",
    ),
    "Microsoft.Compute": (
        "virtualMachines",
        "disks",
        "skus",
        "locations/usages",
        "locations/vmSizes",
        "locations/operations",
        "locations/diskOperations",
        "locations/publishers",
    ),
    "Microsoft.Resources": ("subscriptions", "resourceGroups", "resources", "tenants"),
    "Microsoft.Authorization": ("locks",),
}


def show(subscription: str) -> Json:
    """A subscription."""
    return {
        "id": f"/subscriptions/{subscription}",
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionId": subscription,
        "tenantId": ids.TENANT_ID,
        "displayName": "Local Azure" if subscription == ids.SUBSCRIPTION_ID else f"Local Azure {subscription[:8]}",
        "state": "Enabled",
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "PayAsYouGo_2014-09-01",
            "spendingLimit": "Off",
        },
    }


def locations(subscription: str) -> list[Json]:
    """The regions."""
    return [
        {
            "id": f"/subscriptions/{subscription}/locations/{name}",
            "name": name,
            "type": "Region",
            "displayName": label,
            "regionalDisplayName": label,
            "metadata": {"regionType": "Physical", "regionCategory": "Recommended"},
        }
        for name, label in LOCATIONS.items()
    ]


def provider(subscription: str, namespace: str) -> Json:
    """A provider, registered."""
    name = next((each for each in NAMESPACES if each.lower() == namespace.lower()), None)
    if name is None:
        raise errors.by_gateway(404, "InvalidResourceNamespace", f"The resource namespace '{namespace}' is invalid.")
    return {
        "id": f"/subscriptions/{subscription}/providers/{name}",
        "namespace": name,
        "registrationPolicy": "RegistrationRequired",
        "registrationState": "Registered",
        "resourceTypes": [
            {
                "resourceType": kind,
                "locations": list(LOCATIONS.values()),
                "apiVersions": ["2024-07-01", "2024-05-01", "2023-11-01"],
                "capabilities": "SupportsTags, SupportsLocation",
            }
            for kind in _TYPES[name]
        ],
    }


def entry(arm: Arm, resource: Resource, expand: str) -> Json:
    """A resource as the generic list shows it: no properties, its provisioning state only when asked for."""
    shown: Json = {"id": resource.id, "name": resource.name, "type": resource.type}
    for part in ("location", "tags", "sku", "zones", "kind", "managedBy", "identity"):
        if part in resource.doc:
            shown[part] = resource.doc[part]
    if "provisioningstate" in expand.lower():
        shown["provisioningState"] = arm.state_of(resource)
    return shown


def lock(resource: Resource) -> Json:
    """A lock."""
    return {"id": resource.id, "name": resource.name, "type": LOCK, "properties": dict(resource.properties)}


def network_usages(arm: Arm, subscription: str, location: str) -> list[Json]:
    """What the network provider counts in a region."""
    usages = f"/subscriptions/{subscription}/providers/Microsoft.Network/locations/{location}/usages"
    return [
        {
            "id": f"{usages}/{quota.name}",
            "unit": "Count",
            "currentValue": used,
            "limit": limit,
            "name": {"value": quota.name, "localizedValue": quota.label},
        }
        for quota, used, limit in network_quotas.usages(arm, subscription, location)
    ]


def vm_size(size: Size) -> Json:
    """As `vmSizes` lists it."""
    return {
        "name": size.name,
        "numberOfCores": size.vcpus,
        "osDiskSizeInMB": 1047552,
        "resourceDiskSizeInMB": size.vcpus * 4096,
        "memoryInMB": int(size.memory_gb * 1024),
        "maxDataDiskCount": size.disks,
    }


def images(subscription: str, location: str, rest: str, query: dict[str, str]) -> object:
    """Publishers, offers, SKUs, versions, and one version."""
    parts = [each for each in rest.split("/") if each]
    base = f"/Subscriptions/{subscription}/Providers/Microsoft.Compute/Locations/{location}/Publishers"

    if not parts:
        return _named([catalogue.PUBLISHER], base, location)
    offers = {offer for offer, _ in catalogue.IMAGES}
    if parts[0].lower() != catalogue.PUBLISHER.lower():
        raise errors.ArmError(404, "NotFound", f"Artifact: Publisher {parts[0]} was not found.")
    under = f"{base}/{catalogue.PUBLISHER}/ArtifactTypes/VMImage/Offers"
    if len(parts) <= 4 and parts[-1].lower() == "offers":
        return _named(sorted(offers), under, location)
    offer = parts[4] if len(parts) > 4 else ""
    if offer.lower() not in {each.lower() for each in offers}:
        raise errors.ArmError(404, "NotFound", f"Artifact: Offer {offer} was not found.")
    skus = [sku for each, sku in catalogue.IMAGES if each.lower() == offer.lower()]
    if len(parts) == 6:
        return _named(sorted(skus), f"{under}/{offer}/Skus", location)
    sku = parts[6] if len(parts) > 6 else ""
    found = next((each for each in skus if each.lower() == sku.lower()), None)
    if found is None:
        raise errors.ArmError(404, "NotFound", f"Artifact: VMImage was not found: {offer}/{sku}.")
    under = f"{under}/{offer}/Skus/{found}/Versions"
    if len(parts) <= 8:
        return _named(_versions(query), under, location)
    version = catalogue.IMAGE_VERSIONS[-1] if parts[8].lower() == "latest" else parts[8]
    image = catalogue.image_of({"publisher": parts[0], "offer": offer, "sku": found, "version": version})
    if image is None:
        raise errors.ArmError(404, "NotFound", f"Artifact: VMImage version {parts[8]} was not found.")
    generation, architecture, _ = image
    return _image(under, version, location, generation, architecture)


def _named(names: list[str], under: str, location: str) -> list[Json]:
    return [{"location": location, "name": each, "id": f"{under}/{each}"} for each in names]


def _versions(query: dict[str, str]) -> list[str]:
    versions = list(catalogue.IMAGE_VERSIONS)
    if "desc" in query.get("$orderby", "").lower():
        versions.reverse()
    top = query.get("$top", "")
    return versions[: int(top)] if top.isdecimal() else versions


def _image(under: str, version: str, location: str, generation: str, architecture: str) -> Json:
    return {
        "location": location,
        "name": version,
        "id": f"{under}/{version}",
        "properties": {
            "hyperVGeneration": generation,
            "architecture": architecture,
            "osDiskImage": {"operatingSystem": "Linux"},
            "dataDiskImages": [],
            "features": [{"name": "SecurityType", "value": "TrustedLaunchSupported"}] if generation == "V2" else [],
        },
    }
