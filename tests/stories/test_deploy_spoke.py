"""The story of a deployment: whatever its steps answer, and in whatever order, it settles, undoes, records and ends."""

import itertools
import re
from collections.abc import Callable
from typing import Any

import pytest

from local.functions.durable.faults import Fault
from local.functions.durable.stage import Status
from local.functions.durable.store import Task
from local.recipes import ROOT
from shared.data import as_data
from shared.saga.instances import step_instance_id
from shared.saga.saga import MOST_TRIES
from shared.saga.steps import STEPS, UNDOS
from tests.stories.saga_harness import (
    POLICY,
    RUN,
    SagaHarness,
    ScriptedActivities,
    assert_undone,
    refused,
    script,
)

NewHarness = Callable[[ScriptedActivities], SagaHarness]

# The order of the steps is what the document draws: `a` → (`b` ∥ `c`) → `d`.
_DRAWN = re.search(
    r"^`validate_config` → .*$", (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"), re.MULTILINE
)
assert _DRAWN is not None
STAGES = tuple(tuple(re.findall(r"\w+", stage)) for stage in _DRAWN.group().split(" → "))
STEP_NAMES = tuple(step.name for step in STEPS)
MAY_FAIL = tuple(step.name for step in STEPS if step.deadline)
UNDO_NAMES = tuple(undo.name for undo in UNDOS)


def test_the_document_draws_every_step_once() -> None:
    drawn = [name for stage in STAGES for name in stage]
    differ = sorted(set(drawn) ^ set(STEP_NAMES))
    assert not differ, f"docs/architecture.md, The saga, and shared/saga/steps.py differ in {differ}"
    assert len(drawn) == len(STEP_NAMES)


def begun_when(step: str) -> list[str]:
    """The steps that have begun when this one finishes: a whole stage begins at once."""
    last = next(number for number, stage in enumerate(STAGES) if step in stage)
    return [name for stage in STAGES[: last + 1] for name in stage]


def noted_when(step: str) -> list[str]:
    """The undos that are noted by then, in the order of a rollback."""
    noted = {undo for each in STEPS if each.name in begun_when(step) for undo in each.undos}
    return [name for name in UNDO_NAMES if name in noted]


def assert_begun_and_undone(harness: SagaHarness, step: str) -> None:
    performed, begun = harness.script.performed, begun_when(step)
    assert performed[: len(begun)] == begun
    assert_undone(performed, noted_when(step))


def test_all_steps_in_their_order(new_harness: NewHarness) -> None:
    harness = new_harness(script())
    status = harness.deploy()
    assert status.runtime_status == "Completed"
    assert status.output["status"] == "completed"
    assert harness.script.performed == [name for stage in STAGES for name in stage]
    assert set(harness.steps().values()) == {"completed"}
    assert status.custom_status["progress_percentage"] == 100


def test_a_step_gets_what_it_is_given_and_the_record_and_the_output_all_that_was_made(new_harness: NewHarness) -> None:
    harness = new_harness(script())
    output = harness.deploy().output
    made = {
        name: f"of {name}" for name in ("validate_config", "create_nic", "create_peering", "create_vm", "update_agw")
    }
    assert {name: given for name, given in harness.script.given.items() if given} == {
        "create_vm": {"validate_config": "of validate_config"},
        "update_agw": {"create_nic": "of create_nic"},
        "save_to_storage": made,
    }
    assert {name: output[name] for name in made} == made


@pytest.mark.parametrize("step", MAY_FAIL)
def test_a_failing_step_has_everything_undone_that_was_noted_before_it(new_harness: NewHarness, step: str) -> None:
    harness = new_harness(script(fails={step}))
    status = harness.deploy()
    assert status.runtime_status == "Failed"
    assert f"{step}: {step} was refused (rolled back, nothing is left)" in status.output
    assert_begun_and_undone(harness, step)
    assert harness.script.recorded["begin_rollback"]["noted"] == noted_when(step)
    assert harness.script.recorded["begin_rollback"]["error"]["step"] == step
    assert harness.script.recorded["record_outcome"] == {"status": "failed", "left_behind": []}
    assert "list_left_behind" not in harness.script.recorded
    assert harness.steps()[step] == "failed"


@pytest.mark.parametrize("step", STEP_NAMES)
def test_a_deployment_cancelled_at_any_step_is_rolled_back(new_harness: NewHarness, step: str) -> None:
    harness = new_harness(script(cancels={step}))
    status = harness.deploy()
    assert status.runtime_status == "Failed"
    assert_begun_and_undone(harness, step)
    assert harness.script.recorded["begin_rollback"]["error"]["details"]["code"] == "Cancelled"
    assert harness.script.recorded["record_outcome"]["status"] == "failed"
    assert harness.steps()[step] == "cancelled"


def test_a_failure_is_named_before_a_cancellation_beside_it(new_harness: NewHarness) -> None:
    harness = new_harness(script(cancels={"create_peering"}, fails={"create_vm"}))
    harness.deploy()
    assert harness.script.recorded["begin_rollback"]["error"]["step"] == "create_vm"


@pytest.mark.parametrize("step", MAY_FAIL)
def test_a_step_that_never_finishes_is_ended_by_its_deadline(new_harness: NewHarness, step: str) -> None:
    harness = new_harness(script(hangs={step}))
    begun = harness.stage.clock.now()
    assert harness.deploy().runtime_status == "Failed"
    deadline = {"create_vm": 200, "create_peering": 300, "update_agw": 300}.get(step, 100)
    assert harness.stage.clock.now() - begun == pytest.approx(deadline)
    assert harness.script.recorded["give_up_step"]["step"] == step
    assert harness.script.recorded["give_up_step"]["failure"]["code"] == "DeadlineExceeded"
    assert_begun_and_undone(harness, step)


def test_the_finished_record_is_tried_until_it_is_written(new_harness: NewHarness) -> None:
    harness = new_harness(script(hangs={"save_to_storage"}))
    begun = harness.stage.clock.now()
    harness.begin("deploy")
    harness.until(lambda: harness.stage.clock.now() > begun + 10 * POLICY.step_deadline_seconds)
    assert harness.stage.status(RUN).runtime_status == "Running"
    harness.script.hangs = frozenset()
    assert harness.stage.run_to_end(RUN).runtime_status == "Completed"


@pytest.mark.parametrize(
    ("run", "durable"),
    [
        ("completed", "Completed"),
        ("deleted", "Completed"),
        ("failed", "Failed"),
        ("rollback_failed", "Failed"),
        ("in_progress", "Failed"),
    ],
)
def test_a_run_is_begun_once_and_durable_says_how_it_is(new_harness: NewHarness, run: str, durable: str) -> None:
    """Whether it is over, or another execution of it has begun it: nothing is done."""
    harness = new_harness(script())
    harness.script.refusal = {"begun": False, "status": run}
    assert harness.deploy().runtime_status == durable
    assert harness.script.performed == []


@pytest.mark.parametrize("times", [1, MOST_TRIES])
def test_a_record_that_an_operator_terminates_is_written_all_the_same_or_the_orchestration_ends(
    new_harness: NewHarness, times: int
) -> None:
    """Without it the undos would find the run in progress, and do nothing; the sweeper takes up a story that ended."""
    harness = new_harness(script(fails={"create_nic"}))
    harness.begin("deploy")
    for number in range(1, times + 1):
        harness.until(lambda: any(task.name == "begin_rollback" for task in harness.stage.pending))
        harness.stage.fail("begin_rollback", "its host died")
        harness.stage.terminate(step_instance_id(RUN, "begin_rollback", number), "by hand")
    assert harness.stage.run_to_end(RUN).runtime_status == "Failed"
    assert ("delete_nic" in harness.script.performed) == (times == 1)
    assert ("record_outcome" in harness.script.recorded) == (times == 1)


# --- the ways back ---


@pytest.mark.parametrize("undo", UNDO_NAMES)
def test_a_failing_undo_stops_only_those_that_need_it(new_harness: NewHarness, undo: str) -> None:
    harness = new_harness(script(fails={"update_agw", undo}))
    status = harness.deploy()
    assert status.runtime_status == "Failed"
    skipped = _needing(undo)
    assert_undone(harness.script.performed, [name for name in UNDO_NAMES if name not in skipped])
    outcome = harness.script.recorded["record_outcome"]
    assert outcome["status"] == "rollback_failed"
    assert [left["step"] for left in outcome["left_behind"]] == [
        name for name in UNDO_NAMES if name in {undo, *skipped}
    ]
    for left in outcome["left_behind"]:
        assert left["reason"] == f"{undo} was refused" or "has to work first" in left["reason"]


@pytest.mark.parametrize("undo", UNDO_NAMES)
def test_an_undo_that_never_finishes_is_ended_by_its_deadline(new_harness: NewHarness, undo: str) -> None:
    harness = new_harness(script(fails={"update_agw"}, hangs={undo}))
    assert harness.deploy().runtime_status == "Failed"
    assert harness.script.recorded["record_outcome"]["status"] == "rollback_failed"
    assert harness.script.recorded["give_up_step"]["step"] == undo


def test_the_order_of_a_rollback_fits_what_undos_need() -> None:
    for number, undo in enumerate(UNDOS):
        assert set(undo.needs) <= set(UNDO_NAMES[:number])
    assert {undo for step in STEPS for undo in step.undos} == set(UNDO_NAMES)


def _needing(undo: str) -> set[str]:
    """The undos that can't be tried without this one, directly or not."""
    found: set[str] = set()
    for each in UNDOS:
        if {undo, *found} & set(each.needs):
            found.add(each.name)
    return found


# --- side by side ---

SIDE_BY_SIDE = STAGES[4]
ORDERS = list(itertools.permutations(SIDE_BY_SIDE))
FAILING = [(), *itertools.combinations(SIDE_BY_SIDE, 1), *itertools.combinations(SIDE_BY_SIDE, 2)]


def marks(order: tuple[str, ...], failing: tuple[str, ...]) -> list[pytest.MarkDecorator]:
    """In the ordinary run failures meet the rotations: each step fails in each place, each of two before the other."""
    at = SIDE_BY_SIDE.index(order[0])
    return [] if not failing or order == SIDE_BY_SIDE[at:] + SIDE_BY_SIDE[:at] else [pytest.mark.full]


@pytest.mark.parametrize(
    ("order", "failing"),
    [
        pytest.param(order, failing, marks=marks(order, failing), id=f"{' '.join(order)}, failing {' '.join(failing)}")
        for order in ORDERS
        for failing in FAILING
    ],
)
def test_a_stage_settles_in_every_order_before_anything_is_undone(
    new_harness: NewHarness, order: tuple[str, ...], failing: tuple[str, ...]
) -> None:
    harness = new_harness(script(fails=failing))
    status = harness.deploy(_in_this_order(order))
    performed = harness.script.performed
    assert [name for name in performed if name in order] == list(order)
    if not failing:
        assert status.runtime_status == "Completed"
        return
    assert status.runtime_status == "Failed"
    assert_undone(performed, UNDO_NAMES)
    first = next(name for name in order if name in failing)
    assert harness.script.recorded["begin_rollback"]["error"]["step"] == first
    shown = harness.steps()
    assert {name for name in order if shown[name] == "failed"} == set(failing)


def test_completions_that_come_together_are_all_taken(new_harness: NewHarness) -> None:
    harness = new_harness(script())
    harness.begin("deploy")
    harness.until(lambda: len(harness.stage.pending) == len(SIDE_BY_SIDE))
    children = [task.instance for task in harness.stage.pending]
    for task in harness.stage.pending:
        taken = harness.stage.engine.take_task(task.id)
        assert taken is not None
        harness.stage._complete(taken)
    assert len(children) == len(SIDE_BY_SIDE)
    assert harness.stage.run_to_end(RUN).runtime_status == "Completed"


def _in_this_order(order: tuple[str, ...]) -> Callable[[list[Task]], Task]:
    def first(tasks: list[Task]) -> Task:
        return min(tasks, key=lambda task: order.index(task.name) if task.name in order else -1)

    return first


# --- a step's sub-orchestration that breaks off ---


@pytest.mark.parametrize("how", ["worker_exit", "non_determinism"])
@pytest.mark.parametrize("step", ["validate_config", "create_nic", "create_vm"])
def test_a_step_whose_worker_dies_is_begun_again(new_harness: NewHarness, step: str, how: str) -> None:
    harness = new_harness(script())
    episode = 2 if how == "non_determinism" else None
    harness.stage.faults.add(Fault("fail", instance=f":{step}(:|$)", how=how, episode=episode, times=MOST_TRIES - 1))
    status = harness.deploy()
    assert status.runtime_status == "Completed"
    assert harness.stage.status(step_instance_id(RUN, step, MOST_TRIES)).runtime_status == "Completed"
    assert sorted(harness.script.performed) == sorted(STEP_NAMES)


@pytest.mark.parametrize("undo", ["remove_from_agw", "delete_nic", "release_reservations"])
def test_an_undo_whose_worker_dies_is_begun_again(new_harness: NewHarness, undo: str) -> None:
    harness = new_harness(script(fails={"update_agw"}))
    harness.stage.faults.add(Fault("fail", instance=f":{undo}", times=3))
    harness.deploy()
    assert harness.script.recorded["record_outcome"] == {"status": "failed", "left_behind": []}
    assert_undone(harness.script.performed, UNDO_NAMES)


def test_a_step_that_breaks_off_again_and_again_has_failed(new_harness: NewHarness) -> None:
    harness = new_harness(script())
    harness.stage.faults.add(Fault("fail", instance=":create_vm", times=None))
    begun = harness.stage.clock.now()
    assert harness.deploy().runtime_status == "Failed"
    assert harness.script.recorded["begin_rollback"]["error"]["details"]["code"] == "StepBroke"
    assert harness.script.recorded["record_outcome"]["status"] == "failed"
    assert harness.stage.clock.now() - begun > 60, "its tries follow each other after growing waits"


def test_all_tries_of_a_step_share_one_deadline(new_harness: NewHarness) -> None:
    harness = new_harness(script(hangs={"create_nic"}))
    begun = harness.stage.clock.now()
    harness.begin("deploy")
    harness.until(lambda: harness.stage.clock.now() >= begun + POLICY.step_deadline_seconds / 2)
    harness.stage.terminate(f"{RUN}:create_nic", "by hand")
    assert harness.stage.run_to_end(RUN).runtime_status == "Failed"
    assert harness.stage.clock.now() - begun == pytest.approx(POLICY.step_deadline_seconds)
    assert harness.script.recorded["begin_rollback"]["error"]["details"]["code"] == "DeadlineExceeded"


# --- started again from its rows ---


def ended(*names: str) -> dict[str, Any]:
    """These steps as the rows of an earlier execution tell of them."""
    outcome = {"outcome": "done", "message": "done before", "attempts": 1, "at": "2026-01-01T00:00:00.000Z"}
    return {name: {**outcome, "result": {name: "from before"}} for name in names}


@pytest.mark.parametrize("stage", range(1, len(STAGES)))
def test_a_deployment_that_is_started_again_does_not_repeat_what_has_ended(new_harness: NewHarness, stage: int) -> None:
    before = [name for each in STAGES[:stage] for name in each] + [STAGES[stage][0]]
    harness = new_harness(script())
    harness.script.resumes = {"execution": 2, "ended": ended(*before[: len(before) - (stage == len(STAGES) - 1)])}
    status = harness.deploy()
    assert status.runtime_status == "Completed"
    assert status.output["create_nic"] == (
        "from before" if "create_nic" in harness.script.resumes["ended"] else "of create_nic"
    )
    assert set(harness.script.performed) | set(before) == set(STEP_NAMES)
    assert not set(harness.script.performed) & (set(before) - {"save_to_storage"})
    assert set(harness.steps().values()) == {"completed"}


def test_a_step_that_had_failed_before_is_rolled_back_after_its_siblings_have_ended(new_harness: NewHarness) -> None:
    before = [name for each in STAGES[:4] for name in each]
    refusal = {"outcome": "failed", "failure": as_data(refused("create_vm").failure), "attempts": 2, "at": ""}
    harness = new_harness(script())
    harness.script.resumes = {"execution": 2, "ended": ended(*before) | {"create_vm": refusal}}
    assert harness.deploy().runtime_status == "Failed"
    assert harness.script.performed[:2] == ["create_peering", "update_agw"]
    assert harness.script.recorded["begin_rollback"]["error"]["message"] == "create_vm was refused"
    assert_undone(harness.script.performed, UNDO_NAMES)


def test_a_rollback_that_is_started_again_undoes_the_rest(new_harness: NewHarness) -> None:
    noted = noted_when("create_nic")
    error = {"error": "AzureResourceException", "message": "No room.", "details": {"code": "X"}, "step": "create_nic"}
    harness = new_harness(script())
    harness.script.resumes = {
        "execution": 3, "status": "rolling_back", "noted": noted, "error": error, "ended": ended("delete_nic"),
    }  # fmt: skip
    status = harness.deploy()
    assert (status.runtime_status, "create_nic: No room." in status.output) == ("Failed", True)
    assert_undone(harness.script.performed, [name for name in noted if name != "delete_nic"])
    assert harness.script.recorded["record_outcome"] == {"status": "failed", "left_behind": []}


# --- undos side by side ---


def test_what_does_not_need_the_gateway_is_undone_while_it_is_waited_for(new_harness: NewHarness) -> None:
    harness = new_harness(script(fails={"update_agw"}, hangs={"remove_from_agw"}))
    harness.begin("deploy")
    harness.until(lambda: "delete_peering" in harness.script.performed)
    assert "delete_vm" not in harness.script.performed
    assert harness.stage.run_to_end(RUN).runtime_status == "Failed"
    left = [each["step"] for each in harness.script.recorded["record_outcome"]["left_behind"]]
    assert left == [name for name in UNDO_NAMES if name == "remove_from_agw" or name in _needing("remove_from_agw")]


def test_what_ends_early_is_followed_at_once_while_others_are_waited_for(new_harness: NewHarness) -> None:
    """New tasks are sent beside others that are under way: the ones behind them must not wait for the slowest."""
    harness = new_harness(script(fails={"update_agw"}, hangs={"delete_os_disk", "delete_peering"}))
    begun = harness.stage.clock.now()
    harness.begin("deploy")
    harness.until(lambda: "delete_nic" in harness.script.performed)
    assert harness.stage.clock.now() == begun
    harness.script.hangs = frozenset({"delete_os_disk"})
    harness.until(lambda: "delete_nsg" in harness.script.performed)
    assert harness.stage.clock.now() - begun <= 2 * POLICY.poll_default_seconds


# --- killed at every transition ---

KILLED = [
    ("to the end", script()),
    ("back", script(fails={"create_vm"})),
    ("back in part", script(fails={"update_agw", "delete_nic"})),
]


AS_THEY_FAIL = pytest.mark.parametrize("fails", [given.fails for _, given in KILLED], ids=[name for name, _ in KILLED])


@AS_THEY_FAIL
def test_a_deployment_killed_after_every_second_transition_ends_all_the_same(
    new_harness: NewHarness, fails: frozenset[str]
) -> None:
    whole, harness = new_harness(script(fails=fails)), new_harness(script(fails=fails))
    expected = whole.deploy()
    assert harness.stage.survive_all(2, lambda: resume(harness)) >= 20
    assert_ended_alike(harness, whole, expected)


@pytest.mark.full
@pytest.mark.parametrize(("remainder", "of"), [(remainder, 8) for remainder in range(8)])
@AS_THEY_FAIL
def test_a_deployment_killed_at_any_transition_ends_all_the_same(
    new_harness: NewHarness, fails: frozenset[str], remainder: int, of: int
) -> None:
    whole = new_harness(script(fails=fails))
    expected = whole.deploy()
    for kill_at in itertools.count(remainder or of, of):
        harness = new_harness(script(fails=fails))
        harness.stage.crash_after(kill_at)
        if harness.stage.survive(harness.deploy):
            harness.stage.crash()
        resume(harness)
        assert_ended_alike(harness, whole, expected)
        harness.stage.close()
        if not harness.stage.was_killed:
            return


def resume(harness: SagaHarness) -> Status:
    """Begins the deployment unless it has begun, and plays it to its end."""
    return harness.stage.run_to_end(RUN) if harness.stage.exists(RUN) else harness.deploy()


def assert_ended_alike(harness: SagaHarness, whole: SagaHarness, expected: Status) -> None:
    status = harness.stage.status(RUN)
    assert (status.runtime_status, status.output) == (expected.runtime_status, expected.output)
    assert harness.script.performed == whole.script.performed
    assert harness.script.recorded == whole.script.recorded
