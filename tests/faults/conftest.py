"""A fresh world for each test, on servers that the tests of a module share."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.functions.app import Function, load_app
from local.processes import running
from local.recipes import ROOT, app_settings, azure_recipe
from shared.arm.client import Arm
from shared.checks import snapshot as reading
from shared.clock import running_on
from tests.activities.azure_stand_in import LocalAzure
from tests.activities.conftest import FRESH_TIME_SCALE, _trusting, azurite_process
from tests.app import AppTime, forget_app
from tests.faults.catalogue import SimulationAt
from tests.faults.checkpoints import BEGINNING, checkpoints_of
from tests.faults.layouts import ONE_HUB, TWO_HUBS, Layout
from tests.faults.simulation import Checkpoint, Simulation, without_run
from tests.faults.wire import Wire

__all__ = ["SimulationAt", "azurite_process"]

NewSimulation = Callable[..., Simulation]
Use = Callable[[list[dict[str, Any]] | None], None]

# A deployment of Azure's pace in fewer polls, and deadlines that an endless fault reaches soon.
SETTINGS = {
    "POLL_MAX_SECONDS": "60",
    "POLL_DEFAULT_SECONDS": "30",
    "WRITER_POLL_SECONDS": "20",
    "AGW_GATHER_SECONDS": "2",
    "RETRY_FIRST_SECONDS": "5",
    "RETRY_MAX_SECONDS": "60",
    "STEP_DEADLINE_SECONDS": "250",
    "VM_DEADLINE_SECONDS": "300",
    "SHARED_DEADLINE_SECONDS": "300",
    "ARM_TIMEOUT_SECONDS": "20",
    "LOG_LEVEL": "ERROR",
}

_loaded: list[Function] = []


@pytest.fixture(scope="session")
def azure_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What the stand-in with the hubs of all layouts said when it was ready."""
    state = tmp_path_factory.mktemp("azure")
    hubs = state / "hubs.json"
    hubs.write_text(json.dumps(TWO_HUBS.hubs), encoding="utf-8")
    with running(azure_recipe(state / "state", 0, FRESH_TIME_SCALE, None, hubs), state) as process:
        assert process.announced is not None
        yield {name: str(value) for name, value in process.announced.items()}


@pytest.fixture(scope="module")
def azure_stand_in(azure_process: dict[str, str], azurite_process: str) -> Iterator[tuple[LocalAzure, Wire]]:
    """The servers, with the app of this process connected to them, its clock chosen and its wire watched."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.upper().endswith("_PROXY") or name.startswith(("AZURE_", "ARM_", "HUB_", "SPOKE_")):
                patch.delenv(name)
        for name, value in (app_settings(azure_process, azurite_process, 1) | SETTINGS).items():
            patch.setenv(name, value)
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        forget_app()
        with httpx.Client(
            base_url=azure_process["arm"], verify=_trusting(azure_process["ca"]), trust_env=False, timeout=30
        ) as client:
            azure = LocalAzure(client, azure_process["subscription_id"])
            wire = Wire(azure)
            patch.setattr(Arm, "_send", wire.around(Arm._send))
            with running_on(AppTime()):
                yield azure, wire
        forget_app()


@pytest.fixture(scope="module")
def layout(request: pytest.FixtureRequest, azure_stand_in: tuple[LocalAzure, Wire]) -> Iterator[Layout]:
    """The app has the settings of this layout."""
    chosen: Layout = getattr(request, "param", ONE_HUB)
    with pytest.MonkeyPatch.context() as patch:
        if chosen.hubs:
            patch.setenv("HUBS", json.dumps(chosen.hubs))
            forget_app()
        yield chosen
    if chosen.hubs:
        forget_app()


@pytest.fixture(scope="session")
def functions() -> list[Function]:
    """What the real function_app registers."""
    if not _loaded:
        _loaded.extend(load_app(ROOT))
    return _loaded


@dataclass
class Complete:
    """A complete spoke 1: its resources, and the world in which its deployment has ended."""

    resources: dict[str, Any] | None = None
    checkpoint: Checkpoint | None = None
    on_the_way: dict[str, Checkpoint] = field(default_factory=dict)
    """The checkpoints of its deployment."""


@pytest.fixture(scope="session")
def _completes() -> dict[str, Complete]:
    """By layout; filled by the first world of each."""
    return {}


@pytest.fixture
def complete(layout: Layout, _completes: dict[str, Complete]) -> Complete:
    """Known after the first world."""
    return _completes.setdefault(layout.name, Complete())


@pytest.fixture
def new_simulation(
    azure_stand_in: tuple[LocalAzure, Wire],
    layout: Layout,
    functions: list[Function],
    complete: Complete,
    tmp_path: Path,
) -> Iterator[NewSimulation]:
    """Makes a world, of nothing or as it was at a moment; the one before it ends."""
    simulations: list[Simulation] = []

    def make(begins: Checkpoint | None = None) -> Simulation:
        azure, wire = azure_stand_in
        reading._shared.clear()  # every world looks for itself
        for simulation in simulations:
            simulation.close()
        directory = tmp_path / str(len(simulations))
        directory.mkdir()
        simulations.append(Simulation(azure, wire, functions, directory, layout, complete.resources, begins))
        if complete.checkpoint is None:
            _make_without_a_fault(simulations[-1], complete)
            return make(begins)
        return simulations[-1]

    yield make
    for simulation in simulations[-1:]:
        simulation.close()


@pytest.fixture(scope="session")
def _checkpoints() -> dict[str, dict[str, Checkpoint]]:
    """Filled by whoever needs one first."""
    return {}


@pytest.fixture
def simulation_at(
    new_simulation: NewSimulation,
    layout: Layout,
    complete: Complete,
    _checkpoints: dict[str, dict[str, Checkpoint]],
) -> SimulationAt:
    """Makes a world in which one of these activities is about to be called for the first time in a run, whichever comes first;
    see `checkpoints.BEGIN`."""

    def checkpoints(story: str) -> dict[str, Checkpoint]:
        if complete.checkpoint is None:
            new_simulation()
        if story == "deploy":
            return complete.on_the_way
        name = f"{story} {layout.name}"
        if name not in _checkpoints:
            begins = complete.checkpoint if story == "delete" else complete.on_the_way["create_vm"]
            _checkpoints[name] = checkpoints_of(story, new_simulation(begins))
        return _checkpoints[name]

    def make(story: str, *callers: str) -> Simulation:
        return new_simulation(next(each for name, each in checkpoints(story).items() if name in callers))

    return make


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Iterator[Use]:
    """The app starts anew, with these hubs or without."""

    def restart(hubs: list[dict[str, Any]] | None) -> None:
        monkeypatch.delenv("HUBS", raising=False)
        if hubs:
            monkeypatch.setenv("HUBS", json.dumps(hubs))
        forget_app()

    yield restart
    monkeypatch.undo()
    forget_app()


def _make_without_a_fault(simulation: Simulation, complete: Complete) -> None:
    complete.on_the_way = checkpoints_of("deploy", simulation)
    run = complete.on_the_way[BEGINNING].run
    complete.resources = without_run(simulation.snapshot().resources, simulation.run_row(run))
    complete.checkpoint = simulation.save(run, "completed")


@pytest.fixture
def simulation(new_simulation: Callable[[], Simulation]) -> Simulation:
    return new_simulation()


@pytest.fixture
def deployed(new_simulation: NewSimulation, complete: Complete) -> tuple[Simulation, str]:
    """A world in which the deployment of spoke 1 has completed, and its id."""
    if complete.checkpoint is None:
        new_simulation()
    assert complete.checkpoint is not None
    return new_simulation(complete.checkpoint), complete.checkpoint.run
