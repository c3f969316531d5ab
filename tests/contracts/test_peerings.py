"""Peerings: the two sides' states, overlaps, gateways, and what may run at once."""

from __future__ import annotations

from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError

from tests.contracts.azure import PLACE, RG, Azure, arm_error, codes


@pytest.fixture
def spoke(azure: Azure) -> str:
    azure.begin_with("a spoke's VNet", lambda: azure.vnet("spoke", "10.11.1.0/24", web="10.11.1.0/26"))
    return azure.id("virtualNetworks", "spoke")


@pytest.fixture
def hub(azure: Azure) -> str:
    return azure.id("virtualNetworks", "hub-vnet")


def _state(azure: Azure, vnet: str, name: str) -> tuple[str, str]:
    peering = azure.network.virtual_network_peerings.get(RG, vnet, name)
    return str(peering.peering_state.value), str(peering.peering_sync_level.value)


def _refused(azure: Azure, vnet: str, name: str, remote: str, **flags: Any) -> HttpResponseError:
    with pytest.raises(HttpResponseError) as caught:
        azure.peer(vnet, name, remote, **flags)
    return caught.value


def _gateway(azure: Azure) -> dict[str, Any]:
    subnet = {"id": azure.id("virtualNetworks/subnets", "hub-vnet", "GatewaySubnet")}
    return {
        "id": azure.id("virtualNetworkGateways", "vpn"),
        "location": PLACE,
        "properties": {"ipConfigurations": [{"name": "default", "properties": {"subnet": subnet}}]},
    }


def test_the_first_side_is_initiated_and_the_second_connects_both_at_once(azure: Azure, spoke: str, hub: str) -> None:
    azure.peer("hub-vnet", "hub-to-spoke", spoke)
    assert _state(azure, "hub-vnet", "hub-to-spoke") == ("Initiated", "RemoteNotInSync")
    before = azure.network.virtual_networks.get(RG, "hub-vnet").etag
    path = azure.id("virtualNetworks/virtualNetworkPeerings", "spoke", "spoke-to-hub")
    answer = azure.send("PUT", path, {"properties": {"remoteVirtualNetwork": {"id": hub}}})
    assert answer.status_code == 201
    assert answer.headers["Retry-After"] == "10"
    shown = answer.json()["properties"]
    assert (shown["provisioningState"], shown["peeringState"], shown["peeringSyncLevel"]) == (
        "Updating",
        "Connected",
        "FullyInSync",
    )
    assert shown["remoteAddressSpace"] == {"addressPrefixes": ["10.0.0.0/16"]}
    assert shown["allowVirtualNetworkAccess"] is True
    assert shown["allowForwardedTraffic"] is shown["allowGatewayTransit"] is shown["useRemoteGateways"] is False
    assert _state(azure, "hub-vnet", "hub-to-spoke") == ("Connected", "FullyInSync")
    assert azure.network.virtual_networks.get(RG, "hub-vnet").etag != before


def test_deleting_one_side_disconnects_the_other_and_both_have_to_be_written_again(
    azure: Azure, spoke: str, hub: str
) -> None:
    azure.peer("hub-vnet", "hub-to-spoke", spoke)
    azure.peer("spoke", "spoke-to-hub", hub)
    azure.network.virtual_network_peerings.begin_delete(RG, "hub-vnet", "hub-to-spoke", polling=azure.done).result()
    assert _state(azure, "spoke", "spoke-to-hub")[0] == "Disconnected"
    error = _refused(azure, "hub-vnet", "hub-to-spoke", spoke)
    assert codes(error) == (400, "RemotePeeringIsDisconnected")
    assert f"because remote peering {spoke}/virtualNetworkPeerings/spoke-to-hub referencing parent" in str(error)
    azure.peer("spoke", "spoke-to-hub", hub)
    assert _state(azure, "spoke", "spoke-to-hub")[0] == "Initiated"
    azure.peer("hub-vnet", "hub-to-spoke", spoke)
    assert _state(azure, "spoke", "spoke-to-hub")[0] == "Connected"


def test_deleting_a_vnet_removes_its_side_and_disconnects_the_hubs(azure: Azure, spoke: str, hub: str) -> None:
    azure.peer("hub-vnet", "hub-to-spoke", spoke)
    azure.peer("spoke", "spoke-to-hub", hub)
    azure.network.virtual_networks.begin_delete(RG, "spoke", polling=azure.done).result()
    assert _state(azure, "hub-vnet", "hub-to-spoke")[0] == "Disconnected"
    azure.network.virtual_network_peerings.begin_delete(RG, "hub-vnet", "hub-to-spoke", polling=azure.done).result()
    assert not list(azure.network.virtual_network_peerings.list(RG, "hub-vnet"))


def test_a_peering_operation_holds_its_own_vnet_not_the_remote_one(azure: Azure, spoke: str, hub: str) -> None:
    second = azure.vnet("other", "10.11.2.0/24")
    azure.peer("spoke", "spoke-to-hub", hub, wait=False)
    assert azure.network.virtual_networks.get(RG, "spoke").provisioning_state == "Updating"
    assert azure.network.virtual_networks.get(RG, "hub-vnet").provisioning_state == "Succeeded"
    azure.peer("other", "other-to-hub", hub, wait=False)
    error = _refused(azure, "hub-vnet", "hub-to-spoke", spoke)
    assert codes(error) == (400, "ReferencedResourceNotProvisioned")
    assert arm_error(error).message == (
        f"Cannot proceed with operation because resource {spoke} used by resource {hub}/virtualNetworkPeerings/"
        "hub-to-spoke is not in Succeeded state. Resource is in Updating state and the last operation that "
        "updated/is updating the resource is PutVirtualNetworkPeeringOperation."
    )
    azure.advance(5)
    azure.peer("hub-vnet", "hub-to-spoke", spoke, wait=False)
    assert codes(_refused(azure, "hub-vnet", "hub-to-other", second))[1] == "ReferencedResourceNotProvisioned"
    with pytest.raises(HttpResponseError) as caught:
        azure.network.virtual_network_peerings.begin_delete(RG, "hub-vnet", "hub-to-spoke")
    assert codes(caught.value) == (400, "ReferencedResourceNotProvisioned")
    azure.advance(5)
    azure.peer("hub-vnet", "hub-to-other", second)


def test_a_peering_while_a_subnet_is_written_is_not_provisioned_and_not_throttled(
    azure: Azure, spoke: str, hub: str
) -> None:
    body = {"properties": {"addressPrefix": "10.11.1.64/26"}}
    azure.network.subnets.begin_create_or_update(RG, "spoke", "app", body, polling=False)
    error = _refused(azure, "hub-vnet", "hub-to-spoke", spoke)
    assert codes(error) == (400, "ReferencedResourceNotProvisioned")
    assert "the resource is PutSubnetOperation." in arm_error(error).message


def test_overlapping_spaces_can_not_be_peered(azure: Azure, hub: str) -> None:
    same = azure.vnet("same", "10.0.4.0/24")
    error = _refused(azure, "hub-vnet", "p", same)
    assert codes(error) == (400, "VnetAddressSpacesOverlap")
    assert arm_error(error).message == (
        f"Cannot create or update peering {hub}/virtualNetworkPeerings/p. Virtual networks {hub} and {same} cannot be "
        "peered because their address spaces overlap. Overlapping address prefixes: 10.0.0.0/16, 10.0.4.0/24"
    )


@pytest.mark.parametrize("side", ["hub", "spoke"])
def test_a_space_that_another_spoke_of_the_hub_has_is_refused_from_either_side(
    azure: Azure, spoke: str, hub: str, side: str
) -> None:
    azure.peer("hub-vnet", "hub-to-spoke", spoke)
    azure.peer("spoke", "spoke-to-hub", hub)
    twin = azure.vnet("twin", "10.11.1.0/25")
    error = (
        _refused(azure, "hub-vnet", "hub-to-twin", twin) if side == "hub" else _refused(azure, "twin", "to-hub", hub)
    )
    assert codes(error) == (400, "VnetAddressSpaceOverlapsWithAlreadyPeeredVnet")
    assert (
        f"Virtual networks {twin} and {hub} cannot be peered because address space of the first virtual network overlaps "
        f"with address space of virtual network {spoke} already peered with the second virtual network. Overlapping "
        "address prefixes: 10.11.1.0/25."
    ) in arm_error(error).message


def test_remote_gateways_need_a_gateway_in_the_hub(azure: Azure, spoke: str, hub: str) -> None:
    azure.peer("hub-vnet", "hub-to-spoke", spoke, allowGatewayTransit=True)
    error = _refused(azure, "spoke", "spoke-to-hub", hub, useRemoteGateways=True)
    assert codes(error) == (400, "RemoteVnetHasNoGateways")
    assert arm_error(error).message == (
        f"Peering {spoke}/virtualNetworkPeerings/spoke-to-hub cannot have UseRemoteGateway flag set to true because "
        f"remote virtual network {hub} referenced by the peering does not have any gateways."
    )
    azure.plant(_gateway(azure))
    peering = azure.peer("spoke", "spoke-to-hub", hub, useRemoteGateways=True)
    assert peering.peering_state == "Connected"
    other = azure.vnet("third", "10.13.0.0/24")
    assert codes(_refused(azure, "spoke", "p2", other, useRemoteGateways=True))[0] == 400


def test_one_vnet_is_referenced_by_one_peering(azure: Azure, spoke: str, hub: str) -> None:
    azure.peer("hub-vnet", "hub-to-spoke", spoke)
    error = _refused(azure, "hub-vnet", "again", spoke)
    assert codes(error) == (400, "AnotherPeeringAlreadyReferencesRemoteVnet")
    assert arm_error(error).message == (
        f"Peering {hub}/virtualNetworkPeerings/hub-to-spoke already references remote virtual network {spoke}. Cannot add "
        "another peering referencing the same remote virtual network."
    )


def test_a_remote_vnet_that_is_not_there_is_refused(azure: Azure) -> None:
    error = _refused(azure, "hub-vnet", "p", azure.id("virtualNetworks", "nowhere"))
    assert codes(error) == (400, "InvalidResourceReference")


def test_a_peered_vnet_can_not_grow_into_another_spokes_space(azure: Azure, spoke: str, hub: str) -> None:
    azure.peer("hub-vnet", "hub-to-spoke", spoke)
    azure.peer("spoke", "spoke-to-hub", hub)
    other = azure.vnet("other", "10.11.2.0/24")
    azure.peer("hub-vnet", "hub-to-other", other)
    azure.peer("other", "other-to-hub", hub)
    for prefix, code in (
        ("10.0.7.0/24", "VnetAddressSpacesOverlap"),
        ("10.11.1.0/24", "VnetAddressSpaceOverlapsWithAlreadyPeeredVnet"),
    ):
        body = azure.send("GET", other).json()
        body["properties"]["addressSpace"]["addressPrefixes"].append(prefix)
        refused = azure.send("PUT", other, body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, code)


def _grow(azure: Azure, vnet: str, prefix: str) -> None:
    body = azure.send("GET", vnet).json()
    body["properties"]["addressSpace"]["addressPrefixes"].append(prefix)
    assert azure.send("PUT", vnet, body).status_code == 200
    azure.advance(4)


def _sync(azure: Azure, vnet: str, name: str, remote: str, sync: str | None = "true") -> None:
    azure.network.virtual_network_peerings.begin_create_or_update(
        RG,
        vnet,
        name,
        {"properties": {"remoteVirtualNetwork": {"id": remote}}},
        sync_remote_address_space=sync,
        polling=azure.done,
    ).result()


def test_a_changed_address_space_has_to_be_synchronised_by_the_side_that_does_not_know_it(
    azure: Azure, spoke: str, hub: str
) -> None:
    azure.peer("hub-vnet", "hub-to-spoke", spoke)
    azure.peer("spoke", "spoke-to-hub", hub)
    _grow(azure, hub, "10.14.0.0/24")
    assert _state(azure, "hub-vnet", "hub-to-spoke") == ("Connected", "RemoteNotInSync")
    assert _state(azure, "spoke", "spoke-to-hub") == ("Connected", "LocalNotInSync")
    known = azure.network.virtual_network_peerings.get(RG, "spoke", "spoke-to-hub")
    assert known.remote_address_space.address_prefixes == ["10.0.0.0/16"]
    assert known.remote_virtual_network_address_space.address_prefixes == ["10.0.0.0/16", "10.14.0.0/24"]
    _sync(azure, "hub-vnet", "hub-to-spoke", spoke)
    _sync(azure, "spoke", "spoke-to-hub", hub, sync=None)
    assert _state(azure, "spoke", "spoke-to-hub") == ("Connected", "LocalNotInSync"), "neither of these is a sync"
    _sync(azure, "spoke", "spoke-to-hub", hub)
    assert _state(azure, "spoke", "spoke-to-hub") == ("Connected", "FullyInSync")
    assert _state(azure, "hub-vnet", "hub-to-spoke") == ("Connected", "FullyInSync")


def test_two_vnets_that_both_grow_are_synchronised_from_both_sides(azure: Azure, spoke: str, hub: str) -> None:
    azure.peer("hub-vnet", "hub-to-spoke", spoke)
    azure.peer("spoke", "spoke-to-hub", hub)
    _grow(azure, hub, "10.14.0.0/24")
    _grow(azure, spoke, "10.15.0.0/24")
    assert _state(azure, "hub-vnet", "hub-to-spoke") == ("Connected", "LocalAndRemoteNotInSync")
    _sync(azure, "hub-vnet", "hub-to-spoke", spoke)
    assert _state(azure, "spoke", "spoke-to-hub") == ("Connected", "LocalNotInSync")
    _sync(azure, "spoke", "spoke-to-hub", hub)
    assert _state(azure, "hub-vnet", "hub-to-spoke") == ("Connected", "FullyInSync")


def test_a_gateway_that_is_still_being_made_does_not_count(azure: Azure, spoke: str, hub: str) -> None:
    azure.peer("hub-vnet", "hub-to-spoke", spoke, allowGatewayTransit=True)
    gateway = _gateway(azure)
    gateway["properties"] |= {"gatewayType": "ExpressRoute", "provisioningState": "Updating"}
    azure.plant(gateway)
    error = _refused(azure, "spoke", "spoke-to-hub", hub, useRemoteGateways=True)
    assert codes(error) == (400, "RemoteVnetHasNoGateways")
    gateway["properties"] |= {"provisioningState": "Succeeded"}
    azure.plant(gateway)
    assert azure.peer("spoke", "spoke-to-hub", hub, useRemoteGateways=True).peering_state == "Connected"


def test_the_hub_can_not_grow_into_a_spoke(azure: Azure, spoke: str, hub: str) -> None:
    azure.peer("hub-vnet", "hub-to-spoke", spoke)
    azure.peer("spoke", "spoke-to-hub", hub)
    body = azure.send("GET", hub).json()
    body["properties"]["addressSpace"]["addressPrefixes"].append("10.11.0.0/16")
    refused = azure.send("PUT", hub, body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "VnetAddressSpacesOverlap")
