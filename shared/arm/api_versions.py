"""The api-version of every call to Azure Resource Manager: one per resource type, the same for GET and PUT.

An older version on GET hides newer properties, and the PUT that follows drops them. The newest known at release.
"""

# By the beginning of a type; the first that fits counts.
VERSIONS = {
    "microsoft.network/": "2026-03-01",
    "microsoft.compute/disks": "2026-03-02",
    "microsoft.compute/skus": "2021-07-01",
    "microsoft.compute/": "2026-04-01",
    "microsoft.authorization/permissions": "2022-04-01",
    "microsoft.authorization/": "2020-05-01",  # locks
    "": "2025-04-01",  # resource groups and what they hold
}


def api_version_of(resource_type: str) -> str:
    """The version for a resource type such as `Microsoft.Network/virtualNetworks` (children included)."""
    folded = f"{resource_type.lower()}/"
    return next(version for beginning, version in VERSIONS.items() if folded.startswith(beginning))
