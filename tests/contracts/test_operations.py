"""Long operations through the SDKs' own pollers, across processes too."""

from __future__ import annotations

import pytest
from azure.core.exceptions import HttpResponseError
from azure.core.rest import HttpRequest
from azure.mgmt.core.polling.arm_polling import ARMPolling

from tests.contracts.azure import PLACE, RG, Azure, codes

BODY = {"location": PLACE, "properties": {"addressSpace": {"addressPrefixes": ["10.11.1.0/24"]}}}


def test_a_continuation_token_is_taken_up_by_another_client_without_a_second_put(azure: Azure) -> None:
    started = azure.network.virtual_networks.begin_create_or_update(RG, "v1", BODY, polling=_Still())
    token = started.continuation_token()
    other = Azure(azure.endpoints)
    try:
        resumed = other.network.virtual_networks.begin_create_or_update(
            RG, "v1", {}, continuation_token=token, polling=azure.done
        )
        assert resumed.result().provisioning_state == "Succeeded"
    finally:
        other.close()
    assert len(azure.journal("PUT")) == 1


class _Still(ARMPolling):
    """A polling that stays where it is: the operation is followed elsewhere."""

    def run(self) -> None:
        """Nothing."""


def test_the_address_of_an_operation_can_be_followed_with_send_request(azure: Azure) -> None:
    headers = azure.network.virtual_networks.begin_create_or_update(
        RG, "v1", BODY, polling=False, cls=lambda response, _, __: response.http_response.headers
    ).result()
    url = headers["Azure-AsyncOperation"]
    answer = azure.network.send_request(HttpRequest("GET", url))
    assert (answer.status_code, answer.json(), answer.headers["Retry-After"]) == (200, {"status": "InProgress"}, "3")
    azure.advance(4)
    assert azure.network.send_request(HttpRequest("GET", url)).json() == {"status": "Succeeded"}


def test_a_failed_operation_is_a_poll_of_status_200_with_the_error_in_it(azure: Azure) -> None:
    azure.fault(
        "fail_operation", method="PUT", path="virtualNetworks/v1", code="InternalServerError", message="An error."
    )
    poller = azure.network.virtual_networks.begin_create_or_update(RG, "v1", BODY, polling=azure.done)
    with pytest.raises(HttpResponseError) as caught:
        poller.result()
    assert codes(caught.value) == (200, "InternalServerError")
    assert azure.network.virtual_networks.get(RG, "v1").provisioning_state == "Failed"
    again = azure.network.virtual_networks.begin_create_or_update(RG, "v1", BODY, polling=azure.done).result()
    assert again.provisioning_state == "Succeeded"


def _spoke(azure: Azure) -> None:
    vnet = azure.vnet("v1", "10.11.1.0/24", web="10.11.1.0/26")
    azure.local("POST", "limits", {"nic_operations": "always"})
    azure.nic("n1", f"{vnet}/subnets/web")
    azure.vm("vm1", azure.id("networkInterfaces", "n1"))
    azure.peer("hub-vnet", "p", vnet)
    for name in ("nsg", "old"):
        azure.send("PUT", azure.id("networkSecurityGroups", name), {"location": PLACE, "properties": {}})
    azure.send("PUT", azure.id("publicIPAddresses", "pip"), {"location": PLACE, "properties": {}})
    azure.send("PUT", azure.id("disks", "old"), DISK)
    azure.advance(5)


DISK = {"location": PLACE, "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 4}}
SUBNET = {"properties": {"addressPrefix": "10.11.1.64/26"}}


@pytest.mark.parametrize(
    ("method", "kind", "names", "body", "seconds", "retry_after"),
    [
        ("PUT", "virtualNetworks", ["new"], BODY, 4, 3),
        ("PUT", "virtualNetworks/subnets", ["v1", "app"], SUBNET, 4, 3),
        ("PUT", "networkSecurityGroups", ["new"], {"location": PLACE, "properties": {}}, 3, 3),
        ("PUT", "networkInterfaces", ["n1"], None, 3, 3),
        ("PUT", "virtualNetworks/virtualNetworkPeerings", ["hub-vnet", "p"], None, 5, 10),
        ("PUT", "virtualMachines", ["vm1"], None, 45, 10),
        ("PUT", "applicationGateways", ["hub-agw"], None, 40, 10),
        ("PUT", "disks", ["new"], DISK, 5, 2),
        ("DELETE", "virtualMachines", ["vm1"], None, 40, 10),
        ("DELETE", "disks", ["old"], None, 5, 2),
        ("DELETE", "virtualNetworks/virtualNetworkPeerings", ["hub-vnet", "p"], None, 5, 10),
        ("DELETE", "networkSecurityGroups", ["old"], None, 5, 10),
        ("DELETE", "publicIPAddresses", ["pip"], None, 5, 10),
        ("DELETE", "applicationGateways", ["hub-agw"], None, 5, 10),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_each_operation_lasts_as_long_as_the_design_says(
    azure: Azure, method: str, kind: str, names: list[str], body: object, seconds: int, retry_after: int
) -> None:
    azure.begin_with("a spoke", lambda: _spoke(azure))
    path = azure.id(kind, *names)
    answer = azure.send(method, path, azure.send("GET", path).json() if method == "PUT" and body is None else body)
    assert answer.status_code in (200, 201, 202), answer.text
    assert answer.headers["Retry-After"] == str(retry_after)
    azure.advance(seconds - 0.1)
    running = azure.poll(answer)
    assert (running.json()["status"], running.headers["Retry-After"]) == ("InProgress", str(retry_after))
    azure.advance(0.1)
    assert azure.poll(answer).json()["status"] == "Succeeded"


def test_a_second_delete_joins_the_first(azure: Azure) -> None:
    azure.vnet("v1", "10.11.1.0/24")
    path = azure.id("virtualNetworks", "v1")
    first, second = azure.send("DELETE", path), azure.send("DELETE", path)
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.headers["Azure-AsyncOperation"] == second.headers["Azure-AsyncOperation"]


def test_an_unknown_operation_is_404(azure: Azure) -> None:
    path = f"/subscriptions/{azure.subscription_id}/providers/Microsoft.Network/locations/{PLACE}/operations/none"
    assert azure.send("GET", path).status_code == 404
