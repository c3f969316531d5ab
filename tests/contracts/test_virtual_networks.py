"""VNets and subnets: full replacement, ranges, one write at a time, what is in use."""

from __future__ import annotations

import re
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from tests.contracts.azure import PLACE, RG, Azure, arm_error, codes


def _body(*prefixes: str, **parts: object) -> dict[str, object]:
    return {"location": PLACE, "properties": {"addressSpace": {"addressPrefixes": list(prefixes)}, **parts}}


def _subnet(name: str, prefix: str, **more: object) -> dict[str, object]:
    return {"name": name, "properties": {"addressPrefix": prefix, **more}}


def test_a_new_vnet_is_201_updating_with_an_operation_and_then_succeeded(azure: Azure) -> None:
    path = azure.id("virtualNetworks", "v1")
    answer = azure.send("PUT", path, _body("10.11.1.0/24", subnets=[_subnet("web", "10.11.1.0/26")]))
    assert answer.status_code == 201
    assert answer.headers["Azure-AsyncNotification"] == "Enabled"
    assert answer.headers["Retry-After"] == "3"
    assert "Location" not in answer.headers
    body = answer.json()
    assert body["properties"]["provisioningState"] == "Updating"
    assert body["properties"]["subnets"][0]["properties"]["provisioningState"] == "Updating"
    assert azure.poll(answer).json() == {"status": "InProgress"}
    azure.advance(4)
    assert azure.poll(answer).json() == {"status": "Succeeded"}
    after = azure.send("GET", path).json()
    assert after["properties"]["provisioningState"] == "Succeeded"
    assert after["properties"]["subnets"][0]["properties"]["provisioningState"] == "Succeeded"
    assert after["etag"] != body["etag"]
    assert after["properties"]["subnets"][0]["etag"] == after["etag"]
    assert azure.send("PUT", path, _body("10.11.1.0/24")).status_code == 200


def test_poll_urls_are_long_signed_and_have_to_be_replayed_as_they_are(azure: Azure) -> None:
    answer = azure.send("PUT", azure.id("virtualNetworks", "v1"), _body("10.11.1.0/24"))
    url = answer.headers["Azure-AsyncOperation"]
    assert 3000 < len(url) < 3400
    assert re.search(r"&t=[^&]+&c=[^&]+&s=[^&]+&h=[^&]+$", url)
    assert azure.send("GET", url).status_code == 200
    assert azure.send("GET", url[:-3]).status_code == 403
    assert azure.send("GET", url.replace("&c=", "&c=x")).status_code == 403


def test_a_vnet_put_replaces_tags_and_subnets(azure: Azure) -> None:
    azure.vnet("v1", "10.11.1.0/24", web="10.11.1.0/26", app="10.11.1.64/26")
    put = azure.network.virtual_networks.begin_create_or_update
    tagged = put(RG, "v1", _body("10.11.1.0/24") | {"tags": {"a": "b"}}, polling=azure.done).result()
    assert tagged.tags == {"a": "b"}
    assert [each.name for each in tagged.subnets] == ["web", "app"], "subnets that are left out stay"
    one = put(RG, "v1", _body("10.11.1.0/24", subnets=[_subnet("app", "10.11.1.64/26")]), polling=azure.done).result()
    assert not one.tags, "tags that are left out are cleared"
    assert [each.name for each in one.subnets] == ["app"]
    none = put(RG, "v1", _body("10.11.1.0/24", subnets=[]), polling=azure.done).result()
    assert not none.subnets


def test_a_vnet_and_its_subnets_have_prefixes_of_both_families(azure: Azure) -> None:
    dual: dict[str, Any] = {"name": "web", "properties": {"addressPrefixes": ["10.11.1.0/26", "fd12:3456:789a:1::/64"]}}
    only_v6 = {"name": "six", "properties": {"addressPrefix": "fd12:3456:789a:6::/64"}}
    path = azure.id("virtualNetworks", "v1")
    both = ("10.11.1.0/24", "fd12:3456:789a::/48")
    assert azure.send("PUT", path, _body(*both, subnets=[dual, only_v6])).status_code == 201
    azure.advance(4)
    shown = azure.send("GET", path).json()["properties"]["subnets"]
    assert [each["properties"].get("addressPrefixes") for each in shown] == [
        dual["properties"]["addressPrefixes"],
        None,
    ]
    too_wide = {"name": "web", "properties": {"addressPrefixes": ["10.11.1.0/26", "fd12:3456:789a::/56"]}}
    refused = azure.send("PUT", path, _body(*both, subnets=[too_wide]))
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "NetcfgInvalidSubnet")


def test_a_subnet_in_use_can_get_a_prefix_of_ipv6(azure: Azure) -> None:
    path = azure.id("virtualNetworks", "hub-vnet")
    hub = azure.send("GET", path).json()
    hub["properties"]["addressSpace"]["addressPrefixes"].append("fd12:3456:789a::/48")
    agw = next(each for each in hub["properties"]["subnets"] if each["name"] == "agw-subnet")
    prefix = agw["properties"].pop("addressPrefix")
    agw["properties"]["addressPrefixes"] = ["fd12:3456:789a:2::/64"]
    refused = azure.send("PUT", path, hub)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "InUsePrefixCannotBeDeleted")
    agw["properties"]["addressPrefixes"].append(prefix)
    assert azure.send("PUT", path, hub).status_code == 200


def test_before_2023_09_01_subnets_left_out_are_deleted(azure: Azure) -> None:
    azure.vnet("v1", "10.11.1.0/24", web="10.11.1.0/26")
    azure.send("PUT", azure.id("virtualNetworks", "v1"), _body("10.11.1.0/24"), version="2022-01-01")
    azure.advance(4)
    assert azure.send("GET", azure.id("virtualNetworks", "v1")).json()["properties"]["subnets"] == []


def test_a_vnet_put_without_its_peerings_removes_them_and_disconnects_the_others(azure: Azure) -> None:
    spoke = azure.vnet("v1", "10.11.1.0/24")
    azure.peer("hub-vnet", "to-v1", spoke)
    azure.peer("v1", "to-hub", azure.id("virtualNetworks", "hub-vnet"))
    azure.vnet("v1", "10.11.1.0/24")
    assert not list(azure.network.virtual_network_peerings.list(RG, "v1"))
    assert azure.network.virtual_network_peerings.get(RG, "hub-vnet", "to-v1").peering_state == "Disconnected"


def test_subnets_are_private_by_default_since_2025_07_01(azure: Azure) -> None:
    path = azure.id("virtualNetworks", "v1")
    body = _body("10.11.0.0/16", subnets=[_subnet("new", "10.11.1.0/24")])
    azure.send("PUT", path, body)
    azure.advance(4)
    azure.send("PUT", f"{path}/subnets/old", _subnet("old", "10.11.2.0/24"), version="2024-05-01")
    azure.advance(4)
    azure.send("PUT", f"{path}/subnets/open", _subnet("open", "10.11.3.0/24", defaultOutboundAccess=True))
    azure.advance(4)
    shown = {each.name: each.default_outbound_access for each in azure.network.subnets.list(RG, "v1")}
    assert shown == {"new": False, "old": None, "open": True}


def test_parallel_writes_in_one_vnet_are_another_operation_in_progress(azure: Azure) -> None:
    azure.vnet("v1", "10.11.0.0/16")
    put = azure.network.subnets.begin_create_or_update
    put(RG, "v1", "a", _subnet("a", "10.11.1.0/24"), polling=False)
    assert azure.network.virtual_networks.get(RG, "v1").provisioning_state == "Updating"
    for second in (
        lambda: put(RG, "v1", "b", _subnet("b", "10.11.2.0/24")),
        lambda: azure.network.subnets.begin_delete(RG, "v1", "a"),
        lambda: azure.network.virtual_networks.begin_create_or_update(RG, "v1", _body("10.11.0.0/16")),
        lambda: azure.network.virtual_networks.begin_delete(RG, "v1"),
    ):
        with pytest.raises(HttpResponseError) as caught:
            second()
        assert codes(caught.value) == (409, "AnotherOperationInProgress")
        url = re.search(r"use uri: (\S+)\.$", arm_error(caught.value).message)
        assert url is not None
        assert azure.send("GET", url[1]).json() == {"status": "InProgress"}
    azure.advance(4)
    put(RG, "v1", "b", _subnet("b", "10.11.2.0/24"), polling=azure.done).result()


def test_a_second_put_of_a_whole_vnet_supersedes_the_first(azure: Azure) -> None:
    path = azure.id("virtualNetworks", "v1")
    first = azure.send("PUT", path, _body("10.11.1.0/24"))
    second = azure.send("PUT", path, _body("10.11.1.0/24") | {"tags": {"n": "2"}})
    assert (first.status_code, second.status_code) == (201, 200)
    ended = azure.poll(first)
    assert ended.status_code == 200
    assert ended.json()["status"] == "Canceled"
    assert ended.json()["error"]["code"] == "Canceled"
    assert ended.json()["error"]["details"][0]["code"] == "CanceledAndSupersededDueToAnotherOperation"
    azure.advance(4)
    assert azure.poll(second).json() == {"status": "Succeeded"}
    assert azure.send("GET", path).json()["tags"] == {"n": "2"}


@pytest.mark.parametrize(
    ("prefix", "code", "words"),
    [
        (
            "10.12.0.0/24",
            "NetcfgSubnetRangeOutsideVnet",
            "Subnet 'x' is not valid because its IP address range is outside",
        ),
        (
            "10.11.0.128/25",
            "NetcfgSubnetRangesOverlap",
            "Subnet 'x' is not valid because its IP address range overlaps",
        ),
        (
            "10.11.4.0/24--no-wait",
            "InvalidAddressPrefixFormat",
            "Address prefix 10.11.4.0/24--no-wait of resource /sub",
        ),
        ("10.11.4.1/24", "InvalidAddressPrefixFormat", "is not formatted correctly. It should follow CIDR notation"),
    ],
)
def test_a_subnets_range_is_checked(azure: Azure, prefix: str, code: str, words: str) -> None:
    azure.vnet("v1", "10.11.0.0/16", web="10.11.0.0/24")
    with pytest.raises(HttpResponseError) as caught:
        azure.network.subnets.begin_create_or_update(RG, "v1", "x", _subnet("x", prefix))
    assert codes(caught.value) == (400, code)
    assert words in arm_error(caught.value).message


def test_a_reference_that_points_nowhere_is_refused(azure: Azure) -> None:
    missing = azure.id("networkSecurityGroups", "nowhere")
    with pytest.raises(HttpResponseError) as caught:
        azure.network.virtual_networks.begin_create_or_update(
            RG,
            "v1",
            _body("10.11.1.0/24", subnets=[_subnet("web", "10.11.1.0/26", networkSecurityGroup={"id": missing})]),
        )
    assert codes(caught.value) == (400, "InvalidResourceReference")
    assert arm_error(caught.value).message.startswith(f"Resource {missing} referenced by resource /subscriptions/")
    with pytest.raises(ResourceNotFoundError):
        azure.network.virtual_networks.get(RG, "v1")


def test_a_subnet_in_use_can_not_be_deleted_until_the_nics_delete_has_ended(azure: Azure) -> None:
    vnet = azure.vnet("v1", "10.11.1.0/24", web="10.11.1.0/26")
    nic = azure.nic("n", f"{vnet}/subnets/web")
    message = (
        f"Subnet web is in use by {nic.id}/ipConfigurations/ipconfig1 and cannot be deleted. In order to delete the "
        "subnet, delete all the resources within the subnet. See aka.ms/deletesubnet."
    )

    def refused() -> None:
        for attempt in (
            lambda: azure.network.virtual_networks.begin_delete(RG, "v1"),
            lambda: azure.network.subnets.begin_delete(RG, "v1", "web"),
            lambda: azure.network.virtual_networks.begin_create_or_update(RG, "v1", _body("10.11.1.0/24", subnets=[])),
        ):
            with pytest.raises(HttpResponseError) as caught:
                attempt()
            assert codes(caught.value) == (400, "InUseSubnetCannotBeDeleted")
            assert arm_error(caught.value).message == message

    refused()
    azure.network.network_interfaces.begin_delete(RG, "n", polling=False)
    refused()
    azure.advance(5)
    azure.network.virtual_networks.begin_delete(RG, "v1", polling=azure.done).result()
    assert "v1" not in azure.names()


def test_the_gateways_subnet_is_in_use_by_the_gateway(azure: Azure) -> None:
    with pytest.raises(HttpResponseError) as caught:
        azure.network.subnets.begin_delete(RG, "hub-vnet", "agw-subnet")
    assert codes(caught.value) == (400, "InUseSubnetCannotBeDeleted")
    assert "hub-agw/gatewayIPConfigurations/appGatewayIpConfig" in arm_error(caught.value).message


def test_deleting_is_202_with_both_addresses_deleting_and_then_204(azure: Azure) -> None:
    azure.vnet("v1", "10.11.1.0/24")
    path = azure.id("virtualNetworks", "v1")
    answer = azure.send("DELETE", path)
    assert (answer.status_code, answer.content) == (202, b"")
    assert "/operations/" in answer.headers["Azure-AsyncOperation"]
    assert "/operationResults/" in answer.headers["Location"]
    assert answer.headers["Retry-After"] == "10"
    assert azure.send("GET", path).json()["properties"]["provisioningState"] == "Deleting"
    assert azure.send("GET", answer.headers["Location"]).status_code == 202
    azure.advance(5)
    ended = azure.send("GET", answer.headers["Location"])
    assert (ended.status_code, "Retry-After" in ended.headers) == (204, False)
    assert "Azure-AsyncOperation" in ended.headers
    assert "Location" in ended.headers
    assert azure.send("GET", path).status_code == 404
    again = azure.send("DELETE", path)
    assert (again.status_code, again.content) == (204, b"")


def test_missing_things_are_named_as_arm_names_them(azure: Azure) -> None:
    def error(path: str) -> tuple[int, str, str, str | None]:
        answer = azure.send("GET", path)
        body = answer.json()["error"]
        return answer.status_code, body["code"], body["message"], answer.headers.get("x-ms-failure-cause")

    end = f"under resource group '{RG}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"
    vnet, subnet = azure.id("virtualNetworks", "no"), azure.id("virtualNetworks/subnets", "no", "no")
    named = f"The Resource 'Microsoft.Network/virtualNetworks/no' {end}"
    assert error(vnet) == (404, "ResourceNotFound", named, "gateway")
    assert error(subnet) == (404, "ResourceNotFound", named, "gateway"), "a missing parent is what is named"
    child = azure.id("virtualNetworks/subnets", "hub-vnet", "no")
    assert error(child) == (404, "NotFound", f"Resource {child} not found.", None)
    group = "Resource group 'none' could not be found."
    assert error(azure.id("virtualNetworks", "no", group="none")) == (404, "ResourceGroupNotFound", group, "gateway")
    put = azure.send("PUT", azure.id("virtualNetworks", "v1", group="none"), _body("10.1.0.0/16"))
    assert (put.status_code, put.json()["error"]["code"]) == (404, "ResourceGroupNotFound")


def test_ids_keep_their_case_and_are_compared_without_it(azure: Azure) -> None:
    azure.vnet("CamelCase", "10.11.1.0/24", Web="10.11.1.0/26")
    shown = azure.send("GET", azure.id("virtualNetworks", "camelcase", group="HUB-RG").replace("virtual", "VIRTUAL"))
    assert shown.json()["id"] == azure.id("virtualNetworks", "CamelCase")
    nic = azure.nic("n", azure.id("virtualNetworks/subnets", "CAMELCASE", "WEB"))
    assert nic.ip_configurations[0].private_ip_address == "10.11.1.4"


def test_a_stale_etag_is_412(azure: Azure) -> None:
    azure.vnet("v1", "10.11.1.0/24")
    shown = azure.network.virtual_networks.get(RG, "v1")
    put = azure.network.virtual_networks.begin_create_or_update
    with pytest.raises(HttpResponseError) as caught:
        put(RG, "v1", _body("10.11.1.0/24"), headers={"If-Match": 'W/"other"'})
    assert codes(caught.value) == (412, "PreconditionFailed")
    assert arm_error(caught.value).details[0].code == "PreconditionFailedEtagMismatch"
    assert arm_error(caught.value).details[0].message == (
        f'Etag provided in if-match header W/"other" does not match etag {shown.etag} of resource {shown.id} in NRP '
        "data store."
    )
    put(RG, "v1", _body("10.11.1.0/24"), headers={"If-Match": shown.etag}, polling=azure.done).result()


def test_names_are_checked(azure: Azure) -> None:
    for path in (
        azure.id("virtualNetworks", "v" * 65),
        azure.id("networkInterfaces", "-n"),
        azure.id("networkSecurityGroups", "n" * 81),
    ):
        answer = azure.send("PUT", path, _body("10.1.0.0/16"))
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "InvalidResourceName")
        assert answer.json()["error"]["details"] == []


def test_patching_the_tags_is_done_at_once(azure: Azure) -> None:
    azure.vnet("v1", "10.11.1.0/24")
    shown = azure.network.virtual_networks.update_tags(RG, "v1", {"tags": {"a": "b"}})
    assert (shown.tags, shown.provisioning_state) == ({"a": "b"}, "Succeeded")
