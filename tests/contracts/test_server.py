"""The process: ready line, identity, restarts, kills, throttling, the clock at other scales."""

from __future__ import annotations

import concurrent.futures
import itertools
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from azure.identity import ClientSecretCredential, DefaultAzureCredential, ManagedIdentityCredential
from azure.mgmt.network import NetworkManagementClient

from tests.contracts.azure import PLACE, RG, ROOT, Azure, Process, running

BODY = {"location": PLACE, "properties": {"addressSpace": {"addressPrefixes": ["10.11.1.0/24"]}}}


@pytest.fixture(scope="module")
def stand_in_at_azures_pace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azure]:
    """Its allowances count, and its gateway may hold one element of a kind."""
    state = tmp_path_factory.mktemp("azure") / "state"
    with running(state, "--time-scale", "1", "--gateway-limit", "1") as azure:
        yield azure


@pytest.fixture
def at_azures_pace(stand_in_at_azures_pace: Azure) -> Azure:
    """The starting hub."""
    stand_in_at_azures_pace.local("POST", "reset")
    return stand_in_at_azures_pace


def test_it_says_where_it_is_and_stays_there_after_a_restart(tmp_path: Path) -> None:
    first = Process(tmp_path / "state")
    try:
        assert {"arm", "ca", "identity_endpoint", "identity_header", "subscription_id"} <= set(first.endpoints)
        assert first.endpoints["arm"].startswith("https://127.0.0.1:")
    finally:
        began = time.monotonic()
        assert first.stop() == 0
    assert time.monotonic() - began < 5, "two seconds, on a machine that has nothing else to do"
    second = Process(tmp_path / "state")
    try:
        assert second.endpoints == first.endpoints
    finally:
        second.stop(signal.SIGINT)


def test_state_in_use_and_a_taken_port_are_refused_clearly(azure: Azure, tmp_path: Path) -> None:
    port = azure.endpoints["arm"].rsplit(":", 1)[1]
    state_in_use = Path(azure.endpoints["ca"]).parent
    for state, words in ((state_in_use, "in use"), (tmp_path / "other", port)):
        again = subprocess.run(
            [sys.executable, "-m", "local.azure", "--port", port, "--state", str(state)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert again.returncode == 1
        assert words in again.stderr
        assert again.stdout == ""


def test_a_kill_at_any_moment_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    process = Process(tmp_path / "state", "--time-scale", "1")
    azure = Azure(process.endpoints)
    tokens = azure.token()
    operation = azure.send("PUT", azure.id("virtualNetworks", "v1"), BODY).headers["Azure-AsyncOperation"]
    azure.fault("refuse", path="nothing", times=3)
    for number in range(20):
        body = {"location": PLACE, "properties": {"securityRules": []}}
        assert azure.send("PUT", azure.id("networkSecurityGroups", f"n{number}"), body).status_code == 201
    journal = len(azure.journal())
    azure.close()
    process.stop(signal.SIGKILL)
    with running(tmp_path / "state", "--time-scale", "1") as again:
        assert {f"n{number}" for number in range(20)} <= set(again.names())
        assert len(again.journal()) == journal
        assert again.local("GET", "faults")[0]["times"] == 3
        assert again.http.get(
            again.id("virtualNetworks", "v1"),
            params={"api-version": "2024-05-01"},
            headers={"Authorization": f"Bearer {tokens}"},
        ).json()["properties"]["provisioningState"] in ("Updating", "Succeeded")
        again.advance(10)
        assert again.send("GET", operation).json() == {"status": "Succeeded"}


@pytest.mark.full
def test_kills_in_the_middle_of_writes_leave_whole_requests_and_nothing_else(tmp_path: Path) -> None:
    """State, operations and journal tell the same story after each kill, and nothing that was answered is lost."""
    answered: set[str] = set()
    for life in range(8):
        process = Process(tmp_path / "state", "--time-scale", "0.01")
        azure = Azure(process.endpoints)
        azure.local("POST", "limits", {"throttle": False})
        enough = threading.Event()

        def write(writer: int, azure: Azure = azure, enough: threading.Event = enough, life: int = life) -> None:
            for number in itertools.count():
                name = f"n{life}-{writer}-{number}"
                body = {"location": PLACE, "properties": {"securityRules": []}}
                try:
                    answer = azure.send("PUT", azure.id("networkSecurityGroups", name), body)
                except httpx.TransportError:
                    return
                assert answer.status_code == 201, answer.text
                answered.add(name)
                if number == 5 * life:
                    enough.set()

        with concurrent.futures.ThreadPoolExecutor(4) as writers:
            written = [writers.submit(write, writer) for writer in range(4)]
            assert enough.wait(60)
            process.stop(signal.SIGKILL)
            for each in written:
                each.result()
        azure.close()
    with running(tmp_path / "state", "--time-scale", "0.01") as again:
        journal = [each for each in again.journal("PUT") if each["status"] == 201]
        there = {each for each in again.names() if each.startswith("n")}
        assert answered <= there == {each["response"]["name"] for each in journal}
        assert len(journal) == len(there)
        again.advance(10)
        for made in journal:
            assert again.send("GET", made["headers"]["Azure-AsyncOperation"]).json() == {"status": "Succeeded"}


def test_a_managed_identity_is_enough_for_unmodified_clients(azure: Azure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", azure.endpoints["identity_endpoint"])
    monkeypatch.setenv("IDENTITY_HEADER", azure.endpoints["identity_header"])
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", azure.endpoints["ca"])
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    for credential in (ManagedIdentityCredential(), DefaultAzureCredential()):
        with (
            credential,
            NetworkManagementClient(credential, azure.subscription_id, base_url=azure.endpoints["arm"]) as client,
        ):
            assert [each.name for each in client.virtual_networks.list(RG)] == ["hub-vnet"]


def test_the_identity_header_is_needed(azure: Azure) -> None:
    answer = azure.http.get(azure.endpoints["identity_endpoint"], params={"resource": "https://management.azure.com"})
    assert answer.status_code == 401


def test_a_service_principal_signs_in_at_the_local_authority(azure: Azure) -> None:
    with (
        ClientSecretCredential(
            azure.endpoints["tenant_id"],
            "11111111-2222-3333-4444-555555555555",
            "any secret",
            authority=azure.endpoints["arm"],
            disable_instance_discovery=True,
            connection_verify=azure.endpoints["ca"],
        ) as credential,
        NetworkManagementClient(
            credential, azure.subscription_id, base_url=azure.endpoints["arm"], connection_verify=azure.endpoints["ca"]
        ) as client,
    ):
        assert [each.name for each in client.virtual_networks.list(RG)] == ["hub-vnet"]


def test_an_allowance_that_is_used_up_is_429_until_it_fills_again(at_azures_pace: Azure) -> None:
    azure = at_azures_pace
    azure.local("POST", "limits", {"buckets": {"reads": [3, 0.001], "writes": [1, 0.001]}})
    path = azure.id("virtualNetworks", "hub-vnet")
    left = [azure.send("GET", path).headers["x-ms-ratelimit-remaining-subscription-reads"] for _ in range(3)]
    assert left == ["2", "1", "0"]
    refused = azure.send("GET", path)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (429, "SubscriptionRequestsThrottled")
    assert error["message"].startswith(f"Number of 'read' requests for subscription '{azure.subscription_id}' actor '")
    assert int(refused.headers["Retry-After"]) > 900
    assert azure.send("PUT", azure.id("virtualNetworks", "v1"), BODY).status_code == 201
    assert (
        azure.send("PUT", azure.id("virtualNetworks", "v2"), BODY)
        .json()["error"]["message"]
        .startswith("Number of 'write' requests")
    )
    azure.local("POST", "limits", {"buckets": {"reads": [3, 1000]}})
    assert [azure.send("GET", path).status_code for _ in range(3)] == [200, 200, 200]
    azure.local("POST", "limits", {"throttle": False})
    assert azure.send("PUT", azure.id("virtualNetworks", "v2"), BODY).status_code == 201


def test_the_compute_provider_throttles_in_its_own_words(at_azures_pace: Azure) -> None:
    azure = at_azures_pace
    azure.local("POST", "limits", {"buckets": {"vm_puts": [0, 0.001]}})
    answer = azure.send("PUT", azure.id("virtualMachines", "vm1"), {"location": PLACE})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["details"][0]["code"]) == (
        429,
        "OperationNotAllowed",
        "TooManyRequests",
    )


def test_retry_after_scales_and_the_sdks_can_read_it(tmp_path: Path) -> None:
    with running(tmp_path / "state", "--time-scale", "0.001") as azure:
        answer = azure.send("PUT", azure.id("virtualNetworks", "v1"), BODY)
        assert "Retry-After" not in answer.headers, "the SDKs read a whole number here"
        assert answer.headers["x-ms-retry-after-ms"] == "3"
        poller = azure.network.virtual_networks.begin_create_or_update(RG, "v2", BODY)
        assert poller.result().provisioning_state == "Succeeded"
        nsg = {"location": PLACE, "properties": {"securityRules": []}}
        assert azure.network.network_security_groups.begin_create_or_update(RG, "n", nsg).result().name == "n"


def test_the_gateway_limit_is_an_argument(at_azures_pace: Azure) -> None:
    azure = at_azures_pace
    document = azure.send("GET", azure.id("applicationGateways", "hub-agw")).json()
    document["properties"]["backendAddressPools"].append({"name": "one-more", "properties": {}})
    answer = azure.send("PUT", document["id"], document)
    assert "Number found: 2, maximum allowed: 1" in answer.json()["error"]["message"]


def test_cut_connections_and_noise_do_not_stop_it(azure: Azure) -> None:
    host, port = azure.endpoints["arm"].removeprefix("https://").split(":")
    context = ssl.create_default_context(cafile=azure.endpoints["ca"])
    for data in (
        b"",
        b"\0\1\2\3\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PUT /subscriptions HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{",
    ):
        with socket.create_connection((host, int(port))) as plain:
            plain.sendall(data)
        with (
            socket.create_connection((host, int(port))) as plain,
            context.wrap_socket(plain, server_hostname=host) as secure,
        ):
            secure.sendall(data)
    assert azure.send("GET", azure.id("virtualNetworks", "hub-vnet")).status_code == 200


def test_many_at_once_leave_one_journal_in_order(azure: Azure) -> None:
    path = azure.id("virtualNetworks", "hub-vnet")
    azure.send("GET", path)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert {each.status_code for each in pool.map(lambda _: azure.send("GET", path), range(40))} == {200}
    numbers = [each["n"] for each in azure.journal()]
    assert len(numbers) == 41
    assert numbers == sorted(numbers)


def test_the_journal_holds_what_was_asked_and_answered(azure: Azure) -> None:
    azure.send("PUT", azure.id("virtualNetworks", "v1"), BODY, headers={"If-None-Match": "*"}, version="2024-05-01")
    entry = azure.journal()[0]
    assert (entry["method"], entry["path"], entry["api_version"], entry["status"]) == (
        "PUT",
        azure.id("virtualNetworks", "v1"),
        "2024-05-01",
        201,
    )
    assert entry["request"] == BODY
    assert entry["response"]["name"] == "v1"
    assert entry["request_headers"]["if-none-match"] == "*"
    assert "authorization" not in entry["request_headers"]
    assert "Azure-AsyncOperation" in entry["headers"]


def test_reset_brings_back_the_starting_hub(azure: Azure) -> None:
    start = azure.names()
    azure.vm_with_network()
    azure.fault("refuse", path="x")
    azure.local("POST", "quota", {"location": PLACE, "quotas": {"cores": 1}})
    azure.local("POST", "reset")
    assert azure.names() == start == ["hub-rg", "hub-vnet", "hub-agw-pip", "hub-agw"]
    assert azure.local("GET", "faults") == azure.local("GET", "requests") == azure.local("GET", "operations") == []
    assert next(each.limit for each in azure.compute.usage.list(PLACE) if each.name.value == "cores") > 1
