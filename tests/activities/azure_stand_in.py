"""What tests do at the far side: plant and look at resources, order faults, let time pass; rows of runs and spokes."""

from dataclasses import dataclass, replace
from typing import Any

import httpx

from shared.data import as_data
from shared.saga.outcomes import Call
from shared.saga.policy import Policy
from shared.saga.steps import STEP_NUMBERS
from shared.spoke.plan import SpokePlan
from shared.spoke.records import SPOKES_TABLE, RunRow, SpokeRow
from shared.tables.client import table
from shared.tables.codec import as_entity
from shared.tables.records import Records

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ2k4mC6v5nAqGmEcnB7MEIVJ0pZfqO9yP0dZ2l2l2V test"


@dataclass(frozen=True)
class LocalAzure:
    """The stand-in's own endpoints."""

    client: httpx.Client
    subscription_id: str

    def reset(self) -> None:
        self._ok(self.client.post("/_local/reset"))

    def save(self, name: str) -> None:
        self._ok(self.client.post("/_local/save", json={"name": name}))

    def restore(self, name: str) -> None:
        self._ok(self.client.post("/_local/restore", json={"name": name}))

    def plant(self, *documents: dict[str, Any]) -> None:
        self._ok(self.client.put("/_local/resources", json=list(documents)))

    def remove(self, resource_id: str) -> None:
        self._ok(self.client.delete("/_local/resources", params={"id": resource_id}))

    def resources(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ok(self.client.get("/_local/resources"))
        return found

    def find(self, resource_id: str) -> dict[str, Any] | None:
        return next((each for each in self.resources() if each["id"].lower() == resource_id.lower()), None)

    def requests(self, method: str | None = None) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ok(
            self.client.get("/_local/requests", params={"method": method} if method else {})
        )
        return found

    def forget_requests(self) -> None:
        self.client.delete("/_local/requests")

    def fault(self, **fault: Any) -> None:
        self._ok(self.client.post("/_local/faults", json=fault))

    def advance(self, seconds: float) -> None:
        self._ok(self.client.post("/_local/clock", json={"advance": seconds}))

    def advance_to(self, moment: float) -> None:
        self._ok(self.client.post("/_local/clock", json={"until": moment}))

    def now(self) -> float:
        return float(self._ok(self.client.get("/_local/clock"))["now"])

    def quota(self, **change: Any) -> None:
        self._ok(self.client.post("/_local/quota", json=change))

    def limits(self, **change: Any) -> None:
        self._ok(self.client.post("/_local/limits", json=change))

    def id_of(self, group: str, kind: str, name: str) -> str:
        return f"/subscriptions/{self.subscription_id}/resourceGroups/{group}/providers/{kind}/{name}"

    def put_on_gateway_subnet(self, name: str, resource: dict[str, Any], hub_vnet: str = "") -> None:
        """Plants a network security group or a route table, and uses it on the subnet of the hub's gateway."""
        self.plant(resource)
        hub = self.find(hub_vnet or self.id_of("hub-rg", "Microsoft.Network/virtualNetworks", "hub-vnet"))
        assert hub is not None
        subnet = next(each for each in hub["properties"]["subnets"] if each["name"] == "agw-subnet")
        subnet["properties"] |= {name: {"id": resource["id"]}}
        self.plant(subnet)

    def enforce(self, roles: dict[str, Any]) -> None:
        """Has these role definitions and assignments in force, and no others."""
        self._ok(self.client.put("/_local/roles", json=roles))

    def grant(self, role: str, scope: str) -> None:
        """Assigns one of the app's roles, by the name of its file, on one more scope."""
        roles = self._ok(self.client.get("/_local/roles"))
        given = next(each for each in roles["roleAssignments"] if each["properties"]["roleDefinitionId"].endswith(role))
        assignment_id = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{role}"
        more = {"id": assignment_id, "properties": given["properties"] | {"scope": scope}}
        roles["roleAssignments"].append(more)
        self._ok(self.client.put("/_local/roles", json=roles))

    def take(self, action: str) -> None:
        """Takes one action out of all roles of the app."""
        roles = self._ok(self.client.get("/_local/roles"))
        permissions = [each for role in roles["roleDefinitions"] for each in role["properties"]["permissions"]]
        for permission in permissions:
            permission["actions"] = [each for each in permission["actions"] if each.lower() != action.lower()]
        self._ok(self.client.put("/_local/roles", json=roles))

    def lock(self, scope: str, level: str, name: str = "a-lock") -> None:
        self.plant(
            {
                "id": f"{scope}/providers/Microsoft.Authorization/locks/{name}",
                "name": name,
                "type": "Microsoft.Authorization/locks",
                "properties": {"level": level},
            }
        )

    @staticmethod
    def _ok(answer: httpx.Response) -> Any:
        assert answer.status_code == 200, answer.text
        return answer.json()


def part_names(plan: SpokePlan) -> list[str]:
    """The properties of a plan that name a part of the spoke: a client is none, and its host name is a reservation."""
    return sorted(name for name in dir(plan) if name.endswith("_name") and name not in ("client_name", "host_name"))


def a_plan(spoke_id: int = 1, made_by: str | None = None, **changes: Any) -> SpokePlan:
    """A plan as POST makes it."""
    block = f"10.11.{spoke_id}"
    plan = SpokePlan(
        spoke_id=spoke_id,
        client_name=f"Client {spoke_id}",
        client=f"client-{spoke_id}",
        made_by=made_by or f"deploy-client-{spoke_id}-1-aaaa",
        location="eastus",
        resource_group="hub-rg",
        vnet_name=f"spoke-vnet-{spoke_id}",
        address_prefix=f"{block}.0/24",
        subnet_prefixes=tuple(f"{block}.{start}/26" for start in (0, 64, 128, 192)),
        vm_name=f"vm-{spoke_id}",
        vm_size="Standard_B2s",
        admin_username="azureuser",
        ssh_public_key=KEY,
        host_name=f"client-{spoke_id}.spokes.example.com",
        backend_pool_name=f"client-{spoke_id}-pool",
        routing_rule_name=f"client-{spoke_id}-route",
    )
    return replace(plan, **changes)


# As `local.recipes.app_settings` names it.
LOCAL_TASK_HUB = "HubSpokeV1"


def a_run(plan: SpokePlan, **changes: Any) -> RunRow:
    """The run of a plan, in progress."""
    run = RunRow(
        deployment_id=plan.made_by,
        kind="deploy",
        status="in_progress",
        spoke_id=plan.spoke_id,
        client_name=plan.client_name,
        plan=plan,
        policy=as_data(Policy()),
        created_at="2026-01-01T00:00:00.000Z",
        task_hub=LOCAL_TASK_HUB,
    )
    return replace(run, **changes)


def recorded(run: RunRow, **spoke_changes: Any) -> RunRow:
    """Writes a run and its spoke into the tables."""
    records = Records()
    spoke = SpokeRow(
        spoke_id=run.spoke_id,
        client_name=run.client_name,
        status=run.status,
        deployment_id=run.deployment_id,
        plan=run.plan,
        slot=run.spoke_id,
        request={},
        created_at=run.created_at,
    )
    client = table(SPOKES_TABLE).client
    client.upsert_entity(as_entity(run, records.hub_key))
    client.upsert_entity(as_entity(replace(spoke, **spoke_changes), records.hub_key))
    found = records.run(run.deployment_id)
    assert found is not None
    return found


def call_of(run: RunRow, name: str, **given: Any) -> dict[str, Any]:
    """The payload with which `run_step` calls an activity."""
    return as_data(Call(run.deployment_id, run.spoke_id, name, STEP_NUMBERS.get(name), given=given))
