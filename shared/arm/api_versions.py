"""The api-version of every call to Azure Resource Manager: one per resource type, the same for GET and PUT.

An older version on GET hides newer properties, and the PUT that follows drops them. The newest known at release.
"""

NETWORK = "2026-03-01"
COMPUTE = "2026-04-01"
DISKS = "2026-03-02"
COMPUTE_SKUS = "2021-07-01"
RESOURCES = "2025-04-01"
LOCKS = "2020-05-01"
PERMISSIONS = "2022-04-01"


def api_version_of(resource_type: str) -> str:
    """The version for a resource type such as `Microsoft.Network/virtualNetworks` (children included)."""
    namespace, _, kind = resource_type.lower().partition("/")
    match namespace:
        case "microsoft.network":
            return NETWORK
        case "microsoft.compute":
            return DISKS if kind.startswith("disks") else COMPUTE_SKUS if kind.startswith("skus") else COMPUTE
        case "microsoft.authorization":
            return PERMISSIONS if kind.startswith("permissions") else LOCKS
        case _:
            return RESOURCES
