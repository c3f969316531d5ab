"""The saga: steps run one by one or side by side, undos noted before their acts, everything settled before it is undone.

Used by the orchestrations in `orchestrators`; knows Durable's context and nothing of Azure. Each step runs in a `run_step`
sub-orchestration of its own, which answers with data and never raises.
"""

from collections.abc import Generator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from shared.data import as_data, from_data
from shared.errors import DeploymentException, Failure, error_class
from shared.saga.instances import RUN_STEP, is_run_id, step_instance_id
from shared.saga.outcomes import Call, Cancelled, Done, Failed, Outcome, outcome_from_data
from shared.saga.policy import Policy
from shared.saga.progress import ProgressStep, custom_status
from shared.saga.step_run import StepRun
from shared.saga.steps import (
    BEGIN_ROLLBACK,
    BEGIN_RUN,
    LIST_LEFT_BEHIND,
    RECORD_OUTCOME,
    STEP_NUMBERS,
    UNDOS,
    Result,
    Step,
    Undo,
)
from shared.spoke.records import WELL, LeftBehind, StepStatus
from shared.timestamps import as_timestamp

if TYPE_CHECKING:
    from azure.durable_functions import DurableOrchestrationContext

STEP_BROKE = "StepBroke"
# What `begin_run` answers, as the status, to an orchestrator that doesn't carry out runs of this kind.
NOT_OF_THIS_KIND = "of another kind"
# How the row is asked for; from then on the run's own limits hold.
BEFORE_THE_ROW = Policy(retry_first_seconds=1.0)

# Shorter than what makes a run stand still (`shared.recovery.runs.liveness`): these looks write no row.
_LOOK_SECONDS = 300.0


class StepsFailed(Exception):  # noqa: N818 - the saga's word for what happened
    """A stage has settled and not all of it worked. `failure` is its first cause."""

    def __init__(self, failure: Failure, step: str) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.step = step


class DeploymentFailed(Exception):  # noqa: N818 - what Durable's status shows
    """Raised by an orchestration after its rollback and its record, so that Durable and the Portal say `Failed`."""


class Saga:
    """One run of an orchestration.

    Only its instance id is taken from the start: everyone with the Durable system key can start anything under any id, with
    any input. The id names the run; kind, spoke and limits are read from the run's row by the first activity.
    """

    def __init__(self, context: "DurableOrchestrationContext", orchestrator: str) -> None:
        self._context = context
        self._orchestrator = orchestrator
        self.deployment_id: str = context.instance_id
        self.spoke_id: int | None = None
        self.kind = ""
        self.policy = BEFORE_THE_ROW
        self.status = "not_started"
        self._execution = 1
        # Of a run that is started again from its rows: its steps that had ended, and why it was being rolled back.
        self._ended: dict[str, dict[str, Any]] = {}
        self._error: dict[str, Any] | None = None
        self._rows: dict[str, ProgressStep] = {}
        self._noted: set[str] = set()
        # What steps may not have come to write into their own rows: the next record of the run does it for them.
        self._untold: dict[str, ProgressStep] = {}
        self._broken: set[str] = set()
        self._children = Children(context)

    # --- the forward way ---

    def begin(self) -> Generator[Any, Any, bool]:
        """Moves the run from `accepted` on, or goes on where its rows say; False when there is none of this id and kind, or
        when it has ended well before: then the orchestration ends quietly.

        A run that has failed before, or that another orchestration has begun, raises. Who restarts an orchestration in
        Durable Functions has a new one of the same id, and the children of the old one may still run.
        """
        if not is_run_id(self.deployment_id):
            return False
        begun = yield from self._record(BEGIN_RUN, begun_by=self._context.new_uuid(), orchestrator=self._orchestrator)
        if begun.get("begun"):
            self.spoke_id, self.kind = begun["spoke_id"], begun["kind"]
            self.policy = from_data(Policy, begun["policy"])
            self.status = begun["status"]
            self._execution = begun["execution"]
            self._ended = begun.get("ended", {})
            self._error = begun.get("error")
            self._noted.update(begun.get("noted", ()))
            self._show()
            return True
        status = begun.get("status", "gone")
        if status in WELL:
            self.status = status
        elif status != NOT_OF_THIS_KIND:
            raise DeploymentFailed(f"This run is not begun again: it is {status}.")
        return False

    def resume_rollback(self) -> None:
        """Raises why the run was being rolled back, when it was started again from its rows in the middle of that."""
        if self.kind == "deploy" and self.status == "rolling_back":
            raise StepsFailed(_failure_in(self._error or {}), (self._error or {}).get("step", "the deployment"))

    def run(self, step: Step) -> Generator[Any, Any, Result]:
        """The result of one step; `StepsFailed` when it finished without being done."""
        (result,) = yield from self.run_together(step)
        return result

    def run_together(self, *steps: Step) -> Generator[Any, Any, list[Result]]:
        """The results of steps side by side, in their order. All of them end before `StepsFailed` tells that one didn't work.

        Settled one by one, because `task_all` fails on the first failing child while its siblings still build. Steps that
        had ended before the run was started again are not begun again.
        """
        outcomes: dict[str, Outcome] = {}
        for step in steps:
            self._noted.update(step.undos)
            if step.name in self._ended:
                outcomes[step.name] = self._settle(step.name, self._ended[step.name])
                continue
            self._move(step.name, "in_progress", "")
            self._start(step.name, getattr(self.policy, step.deadline) if step.deadline else None, step.data)
        self._show()
        while self._children.count:
            name, answer = yield from self._children.next_settled()
            outcomes[name] = self._settle(name, answer)
            self._show()
        if any(step.name in self._broken for step in steps):
            # What broke a step's sub-orchestration off did not stop a call of it that was under way.
            yield self._context.create_timer(
                self._context.current_utc_datetime + timedelta(seconds=self.policy.last_call_seconds)
            )
        results = _results_of(outcomes)
        return [results[step.name] for step in steps]

    def finished(self, spoke: Result | None = None) -> dict[str, Any]:
        """What the orchestration answers when all has gone well: Durable's output. spoke: what its steps made."""
        self.status = "completed" if self.kind == "deploy" else "deleted"
        self._show()
        return {"deployment_id": self.deployment_id, "spoke_id": self.spoke_id, "status": self.status, **(spoke or {})}

    # --- the way back ---

    def roll_back(self, cause: StepsFailed) -> Generator[Any, Any, list[dict[str, Any]] | None]:
        """Undoes what was noted and records the outcome; answers what is left behind.

        None when there is nothing to undo: who stopped the last step's sub-orchestration did so after its record was
        written, and a completed spoke is its caller's.
        """
        error = {**cause.failure.public(), "step": cause.step}
        noted = [undo.name for undo in self._noted_undos()]
        begun = yield from self._record(BEGIN_ROLLBACK, error=error, noted=noted, **self._told())
        if begun.get("completed"):
            self._move(cause.step, "completed", "", self._rows[cause.step].attempts)
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

    def _noted_undos(self) -> list[Undo]:
        return [undo for undo in UNDOS if undo.name in self._noted]

    def _undo_noted(self) -> Generator[Any, Any, list[dict[str, Any]]]:
        """The noted undos, each as soon as those that it needs have ended. A failing one stops only those that need it."""
        undos = self._noted_undos()
        ended: dict[str, str | None] = {}  # by name, why it failed
        while True:
            undos = [undo for undo in undos if not self._begin_undo(undo, ended)]
            self._show()
            if not self._children.count:
                break
            name, answer = yield from self._children.next_settled()
            ended[name] = _reason_of(self._settle(name, answer))
        failed = {undo.name: ended[undo.name] for undo in UNDOS if ended.get(undo.name) is not None}
        if not failed:
            return []
        found = yield from self._record(LIST_LEFT_BEHIND, seconds=_LOOK_SECONDS, undos=failed)
        unseen = [as_data(LeftBehind(name, None, str(reason))) for name, reason in failed.items()]
        left: list[dict[str, Any]] = found.get("left_behind", unseen)
        return left

    def _begin_undo(self, undo: Undo, ended: dict[str, str | None]) -> bool:
        """Begins an undo if it may begin, or enters into `ended` that it needn't or can't; False when it has to wait."""
        needs = [need for need in undo.needs if need in self._noted]
        if undo.name in self._ended:
            ended[undo.name] = _reason_of(self._settle(undo.name, self._ended[undo.name]))
        elif missing := [need for need in needs if ended.get(need) is not None]:
            reason = f"not tried, because {missing[0]} has to work first"
            ended[undo.name] = reason
            self._move(undo.name, "pending", reason, attempts=0)
            self._untold[undo.name] = self._rows[undo.name]
        elif all(need in ended for need in needs):
            self._move(undo.name, "in_progress", "")
            self._start(undo.name, getattr(self.policy, undo.deadline), {})
        else:
            return False
        return True

    # --- inside ---

    def _start(self, name: str, seconds: float | None, given: Result) -> None:
        """Starts the `run_step` of one step or undo. seconds: its deadline, None for what keeps trying."""
        number, execution = STEP_NUMBERS.get(name), self._execution
        call = Call(self.deployment_id, self.spoke_id, name, number=number, given=given, execution=execution)
        self._children.start(StepRun(call, self.policy, deadline_seconds=seconds))

    def _record(self, name: str, *, seconds: float | None = None, **given: Any) -> Generator[Any, Any, dict[str, Any]]:
        """An activity that is no step; `{}` when it did not work in spite of all trying.

        Without it the run would not be where the orchestration is: when it is broken off again and again, the orchestration ends, and a
        timer starts the run again from its rows.
        """
        self._start(name, seconds, given)
        settled, answer = yield from self._children.next_settled()
        assert settled == name, "no step is under way while the run's record is written"
        if not is_answer(answer):
            raise DeploymentFailed(f"{name} was broken off again and again: {str(answer)[:300]}")
        outcome = _outcome_of(answer)
        return outcome.result if isinstance(outcome, Done) else {}

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
        told = {
            name: {"status": row.status, "message": row.message, "attempts": row.attempts}
            for name, row in untold.items()
        }
        return {"told": told} if told else {}

    def _move(self, name: str, status: StepStatus, message: str, attempts: int = 1) -> None:
        at = as_timestamp(self._context.current_utc_datetime)
        self._rows[name] = ProgressStep(name, status, at, message, attempts)

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


def _results_of(outcomes: dict[str, Outcome]) -> dict[str, Result]:
    """What the steps of a stage answered; `StepsFailed` with its first failure, or else its first cancellation."""
    for name, outcome in outcomes.items():
        if isinstance(outcome, Failed):
            raise StepsFailed(outcome.failure, name)
    for name, outcome in outcomes.items():
        if isinstance(outcome, Cancelled):
            raise StepsFailed(Failure(DeploymentException, "Cancelled", outcome.reason), name)
    return {name: outcome.result for name, outcome in outcomes.items() if isinstance(outcome, Done)}


def _reason_of(outcome: Outcome) -> str | None:
    """Why an undo did not work; None when it did."""
    if isinstance(outcome, Failed):
        return outcome.failure.message
    return outcome.reason if isinstance(outcome, Cancelled) else None


def _failure_in(error: dict[str, Any]) -> Failure:
    """The failure of which a record shows this (`Failure.public`)."""
    details = dict(error.get("details") or {})
    code, hint = details.pop("code", "Unknown"), details.pop("hint", None)
    return Failure(
        error_class(error.get("error", "DeploymentException")),
        code,
        error.get("message", "It failed before."),
        hint,
        details,
    )


def _outcome_of(answer: Any) -> Outcome:
    if is_answer(answer):
        return outcome_from_data(answer)
    return Failed(
        Failure(
            DeploymentException,
            STEP_BROKE,
            "A step's sub-orchestration was broken off again and again.",
            "Its history in Durable Functions tells why.",
            {"reason": str(answer)[:300]},
        )
    )


# So often a step is begun before it has failed as `StepBroke`.
MOST_TRIES = 8


@dataclass(frozen=True)
class _Child:
    """pauses: its last try broke off, and the next one is waited for."""

    run: StepRun
    number: int = 1
    pauses: bool = False

    @property
    def name(self) -> str:
        return self.run.call.name


class Children:
    """`start` as many as may run side by side, then take `next_settled` until `count` is 0."""

    def __init__(self, context: "DurableOrchestrationContext") -> None:
        self._context = context
        self._waiting: dict[Any, _Child] = {}
        self._unsent: list[Any] = []

    @property
    def count(self) -> int:
        return len(self._waiting)

    def start(self, run: StepRun) -> None:
        """Begins a step at the next `next_settled`. All its tries share one deadline."""
        self._call(_Child(run.begun(self._context.current_utc_datetime)))

    def next_settled(self) -> Generator[Any, Any, tuple[str, Any]]:
        """The name of the next child that has ended, and its answer; of one that broke too often, what Durable says."""
        while True:
            yield from self._send()
            task = yield self._context.task_any(list(self._waiting))
            child = self._waiting.pop(task)
            if child.pauses:
                self._call(replace(child, number=child.number + 1, pauses=False))
            elif is_answer(task.result) or child.number >= MOST_TRIES:
                return child.name, task.result
            else:
                run_id, policy = self._context.instance_id, child.run.policy
                seconds = policy.refusal_wait(run_id, child.name, child.number, None)
                self._await(self._timer(seconds), replace(child, pauses=True))

    def _call(self, child: _Child) -> None:
        instance_id = step_instance_id(self._context.instance_id, child.name, child.number)
        self._await(self._context.call_sub_orchestrator(RUN_STEP, as_data(child.run), instance_id=instance_id), child)

    def _await(self, task: Any, child: _Child) -> None:
        self._waiting[task] = child
        self._unsent.append(task)

    def _send(self) -> Generator[Any, Any, None]:
        """Hands new tasks to Durable while others are under way.

        A `task_any` is sent with its new tasks only, and the extension waits for one of those before it reads on: a timer
        that is due at once lets it, so that what ended earlier is seen, and followed, right away.
        """
        new, self._unsent = self._unsent, []
        if new and len(new) < len(self._waiting):
            yield self._context.task_any([*new, self._timer(0)])

    def _timer(self, seconds: float) -> Any:
        return self._context.create_timer(self._context.current_utc_datetime + timedelta(seconds=seconds))


def is_answer(result: Any) -> bool:
    """Whether `run_step` itself answered; Durable gives an exception for one that was broken off."""
    return isinstance(result, dict) and "outcome" in result
