"""Faults, for requests to come and for operations in flight."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from azure.core.exceptions import HttpResponseError

from tests.contracts.azure import PLACE, RG, Azure, codes

BODY = {"location": PLACE, "properties": {"addressSpace": {"addressPrefixes": ["10.11.1.0/24"]}}}


def test_refuse_answers_before_any_effect_so_many_times(azure: Azure) -> None:
    azure.fault(
        "refuse", method="PUT", path="virtualNetworks/v1$", status=429, code="TooManyRequests", retry_after=7, times=2
    )
    for _ in range(2):
        with pytest.raises(HttpResponseError) as caught:
            azure.network.virtual_networks.begin_create_or_update(RG, "v1", BODY)
        assert codes(caught.value) == (429, "TooManyRequests")
        answer: Any = caught.value.response
        assert answer.headers["Retry-After"] == "7"
        assert "v1" not in azure.names()
    azure.vnet("v1", "10.11.1.0/24")
    assert azure.local("GET", "faults") == []


def test_refuse_can_answer_html_or_nothing(azure: Azure) -> None:
    path = azure.id("virtualNetworks", "hub-vnet")
    azure.fault("refuse", path="hub-vnet", status=503, body="<html><body>Service Unavailable</body></html>")
    page = azure.send("GET", path)
    assert (page.status_code, page.headers["content-type"]) == (503, "text/html")
    azure.fault("refuse", path="hub-vnet", status=503, body="")
    empty = azure.send("GET", path)
    assert (empty.status_code, empty.content) == (503, b"")


def test_refuse_with_status_0_cuts_the_connection_before_any_effect(azure: Azure) -> None:
    azure.fault("refuse", method="PUT", path="v1", status=0)
    with pytest.raises(httpx.TransportError):
        azure.send("PUT", azure.id("virtualNetworks", "v1"), BODY)
    assert "v1" not in azure.names()
    assert [(each["status"], each["dropped"]) for each in azure.journal("PUT")] == [(0, True)]


def test_drop_reply_happens_but_is_not_answered(azure: Azure) -> None:
    azure.fault("drop_reply", method="PUT", path="v1")
    with pytest.raises(httpx.TransportError):
        azure.send("PUT", azure.id("virtualNetworks", "v1"), BODY)
    assert "v1" in azure.names()
    entry = azure.journal("PUT")[0]
    assert (entry["status"], entry["dropped"], entry["response"]["name"]) == (201, True, "v1")
    azure.advance(4)
    assert azure.send("PUT", azure.id("virtualNetworks", "v1"), BODY).status_code == 200


def test_fail_operation_takes_hold_of_one_in_flight(azure: Azure) -> None:
    azure.vnet("v1", "10.11.1.0/24")
    answer = azure.send("DELETE", azure.id("virtualNetworks", "v1"))
    held = azure.fault("fail_operation", method="DELETE", path="virtualNetworks/v1", code="RetryableError", message="m")
    assert len(held["operations"]) == 1
    azure.advance(5)
    assert azure.poll(answer).json() == {
        "status": "Failed",
        "error": {"code": "RetryableError", "message": "m", "details": []},
    }
    assert azure.network.virtual_networks.get(RG, "v1").provisioning_state == "Failed"
    assert azure.local("GET", "faults") == []


def test_never_end_and_slow_take_hold_of_one_in_flight(azure: Azure) -> None:
    answer = azure.send("PUT", azure.id("virtualNetworks", "v1"), BODY)
    azure.fault("slow", method="PUT", path="virtualNetworks/v1", seconds=100)
    azure.advance(103)
    assert azure.poll(answer).json() == {"status": "InProgress"}
    azure.fault("never_end", method="PUT", path="virtualNetworks/v1")
    azure.advance(100_000)
    assert azure.poll(answer).json() == {"status": "InProgress"}
    assert azure.network.virtual_networks.get(RG, "v1").provisioning_state == "Updating"


def test_faults_wait_for_what_comes(azure: Azure) -> None:
    azure.fault("never_end", method="PUT", path="virtualNetworks/v1")
    azure.fault("slow", method="PUT", path="virtualNetworks/v2", seconds=10)
    first = azure.send("PUT", azure.id("virtualNetworks", "v1"), BODY)
    second = azure.send("PUT", azure.id("virtualNetworks", "v2"), BODY)
    azure.advance(13)
    assert azure.poll(second).json() == {"status": "InProgress"}
    azure.advance(1)
    assert azure.poll(second).json() == {"status": "Succeeded"}
    azure.advance(10_000)
    assert azure.poll(first).json() == {"status": "InProgress"}


def test_a_held_request_has_no_effect_before_it_is_released(azure: Azure) -> None:
    azure.fault("hold", path="virtualNetworks/v1$", times=None)
    azure.token()
    with ThreadPoolExecutor(1) as client:
        held = client.submit(azure.send, "PUT", azure.id("virtualNetworks", "v1"), BODY)
        while not (found := azure.local("GET", "held")):
            pass
        assert found[0]["method"] == "PUT"
        assert azure.send("GET", azure.id("virtualNetworks", "hub-vnet")).status_code == 200
        assert "v1" not in azure.names()
        azure.local("DELETE", "faults")
        assert held.result().status_code == 201
    assert azure.local("GET", "held") == []


def test_a_held_request_whose_client_went_away_is_forgotten(azure: Azure) -> None:
    azure.fault("hold", path="virtualNetworks/v1$|_identity", times=None)
    with pytest.raises(httpx.TimeoutException):
        azure.send("PUT", azure.id("virtualNetworks", "v1"), BODY, timeout=0.1)
    with pytest.raises(httpx.TimeoutException):
        azure.http.get("/_identity/token", timeout=0.1)
    while azure.local("GET", "held"):
        pass
    azure.local("DELETE", "faults")
    assert "v1" not in azure.names()


def test_an_operations_polls_can_be_refused_and_dropped(azure: Azure) -> None:
    answer = azure.send("PUT", azure.id("virtualNetworks", "v1"), BODY)
    azure.fault("refuse", method="GET", path="/operations/", status=503)
    assert azure.poll(answer).status_code == 503
    azure.fault("drop_reply", method="GET", path="/operations/")
    with pytest.raises(httpx.TransportError):
        azure.poll(answer)
    assert azure.poll(answer).status_code == 200


def test_a_fault_for_ever_lasts_until_it_is_removed(azure: Azure) -> None:
    azure.fault("refuse", path="hub-vnet", times=None, status=500)
    for _ in range(5):
        assert azure.send("GET", azure.id("virtualNetworks", "hub-vnet")).status_code == 500
    azure.local("DELETE", "faults")
    assert azure.send("GET", azure.id("virtualNetworks", "hub-vnet")).status_code == 200


def test_a_fault_that_never_strikes_by_chance_stays(azure: Azure) -> None:
    azure.fault("refuse", path="hub-vnet", probability=0, status=500)
    assert azure.send("GET", azure.id("virtualNetworks", "hub-vnet")).status_code == 200
    assert len(azure.local("GET", "faults")) == 1


@pytest.mark.parametrize(
    "fault", [{"mode": "explode"}, {"mode": "refuse", "path": "["}, {"mode": "slow", "colour": 1}, 5]
)
def test_a_fault_that_makes_no_sense_is_refused(azure: Azure, fault: object) -> None:
    answer = azure.http.post("/_local/faults", json=[fault])
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_the_nics_reservation_after_a_delete_is_a_fault(azure: Azure) -> None:
    azure.vm_with_network()
    azure.compute.virtual_machines.begin_delete(RG, "vm1", polling=azure.done).result()
    azure.fault(
        "refuse", method="DELETE", path="networkInterfaces/", status=400, code="NicReservedForAnotherVm", times=1
    )
    with pytest.raises(HttpResponseError) as caught:
        azure.network.network_interfaces.begin_delete(RG, "vm1-nic")
    assert codes(caught.value) == (400, "NicReservedForAnotherVm")
    azure.network.network_interfaces.begin_delete(RG, "vm1-nic", polling=azure.done).result()
