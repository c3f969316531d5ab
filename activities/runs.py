"""The run's own records: begun, rolling back, ended. They are no steps, and keep trying until the table answers."""

import logging
from typing import Any

from activities.decorators import Kind, activity, step_row
from shared.arm.client import Arm, arm
from shared.clock import timestamp
from shared.data import as_data, from_data
from shared.errors import DeploymentException, Failure, so_many
from shared.process.logs import failure_of
from shared.recovery.leftovers import leftovers
from shared.recovery.runs.liveness import STARTING
from shared.saga.instances import ORCHESTRATOR_OF_KIND
from shared.saga.outcomes import Call, Cancelled, Done, Failed, Outcome
from shared.saga.saga import NOT_OF_THIS_KIND
from shared.saga.steps import STEP_NUMBERS, UNDO_NAMES
from shared.spoke.inventory import named_by
from shared.spoke.plan import SpokePlan
from shared.spoke.records import TERMINAL, LeftBehind, RunRow, SpokeRow, StepRow
from shared.tables.records import Records
from shared.tables.reservations import release
from shared.timestamps import parse_timestamp

log = logging.getLogger(__name__)

MOST_LOOKS = 6
# So that all these looks come to an end before the saga stops waiting for them.
LONGEST_PAUSE_SECONDS = 60.0

_RECORDED = "The spoke is recorded"
_BEGUN = {"deploy": "in_progress", "delete": "deleting", "rollback": "rolling_back"}


@activity(Kind.RECORD)
def begin_run(call: Call, run: RunRow) -> Outcome:
    """Moves a run from `accepted` on, its spoke with it, or resumes one that is started again from its rows; answers what
    the orchestration needs of the rows (`_resumed`).

    `{"begun": False, "status"}` when the run is over, the spoke another's, another orchestration has begun it, or the
    orchestrator carries out runs of another kind. `call.given`: `begun_by`, the id of the orchestration that asks, and its
    `orchestrator`. Repeatable: for the orchestration that has begun it the answer stays the same.
    """
    if ORCHESTRATOR_OF_KIND[run.kind] != call.given.get("orchestrator"):
        return Done(f"this is a {run.kind}", {"begun": False, "status": NOT_OF_THIS_KIND})
    records = Records()
    begun_by, restart = call.given.get("begun_by"), run.restart
    has_begun_it = bool(begun_by) and run.begun_by == begun_by
    if has_begun_it and restart is None and run.status not in TERMINAL:
        return Done("begun before", _resumed(records, run))
    may_begin = not has_begun_it and (restart.phase == STARTING if restart else run.status == "accepted")
    if run.status in TERMINAL or not may_begin:
        return Done(f"the run is {run.status}", {"begun": False, "status": run.status})
    spoke = _own_spoke(records, run)
    if spoke is None:
        records.change_run(run, status="failed", completed_at=timestamp(), note="The spoke belongs to another run.")
        return Done("the spoke belongs to another run", {"begun": False, "status": "failed"})
    status, now = _BEGUN[run.kind] if run.status == "accepted" else run.status, timestamp()
    begun = {
        "status": status,
        "started_at": run.started_at or now,
        "begun_by": begun_by,
        "resumed_at": now,
        "restart": None,
        "missing_since": None,
    }
    run, _ = records.change_together(run, spoke, run_changes=begun, spoke_changes={"status": status})
    return Done(status, _resumed(records, run))


def _resumed(records: Records, run: RunRow) -> dict[str, Any]:
    """What a run is and where it goes on: `spoke_id, kind, policy, execution, status`.

    Of one that is started again also `ended` (the steps and undos that have ended, as `run_step` answers), `noted` (the
    undos of a rollback) and `error` (why it is rolled back).
    """
    where = {
        "begun": True,
        "spoke_id": run.spoke_id,
        "kind": run.kind,
        "policy": run.policy,
        "execution": run.execution,
        "status": run.status,
    }
    if run.execution == 1:
        return where
    steps = records.steps(run.deployment_id)
    ended = {
        step.step_name: {**step.outcome, "attempts": step.attempts, "at": step.timestamp}
        for step in steps
        if step.outcome and step.status in ("completed", "failed")
    }
    noted = [step.step_name for step in steps if step.step_name in UNDO_NAMES]
    return {**where, "ended": ended, "noted": noted, "error": run.error}


@activity(Kind.RECORD)
def save_to_storage(call: Call, run: RunRow) -> Outcome:
    """Writes the finished record: run, spoke and this step in one transaction. `call.given` holds what the steps found.

    Repeatable: a run that is `completed` is done. A DELETE that arrived before it cancels the deployment; one that
    arrives later meets a completed spoke.
    """
    if run.status == "completed":
        return Done(_RECORDED)
    if run.status != "in_progress" or run.cancel_requested:
        return Cancelled("The deployment was cancelled.")
    records = Records()
    spoke = _own_spoke(records, run)
    if spoke is None:
        return Cancelled("The spoke's record is gone.")
    step = call.name, STEP_NUMBERS[call.name]
    before = records.step(run.deployment_id, step[1])
    row = step_row(call, before, step, status="completed", attempts=call.attempt, message=_RECORDED)
    done: dict[str, Any] = {"status": "completed", "completed_at": row.timestamp, "result": call.given}
    records.change_together(run, spoke, run_changes=done, spoke_changes={**done, "error": None}, steps=[row])
    seconds = (parse_timestamp(row.timestamp) - parse_timestamp(run.created_at)).total_seconds()
    log.info("event=deployment_completed seconds=%d", seconds)
    return Done(_RECORDED)


@activity(Kind.RECORD)
def begin_rollback(call: Call, run: RunRow) -> Outcome:
    """Writes why the deployment failed, and lists the noted undos as pending. Repeatable.

    `call.given`: `error` as the record shows it, `noted` the names of the undos, `told` what steps could not write into
    their own rows.
    """
    if run.status in TERMINAL or run.status == "rolling_back":
        return Done(f"the run is {run.status}", {"completed": run.status == "completed"})
    records = Records()
    rows = [
        step_row(call, None, (name, STEP_NUMBERS[name]), status="pending", attempts=0, message="")
        for name in call.given["noted"]
    ]
    rows += _rows_told(records, call)
    changes = {"status": "rolling_back", "error": call.given["error"]}
    records.change_together(run, _own_spoke(records, run), run_changes=changes, spoke_changes=changes, steps=rows)
    return Done("rolling back")


@activity(Kind.RECORD)
def record_outcome(call: Call, run: RunRow) -> Outcome:
    """Writes how a rollback or a delete ended. `call.given`: `status`, `left_behind`, `told` as above. Repeatable.

    `deleted` takes the spoke's row away, so that its id answers 404 and is free; its runs stay readable. What the delete was
    to keep is left behind, too. After a rollback
    the error goes on saying why the deployment failed, however often it takes to finish.
    """
    if run.status in TERMINAL:
        return Done(f"the run is {run.status}")
    records = Records()
    status, left = call.given["status"], call.given["left_behind"]
    told = _rows_told(records, call)  # before the run's end: no step may end after it
    changes: dict[str, Any] = {
        "status": status,
        "left_behind": [*left, *run.result.get("kept", [])],
        "completed_at": timestamp(),
    }
    if left and run.kind == "delete":
        changes["error"] = _could_not_finish(left).public()
    records.change_together(
        run,
        _own_spoke(records, run),
        run_changes=changes,
        spoke_changes=changes,
        forget_spoke=status == "deleted",
        steps=told,
    )
    _log_end(run, status, changes["left_behind"])
    return Done(status)


def _log_end(run: RunRow, status: str, left: list[dict[str, Any]]) -> None:
    """The lines that alerts stand on."""
    if run.kind == "deploy":
        event = "deployment_cancelled" if run.cancel_requested else "deployment_failed"
        log.warning("event=%s status=%s %s", event, status, run.error["message"] if run.error else "")
    if left:
        log.error("event=left_behind status=%s %s", status, ", ".join(str(each["resource"]) for each in left))


@activity(Kind.RECORD)
def give_up_step(call: Call, run: RunRow) -> Outcome:
    """Writes into a step's row that its deadline has passed. `call.given`: `step`, `number`, `attempts`, `failure`."""
    name, number, attempts = (call.given[each] for each in ("step", "number", "attempts"))
    if number is None:
        return Done("no step of its own")
    records = Records()
    before = records.step(run.deployment_id, number)
    failure = from_data(Failure, call.given["failure"])
    said: dict[str, Any] = {"status": "failed", "attempts": attempts, "message": failure.message}
    row = step_row(call, before, (name, number), **said, outcome=Failed(failure))
    records.write_step(row, over=before)
    return Done("given up")


@activity(Kind.RECORD)
def list_left_behind(call: Call, run: RunRow) -> Outcome:
    """What of the undos that did not work is really there. `call.given["undos"]`: name → reason.

    What can't be read even after some tries is named: it may be there. While the settings don't have the hub or gateway,
    Azure isn't asked.
    """
    azure, plan = arm(), run.plan
    ids = azure.ids.of(plan)
    left: list[dict[str, Any]] = []
    for name, reason in call.given["undos"].items():
        try:
            found = leftovers(azure, plan, name) if azure.settings.is_configured else named_by(name, plan, ids)
        except Exception as error:  # noqa: BLE001 - whatever did not answer: the record must say what may be there
            failure = failure_of(error)
            pause = failure.retry_after or 0.0
            if failure.transient and call.attempt < MOST_LOOKS and pause <= LONGEST_PAUSE_SECONDS:
                return Failed(failure)
            found = _perhaps_left(azure, plan, name)
        left += [as_data(LeftBehind(name, resource, reason)) for resource in found]
    return Done(f"{len(left)} left behind", {"left_behind": left})


def _perhaps_left(azure: Arm, plan: SpokePlan, undo: str) -> list[str]:
    try:
        return leftovers(azure, plan, undo, in_doubt=True)
    except Exception as error:  # noqa: BLE001 - the tables don't answer: then what the plan names may be there
        log.warning("What %s left behind can't be looked up: %s", undo, failure_of(error).message)
        return named_by(undo, plan, azure.ids.of(plan))


@activity(Kind.UNDO)
def release_reservations(call: Call, run: RunRow) -> Outcome:
    """Frees name, address block, host name and place on the gateway for the next client. Repeatable: only own rows go."""
    release(run)
    return Done("reservations freed")


def _rows_told(records: Records, call: Call) -> list[StepRow]:
    """Rows of steps whose own activity did not come to write them: broken off, not tried, or the table didn't answer."""
    rows = []
    for name, told in call.given.get("told", {}).items():
        number, status, message = STEP_NUMBERS[name], told["status"], told["message"]
        before = records.step(call.deployment_id, number)
        if before is not None and before.status == "completed":
            continue  # its last call came through all the same
        if before is None or (before.status, before.message) != (status, message):
            attempts = told["attempts"]
            rows.append(step_row(call, before, (name, number), status=status, attempts=attempts, message=message))
    return rows


def _own_spoke(records: Records, run: RunRow) -> SpokeRow | None:
    """The spoke's row, when this run is the newest of it."""
    spoke = records.spoke(run.spoke_id)
    return spoke if spoke and spoke.deployment_id == run.deployment_id else None


def _could_not_finish(left: list[dict[str, Any]]) -> Failure:
    return Failure(
        DeploymentException,
        "LeftBehind",
        f"{so_many(len(left), 'resource')} could not be removed: {left[0]['reason']}",
        "See left_behind, fix the cause, then POST …/retry or DELETE again.",
    )
