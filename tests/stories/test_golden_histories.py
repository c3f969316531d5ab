"""Histories of stories that began under this version: later code has to replay them, or a deployment of new code breaks
what is in flight. `python -m tests.stories.recorded_histories` records them anew, after a change that docs/operations.md allows."""

import copy
from typing import Any

import pytest

from local.functions.app import Function
from tests.stories.recorded_histories import GOLDEN, Recorded, recorded, replayed

NAMES = sorted(GOLDEN)


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_history_replays_to_its_recorded_end(functions: list[Function], name: str) -> None:
    golden = recorded(name)
    outcome = replayed(functions, golden)
    assert outcome.status == golden.status, f"{name} in tests/stories/golden.json: {outcome.result}"
    assert golden.output_says in str(outcome.result)
    assert outcome.decisions == []


@pytest.mark.parametrize("name", NAMES)
def test_every_part_of_a_recorded_history_replays(functions: list[Function], name: str) -> None:
    golden = recorded(name)
    ends = [n for n, event in enumerate(golden.history) if event["EventType"] == ORCHESTRATOR_COMPLETED][:-1]
    for end in ends:
        outcome = replayed(functions, golden, golden.history[: end + 1])
        assert outcome.status is None, f"after event {end}: {outcome.result}"


def test_a_history_of_other_steps_is_refused_as_non_deterministic(functions: list[Function]) -> None:
    golden = recorded("deploy_spoke")
    for spoilt in (_with_one_more_step(golden), _with_another_kind_of_task(golden)):
        outcome = replayed(functions, golden, spoilt)
        assert outcome.status == "Failed"
        assert "Non-Deterministic workflow detected" in str(outcome.result)


ORCHESTRATOR_COMPLETED = 13
SUB_ORCHESTRATION_CREATED = 7
TASK_SCHEDULED = 4


def _with_one_more_step(golden: Recorded) -> list[dict[str, Any]]:
    """As if the last stage had had a fourth step."""
    spoilt = copy.deepcopy(golden.history)
    last_stage = [n for n, event in enumerate(spoilt) if event["EventType"] == SUB_ORCHESTRATION_CREATED][-2]
    extra = {**spoilt[last_stage], "EventId": spoilt[last_stage]["EventId"] + 1, "InstanceId": "another"}
    return [*spoilt[: last_stage + 1], extra, *spoilt[last_stage + 1 :]]


def _with_another_kind_of_task(golden: Recorded) -> list[dict[str, Any]]:
    """As if a step had been an activity once."""
    spoilt = copy.deepcopy(golden.history)
    first = next(event for event in spoilt if event["EventType"] == SUB_ORCHESTRATION_CREATED)
    first["EventType"] = TASK_SCHEDULED
    return spoilt
