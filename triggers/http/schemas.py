"""The shapes of all answers, for the OpenAPI document and for the tests that hold real answers against it.

Import inside functions: it needs pydantic. Answers are built as plain dicts; these models describe them.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Timestamp = Annotated[str, Field(description="ISO 8601 in UTC", examples=["2025-12-11T01:00:00.000Z"])]
Percentage = Annotated[int, Field(ge=0, le=100)]
SpokeStatus = Literal[
    "accepted", "in_progress", "rolling_back", "deleting", "completed", "failed", "rollback_failed", "deleted"
]
StepStatus = Literal["pending", "in_progress", "completed", "failed", "cancelled"]
RunKind = Literal["deploy", "delete", "rollback"]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ErrorCause(_Document):
    """Why something did not work."""

    model_config = ConfigDict(extra="allow")

    error: Literal[
        "HubSpokeException",
        "ValidationException",
        "ConfigurationException",
        "AzureResourceException",
        "DeploymentException",
        "StorageException",
    ]
    message: str = Field(description="One sentence for a person.")
    details: dict[str, Any] = Field(
        description="`code`, and `field` with `value`, or Azure's `request_id`, and a `hint` where there is one."
    )


class ErrorAnswer(ErrorCause):
    """Every answer that is no success."""

    model_config = ConfigDict(extra="forbid")

    timestamp: Timestamp


class LeftBehind(_Document):
    """Something that a rollback or delete could not remove."""

    model_config = ConfigDict(extra="allow")

    step: str
    resource: str | None
    reason: str


class Accepted(_Document):
    """What was begun, and where to follow it. With DURABLE_URLS=status or none, fewer of Durable's URLs or none."""

    model_config = ConfigDict(extra="allow")

    deployment_id: str | None = Field(description="Null when there was nothing to run: a failed spoke was forgotten.")
    spoke_id: int
    status: Literal["in_progress", "rolling_back", "completed", "failed", "rollback_failed", "deleted"] = Field(
        description="in_progress for what was begun now; of a repeated Idempotency-Key its deployment's present state."
    )
    message: str
    progress_url: str | None = None
    id: str | None = Field(default=None, description="The Durable instance: the deployment_id.")
    statusQueryGetUri: str | None = None  # noqa: N815 - Durable's name
    sendEventPostUri: str | None = None  # noqa: N815
    terminatePostUri: str | None = Field(default=None, description="Stops without any rollback: use DELETE.")  # noqa: N815
    purgeHistoryDeleteUri: str | None = None  # noqa: N815


class Subnet(_Document):
    name: str
    address_prefix: str


class Vnet(_Document):
    name: str
    address_space: str
    subnets: list[Subnet]
    peering_status: str | None


class Vm(_Document):
    name: str
    private_ip: str | None
    size: str
    os: str


class Agw(_Document):
    backend_pool_name: str
    routing_rule_name: str
    host_name: str
    configured: bool = Field(description="The gateway holds the site; not that the backend is healthy.")
    gateway: str | None = Field(default=None, description="Which gateway serves it, where there are several.")


class Stalled(_Document):
    """A run that stands still, until it has been started again from its rows."""

    since: Timestamp | None = Field(description="When the call was due that never came.")
    step: str | None = Field(description="Whose call; null when it is the orchestration itself.")


class SpokeDeployment(_Document):
    """The newest run of a spoke."""

    deployment_id: str
    made_by: str = Field(description="The run that made the resources: their deployment_id tag.")
    created_at: Timestamp | None
    completed_at: Timestamp | None
    duration_seconds: float | None
    stalled: Stalled | None


class Spoke(_Document):
    """A spoke with its newest run."""

    spoke_id: int
    client_name: str
    status: SpokeStatus
    hub: str | None = Field(default=None, description="Its hub, where there are several hubs or gateways.")
    vnet: Vnet
    vm: Vm
    agw: Agw
    deployment: SpokeDeployment
    error: ErrorCause | None
    left_behind: list[LeftBehind]


class SpokeList(_Document):
    spokes: list[Spoke]
    total: int = Field(description="How many match the filters, on all pages.")
    continuation: str | None = Field(description="Of the next page; null on the last.")


class ProgressStep(_Document):
    step_name: str
    status: StepStatus
    timestamp: Timestamp | None
    message: str
    attempts: int


class Progress(_Document):
    """How far a run is."""

    spoke_id: int
    deployment_id: str
    client_name: str
    kind: RunKind
    status: SpokeStatus
    deployment_steps: list[ProgressStep]
    rollback_steps: list[ProgressStep]
    progress_percentage: Percentage
    created_at: Timestamp
    completed_at: Timestamp | None
    cancel_requested: bool
    error: ErrorCause | None
    left_behind: list[LeftBehind]
    note: str | None
    execution: int = Field(ge=1, description="How often its orchestration was started from its records.")
    stalled: Stalled | None


class Run(_Document):
    """One run in a list."""

    deployment_id: str
    spoke_id: int
    client_name: str
    kind: RunKind
    status: SpokeStatus
    created_at: Timestamp
    completed_at: Timestamp | None
    duration_seconds: float | None
    cancel_requested: bool
    error: ErrorCause | None
    left_behind: list[LeftBehind]
    note: str | None
    execution: int = Field(ge=1, description="How often its orchestration was started from its records.")
    stalled: Stalled | None


class RunList(_Document):
    spoke_id: int
    deployments: list[Run]
    total: int


class Count(_Document):
    used: int
    limit: int
    free: int


class Capacity(_Document):
    """Used, limit and free. What Azure didn't tell is absent, and named in `unknown`.

    Where there are several hubs or gateways, all of it is in `hubs`.
    """

    model_config = ConfigDict(extra="allow")

    address_blocks: Count | None = None
    gateway_places: Count | None = Field(default=None, description="Sites that the gateway takes, and those reserved.")
    peerings: Count | None = None
    hubs: list[dict[str, Any]] | None = Field(
        default=None, description="Each hub: the same, its gateways in `gateways`."
    )
    unknown: list[dict[str, Any]]


class Dependency(_Document):
    status: Literal["ok", "degraded", "failing"]
    message: str
    latency_ms: float
    details: dict[str, Any] | None = None


class StalledRun(Stalled):
    deployment_id: str
    spoke_id: int


class Health(_Document):
    status: Literal["ok", "degraded", "unhealthy"]
    dependencies: dict[str, Dependency]
    stalled_runs: list[StalledRun] = Field(description="Runs that stand still; a timer starts them again.")


class Liveness(_Document):
    status: Literal["alive"]


class PlanReport(_Document):
    """What a deployment would make and find. Nothing is touched."""

    model_config = ConfigDict(extra="allow")

    spoke_id: int
    plan: dict[str, Any]
    checks: list[dict[str, Any]]
    conflicts: list[ErrorCause] = Field(description="Reservations of others that would be in the way.")
    would_succeed: bool
