"""Documents of Azure and the compiler that knows its types: those that the app sends, and those of the trial hub."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.app_roles import app_roles, scopes
from local.azure import ids
from local.azure.hub import Hub
from local.bicep import ROOT, Bicep
from local.functions.app import Function
from shared.checks import snapshot as reading
from tests.activities.azure_stand_in import LocalAzure
from tests.contracts.azure import Azure, running
from tests.faults.catalogue import DEPLOY, calls_of
from tests.faults.conftest import azure_process, azure_stand_in, azurite_process, functions, layout
from tests.faults.layouts import Layout
from tests.faults.simulation import Simulation
from tests.faults.wire import Wire
from tests.infra.as_bicep import declaration, predicted_declaration
from tests.infra.conftest import GIVEN, HUB, Predict
from tests.infra.predicted import ASSIGNMENT, DEFINITION, Deployment
from tests.infra.test_deployment import LOCKED, TRIAL, VARIANTS

__all__ = ["azure_process", "azure_stand_in", "azurite_process", "functions", "layout"]

Document = dict[str, Any]
# What Azure chooses anew for each resource.
VOLATILE = frozenset({"etag", "resourceGuid", "ipAddress"})


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azure]:
    with running(tmp_path_factory.mktemp("azure") / "state", "--port", "0", "--time-scale", "0") as stand_in:
        yield stand_in


def held(azure: Azure) -> dict[str, Document]:
    """Everything in the local Azure by its id."""
    return {each["id"]: alike(each) for each in azure.local("GET", "resources")}


def alike(value: Any) -> Any:
    """Without what is volatile."""
    if isinstance(value, dict):
        return {name: alike(each) for name, each in value.items() if name not in VOLATILE}
    return [alike(each) for each in value] if isinstance(value, list) else value


def rule_of(gateway: Document) -> Document:
    (rule,) = gateway["properties"]["requestRoutingRules"]
    found: Document = rule["properties"]
    return found


def test_the_trial_hub_is_the_hub_of_make_run_but_for_the_priority_of_its_rule(
    azure: Azure, snapshot: Callable[..., Document]
) -> None:
    hub_file = ROOT / "infra" / "hub" / "trial-hub.bicep"
    predicted = snapshot(hub_file, {}, subscriptionId=azure.subscription_id, resourceGroup="hub-rg")[
        "predictedResources"
    ]
    before = held(azure)
    gateway_id = azure.id("applicationGateways", "hub-agw")
    for kind, name in (
        ("applicationGateways", "hub-agw"),
        ("publicIPAddresses", "hub-agw-pip"),
        ("virtualNetworks", "hub-vnet"),
    ):
        azure.local("DELETE", "resources", id=azure.id(kind, name))
    assert len(held(azure)) < len(before)
    for resource in predicted:
        body = {name: value for name, value in resource.items() if name not in ("id", "type", "name", "apiVersion")}
        answer = azure.send("PUT", resource["id"], body, version=resource["apiVersion"])
        assert answer.status_code == 201, answer.text
        azure.advance(600)
    after = held(azure)
    assert rule_of(after[gateway_id]).pop("priority") == 20000
    assert rule_of(before[gateway_id]).pop("priority") == 1001
    assert after == before


def test_the_trial_hub_is_made_once(bicep: Bicep) -> None:
    """A second PUT of the gateway would be without the sites that the app has put on it."""
    resources = bicep.template(ROOT / "infra" / "hub" / "trial-hub.bicep")["resources"]
    made = {name: each.get("@options") for name, each in resources.items() if not each.get("existing")}
    assert made == {name: {"onlyIfNotExists": []} for name in ("vnet", "address", "gateway")}


# A type that isn't right, an unknown property, one that is missing, a version of the API that there is not.
WRONG = re.compile(r"BCP03[567]|BCP081")
# What a GET of a gateway shows and the PUT sends back as it is: who refers to an element, and what the published type lacks.
ECHOED = re.compile(
    r'The property "(httpListeners|requestRoutingRules|backendHttpSettingsCollection|enableHttp3|defaultPredefinedSslPolicy)"'
    r' is not allowed on objects of type "ApplicationGateway'
)
# The types that the calls of a deployment write: of `…: PUT virtualNetworks/{vnet}`.
SENT = {
    f"Microsoft.{'Compute' if path.startswith('virtualMachines/') else 'Network'}/{'/'.join(path.split('/')[::2])}"
    for path in re.findall(r"^\w+: PUT (.+)$", "\n".join(calls_of(DEPLOY)), re.MULTILINE)
}


@pytest.fixture
def simulation(
    azure_stand_in: tuple[LocalAzure, Wire], functions: list[Function], layout: Layout, tmp_path: Path
) -> Iterator[Simulation]:
    """The app beside the local hub, with nothing deployed."""
    reading._shared.clear()
    simulation = Simulation(*azure_stand_in, functions, tmp_path, layout)
    yield simulation
    simulation.close()


@pytest.fixture
def predicted_roles(simulation: Simulation, snapshot: Callable[..., Document]) -> Document:
    """What a deployment beside the local hub would grant the app, in force in the local Azure instead of what it starts with."""
    subscription = simulation.azure.subscription_id
    parameters = {**GIVEN, **HUB, "spokeResourceGroup": "hub-rg"}
    deployment = Deployment(snapshot(ROOT / "infra" / "main.bicep", parameters, subscriptionId=subscription))
    roles = {role["id"]: role for role in deployment.of(DEFINITION)}
    granted = [each for each in deployment.of(ASSIGNMENT) if each["properties"]["roleDefinitionId"] in roles]
    for each in granted:
        # Only Azure knows the principal: it stays an expression.
        assert each["properties"]["principalId"].startswith("[")
        each["properties"]["principalId"] = ids.PRINCIPAL_ID
    documents = {"roleDefinitions": list(roles.values()), "roleAssignments": granted}
    simulation.azure.enforce(documents)
    return documents


def grants(documents: Document) -> set[tuple[str, str]]:
    """Scope and action of everything that is granted."""
    actions = {
        role["id"].lower(): [action for each in role["properties"]["permissions"] for action in each["actions"]]
        for role in documents["roleDefinitions"]
    }
    return {
        (re.split(f"/providers/{ASSIGNMENT}/", each["id"])[0].lower(), action)
        for each in documents["roleAssignments"]
        for action in actions[each["properties"]["roleDefinitionId"].lower()]
    }


def test_what_a_deployment_grants_is_what_the_local_azure_enforces(
    simulation: Simulation, predicted_roles: Document
) -> None:
    """A spoke is built and removed with these rights; and they are those that all tests run with."""
    run = simulation.deploy()
    simulation.play_out()
    assert simulation.run_row(run).status == "completed"
    run = simulation.delete()
    simulation.play_out()
    assert simulation.run_row(run).status == "deleted"
    assert grants(app_roles(scopes((Hub(),)))) == grants(predicted_roles)


@pytest.mark.parametrize("changes", [LOCKED, VARIANTS["premium"], TRIAL], ids=["flex", "premium", "trial hub"])
def test_every_resource_that_a_deployment_asks_for_is_of_its_type(
    predict: Predict, bicep: Bicep, tmp_path: Path, changes: Document
) -> None:
    """What the template puts together by `union` is no type's any more: there its compiler checks nothing."""
    page = tmp_path / "asked-for.bicep"
    resources = predict(**changes).resources
    page.write_text("".join(predicted_declaration(*each) for each in enumerate(resources)), encoding="utf-8")
    assert [each for each in bicep.diagnostics(page) if WRONG.search(each)] == []


def test_every_document_that_the_app_sends_is_of_its_type(simulation: Simulation, bicep: Bicep, tmp_path: Path) -> None:
    run = simulation.deploy(tags={"team": "blue's ${team}"}, cloud_init="#cloud-config\npackages: [nginx]\n")
    simulation.play_out()
    assert simulation.run_row(run).status == "completed"
    sent = [call for call in simulation.azure.requests("PUT") if call["status"] in (200, 201)]
    declared = [
        declaration(number, call["path"], call["api_version"], call["request"]) for number, call in enumerate(sent)
    ]
    assert {re.search(r"'([\w./]+)@", each)[1] for each in declared} == SENT  # type: ignore[index]
    # The same name stands twice (create_vnet and create_subnets): one file for each.
    for number, text in enumerate(declared):
        page = tmp_path / f"sent-{number}.bicep"
        page.write_text(text, encoding="utf-8")
        found = [each for each in bicep.diagnostics(page) if WRONG.search(each) and not ECHOED.search(each)]
        assert found == [], (found, text)


def test_the_compiler_would_find_a_document_that_is_wrong(bicep: Bicep, tmp_path: Path) -> None:
    page = tmp_path / "wrong.bicep"
    vnet = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v"
    body = {"location": 1, "properties": {"addressSpace": {"addressPrefixes": []}, "subnet": [], "subnets": [{}]}}
    account = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/abc"
    incomplete = declaration(1, account, "2025-06-01", {"location": "eastus"})
    unknown = declaration(2, account, "2025-06-31", {"location": "eastus"})
    page.write_text(declaration(0, vnet, "2026-03-01", body) + incomplete + unknown, encoding="utf-8")
    codes = {code for each in bicep.diagnostics(page) for code in WRONG.findall(each)}
    assert codes == {"BCP035", "BCP036", "BCP037", "BCP081"}
