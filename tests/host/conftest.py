"""What the tests of the local host share: the durable test app in this process, and hosts in processes of their own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.functions.app import Function, load_app
from local.functions.durable.stage import Stage
from tests.host.hosting import APPS, RunningHost, running

_loaded: list[Function] = []


@pytest.fixture
def durable_functions() -> list[Function]:
    if not _loaded:
        _loaded.extend(load_app(APPS / "durable"))
    return _loaded


@pytest.fixture
def new_stage(durable_functions: list[Function], tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    stages: list[Stage] = []

    def make(**options: Any) -> Stage:
        stages.append(Stage(durable_functions, tmp_path / f"{len(stages)}.sqlite", **options))
        return stages[-1]

    yield make
    for stage in stages:
        stage.close()


@pytest.fixture
def stage(new_stage: Callable[..., Stage]) -> Stage:
    return new_stage()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    """A host with the durable app, shared by the tests of a module; whoever kills it starts it again."""
    state = tmp_path_factory.mktemp("host") / "state"
    with running(APPS / "durable", state, JOURNAL=str(state.with_suffix(".journal"))) as one:
        yield one
