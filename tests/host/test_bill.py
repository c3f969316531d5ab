"""The engine's bill: what is counted, and for which function."""

from typing import Any

import pytest

from local.functions.durable.stage import Stage
from tests.host.hosting import RunningHost

CHAIN_OF_THREE: dict[str, dict[str, int]] = {
    # a start; an episode for it and for each result
    "chain": {"episodes": 4, "messages": 1, "appends": 4},
    # a call and a result each
    "echo": {"calls": 3, "messages": 6},
}


def counted(stage: Stage, name: str, given: Any) -> dict[str, dict[str, int]]:
    stage.carry_out(name, given, "run")
    functions: dict[str, dict[str, int]] = stage.bill.as_document()["functions"]
    return functions


def test_a_chain_of_activities(stage: Stage) -> None:
    assert counted(stage, "chain", {"steps": 3}) == CHAIN_OF_THREE
    assert stage.bill.as_document()["total"] == {"calls": 3, "episodes": 4, "messages": 7, "appends": 4}


def test_a_child_costs_its_start_and_its_completion(stage: Stage) -> None:
    functions = counted(stage, "parent", {"input": {"steps": 3}})
    assert functions["parent"] == {"episodes": 2, "messages": 1, "appends": 2}
    assert functions["chain"] == {"episodes": 4, "messages": 2, "appends": 4}


@pytest.mark.parametrize("raised", [True, False])
def test_a_timers_message_is_paid_for_though_it_is_cancelled(stage: Stage, raised: bool) -> None:
    run = stage.start("approval", 60)
    stage.play()
    if raised:
        stage.raise_event(run, "approve", "yes")
        stage.play()
    else:
        stage.advance(60)
    assert stage.status(run).runtime_status == "Completed"
    assert stage.bill.as_document()["functions"]["approval"]["messages"] == 2 + raised


def test_continuing_as_new_costs_an_episode_and_neither_a_message_nor_an_append(stage: Stage) -> None:
    functions = counted(stage, "counter", {"seen": [], "goal": 2})
    assert functions["counter"] == {"episodes": 4, "messages": 1, "appends": 3}


def test_a_kill_does_not_empty_the_bill_of_a_stage_and_what_is_repeated_counts_again(stage: Stage) -> None:
    stage.start("chain", {"steps": 1}, "run")
    stage.play()
    stage.lose(stage.pending[0])
    stage.crash()
    stage.run_to_end("run")
    assert stage.bill.as_document()["functions"]["echo"]["calls"] == 2


def test_the_host_shows_its_bill(host: RunningHost) -> None:
    before = host.http.get(f"{host.base}/_local/bill").json()["functions"]
    assert host.result("chain", {"steps": 3}) == 3
    after = host.http.get(f"{host.base}/_local/bill").json()["functions"]
    more = {
        name: {what: number - before.get(name, {}).get(what, 0) for what, number in after[name].items()}
        for name in CHAIN_OF_THREE
    }
    assert more == CHAIN_OF_THREE
