"""The app's roles on the local hub: what its identity may do in the local Azure is what `infra/roles` grants.

Each file there says of what kind the scope is that its role is assigned on; which scopes these are is known here.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from local.azure import ids
from local.azure.hub import Hub
from local.azure.rights import ASSIGNMENT, DEFINITION

ROLES = Path(__file__).resolve().parent.parent / "infra" / "roles"


def scopes(hubs: tuple[Hub, ...]) -> dict[str, list[str]]:
    """The scopes of hubs by their kind. What only a gateway's document names lies in its hub's group."""
    every = [(hub.subscription, hub.spoke_subscription) for hub in hubs]
    return {
        "subscription": [ids.subscription_id(each) for each in dict.fromkeys(one for pair in every for one in pair)],
        "hubVnet": [hub.vnet_id for hub in hubs],
        "gateway": list(dict.fromkeys(ids.group_id(hub.group, hub.subscription) for hub in hubs)),
        "spokeGroup": list(dict.fromkeys(ids.group_id(hub.spoke_group, hub.spoke_subscription) for hub in hubs)),
    }


def app_roles(at: Mapping[str, Iterable[str]], directory: Path = ROLES) -> dict[str, Any]:
    """The role files as definitions and assignments in ARM's form, for the identity of the app."""
    definitions, assignments = [], []
    for path in sorted(directory.glob("*.json")):
        role = json.loads(path.read_text(encoding="utf-8"))
        definition = f"/subscriptions/{ids.SUBSCRIPTION_ID}/providers/{DEFINITION}/{path.stem}"
        permission = {"actions": [each["action"] for each in role["actions"]], "notActions": role["notActions"]}
        properties = {
            "roleName": role["name"],
            "description": role["description"],
            "assignableScopes": [f"/subscriptions/{ids.SUBSCRIPTION_ID}"],
            "permissions": [permission],
        }
        definitions.append({"id": definition, "name": path.stem, "properties": properties})
        for number, scope in enumerate(at[role["assignableScope"]], start=1):
            granted = {"roleDefinitionId": definition, "principalId": ids.PRINCIPAL_ID, "scope": scope}
            assignments.append({"id": f"{scope}/providers/{ASSIGNMENT}/{path.stem}-{number}", "properties": granted})
    return {"roleDefinitions": definitions, "roleAssignments": assignments}
