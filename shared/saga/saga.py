"""The saga: steps run one by one or side by side, undos noted before their acts, everything settled before it is undone.

Used by the stories in `orchestrators`; knows Durable's context and nothing of Azure. Each step runs in a `run_step`
sub-orchestration of its own, which answers with data and never raises.
"""

from collections.abc import Generator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from shared.errors import Failure
from shared.saga.instances import RUN_STEP, is_run_id, step_instance_id
from shared.saga.outcomes import Call, Cancelled, Done, Failed, Outcome, outcome_from_data
from shared.saga.policy import Policy
from shared.saga.progress import custom_status
from shared.saga.step_run import StepRun
from shared.saga.steps import BEGIN_ROLLBACK, BEGIN_RUN, LIST_LEFT_BEHIND, RECORD_OUTCOME, STEP_NUMBERS, UNDOS, Step
from shared.spoke.records import WELL

if TYPE_CHECKING:
    from azure.durable_functions import DurableOrchestrationContext

STEP_BROKE = "StepBroke"
# What `begin_run` answers, as the status, to an orchestrator that doesn't carry out runs of this kind.
NOT_OF_THIS_KIND = "of another kind"
# How the row is asked for; from then on the run's own limits hold.
BEFORE_THE_ROW = Policy(retry_first_seconds=1.0)

_LOOK_SECONDS = 600.0
# So often the run's own records are begun when somebody terminates their sub-orchestrations.
_RECORD_TRIES = 3


class StepsFailed(Exception):  # noqa: N818 - the saga's word for what happened
    """A stage has settled and not all of it worked. `failure` is its first cause."""

    def __init__(self, failure: Failure, step: str) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.step = step


class DeploymentFailed(Exception):  # noqa: N818 - what Durable's status shows
    """Raised by a story after its rollback and its record, so that Durable and the Portal say `Failed`."""


class Saga:
    """One run of an orchestration.

    Only its instance id is taken from the start: whoever holds the Durable system key can start anything under any id, with
    any input. The id names the run; kind, spoke and limits are read from the run's row by the first activity.
    """

    def __init__(self, context: "DurableOrchestrationContext", orchestrator: str) -> None:
        self._context = context
        self._orchestrator = orchestrator
        self.deployment_id: str = context.instance_id
        self.spoke_id: int | None = None
        self.kind = ""
        self.policy = BEFORE_THE_ROW
        self.status = ""
        self.results: dict[str, Any] = {}
        self._rows: dict[str, dict[str, Any]] = {}
        self._noted: set[str] = set()
        # What steps may not have come to write into their own rows: the next record of the run does it for them.
        self._untold: dict[str, dict[str, Any]] = {}
        self._broken: set[str] = set()

    # --- the forward way ---

    def begin(self) -> Generator[Any, Any, bool]:
        """Moves the run from `accepted` on; False when there is none of this id and kind, or when it has ended well before:
        then the orchestration ends quietly.

        A run is carried out once: one that has failed before, or that another execution has begun, raises. Who restarts
        an orchestration in Durable Functions has a new execution of it, and the children of the old one may still run.
        """
        if not is_run_id(self.deployment_id):
            return False
        begun = yield from self._record(BEGIN_RUN, begun_by=self._context.new_uuid(), orchestrator=self._orchestrator)
        if begun.get("begun"):
            self.spoke_id, self.kind = begun["spoke_id"], begun["kind"]
            self.policy = Policy.from_data(begun["policy"])
            self.status = "in_progress" if self.kind == "deploy" else "deleting"
            self._show()
            return True
        if begun.get("status") in {*WELL, NOT_OF_THIS_KIND}:
            return False
        raise DeploymentFailed(f"This run is not begun again: it is {begun.get('status', 'gone')}.")

    def run(self, step: Step) -> Generator[Any, Any, None]:
        """One step; `StepsFailed` when it came to rest without being done."""
        yield from self.run_together(step)

    def run_together(self, *steps: Step) -> Generator[Any, Any, None]:
        """Steps side by side. All of them come to rest before `StepsFailed` tells that one didn't work.

        Settled by `task_any` over the rest, because `task_all` fails on the first failing child while its siblings
        still build.
        """
        waiting: dict[Any, Step] = {}
        for step in steps:
            self._noted.update(step.undos)
            self._move(step.name, "in_progress", "")
            seconds = None if step.keeps_trying else getattr(self.policy, step.deadline)
            waiting[self._start(step.name, seconds)] = step
        self._show()
        failures: list[StepsFailed] = []
        cancellations: list[StepsFailed] = []
        while waiting:
            task = yield self._context.task_any(list(waiting))
            step = waiting.pop(task)
            match self._settle(step.name, task.result):
                case Done(result=result):
                    self.results.update(result)
                case Failed(failure=failure):
                    failures.append(StepsFailed(failure, step.name))
                case Cancelled(reason=reason):
                    failure = Failure("DeploymentException", "Cancelled", reason)
                    cancellations.append(StepsFailed(failure, step.name))
            self._show()
        if any(step.name in self._broken for step in steps):
            # Who stopped a step's sub-orchestration did not stop a call of it that was under way.
            yield self._context.create_timer(
                self._context.current_utc_datetime + timedelta(seconds=self.policy.last_call_seconds)
            )
        if failures or cancellations:
            raise (failures + cancellations)[0]

    def finished(self) -> dict[str, Any]:
        """What the story answers when all has gone well: Durable's output."""
        self.status = "completed" if self.kind == "deploy" else "deleted"
        self._show()
        return {"deployment_id": self.deployment_id, "spoke_id": self.spoke_id, "status": self.status, **self.results}

    # --- the way back ---

    def roll_back(self, cause: StepsFailed) -> Generator[Any, Any, list[dict[str, Any]] | None]:
        """Undoes what was noted and records the outcome; answers what is left behind.

        None when there is nothing to undo: who stopped the last step's sub-orchestration did so after its record was
        written, and a completed spoke is its caller's.
        """
        error = {**cause.failure.public(), "step": cause.step}
        begun = yield from self._record(BEGIN_ROLLBACK, error=error, noted=self._noted_undos(), **self._told())
        if begun.get("completed"):
            self._move(cause.step, "completed", "", self._rows[cause.step]["attempts"])
            return None
        self.status = "rolling_back"
        self._show()
        return (yield from self._undo_and_record("failed"))

    def undo_everything(self, status_when_gone: str) -> Generator[Any, Any, list[dict[str, Any]]]:
        """Every undo there is, noted or not: what a delete does. Records the outcome; answers what is left behind."""
        self._noted.update(undo.name for undo in UNDOS)
        return (yield from self._undo_and_record(status_when_gone))

    def _undo_and_record(self, status_when_gone: str) -> Generator[Any, Any, list[dict[str, Any]]]:
        left = yield from self._undo_noted()
        self.status = "rollback_failed" if left else status_when_gone
        yield from self._record(RECORD_OUTCOME, status=self.status, left_behind=left, **self._told())
        self._show()
        return left

    def _noted_undos(self) -> list[str]:
        return [undo.name for undo in UNDOS if undo.name in self._noted]

    def _undo_noted(self) -> Generator[Any, Any, list[dict[str, Any]]]:
        """The noted undos in their order. A failing one stops only those that need it."""
        failed: dict[str, str] = {}
        for undo in UNDOS:
            if undo.name not in self._noted:
                continue
            missing = [need for need in undo.needs if need in failed]
            if missing:
                failed[undo.name] = f"not tried, because {missing[0]} has to work first"
                self._move(undo.name, "pending", failed[undo.name], attempts=0)
                self._untold[undo.name] = self._rows[undo.name]
                continue
            self._move(undo.name, "in_progress", "")
            self._show()
            task = self._start(undo.name, getattr(self.policy, undo.deadline))
            yield self._context.task_any([task])
            match self._settle(undo.name, task.result):
                case Failed(failure=failure):
                    failed[undo.name] = failure.message
                case Cancelled(reason=reason):
                    failed[undo.name] = reason
            self._show()
        if not failed:
            return []
        found = yield from self._record(LIST_LEFT_BEHIND, seconds=_LOOK_SECONDS, undos=failed)
        unseen = [{"step": name, "resource": None, "reason": reason} for name, reason in failed.items()]
        left: list[dict[str, Any]] = found.get("left_behind", unseen)
        return left

    # --- inside ---

    def _start(self, name: str, seconds: float | None, given: dict[str, Any] | None = None) -> Any:
        call = Call(
            self.deployment_id,
            self.spoke_id,
            name,
            number=STEP_NUMBERS.get(name),
            given=self.results if given is None else given,
        )
        run = StepRun(call, self.policy, deadline_seconds=seconds)
        return self._context.call_sub_orchestrator(
            RUN_STEP, run.as_data(), instance_id=step_instance_id(self.deployment_id, name)
        )

    def _record(self, name: str, *, seconds: float | None = None, **given: Any) -> Generator[Any, Any, dict[str, Any]]:
        """An activity that is no step; `{}` when it did not work in spite of all trying.

        Without it the run would not be where the story is: one that is broken off is begun again, and if that doesn't
        help, the story ends and the sweeper takes the run up.
        """
        for _ in range(_RECORD_TRIES):
            task = self._start(name, seconds, given)
            yield self._context.task_any([task])
            outcome = _outcome_of(task.result)
            if not (isinstance(outcome, Failed) and outcome.failure.code == STEP_BROKE):
                return outcome.result if isinstance(outcome, Done) else {}
        raise DeploymentFailed(f"{name} was broken off {_RECORD_TRIES} times.")

    def _settle(self, name: str, answer: Any) -> Outcome:
        """Takes a step's answer into the list; a sub-orchestration that broke all the same is a failed step."""
        outcome = _outcome_of(answer)
        attempts = answer["attempts"] if isinstance(answer, dict) else 1
        match outcome:
            case Done(message=message):
                self._move(name, "completed", message, attempts)
            case Failed(failure=failure):
                self._move(name, "failed", failure.message, attempts)
                self._untold[name] = self._rows[name]
                if failure.code == STEP_BROKE:
                    self._broken.add(name)
            case Cancelled(reason=reason):
                self._move(name, "cancelled", reason, attempts)
        return outcome

    def _told(self) -> dict[str, Any]:
        """What is to be written into the rows of steps that could not, if there are any; once."""
        untold, self._untold = self._untold, {}
        if not untold:
            return {}
        return {
            "told": {
                name: {part: row[part] for part in ("status", "message", "attempts")} for name, row in untold.items()
            }
        }

    def _move(self, name: str, status: str, message: str, attempts: int = 1) -> None:
        at = self._context.current_utc_datetime.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._rows[name] = {
            "step_name": name,
            "status": status,
            "timestamp": at,
            "message": message,
            "attempts": attempts,
        }

    def _show(self) -> None:
        self._context.set_custom_status(
            custom_status(
                deployment_id=self.deployment_id,
                spoke_id=self.spoke_id,
                kind=self.kind,
                status=self.status,
                rows=self._rows,
            )
        )


def _outcome_of(answer: Any) -> Outcome:
    if isinstance(answer, dict) and "outcome" in answer:
        return outcome_from_data(answer)
    return Failed(
        Failure(
            "DeploymentException",
            STEP_BROKE,
            "A step's sub-orchestration broke off.",
            "Its history in Durable Functions tells why.",
            {"reason": str(answer)[:300]},
        )
    )
