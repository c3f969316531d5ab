"""azd's hooks around `azd down`. Both can be repeated.

before     stops when spokes are left or the records are locked (FORCE_DOWN=true: goes on); notes whose roles to remove
after      removes what doesn't stand in a resource group: role assignments on hub and subscription, role definitions
"""

import json
import sys
from pathlib import Path
from typing import Any

from calls import api, arm, error_of, function_key, setting, stop

AUTHORIZATION = "2022-04-01"
ROLES = "providers/Microsoft.Authorization"
NOTE = Path(".azure") / setting("AZURE_ENV_NAME", "default") / "roles-to-remove.json"


def before() -> None:
    force = setting("FORCE_DOWN") == "true"
    if not force:
        _stop_when_spokes_are_left()
    if setting("APP_RECORDS_LOCKED").lower() == "true":
        stop(
            f"The account of the records ({setting('APP_RECORDS_ACCOUNT')}) has a lock, and neither it nor its resource group "
            "can be deleted. If the records may go: `azd env set LOCK_RECORDS false`, delete the lock with\n"
            f"  az lock delete --name keep-the-records --resource-group {setting('AZURE_RESOURCE_GROUP')} "
            f"--resource {setting('APP_RECORDS_ACCOUNT')} --resource-type Microsoft.Storage/storageAccounts\n"
            "then `azd env set APP_RECORDS_LOCKED false` and `azd down` again."
        )
    note = {
        "principal": setting("APP_PRINCIPAL_ID"),
        "suffix": setting("APP_ROLE_SUFFIX"),
        "subscriptions": [each for each in setting("APP_SUBSCRIPTION_IDS").split(",") if each],
    }
    if note["subscriptions"]:
        NOTE.parent.mkdir(parents=True, exist_ok=True)
        NOTE.write_text(json.dumps(note), encoding="utf-8")


def _stop_when_spokes_are_left() -> None:
    if not setting("API_URL"):
        return  # no deployment has ever succeeded
    key, why = function_key()
    status, answer = api("/spokes?limit=1", key)
    if status != 200 or "total" not in answer:
        stop(
            f"The app doesn't say which spokes there are ({status}): {why or error_of(answer)}\n"
            "If none are left, or they may lose their records: FORCE_DOWN=true azd down"
        )
    if answer["total"]:
        stop(
            f"{answer['total']} spokes are left. Their sites and peerings in the hub would stay behind without an owner: delete "
            "them first (DELETE /api/spokes/{id}). To go on all the same: FORCE_DOWN=true azd down"
        )


def after() -> None:
    if not NOTE.exists():
        print("There are no roles to remove.")
        return
    note = json.loads(NOTE.read_text(encoding="utf-8"))
    # Assignments first: a role that is assigned can't be deleted.
    for subscription in note["subscriptions"]:
        scope = f"/subscriptions/{subscription}/{ROLES}"
        for assignment in _listed(f"{scope}/roleAssignments?$filter=principalId%20eq%20'{note['principal']}'"):
            _delete(assignment["id"])
    for subscription in note["subscriptions"]:
        for role in _listed(f"/subscriptions/{subscription}/{ROLES}/roleDefinitions?$filter=type%20eq%20'CustomRole'"):
            if role["properties"]["roleName"].endswith(f" ({note['suffix']})"):
                _delete(role["id"])
    NOTE.unlink()


def _listed(path: str) -> list[dict[str, Any]]:
    """Every page of a list."""
    found: list[dict[str, Any]] = []
    while path:
        status, answer = arm("GET", path, AUTHORIZATION)
        if status != 200:
            stop(f"{path} can't be read ({status}): {error_of(answer)}\nThen run `azd hooks run postdown` again.")
        found += answer["value"]
        path = answer.get("nextLink") or ""
    return found


def _delete(resource_id: str) -> None:
    status, answer = arm("DELETE", resource_id, AUTHORIZATION)
    if status not in (200, 204, 404):
        stop(f"{resource_id} can't be deleted ({status}): {error_of(answer)}\nThen run `azd hooks run postdown` again.")
    print(f"Deleted {resource_id}")


if __name__ == "__main__":
    {"before": before, "after": after}[sys.argv[1]]()
