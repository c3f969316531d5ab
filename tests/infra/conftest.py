"""The Bicep compiler, and what deployments would bring. One compiler answers all tests of a worker."""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.bicep import ABSENT, ROOT, Bicep, find, running
from tests.infra.predicted import Deployment

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
HUB = {"hubResourceGroup": "hub-rg", "hubVnetName": "hub-vnet", "hubAgwName": "hub-agw"}
GIVEN = {"environmentName": "dev", "location": "eastus", "spokeDomain": "spokes.example.com"}

Predict = Callable[..., Deployment]


@pytest.fixture(scope="session")
def bicep() -> Iterator[Bicep]:
    program = find()
    if program is None:
        pytest.skip(ABSENT)
    with running(program) as compiler:
        yield compiler


@pytest.fixture(scope="session")
def snapshot(bicep: Bicep, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """The predicted resources of a Bicep file with parameters, at a scope.

    `any`: the values come as JSON, as they do from azd, so that Azure's engine judges them and not the compiler. The file
    is compiled once, by the first worker that needs it, to the ARM template that a deployment sends.
    """
    folder = tmp_path_factory.mktemp("parameters")
    with_others = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        with_others = with_others.parent

    def template_of(file: Path) -> Path:
        template = with_others / f"{'-'.join(file.parts[1:])}.json"
        with (with_others / "templates.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not template.exists():
                template.write_text(json.dumps(bicep.template(file)), encoding="utf-8")
        return template

    def taken(file: Path, parameters: dict[str, Any], **scope: str) -> dict[str, Any]:
        lines = [f"using '{os.path.relpath(template_of(file), folder)}'"]
        lines += [f"param {name} = any(json('''{json.dumps(value)}'''))" for name, value in parameters.items()]
        page = folder / f"{len(list(folder.glob('*.bicepparam')))}.bicepparam"
        page.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return bicep.snapshot(page, **({"subscriptionId": SUBSCRIPTION, "location": "eastus"} | scope))

    return taken


@pytest.fixture(scope="session")
def predict(snapshot: Callable[..., dict[str, Any]]) -> Predict:
    """What a deployment brings beside the hub that is there, with these parameters instead of the usual ones.

    One that is None is left out. The same parameters are asked for once.
    """
    known: dict[str, Deployment] = {}

    def predicted(**changes: Any) -> Deployment:
        parameters = {name: value for name, value in (GIVEN | HUB | changes).items() if value is not None}
        key = json.dumps(parameters, sort_keys=True)
        if key not in known:
            known[key] = Deployment(snapshot(ROOT / "infra" / "main.bicep", parameters))
        return known[key]

    return predicted
