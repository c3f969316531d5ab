"""Application Gateways: written whole, and a later PUT supersedes the one that runs.

ARM takes no lock: both PUTs are accepted, the earlier operation ends Canceled, and the later document wins without any
merge.
"""

from __future__ import annotations

from typing import ClassVar

from local.azure import errors, ids
from local.azure.arm import Arm, Call, Reply
from local.azure.ids import ResourceId
from local.azure.operations import Operation
from local.azure.resources import gateway_document, gateway_network, gateway_rules, virtual_network
from local.azure.resources.kind import Kind
from local.azure.store import Json, Resource


class ApplicationGateway(Kind):
    """Microsoft.Network/applicationGateways."""

    type: ClassVar[str] = gateway_document.TYPE
    operation_noun: ClassVar[str] = "ApplicationGateway"
    put_seconds: ClassVar[float] = 40
    put_retry_after: ClassVar[float] = 10
    read_only: ClassVar[frozenset[str]] = Kind.read_only | {"operationalState", "defaultPredefinedSslPolicy"}

    def check_free(self, arm: Arm, call: Call, target: ResourceId, verb: str) -> None:
        """Never busy for a PUT, unless it is being deleted."""
        running = arm.operations.holding(str(target))
        if running is not None and running.verb == "delete":
            raise errors.retryable_lock(running.name, running.id, str(target), 10)

    def check(self, arm: Arm, call: Call, target: ResourceId, existing: Resource | None) -> None:
        """The whole document."""
        known = gateway_document.certificate_names(existing.properties) if existing else set()
        gateway_rules.check(arm, str(target), call.body, call.api_version, known)
        gateway_rules.check_isolation(arm, str(target), call.body, new=existing is None)
        gateway_network.check(arm, str(target), call.body, existing)

    def become(self, arm: Arm, call: Call, target: ResourceId, existing: Resource | None) -> Json:
        """With ids and back-references on every part. Certificates given by id without data stay [R]."""
        properties = super().become(arm, call, target, existing)
        sku = properties.get("sku") or call.body.get("sku")
        if sku:
            properties["sku"] = {"family": "Generation_1"} | sku
        properties["operationalState"] = (
            "Running" if existing and existing.properties.get("operationalState") == "Running" else "Stopped"
        )
        properties["defaultPredefinedSslPolicy"] = "AppGwSslPolicy20220101"
        properties.setdefault("privateEndpointConnections", [])
        gateway_id = existing.id if existing else self.written_id(target)
        _keep_certificates(properties, existing)
        return gateway_document.decorated(gateway_id, properties)

    def store(self, arm: Arm, call: Call, target: ResourceId, existing: Resource | None) -> Resource:
        """What serves traffic until the operation has succeeded is what was last provisioned."""
        applied = None
        if existing is not None:
            applied = existing.hidden.get("applied") or existing.properties
        stored = super().store(arm, call, target, existing)
        isolated = existing is None or bool(existing.hidden.get("isolated"))
        return arm.store.change(stored, hidden=stored.hidden | {"applied": applied, "isolated": isolated})

    def start(
        self, arm: Arm, call: Call, resource: Resource, verb: str, seconds: float, retry_after: float, **more: object
    ) -> Operation:
        """The operation that runs is cancelled and superseded."""
        running = arm.operations.holding(resource.id)
        operation = super().start(arm, call, resource, verb, seconds, retry_after, **more)
        if running is not None:
            virtual_network.superseded(arm, running, operation)
        return operation

    def provisioned(self, arm: Arm, resource: Resource, operation: Operation) -> None:
        """It serves the new document. A PUT starts a stopped one."""
        hidden = {name: value for name, value in resource.hidden.items() if name != "applied"}
        arm.store.change(resource, hidden=hidden, properties=resource.properties | {"operationalState": "Running"})

    def acted(self, arm: Arm, resource: Resource, operation: Operation) -> None:
        """Started or stopped."""
        state = "Running" if operation.data.get("action") == "start" else "Stopped"
        arm.store.change(resource, properties=resource.properties | {"operationalState": state})

    def act(self, arm: Arm, call: Call, target: ResourceId, action: str) -> Reply:
        """Start, stop, backend health: 202 and a Location ([R])."""
        found = self.find(arm, target)
        if action.lower() not in ("start", "stop", "backendhealth"):
            return super().act(arm, call, target, action)
        self.check_free(arm, call, target, "action")
        health = action.lower() == "backendhealth"
        name = "BackendHealthOperation" if health else f"{action.capitalize()}ApplicationGatewayOperation"
        operation = arm.operations.new(
            name=name,
            verb="action",
            method=call.method,
            path=call.path,
            target=found.id,
            location=found.location,
            form=self.form,
            api_version=call.api_version,
            seconds=5 if health else 20,
            retry_after=10,
            holds=[] if health else [found.id],
            data={"action": action.lower()},
        )
        arm.operations.start(operation)
        headers = arm.operations.first_headers(operation, call.host)
        if health:
            del headers["Azure-AsyncOperation"]
        return Reply(202, None, headers)

    def finish(self, arm: Arm, operation: Operation) -> None:
        """Asking for backend health changes nothing."""
        if operation.data.get("action") != "backendhealth":
            super().finish(arm, operation)

    def show(self, arm: Arm, resource: Resource, call: Call | None = None) -> Json:
        """One etag and one state on every part."""
        state = arm.state_of(resource)
        shown = super().show(arm, resource, call)
        shown["properties"] = gateway_document.stamped(shown["properties"], resource.etag, state)
        return shown


def _keep_certificates(properties: Json, existing: Resource | None) -> None:
    """A certificate that is named without its data stays as it is; its data is never shown."""
    for collection in gateway_document.CERTIFICATES:
        before = {
            each["name"].lower(): each for each in (existing.properties.get(collection) if existing else None) or []
        }
        for each in properties.get(collection) or []:
            inner = each.setdefault("properties", {})
            kept = (before.get(str(each["name"]).lower()) or {}).get("properties") or {}
            if inner.get("data"):
                inner["publicCertData"] = inner["data"]
            elif "publicCertData" in kept:
                inner["publicCertData"] = kept["publicCertData"]
            if "keyVaultSecretId" in kept and not inner.get("data"):
                inner.setdefault("keyVaultSecretId", kept["keyVaultSecretId"])


def backend_health(arm: Arm, resource: Resource) -> Json:
    """What `backendhealth` answers in the end: an address that a running VM has is healthy, others are not."""
    pools = []
    properties = resource.properties
    for rule in properties.get("requestRoutingRules") or []:
        inner = rule["properties"]
        if not inner.get("backendAddressPool") or not inner.get("backendHttpSettings"):
            continue
        key = ids.key(inner["backendAddressPool"]["id"])
        pool = next((each for each in properties["backendAddressPools"] if ids.key(each["id"]) == key), None)
        servers = [_server(arm, each) for each in ((pool or {}).get("properties") or {}).get("backendAddresses") or []]
        pools.append(
            {
                "backendAddressPool": {"id": inner["backendAddressPool"]["id"]},
                "backendHttpSettingsCollection": [
                    {"backendHttpSettings": {"id": inner["backendHttpSettings"]["id"]}, "servers": servers}
                ],
            }
        )
    return {"backendAddressPools": pools}


def _server(arm: Arm, address: Json) -> Json:
    text = str(address.get("ipAddress") or address.get("fqdn") or "")
    for nic in arm.store.of_type("Microsoft.Network/networkInterfaces"):
        for each in nic.properties.get("ipConfigurations") or []:
            if each["properties"].get("privateIPAddress") != text:
                continue
            for vm in arm.store.referrers(nic.id, "Microsoft.Compute/virtualMachines"):
                if vm.hidden.get("power") == "running" and vm.properties.get("provisioningState") == "Succeeded":
                    return {"address": text, "ipConfiguration": {"id": each["id"]}, "health": "Healthy"}
    return {
        "address": text,
        "health": "Unhealthy",
        "healthProbeLog": "Time taken by the backend to respond to application gateway's health probe is more than the "
        "timeout threshold in the probe setting.",
    }
