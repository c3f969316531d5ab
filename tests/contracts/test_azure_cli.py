"""The ordinary `az`, from PyPI and unmodified: what an operator would look around and repair with."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.checks.subjects.gateway.network import GatewayNetwork, gateway_network_findings
from shared.checks.subjects.gateway.policies import tls_findings
from shared.writers.gateway.priorities import (
    no_priority_beside_others,
    no_priority_left,
    priority_of,
    unmanaged_rules,
)
from shared.writers.gateway.site_rows import Site
from shared.writers.gateway.sites import Frontend, frontend_of, missing_parts
from tests.contracts.azure import RG, Azure, running
from tests.contracts.gateways import with_site

pytestmark = [pytest.mark.full, pytest.mark.timeout(1500)]

VERSION = "2.91.0"
Az = Callable[..., Any]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """azure-cli in an environment of its own."""
    home = tmp_path_factory.mktemp("az") / "venv"
    subprocess.run([sys.executable, "-m", "venv", home], check=True)
    command: list[Any] = [
        home / "bin" / "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        f"azure-cli=={VERSION}",
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=1200)
    return home / "bin" / "az"


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azure]:
    """With a clock that goes by itself: `az` waits for its operations."""
    with running(tmp_path_factory.mktemp("azure") / "state", "--time-scale", "0.005") as azure:
        yield azure


@pytest.fixture
def az(azure: Azure, program: Path, tmp_path: Path) -> Az:
    """`az`, signed in as a service principal at the local authority."""
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")} | {
        "AZURE_CONFIG_DIR": str(tmp_path / "config"),
        "AZURE_CORE_INSTANCE_DISCOVERY": "false",
        "AZURE_CORE_COLLECT_TELEMETRY": "false",
        "REQUESTS_CA_BUNDLE": azure.endpoints["ca"],
    }

    def run(command: str, *more: str) -> Any:
        done = subprocess.run(
            [program, *command.split(), *more, "--output", "json"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    run(f"cloud register --name local --endpoint-resource-manager {azure.endpoints['arm']}")
    run("cloud set --name local")
    secret = "login --service-principal --username 11111111-2222-3333-4444-555555555555 --password any --tenant "
    assert run(secret + azure.endpoints["tenant_id"])[0]["id"] == azure.subscription_id
    return run


def test_looking_around(az: Az, azure: Azure) -> None:
    vnet = azure.vnet("v1", "10.11.1.0/24", web="10.11.1.0/26")
    azure.peer("hub-vnet", "hub-to-v1", vnet)
    nic = azure.nic("n1", f"{vnet}/subnets/web")
    azure.vm("vm1", nic.id)
    azure.network.virtual_networks.update_tags(RG, "v1", {"tags": {"spoke_id": "1"}})
    assert {each["name"] for each in az("group list")} == {RG}
    assert {each["name"] for each in az("network vnet list")} == {"hub-vnet", "v1"}
    assert az(f"network vnet show -g {RG} -n v1")["subnets"][0]["name"] == "web"
    peerings = az(f"network vnet peering list -g {RG} --vnet-name hub-vnet")
    assert [(each["name"], each["peeringState"]) for each in peerings] == [("hub-to-v1", "Initiated")]
    assert [each["virtualMachine"]["id"] for each in az("network nic list")] == [azure.id("virtualMachines", "vm1")]
    assert [each["name"] for each in az("vm list")] == ["vm1"]
    assert az(f"vm show -g {RG} -n vm1 -d")["powerState"] == "VM running"
    usage = {each["name"]["value"]: int(each["currentValue"]) for each in az("vm list-usage -l eastus")}
    assert (usage["cores"], usage["virtualMachines"]) == (2, 1)
    assert "Standard_B2s" in {each["name"] for each in az("vm list-skus -l eastus --size Standard_B2s --all")}
    assert az(f"network application-gateway show -g {RG} -n hub-agw")["operationalState"] == "Running"
    pools = az(f"network application-gateway address-pool list -g {RG} --gateway-name hub-agw")
    assert [each["name"] for each in pools] == ["defaultPool"]
    assert [each["name"] for each in az("resource list --tag spoke_id=1")] == ["v1"]
    assert az(f"lock list -g {RG}") == []


def test_repairing(az: Az, azure: Azure) -> None:
    az(
        f"network vnet create -g {RG} -n v1 -l eastus --address-prefixes 10.11.1.0/24 --subnet-name web --subnet-prefixes 10.11.1.0/26"
    )
    az(f"network vnet peering create -g {RG} -n p --vnet-name hub-vnet --remote-vnet v1 --allow-vnet-access")
    az(f"network vnet peering delete -g {RG} -n p --vnet-name hub-vnet")
    az(f"network nsg create -g {RG} -n nsg -l eastus")
    az(f"network nsg delete -g {RG} -n nsg")
    az(f"network application-gateway rule update -g {RG} --gateway-name hub-agw -n defaultRoutingRule --priority 20000")
    assert azure.route("any.example.com")["priority"] == 20000
    az(f"network application-gateway address-pool create -g {RG} --gateway-name hub-agw -n extra --servers 10.11.1.4")
    az(f"network application-gateway address-pool delete -g {RG} --gateway-name hub-agw -n extra")
    az(f"network vnet delete -g {RG} -n v1")
    assert azure.names() == ["hub-rg", "hub-vnet", "hub-agw-pip", "hub-agw"]


def _commands(hint: str | None) -> list[str]:
    """The commands of a hint, in order, without `az`."""
    return [
        each.removeprefix("az ") for quoted in re.findall(r"`(az .+?)`", hint or "") for each in quoted.split(" && ")
    ]


def _with_rules(azure: Azure, **priorities: int | None) -> Any:
    """The hub's gateway with more sites, each with its rule's priority; that of the default rule is given as `default`."""
    document = azure.send("GET", azure.id("applicationGateways", "hub-agw")).json()
    for name, priority in priorities.items():
        if name == "default":
            document["properties"]["requestRoutingRules"][0]["properties"]["priority"] = priority
        else:
            document = with_site(document, name, f"{name}.spokes.example.com", priority)
        if name == "wild":
            listener = document["properties"]["httpListeners"][-1]["properties"]
            listener |= {"hostName": None, "hostNames": ["*.spokes.example.com"]}
    azure.plant(document)
    return azure.send("GET", document["id"]).json()


def test_the_commands_of_our_hints_are_taken(az: Az, azure: Azure) -> None:
    document = _with_rules(azure, default=2, wild=1, last=20000)
    frontend = frontend_of(document, Site("x.spokes.example.com", "10.11.1.4"))
    assert isinstance(frontend, Frontend)
    rules = unmanaged_rules(document, [])
    taken = {number for rule in rules if (number := priority_of(rule)) is not None}
    for command in _commands(no_priority_left(document, rules, taken, "x.spokes.example.com", frontend).hint):
        az(command)
    after = azure.send("GET", document["id"]).json()["properties"]["requestRoutingRules"]
    assert [each["properties"]["priority"] for each in after] == [19999, 19998, 20000]

    azure.local("POST", "reset")
    document = _with_rules(azure, default=None, shop=None, last=20000)
    failure = no_priority_beside_others(document, unmanaged_rules(document, []))
    assert failure is not None
    for command in _commands(failure.hint):
        az(command)
    after = azure.send("GET", document["id"]).json()["properties"]["requestRoutingRules"]
    assert [each["properties"]["priority"] for each in after] == [19999, 19998, 20000]

    azure.local("POST", "reset")
    az(f"network nsg create -g {RG} -n agw-nsg -l eastus")
    document = azure.send("GET", azure.id("applicationGateways", "hub-agw")).json()
    policy = {"sslPolicy": {"policyType": "Predefined", "policyName": "AppGwSslPolicy20150501"}}
    document["properties"] |= policy
    azure.plant(document)
    group = azure.send("GET", azure.id("networkSecurityGroups", "agw-nsg")).json()
    missing = missing_parts(document, Site("x", "10.11.1.4", frontend_port=443))
    hints = [
        each.hint
        for each in (*gateway_network_findings(document, GatewayNetwork(None, group)), *tls_findings(document))
    ]
    for command in [command for hint in (*hints, *(each.hint for each in missing)) for command in _commands(hint)]:
        az(command)
    group = azure.send("GET", group["id"]).json()
    document = azure.send("GET", document["id"]).json()
    assert [each.code for each in gateway_network_findings(document, GatewayNetwork(None, group))] == []
    assert tls_findings(document) == []
    assert missing_parts(document, Site("x", "10.11.1.4", frontend_port=443)) == []
