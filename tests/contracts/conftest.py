"""A stand-in per module, back at the starting hub before every test. Its clock stands still until a test moves it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contracts.azure import Azure, running


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azure]:
    """One process, time scale 0."""
    with running(tmp_path_factory.mktemp("azure") / "state", "--port", "0", "--time-scale", "0") as azure:
        yield azure


@pytest.fixture
def azure(stand_in: Azure) -> Azure:
    """The starting hub."""
    stand_in.local("POST", "reset")
    return stand_in
