"""The rows of the table `Spokes`: keys, fields, and their way in and out of Azure Table Storage.

One partition per hub, so that one transaction covers what belongs together. Row keys: `spoke:{id}`,
`run:{deployment_id}`, `step:{deployment_id}:{n}`, `client:{name}`, `vm:{name}`, `host:{name}`,
`block:{address}-{length}`, `vnet:{name}`, `pool:{name}`, `rule:{name}`, `slot:{nnn}` or `slot:{gateway}:{nnn}`,
`key:{sha256}`, `ticks:{task hub}`. Another partition, `installation`, has what all hubs share (`shared.tables.places`).
"""

import json
from dataclasses import dataclass, field
from typing import Any

from shared.spoke.plan import SECRETS, SpokePlan

SPOKES_TABLE = "Spokes"
GATEWAY_SITES_TABLE = "GatewaySites"
HUB_TURNS_TABLE = "HubTurns"

# A string property holds 64 KiB of UTF-16; JSON is written in ASCII, so 30,000 characters are always safe.
CHUNK = 30_000

TERMINAL = frozenset({"completed", "failed", "rollback_failed", "deleted"})
WELL = frozenset({"completed", "deleted"})
MAY_ACT = frozenset({"in_progress"})
# A run of kind `deploy` in one of these builds, or will; a spoke in one of the others is never deployed again.
STILL_BUILDS = frozenset({"accepted", "in_progress"})
NEVER_RETRIED = frozenset({"completed", "deleting"})
MAY_UNDO = frozenset({"rolling_back", "deleting"})


def spoke_key(spoke_id: int) -> str:
    return f"spoke:{spoke_id}"


def run_key(deployment_id: str) -> str:
    return f"run:{deployment_id}"


def step_key(deployment_id: str, number: int) -> str:
    return f"step:{deployment_id}:{number:02d}"


def client_key(client: str) -> str:
    return f"client:{client}"


def vm_key(vm_name: str) -> str:
    return f"vm:{vm_name.lower()}"


def host_key(host_name: str) -> str:
    return f"host:{host_name}"


def block_key(address_prefix: str) -> str:
    return f"block:{address_prefix.replace('/', '-')}"


def vnet_key(name: str) -> str:
    return f"vnet:{name.lower()}"


def pool_key(name: str) -> str:
    return f"pool:{name.lower()}"


def rule_key(name: str) -> str:
    return f"rule:{name.lower()}"


def slot_key(slot: int, gateway: str = "") -> str:
    """gateway: the name, where the hub has several."""
    return f"slot:{gateway.lower()}:{slot:03d}" if gateway else f"slot:{slot:03d}"


def slot_of(row_key: str, first_gateway: str) -> tuple[str, int]:
    """`(gateway, number)` of a slot's key; one without a gateway is of the hub's first one."""
    _, *gateway, number = row_key.split(":")
    return gateway[0] if gateway else first_gateway.lower(), int(number)


def ticks_key(task_hub: str) -> str:
    return f"ticks:{task_hub.lower().replace('/', ':')}"


def json_columns(name: str, value: Any) -> dict[str, str]:
    """JSON as one or more string properties `name`, `name_1`, …, each short enough for the service."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True)
    chunks = [text[start : start + CHUNK] for start in range(0, len(text), CHUNK)] or [""]
    return {name if number == 0 else f"{name}_{number}": chunk for number, chunk in enumerate(chunks)}


def from_json_columns(entity: dict[str, Any], name: str, default: Any = None) -> Any:
    """What `packed` wrote under this name."""
    if not entity.get(name):
        return default
    text, number = entity[name], 1
    while f"{name}_{number}" in entity:
        text += entity[f"{name}_{number}"]
        number += 1
    return json.loads(text)


@dataclass(frozen=True)
class RunRow:
    """One run: a deployment, a delete, or the finishing of a rollback.

    kind: `deploy`, `delete` or `rollback`.  status: `accepted`, `in_progress`, `rolling_back`, `deleting`, or terminal:
    `completed`, `failed`, `rollback_failed`, `deleted`.  error: `Failure.public()`.  left_behind: a list of
    `{"resource", "step", "reason"}`.  result: what the steps found out (`private_ip`).

    task_hub: the one whose timers look after it (`shared.saga.instances`); empty in rows of older versions.  execution: how
    often its orchestration was started from its rows, from 1; a call that carries another number does nothing.
    begun_by: the id that the orchestration of this execution drew when it began, at `resumed_at`.  missing_since: when a
    timer first found no instance of it.  restart: why and how far it is being started again, see `shared.recovery.runs.liveness.Restart`.
    """

    deployment_id: str
    kind: str
    status: str
    spoke_id: int
    client_name: str
    plan: SpokePlan
    policy: dict[str, float]
    created_at: str
    started_at: str | None = None
    completed_at: str | None = None
    cancel_requested: bool = False
    force: bool = False
    error: dict[str, Any] | None = None
    left_behind: list[dict[str, Any]] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)
    note: str | None = None
    task_hub: str = ""
    execution: int = 1
    begun_by: str | None = None
    resumed_at: str | None = None
    missing_since: str | None = None
    restart: dict[str, Any] | None = None
    confirmed: bool = False
    """Of an ended run: its orchestration has ended, too, and says the same (or nobody can ask it any more)."""
    etag: str | None = None

    @property
    def stalled(self) -> dict[str, Any] | None:
        """`{"since", "step"}` from the time when it was found standing still until it has been started again."""
        restart = self.restart or {}
        if restart.get("cause") != "stands_still":
            return None
        return {"since": restart["since"], "step": restart["step"]}

    @property
    def has_idle_secrets(self) -> bool:
        """Whether it was read with secrets that nothing will be built from any more: a row of an older version."""
        return self.plan.has_secrets and not self._builds

    @property
    def _builds(self) -> bool:
        return self.kind == "deploy" and self.status in STILL_BUILDS

    def as_entity(self, hub_key: str) -> dict[str, Any]:
        """The row as it is stored: the plan's secrets only while something is built from them."""
        plan = self.plan if self._builds else self.plan.without_secrets()
        return {
            "PartitionKey": hub_key,
            "RowKey": run_key(self.deployment_id),
            "deployment_id": self.deployment_id,
            "kind": self.kind,
            "status": self.status,
            "spoke_id": self.spoke_id,
            "client_name": self.client_name,
            "created_at": self.created_at,
            "started_at": self.started_at or "",
            "completed_at": self.completed_at or "",
            "cancel_requested": self.cancel_requested,
            "force": self.force,
            "note": self.note or "",
            "task_hub": self.task_hub,
            "execution": self.execution,
            "begun_by": self.begun_by or "",
            "resumed_at": self.resumed_at or "",
            "missing_since": self.missing_since or "",
            "confirmed": self.confirmed,
            **json_columns("restart", self.restart),
            **json_columns("plan", plan.as_data()),
            **json_columns("policy", self.policy),
            **json_columns("error", self.error),
            **json_columns("left_behind", self.left_behind),
            **json_columns("result", self.result),
        }

    @classmethod
    def from_entity(cls, entity: dict[str, Any], etag: str | None = None) -> "RunRow":
        return cls(
            deployment_id=entity["deployment_id"],
            kind=entity["kind"],
            status=entity["status"],
            spoke_id=entity["spoke_id"],
            client_name=entity["client_name"],
            plan=SpokePlan.from_data(from_json_columns(entity, "plan")),
            policy=from_json_columns(entity, "policy", {}),
            created_at=entity["created_at"],
            started_at=entity.get("started_at") or None,
            completed_at=entity.get("completed_at") or None,
            cancel_requested=entity.get("cancel_requested", False),
            force=entity.get("force", False),
            error=from_json_columns(entity, "error"),
            left_behind=from_json_columns(entity, "left_behind", []),
            result=from_json_columns(entity, "result", {}),
            note=entity.get("note") or None,
            task_hub=entity.get("task_hub", ""),
            execution=_number(entity.get("execution")),
            begun_by=entity.get("begun_by") or None,
            resumed_at=entity.get("resumed_at") or None,
            missing_since=entity.get("missing_since") or None,
            restart=from_json_columns(entity, "restart"),
            confirmed=entity.get("confirmed", False),
            etag=etag,
        )


def _number(execution: Any) -> int:
    """Older versions kept another thing, a text, in this column."""
    return execution if isinstance(execution, int) else 1


@dataclass(frozen=True)
class SpokeRow:
    """A spoke as its callers know it; `deployment_id` is its newest run, `made_by` (in the plan) the one that built it.

    slot: its place on the gateway.  request: the caller's body, for a retry.  first_run: the run of the POST that it began
    with; a retry makes a new run and keeps it, so that an Idempotency-Key finds its spoke.
    """

    spoke_id: int
    client_name: str
    status: str
    deployment_id: str
    plan: SpokePlan
    slot: int
    request: dict[str, Any]
    created_at: str
    completed_at: str | None = None
    error: dict[str, Any] | None = None
    left_behind: list[dict[str, Any]] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)
    first_run: str = ""
    etag: str | None = None

    @property
    def is_of_its_deployment(self) -> bool:
        """Whether its newest run is the one that builds it or has built it: then its moments are that run's."""
        return self.deployment_id == self.plan.made_by

    @property
    def has_idle_secrets(self) -> bool:
        """Whether it was read with secrets that no retry will need: a row of an older version."""
        return self.plan.has_secrets or self._kept_request != self.request

    @property
    def _kept_request(self) -> dict[str, Any]:
        left_out = SECRETS if self.status in NEVER_RETRIED else frozenset()
        return {name: value for name, value in self.request.items() if name not in left_out}

    def as_entity(self, hub_key: str) -> dict[str, Any]:
        """The row as it is stored: the request's secrets only while a retry may need them, the plan's never."""
        return {
            "PartitionKey": hub_key,
            "RowKey": spoke_key(self.spoke_id),
            "spoke_id": self.spoke_id,
            "client_name": self.client_name,
            "status": self.status,
            "deployment_id": self.deployment_id,
            "slot": self.slot,
            "first_run": self.first_run or self.plan.made_by,
            "created_at": self.created_at,
            "completed_at": self.completed_at or "",
            **json_columns("plan", self.plan.without_secrets().as_data()),
            **json_columns("request", self._kept_request),
            **json_columns("error", self.error),
            **json_columns("left_behind", self.left_behind),
            **json_columns("result", self.result),
        }

    @classmethod
    def from_entity(cls, entity: dict[str, Any], etag: str | None = None) -> "SpokeRow":
        plan = SpokePlan.from_data(from_json_columns(entity, "plan"))
        return cls(
            spoke_id=entity["spoke_id"],
            client_name=entity["client_name"],
            status=entity["status"],
            deployment_id=entity["deployment_id"],
            plan=plan,
            slot=entity["slot"],
            request=from_json_columns(entity, "request", {}),
            created_at=entity["created_at"],
            completed_at=entity.get("completed_at") or None,
            error=from_json_columns(entity, "error"),
            left_behind=from_json_columns(entity, "left_behind", []),
            result=from_json_columns(entity, "result", {}),
            first_run=entity.get("first_run") or plan.made_by,
            etag=etag,
        )


@dataclass(frozen=True)
class StepRow:
    """The progress of one step or undo. status: `pending`, `in_progress`, `completed`, `failed` or `cancelled`.

    due: when its next call is due while it is in progress, to a minute or so; empty when none is.  execution: the
    execution of the run that wrote this.  outcome: how it ended (`outcome_as_data`), for an execution that comes after.
    """

    deployment_id: str
    number: int
    step_name: str
    status: str
    attempts: int
    message: str
    timestamp: str
    started_at: str
    due: str = ""
    execution: int = 1
    outcome: dict[str, Any] | None = None
    etag: str | None = None

    def as_entity(self, hub_key: str) -> dict[str, Any]:
        return {
            "PartitionKey": hub_key,
            "RowKey": step_key(self.deployment_id, self.number),
            "deployment_id": self.deployment_id,
            "number": self.number,
            "step_name": self.step_name,
            "status": self.status,
            "attempts": self.attempts,
            "message": self.message[:CHUNK],
            "timestamp_text": self.timestamp,
            "started_at": self.started_at,
            "due": self.due,
            "execution": self.execution,
            **json_columns("outcome", self.outcome),
        }

    @classmethod
    def from_entity(cls, entity: dict[str, Any], etag: str | None = None) -> "StepRow":
        return cls(
            deployment_id=entity["deployment_id"],
            number=entity["number"],
            step_name=entity["step_name"],
            status=entity["status"],
            attempts=entity["attempts"],
            message=entity["message"],
            timestamp=entity["timestamp_text"],
            started_at=entity["started_at"],
            due=entity.get("due", ""),
            execution=_number(entity.get("execution")),
            outcome=from_json_columns(entity, "outcome"),
            etag=etag,
        )
