"""Network security groups, and their rules as children of their own."""

from __future__ import annotations

from typing import Any, ClassVar

from local.azure import errors
from local.azure.arm import Arm, Call, Reply
from local.azure.ids import ResourceId
from local.azure.resources import security_rules, shapes
from local.azure.resources.kind import Kind
from local.azure.store import Json, Resource


class NetworkSecurityGroup(Kind):
    """Microsoft.Network/networkSecurityGroups."""

    type: ClassVar[str] = "Microsoft.Network/networkSecurityGroups"
    operation_noun: ClassVar[str] = "NetworkSecurityGroup"

    def check(self, arm: Arm, call: Call, target: ResourceId, existing: Resource | None) -> None:
        """The rules."""
        security_rules.check_all(str(target), (call.body.get("properties") or {}).get("securityRules") or [])

    def become(self, arm: Arm, call: Call, target: ResourceId, existing: Resource | None) -> Json:
        """The rules, each with its id. Everything that is left out is cleared."""
        properties = super().become(arm, call, target, existing)
        for name in ("defaultSecurityRules", "subnets", "networkInterfaces"):
            properties.pop(name, None)
        nsg_id = existing.id if existing else self.written_id(target)
        properties["securityRules"] = security_rules.become(nsg_id, properties.get("securityRules") or [])
        return properties

    def blocks_delete(self, arm: Arm, resource: Resource) -> None:
        """On a subnet or a NIC [I]."""
        users = [each.id for each in arm.store.referrers(resource.id)]
        if users:
            raise errors.by_network(
                "InUseNetworkSecurityGroupCannotBeDeleted",
                f"Network security group {resource.id} cannot be deleted because it is in use by the following "
                f"resources: {', '.join(users)}. In order to delete the Network security group, remove the association "
                "with the resource(s).",
            )

    def show(self, arm: Arm, resource: Resource, call: Call | None = None) -> Json:
        """With the default rules and what it is on."""
        shown = super().show(arm, resource, call)
        properties = shown["properties"]
        properties["securityRules"] = [
            each | {"etag": resource.etag} for each in resource.properties.get("securityRules") or []
        ]
        properties["defaultSecurityRules"] = security_rules.defaults(resource.id, resource.etag)
        for collection, kind in (
            ("networkInterfaces", "Microsoft.Network/networkInterfaces"),
            ("subnets", "Microsoft.Network/virtualNetworks/subnets"),
        ):
            if users := arm.store.referrers(resource.id, kind):
                properties[collection] = [{"id": each.id} for each in users]
        return shown


class SecurityRule(Kind):
    """Microsoft.Network/networkSecurityGroups/securityRules: kept in their group."""

    type: ClassVar[str] = security_rules.TYPE
    operation_noun: ClassVar[str] = "SecurityRule"
    has_location: ClassVar[bool] = False
    has_tags: ClassVar[bool] = False

    def _group(self, arm: Arm, target: ResourceId) -> Resource:
        self.check_group(arm, target)
        group = arm.store.get(str(target.parent))
        if group is None and target.parent is not None:
            raise errors.resource_not_found(target.parent.type_and_name, target.group)
        assert group is not None
        return group

    @staticmethod
    def _find(group: Resource, target: ResourceId) -> Json | None:
        rules: list[Json] = group.properties.get("securityRules") or []
        return next((each for each in rules if each["name"].lower() == target.name.lower()), None)

    def get(self, arm: Arm, call: Call, target: ResourceId) -> Reply:
        """One rule."""
        group = self._group(arm, target)
        rule = self._find(group, target)
        if rule is None:
            raise errors.child_not_found(str(target))
        return Reply(200, rule | {"etag": group.etag}, {"ETag": group.etag})

    def put(self, arm: Arm, call: Call, target: ResourceId) -> Reply:
        """Write one rule into its group."""
        group = self._group(arm, target)
        shapes.check(call.body)
        before = self._find(group, target)
        others = [each for each in group.properties.get("securityRules") or [] if each is not before]
        rule: dict[str, Any] = {"name": target.name, "properties": call.body.get("properties") or {}}
        return self._write(arm, call, target, group, [*others, rule], 200 if before else 201)

    def delete(self, arm: Arm, call: Call, target: ResourceId) -> Reply:
        """Take one rule out of its group."""
        group = self._group(arm, target)
        before = self._find(group, target)
        if before is None:
            return Reply(204)
        others = [each for each in group.properties.get("securityRules") or [] if each is not before]
        return self._write(arm, call, target, group, others, 202)

    def _write(
        self, arm: Arm, call: Call, target: ResourceId, group: Resource, rules: list[Json], status: int
    ) -> Reply:
        self.check_free(arm, call, target.parent or target, "put")
        security_rules.check_all(group.id, rules)
        properties = group.properties | {"securityRules": security_rules.become(group.id, rules)}
        changed = arm.store.change(group, etag=arm.new_etag(), properties=properties)
        verb = "delete" if status == 202 else "put"
        name = self.operation_name(verb)
        lasts = (self.put_seconds, self.put_retry_after)
        if status == 202:
            lasts = (self.delete_seconds, self.delete_retry_after)
        operation = NetworkSecurityGroup().start(arm, call, changed, "put", *lasts, name=name)
        headers = arm.operations.first_headers(operation, call.host)
        if status == 202:
            headers["Location"] = arm.operations.signed_url(operation, call.host, results=True)
            return Reply(202, None, headers)
        rule = self._find(changed, target) or {}
        shown = rule | {"etag": changed.etag}
        shown["properties"] = shown["properties"] | {"provisioningState": "Updating"}
        return Reply(status, shown, headers)

    def shown_list(self, arm: Arm, parent: ResourceId) -> list[Json]:
        """All rules of a group."""
        group = arm.store.get(str(parent))
        if group is None:
            raise errors.resource_not_found(parent.type_and_name, parent.group)
        return [each | {"etag": group.etag} for each in group.properties.get("securityRules") or []]
