"""The ARM stand-in as tests meet it: a process of its own, unmodified SDK clients, and a clock that tests move."""

from __future__ import annotations

import base64
import json
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.mgmt.core.polling.arm_polling import ARMPolling

ROOT = Path(__file__).parents[2]
RG = "hub-rg"
PLACE = "eastus"
START_SECONDS = 30
NETWORK_VERSION = "2026-03-01"
COMPUTE_VERSION = "2026-04-01"
KEY = "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + b"k" * 32).decode()


class Process:
    """A running stand-in."""

    def __init__(self, state: Path, *arguments: str, log: Path | None = None) -> None:
        self.state = state
        self.log = log or state.with_name(state.name + ".log")
        with self.log.open("ab") as errors:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "local.azure", "--state", str(state), *arguments],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        assert line, f"it didn't start: {self.log.read_text()}"
        self.endpoints: dict[str, str] = json.loads(line)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it and wait for that."""
        if self.popen.poll() is None:
            self.popen.send_signal(how)
        code = self.popen.wait(START_SECONDS)
        assert self.popen.stdout is not None
        self.popen.stdout.close()
        return code


class _Credential:
    """Takes its token where a managed identity would."""

    def __init__(self, azure: Azure) -> None:
        self._azure = azure
        self._token: AccessToken | None = None

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        if self._token is None:
            self._token = AccessToken(self._azure.token(), 2**31)
        return self._token


class ClockPolling(ARMPolling):
    """The SDK's own polling, which lets the stand-in's time pass where it would sleep."""

    def __init__(self, azure: Azure) -> None:
        super().__init__(timeout=1)
        self._azure = azure

    def _sleep(self, delay: float) -> None:
        self._azure.advance(delay)


class Azure:
    """One stand-in and the clients that talk to it."""

    def __init__(self, endpoints: dict[str, str]) -> None:
        # Here, since every worker of pytest imports this module, and few run its tests.
        from azure.mgmt.compute import ComputeManagementClient
        from azure.mgmt.network import NetworkManagementClient
        from azure.mgmt.resource.resources import ResourceManagementClient

        self.endpoints = endpoints
        self.subscription_id = endpoints["subscription_id"]
        # localhost needs no proxy, whatever the environment says
        self.http = httpx.Client(
            base_url=endpoints["arm"], verify=_context(endpoints["ca"]), timeout=30, trust_env=False
        )
        credential = _Credential(self)
        options: dict[str, Any] = {"base_url": endpoints["arm"], "connection_verify": endpoints["ca"], "retry_total": 0}
        self.network: Any = NetworkManagementClient(credential, self.subscription_id, **options)
        self.compute: Any = ComputeManagementClient(credential, self.subscription_id, **options)
        self.resources: Any = ResourceManagementClient(credential, self.subscription_id, **options)
        self._bearer: str | None = None

    def close(self) -> None:
        for client in (self.http, self.network, self.compute, self.resources):
            client.close()

    # -- beside ARM

    def token(self) -> str:
        answer = self.http.get(
            self.endpoints["identity_endpoint"],
            params={"resource": "https://management.azure.com", "api-version": "2019-08-01"},
            headers={"X-IDENTITY-HEADER": self.endpoints["identity_header"]},
        )
        return str(answer.raise_for_status().json()["access_token"])

    def headers_of(self, principal: str) -> dict[str, str]:
        """The headers with a token of a service principal, by its client id."""
        form = {"grant_type": "client_credentials", "client_id": principal, "client_secret": "any"}
        answer = self.http.post(f"/{self.endpoints['tenant_id']}/oauth2/v2.0/token", data=form)
        return {"Authorization": f"Bearer {answer.raise_for_status().json()['access_token']}"}

    def local(self, verb: str, name: str, body: Any = None, /, **query: Any) -> Any:
        """One of the calls of `local.azure.local_api`."""
        answer = self.http.request(verb, f"/_local/{name}", params=query, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def advance(self, seconds: float) -> None:
        self.local("POST", "clock", {"advance": seconds})

    def fault(self, mode: str, **more: Any) -> dict[str, Any]:
        return self.local("POST", "faults", {"mode": mode, **more})

    def plant(self, *documents: dict[str, Any]) -> None:
        self.local("PUT", "resources", list(documents))

    def begin_with(self, name: str, build: Callable[[], object]) -> None:
        """What `build` makes on the starting hub: made once, then brought back. The journal is empty."""
        if self.http.post("/_local/restore", json={"name": name}).status_code == 404:
            build()
            self.local("POST", "save", {"name": name})
            self.local("DELETE", "requests")

    def journal(self, method: str | None = None, path: str | None = None) -> list[dict[str, Any]]:
        query = {name: value for name, value in (("method", method), ("path", path)) if value}
        return self.local("GET", "requests", **query)

    def names(self) -> list[str]:
        """Everything that is there."""
        return [each["name"] for each in self.local("GET", "resources")]

    def route(self, host: str, port: int = 80) -> dict[str, Any]:
        return self.local("GET", "route", gateway="hub-agw", host=host, port=port)

    # -- ARM, raw

    def id(self, kind: str, *names: str, group: str = RG) -> str:
        """`id("virtualNetworks/subnets", "v1", "s")`; compute's types are known."""
        provider = "Microsoft.Compute" if kind in ("virtualMachines", "disks") else "Microsoft.Network"
        pairs = "/".join(part for pair in zip(kind.split("/"), names, strict=True) for part in pair)
        return f"/subscriptions/{self.subscription_id}/resourceGroups/{group}/providers/{provider}/{pairs}"

    def send(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        """A request with a token and, unless one is given, an api-version."""
        if self._bearer is None:
            self._bearer = self.token()
        version = more.pop("version", COMPUTE_VERSION if "Microsoft.Compute" in path else NETWORK_VERSION)
        query: dict[str, Any] = dict(more.pop("query", {}))
        if version:
            query["api-version"] = version
        headers = {"Authorization": f"Bearer {self._bearer}"} | more.pop("headers", {})
        if path.startswith("https://"):
            query = {}
        return self.http.request(method, path, params=query or None, json=body, headers=headers, **more)

    def poll(self, answer: httpx.Response) -> httpx.Response:
        """The operation of an answer, as it is now."""
        return self.send("GET", answer.headers["Azure-AsyncOperation"])

    # -- ARM, through the SDKs

    @property
    def done(self) -> ClockPolling:
        """`polling=azure.done`: the operation is followed to its end while the clock is moved."""
        return ClockPolling(self)

    def vnet(self, name: str, *prefixes: str, **subnets: str) -> str:
        """A VNet that is there, and its id."""
        body: dict[str, Any] = {"location": PLACE, "properties": {"addressSpace": {"addressPrefixes": list(prefixes)}}}
        body["properties"]["subnets"] = [
            {"name": each, "properties": {"addressPrefix": prefix}} for each, prefix in subnets.items()
        ]
        self.network.virtual_networks.begin_create_or_update(RG, name, body, polling=self.done).result()
        return self.id("virtualNetworks", name)

    def peer(self, vnet: str, name: str, remote_id: str, *, wait: bool = True, **flags: Any) -> Any:
        body = {"properties": {"remoteVirtualNetwork": {"id": remote_id}, **flags}}
        polling = self.done if wait else False
        return self.network.virtual_network_peerings.begin_create_or_update(
            RG, vnet, name, body, polling=polling
        ).result()

    def nic(self, name: str, subnet_id: str, **inner: Any) -> Any:
        properties = {"subnet": {"id": subnet_id}} | inner
        body = {
            "location": PLACE,
            "properties": {"ipConfigurations": [{"name": "ipconfig1", "properties": properties}]},
        }
        return self.network.network_interfaces.begin_create_or_update(RG, name, body, polling=self.done).result()

    def vm_body(self, name: str, nic_id: str, **parts: Any) -> dict[str, Any]:
        key = {"path": "/home/azureuser/.ssh/authorized_keys", "keyData": KEY}
        image = {
            "publisher": "Canonical",
            "offer": "0001-com-ubuntu-server-jammy",
            "sku": "22_04-lts-gen2",
            "version": "latest",
        }
        disk = {
            "name": f"{name}-osdisk",
            "createOption": "FromImage",
            "caching": "ReadWrite",
            "deleteOption": "Detach",
            "managedDisk": {"storageAccountType": "StandardSSD_LRS"},
        }
        properties = {
            "hardwareProfile": {"vmSize": "Standard_B2s"},
            "storageProfile": {"imageReference": image, "osDisk": disk},
            "osProfile": {
                "computerName": name,
                "adminUsername": "azureuser",
                "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": {"publicKeys": [key]}},
            },
            "networkProfile": {"networkInterfaces": [{"id": nic_id, "properties": {"deleteOption": "Detach"}}]},
            "diagnosticsProfile": {"bootDiagnostics": {"enabled": True}},
        }
        return {"location": PLACE, "tags": {"made_by": "test"}, "properties": properties} | parts

    def vm(self, name: str, nic_id: str) -> Any:
        body = self.vm_body(name, nic_id)
        return self.compute.virtual_machines.begin_create_or_update(RG, name, body, polling=self.done).result()

    def vm_with_network(self, name: str = "vm1") -> Any:
        """A VNet, a NIC and a VM."""
        vnet_id = self.vnet("v1", "10.11.1.0/24", web="10.11.1.0/26")
        nic = self.nic(f"{name}-nic", f"{vnet_id}/subnets/web")
        return self.vm(name, nic.id)


def _context(ca: str) -> Any:
    return ssl.create_default_context(cafile=ca)


@contextmanager
def running(state: Path, *arguments: str) -> Iterator[Azure]:
    """A stand-in of its own."""
    process = Process(state, *arguments)
    azure = Azure(process.endpoints)
    try:
        yield azure
    finally:
        azure.close()
        process.stop()


def arm_error(error: HttpResponseError) -> Any:
    """What an answer of ARM says in `error`, as the SDK has parsed it."""
    assert error.error is not None
    return error.error


def codes(error: HttpResponseError) -> tuple[int | None, str]:
    """Status and ARM code, as the SDK tells them."""
    assert error.error is not None
    return error.status_code, str(error.error.code)


def details(error: HttpResponseError) -> list[str]:
    """The codes of the details."""
    assert error.error is not None
    return [str(each.code) for each in error.error.details or []]
