"""What a caller wants done, decided on the records alone: no call to Azure but for the look before a delete.

Each answers with the `RunHandle` to start (or to join); the triggers start it. Blocking: run it in a thread of `shared.process.blocking`.
"""

import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from shared.checks.preflight import PlanReport, plan_report
from shared.data import as_data
from shared.errors import DeploymentException, StorageException, so_many
from shared.process import logs
from shared.process.once import importing
from shared.recovery.blockers import blockers_of_delete, stays
from shared.saga.steps import STEPS, VALIDATE_CONFIG
from shared.settings import Settings, at, current_settings, process_settings
from shared.spoke.names import sanitize_name
from shared.spoke.plan import SpokePlan
from shared.spoke.records import STILL_BUILDS, TERMINAL, LeftBehind, RunRow, SpokeRow
from shared.tables.client import ConcurrentUpdate
from shared.tables.places import at_spoke, check_configured, gateway_of, gateways_of, hubs
from shared.tables.records import Records, begin_removal
from shared.tables.reservations import Reservation, ReservationRequest, forget_spoke, preview, reserve
from shared.writers.waking import RunStep
from triggers.http.queries import unknown_spoke
from triggers.http.requests import idempotency_key

if TYPE_CHECKING:
    from shared.spoke.request.model import SpokeRequest

T = TypeVar("T")

log = logging.getLogger(__name__)

_TRIES = 8


@dataclass(frozen=True)
class RunHandle:
    """A run to start in Durable Functions, or to join. deployment_id: None when there is nothing to run.

    status and message: what the caller is told.  start: it has no instance yet.
    """

    deployment_id: str | None
    spoke_id: int
    kind: str
    status: str
    message: str
    start: bool


def deploy(body: dict[str, Any], key_header: str | None, *, v1: bool = False) -> RunHandle:
    """Checks a request and reserves what its spoke needs."""
    request, hub = request_and_hub(body, v1)
    with at(hub):
        requested = replace(parse_request(request), key=idempotency_key(key_header, body))
        return _deployment_of(reserve(requested, current_settings()))


def plan(request: "SpokeRequest") -> PlanReport:
    """What a deployment of this request in the present hub would find and make. Reads Azure; changes nothing."""
    would_be, conflicts = preview(parse_request(request), current_settings())
    with at(gateway_of(would_be, current_settings())):
        return plan_report(would_be, current_settings(), conflicts)


def checked_request(body: dict[str, Any], v1: bool = False) -> "SpokeRequest":
    """The body of a POST as the models read it."""
    with importing:
        from shared.spoke.request.model import spoke_request

    return spoke_request(body, v1=v1)


def request_and_hub(body: dict[str, Any], v1: bool = False) -> "tuple[SpokeRequest, Settings]":
    """The body of a POST as the models read it, and the hub that it means."""
    with importing:
        from shared.spoke.request.choice import hub_for

    request = checked_request(body, v1)
    return request, hub_for(request, hubs())


def parse_request(request: "SpokeRequest", retry_of: SpokeRow | None = None) -> ReservationRequest:
    """What a request asks of the present hub. retry_of: the `failed` spoke that is to be built again."""
    with importing:
        from shared.spoke.request.choice import gateways_for
        from shared.spoke.request.model import check_against_settings, check_reserved

    own = gateway_of(retry_of.plan, current_settings()) if retry_of else None
    gateways = gateways_for(request, gateways_of(current_settings()), own, process_settings().places)
    with at(gateways[0]):
        request = check_against_settings(request, current_settings())
    if retry_of is None:
        check_reserved(request, current_settings())
    return ReservationRequest(
        client=sanitize_name(request.client_name),
        client_name=request.client_name,
        request=request.as_body(),
        plan_for=partial(_planned, request),
        spoke_id=request.spoke_id,
        gateways=gateways,
        retry_of=retry_of,
    )


def retry(spoke_id: int) -> RunHandle:
    """Deploys a `failed` spoke's request anew, or finishes the rollback or delete that could not finish."""
    return _decided(spoke_id, _retried)


def _decided(spoke_id: int, decide: Callable[[SpokeRow, RunRow | None], T]) -> T:
    """What is decided for a spoke and its newest run: anew when another call changes them meanwhile.

    409 when the settings no longer have its hub or gateway.
    """
    with at_spoke(spoke_id):
        for _ in range(_TRIES):
            spoke, run = spoke_and_run(spoke_id)
            with at(gateway_of(spoke.plan, current_settings())):
                check_configured(spoke.plan)
            with contextlib.suppress(ConcurrentUpdate):
                return decide(spoke, run)
    raise busy(spoke_id)


def _retried(spoke: SpokeRow, run: RunRow | None) -> RunHandle:
    if spoke.status == "failed":
        return _deployment_of(reserve(_again(spoke), current_settings()))
    if spoke.status != "rollback_failed":
        raise DeploymentException(
            f"Spoke {spoke.spoke_id} is {spoke.status}: only a failed deployment or an unfinished rollback can be retried.",
            code="NothingToRetry",
            hint="GET …/progress shows what is under way. DELETE cancels a deployment, and takes a completed spoke down.",
            field="spoke_id",
            value=spoke.spoke_id,
            status=spoke.status,
            deployment_id=spoke.deployment_id,
        )
    kind = "delete" if run is not None and run.kind == "delete" else "rollback"
    force, kept = (run.force, run.result.get("kept", [])) if run else (False, [])
    return _removal_of(begin_removal(spoke, kind, force=force, kept=kept))


def _again(spoke: SpokeRow) -> ReservationRequest:
    """The request of a failed spoke, for its own id. It moves to another gateway only when nothing was ever made on its
    own: what came no further than the checks."""
    parsed = parse_request(checked_request(spoke.request), spoke)
    own = gateway_of(spoke.plan, current_settings())
    if parsed.gateways != (own,) and _has_made_something(spoke):
        parsed = replace(parsed, gateways=(own,))
    return replace(parsed, request=spoke.request, spoke_id=spoke.spoke_id)


def _has_made_something(spoke: SpokeRow) -> bool:
    made = {step.name for step in STEPS if step.name != VALIDATE_CONFIG.name}
    return any(row.step_name in made and row.attempts for row in Records().steps(spoke.deployment_id))


def remove(
    spoke_id: int, *, force: bool, looked_at: SpokeRow | None = None, kept: Sequence[dict[str, Any]] = ()
) -> RunHandle | SpokeRow:
    """Deletes a spoke: cancels a running deployment, joins a running removal, or begins one.

    looked_at, kept: the spoke after `look_first`, and its answer; without them, a spoke that needs that look is answered and
    left as it is.
    """

    def removed(spoke: SpokeRow, run: RunRow | None) -> RunHandle | SpokeRow:
        if run is not None and run.status not in TERMINAL:
            return _joined(_cancelled(run) if run.kind == "deploy" else run)
        if spoke.status == "failed":
            forget_spoke(spoke)
            message = "Nothing was left of this failed deployment; its record is removed and the id is free"
            return RunHandle(None, spoke.spoke_id, "delete", "deleted", message, start=False)
        if looked_at is None or looked_at.deployment_id != spoke.deployment_id:
            return spoke
        return _removal_of(begin_removal(spoke, "delete", force=force, kept=kept))

    return _decided(spoke_id, removed)


def spoke_and_run(spoke_id: int) -> tuple[SpokeRow, RunRow | None]:
    """A spoke of the present hub and its newest run; 404 when there is no such spoke."""
    records = Records()
    spoke = records.spoke(spoke_id)
    if spoke is None:
        raise unknown_spoke(spoke_id)
    return spoke, records.run(spoke.deployment_id)


def _planned(request: "SpokeRequest", spoke_id: int, deployment_id: str) -> SpokePlan:
    with importing:
        from shared.spoke.request.model import plan_from

    plan = plan_from(request, current_settings(), spoke_id, deployment_id)
    with logs.context(deployment_id=deployment_id, spoke_id=spoke_id):
        log.debug("%s in %s, names from %s", plan.vnet_name, plan.address_prefix, plan.client)
    return plan


def _cancelled(run: RunRow) -> RunRow:
    """Marks the deployment as cancelled in its row: its next step reads that."""
    if run.cancel_requested or run.status == "rolling_back":
        return run
    log.warning("Spoke %d: the deployment %s is cancelled", run.spoke_id, run.deployment_id)
    return Records().change_run(run, cancel_requested=True)


def steps_under_way(run: RunHandle) -> list[RunStep]:
    """The steps of a run that may wait for something."""
    if run.deployment_id is None:
        return []
    with at_spoke(run.spoke_id):
        steps = Records().steps(run.deployment_id)
    return [(run.deployment_id, step.step_name) for step in steps if step.status == "in_progress"]


def look_first(spoke: SpokeRow, force: bool) -> list[dict[str, Any]]:
    """Reads Azure: what a delete by force is known to leave behind, as `left_behind` has it.

    Without force 409 with the list, when the spoke is in use: a NIC or data disk of the client's, a private endpoint, a
    lock.
    """
    with at_spoke(spoke.spoke_id), at(gateway_of(spoke.plan, current_settings())):
        blockers = blockers_of_delete(spoke.plan)
    if not blockers:
        return []
    if force:
        log.warning("Spoke %d is deleted by force in spite of %s", spoke.spoke_id, so_many(len(blockers), "obstacle"))
        return [
            as_data(LeftBehind("delete_vm", blocker["resource"], f"{blocker['message']}; it is kept"))
            for blocker in blockers
            if stays(blocker)
        ]
    raise DeploymentException(
        f"Spoke {spoke.spoke_id} is in use: its delete would meet {so_many(len(blockers), 'thing')} that the app did not make.",
        code="SpokeInUse",
        hint="Remove them, or delete with ?force=true, which goes on and reports what it had to leave.",
        field="spoke_id",
        value=spoke.spoke_id,
        obstacles=blockers,
    )


def _deployment_of(made: Reservation) -> RunHandle:
    """Of a repeated Idempotency-Key, the deployment that it began before, as it is now."""
    status, message = "in_progress", "Spoke deployment initiated"
    if made.repeated and made.repeated[0] not in STILL_BUILDS:
        status, spoke = made.repeated
        message = f"This request was made before: its deployment is {status.replace('_', ' ')}"
        if spoke != status:
            message += f", and its spoke is {spoke.replace('_', ' ')} now"
    return RunHandle(made.deployment_id, made.spoke_id, "deploy", status, message, start=made.repeated is None)


def _removal_of(run: RunRow) -> RunHandle:
    message = "Spoke deletion initiated" if run.kind == "delete" else "The rollback is resumed"
    return RunHandle(run.deployment_id, run.spoke_id, run.kind, "in_progress", message, start=True)


def _joined(run: RunRow) -> RunHandle:
    message = {
        "deploy": "The deployment is cancelled at its next step and rolled back"
        if run.status != "rolling_back"
        else "The deployment is being rolled back already",
        "delete": "The spoke is being deleted already",
        "rollback": "The spoke is being rolled back already",
    }[run.kind]
    return RunHandle(run.deployment_id, run.spoke_id, run.kind, "in_progress", message, start=False)


def busy(spoke_id: int) -> StorageException:
    return StorageException(
        f"The record of spoke {spoke_id} changes all the time just now.",
        code="RowChanged",
        hint="Nothing is lost: try again in a moment.",
        transient=True,
    )
