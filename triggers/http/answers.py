"""The answers, each one class: its JSON is made of it (`responses.Answer`), and its schema (`openapi`).

A field without a default is always there, null included; one whose default is None is left out while it is None. The text
below a field is its description in the OpenAPI document.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from shared.data import StoredAs, taken_from
from shared.errors import ErrorCause
from shared.settings import Settings
from shared.spoke.documents.resources import os_of
from shared.spoke.plan import SpokePlan
from shared.spoke.records import LeftBehind, RunKind, RunRow, SpokeRow, SpokeStatus, Stalled
from shared.tables.places import gateway_of
from shared.timestamps import parse_timestamp

StoredError = Annotated[dict[str, Any], StoredAs(ErrorCause)]
StoredLeftBehind = Annotated[list[dict[str, Any]], StoredAs(list[LeftBehind])]


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """What was begun, and where to follow it. With DURABLE_URLS=status or none, fewer of Durable's URLs or none."""

    deployment_id: str | None
    """Null when there was nothing to run: a failed spoke was forgotten."""
    spoke_id: int
    status: Literal["in_progress", "rolling_back", "completed", "failed", "rollback_failed", "deleted"]
    """in_progress for what was begun now; of a repeated Idempotency-Key its deployment's present state."""
    message: str
    progress_url: str | None = None
    id: str | None = None
    """The Durable instance: the deployment_id."""
    statusQueryGetUri: str | None = None  # noqa: N815 - Durable's names
    sendEventPostUri: str | None = None  # noqa: N815
    terminatePostUri: str | None = None  # noqa: N815
    """Stops without any rollback: use DELETE."""
    rewindPostUri: str | None = None  # noqa: N815
    purgeHistoryDeleteUri: str | None = None  # noqa: N815
    restartPostUri: str | None = None  # noqa: N815
    suspendPostUri: str | None = None  # noqa: N815
    resumePostUri: str | None = None  # noqa: N815


@dataclass(frozen=True)
class Subnet:
    name: str
    address_prefix: str


@dataclass(frozen=True)
class Vnet:
    name: str
    address_space: str
    subnets: list[Subnet]
    peering_status: str | None


@dataclass(frozen=True)
class Vm:
    name: str
    private_ip: str | None
    size: str
    os: str


@dataclass(frozen=True)
class Agw:
    backend_pool_name: str
    routing_rule_name: str
    host_name: str
    configured: bool
    """The gateway holds the site; not that the backend is healthy."""
    gateway: str | None = None
    """Which gateway serves it, where there are several."""


@dataclass(frozen=True)
class SpokeDeployment:
    """The newest run of a spoke."""

    deployment_id: str
    made_by: str
    """The run that made the resources: their deployment_id tag."""
    created_at: str | None
    completed_at: str | None
    duration_seconds: float | None
    stalled: Stalled | None


@dataclass(frozen=True, kw_only=True)
class Spoke:
    """A spoke with its newest run."""

    spoke_id: int
    client_name: str
    status: SpokeStatus
    hub: str | None = None
    """Its hub, where there are several hubs or gateways."""
    vnet: Vnet
    vm: Vm
    agw: Agw
    deployment: SpokeDeployment
    error: StoredError | None
    left_behind: StoredLeftBehind


@dataclass(frozen=True)
class SpokeList:
    """A page of spokes, by id."""

    spokes: list[Spoke]
    total: int
    """How many match the filters, on all pages."""
    continuation: str | None
    """Of the next page; null on the last."""


@dataclass(frozen=True)
class Run:
    """One run in a list."""

    deployment_id: str
    spoke_id: int
    client_name: str
    kind: RunKind
    status: SpokeStatus
    created_at: str
    completed_at: str | None
    duration_seconds: float | None
    cancel_requested: bool
    error: StoredError | None
    left_behind: StoredLeftBehind
    note: str | None
    execution: int
    """How often its orchestration was started from its records, from 1."""
    stalled: Stalled | None


@dataclass(frozen=True)
class RunList:
    """Every run of a spoke's id, newest first."""

    spoke_id: int
    deployments: list[Run]
    total: int


@dataclass(frozen=True)
class Count:
    used: int
    limit: int
    free: int


@dataclass(frozen=True, kw_only=True)
class Unread:
    """What Azure didn't tell, and why."""

    hub: str | None = None
    gateway: str | None = None
    of: str
    error: str
    message: str
    details: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Elements:
    pools: Count | None = None
    settings: Count | None = None
    listeners: Count | None = None
    active_listeners: Count | None = None
    rules: Count | None = None
    priorities: Count | None = None


@dataclass(frozen=True, kw_only=True)
class GatewayName:
    name: str
    open: bool
    gateway_places: Count | None = None


@dataclass(frozen=True, kw_only=True)
class GatewayCapacity(Elements, GatewayName):
    """One of several gateways."""


@dataclass(frozen=True, kw_only=True)
class HubCapacity:
    """A hub and each of its gateways."""

    name: str
    location: str
    address_blocks: Count | None = None
    peerings: Count | None = None
    gateways: list[GatewayCapacity]
    unknown: list[Unread]


@dataclass(frozen=True, kw_only=True)
class Counted:
    address_blocks: Count | None = None
    gateway_places: Count | None = None
    """Sites that the gateway takes, and those reserved."""
    peerings: Count | None = None


@dataclass(frozen=True, kw_only=True)
class Capacity(Elements, Counted):
    """Used, limit and free. What Azure didn't tell is absent, and named in `unknown`.

    Where there are several hubs or gateways, all of it is in `hubs`.
    """

    hubs: list[HubCapacity] | None = None
    unknown: list[Unread]


@dataclass(frozen=True, kw_only=True)
class Dependency:
    status: Literal["ok", "degraded", "failing"]
    message: str
    details: dict[str, Any] | None = None
    latency_ms: float


@dataclass(frozen=True)
class StalledRun:
    """A run that stands still; a timer starts it again."""

    deployment_id: str
    spoke_id: int
    since: str | None
    step: str | None


@dataclass(frozen=True)
class Health:
    """Every dependency, and what is found wrong with it."""

    status: Literal["ok", "degraded", "unhealthy"]
    dependencies: dict[str, Dependency]
    stalled_runs: list[StalledRun]


@dataclass(frozen=True)
class Liveness:
    """The app answers."""

    status: Literal["alive"] = "alive"


def spoke_answer(
    spoke: SpokeRow, run: RunRow | SpokeRow | None, settings: Settings, peering_status: str | None = None
) -> Spoke:
    """A spoke with its newest run. What isn't known yet is null.

    run: the spoke itself will do as long as its newest run is its deployment.  peering_status: of a completed spoke, as
    the hub's writer has seen it since.
    """
    plan, result = spoke.plan, spoke.result
    completed = spoke.status == "completed"
    seen = peering_status if completed else None
    return taken_from(
        spoke,
        Spoke,
        hub=settings.hub_name if settings.several else None,
        vnet=Vnet(
            plan.vnet_name,
            plan.address_prefix,
            [Subnet(name, prefix) for name, prefix in plan.subnets],
            seen or result.get("peering_status") or ("Connected" if completed else None),
        ),
        vm=Vm(
            plan.vm_name,
            result.get("private_ip"),
            plan.vm_size,
            result.get("vm", {}).get("os") or os_of(settings.vm_image),
        ),
        agw=Agw(
            plan.backend_pool_name,
            plan.routing_rule_name,
            plan.host_name,
            completed,
            gateway_of(plan, settings).hub_agw_name if settings.several else None,
        ),
        deployment=_newest_run(spoke.deployment_id, run, plan),
    )


def _newest_run(deployment_id: str, run: RunRow | SpokeRow | None, plan: SpokePlan) -> SpokeDeployment:
    if run is None:
        return SpokeDeployment(deployment_id, plan.made_by, None, None, None, None)
    stalled = run.stalled if isinstance(run, RunRow) else None
    return SpokeDeployment(
        deployment_id, plan.made_by, run.created_at, run.completed_at, duration_seconds(run), stalled
    )


def duration_seconds(run: RunRow | SpokeRow) -> float | None:
    """How long a run took, None while it is under way."""
    if run.completed_at is None:
        return None
    return round((parse_timestamp(run.completed_at) - parse_timestamp(run.created_at)).total_seconds(), 3)
