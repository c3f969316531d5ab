"""One stand-in for each worker of pytest, back at the starting hub before every test. Its clock stands still until a test
moves it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contracts.azure import Azure, running
from tests.contracts.gateways import Document


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azure]:
    """One process, time scale 0."""
    with running(tmp_path_factory.mktemp("azure") / "state", "--port", "0", "--time-scale", "0") as azure:
        yield azure


@pytest.fixture
def azure(stand_in: Azure) -> Azure:
    """The starting hub."""
    stand_in.local("POST", "reset")
    return stand_in


@pytest.fixture
def gateway(azure: Azure) -> str:
    """The id of the hub's gateway."""
    return azure.id("applicationGateways", "hub-agw")


@pytest.fixture
def document(azure: Azure, gateway: str) -> Document:
    """The hub's gateway as it is in the beginning."""
    found: Document = azure.send("GET", gateway).json()
    return found
