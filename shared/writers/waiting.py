"""How a step waits for a writer: it requests a row, and asks again until the writer has applied it."""

from typing import Any

from shared.arm.failures import STAYS
from shared.clock import utc_now
from shared.data import from_data
from shared.errors import AzureResourceException, DeploymentException, Failure
from shared.saga.outcomes import Done, Failed, Outcome, Pending
from shared.saga.policy import Policy
from shared.settings import current_settings
from shared.spoke.records import RunRow
from shared.writers.desired_state import DesiredState
from shared.writers.desired_table import DesiredTable

# A step whose row will wait long asks seldom, but at least so often, in polls: its run may be cancelled meanwhile.
MOST_POLLS_SKIPPED = 12


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

    done: what the step answers when the row is applied; a removal is done when its row is gone. The wait
    is what is left until the writer can have applied it, as far as the writer's row tells.
    """
    if row is not before:
        table.request(row)
    if row.has_failed:
        return Failed(row.error or _NO_REASON)
    if done and row.is_applied:
        return done
    usual = from_data(Policy, run.policy).poll_wait(None)
    left = writer.seconds_until(row, utc_now(), usual, current_settings().hub_batch)
    reason, wakes = writer.reason_to_wait(row), writer.writes
    if left <= usual:
        return Pending(reason, wakes=wakes)
    return Pending(reason, min(left, MOST_POLLS_SKIPPED * usual), wait_in_full=True, wakes=wakes)


_NO_REASON = Failure(
    AzureResourceException, "NotApplied", "The writer could not apply this, and its row says no reason.", STAYS
)
