"""Theatres for the stories of the real function_app."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.functions.app import Function, load_app
from local.recipes import ROOT
from tests.stories.theatre import Script, Theatre

_loaded: list[Function] = []


@pytest.fixture(scope="session")
def functions() -> list[Function]:
    """What the real function_app registers."""
    if not _loaded:
        _loaded.extend(load_app(ROOT))
    return _loaded


@pytest.fixture
def new_theatre(functions: list[Function], tmp_path: Path) -> Iterator[Callable[[Script], Theatre]]:
    theatres: list[Theatre] = []

    def make(script: Script) -> Theatre:
        theatres.append(Theatre(functions, str(tmp_path / f"{len(theatres)}.sqlite"), script))
        return theatres[-1]

    yield make
    for theatre in theatres:
        theatre.stage.close()
