"""Sets of parameters that can't work fail before anything is made, with a sentence that says what to do."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local.bicep import ROOT, BicepError
from shared.hubs import places_in
from tests.infra.conftest import HUB, Predict

NO_SINGLE_HUB = dict.fromkeys(HUB)
OTHER = "00000000-0000-0000-0000-00000000000b"


def hub(**changes: Any) -> dict[str, Any]:
    return {"name": "east", "resource_group": "east-rg", "vnet": "east-vnet", "gateways": [{"name": "agw"}]} | changes


def hubs(*entries: Any, **more: Any) -> dict[str, Any]:
    return NO_SINGLE_HUB | {"hubs": list(entries)} | more


WEST = hub(name="west", vnet="west-vnet", address_pool="10.12.0.0/16", gateways=[{"name": "w", "domain": "w.example"}])

# What can't be, and words of each sentence; as much in one set as goes together, since each costs a second.
IMPOSSIBLE: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no hub, no domain": (
        {"hubAgwName": None, "spokeDomain": None, "alwaysReadyDurable": 21, "maximumInstanceCount": 20},
        [
            "Name the hub (hubResourceGroup, hubVnetName and hubAgwName)",
            "spokeDomain is missing",
            "alwaysReadyDurable can't",
        ],
    ),
    "values without their form": (
        {
            "environmentName": "my env",
            "appResourceGroup": "apps/rg",
            "hubResourceGroup": "hub rg",
            "spokeResourceGroup": "spokes-rg.",
            "hubVnetName": "h\u00fcb-vnet",
            "hubAgwName": "-agw",
            "hubSubscriptionId": "production",
            "spokeDomain": "https://*.example.com",
            "alertEmail": "a@example.com, b@example.com",
            "vnetAddressPrefix": "10.250.0.0",
            "gatewayLinkedIds": [
                "hub-agw-pip",
                f"/subscriptions/{OTHER}/resourceGroups/g/providers/Microsoft.Web/sites/a",
            ],
            "settings": {"TASK_HUB": "spokes-v2"},
        },
        [
            'environmentName must be letters, digits and -_.() without a period at the end: "my env"',
            'appResourceGroup must be the name of a resource group: "apps/rg"',
            'hubResourceGroup must be the name of a resource group: "hub rg"',
            'spokeResourceGroup must be the name of a resource group: "spokes-rg."',
            'hubVnetName must be the name of a VNet: "h\u00fcb-vnet"',
            'hubAgwName must be the name of an Application Gateway: "-agw"',
            'hubSubscriptionId must be the id of a subscription, a GUID: "production"',
            'spokeDomain must be a DNS name without wildcard and without https://: "https://*.example.com"',
            "alertEmail must be one e-mail address",
            "vnetAddressPrefix must be an IPv4 prefix without host bits, /25 or larger",
            "gatewayLinkedIds must hold ids of public addresses, WAF policies",
            "hub-agw-pip, /subscriptions/",
            "TASK_HUB of settings must be 3 to 45 letters and digits",
        ],
    ),
    "one hub and several": (hubs(hub(), hubAgwName="agw"), ["hubs stands instead of the single hub: leave"]),
    "a trial hub and several": (hubs(hub(), createTrialHub=True), ["hubs stands instead of the single hub: leave"]),
    # It would be made in the place of the one that is there.
    "a trial hub with the names of another": (
        {"createTrialHub": True},
        ["createTrialHub makes a hub of its own: leave"],
    ),
    "a trial hub elsewhere": (
        NO_SINGLE_HUB | {"createTrialHub": True, "hubSubscriptionId": OTHER},
        ["createTrialHub makes a hub of its own: leave", "name an existing one as spokeResourceGroup"],
    ),
    "spokes of several hubs elsewhere": (
        hubs(hub(), WEST | {"spoke_subscription_id": OTHER}),
        ["The spokes of west live in another subscription", "name an existing one as spoke_resource_group"],
    ),
    "hubs without their form": (
        hubs(
            hub(name="East", resource_group="a/b", vnet="v", address_pool="10.11.0.1/16", subscription_id="mine"),
            WEST
            | {
                "spoke_resource_group": "a b",
                "spoke_subscription_id": "x",
                "gateways": [{"name": "a b", "domain": "*.w"}],
            },
        ),
        [
            "hubs[0].name must be at most 40 small letters",
            "hubs[0].resource_group must be",
            "hubs[0].vnet must be",
            "hubs[0].address_pool must be",
            "hubs[0].subscription_id must be",
            "hubs[1].spoke_resource_group must be",
            "hubs[1].spoke_subscription_id must be",
            "hubs[1].gateways[0].name must be",
            "hubs[1].gateways[0].domain must be",
        ],
    ),
    "hubs that share": (
        hubs(hub(), hub(resource_group="EAST-rg", address_pool="10.0.0.0/8")),
        [
            "share a name: east",
            "share a VNet",
            "share a gateway",
            "share a domain",
            "share a part of their address pools",
        ],
    ),
    "premium with what Flex alone has": (
        {"plan": "ElasticPremium", "instanceMemoryMB": 4096, "alwaysReadyDurable": 0, "maximumInstanceCount": 101},
        [
            "instanceMemoryMB is of Flex Consumption: leave it out",
            "Elastic Premium has 1 to 20 instances that always run",
            "Elastic Premium has 100 instances at most",
        ],
    ),
    "a hub without a name": (
        hubs({name: each for name, each in hub().items() if name != "name"}),
        ["hubs[0]", "'name'"],
    ),
    "a hub with an unknown field": (hubs(hub(vnett="v")), ["hubs[0]", "unknown properties were present: ['vnett']"]),
    "hubs that are no list": (
        NO_SINGLE_HUB | {"hubs": "east"},
        ["'hubs' is not valid. Expected a value of type 'Array'"],
    ),
    "memory that no plan has": ({"instanceMemoryMB": 1024}, ["instanceMemoryMB", "'512,2048,4096'"]),
    "a Python that the app doesn't run on": ({"pythonVersion": "3.10"}, ["pythonVersion", "'3.11,3.12,3.13'"]),
    "a name that is too long": ({"environmentName": "a" * 33}, ["environmentName", "less than or equal to '32'"]),
    "a setting that the app doesn't know": ({"settings": {"SPOKE_DOMIAN": "x"}}, ["'settings'", "['SPOKE_DOMIAN']"]),
}


@pytest.mark.parametrize(("changes", "sentences"), IMPOSSIBLE.values(), ids=list(IMPOSSIBLE))
def test_an_impossible_set_of_parameters_fails_with_sentences(
    predict: Predict, changes: dict[str, Any], sentences: list[str]
) -> None:
    with pytest.raises(BicepError) as refused:
        predict(**changes)
    for sentence in sentences:
        assert sentence in str(refused.value)


# -- the forms, each by itself

GOOD_AND_BAD: dict[str, tuple[list[str], list[str]]] = {
    "isEnvironmentName(text)": (["dev", "A-Long_Name.(1)"], ["", " ", "a b", "d\u00e9v", "dev.", "a/b", "\u212a"]),
    "isGroupName(text)": (
        ["rg", "a_b-c.(1)", "gr\u00fcn", "a" * 90],
        ["a b", "a.", "a/b", "a\tb", "a#b", "a%b", "a" * 91],
    ),
    "isResourceName(text, 2, 64)": (
        ["hub-vnet", "a_", "9.b", "a" * 64],
        ["", "a", "a b", "-ab", "ab-", "ab.", "_ab", "v\u00fc", "a" * 65],
    ),
    "isHubName(text)": (["east", "e-1", "a" * 40], ["", "East", "-a", "a-", "a_b", "a" * 41]),
    "isTaskHub(text)": (["Hub", "HubSpokeV2", "a" * 45], ["", "ab", "2ab", "a-b", "a" * 46]),
    "isGuid(text)": (
        [OTHER, OTHER.upper()],
        ["", "x", OTHER[1:], OTHER.replace("b", "g"), f"{OTHER} ", f"{{{OTHER}}}"],
    ),
    "isDomain(text)": (
        ["a", "spokes.example.com", "A.b", "xn--a.b", f"{'a' * 63}.b"],
        ["", "*.a", "a.", ".a", "a..b", "a b", "https://a.b", "a_b.c", "-a.b", "a-.b", f"{'a' * 64}.b", "b\u00fc.de"],
    ),
    "isEmail(text)": (["a@b.c", "a.b+c@d-e.fg"], ["", "a", "a@b", "@b.c", "a@", "a@b.c,d@e.f", "a b@c.d", "a@b@c.d"]),
    "isPrefix(text)": (
        ["10.0.0.0/8", "0.0.0.0/0", "10.1.2.3/32"],
        [
            "",
            "10.0.0.0",
            "10.0.0.1/24",
            "10.0.0/24",
            "10.0.0.256/32",
            "10.0.0.0/33",
            "10.0.0.0/8/1",
            "::/0",
            "a/8",
            "010.0.0.0/8",
        ],
    ),
}


def test_a_form_takes_what_is_good_and_refuses_what_is_bad(
    snapshot: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    page = tmp_path / "forms.bicep"
    given = {f"texts{number}": good + bad for number, (good, bad) in enumerate(GOOD_AND_BAD.values())}
    lines = ["import * as checks from 'checks.bicep'"]
    for number, call in enumerate(GOOD_AND_BAD):
        lines += [
            f"param texts{number} array",
            f"output told{number} array = map(texts{number}, text => checks.{call})",
        ]
    page.write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "checks.bicep").write_bytes((ROOT / "infra" / "app" / "checks.bicep").read_bytes())
    told = snapshot(page, given, resourceGroup="g")["outputs"]
    for number, (call, (good, bad)) in enumerate(GOOD_AND_BAD.items()):
        taken = {text for text, is_good in zip(good + bad, told[f"told{number}"], strict=True) if is_good}
        assert taken == set(good), call


def test_a_hub_has_the_fields_in_the_template_that_it_has_in_the_app_and_in_the_guide() -> None:
    text = (ROOT / "infra" / "app" / "hubs.bicep").read_text(encoding="utf-8")
    guide = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")

    def fields(kind: str) -> set[str]:
        body = text.partition(f"type {kind} = {{\n")[2].partition("\n}")[0]
        return {line.split(":")[0].strip() for line in body.splitlines() if ":" in line}

    def described(kind: str) -> set[str]:
        rows = guide.partition(f"| field of a {kind} |")[2].partition("\n\n")[0].splitlines()[2:]
        return {name.strip(" `") for row in rows for name in row.split("|")[1].split(",")}

    assert fields("hub") == described("hub")
    assert fields("gateway") == described("gateway")
    everything = dict.fromkeys(fields("hub")) | {"gateways": [dict.fromkeys(fields("gateway"))]}
    problems: dict[str, str] = {}
    places_in(json.dumps([everything]), problems)
    assert "is no field that there is" not in problems.values()


def test_the_sample_of_several_hubs_can_be_deployed(predict: Predict) -> None:
    sample = json.loads((ROOT / "samples" / "two-hubs.json").read_text(encoding="utf-8"))
    assert json.loads(predict(**hubs(*sample)).settings["HUBS"]) == sample
