"""Theatres for the stories of the real function_app."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.functions.app import Function, load_app
from local.recipes import ROOT
from tests.stories.saga_harness import SagaHarness, ScriptedActivities

_loaded: list[Function] = []


@pytest.fixture(scope="session")
def functions() -> list[Function]:
    """What the real function_app registers."""
    if not _loaded:
        _loaded.extend(load_app(ROOT))
    return _loaded


@pytest.fixture
def new_harness(functions: list[Function], tmp_path: Path) -> Iterator[Callable[[ScriptedActivities], SagaHarness]]:
    harnesses: list[SagaHarness] = []

    def make(script: ScriptedActivities) -> SagaHarness:
        harnesses.append(SagaHarness(functions, str(tmp_path / f"{len(harnesses)}.sqlite"), script))
        return harnesses[-1]

    yield make
    for harness in harnesses:
        harness.stage.close()
