"""Orchestrations on a stage: what they come to, and that a kill at any of their transitions changes nothing."""

import itertools
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from local.functions.app import ORCHESTRATION, Function
from local.functions.durable.clock import VirtualClock
from local.functions.durable.engine import AlreadyExistsError, Engine, RefusedError, StorageError
from local.functions.durable.episode import Episode
from local.functions.durable.stage import CrashedError, Stage, StuckError, in_this_process
from local.functions.durable.store import Store

COMPLETE: list[tuple[str, Any, Any]] = [
    ("hello", "you", "hello you"),
    ("hello", None, "hello None"),
    ("chain", {"steps": 4}, 4),
    ("fan_out", 6, 30),
    ("race", None, [0, 1, 2]),
    ("parent", {"input": {"steps": 2}}, {"child": 2}),
    ("parent", {"input": {"steps": 2}, "id": "kid"}, {"child": 2}),
    ("parent", {"child": "counter", "input": {"seen": [], "goal": 3}, "id": "kid"}, {"child": [[0, 1, 2], "run"]}),
    ("parent", {"child": "family", "input": 1, "id": "kid"}, {"child": ["kid", "run", "", 1]}),
    ("sleeper", 20, 20.0),
    ("sleeper", 30 * 24 * 3600, 30 * 24 * 3600.0),
    ("deadline", None, ["work", "after"]),
    ("approval", 5, "nobody came"),
    ("counter", {"seen": [], "goal": 4}, [[0, 1, 2, 3], None]),
    ("settle", None, ["Exception", "after"]),
    ("deterministic", None, {"same": True, "different": True}),
    ("counts", "a", [3, 3, 3, "what is nonsense?"]),
    ("outcome_of", "say_what_cannot_be_written", ["half \ufffd", "NaN", "-Infinity"]),
]
FAIL: list[tuple[str, Any, str]] = [
    ("raises", None, "Orchestrator function 'raises' failed: the story ends badly"),
    (
        "raises_at_once",
        None,
        "Orchestrator function 'raises_at_once' failed: One or more errors occurred. (Result: Failure",
    ),
    (
        "leaves",
        None,
        "Orchestrator function 'leaves' failed: One or more errors occurred. (python exited with code 3 (0x3",
    ),
    ("bad_result", None, "activity trigger output must be json serializable"),
    ("bad_output", None, "Orchestrator function 'bad_output' failed: Object of type set is not JSON serializable"),
    ("reports", {"status": "x" * 9000}, "must not exceed 16 KB. The current payload size is 17 KB."),
    ("reports", {"status": "x" * 9000, "first": True}, "Non-Deterministic workflow detected"),
]


@pytest.mark.parametrize(("name", "given", "output"), COMPLETE)
def test_an_orchestration_completes_also_when_killed_at_any_transition(
    new_stage: Callable[..., Stage], name: str, given: Any, output: Any
) -> None:
    for kill_at in itertools.count(1):
        stage = new_stage()
        stage.crash_after(kill_at)
        if stage.survive(partial(stage.carry_out, name, given, "run")):
            stage.crash()
        if not stage.exists("run"):
            stage.start(name, given, "run")
        status = stage.run_to_end("run")
        assert (status.runtime_status, status.output) == ("Completed", output)
        if not stage.was_killed:
            return


@pytest.mark.parametrize(("name", "given", "words"), FAIL)
def test_an_orchestration_fails_in_the_extensions_words(stage: Stage, name: str, given: Any, words: str) -> None:
    status = stage.carry_out(name, given)
    assert status.runtime_status == "Failed"
    assert words in status.output


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_task_any_sees_completions_in_the_order_in_which_they_come(stage: Stage, order: tuple[int, ...]) -> None:
    run = stage.start("race")
    tasks = stage.pending
    for number in order:
        stage.complete(tasks[number])
    assert stage.status(run).output == list(order)


def test_completions_that_come_together_are_one_episode(stage: Stage) -> None:
    run = stage.start("race")
    for task in reversed(stage.pending):
        stage.record(task)
    assert stage.play() == 1
    assert stage.status(run).output == [2, 1, 0]


@pytest.mark.parametrize(("failures", "attempts", "output"), [(0, 3, [1, "after"]), (2, 3, [3, "after"])])
def test_a_retry_goes_on_after_the_pause(stage: Stage, failures: int, attempts: int, output: list[Any]) -> None:
    given = {"name": f"{failures}-{attempts}", "failures": failures, "attempts": attempts, "pause": 7000}
    run = stage.start("retried", given)
    begun = stage.clock.now()
    assert stage.run_to_end(run).output == output
    assert stage.clock.now() - begun == pytest.approx(7 * failures)


def test_the_last_failed_attempt_is_followed_by_one_more_timer_due_at_once(stage: Stage) -> None:
    run = stage.start("retried", {"name": "hopeless", "failures": 9, "attempts": 2})
    status = stage.run_to_end(run)
    assert status.runtime_status == "Failed"
    assert "attempt 2" in status.output
    kinds = [event["EventType"] for event in stage.history(run) if event["EventType"] in (4, 10)]
    assert kinds == [4, 10, 4, 10]


def test_retries_side_by_side_use_up_ids_as_the_sdk_counts_them(stage: Stage) -> None:
    names = ["side-a", "side-b", "side-c"]
    assert stage.carry_out("retried_side_by_side", names).output == [1, 2, 3]


def test_a_sub_orchestration_with_a_retry_is_started_anew(stage: Stage) -> None:
    run = stage.start("parent_with_retry", "again")
    assert stage.run_to_end(run).output == 3
    children = [one for one in stage.instances() if one.name == "fails_first"]
    assert sorted(one.runtime_status for one in children) == ["Completed", "Failed", "Failed"]


def test_a_failure_reaches_the_parent(stage: Stage) -> None:
    output = stage.carry_out("parent_of_failing").output
    assert output.startswith(
        "Orchestrator function 'raises' failed: the story ends badly \n Message: the story ends badly"
    )


def test_an_activitys_exception_arrives_as_text(stage: Stage) -> None:
    output = stage.carry_out("caught").output
    assert output.startswith("Activity function 'fail' failed: ValueError: no luck with this \n ")
    assert "local/functions" not in output


def test_task_all_in_azure_waits_for_the_siblings_of_a_failed_task_before_anything_new_is_scheduled(
    stage: Stage,
) -> None:
    run = stage.start("settle")
    stage.complete("fail")
    assert [task.name for task in stage.pending] == ["echo"]
    stage.complete("echo")
    assert [stage.input_of(task) for task in stage.pending] == ["after"]
    stage.run_to_end(run)


def test_an_orchestration_that_returns_completes_only_when_its_activities_are_done(stage: Stage) -> None:
    run = stage.start("left_open")
    stage.complete("echo")
    assert stage.status(run).runtime_status == "Running"
    stage.settle("slow", "done")
    assert stage.status(run).output == "quick"


def test_a_cancelled_timer_does_not_keep_an_orchestration_waiting(stage: Stage) -> None:
    run = stage.start("deadline")
    stage.run_until_idle()
    assert stage.status(run).runtime_status == "Completed"
    assert stage.next_timer is None


def test_a_long_timer_is_split_into_pieces_of_three_days(stage: Stage) -> None:
    run = stage.start("sleeper", 8 * 24 * 3600)
    firings = 0
    while stage.advance_to_next_timer():
        firings += 1
    assert stage.status(run).output == 8 * 24 * 3600
    assert firings == 2


def test_timers_fire_each_at_its_own_time(stage: Stage) -> None:
    runs = [stage.start("sleeper", seconds) for seconds in (30, 10, 20)]
    stage.advance(25)
    assert [stage.status(run).runtime_status for run in runs] == ["Running", "Completed", "Completed"]
    assert [stage.status(run).output for run in runs[1:]] == [10.0, 20.0]


def test_a_timer_that_could_not_be_written_down_fires_later(durable_functions: list[Function], tmp_path: Path) -> None:
    def refuse(moment: str) -> None:
        if locked and moment == "begin":
            raise sqlite3.OperationalError("database is locked")

    locked, clock, store = False, VirtualClock(), Store(tmp_path / "durable.sqlite", refuse)
    orchestrators = {one.name: in_this_process(one) for one in durable_functions if one.kind == ORCHESTRATION}
    engine = Engine(orchestrators, [], store, clock)
    engine.start("sleeper", '"20"', "run")
    episode = engine.take_episode()
    assert isinstance(episode, Episode)
    engine.finish_episode(episode, engine.play(episode))
    clock.advance(20)
    locked = True
    with pytest.raises(sqlite3.OperationalError):
        engine.fire_due_timers()
    locked = False
    assert engine.fire_due_timers() == 1
    assert engine.ready() == ["run"]
    store.close()


def test_events_are_kept_until_they_are_waited_for(stage: Stage) -> None:
    run = stage.start("late_listener", 60)
    stage.play()
    stage.raise_event(run, "news", {"n": 1})
    stage.play()
    stage.crash()
    stage.advance(60)
    assert stage.status(run).output == '{"n": 1}'


def test_events_before_the_first_episode_are_not_lost(stage: Stage) -> None:
    run = stage.start("events", 2)
    stage.raise_event(run, "news", 1)
    stage.play()
    stage.raise_event(run, "news", 2)
    stage.play()
    assert stage.status(run).output == ["1", "2"]


@pytest.mark.parametrize("together", [True, False])
def test_no_event_is_lost_when_an_orchestration_continues_as_new(stage: Stage, together: bool) -> None:
    run = stage.start("event_per_generation", {"seen": [], "goal": 4})
    for number in range(4):
        stage.raise_event(run, "news", number)
        if not together:
            stage.play()
            stage.crash()
    stage.play()
    assert stage.status(run).output == ["0", "1", "2", "3"]


def test_an_event_against_a_timer(stage: Stage) -> None:
    run = stage.start("approval", 60)
    stage.play()
    stage.raise_event(run, "approve", "yes")
    stage.play()
    assert stage.status(run).output == '"yes"'


def test_the_custom_status_shows_and_goes_along_when_continuing_as_new(stage: Stage) -> None:
    run = stage.start("counter", {"seen": [], "goal": 2})
    stage.complete("echo")
    assert stage.status(run).custom_status == {"seen": 1}
    stage.crash()
    stage.run_to_end(run)
    assert stage.status(run).custom_status == {"seen": 2}


def test_a_custom_status_of_16_kb_is_not_too_long(stage: Stage) -> None:
    status = "ä" * (8 * 1024 - 2)
    ended = stage.carry_out("reports", {"status": status})
    assert ended.runtime_status == "Completed"
    assert ended.custom_status == status


def test_replay_flags(stage: Stage) -> None:
    run = stage.start("replay_flags")
    while stage.pending:
        stage.complete("echo")
        stage.crash()
    assert stage.status(run).output == [True, True, False]


def test_other_code_for_the_same_history_is_refused(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FICKLE", "")
    status = stage.carry_out("fickle")
    assert status.runtime_status == "Failed"
    assert status.output == (
        "Non-Deterministic workflow detected: A previous execution of this orchestration scheduled an activity task with "
        "sequence number 0 named 'echo', but the current orchestration replay instead scheduled an activity task named "
        "'double' with this sequence number.  Was a change made to the orchestrator code after this instance had already "
        "started running?"
    )


def test_a_missing_activity_is_waited_for_for_ever_as_in_azure_and_logged(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    run = stage.start("missing_activity")
    with pytest.raises(StuckError):
        stage.run_to_end(run)
    assert "The function 'nobody' doesn't exist, is disabled, or is not an activity function." in caplog.text


def test_terminating_ends_the_instance_and_neither_its_children_nor_its_activities(stage: Stage) -> None:
    run = stage.start("parent", {"input": {"steps": 1}, "id": "kid"})
    stage.play()
    stage.terminate(run, "enough")
    stage.play()
    stage.crash()
    assert (stage.status(run).runtime_status, stage.status(run).output) == ("Terminated", "enough")
    assert stage.status("kid").runtime_status == "Running"
    stage.run_until_idle()
    assert stage.status("kid").runtime_status == "Completed"


def test_a_suspended_instance_takes_its_messages_up_when_resumed(stage: Stage) -> None:
    run = stage.start("chain", {"steps": 2})
    stage.play()
    stage.suspend(run, "lunch")
    stage.play()
    assert stage.status(run).runtime_status == "Suspended"
    stage.complete("echo")
    stage.crash()
    assert stage.pending == []
    stage.resume(run, "back")
    assert stage.run_to_end(run).output == 2


def test_a_suspended_instance_can_be_terminated(stage: Stage) -> None:
    run = stage.start("chain")
    stage.play()
    stage.suspend(run)
    stage.terminate(run, "permanently")
    stage.play()
    assert stage.status(run).runtime_status == "Terminated"


def test_an_id_is_refused_while_its_instance_runs_and_replaced_when_it_has_finished(stage: Stage) -> None:
    stage.start("chain", {"steps": 1}, "one")
    with pytest.raises(AlreadyExistsError, match="An Orchestration instance with the status Pending already exists"):
        stage.start("chain", None, "one")
    stage.play()
    with pytest.raises(AlreadyExistsError, match="status Running"):
        stage.start("chain", None, "one")
    stage.run_to_end("one")
    stage.start("hello", "again", "one")
    assert stage.run_to_end("one").output == "hello again"


@pytest.mark.parametrize("instance_id", ["@entity", "a/b", "a#b", "a?b", "a\\b", "tab\t", "x" * 300])
def test_starting_takes_any_id(stage: Stage, instance_id: str) -> None:
    stage.start("hello", "you", instance_id)
    assert stage.run_to_end(instance_id).output == "hello you"


@pytest.mark.parametrize("instance_id", ["x" * 513, "#" * 171])
def test_an_id_that_is_too_long_for_a_key_of_the_storage_is_refused(stage: Stage, instance_id: str) -> None:
    with pytest.raises(StorageError):
        stage.start("hello", None, instance_id)


def test_an_unknown_orchestrator_fails_when_it_runs_and_names_the_known_ones(stage: Stage) -> None:
    status = stage.carry_out("absent")
    assert status.runtime_status == "Failed"
    assert status.output.startswith("Orchestrator function 'absent' failed: The function 'absent' doesn't exist")
    assert "The following are the known orchestrator functions: 'hello', " in status.output


def test_suspending_and_resuming_leave_their_reasons_as_output_until_the_end(stage: Stage) -> None:
    run = stage.start("events", 1)
    stage.play()
    stage.suspend(run, "lunch")
    stage.play()
    assert (stage.status(run).runtime_status, stage.status(run).output) == ("Suspended", "lunch")
    stage.resume(run, "back")
    stage.play()
    assert (stage.status(run).runtime_status, stage.status(run).output) == ("Running", "back")
    stage.raise_event(run, "news")
    assert stage.run_to_end(run).output == ["null"]


def test_a_rewound_instance_is_pending_and_keeps_its_output_until_it_runs(stage: Stage) -> None:
    run = stage.start("raises")
    failed = stage.run_to_end(run)
    stage.engine.rewind(run, "again")
    assert (stage.status(run).runtime_status, stage.status(run).output) == ("Pending", failed.output)


def test_a_result_that_comes_too_late_changes_nothing(stage: Stage) -> None:
    """An activity of an earlier instance under the same id does not reach the later one."""
    stage.start("chain", {"steps": 1, "from": 10}, "one")
    [late] = stage.pending
    stage.terminate("one")
    stage.play()
    stage.start("chain", {"steps": 1, "from": 20}, "one")
    stage.complete(late)
    assert stage.status("one").runtime_status == "Running"
    assert stage.run_to_end("one").output == 21


def test_an_activity_that_was_hit_by_a_kill_runs_again(stage: Stage) -> None:
    run = stage.start("chain", {"steps": 1})
    [task] = stage.pending
    stage.lose(task)
    assert stage.pending == []
    stage.crash()
    assert [one.id for one in stage.pending] == [task.id]
    assert stage.run_to_end(run).output == 1


def test_nothing_works_between_a_kill_and_the_next_start(stage: Stage) -> None:
    stage.crash_after(1)
    assert stage.survive(lambda: stage.start("chain", None, "run"))
    with pytest.raises(CrashedError):
        stage.play()
    stage.crash()
    assert stage.run_to_end("run").output == 3


def test_a_durable_client_in_an_activity(stage: Stage) -> None:
    run = stage.start("uses_client", {"name": "hello", "id": "other", "input": "from within"})
    assert stage.run_to_end(run).output == {"id": "other", "name": "hello"}
    assert stage.run_to_end("other").output == "hello from within"


def test_the_sdks_client_from_the_test(stage: Stage) -> None:
    client = stage.client()
    run = stage.run(client.start_new("events", None, 1))
    stage.play()
    stage.run(client.raise_event(run, "news", {"n": 1}))
    stage.play()
    assert stage.run(client.get_status(run)).output == ['{"n": 1}']
    assert stage.run(client.purge_instance_history(run)).instances_deleted == 1
    assert not stage.exists(run)


def test_activities_can_be_replaced_and_added(new_stage: Callable[..., Stage]) -> None:
    async def nobody(given: Any) -> str:
        return f"somebody {given}"

    stage = new_stage(activities={"nobody": nobody, "echo": lambda given: given + 100})
    assert stage.carry_out("missing_activity").output == "somebody 1"
    assert stage.carry_out("chain", {"steps": 1}).output == 101


def test_versions(new_stage: Callable[..., Stage]) -> None:
    stage = new_stage(default_version="2.0")
    assert [stage.carry_out("family", version=each).output[2] for each in ("1.5", "")] == ["1.5", "2.0"]
    assert stage.carry_out("parent", {"child": "family"}, version="1.5").output["child"][2] == "2.0"


@pytest.mark.parametrize("name", ["mendable", "mendable_parent"])
def test_a_rewound_instance_tries_again_what_failed(stage: Stage, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPAIRED", "no")
    run = stage.start(name)
    assert stage.run_to_end(run).runtime_status == "Failed"
    monkeypatch.setenv("REPAIRED", "yes")
    stage.engine.rewind(run, "fixed")
    stage.crash()
    status = stage.run_to_end(run)
    assert (status.runtime_status, status.output) == ("Completed", ["before", "fixed"])


def test_only_failed_instances_can_be_rewound(stage: Stage) -> None:
    run = stage.start("hello")
    stage.play()
    with pytest.raises(RefusedError, match="only supported on failed"):
        stage.engine.rewind(run, "why not")


def test_an_instance_can_be_restarted_under_its_own_id_and_a_new_one(stage: Stage) -> None:
    run = stage.start("hello", "you")
    stage.play()
    assert stage.engine.restart(run, under_new_id=False) == run
    other = stage.engine.restart(run, under_new_id=True)
    assert other != run
    stage.play()
    assert [stage.status(one).output for one in (run, other)] == ["hello you", "hello you"]


def test_functions_take_turns_so_that_many_calls_of_one_dont_hold_up_another(stage: Stage) -> None:
    stage.start("fan_out", 20, "many")
    stage.play()
    stage.start("chain", {"steps": 1}, "one")
    stage.play()
    taken = [stage.engine.take_task() for _ in range(3)]
    assert [task and task.name for task in taken] == ["double", "echo", "double"]


def test_orchestrations_take_turns_by_name_also_after_a_crash(stage: Stage) -> None:
    for number in range(5):
        stage.start("hello", number, f"hello-{number}")
    stage.start("chain", {"steps": 1}, "chain")
    stage.crash()
    taken = [stage.engine.take_episode() for _ in range(3)]
    assert [episode and episode.instance_id for episode in taken] == ["hello-0", "chain", "hello-1"]


def test_terminating_without_a_reason_leaves_no_output(stage: Stage) -> None:
    run = stage.start("events", 1)
    stage.play()
    stage.engine.terminate(run, None)
    stage.play()
    assert (stage.status(run).runtime_status, stage.status(run).output) == ("Terminated", None)


def test_what_comes_late_for_a_purged_instance_is_dropped_whatever_its_id(stage: Stage) -> None:
    for run in ("run", "@run"):
        stage.start("chain", {"steps": 1}, run)
        [late] = stage.pending
        assert stage.engine.purge([run], finished_only=False) == 1
        stage.complete(late)
        assert not stage.exists(run)
        assert stage.step() is None
