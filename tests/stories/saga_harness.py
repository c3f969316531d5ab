"""The app's stories on a stage, with activities that answer by script: what the stories make of every answer.

    play = Play(stage_of, fails={"create_vm"})
    play.deploy()
    assert play.performed == [...]

An activity that isn't in the script is done at once. Nothing of Azure and no table is involved: what activities really
do is tested in tests/activities and tests/faults.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from local.functions.app import Function
from local.functions.durable.clock import VirtualClock
from local.functions.durable.stage import Stage, Status
from local.functions.durable.store import Task
from shared.data import as_data, from_data
from shared.errors import AzureResourceException, Failure
from shared.saga.instances import DELETE_SPOKE, DEPLOY_SPOKE
from shared.saga.outcomes import Call, Cancelled, Done, Failed, Outcome, Pending, outcome_as_data
from shared.saga.policy import Policy
from shared.saga.steps import STEP_NUMBERS, UNDO_NAMES, UNDOS

RUN = "deploy-acme-1-aaaa"
RECORDS = ("begin_run", "begin_rollback", "list_left_behind", "record_outcome", "give_up_step")
POLICY = Policy(
    poll_max_seconds=30,
    poll_default_seconds=30,
    step_deadline_seconds=100,
    vm_deadline_seconds=200,
    shared_deadline_seconds=300,
)
Document = dict[str, Any]


def refused(name: str, *, transient: bool = False) -> Failed:
    return Failed(Failure(AzureResourceException, "Refused", f"{name} was refused", transient=transient))


@dataclass
class ScriptedActivities:
    """What each activity answers, and what was asked of whom. Outlives any crash of the stage, as Azure does."""

    fails: frozenset[str] = frozenset()
    cancels: frozenset[str] = frozenset()
    hangs: frozenset[str] = frozenset()
    waits_for_writers: set[str] = field(default_factory=set)
    """Steps whose row isn't finished yet."""
    policy: Policy = POLICY
    kind: str = "deploy"
    refusal: Document | None = None
    """What `begin_run` answers instead of the run's row."""
    resumes: Document = field(default_factory=dict)
    """What it says of a run that is started again from its rows."""
    performed: list[str] = field(default_factory=list)
    called: list[str] = field(default_factory=list)
    """Every call, in order."""
    recorded: dict[str, Document] = field(default_factory=dict)
    given: dict[str, Document] = field(default_factory=dict)
    """What each step was given of the results of earlier ones."""

    def activity(self, name: str) -> Callable[[Document], Document]:
        def perform(payload: Document) -> Document:
            call = from_data(Call, payload)
            assert call.name == name
            self.called.append(name)
            if name in RECORDS:
                self.recorded[name] = call.given
            elif name not in self.performed:
                self.performed.append(name)
                self.given[name] = call.given
            return outcome_as_data(self._answer(call))

        return perform

    def _answer(self, call: Call) -> Outcome:
        name = call.name
        if name in self.fails:
            return refused(name)
        if name in self.cancels:
            return Cancelled("The deployment was cancelled.")
        if name in self.waits_for_writers:
            return Pending(f"waiting for the writer of {name}", woken=True)
        if name in self.hangs:
            return Pending(f"{name} is under way")
        if name == "begin_run":
            row = {"begun": True, "spoke_id": 1, "kind": self.kind, "policy": as_data(self.policy), "execution": 1}
            row["status"] = {"deploy": "in_progress", "delete": "deleting", "rollback": "rolling_back"}[self.kind]
            return Done("begun", self.refusal or row | self.resumes)
        if name == "list_left_behind":
            left = [
                {"step": step, "resource": f"of {step}", "reason": why} for step, why in call.given["undos"].items()
            ]
            return Done("looked", {"left_behind": left})
        return Done(f"{name}: ready", {name: f"of {name}"} if name not in UNDO_NAMES else {})


class SagaHarness:
    """A stage whose activities follow a script."""

    def __init__(self, functions: list[Function], path: str, script: ScriptedActivities) -> None:
        self.script = script
        scripted = {name: script.activity(name) for name in (*STEP_NUMBERS, *RECORDS)}
        self.stage = Stage(functions, path, activities=scripted, clock=VirtualClock())

    def deploy(self, order: Callable[[list[Task]], Task] | None = None) -> Status:
        self.begin("deploy")
        return self.stage.run_to_end(RUN, order)

    def delete(self, kind: str = "delete") -> Status:
        self.begin(kind)
        return self.stage.run_to_end(RUN)

    def begin(self, kind: str) -> None:
        self.script.kind = kind
        self.stage.start(DEPLOY_SPOKE if kind == "deploy" else DELETE_SPOKE, None, RUN)

    def until(self, happened: Callable[[], bool]) -> None:
        """Goes on step by step until this is so."""
        while not happened():
            assert self.stage.step() is not None

    def steps(self) -> dict[str, str]:
        """The state of each step and undo that the custom status shows."""
        shown: Document = self.stage.status(RUN).custom_status
        return {
            row["step_name"]: row["status"] for kind in ("deployment_steps", "rollback_steps") for row in shown[kind]
        }


def assert_undone(performed: list[str], names: Iterable[str]) -> None:
    """These undos were performed, and no other, each after those that it needs."""
    undone = [name for name in performed if name in UNDO_NAMES]
    assert sorted(undone) == sorted(names)
    assert performed[len(performed) - len(undone) :] == undone, "an undo before the end of a step"
    for undo in UNDOS:
        if undo.name in undone:
            assert set(undo.needs) & set(undone) <= set(undone[: undone.index(undo.name)]), undo.name


def script(*, fails: Iterable[str] = (), cancels: Iterable[str] = (), hangs: Iterable[str] = ()) -> ScriptedActivities:
    return ScriptedActivities(frozenset(fails), frozenset(cancels), frozenset(hangs))
