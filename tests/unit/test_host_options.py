"""What the local host shows of its options: defaults of the extensions, and over them host.json."""

from typing import Any

import pytest

from local.functions.options import DEFAULTS, options


def test_without_host_json_there_are_the_defaults_and_the_hub() -> None:
    shown = options({}, "Hub")
    assert shown["extensions"]["durableTask"].pop("hubName") == "Hub"
    assert shown["concurrency"] == DEFAULTS["concurrency"]
    assert shown["extensions"]["http"] == DEFAULTS["extensions"]["http"]
    assert DEFAULTS["extensions"]["durableTask"]["hubName"] is None


def test_host_json_goes_over_the_defaults_and_what_the_extension_hides_stays_hidden() -> None:
    durable = {"hubName": "%HUB%", "useGracefulShutdown": True, "storageProvider": {"partitionCount": 4}}
    shown = options({"extensions": {"http": {"routePrefix": ""}, "durableTask": durable}, "logging": {}}, "Hub")
    assert shown["extensions"]["http"]["routePrefix"] == ""
    assert shown["extensions"]["durableTask"]["useGracefulShutdown"] is True
    assert shown["extensions"]["durableTask"]["hubName"] == "Hub"
    assert "storageProvider" not in shown["extensions"]["durableTask"]
    assert set(shown) == {"extensions", "concurrency"}


@pytest.mark.parametrize(("given", "shown"), [("V2", 2), ("v1", 1), ("None", 0), (2, 2)])
def test_the_version_of_tracing_is_shown_by_its_number(given: Any, shown: int) -> None:
    host_json = {"extensions": {"durableTask": {"tracing": {"version": given}}}}
    assert options(host_json, "Hub")["extensions"]["durableTask"]["tracing"]["version"] == shown
