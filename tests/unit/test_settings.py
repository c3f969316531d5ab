"""Settings are read once, checked together, and documented line by line."""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ConfigurationException
from shared.settings import Settings, settings_from

ROOT = Path(__file__).resolve().parents[2]
NEEDED = {
    "AZURE_SUBSCRIPTION_ID": "00000000-0000-0000-0000-000000000001",
    "HUB_RESOURCE_GROUP": "hub-rg",
    "HUB_VNET_NAME": "hub-vnet",
    "HUB_AGW_NAME": "hub-agw",
    "TASK_HUB": "HubSpokeV2",
    "SPOKE_DOMAIN": "spokes.example.com",
    "TABLES_ENDPOINT": "https://account.table.core.windows.net",
}
NETWORK = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network"
# Read by the Functions host and by azure-identity, not by us.
NOT_OURS = {
    "FUNCTIONS_WORKER_RUNTIME",
    "PYTHON_THREADPOOL_THREAD_COUNT",
    "AzureWebJobsStorage",
    "AZURE_TOKEN_CREDENTIALS",
    "AZURE_CLIENT_ID",
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_SECRET",
    "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY",
}


class Asked(Mapping[str, str]):
    """An environment that remembers what it was asked for."""

    def __init__(self, values: dict[str, str]) -> None:
        self.values_given = values
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        return self.values_given[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_given)

    def __len__(self) -> int:
        return len(self.values_given)


def problems(**changes: str) -> dict[str, str]:
    with pytest.raises(ConfigurationException) as refused:
        settings_from(NEEDED | changes)
    found: dict[str, str] = refused.value.failure.details["settings"]
    return found


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs), "a name stands twice"
    return dict(pairs)


def example() -> dict[str, str]:
    text = (ROOT / "local.settings.json.example").read_text(encoding="utf-8")
    values: dict[str, str] = json.loads(text, object_pairs_hook=once)["Values"]
    return values


def guide() -> dict[str, str]:
    """The settings in docs/operations.md, each with its default as it stands there."""
    section = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8").partition("\n## Settings\n")[2]
    pairs = []
    for line in section.partition("\n## ")[0].splitlines():
        if line.startswith("| `"):
            _, names, defaults, *_ = line.split("|")
            found = re.findall(r"`(\w+)`", names)
            said = (
                defaults.strip().split(", ") if len(found) > 1 and ", " in defaults else [defaults.strip()] * len(found)
            )
            pairs += list(zip(found, said, strict=True))
    return once(pairs)


def sentences(path: str) -> dict[str, str]:
    """What stands below each declaration of a module and its classes: by the setting, the sentence in one line."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    found = {}
    for body in (tree.body, *(each.body for each in tree.body if isinstance(each, ast.ClassDef))):
        for declared, said in pairwise(body):
            if isinstance(said, ast.Expr) and isinstance(said.value, ast.Constant):
                text = " ".join(str(said.value.value).split())
                if isinstance(declared, ast.AnnAssign):
                    name = re.search(r"name='(\w+)'", ast.unparse(declared.annotation))
                    found[name[1] if name else ast.unparse(declared.target).upper()] = text
                elif isinstance(declared, ast.Assign):
                    found[str(ast.literal_eval(declared.value))] = text
    return found


def test_only_what_has_no_default_is_needed() -> None:
    settings = settings_from(NEEDED)
    assert settings.hub_location == "eastus"
    assert settings.spoke_resource_group == "hub-rg"
    assert str(settings.spoke_address_pool) == "10.11.0.0/16"
    assert settings.spoke_domains == ("spokes.example.com",)
    assert settings.hub_key == "hub-rg:hub-vnet"


def test_the_port_follows_the_certificate_unless_one_is_given() -> None:
    def port(**more: str) -> int:
        return settings_from(NEEDED | more).agw_frontend_port

    assert port() == 80
    assert port(AGW_SSL_CERTIFICATE="wildcard") == 443
    assert port(AGW_SSL_CERTIFICATE="wildcard", AGW_FRONTEND_PORT="8443") == 8443
    assert port(AGW_SSL_CERTIFICATE="wildcard", AGW_FRONTEND_PORT="80") == 80


def test_reserved_names_can_be_none() -> None:
    assert "login" in settings_from(NEEDED).reserved_clients
    assert settings_from(NEEDED | {"RESERVED_CLIENTS": "none"}).reserved_clients == ()
    assert settings_from(NEEDED | {"RESERVED_CLIENTS": "Shop, status"}).reserved_clients == ("shop", "status")


def test_everything_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(ConfigurationException) as refused:
        settings_from({})
    assert set(refused.value.failure.details["settings"]) == set(NEEDED)
    assert all(name in refused.value.failure.message for name in NEEDED)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SPOKE_ADDRESS_POOL", "10.11.0.1/16"),
        ("SPOKE_ADDRESS_POOL", "everything"),
        ("SPOKE_PREFIX_LENGTH", "28"),
        ("SPOKE_PREFIX_LENGTH", "16"),
        ("SPOKE_DOMAIN", "Spokes.Example.com/"),
        ("MANAGEMENT_SOURCE_PREFIXES", "10.0.0.0/8,0.0.0.0/0"),
        ("MANAGEMENT_SOURCE_PREFIXES", "Internet"),
        ("MANAGEMENT_SOURCE_PREFIXES", "0.0.0.0/1,128.0.0.0/1"),
        ("MANAGEMENT_SOURCE_PREFIXES", "0.0.0.0/2, 64.0.0.0/2, 128.0.0.0/3, 160.0.0.0/3, 192.0.0.0/3"),
        ("MANAGEMENT_SOURCE_PREFIXES", "10.0.0.0/8, ::/0"),
        ("SPOKE_ALLOWED_DESTINATIONS", "128.0.0.0/1,0.0.0.0/1"),
        ("SPOKE_ALLOWED_DESTINATIONS", "10.0.1.4, fd12:3456:789a::4"),
        ("SPOKE_DENIED_DESTINATIONS", "0.0.0.0/0"),
        ("SPOKE_DENIED_DESTINATIONS", "0.0.0.0/1,128.0.0.0/1"),
        ("SPOKE_DENIED_DESTINATIONS", "2001:db8::/32"),
        ("SPOKE_DENIED_DESTINATIONS", "Internet"),
        ("SPOKE_ALLOWED_DESTINATIONS", "10.0.0.1/8"),
        ("SPOKE_OUTBOUND", "sometimes"),
        ("ARM_ENDPOINT", "http://management.azure.com"),
        ("VM_IMAGE", "ubuntu"),
        ("PROBE_PATH", "health"),
        ("AGW_FRONTEND_PORT", "0"),
        ("RESERVED_CLIENTS", "www,*.login"),
        ("AGW_OVERRIDE_WILDCARDS", "sometimes"),
        ("HUB_BATCH", "26"),
        ("POLL_MAX_SECONDS", "soon"),
        ("RETRY_MAX_SECONDS", "-1"),
        ("STEP_DEADLINE_SECONDS", "nan"),
        ("STRICT_ADDRESSES", "perhaps"),
        ("DURABLE_URLS", "some"),
        ("TASK_HUB", "x"),
        ("TASK_HUB", "hub-spoke"),
        ("TASK_HUBS_RETIRED", "a hub"),
        ("TASK_HUBS_RETIRED", "Blue,hubspokev2"),
        ("LOG_LEVEL", "LOUD"),
        ("AZURE_SUBSCRIPTION_ID", "my subscription"),
        ("HUB_RESOURCE_GROUP", "hub/rg"),
        ("HUB_RESOURCE_GROUP", "hub-rg."),
        ("SPOKE_RESOURCE_GROUP", "x" * 91),
        ("HUB_VNET_NAME", "hub#vnet"),
        ("HUB_AGW_NAME", "../hub-agw"),
        ("HUB_LOCATION", "east/us"),
        ("AGW_FRONTEND_IP", "a b"),
        ("AGW_SSL_CERTIFICATE", "a/b"),
        ("SPOKE_DOMAINS", "a.example.com, *.example.com"),
        ("SPOKE_ADDRESS_POOL", "224.0.0.0/8"),
        ("SPOKE_ADDRESS_POOL", "168.63.0.0/16"),
        ("MANAGEMENT_SOURCE_PREFIXES", "0.0.0.0/0.0.0.0"),
        ("MANAGEMENT_SOURCE_PREFIXES", "fd00::/8"),
        ("SPOKE_OUTBOUND", "nat:/subscriptions/x"),
        ("SPOKE_OUTBOUND", f"nat:{NETWORK}/routeTables/out"),
        ("SPOKE_OUTBOUND", f"nat:{NETWORK}/natGateways/out?x="),
        ("SPOKE_OUTBOUND", f"nat:{NETWORK}/natGateways/out#"),
        ("ARM_ENDPOINT", "https://"),
        ("ARM_TIMEOUT_SECONDS", "0"),
        ("STEP_DEADLINE_SECONDS", "0"),
        ("TABLES_ENDPOINT", "http://account.table.core.windows.net"),
        ("TABLES_CONNECTION_STRING", "secret"),
        ("TABLES_CONNECTION_STRING", "AccountName=a;AccountKey=no base64;EndpointSuffix=core.windows.net"),
        ("TABLES_CONNECTION_STRING", "AccountKey=YWJj;EndpointSuffix=core.windows.net"),
        ("APPLICATIONINSIGHTS_CONNECTION_STRING", "rubbish"),
        ("APPLICATIONINSIGHTS_CONNECTION_STRING", "InstrumentationKey=1;IngestionEndpoint=https://x/"),
        ("PROBE_PATH", "/a b"),
        ("VM_IMAGE", "a:b c:d:e"),
    ],
)
def test_a_bad_setting_is_named(name: str, value: str) -> None:
    assert set(problems(**{name: value})) == {name}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SPOKE_OUTBOUND", f"nat:{NETWORK}/natGateways/out"),
        ("SPOKE_OUTBOUND", f"route:{NETWORK.lower()}/routetables/out"),
        ("HUB_LOCATION", "East US"),
        ("HUB_RESOURCE_GROUP", "Hub_(é).rg"),
        ("ARM_ENDPOINT", "https://127.0.0.1:8443/"),
        ("TABLES_CONNECTION_STRING", "UseDevelopmentStorage=true"),
        (
            "TABLES_CONNECTION_STRING",
            "TableEndpoint=https://a.table.core.windows.net;SharedAccessSignature=sv=2024&sig=x",
        ),
        ("TABLES_CONNECTION_STRING", "AccountName=a;AccountKey=YWJj;EndpointSuffix=core.windows.net"),
        ("MANAGEMENT_SOURCE_PREFIXES", "10.0.1.0/24, 192.0.2.1"),
        (
            "APPLICATIONINSIGHTS_CONNECTION_STRING",
            f"InstrumentationKey={NEEDED['AZURE_SUBSCRIPTION_ID']};LiveEndpoint=x",
        ),
    ],
)
def test_a_good_setting_is_taken(name: str, value: str) -> None:
    settings_from(NEEDED | {name: value})


@pytest.mark.parametrize(
    "name", ["MANAGEMENT_SOURCE_PREFIXES", "SPOKE_ALLOWED_DESTINATIONS", "SPOKE_DENIED_DESTINATIONS"]
)
def test_lists_of_prefixes_are_collapsed(name: str) -> None:
    settings = settings_from(NEEDED | {name: "10.0.5.0/24, 10.0.0.0/8, 192.0.2.0/25, 192.0.2.128/25, 10.0.0.0/8"})
    assert getattr(settings, name.lower()) == ("10.0.0.0/8", "192.0.2.0/24")


def test_a_prefix_of_ipv6_is_named_as_such() -> None:
    assert "spokes have no IPv6" in problems(SPOKE_DENIED_DESTINATIONS="fd00::/8")["SPOKE_DENIED_DESTINATIONS"]


def test_the_kind_of_outbound_is_taken_in_any_letter_case() -> None:
    assert settings_from(NEEDED | {"SPOKE_OUTBOUND": f"ROUTE:{NETWORK}/routeTables/out"}).spoke_outbound.startswith(
        "route:"
    )


def test_no_secret_is_shown_by_the_settings_object() -> None:
    account = "AccountName=a;AccountKey=c2VjcmV0;EndpointSuffix=core.windows.net"
    settings = settings_from(NEEDED | {"TABLES_CONNECTION_STRING": account})
    assert "c2VjcmV0" not in repr(settings)
    assert "c2VjcmV0=" not in str(problems(TABLES_CONNECTION_STRING="AccountKey=c2VjcmV0="))


@given(st.dictionaries(st.sampled_from(sorted({*NEEDED, *example()})), st.text(), max_size=8))
def test_any_environment_gives_settings_or_names_what_is_wrong(changes: dict[str, str]) -> None:
    try:
        settings = settings_from(NEEDED | changes)
    except ConfigurationException as refused:
        named = set(refused.failure.details["settings"])
        assert named, "something must be named"
        assert named <= {*NEEDED, *changes}
    else:
        assert isinstance(settings, Settings)


def settings_read() -> set[str]:
    """What the app reads. Of the Functions host's storage only the account's name, in whatever form it is given."""
    asked = Asked(dict(NEEDED))
    settings_from(asked)
    return {name for name in asked.names if not name.startswith("AzureWebJobsStorage")}


SENTENCES = sentences("shared/settings.py") | sentences("shared/hubs.py")


@pytest.mark.parametrize("name", sorted(settings_read()))
def test_a_setting_stands_in_all_its_places(name: str) -> None:
    values = example()
    template = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "infra").rglob("*.bicep")))
    places = {
        "local.settings.json.example: its value": name in values,
        "shared/settings.py: a sentence below its field": name in SENTENCES,
        "local.settings.json.example: that sentence": values.get(f"_{name}") == SENTENCES.get(name),
        "docs/operations.md: the table of settings": name in guide(),
        "infra/app/settings.bicep: optionalSettings, unless the template makes it": name == "TABLES_CONNECTION_STRING"
        or re.search(rf"\b{name}\b", template),
    }
    assert [place for place, there in places.items() if not there] == []


def text_of_the_app() -> str:
    folders = ("triggers", "orchestrators", "activities", "shared")
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return "".join(path.read_text(encoding="utf-8") for path in files)


APP = text_of_the_app()
# Accepted in `HUBS` already, for the step that will write DNS records.
ONLY_KEPT = {"dns_zone_id"}


@pytest.mark.parametrize("name", [each.name for each in fields(Settings) if each.name not in ONLY_KEPT])
def test_something_reads_a_setting(name: str) -> None:
    # The deadlines by their name, which the steps hold.
    assert re.search(rf"""(\.|"){name}\b""", APP), f"nothing in the app reads Settings.{name}"


def test_no_place_has_a_setting_that_is_not_read() -> None:
    values = example()
    documented = {name for name in values if not name.startswith("_")}
    assert sorted((documented - NOT_OURS) ^ settings_read()) == [], "shared/settings.py and the example differ in these"
    assert all(values.get(f"_{name}") for name in documented | NOT_OURS)
    assert all(isinstance(value, str) for value in values.values())


def test_the_example_works_and_holds_the_defaults() -> None:
    values = {name: value for name, value in example().items() if not name.startswith("_")}
    local = {"TABLES_CONNECTION_STRING": values["TABLES_CONNECTION_STRING"], "TABLES_ENDPOINT": ""}
    local["AzureWebJobsStorage"] = values["AzureWebJobsStorage"]
    same_ids = {"AZURE_SUBSCRIPTION_ID": values["AZURE_SUBSCRIPTION_ID"]}
    assert settings_from(values) == settings_from(NEEDED | local | same_ids)


def test_the_guide_holds_every_setting_once_with_the_same_default() -> None:
    values, told = example(), guide()
    assert sorted(told) == sorted(name.removeprefix("_") for name in values if name.startswith("_") and name != "_")
    for name, default in told.items():
        if default.startswith("`"):  # a value, or another setting's name
            word = default.strip("`")
            assert values[name] == values.get(word, word), name
        elif default == "empty":
            assert values[name] == "", name
        assert (default == "required") == values[f"_{name}"].startswith("Required. "), name


def test_the_example_names_the_defaults_that_it_holds() -> None:
    values = example()
    for name, value in values.items():
        named = re.search(r"Default: (\S+)\.$", values.get(f"_{name}", ""))
        if named and not name.startswith("_"):
            assert value == {"empty": ""}.get(named[1], values.get(named[1], named[1])), name
