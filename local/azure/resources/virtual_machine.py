"""Virtual machines: made late, failing late, and what they leave behind.

An OS disk is there as soon as the PUT is accepted. A VM whose creation fails stays, Failed, with its disk and its NIC;
the NIC is reserved for it for 180 s.
"""

from __future__ import annotations

import copy
import hashlib
from typing import ClassVar

from local.azure import catalogue, errors, ids
from local.azure.arm import Arm, Call, Reply
from local.azure.ids import ResourceId
from local.azure.operations import Operation
from local.azure.resources import data_disks, disk, peering_rules, shapes, tags, vm_rules
from local.azure.resources.kind import Kind, plain_location
from local.azure.store import Json, Resource

RESERVED_SECONDS = 180
_POWER = {"start": "running", "restart": "running", "poweroff": "stopped", "deallocate": "deallocated"}


class VirtualMachine(Kind):
    """Microsoft.Compute/virtualMachines."""

    type: ClassVar[str] = "Microsoft.Compute/virtualMachines"
    form: ClassVar[str] = "compute"
    operation_noun: ClassVar[str] = "VirtualMachine"
    put_seconds: ClassVar[float] = 45
    put_retry_after: ClassVar[float] = 10
    delete_seconds: ClassVar[float] = 40
    read_only: ClassVar[frozenset[str]] = frozenset({"provisioningState", "vmId", "instanceView", "timeCreated"})

    def check_name(self, target: ResourceId) -> None:
        """Linux names."""
        vm_rules.check_name(target)

    def check_free(self, arm: Arm, call: Call, target: ResourceId, verb: str) -> None:
        """A delete preempts what runs; another write is a conflict."""
        if verb == "delete" or arm.operations.holding(str(target)) is None:
            return
        raise errors.conflict()

    def check_preconditions(self, arm: Arm, call: Call, resource_id: str, existing: Resource | None) -> None:
        """The compute provider's words."""
        given, shown = call.headers.get("if-match"), existing.etag if existing else None
        stale = given and given not in ("*", shown)
        if stale or (call.headers.get("if-none-match") == "*" and existing is not None):
            raise errors.ArmError(
                412,
                "PreconditionFailed",
                f"The condition specified using HTTP conditional header(s) is not met for resource '{resource_id}'.",
            )

    def check(self, arm: Arm, call: Call, target: ResourceId, existing: Resource | None) -> None:
        """Everything that is known at once."""
        created = existing if existing and not existing.hidden.get("failed_creation") else None
        vm_rules.check(arm, call, target, plain_location(str(call.body.get("location"))), created)
        data_disks.check(arm, str(target), call.body.get("properties") or {})

    def become(self, arm: Arm, call: Call, target: ResourceId, existing: Resource | None) -> Json:
        """As a GET shows it: without secrets, with the defaults and the disk's id."""
        properties = super().become(arm, call, target, existing)
        before = existing.properties if existing else {}
        profile = properties.get("osProfile") or copy.deepcopy(before.get("osProfile")) or {}
        profile.pop("customData", None)
        profile.pop("adminPassword", None)
        linux = profile.setdefault("linuxConfiguration", {})
        linux.setdefault("provisionVMAgent", True)
        linux.setdefault("patchSettings", {"patchMode": "ImageDefault", "assessmentMode": "ImageDefault"})
        profile |= {"secrets": [], "allowExtensionOperations": True, "requireGuestProvisionSignal": True}
        properties["osProfile"] = profile
        storage = copy.deepcopy(before.get("storageProfile") or {}) | (properties.get("storageProfile") or {})
        storage["osDisk"] = self._os_disk(target, storage.get("osDisk") or {}, before)
        image = catalogue.image_of(storage.get("imageReference") or {})
        if image is not None:
            storage["imageReference"]["exactVersion"] = image[2]
        properties["storageProfile"] = storage
        storage["dataDisks"] = data_disks.shown(target, properties)
        properties["vmId"] = before.get("vmId") or arm.new_guid()
        properties["timeCreated"] = before.get("timeCreated") or arm.clock.timestamp()
        return properties

    def _os_disk(self, target: ResourceId, given: Json, before: Json) -> Json:
        old = (before.get("storageProfile") or {}).get("osDisk") or {}
        suffix = hashlib.sha256(str(target).lower().encode()).hexdigest()[:32]
        name = given.get("name") or old.get("name") or f"{target.name}_disk1_{suffix}"
        disk_id = ResourceId(
            target.subscription.lower(), target.group.upper(), "Microsoft.Compute", ("disks",), (name,)
        )
        asked = (old.get("managedDisk") or {}) | (given.get("managedDisk") or {})
        managed = {"storageAccountType": "Standard_LRS"} | asked | {"id": str(disk_id)}
        return (
            {"osType": "Linux", "caching": "ReadWrite", "deleteOption": "Detach", "diskSizeGB": 30}
            | old
            | given
            | {
                "name": name,
                "managedDisk": managed,
            }
        )

    def store(self, arm: Arm, call: Call, target: ResourceId, existing: Resource | None) -> Resource:
        """Keep what isn't shown beside it."""
        stored = super().store(arm, call, target, existing)
        hidden = dict(stored.hidden)
        data = (call.body.get("properties") or {}).get("osProfile", {}).get("customData")
        if data is not None:
            hidden["custom_data"] = data
        hidden["creating"] = existing is None or bool(hidden.get("failed_creation"))
        return arm.store.change(stored, hidden=hidden)

    def start(
        self, arm: Arm, call: Call, resource: Resource, verb: str, seconds: float, retry_after: float, **more: object
    ) -> Operation:
        """Creating is a state of its own; a taken disk name shows only in the operation."""
        running = arm.operations.holding(resource.id)
        if running is not None:
            arm.operations.cancel(
                running,
                {
                    "code": "OperationPreempted",
                    "message": "Operation execution has been preempted by a more recent operation.",
                },
            )
            if running.verb == "put" and resource.hidden.get("creating"):
                self._fail_creation(arm, resource)
                resource = arm.store.get(resource.id) or resource
        if verb == "put":
            if resource.hidden.get("creating") and not resource.hidden.get("failed_creation"):
                more["state"] = "Creating"
            data_disks.make(arm, resource)
            if resource.hidden.get("creating"):
                more["error"] = self._make_disk(arm, resource)
                resource = arm.store.get(resource.id) or resource
                self._attach(arm, resource)
        return super().start(arm, call, resource, verb, seconds, retry_after, **more)

    @staticmethod
    def _make_disk(arm: Arm, resource: Resource) -> Json | None:
        os_disk = resource.properties["storageProfile"]["osDisk"]
        disk_id = os_disk["managedDisk"]["id"]
        if str(os_disk.get("createOption")).lower() == "attach":
            return None
        if arm.store.get(disk_id) is not None:
            if resource.hidden.get("made_disk") != disk_id:
                arm.store.change(resource, hidden=resource.hidden | {"taken_disk": disk_id})
            return {
                "code": "ConflictingUserInput",
                "message": f"Disk {os_disk['name']} already exists in resource group {ids.group_of(disk_id)}. Only "
                "CreateOption.Attach is supported.",
                "target": disk_id,
            }
        disk.make_os_disk(arm, resource, os_disk)
        hidden = {name: value for name, value in resource.hidden.items() if name != "taken_disk"}
        arm.store.change(resource, hidden=hidden | {"made_disk": disk_id})
        return None

    @staticmethod
    def _attach(arm: Arm, resource: Resource) -> None:
        for nic_id in vm_rules.nic_ids(resource.properties):
            nic = arm.store.get(nic_id)
            if nic is not None:
                number = hashlib.sha256(nic.key.encode()).hexdigest()[:6].upper()
                mac = f"00-0D-3A-{number[:2]}-{number[2:4]}-{number[4:]}"
                arm.store.change(nic, etag=arm.new_etag(), properties=nic.properties | {"macAddress": mac})

    def provisioned(self, arm: Arm, resource: Resource, operation: Operation) -> None:
        """It runs."""
        hidden = {name: value for name, value in resource.hidden.items() if name not in ("creating", "failed_creation")}
        hidden.setdefault("power", "running")
        arm.store.change(resource, hidden=hidden)

    def provisioning_failed(self, arm: Arm, resource: Resource, operation: Operation) -> None:
        """It stays Failed, and its NIC is reserved for it."""
        if resource.hidden.get("creating"):
            self._fail_creation(arm, resource, operation.ended)

    @staticmethod
    def _fail_creation(arm: Arm, resource: Resource, since: float | None = None) -> None:
        hidden = resource.hidden | {"failed_creation": True, "power": "stopped"}
        arm.store.change(
            resource,
            hidden=hidden,
            properties=resource.properties | {"provisioningState": "Failed"},
        )
        until = (arm.clock.now() if since is None else since) + arm.clock.scaled(RESERVED_SECONDS)
        for nic_id in vm_rules.nic_ids(resource.properties):
            nic = arm.store.get(nic_id)
            if nic is not None:
                reservation = {"reserved_for": resource.id, "reserved_until": until}
                arm.store.change(nic, hidden=nic.hidden | reservation)

    def removed(self, arm: Arm, resource: Resource, operation: Operation) -> None:
        """Disks and NICs stay, unless their delete option says otherwise ([R])."""
        os_disk = (resource.properties.get("storageProfile") or {}).get("osDisk") or {}
        if os_disk.get("deleteOption") == "Delete" and "managedDisk" in os_disk:
            own = arm.store.get(os_disk["managedDisk"]["id"])
            if own is not None and resource in disk.holders(arm, own):
                arm.store.delete(own.id)
        data_disks.remove(arm, resource)
        for reference in (resource.properties.get("networkProfile") or {}).get("networkInterfaces") or []:
            nic = arm.store.get(str(reference.get("id")))
            if nic is None:
                continue
            if (reference.get("properties") or {}).get("deleteOption") == "Delete":
                arm.store.delete(nic.id)
                continue
            properties = {name: value for name, value in nic.properties.items() if name != "macAddress"}
            arm.store.change(nic, etag=arm.new_etag(), properties=properties)
            for each in nic.properties.get("ipConfigurations") or []:
                subnet = arm.store.get(str((each["properties"].get("subnet") or {}).get("id")))
                if subnet is not None:
                    peering_rules.touch(arm, peering_rules.vnet_of(subnet))

    def patch(self, arm: Arm, call: Call, target: ResourceId) -> Reply:
        """200 and an operation, Updating."""
        found = self.find(arm, target)
        shapes.check(call.body)
        tags.check(call.body.get("tags"))
        self.check_preconditions(arm, call, found.id, found)
        self.check_free(arm, call, target, "put")
        wanted = call.body.get("properties") or {}
        vm_rules.refuse_changes(wanted, found)
        parts: Json = {"properties": _merged(found.properties, wanted)}
        vm_rules.check_capacity(arm, found.id, parts["properties"], found.location, found)
        data_disks.check(arm, found.id, parts["properties"])
        parts["properties"]["storageProfile"] |= {"dataDisks": data_disks.shown(target, parts["properties"])}
        if call.body.get("tags") is not None:
            parts["tags"] = dict(call.body["tags"])
        changed = arm.store.change(found, etag=self.next_etag(arm, found), **parts)
        data_disks.make(arm, changed)
        operation = super().start(arm, call, changed, "put", 10, self.put_retry_after, name="UpdateVirtualMachine")
        return Reply(200, self.show(arm, changed, call), arm.operations.first_headers(operation, call.host))

    def act(self, arm: Arm, call: Call, target: ResourceId, action: str) -> Reply:
        """Start, deallocate, power off, restart: 202 and an operation. The boot log's address: at once."""
        found = self.find(arm, target)
        if action.lower() == "retrievebootdiagnosticsdata":
            return Reply(200, _boot_diagnostics(found))
        if action.lower() not in _POWER:
            return super().act(arm, call, target, action)
        self.check_free(arm, call, target, "action")
        operation = super().start(
            arm, call, found, "action", 30, 10, name=action, data={"action": action.lower()}, state="Updating"
        )
        return Reply(202, None, arm.operations.first_headers(operation, call.host))

    def acted(self, arm: Arm, resource: Resource, operation: Operation) -> None:
        """Its power state has changed."""
        power = _POWER[str(operation.data["action"])]
        arm.store.change(resource, hidden=resource.hidden | {"power": power})

    def next_etag(self, arm: Arm, existing: Resource | None) -> str:
        """The compute provider's is a number in quotes."""
        number = existing.etag.strip('"') if existing else "0"
        return f'"{int(number) + 1 if number.isdecimal() else 1}"'

    def show(self, arm: Arm, resource: Resource, call: Call | None = None) -> Json:
        """With the instance view when it is asked for."""
        shown = super().show(arm, resource, call)
        shown["etag"] = shown.pop("etag")
        if call is not None and "instanceview" in call.query.get("$expand", "").lower():
            shown["properties"]["instanceView"] = instance_view(arm, resource)
        return shown


def _boot_diagnostics(vm: Resource) -> Json:
    """Addresses of two blobs in the storage that Azure manages; nothing is served there."""
    if not ((vm.properties.get("diagnosticsProfile") or {}).get("bootDiagnostics") or {}).get("enabled"):
        raise errors.ArmError(
            409,
            "OperationNotAllowed",
            f"Boot diagnostics is not enabled for the VM '{vm.name}'. Please enable it to retrieve its data.",
        )
    number = hashlib.sha256(vm.key.encode()).hexdigest()[:16]
    blob = f"https://md-{number}.z1.blob.storage.azure.net/bootdiagnostics-{number}/{vm.name}.{vm.properties['vmId']}"
    signed = "sv=2018-03-28&sr=b&sig=local&se=9999-01-01T00%3A00%3A00Z&sp=r"
    return {
        "consoleScreenshotBlobUri": f"{blob}.screenshot.bmp?{signed}",
        "serialConsoleLogBlobUri": f"{blob}.serialconsole.log?{signed}",
    }


def _merged(before: Json, changes: Json) -> Json:
    merged = dict(before)
    for name, value in changes.items():
        inner = merged.get(name)
        merged[name] = _merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return merged


def instance_view(arm: Arm, resource: Resource) -> Json:
    """What only the instance view tells: power, agent, disks, boot diagnostics."""
    state = arm.state_of(resource)
    at = arm.clock.timestamp()
    labels = {"Succeeded": "Provisioning succeeded", "Failed": "Provisioning failed"}
    statuses = [
        {
            "code": f"ProvisioningState/{state.lower()}",
            "level": "Error" if state == "Failed" else "Info",
            "displayStatus": labels.get(state, state),
            "time": at,
        }
    ]
    power = resource.hidden.get("power")
    if power:
        statuses.append({"code": f"PowerState/{power}", "level": "Info", "displayStatus": f"VM {power}"})
    os_disk = resource.properties["storageProfile"]["osDisk"]
    view: Json = {
        "computerName": (resource.properties.get("osProfile") or {}).get("computerName"),
        "hyperVGeneration": "V2",
        "disks": [{"name": os_disk["name"], "statuses": [statuses[0]]}],
        "statuses": statuses,
    }
    if power == "running":
        view |= {"osName": "ubuntu", "osVersion": "22.04"}
        ready = {
            "code": "ProvisioningState/succeeded",
            "level": "Info",
            "displayStatus": "Ready",
            "message": "Guest Agent is running",
            "time": at,
        }
        view["vmAgent"] = {"vmAgentVersion": "2.11.1.12", "statuses": [ready], "extensionHandlers": []}
    if ((resource.properties.get("diagnosticsProfile") or {}).get("bootDiagnostics") or {}).get("enabled"):
        view["bootDiagnostics"] = {}
    return view
