"""The story of a deployment: whatever its steps answer, and in whatever order, it settles, undoes, records and ends."""

import itertools
from collections.abc import Callable

import pytest

from local.functions.durable.store import Task
from shared.steps import STEPS, UNDOS
from tests.stories.theatre import POLICY, RUN, Script, Theatre, script

NewTheatre = Callable[[Script], Theatre]

STAGES = (
    ("validate_config",),
    ("create_vnet", "create_nsg"),
    ("create_subnets",),
    ("create_nic",),
    ("create_peering", "create_vm", "update_agw"),
    ("save_to_storage",),
)
STEP_NAMES = tuple(step.name for step in STEPS)
MAY_FAIL = tuple(step.name for step in STEPS if not step.keeps_trying)
UNDO_NAMES = tuple(undo.name for undo in UNDOS)


def begun_when(step: str) -> list[str]:
    """The steps that have begun when this one comes to rest: a whole stage begins at once."""
    last = next(number for number, stage in enumerate(STAGES) if step in stage)
    return [name for stage in STAGES[: last + 1] for name in stage]


def noted_when(step: str) -> list[str]:
    """The undos that are noted by then, in the order of a rollback."""
    noted = {undo for each in STEPS if each.name in begun_when(step) for undo in each.undos}
    return [name for name in UNDO_NAMES if name in noted]


def test_all_steps_in_their_order(new_theatre: NewTheatre) -> None:
    theatre = new_theatre(script())
    status = theatre.deploy()
    assert status.runtime_status == "Completed"
    assert status.output["status"] == "completed"
    assert theatre.script.performed == [name for stage in STAGES for name in stage]
    assert set(theatre.steps().values()) == {"completed"}
    assert status.custom_status["progress_percentage"] == 100


def test_results_of_earlier_steps_reach_the_later_ones_and_the_output(new_theatre: NewTheatre) -> None:
    theatre = new_theatre(script())
    output = theatre.deploy().output
    assert {name: output[name] for name in STEP_NAMES if name.startswith("create")} == {
        name: 1 for name in STEP_NAMES if name.startswith("create")
    }


@pytest.mark.parametrize("step", MAY_FAIL)
def test_a_failing_step_has_everything_undone_that_was_noted_before_it(new_theatre: NewTheatre, step: str) -> None:
    theatre = new_theatre(script(fails={step}))
    status = theatre.deploy()
    assert status.runtime_status == "Failed"
    assert f"{step}: {step} was refused (rolled back, nothing is left)" in status.output
    assert theatre.script.performed == [*begun_when(step), *noted_when(step)]
    assert theatre.script.recorded["begin_rollback"]["noted"] == noted_when(step)
    assert theatre.script.recorded["begin_rollback"]["error"]["step"] == step
    assert theatre.script.recorded["record_outcome"] == {"status": "failed", "left_behind": []}
    assert "list_left_behind" not in theatre.script.recorded
    assert theatre.steps()[step] == "failed"


@pytest.mark.parametrize("step", STEP_NAMES)
def test_a_deployment_cancelled_at_any_step_is_rolled_back(new_theatre: NewTheatre, step: str) -> None:
    theatre = new_theatre(script(cancels={step}))
    status = theatre.deploy()
    assert status.runtime_status == "Failed"
    assert theatre.script.performed == [*begun_when(step), *noted_when(step)]
    assert theatre.script.recorded["begin_rollback"]["error"]["details"]["code"] == "Cancelled"
    assert theatre.script.recorded["record_outcome"]["status"] == "failed"
    assert theatre.steps()[step] == "cancelled"


def test_a_failure_is_named_before_a_cancellation_beside_it(new_theatre: NewTheatre) -> None:
    theatre = new_theatre(script(cancels={"create_peering"}, fails={"create_vm"}))
    theatre.deploy()
    assert theatre.script.recorded["begin_rollback"]["error"]["step"] == "create_vm"


@pytest.mark.parametrize("step", MAY_FAIL)
def test_a_step_that_never_comes_to_rest_is_ended_by_its_deadline(new_theatre: NewTheatre, step: str) -> None:
    theatre = new_theatre(script(hangs={step}))
    begun = theatre.stage.clock.now()
    assert theatre.deploy().runtime_status == "Failed"
    deadline = {"create_vm": 200, "create_peering": 300, "update_agw": 300}.get(step, 100)
    assert theatre.stage.clock.now() - begun == pytest.approx(deadline)
    assert theatre.script.recorded["give_up_step"]["step"] == step
    assert theatre.script.recorded["give_up_step"]["failure"]["code"] == "DeadlineExceeded"
    assert theatre.script.performed == [*begun_when(step), *noted_when(step)]


def test_the_finished_record_is_tried_until_it_is_written(new_theatre: NewTheatre) -> None:
    theatre = new_theatre(script(hangs={"save_to_storage"}))
    begun = theatre.stage.clock.now()
    theatre.begin("deploy")
    theatre.until(lambda: theatre.stage.clock.now() > begun + 10 * POLICY.step_deadline_seconds)
    assert theatre.stage.status(RUN).runtime_status == "Running"
    theatre.script.hangs = frozenset()
    assert theatre.stage.run_to_end(RUN).runtime_status == "Completed"


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
def test_a_run_is_begun_once_and_durable_says_how_it_is(new_theatre: NewTheatre, run: str, durable: str) -> None:
    """Whether it is over, or another execution of it has begun it: nothing is done."""
    theatre = new_theatre(script())
    theatre.script.begun = {"begun": False, "status": run}
    assert theatre.deploy().runtime_status == durable
    assert theatre.script.performed == []


@pytest.mark.parametrize("times", [1, 3])
def test_a_record_that_someone_terminates_is_written_all_the_same_or_the_story_ends(
    new_theatre: NewTheatre, times: int
) -> None:
    """Without it the undos would find the run in progress, and do nothing; the sweeper takes up a story that ended."""
    theatre = new_theatre(script(fails={"create_nic"}))
    theatre.begin("deploy")
    for _ in range(times):
        theatre.until(lambda: any(task.name == "begin_rollback" for task in theatre.stage.pending))
        theatre.stage.fail("begin_rollback", "its host died")
        theatre.stage.terminate(f"{RUN}:begin_rollback", "by hand")
    assert theatre.stage.run_to_end(RUN).runtime_status == "Failed"
    assert ("delete_nic" in theatre.script.performed) == (times == 1)
    assert ("record_outcome" in theatre.script.recorded) == (times == 1)


# --- the ways back ---


@pytest.mark.parametrize("undo", UNDO_NAMES)
def test_a_failing_undo_stops_only_those_that_need_it(new_theatre: NewTheatre, undo: str) -> None:
    theatre = new_theatre(script(fails={"update_agw", undo}))
    status = theatre.deploy()
    assert status.runtime_status == "Failed"
    skipped = _needing(undo)
    undone = [name for name in theatre.script.performed if name in UNDO_NAMES]
    assert undone == [name for name in UNDO_NAMES if name not in skipped]
    outcome = theatre.script.recorded["record_outcome"]
    assert outcome["status"] == "rollback_failed"
    assert [left["step"] for left in outcome["left_behind"]] == [
        name for name in UNDO_NAMES if name in {undo, *skipped}
    ]
    for left in outcome["left_behind"]:
        assert left["reason"] == f"{undo} was refused" or "has to work first" in left["reason"]


@pytest.mark.parametrize("undo", UNDO_NAMES)
def test_an_undo_that_never_comes_to_rest_is_ended_by_its_deadline(new_theatre: NewTheatre, undo: str) -> None:
    theatre = new_theatre(script(fails={"update_agw"}, hangs={undo}))
    assert theatre.deploy().runtime_status == "Failed"
    assert theatre.script.recorded["record_outcome"]["status"] == "rollback_failed"
    assert theatre.script.recorded["give_up_step"]["step"] == undo


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


@pytest.mark.parametrize(
    "failing", [(), *itertools.combinations(SIDE_BY_SIDE, 1), *itertools.combinations(SIDE_BY_SIDE, 2)]
)
@pytest.mark.parametrize("order", ORDERS, ids=" ".join)
def test_a_stage_settles_in_every_order_before_anything_is_undone(
    new_theatre: NewTheatre, order: tuple[str, ...], failing: tuple[str, ...]
) -> None:
    theatre = new_theatre(script(fails=failing))
    status = theatre.deploy(_in_this_order(order))
    performed = theatre.script.performed
    assert [name for name in performed if name in order] == list(order)
    if not failing:
        assert status.runtime_status == "Completed"
        return
    assert status.runtime_status == "Failed"
    assert performed[-len(UNDO_NAMES) :] == list(UNDO_NAMES)
    first = next(name for name in order if name in failing)
    assert theatre.script.recorded["begin_rollback"]["error"]["step"] == first
    shown = theatre.steps()
    assert {name for name in order if shown[name] == "failed"} == set(failing)


def test_completions_that_come_together_are_all_taken(new_theatre: NewTheatre) -> None:
    theatre = new_theatre(script())
    theatre.begin("deploy")
    theatre.until(lambda: len(theatre.stage.pending) == len(SIDE_BY_SIDE))
    children = [task.instance for task in theatre.stage.pending]
    for task in theatre.stage.pending:
        taken = theatre.stage.engine.take_task(task.id)
        assert taken is not None
        theatre.stage._complete(taken)
    assert len(children) == len(SIDE_BY_SIDE)
    assert theatre.stage.run_to_end(RUN).runtime_status == "Completed"


def _in_this_order(order: tuple[str, ...]) -> Callable[[list[Task]], Task]:
    def first(tasks: list[Task]) -> Task:
        return min(tasks, key=lambda task: order.index(task.name) if task.name in order else -1)

    return first


# --- a step's sub-orchestration that breaks off ---


@pytest.mark.parametrize("step", ["create_nic", "create_vm", "update_agw"])
def test_a_terminated_child_is_a_failed_step(new_theatre: NewTheatre, step: str) -> None:
    theatre = new_theatre(script(hangs={step}))
    theatre.begin("deploy")
    theatre.until(lambda: step in theatre.script.performed)
    theatre.stage.terminate(f"{RUN}:{step}", "by hand")
    status = theatre.stage.run_to_end(RUN)
    assert status.runtime_status == "Failed"
    assert theatre.script.recorded["begin_rollback"]["error"]["details"]["code"] == "StepBroke"
    assert theatre.script.recorded["record_outcome"]["status"] == "failed"


# --- killed at every transition ---

KILLED = [
    ("to the end", script()),
    ("back", script(fails={"create_vm"})),
    ("back in part", script(fails={"update_agw", "delete_nic"})),
]


@pytest.mark.parametrize(
    ("remainder", "of"),
    [(0, 8), *(pytest.param(remainder, 8, marks=pytest.mark.full) for remainder in range(1, 8))],
)
@pytest.mark.parametrize(("fails"), [given.fails for _, given in KILLED], ids=[name for name, _ in KILLED])
def test_a_deployment_killed_at_any_transition_ends_all_the_same(
    new_theatre: NewTheatre, fails: frozenset[str], remainder: int, of: int
) -> None:
    whole = new_theatre(script(fails=fails))
    expected = whole.deploy()
    for kill_at in itertools.count(remainder or of, of):
        theatre = new_theatre(script(fails=fails))
        theatre.stage.crash_after(kill_at)
        if theatre.stage.survive(theatre.deploy):
            theatre.stage.crash()
        if not theatre.stage.exists(RUN):
            theatre.begin("deploy")
        status = theatre.stage.run_to_end(RUN)
        assert (status.runtime_status, status.output) == (expected.runtime_status, expected.output)
        assert theatre.script.performed == whole.script.performed
        assert theatre.script.recorded == whole.script.recorded
        theatre.stage.close()
        if not theatre.stage.was_killed:
            return
