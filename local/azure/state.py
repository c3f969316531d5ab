"""Everything together: the state as a whole, planting of resources, and bringing it back to the start."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from local.azure import access, hub, ids
from local.azure.arm import Arm
from local.azure.clock import Clock
from local.azure.faults import Faults
from local.azure.hub import Hub
from local.azure.identity import Identity
from local.azure.journal import Journal
from local.azure.operations import Operation, Operations
from local.azure.resources import KINDS, gateway_document, locks, peering_rules, resource_group, subnet_rules
from local.azure.rights import Rights
from local.azure.store import Everything, Json, Resource, Store
from local.azure.throttle import Throttle

_VNET = "microsoft.network/virtualnetworks"
_SETTINGS = (
    "quotas",
    "restrictions",
    "throttle",
    "buckets",
    "nic_operations",
    "gateway_limit",
    "page_size",
    "subscriptions",
    "denied_subscriptions",
    "roles",
)


class State:
    """The store and what works on it."""

    def __init__(
        self, path: Path, time_scale: float, gateway_limit: int, hubs: tuple[Hub, ...], roles: Json | None = None
    ) -> None:
        self._hubs = hubs
        self._saved: dict[str, Everything] = {}
        self.store = Store(path)
        with self.store.transaction():
            clock = Clock(self.store, time_scale)
            operations = Operations(self.store, clock)
            self.arm = Arm(self.store, clock, operations, Rights(self.store, roles), gateway_limit, hub.limits(hubs))
            operations.finish = self._finish
            self.faults = Faults(self.store)
            self.journal = Journal(self.store)
            self.identity = Identity(self.store)
            self.throttle = Throttle(self.store, clock)
            self._plant_hubs(self.store.meta("planted", []))

    def _plant_hubs(self, planted: list[str] | bool) -> None:
        """planted: what earlier starts made; True where that was the one hub of a state before there were several."""
        if planted is True:
            first = Hub()
            planted = [first.vnet_id, first.id("applicationGateways", first.gateways[0].name)]
        self.store.set_meta("planted", hub.plant(self.arm, self._hubs, planted or []))

    def _finish(self, operation: Operation) -> None:
        if operation.form == "group":
            resource_group.finish(self.arm, operation, KINDS)
            return
        identity = ids.parse(operation.target)
        kind = KINDS.get(identity.type.lower()) if identity else None
        if kind is not None:
            kind.finish(self.arm, operation)

    def reset(self) -> None:
        """The starting hubs, no operations, faults or journal, all settings as they were; tokens stay good."""
        self.store.clear()
        self.arm.operations.clear()
        self.faults.clear()
        self.journal.clear()
        for name in _SETTINGS:
            if self.store.meta(name) is not None:
                self.store.set_meta(name, None)
        self.store.set_meta("clock_moved", 0.0)
        self.throttle.forget()
        self._plant_hubs([])

    def save(self, name: str) -> None:
        """Remember everything but the journal as it is now, until this process ends."""
        self._saved[name] = self.store.everything()

    def restore(self, name: str) -> bool:
        """Everything as it was then, the time included where it stands still, and an empty journal; False when there is no such
        name."""
        if name not in self._saved:
            return False
        self.store.on_undo(self._load)
        self.store.replace_everything(self._saved[name])
        self._load()
        self.journal.clear()
        self.throttle.forget()
        return True

    def _load(self) -> None:
        self.store.load()
        self.arm.operations.load()
        self.faults.load()

    def plant(self, document: Json) -> Resource:
        """Keep a whole document as it is, unchecked but for its id, and that it can be shown: ValueError otherwise."""
        planted = self._planted(copy.deepcopy(document))
        try:
            self._shown(planted)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"'{planted.id}' can't be shown: {error!r}") from None
        return planted

    def _planted(self, document: Json) -> Resource:
        resource_id = str(document.pop("id", "")).rstrip("/")
        kind = self._type_of(resource_id)
        etag = str(document.pop("etag", None) or self.arm.new_etag())
        for name in ("name", "type"):
            document.pop(name, None)
        properties = document.setdefault("properties", {})
        for name, kind_of_value in (("properties", dict), ("tags", dict), ("location", str)):
            if not isinstance(document.get(name) or kind_of_value(), kind_of_value):
                raise ValueError(f"'{name}' of '{resource_id}' is no {kind_of_value.__name__}")
        group = ids.group_of(resource_id)
        group_id = ids.group_id(group, ids.subscription_of(resource_id))
        if group and kind != resource_group.TYPE and self.store.get(group_id) is None:
            location = document.get("location", hub.LOCATION)
            doc = {"location": location, "properties": {"provisioningState": "Succeeded"}}
            self.store.put(Resource(group_id, resource_group.TYPE, doc))
        if kind.lower() == gateway_document.TYPE.lower():
            document["properties"] = gateway_document.decorated(resource_id, properties)
        hidden: Json = {"power": "running"} if kind.lower() == "microsoft.compute/virtualmachines" else {}
        if kind.lower() == _VNET:
            return self._plant_vnet(resource_id, kind, document, etag)
        if kind.lower() == subnet_rules.TYPE.lower():
            _name_delegations(resource_id, properties)
        return self.store.put(Resource(resource_id, kind, document, etag, hidden))

    def _plant_vnet(self, resource_id: str, kind: str, document: Json, etag: str) -> Resource:
        properties = document["properties"]
        subnets = properties.pop("subnets", None) or []
        peerings = properties.pop("virtualNetworkPeerings", None) or []
        for child in self.store.children(resource_id):
            self.store.delete(child.id)
        planted = self.store.put(Resource(resource_id, kind, document, etag))
        for collection, children in (("subnets", subnets), ("virtualNetworkPeerings", peerings)):
            for child in children:
                self.plant(child | {"id": f"{resource_id}/{collection}/{child['name']}"})
        return planted

    def remove(self, resource_id: str) -> bool:
        """Take a resource and its children away, unchecked."""
        found = self.store.get(resource_id)
        if found is None:
            return False
        for each in self.store.all():
            if each.key == found.key or each.key.startswith(found.key + "/"):
                self.store.delete(each.id)
        return True

    def shown(self) -> list[Json]:
        """Everything that is there, as GET would show it; children are in their parents."""
        return [self._shown(each) for each in self.store.all() if each.id.count("/") <= 8 or each.type == locks.TYPE]

    def _shown(self, resource: Resource) -> Json:
        kind = KINDS.get(resource.type.lower())
        if kind is not None:
            return kind.show(self.arm, resource)
        if resource.type == resource_group.TYPE:
            return resource_group.show(resource)
        return {"id": resource.id, "name": resource.name, "type": resource.type} | resource.doc

    def _type_of(self, resource_id: str) -> str:
        if "/providers/microsoft.authorization/locks/" in resource_id.lower():
            return locks.TYPE
        parts = resource_id.split("/")
        if len(parts) == 5 and parts[3].lower() == "resourcegroups":
            return resource_group.TYPE
        identity = ids.parse(resource_id)
        if identity is None or identity.subscription.lower() not in access.known(self.arm):
            raise ValueError(f"not the id of a resource in a subscription that is known here: '{resource_id}'")
        known = {each.type.lower(): each.type for each in KINDS.values()} | {
            peering_rules.TYPE.lower(): peering_rules.TYPE,
            subnet_rules.TYPE.lower(): subnet_rules.TYPE,
        }
        return known.get(identity.type.lower(), identity.type)


def _name_delegations(subnet_id: str, properties: Any) -> None:
    for each in properties.get("delegations") or []:
        each.setdefault("id", f"{subnet_id}/delegations/{each.get('name')}")
