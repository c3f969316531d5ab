"""What a killed host had taken is seen again only after the visibility timeout."""

import json
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from local.functions.durable.stage import Stage
from local.functions.durable.visibility import Visibility
from local.functions.settings import SettingsError, host_settings
from tests.host.hosting import APPS, running

NewStage = Callable[..., Stage]
TIMEOUTS = Visibility(messages=60, activities=90)


def test_an_activity_that_was_taken_comes_back_after_its_timeout(new_stage: NewStage) -> None:
    stage = new_stage(visibility=TIMEOUTS)
    run = stage.start("chain", {"steps": 1})
    [task] = stage.pending
    stage.lose(task)
    stage.crash()
    stage.advance(89)
    assert stage.pending == []
    assert stage.status(run).runtime_status == "Running"
    stage.advance(1)
    assert [one.id for one in stage.pending] == [task.id]
    assert stage.run_to_end(run).output == 1


def test_messages_that_an_episode_had_taken_come_back_after_their_timeout(new_stage: NewStage) -> None:
    stage = new_stage(visibility=TIMEOUTS)
    run = stage.start("chain", {"steps": 1})
    assert stage.engine.take_episode(run)
    stage.crash()
    stage.advance(59)
    assert stage.status(run).runtime_status == "Pending"
    stage.advance(1)
    assert stage.status(run).runtime_status == "Running"
    assert stage.run_to_end(run).output == 1


def test_what_had_not_been_taken_is_there_at_once(new_stage: NewStage) -> None:
    stage = new_stage(visibility=TIMEOUTS)
    stage.start("fan_out", 3, "many")
    [first, *others] = stage.pending
    stage.lose(first)
    stage.start("hello", "you", "other")
    stage.crash()
    stage.play()
    assert stage.status("other").runtime_status == "Completed"
    assert [task.id for task in stage.pending] == [task.id for task in others]


def test_a_message_that_comes_meanwhile_does_not_overtake_a_start_that_was_taken(new_stage: NewStage) -> None:
    stage = new_stage(visibility=TIMEOUTS)
    stage.start("events", 1, "run")
    assert stage.engine.take_episode("run")
    stage.crash()
    stage.raise_event("run", "news", "early")
    stage.play()
    assert stage.status("run").runtime_status == "Pending"
    assert stage.run_to_end("run").output == ['"early"']


def test_a_terminate_reaches_an_instance_whose_messages_are_not_seen(new_stage: NewStage) -> None:
    stage = new_stage(visibility=TIMEOUTS)
    run = stage.start("chain", {"steps": 1})
    [task] = stage.pending
    stage.record(task)
    assert stage.engine.take_episode(run)
    stage.crash()
    stage.terminate(run, "enough")
    stage.play()
    assert stage.status(run).runtime_status == "Terminated"
    assert stage.next_timer, "the message that was taken isn't seen yet"


def test_what_is_worked_on_longer_than_the_timeout_is_renewed(new_stage: NewStage) -> None:
    stage = new_stage(visibility=TIMEOUTS)
    stage.start("chain", {"steps": 1})
    [task] = stage.pending
    stage.lose(task)
    stage.advance(80)
    stage.engine.renew()
    stage.crash()
    stage.advance(89)
    assert stage.pending == []
    stage.advance(1)
    assert [one.id for one in stage.pending] == [task.id]


def test_what_could_not_be_kept_is_seen_at_once(new_stage: NewStage) -> None:
    stage = new_stage(visibility=TIMEOUTS)
    run = stage.start("chain", {"steps": 1})
    episode = stage.engine.take_episode(run)
    assert episode
    stage.engine.abandon_episode(episode)
    [task] = stage.pending
    taken = stage.engine.take_task(task.id)
    assert taken
    stage.engine.abandon_task(taken)
    stage.crash()
    assert [one.id for one in stage.pending] == [task.id]


def test_a_store_of_the_version_before_is_read(new_stage: NewStage, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "0.sqlite") as old:
        old.execute("CREATE TABLE inbox (place INTEGER PRIMARY KEY, instance TEXT, execution TEXT, event TEXT)")
    old.close()
    stage = new_stage()
    assert stage.carry_out("hello", "you").output == "hello you"


def test_a_killed_host_leaves_what_it_had_taken_to_the_timeout_and_the_rest_to_the_next(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with running(APPS / "durable", tmp_path / "state", JOURNAL=str(journal)) as host:
        host.time_scale = 1  # five minutes
        host.restart()
        run = host.begin("left_open")
        while "echo" not in (journal.read_text() if journal.exists() else ""):
            time.sleep(0.005)
        host.restart()
        before = journal.read_text()
        assert host.result("hello", "you") == "hello you"
        assert host.status(run)["runtimeStatus"] == "Running"
        assert journal.read_text() == before


@pytest.mark.parametrize("wrong", ["00:00:59", "01:00:01", "soon"])
@pytest.mark.parametrize("name", ["controlQueueVisibilityTimeout", "workItemQueueVisibilityTimeout"])
def test_timeouts_lie_between_1_and_60_minutes(tmp_path: Path, name: str, wrong: str) -> None:
    document = {"extensions": {"durableTask": {"storageProvider": {name: wrong}}}}
    (tmp_path / "host.json").write_text(json.dumps(document))
    with pytest.raises(SettingsError, match=name):
        host_settings(tmp_path, {})


def test_timeouts_are_five_minutes_if_host_json_does_not_say(tmp_path: Path) -> None:
    settings = host_settings(tmp_path, {})
    assert (settings.control_queue_visibility, settings.work_item_queue_visibility) == (300, 300)
