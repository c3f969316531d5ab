"""Resource groups: made at once, deleted with everything in them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from local.azure import errors, ids
from local.azure.arm import Arm, Call, Reply
from local.azure.errors import ArmError
from local.azure.operations import FAILED, Operation
from local.azure.resources import locks, shapes, tags
from local.azure.resources.kind import LOCATIONS, plain_location
from local.azure.store import Json, Resource

TYPE = "Microsoft.Resources/resourceGroups"
_RETRY_AFTER = 15
_NAME = re.compile(r"^[\w.()-]{1,90}$")
# what has to go before what, when a group is deleted
_ORDER = (
    "microsoft.compute/virtualmachines",
    "microsoft.compute/disks",
    "microsoft.network/applicationgateways",
    "microsoft.network/networkinterfaces",
    "microsoft.network/virtualnetworkgateways",
    "microsoft.network/privateendpoints",
    "microsoft.network/loadbalancers",
    "microsoft.network/virtualnetworks",
)


def show(resource: Resource) -> Json:
    """A group."""
    return {"id": resource.id, "name": resource.name, "type": TYPE} | resource.doc


def get(arm: Arm, group_id: str) -> Resource:
    """The group, or 404 ResourceGroupNotFound."""
    found = arm.store.get(group_id)
    if found is None:
        raise errors.resource_group_not_found(ids.group_of(group_id))
    return found


def put(arm: Arm, call: Call, group_id: str) -> Reply:
    """201 or 200, done at once."""
    group = ids.group_of(group_id)
    if not _NAME.match(group) or group.endswith("."):
        raise errors.by_gateway(
            400,
            "InvalidResourceGroup",
            f"The provided resource group name '{group}' is invalid: it has at most 90 letters, digits, '-', '.', '(', "
            "')' or '_' and doesn't end with a '.'.",
        )
    shapes.check(call.body)
    tags.check(call.body.get("tags"))
    existing = arm.store.get(group_id)
    if existing is not None and existing.properties.get("provisioningState") == "Deleting":
        raise errors.resource_group_being_deleted(group)
    location = str(call.body.get("location") or "")
    if not location:
        raise errors.by_gateway(400, "LocationRequired", "The location property is required for this definition.")
    if plain_location(location) not in LOCATIONS:
        raise errors.by_gateway(
            400,
            "LocationNotAvailableForResourceGroup",
            f"The provided location '{location}' is not available for resource group. List of available regions is "
            f"'{','.join(LOCATIONS)}'.",
        )
    if existing is not None and existing.location != plain_location(location):
        raise errors.by_gateway(
            409,
            "InvalidResourceGroupLocation",
            f"Invalid resource group location '{location}'. The Resource group already exists in location "
            f"'{existing.location}'.",
        )
    doc: Json = {"location": plain_location(location)}
    if call.body.get("tags") is not None:
        doc["tags"] = dict(call.body["tags"])
    doc["properties"] = {"provisioningState": "Succeeded"}
    stored = arm.store.put(Resource(existing.id if existing else group_id, TYPE, doc))
    return Reply(200 if existing else 201, show(stored))


def patch(arm: Arm, call: Call, group_id: str) -> Reply:
    """The tags."""
    found = get(arm, group_id)
    tags.check(call.body.get("tags"))
    changed = arm.store.change(found, tags=dict(call.body.get("tags") or {}))
    return Reply(200, show(changed))


def delete(arm: Arm, call: Call, group_id: str) -> Reply:
    """202 with a Location; a missing group is 404, a second delete joins the first."""
    found = get(arm, group_id)
    running = next((each for each in arm.operations.running() if ids.key(each.target) == found.key), None)
    if running is not None:
        return Reply(202, None, _poll_headers(arm, running, call.host))
    held = [each for each in locks.listed_at(arm, found.id) if each.properties.get("level") in locks.LEVELS]
    if held:
        scopes = ",".join(locks.scope_of(each) for each in held)
        raise errors.by_gateway(
            409,
            "ScopeLocked",
            f"The scope '{found.name}' cannot perform delete operation because following scope(s) are locked: '{scopes}'. "
            "Please remove the lock and try again.",
        )
    operation = arm.operations.new(
        name="DeleteResourceGroup",
        verb="delete",
        method=call.method,
        path=call.path,
        target=found.id,
        location=found.location,
        form="group",
        api_version=call.api_version,
        seconds=20,
        retry_after=_RETRY_AFTER,
        state_meanwhile="Deleting",
    )
    arm.operations.start(operation)
    arm.store.change(found, properties={"provisioningState": "Deleting"})
    return Reply(202, None, _poll_headers(arm, operation, call.host))


def _poll_headers(arm: Arm, operation: Operation, host: str) -> dict[str, str]:
    url = f"https://{host}/subscriptions/{ids.subscription_of(operation.target)}/operationresults/{operation.id}"
    return {
        "Location": f"{url}?api-version={operation.api_version}",
        **arm.clock.first_retry_after(_RETRY_AFTER),
    }


def poll(arm: Arm, call: Call, operation: Operation) -> Reply:
    """202 while it runs, 200 when all is gone, 409 with the blocking resource's error otherwise (1.5 [R])."""
    if operation.running:
        return Reply(202, None, _poll_headers(arm, operation, call.host))
    if operation.status == FAILED:
        return Reply(409, operation.error)
    return Reply(200)


def finish(arm: Arm, operation: Operation, delete_now: Mapping[str, object]) -> None:
    """Delete what is in it in an order that lets it go, and the group when nothing is left."""
    found = arm.store.get(operation.target)
    if found is None:
        return
    blocked = None if operation.error is None else ArmError(409, operation.error["code"], operation.error["message"])
    blocking = found.id
    for resource in sorted(_inside(arm, found.id), key=_place):
        kind = delete_now.get(resource.type.lower())
        if blocked is not None or arm.store.get(resource.id) is None or kind is None:
            continue
        try:
            kind.blocks_delete(arm, resource)  # type: ignore[attr-defined]
        except ArmError as error:
            blocked, blocking = error, resource.id
            continue
        kind.removed(arm, resource, operation)  # type: ignore[attr-defined]
        arm.store.delete(resource.id)
    if blocked is None:
        arm.store.delete(found.id)
        return
    arm.store.change(found, properties={"provisioningState": "Succeeded"})
    operation.status = FAILED
    operation.error = _blocked_body(arm, found.name, blocking, blocked)
    arm.operations.save(operation)


def _inside(arm: Arm, group_id: str) -> list[Resource]:
    return [
        each for each in arm.store.all() if each.key.startswith(ids.key(group_id) + "/") and each.id.count("/") == 8
    ]


def _place(resource: Resource) -> tuple[int, int]:
    kind = resource.type.lower()
    return (_ORDER.index(kind) if kind in _ORDER else len(_ORDER), resource.seq)


def _blocked_body(arm: Arm, group: str, blocking: str, error: ArmError) -> Json:
    return {
        "Error": {
            "Code": "ResourceGroupDeletionBlocked",
            "Message": f"Deletion of resource group '{group}' failed as resources with identifiers '{blocking}' could "
            "not be deleted. The provisioning state of the resource group will be rolled back. The tracking Id is "
            f"'{arm.new_guid()}'. Please check audit logs for more details.",
            "Details": [{"Code": None, "Target": blocking, "Message": json.dumps(error.body())}],
        }
    }
