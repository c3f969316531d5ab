"""The stand-in's own endpoints: what makes no sense is refused in words, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.contracts.azure import PLACE, RG, Azure, running


@pytest.mark.parametrize(
    ("method", "name", "body"),
    [
        ("POST", "quota", {"quotas": {"cores": "x"}}),
        ("POST", "quota", {"quotas": [1]}),
        ("POST", "quota", {"restrictions": 5}),
        ("POST", "quota", {"restrictions": [{"size": "Standard_B2s", "location": 5}]}),
        ("POST", "limits", {"gateway_limit": "x"}),
        ("POST", "limits", {"page_size": 0}),
        ("POST", "limits", {"buckets": 5}),
        ("POST", "limits", {"buckets": {"reads": ["a", 1]}}),
        ("POST", "limits", {"buckets": {"reeds": [1, 1]}}),
        ("POST", "limits", {"nic_operations": "sometimes"}),
        ("POST", "limits", {"throttle": "no"}),
        ("POST", "limits", {"colour": 1}),
        ("POST", "clock", {"advance": "x"}),
        ("POST", "clock", {"advance": -1}),
        ("POST", "clock", {"advance": 1e300}),
        ("POST", "clock", {"until": "x"}),
        ("POST", "clock", {"until": 1e300}),
        ("POST", "clock", None),
        ("POST", "faults", None),
        ("POST", "faults", [{"mode": "refuse", "path": 5}]),
        ("POST", "faults", [{"mode": "refuse", "method": 5}]),
        ("POST", "faults", [{"mode": "refuse", "times": 0}]),
        ("POST", "faults", [{"mode": "refuse", "times": "x"}]),
        ("POST", "faults", [{"mode": "refuse", "probability": 2}]),
        ("POST", "faults", [{"mode": "refuse", "status": "x"}]),
        ("POST", "faults", [{"mode": "refuse", "status": 102}]),
        ("POST", "faults", [{"mode": "refuse", "retry_after": -1}]),
        ("POST", "faults", [{"mode": "slow", "seconds": "x"}]),
        ("POST", "faults", [{"mode": "refuse", "body": "x", "content_type": "a\nb"}]),
        ("POST", "faults", [{"mode": "refuse"}, {"mode": "explode"}]),
        ("POST", "save", {}),
        ("POST", "restore", {"name": 5}),
        ("PUT", "resources", [{"id": "x"}]),
        ("PUT", "resources", [5]),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(azure: Azure, method: str, name: str, body: Any) -> None:
    answer = azure.http.request(method, f"/_local/{name}", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]
    assert azure.local("GET", "faults") == []
    assert azure.send("GET", azure.id("virtualNetworks", "hub-vnet")).status_code == 200


def test_the_clock_goes_to_a_moment_and_never_back(azure: Azure) -> None:
    began = azure.local("GET", "clock")["now"]
    assert azure.local("POST", "clock", {"until": began + 20})["now"] == pytest.approx(began + 20)
    assert azure.local("POST", "clock", {"until": began})["now"] == pytest.approx(began + 20)
    hub = azure.id("virtualNetworks", "hub-vnet")
    assert azure.send("GET", hub, headers={"x-local-clock": str(began + 30)}).status_code == 200
    assert azure.local("GET", "clock")["now"] == pytest.approx(began + 30)


@pytest.mark.parametrize("moment", ["noon", "nan", "inf", "1e300"])
def test_a_request_with_a_moment_that_cannot_be_is_refused_and_changes_nothing(azure: Azure, moment: str) -> None:
    before, hub = azure.local("GET", "clock"), azure.id("virtualNetworks", "hub-vnet")
    answer = azure.send("GET", hub, headers={"x-local-clock": moment})
    assert answer.status_code == 400
    assert "x-local-clock" in answer.json()["error"]
    assert azure.local("GET", "clock") == before
    assert azure.send("GET", hub).status_code == 200


@pytest.mark.parametrize("content", [b"{", b"\xff", b'{"advance": NaN}', b"[" * 2000 + b"]" * 2000])
def test_what_is_no_json_is_refused(azure: Azure, content: bytes) -> None:
    answer = azure.http.post("/_local/clock", content=content)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("no JSON")


@pytest.mark.parametrize(
    "bad",
    [
        {"id": "nowhere"},
        {"properties": 5},
        {"properties": {"subnets": [{"no": "name"}]}},
        {"location": 5, "properties": {}},
        {"tags": "x", "properties": {}},
    ],
)
def test_documents_are_planted_together_or_not_at_all(azure: Azure, bad: dict[str, Any]) -> None:
    good = {"id": azure.id("networkSecurityGroups", "good"), "location": PLACE, "properties": {}}
    answer = azure.http.put("/_local/resources", json=[good, {"id": azure.id("virtualNetworks", "bad")} | bad])
    assert answer.status_code == 400, answer.text
    assert azure.names() == [RG, "hub-vnet", "hub-agw-pip", "hub-agw"]


def test_unknown_names_and_methods_are_told_apart(azure: Azure) -> None:
    assert azure.http.get("/_local/nothing").status_code == 404
    wrong = azure.http.patch("/_local/faults")
    assert (wrong.status_code, wrong.json()["methods"]) == (405, ["DELETE", "GET", "POST"])


def test_limits_outlive_a_restart_and_end_with_a_reset(tmp_path: Path) -> None:
    with running(tmp_path / "state", "--time-scale", "0") as azure:
        azure.local("POST", "limits", {"page_size": 1, "gateway_limit": 1})
    with running(tmp_path / "state", "--time-scale", "0") as azure:
        path = f"/subscriptions/{azure.subscription_id}/resources"
        assert len(azure.send("GET", path, version="2021-04-01").json()["value"]) == 1
        azure.local("POST", "reset")
        assert len(azure.send("GET", path, version="2021-04-01").json()["value"]) == 3
        document = azure.send("GET", azure.id("applicationGateways", "hub-agw")).json()
        document["properties"]["backendAddressPools"].append({"name": "one-more", "properties": {}})
        assert azure.send("PUT", document["id"], document).status_code == 200


def everything(azure: Azure) -> list[Any]:
    return [azure.local("GET", name) for name in ("resources", "operations", "faults", "clock")]


def test_what_was_saved_comes_back_as_often_as_wanted(tmp_path: Path) -> None:
    path = "/subscriptions/{}/resourceGroups/hub-rg/providers/Microsoft.Network/networkSecurityGroups/n"
    with running(tmp_path / "state", "--time-scale", "0") as azure:
        path = path.format(azure.subscription_id)
        begun = azure.send("PUT", path, {"location": PLACE, "properties": {}})
        azure.fault("refuse", path="virtualMachines")
        azure.local("POST", "save", {"name": "half-way"})
        then = everything(azure)
        for _ in range(2):
            azure.advance(600)
            assert azure.send("DELETE", path).status_code == 202
            azure.local("DELETE", "faults")
            azure.local("POST", "limits", {"page_size": 1})
            azure.local("POST", "restore", {"name": "half-way"})
            assert everything(azure) == then
            assert azure.local("GET", "requests") == []
        azure.advance(600)
        assert azure.send("GET", begun.headers["Azure-AsyncOperation"]).json() == {"status": "Succeeded"}
        assert azure.http.post("/_local/restore", json={"name": "unheard of"}).status_code == 404
        now = everything(azure)
    with running(tmp_path / "state", "--time-scale", "0") as azure:
        assert everything(azure) == now


def test_a_gateway_that_is_being_started_serves_no_request_yet(azure: Azure) -> None:
    path = azure.id("applicationGateways", "hub-agw")
    azure.send("POST", f"{path}/stop")
    azure.advance(20)
    assert azure.http.get("/_local/route", params={"host": "a.example.com"}).status_code == 404
    azure.send("PUT", path, azure.send("GET", path).json())
    assert azure.http.get("/_local/route", params={"host": "a.example.com"}).status_code == 404
    azure.advance(40)
    assert azure.route("a.example.com")["rule"] == "defaultRoutingRule"
