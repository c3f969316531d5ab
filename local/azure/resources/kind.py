"""What all resource types have in common: the way from a request to a document, an operation and an answer.

A type's module says what differs: what its PUT validates (`check`), what it becomes (`become`), what blocks its delete
(`blocks_delete`), and what happens when its operations end.
"""

from __future__ import annotations

import copy
import re
from typing import ClassVar

from local.azure import errors, ids
from local.azure.arm import Arm, Call, Reply
from local.azure.ids import ResourceId
from local.azure.operations import FAILED, SUCCEEDED, Operation
from local.azure.resources import network_quotas, references, shapes, tags
from local.azure.store import Json, Resource

LOCATIONS = {
    "eastus": "East US",
    "eastus2": "East US 2",
    "westus": "West US",
    "westus2": "West US 2",
    "westus3": "West US 3",
    "centralus": "Central US",
    "northeurope": "North Europe",
    "westeurope": "West Europe",
    "uksouth": "UK South",
    "swedencentral": "Sweden Central",
    "germanywestcentral": "Germany West Central",
    "southeastasia": "Southeast Asia",
}

_NETWORK_NAME = re.compile(r"^\w$|^\w[\w.-]{0,78}\w$")


def plain_location(location: str) -> str:
    """`East US` and `eastus` are one place."""
    return location.replace(" ", "").lower()


class Kind:
    """One resource type."""

    type: ClassVar[str]
    form: ClassVar[str] = "network"
    operation_noun: ClassVar[str] = "Resource"
    put_seconds: ClassVar[float] = 3
    put_retry_after: ClassVar[float] = 3
    delete_seconds: ClassVar[float] = 5
    delete_retry_after: ClassVar[float] = 10
    has_location: ClassVar[bool] = True
    has_tags: ClassVar[bool] = True
    has_etag: ClassVar[bool] = True
    read_only: ClassVar[frozenset[str]] = frozenset({"provisioningState", "resourceGuid"})

    # -- what types override

    def check_name(self, target: ResourceId) -> None:
        """InvalidResourceName [I], and the lengths [D]."""
        if not _NETWORK_NAME.match(target.name):
            raise errors.by_network(
                "InvalidResourceName",
                f"Resource name {target.name} is invalid. The name can be up to 80 characters long. It must begin with "
                "a word character, and it must end with a word character or with '_'. The name may contain word "
                "characters or '.', '-', '_'.",
            )

    def check(self, arm: Arm, call: Call, target: ResourceId, existing: Resource | None) -> None:
        """Refuse a body that the provider refuses."""

    def become(self, arm: Arm, call: Call, target: ResourceId, existing: Resource | None) -> Json:
        """The properties that the body becomes, without provisioningState."""
        given = copy.deepcopy(call.body.get("properties") or {})
        return {name: value for name, value in given.items() if name not in self.read_only}

    def written(self, arm: Arm, call: Call, resource: Resource, existing: Resource | None) -> None:
        """What else changes at once when a PUT is accepted."""

    def provisioned(self, arm: Arm, resource: Resource, operation: Operation) -> None:
        """What else changes when a PUT's operation has succeeded."""

    def provisioning_failed(self, arm: Arm, resource: Resource, operation: Operation) -> None:
        """What else changes when a PUT's operation has failed."""

    def blocks_delete(self, arm: Arm, resource: Resource) -> None:
        """Refuse a delete that the provider refuses."""

    def removed(self, arm: Arm, resource: Resource, operation: Operation) -> None:
        """What else goes or changes when a delete has succeeded, before the resource itself is gone."""

    def acted(self, arm: Arm, resource: Resource, operation: Operation) -> None:
        """What an action (start, deallocate) leaves when its operation has succeeded."""

    def next_etag(self, arm: Arm, existing: Resource | None) -> str:
        """It changes with every PUT, and again when provisioning ends ([R])."""
        return arm.new_etag()

    def holds(self, arm: Arm, target: ResourceId) -> list[str]:
        """The ids that are busy while an operation on this one runs."""
        return [str(target)]

    def check_free(self, arm: Arm, call: Call, target: ResourceId, verb: str) -> None:
        """Refuse a write to what another operation is writing: 429 RetryableError ([R])."""
        operation = arm.operations.holding(str(target))
        if operation is not None:
            raise errors.retryable_lock(operation.name, operation.id, str(target), int(operation.retry_after) or 10)

    def put_operation_seconds(self, arm: Arm, call: Call, existing: Resource | None) -> float:
        """How long a PUT takes; 0 means that it is done when it is answered."""
        return self.put_seconds

    def show(self, arm: Arm, resource: Resource, call: Call | None = None) -> Json:
        """What GET answers."""
        properties = dict(resource.properties)
        state = arm.state_of(resource)
        shown: Json = {"name": resource.name, "id": resource.id}
        if self.has_etag:
            shown["etag"] = resource.etag
        shown["type"] = resource.type
        for part in ("location", "tags", "zones", "sku", "kind", "identity", "managedBy", "extendedLocation", "plan"):
            if part in resource.doc:
                shown[part] = resource.doc[part]
        shown["properties"] = {"provisioningState": state} | properties | {"provisioningState": state}
        return shown

    # -- the ways of a request

    def find(self, arm: Arm, target: ResourceId) -> Resource:
        """The resource, or ARM's 404: the gateway's for a missing top-level one, the provider's for a child."""
        self.check_group(arm, target)
        parent = target.parent
        if parent is not None and arm.store.get(str(parent)) is None:
            raise errors.resource_not_found(parent.type_and_name, target.group)
        found = arm.store.get(str(target))
        if found is not None:
            return found
        if parent is not None:
            raise errors.child_not_found(str(target))
        raise errors.resource_not_found(target.type_and_name, target.group)

    @staticmethod
    def check_group(arm: Arm, target: ResourceId) -> None:
        """Every method on anything in a missing group answers 404 ResourceGroupNotFound."""
        if arm.store.get(target.group_id) is None:
            raise errors.resource_group_not_found(target.group)

    @staticmethod
    def check_group_stays(arm: Arm, target: ResourceId) -> None:
        """Nothing is written into a group that is being deleted (its words are unverified)."""
        group = arm.store.get(target.group_id)
        if group is not None and group.properties.get("provisioningState") == "Deleting":
            raise errors.resource_group_being_deleted(group.name)

    def get(self, arm: Arm, call: Call, target: ResourceId) -> Reply:
        """GET."""
        found = self.find(arm, target)
        shown = self.show(arm, found, call)
        return Reply(200, shown, {"ETag": shown["etag"]} if shown.get("etag") else {})

    def put(self, arm: Arm, call: Call, target: ResourceId) -> Reply:
        """PUT: 201 for a new one, 200 for another, with the operation's address unless it is done at once."""
        self.check_group(arm, target)
        parent = target.parent
        if parent is not None and arm.store.get(str(parent)) is None:
            raise errors.resource_not_found(parent.type_and_name, target.group)
        existing = arm.store.get(str(target))
        self.check_group_stays(arm, target)
        self.check_name(target)
        self.check_envelope(call, target, existing)
        self.check_preconditions(arm, call, str(target), existing)
        self.check_free(arm, call, target, "put")
        self.check(arm, call, target, existing)
        if existing is None:
            place = plain_location(str(call.body.get("location") or ""))
            network_quotas.check(arm, self.type, target.subscription, place)
        seconds = self.put_operation_seconds(arm, call, existing)
        resource = self.store(arm, call, target, existing)
        self.written(arm, call, resource, existing)
        status = 200 if existing else 201
        if seconds == 0:
            return Reply(status, self.show(arm, arm.store.get(resource.id) or resource, call))
        operation = self.start(arm, call, resource, "put", seconds, self.put_retry_after)
        shown = self.show(arm, arm.store.get(resource.id) or resource, call)
        return Reply(status, shown, arm.operations.first_headers(operation, call.host))

    def store(self, arm: Arm, call: Call, target: ResourceId, existing: Resource | None) -> Resource:
        """Write down what a PUT asks for."""
        properties = self.become(arm, call, target, existing)
        before = existing.properties if existing else {}
        properties["provisioningState"] = "Succeeded"
        if "resourceGuid" in self.read_only:
            properties["resourceGuid"] = before.get("resourceGuid") or arm.new_guid()
        doc: Json = {"properties": properties}
        if self.has_location:
            doc["location"] = plain_location(call.body.get("location") or (existing.location if existing else ""))
        if self.has_tags and call.body.get("tags") is not None:
            doc["tags"] = dict(call.body["tags"])
        for part in ("zones", "sku", "identity", "plan"):
            if call.body.get(part) is not None:
                doc[part] = copy.deepcopy(call.body[part])
        hidden = dict(existing.hidden) if existing else {}
        hidden["operation"] = self.operation_name("put")
        hidden["api_version"] = call.api_version
        resource_id = existing.id if existing else self.written_id(target)
        return arm.store.put(Resource(resource_id, self.type, doc, self.next_etag(arm, existing), hidden))

    def written_id(self, target: ResourceId) -> str:
        """The id as it is kept: types in their own letter case, names as given."""
        namespace, *types = self.type.split("/")
        return str(ResourceId(target.subscription.lower(), target.group, namespace, tuple(types), target.names))

    def delete(self, arm: Arm, call: Call, target: ResourceId) -> Reply:
        """DELETE: 202 and an operation; 204 when there is nothing."""
        self.check_group(arm, target)
        found = arm.store.get(str(target))
        if found is None:
            return Reply(204)
        self.check_preconditions(arm, call, found.id, found)
        running = arm.operations.holding(found.id)
        if running is not None and running.verb == "delete" and ids.key(running.target) == found.key:
            return Reply(202, None, arm.operations.first_headers(running, call.host))
        self.check_free(arm, call, target, "delete")
        self.blocks_delete(arm, found)
        operation = self.start(arm, call, found, "delete", self.delete_seconds, self.delete_retry_after)
        return Reply(202, None, arm.operations.first_headers(operation, call.host))

    def patch(self, arm: Arm, call: Call, target: ResourceId) -> Reply:
        """PATCH of the tags: done at once."""
        found = self.find(arm, target)
        self.check_preconditions(arm, call, found.id, found)
        shapes.check(call.body)
        tags.check(call.body.get("tags"))
        changed = arm.store.change(found, etag=self.next_etag(arm, found), tags=dict(call.body.get("tags") or {}))
        return Reply(200, self.show(arm, changed, call))

    def act(self, arm: Arm, call: Call, target: ResourceId, action: str) -> Reply:
        """POST of an action."""
        raise errors.by_gateway(
            404,
            "InvalidResourceType",
            f"The resource type could not be found in the namespace '{target.namespace}' for api version "
            f"'{call.api_version}'.",
        )

    def list(self, arm: Arm, scope: str, parent: ResourceId | None) -> list[Resource]:
        """What a list holds, in the order of creation. scope: the id of the subscription or group that is listed."""
        if parent is not None:
            if arm.store.get(str(parent)) is None:
                raise errors.resource_not_found(parent.type_and_name, parent.group)
            return arm.store.children(str(parent), self.type)
        return arm.store.of_type(self.type, scope)

    # -- parts of them

    def operation_name(self, verb: str) -> str:
        """`PutSubnetOperation`."""
        return f"{'Put' if verb == 'put' else 'Delete'}{self.operation_noun}Operation"

    def start(
        self, arm: Arm, call: Call, resource: Resource, verb: str, seconds: float, retry_after: float, **more: object
    ) -> Operation:
        """Begin an operation on a resource."""
        target = ids.parse(resource.id)
        return arm.operations.start(
            arm.operations.new(
                name=str(more.pop("name", None) or self.operation_name(verb)),
                verb=verb,
                method=call.method,
                path=call.path,
                target=resource.id,
                location=resource.location or self.location_of(arm, resource),
                form=self.form,
                api_version=call.api_version,
                seconds=seconds,
                retry_after=retry_after,
                holds=self.holds(arm, target) if target else [resource.id],
                state_meanwhile=str(more.pop("state", None) or ("Deleting" if verb == "delete" else "Updating")),
                **more,
            )
        )

    @staticmethod
    def location_of(arm: Arm, resource: Resource) -> str:
        """A child is where its parent is."""
        identity = ids.parse(resource.id)
        parent = arm.store.get(str(identity.parent)) if identity and identity.parent else None
        return parent.location if parent else "eastus"

    def finish(self, arm: Arm, operation: Operation) -> None:
        """Let an operation that has ended take effect."""
        resource = arm.store.get(operation.target)
        if resource is None:
            return
        if operation.verb == "delete" and operation.status == SUCCEEDED:
            self.removed(arm, resource, operation)
            arm.store.delete(resource.id)
            return
        properties = resource.properties | {"provisioningState": FAILED if operation.status == FAILED else SUCCEEDED}
        resource = arm.store.change(resource, etag=self.next_etag(arm, resource), properties=properties)
        if operation.verb == "put" and operation.status == SUCCEEDED:
            self.provisioned(arm, resource, operation)
        elif operation.verb == "put":
            self.provisioning_failed(arm, resource, operation)
        elif operation.status == SUCCEEDED:
            self.acted(arm, resource, operation)

    def check_envelope(self, call: Call, target: ResourceId, existing: Resource | None) -> None:
        """Location and tags, which ARM checks before the provider sees the body."""
        if self.has_tags:
            tags.check(call.body.get("tags"))
        shapes.check(call.body)
        references.check_forms(call.body)
        if not self.has_location:
            return
        location = call.body.get("location")
        if not location or not isinstance(location, str):
            raise errors.by_gateway(400, "LocationRequired", "The location property is required for this definition.")
        if plain_location(location) not in LOCATIONS:
            raise errors.by_gateway(
                400,
                "LocationNotAvailableForResourceType",
                f"The provided location '{location}' is not available for resource type '{self.type}'. List of "
                f"available regions for the resource type is '{','.join(LOCATIONS)}'.",
            )
        if existing is not None and plain_location(location) != existing.location:
            raise errors.by_gateway(
                409,
                "InvalidResourceLocation",
                f"The resource '{target.name}' already exists in location '{existing.location}' in resource group "
                f"'{target.group}'. A resource with the same name cannot be created in location '{location}'. Please "
                "select a new resource name.",
            )

    def check_preconditions(self, arm: Arm, call: Call, resource_id: str, existing: Resource | None) -> None:
        """If-Match and If-None-Match (412 PreconditionFailed)."""
        given = call.headers.get("if-match")
        if given and given != "*" and (existing is None or given != existing.etag):
            raise errors.etag_mismatch(given, existing.etag if existing else "null", resource_id)
        if call.headers.get("if-none-match") == "*" and existing is not None:
            raise errors.by_network("PreconditionFailed", "Precondition failed.", 412)
