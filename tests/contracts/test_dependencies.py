"""What hangs together: foreign things in a subnet, resources that are written while others name them."""

from __future__ import annotations

import pytest
from azure.core.exceptions import HttpResponseError

from tests.contracts.azure import PLACE, RG, Azure, arm_error, codes, details


@pytest.fixture
def web(azure: Azure) -> str:
    return azure.vnet("v1", "10.11.1.0/24", web="10.11.1.0/26") + "/subnets/web"


def test_an_unmanaged_private_endpoint_keeps_the_subnet(azure: Azure, web: str) -> None:
    endpoint = azure.id("privateEndpoints", "pe")
    azure.plant({"id": endpoint, "location": PLACE, "properties": {"subnet": {"id": web}}})
    shown = azure.send("GET", web).json()["properties"]
    assert shown["privateEndpoints"] == [{"id": endpoint}]
    with pytest.raises(HttpResponseError) as caught:
        azure.network.virtual_networks.begin_delete(RG, "v1")
    assert codes(caught.value) == (400, "InUseSubnetCannotBeDeleted")
    assert endpoint in arm_error(caught.value).message


def test_a_service_association_link_survives_a_put_and_keeps_the_subnet(azure: Azure, web: str) -> None:
    document = azure.send("GET", azure.id("virtualNetworks", "v1")).json()
    link = {"id": f"{web}/serviceAssociationLinks/legionservicelink", "name": "legionservicelink"}
    document["properties"]["subnets"][0]["properties"]["serviceAssociationLinks"] = [link]
    azure.plant(document)
    assert azure.send("PUT", document["id"], document).status_code == 200
    azure.advance(4)
    assert azure.send("GET", web).json()["properties"]["serviceAssociationLinks"] == [link]
    with pytest.raises(HttpResponseError) as caught:
        azure.network.virtual_networks.begin_delete(RG, "v1")
    assert codes(caught.value) == (400, "InUseSubnetCannotBeDeleted")


def test_a_security_group_that_is_being_written_makes_it_retryable(azure: Azure, web: str) -> None:
    group = azure.id("networkSecurityGroups", "nsg")
    azure.send("PUT", group, {"location": PLACE, "properties": {}})
    subnet = {"properties": {"addressPrefix": "10.11.1.0/26", "networkSecurityGroup": {"id": group}}}
    with pytest.raises(HttpResponseError) as caught:
        azure.network.subnets.begin_create_or_update(RG, "v1", "web", subnet)
    assert codes(caught.value) == (429, "RetryableError")
    assert details(caught.value) == ["ReferencedResourceNotProvisioned"]
    azure.advance(3)
    azure.network.subnets.begin_create_or_update(RG, "v1", "web", subnet, polling=azure.done).result()


def test_a_vnet_that_is_deleted_disconnects_a_hub_whose_side_was_alone(azure: Azure, web: str) -> None:
    azure.peer("hub-vnet", "hub-to-v1", web.removesuffix("/subnets/web"))
    azure.network.virtual_networks.begin_delete(RG, "v1", polling=azure.done).result()
    assert azure.network.virtual_network_peerings.get(RG, "hub-vnet", "hub-to-v1").peering_state == "Disconnected"


def test_a_vnet_has_at_most_five_hundred_peerings(azure: Azure, web: str) -> None:
    hub = azure.id("virtualNetworks", "hub-vnet")
    document = azure.send("GET", hub).json()
    document["properties"]["virtualNetworkPeerings"] = [
        {"name": f"p{n}", "properties": {"remoteVirtualNetwork": {"id": azure.id("virtualNetworks", f"far{n}")}}}
        for n in range(500)
    ]
    azure.plant(document)
    with pytest.raises(HttpResponseError) as caught:
        azure.peer("hub-vnet", "hub-to-v1", web.removesuffix("/subnets/web"))
    assert caught.value.status_code == 400


def test_nothing_is_written_into_a_group_that_is_being_deleted(azure: Azure) -> None:
    azure.resources.resource_groups.create_or_update("other", {"location": PLACE})
    azure.resources.resource_groups.begin_delete("other", polling=False)
    body = {"location": PLACE, "properties": {"addressSpace": {"addressPrefixes": ["10.50.0.0/24"]}}}
    answer = azure.send("PUT", azure.id("virtualNetworks", "v1", group="other"), body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "ResourceGroupBeingDeleted")


def test_older_api_versions_do_not_show_newer_properties(azure: Azure) -> None:
    azure.vnet("v2", "10.11.2.0/24", web="10.11.2.0/26")
    path = azure.id("virtualNetworks/subnets", "v2", "web")
    assert azure.send("GET", path).json()["properties"]["defaultOutboundAccess"] is False
    assert "defaultOutboundAccess" not in azure.send("GET", path, version="2022-01-01").json()["properties"]


def test_a_public_address_a_route_table_and_a_nat_gateway_in_use_stay(azure: Azure, web: str) -> None:
    for kind, body in (("routeTables", {}), ("natGateways", {"sku": {"name": "Standard"}})):
        azure.send("PUT", azure.id(kind, "x1"), {"location": PLACE, "properties": {}} | body)
    azure.advance(3)
    subnet = {
        "properties": {
            "addressPrefix": "10.11.1.0/26",
            "routeTable": {"id": azure.id("routeTables", "x1")},
            "natGateway": {"id": azure.id("natGateways", "x1")},
        }
    }
    azure.network.subnets.begin_create_or_update(RG, "v1", "web", subnet, polling=azure.done).result()
    for path, code in (
        (azure.id("routeTables", "x1"), "InUseRouteTableCannotBeDeleted"),
        (azure.id("natGateways", "x1"), "InUseNatGatewayCannotBeDeleted"),
        (azure.id("publicIPAddresses", "hub-agw-pip"), "PublicIPAddressCannotBeDeleted"),
    ):
        answer = azure.send("DELETE", path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


def test_a_resource_can_be_asked_for_by_head(azure: Azure) -> None:
    assert azure.send("HEAD", azure.id("virtualNetworks", "hub-vnet")).status_code == 204
    assert azure.send("HEAD", azure.id("virtualNetworks", "none")).status_code == 404
    assert azure.resources.resources.check_existence_by_id(
        azure.id("virtualNetworks", "hub-vnet"), api_version="2024-05-01"
    )


def test_the_identity_endpoint_can_fail_too(azure: Azure) -> None:
    azure.fault("refuse", path="_identity", status=500)
    headers = {"X-IDENTITY-HEADER": azure.endpoints["identity_header"]}
    query = {"resource": "https://management.azure.com"}
    assert azure.http.get("/_identity/token", params=query, headers=headers).status_code == 500
    assert azure.http.get("/_identity/token", params=query, headers=headers).status_code == 200
