"""How a step waits for a writer: it requests a row, and sleeps until the writer has applied it or says what it waits for."""

import logging
from dataclasses import replace
from typing import Any

from shared.arm.failures import STAYS
from shared.clock import utc_now
from shared.data import from_data
from shared.errors import AzureResourceException, DeploymentException, Failure, StorageException
from shared.process.logs import failure_of
from shared.saga.outcomes import Done, Failed, Outcome, Pending
from shared.saga.policy import Policy
from shared.settings import current_settings
from shared.spoke.records import RunRow, StepRow
from shared.writers.desired_state import DesiredState
from shared.writers.desired_table import DesiredTable
from shared.writers.gateway.site_rows import SiteRow, site_key
from shared.writers.peering.peering_rows import PeeringRow, peering_key
from shared.writers.writer_tables import gateway_sites, hub_peerings

log = logging.getLogger(__name__)


def taken_by_another_run(row: DesiredState | None, run: RunRow, *, kind: str, writes: str) -> Pending | None:
    """What a step answers when another run has the row; None when none has it. Raises when that run keeps it.

    kind: of the name that is taken, in the error's details.  writes: what the row's writer writes, `gateway` or `hub`.
    """
    if row is None or row.made_by == run.plan.made_by:
        return None
    if row.asks_for_removal:
        return Pending(f"waiting until the former row of the {writes} for this spoke is gone", wakes=writes)
    raise DeploymentException(
        f"The {kind} of this spoke belongs to another run, {row.made_by}.",
        code="NameTaken",
        hint=f"Delete the spoke of that run first; GET /api/deployments/{row.made_by} tells which it is.",
        kind=kind,
        made_by=row.made_by,
    )


def await_applied(
    table: DesiredTable[Any, Any], row: Any, *, before: Any, writer: Any, run: RunRow, done: Done | None = None
) -> Outcome:
    """Requests a row unless it is the one that was read (`before`, with the `writer`'s), and says how far it is.

    done: what the step answers when the row is applied; a removal is done when its row is gone. Until then the step sleeps:
    the writer wakes it.
    """
    if row is not before:
        table.request(row)
    if row.has_failed:
        return Failed(row.error or _NO_REASON)
    if done and row.is_applied:
        return done
    usual = from_data(Policy, run.policy).poll_wait(None)
    left = writer.seconds_until(row, utc_now(), usual, current_settings().hub_batch, table.arrived_between)
    return Pending(writer.reason_to_wait(row), left, wakes=writer.writes, woken=True)


def publish_reason(table: DesiredTable[Any, Any], reason: str, *, row_key: str = "", version: int = 0) -> None:
    """Lets the waiting steps show why a writer waits: with one row of this version, or with all of them.

    What the table doesn't take now is published the next time.
    """
    try:
        row, writer = table.read(row_key)
        if not row_key and writer.etag and writer.retry_reason != reason:
            table.mark(replace(writer, retry_reason=reason))
        elif row and row.desired_version == version and row.retry_reason != reason:
            table.mark(writer, [replace(row, retry_reason=reason)])
    except Exception as error:  # noqa: BLE001 - the boundary: nothing depends on it
        log.debug("The reason of a wait could not be published: %s", failure_of(error).message)


def steps_as_of_now(run: RunRow, steps: list[StepRow]) -> list[StepRow]:
    """The rows of a run's steps. The message of one that waits for a writer is what the writer's row says now: the step
    itself asks only when it is woken."""
    return [replace(step, message=_present_reason(run, step) or step.message) for step in steps]


def _present_reason(run: RunRow, step: StepRow) -> str | None:
    if step.status != "in_progress" or step.step_name not in (*SiteRow.steps, *PeeringRow.steps):
        return None
    tables: tuple[DesiredTable[Any, Any], str] = (
        (gateway_sites(), site_key(run.plan.client))
        if step.step_name in SiteRow.steps
        else (hub_peerings(), peering_key(run.spoke_id))
    )
    table, row_key = tables
    try:
        row, writer = table.read(row_key)
    except StorageException as unreadable:
        log.debug("Why %s waits is not known just now: %s", step.step_name, unreadable)
        return None
    if row is None or row.deployment_id != run.deployment_id or not row.is_waiting:
        return None
    reason: str = writer.reason_to_wait(row)
    return reason


_NO_REASON = Failure(
    AzureResourceException, "NotApplied", "The writer could not apply this, and its row says no reason.", STAYS
)
