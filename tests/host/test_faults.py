"""Faults on demand: what the engine and the host do when a message is lost, a worker dies, an answer doesn't come."""

import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from local.functions.durable.faults import Fault
from local.functions.durable.stage import Stage, StuckError
from tests.host.hosting import RunningHost


def stands_still(stage: Stage, instance_id: str) -> bool:
    with pytest.raises(StuckError, match="nothing is left to happen"):
        stage.run_to_end(instance_id)
    return stage.status(instance_id).runtime_status == "Running"


@pytest.mark.parametrize(
    ("name", "given", "fault"),
    [
        ("chain", None, Fault("lose", message="call", function="^echo$")),
        ("chain", None, Fault("lose", message="result", function="^echo$", skip=2)),
        ("parent", None, Fault("lose", message="start", function="chain")),
        ("parent", None, Fault("lose", message="completion", instance="^run$", function="^chain$")),
        ("sleeper", 5, Fault("lose", message="timer")),
        ("parent", None, Fault("lose", message="result", instance="^(?!run)")),
    ],
)
def test_what_waits_for_a_lost_message_runs_for_ever_and_a_terminate_reaches_it(
    stage: Stage, name: str, given: Any, fault: Fault
) -> None:
    stage.faults.add(fault)
    stage.start(name, given, "run")
    assert stands_still(stage, "run")
    assert len(stage.faults.struck) == 1
    stage.crash()
    assert stands_still(stage, "run"), "a lost message doesn't come back with the next host"
    stage.terminate("run", "stood still")
    stage.play()
    assert stage.status("run").runtime_status == "Terminated"
    stage.start(name, given, "run")
    assert stage.run_to_end("run").runtime_status == "Completed"


def test_an_event_that_is_lost_is_one_that_was_never_raised(stage: Stage) -> None:
    stage.faults.add(Fault("lose", message="event", event="^news$"))
    stage.start("events", 1, "run")
    stage.raise_event("run", "news", "lost")
    stage.raise_event("run", "news", "arrives")
    assert stage.run_to_end("run").output == ['"arrives"']


def test_an_instance_whose_start_was_lost_is_pending_until_it_is_terminated(stage: Stage) -> None:
    stage.faults.add(Fault("lose", message="start", instance="run"))
    stage.start("hello", "you", "run")
    stage.play()
    assert stage.status("run").runtime_status == "Pending"
    stage.terminate("run", "enough")
    stage.play()
    assert (stage.status("run").runtime_status, stage.status("run").output) == ("Terminated", "enough")


def test_a_sub_orchestration_whose_start_was_lost_does_not_exist(stage: Stage) -> None:
    stage.faults.add(Fault("lose", message="start", instance="kid"))
    stage.start("parent", {"id": "kid"}, "run")
    stage.play()
    assert not stage.exists("kid")


@pytest.mark.parametrize("episode", [1, 2, 3, 4])
def test_an_orchestration_whose_worker_dies_has_failed(stage: Stage, episode: int) -> None:
    stage.faults.add(Fault("fail", function="^chain$", episode=episode))
    run = stage.start("chain", {"steps": 3})
    assert stage.run_to_end(run).runtime_status == "Failed"
    assert stage.status(run).output == (
        "Orchestrator function 'chain' failed: One or more errors occurred. (python exited with code 137 (0x89))"
    )
    assert stage.faults.struck == [f"failed: chain '{run}' in its episode {episode}"]


def test_an_orchestration_whose_worker_dies_may_be_taken_for_non_deterministic(stage: Stage) -> None:
    stage.faults.add(Fault("fail", instance="^kid$", how="non_determinism"))
    run = stage.start("parent", {"id": "kid"})
    assert stage.run_to_end(run).runtime_status == "Failed"
    reason = (
        "Non-Deterministic workflow detected: A previous execution of this orchestration scheduled an activity task "
        "with sequence ID 0 and name 'echo' (version ''), but the current replay execution hasn't (yet?) scheduled this "
        "task. Was a change made to the orchestrator code after this instance had already started running?"
    )
    assert stage.status("kid").output == reason
    assert stage.faults.struck == ["failed: chain 'kid' in its episode 2"]
    assert reason in str(stage.status(run).output)


def test_a_terminated_parent_is_started_again_while_its_children_run(stage: Stage) -> None:
    """The new parent's start of a child takes the place of the old child, whose activities count no more."""
    given = {"id": "kid", "input": {"steps": 2, "from": 10}}
    stage.start("parent", given, "run")
    [late] = stage.pending
    stage.terminate("run")
    stage.play()
    stage.start("parent", given, "run")
    stage.play()
    stage.complete(late)
    assert stage.status("kid").runtime_status == "Running"
    assert stage.run_to_end("run").output == {"child": 12}
    assert stage.status("kid").output == 12


def test_an_episode_of_a_child_that_was_replaced_meanwhile_changes_nothing(stage: Stage) -> None:
    given = {"id": "kid", "input": {"steps": 1}}
    stage.start("parent", given, "run")
    [task] = stage.pending
    stage.record(task)
    late = stage.engine.take_episode("kid")
    assert late
    outcome = stage.engine.play(late)
    stage.terminate("run")
    stage.play()
    stage.start("parent", given, "run")
    stage.play()
    stage.engine.finish_episode(late, outcome)
    assert stage.status("kid").runtime_status == "Pending"
    assert stage.run_to_end("run").output == {"child": 1}


def test_a_terminated_parent_is_started_again_after_its_children_were_terminated(stage: Stage) -> None:
    stage.start("parent", {"id": "kid"}, "run")
    stage.play()
    for instance in ("run", "kid"):
        stage.terminate(instance)
    stage.play()
    stage.start("parent", {"id": "kid"}, "run")
    assert stage.run_to_end("run").output == {"child": 3}


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 503, "times": 2}])
def test_status_queries_are_refused_as_often_as_wanted(stage: Stage, fault: dict[str, Any]) -> None:
    run = stage.start("hello", "you")
    stage.play()
    stage.faults.add(Fault("refuse", **fault))
    client = stage.client()
    seen = []
    for _ in range(3):
        try:
            seen.append(stage.run(client.get_status(run)).runtime_status is None)
        except Exception:  # noqa: BLE001 - what the SDK raises for a status that it doesn't know
            seen.append(True)
    assert seen.count(True) == fault.get("times", 1)


def test_a_status_query_may_get_no_answer(stage: Stage) -> None:
    run = stage.start("hello", "you")
    stage.play()
    client = stage.client()
    stage.run(client.get_status(run))
    for fault in (Fault("refuse", status=0, times=None), Fault("drop_reply", times=None)):
        stage.faults.add(fault)
        with pytest.raises(Exception, match=r"(?i)disconnect|reset"):
            stage.run(client.get_status(run))
        stage.faults.end()
    assert stage.run(client.get_status(run)).output == "hello you"


def test_the_effect_of_a_request_without_an_answer_is_there(stage: Stage) -> None:
    client = stage.client()
    stage.faults.add(Fault("drop_reply", method="POST", path="^orchestrators/hello"))
    with pytest.raises(Exception, match=r"(?i)disconnect|reset"):
        stage.run(client.start_new("hello", "run", "you"))
    assert stage.run_to_end("run").output == "hello you"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("lose", "a fault is an object with a mode"),
        ({"mode": "lose", "message": "letter"}, "message is one of call, start"),
        ({"mode": "lose", "instance": "("}, "instance is a regular expression"),
        ({"mode": "lose", "often": 2}, "unknown: often"),
        ({"mode": "fail", "times": 0}, "times is 1 or more, or null for ever"),
    ],
)
def test_what_is_no_fault_is_refused(host: RunningHost, wrong: Any, message: str) -> None:
    answer = httpx.post(f"{host.base}/_local/faults", json=wrong)
    assert answer.status_code == 400
    assert message in answer.json()["error"]


@pytest.fixture
def faults(host: RunningHost) -> Any:
    """Adds faults to the shared host; they end with the test."""
    address = f"{host.base}/_local/faults"

    def add(*added: dict[str, Any]) -> None:
        answer = httpx.post(address, json=list(added))
        assert answer.status_code == 200, answer.text

    yield add
    assert httpx.delete(address).status_code == 200


def test_a_running_host_is_given_faults(host: RunningHost, faults: Callable[..., None]) -> None:
    faults(
        {"mode": "lose", "message": "result", "function": "^echo$", "instance": "lost-one"},
        {"mode": "fail", "function": "^fan_out$"},
    )
    lost, broken = host.begin("chain", None, "lost-one"), host.begin("fan_out", 2)
    assert "exited with code 137 (0x89)" in host.until(broken, "Failed")["output"]
    assert host.until(host.begin("chain"))["output"] == 3
    listed = httpx.get(f"{host.base}/_local/faults").json()
    assert (len(listed["struck"]), listed["waiting"]) == (2, [])
    assert host.status(lost)["runtimeStatus"] == "Running"


def test_status_queries_of_a_running_host_fail_are_lost_and_wait(
    host: RunningHost, faults: Callable[..., None]
) -> None:
    run = host.begin("hello", "you")
    host.until(run)
    faults({"mode": "refuse"}, {"mode": "drop_reply"}, {"mode": "slow"})
    assert host.management("GET", f"instances/{run}").status_code == 500
    with pytest.raises(httpx.RemoteProtocolError):
        host.management("GET", f"instances/{run}")
    answered = threading.Event()

    def ask() -> None:
        assert host.management("GET", f"instances/{run}").status_code == 200
        answered.set()

    asking = threading.Thread(target=ask)
    asking.start()
    while len(httpx.get(f"{host.base}/_local/faults").json()["struck"]) < 3:
        assert not answered.is_set()
    assert not answered.is_set(), "it waits until the faults are ended"
    httpx.delete(f"{host.base}/_local/faults")
    assert answered.wait(30)
    asking.join()
