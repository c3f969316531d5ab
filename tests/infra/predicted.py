"""A snapshot of a deployment, and what tests ask of it."""

from dataclasses import dataclass
from typing import Any

Resource = dict[str, Any]

ASSIGNMENT = "Microsoft.Authorization/roleAssignments"
DEFINITION = "Microsoft.Authorization/roleDefinitions"

# What Azure refuses in an app on Flex Consumption (learn.microsoft.com, "Flex Consumption plan deprecations", and the
# settings that `az functionapp flex-migration` leaves out).
FLEX_FORBIDS = {
    "ENABLE_ORYX_BUILD",
    "FUNCTIONS_EXTENSION_VERSION",
    "FUNCTIONS_WORKER_RUNTIME",
    "FUNCTIONS_WORKER_RUNTIME_VERSION",
    "FUNCTIONS_MAX_HTTP_CONCURRENCY",
    "FUNCTIONS_WORKER_PROCESS_COUNT",
    "FUNCTIONS_WORKER_DYNAMIC_CONCURRENCY_ENABLED",
    "SCM_DO_BUILD_DURING_DEPLOYMENT",
    "WEBSITE_CONTENTAZUREFILECONNECTIONSTRING",
    "WEBSITE_CONTENTOVERVNET",
    "WEBSITE_CONTENTSHARE",
    "WEBSITE_DNS_SERVER",
    "WEBSITE_MAX_DYNAMIC_APPLICATION_SCALE_OUT",
    "WEBSITE_MOUNT_ENABLED",
    "WEBSITE_NODE_DEFAULT_VERSION",
    "WEBSITE_RUN_FROM_PACKAGE",
    "WEBSITE_SKIP_CONTENTSHARE_VALIDATION",
    "WEBSITE_USE_PLACEHOLDER_DOTNETISOLATED",
    "WEBSITE_VNET_ROUTE_ALL",
    "AzureWebJobsDashboard",
}


@dataclass(frozen=True)
class Deployment:
    """The resources that a deployment would ask for. Expressions that only Azure can evaluate begin with `[`."""

    snapshot: dict[str, Any]

    @property
    def resources(self) -> list[Resource]:
        found: list[Resource] = self.snapshot["predictedResources"]
        return found

    def of(self, kind: str) -> list[Resource]:
        """All resources of a type."""
        return [resource for resource in self.resources if resource["type"] == kind]

    def only(self, kind: str) -> Resource:
        """The one resource of a type."""
        (found,) = self.of(kind)
        return found

    @property
    def settings(self) -> dict[str, str]:
        """The app settings of the function app."""
        pairs = self.only("Microsoft.Web/sites")["properties"]["siteConfig"]["appSettings"]
        named = {pair["name"]: pair["value"] for pair in pairs}
        assert len(named) == len(pairs), "a setting stands twice"
        return named

    @property
    def roles(self) -> dict[str, str]:
        """The app's own role definitions, id to name without the environment's suffix."""
        return {role["name"]: role["properties"]["roleName"].partition(" (")[0] for role in self.of(DEFINITION)}

    @property
    def assignments(self) -> set[tuple[str, str]]:
        """Scope and role of each assignment: the role's name if it is the app's own, else its id."""
        roles = self.roles
        found = []
        for resource in self.of(ASSIGNMENT):
            scope = resource["id"].partition(f"/providers/{ASSIGNMENT}/")[0]
            role = resource["properties"]["roleDefinitionId"].rpartition("/")[2]
            found.append((scope, roles.get(role, role)))
        assert len(set(found)) == len(found), "a role is assigned twice on a scope"
        return set(found)
