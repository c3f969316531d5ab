"""The rows of the table `Spokes`: keys and fields. `shared.tables.codec` reads and writes them.

One partition per hub, so that one transaction covers what belongs together. Row keys: `spoke:{id}`,
`run:{deployment_id}`, `step:{deployment_id}:{n}`, `client:{name}`, `vm:{name}`, `host:{name}`,
`block:{address}-{length}`, `vnet:{name}`; of a gateway `pool:{name}`, `rule:{name}` and `slot:{nnn}`, or `pool:{gateway}:{name}` and so on;
`key:{sha256}`, `ticks:{task hub}`, `durations:{kind}`. Another partition, `installation`, has what all hubs share
(`shared.tables.places`).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal, Self

from shared.spoke.plan import SECRETS, SpokePlan

SPOKES_TABLE = "Spokes"
GATEWAY_SITES_TABLE = "GatewaySites"
HUB_TURNS_TABLE = "HubTurns"

SpokeStatus = Literal[
    "accepted", "in_progress", "rolling_back", "deleting", "completed", "failed", "rollback_failed", "deleted"
]
StepStatus = Literal["pending", "in_progress", "completed", "failed", "cancelled"]
RunKind = Literal["deploy", "delete", "rollback"]

TERMINAL = frozenset({"completed", "failed", "rollback_failed", "deleted"})
WELL = frozenset({"completed", "deleted"})
MAY_ACT = frozenset({"in_progress"})
# A run of kind `deploy` in one of these builds, or will; a spoke in one of the others is never deployed again.
STILL_BUILDS = frozenset({"accepted", "in_progress"})
NEVER_RETRIED = frozenset({"completed", "deleting"})
MAY_UNDO = frozenset({"rolling_back", "deleting"})


# The row of a writer, in the partition of the rows that it writes.
WRITER_KEY = "writer"


def spoke_key(spoke_id: int) -> str:
    return f"spoke:{spoke_id}"


def run_key(deployment_id: str) -> str:
    return f"run:{deployment_id}"


def step_key(deployment_id: str, number: int) -> str:
    return f"step:{deployment_id}:{number:02d}"


def client_key(client: str) -> str:
    return f"client:{client}"


def block_key(address_prefix: str) -> str:
    return f"block:{address_prefix.replace('/', '-')}"


def vnet_key(name: str) -> str:
    return f"vnet:{name.lower()}"


def slot_key(slot: int, gateway: str = "") -> str:
    """gateway: the name, where the hub has several."""
    return _of_gateway("slot", f"{slot:03d}", gateway)


def _of_gateway(kind: str, name: str, gateway: str) -> str:
    return f"{kind}:{gateway.lower()}:{name}" if gateway else f"{kind}:{name}"


def slot_of(row_key: str, first_gateway: str) -> tuple[str, int]:
    """`(gateway, number)` of a slot's key; one without a gateway is of the hub's first one."""
    _, *gateway, number = row_key.split(":")
    return gateway[0] if gateway else first_gateway.lower(), int(number)


def exclusive_keys(plan: SpokePlan) -> list[tuple[str, str, str]]:
    """`(row key, field, value)` of what only one spoke can have, in the order in which a conflict names them."""
    return [
        (client_key(plan.client), "client_name", plan.client_name),
        (f"vm:{plan.vm_name.lower()}", "vm_name", plan.vm_name),
        (f"host:{plan.host_name}", "host_name", plan.host_name),
        (block_key(plan.address_prefix), "address_prefix", plan.address_prefix),
        (vnet_key(plan.vnet_name), "vnet_name", plan.vnet_name),
        *_names_on_gateway(plan, plan.gateway),
    ]


def _names_on_gateway(plan: SpokePlan, gateway: str) -> list[tuple[str, str, str]]:
    return [
        (_of_gateway("pool", plan.backend_pool_name.lower(), gateway), "backend_pool_name", plan.backend_pool_name),
        (_of_gateway("rule", plan.routing_rule_name.lower(), gateway), "routing_rule_name", plan.routing_rule_name),
    ]


def names_without_gateway(plan: SpokePlan) -> list[tuple[str, str, str]]:
    """What a spoke of the hub's first gateway takes as well: spokes from before there were several have no other rows."""
    return _names_on_gateway(plan, "") if plan.gateway else []


def ticks_key(task_hub: str) -> str:
    return f"ticks:{task_hub.lower().replace('/', ':')}"


def durations_key(kind: str) -> str:
    return f"durations:{kind}"


LongText = Annotated[str, "kept as JSON: it can be longer than a column holds"]


class Row(ABC):
    """What the rows of all tables have in common. Mixed into frozen dataclasses with an `etag`."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    etag: str | None

    @property
    @abstractmethod
    def row_key(self) -> str: ...

    def as_stored(self) -> Self:
        """The row as it is written."""
        return self


@dataclass(frozen=True)
class LeftBehind:
    """Something that a rollback or delete could not remove."""

    step: str
    resource: str | None
    reason: str


@dataclass(frozen=True)
class Stalled:
    """A run that stands still, until it has been started again from its rows."""

    since: str | None
    """When the call was due that never came."""
    step: str | None
    """Whose call; null when it is the orchestration itself."""


@dataclass(frozen=True)
class Restart:
    """Why a run is being started again from its rows, and how far that is.

    cause: `stands_still` or `broke_off`.  phase: `stopping`, then `starting` until the new execution has begun.
    at: when that phase began.  since: when the call was due that never came.  step: whose.
    """

    cause: str
    phase: str
    at: str
    since: str | None = None
    step: str | None = None


@dataclass(frozen=True)
class RunRow(Row):
    """One run: a deployment, a delete, or the finishing of a rollback.

    kind: `deploy`, `delete` or `rollback`.  status: `accepted`, `in_progress`, `rolling_back`, `deleting`, or terminal:
    `completed`, `failed`, `rollback_failed`, `deleted`.  error: `Failure.public()`.  left_behind: a list of
    `{"resource", "step", "reason"}`.  result: what the steps found out (`private_ip`).

    task_hub: the one whose timers look after it (`shared.saga.instances`); empty in rows of older versions.  execution: how
    often its orchestration was started from its rows, from 1; a call that carries another number does nothing.
    begun_by: the id that the orchestration of this execution drew when it began, at `resumed_at`.  missing_since: when a
    timer first found no instance of it.
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
    restart: Restart | None = None
    confirmed: bool = False
    """Of an ended run: its orchestration has ended, too, and says the same (or it can't be asked any more)."""
    etag: str | None = None

    @property
    def stalled(self) -> Stalled | None:
        """From the time when it was found standing still until it has been started again."""
        if self.restart is None or self.restart.cause != "stands_still":
            return None
        return Stalled(self.restart.since, self.restart.step)

    @property
    def has_idle_secrets(self) -> bool:
        """Whether it was read with secrets that nothing will be built from any more: a row of an older version."""
        return self.plan.has_secrets and not self._builds

    @property
    def _builds(self) -> bool:
        return self.kind == "deploy" and self.status in STILL_BUILDS

    @property
    def row_key(self) -> str:
        return run_key(self.deployment_id)

    def as_stored(self) -> "RunRow":
        """With the plan's secrets only while something is built from them."""
        return self if self._builds else replace(self, plan=self.plan.without_secrets())


@dataclass(frozen=True)
class SpokeRow(Row):
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "first_run", self.first_run or self.plan.made_by)

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

    @property
    def row_key(self) -> str:
        return spoke_key(self.spoke_id)

    def as_stored(self) -> "SpokeRow":
        """With the request's secrets only while a retry may need them, with the plan's never."""
        return replace(self, plan=self.plan.without_secrets(), request=self._kept_request)


@dataclass(frozen=True)
class StepRow(Row):
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

    @property
    def row_key(self) -> str:
        return step_key(self.deployment_id, self.number)
