"""An id in a body is an id, of the right type, and of something that is there and in the same region."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contracts.azure import PLACE, Azure

LINKED = (
    "Property id '{}' at path '{}' is invalid. Expect fully qualified resource Id that start with "
    "'/subscriptions/{{subscriptionId}}' or '/providers/{{resourceProviderNamespace}}/'."
)


class World:
    """A VNet, and what could be named by mistake."""

    def __init__(self, azure: Azure) -> None:
        self.azure = azure
        self.vnet = azure.vnet("v1", "10.11.1.0/24", web="10.11.1.0/26")
        self.subnet = f"{self.vnet}/subnets/web"
        self.far = azure.id("networkSecurityGroups", "far")
        azure.send("PUT", self.far, {"location": "westus", "properties": {}})
        azure.advance(5)

    def put_subnet(self, group: str) -> Any:
        body = {"properties": {"addressPrefix": "10.11.1.0/26", "networkSecurityGroup": {"id": group}}}
        return self.azure.send("PUT", self.subnet, body)

    def put_nic(self, *subnets: str, name: str = "n1", public: str | None = None, **properties: Any) -> Any:
        configurations: list[dict[str, Any]] = [
            {"name": f"c{number}", "properties": {"subnet": {"id": each}}} for number, each in enumerate(subnets)
        ]
        if public:
            configurations[0]["properties"]["publicIPAddress"] = {"id": public}
        body = {"location": PLACE, "properties": {"ipConfigurations": configurations} | properties}
        answer = self.azure.send("PUT", self.azure.id("networkInterfaces", name), body)
        self.azure.advance(5)
        return answer


@pytest.fixture
def world(azure: Azure) -> World:
    return World(azure)


def _refusal(answer: Any) -> tuple[int, str, list[str]]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], [each["code"] for each in error.get("details") or []]


def test_what_is_no_id_is_refused_by_arm_itself(world: World) -> None:
    for answer, at in (
        (world.put_subnet("x"), "properties.networkSecurityGroup.id"),
        (world.put_nic("x"), "properties.ipConfigurations[0].properties.subnet.id"),
    ):
        assert _refusal(answer)[:2] == (400, "LinkedInvalidPropertyId")
        assert answer.json()["error"]["message"] == LINKED.format("x", at)
        assert answer.headers["x-ms-failure-cause"] == "gateway"


def test_an_id_that_is_not_formed_as_its_property_wants_is_refused(world: World) -> None:
    short = f"{world.vnet}/web"
    answer = world.put_nic(short)
    assert _refusal(answer) == (400, "InvalidRequestFormat", ["InvalidJsonReferenceFormat"])
    assert answer.json()["error"]["details"][0]["message"] == (
        f"Reference Id {short} is not formatted correctly. The Id is expected to reference resources of type "
        "virtualNetworks/subnets. Path properties.ipConfigurations[0].properties.subnet."
    )


def test_an_id_of_another_type_is_refused(world: World) -> None:
    azure, wrong = world.azure, (400, "InvalidRequestFormat", ["InvalidJsonReferenceWrongType"])
    assert _refusal(world.put_subnet(world.vnet)) == wrong
    assert _refusal(world.put_nic(world.subnet, networkSecurityGroup={"id": world.vnet})) == wrong
    assert _refusal(world.put_nic(world.subnet, public=world.far)) == wrong
    peering = azure.id("virtualNetworks/virtualNetworkPeerings", "hub-vnet", "p")
    assert _refusal(azure.send("PUT", peering, {"properties": {"remoteVirtualNetwork": {"id": world.far}}})) == wrong
    vm = azure.send("PUT", azure.id("virtualMachines", "vm1"), azure.vm_body("vm1", world.vnet))
    assert _refusal(vm)[:2] == (400, "InvalidParameter")


def test_what_is_in_another_region_can_not_be_named(world: World) -> None:
    for answer in (
        world.put_subnet(world.far),
        world.put_nic(world.subnet, networkSecurityGroup={"id": world.far}),
    ):
        assert _refusal(answer)[:2] == (400, "InvalidResourceReference")
        assert "both resources are in the same region" in answer.json()["error"]["message"]


def test_configurations_of_one_nic_have_names_and_addresses_of_their_own(world: World) -> None:
    answer = world.put_nic(world.subnet, world.subnet)
    addresses = [each["properties"]["privateIPAddress"] for each in answer.json()["properties"]["ipConfigurations"]]
    assert addresses == ["10.11.1.4", "10.11.1.5"]
    fresh = world.put_nic(world.subnet, world.subnet, world.subnet, name="n2").json()["properties"]["ipConfigurations"]
    assert len({each["properties"]["privateIPAddress"] for each in fresh}) == 3
    body = world.azure.send("GET", world.azure.id("networkInterfaces", "n1")).json()
    body["properties"]["ipConfigurations"][1]["name"] = "C0"
    assert _refusal(world.azure.send("PUT", body["id"], body)) == (
        400,
        "InvalidRequestFormat",
        ["DuplicateResourceName"],
    )


def test_a_public_address_is_of_one_user(world: World) -> None:
    answer = world.put_nic(world.subnet, public=world.azure.id("publicIPAddresses", "hub-agw-pip"))
    assert _refusal(answer)[:2] == (400, "PublicIPAddressInUse")
    assert "/applicationGateways/hub-agw" in answer.json()["error"]["message"]


def test_a_vnet_whose_last_write_failed_can_not_be_peered_but_a_peering_of_it_can_go(world: World) -> None:
    azure = world.azure
    azure.peer("hub-vnet", "hub-to-v1", world.vnet)
    azure.fault("fail_operation", method="PUT", path="virtualNetworks/v1$")
    azure.send("PUT", world.vnet, azure.send("GET", world.vnet).json())
    azure.advance(4)
    assert azure.network.virtual_networks.get("hub-rg", "v1").provisioning_state == "Failed"
    back = {"properties": {"remoteVirtualNetwork": {"id": azure.id("virtualNetworks", "hub-vnet")}}}
    answer = azure.send("PUT", f"{world.vnet}/virtualNetworkPeerings/back", back)
    assert _refusal(answer)[:2] == (400, "ReferencedResourceNotProvisioned")
    assert "Resource is in Failed state" in answer.json()["error"]["message"]
    gone = azure.id("virtualNetworks/virtualNetworkPeerings", "hub-vnet", "hub-to-v1")
    assert azure.send("DELETE", gone).status_code == 202
