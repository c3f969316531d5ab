"""The trial hub, put into the local Azure, is the hub that the local Azure starts with."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local.bicep import ROOT
from tests.contracts.azure import Azure, running

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
