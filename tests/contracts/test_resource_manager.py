"""ARM itself: tokens, api-versions, groups, locks, lists, bad requests."""

from __future__ import annotations

import json
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from tests.contracts.azure import PLACE, RG, Azure, codes

VNETS = "/subscriptions/{}/resourceGroups/hub-rg/providers/Microsoft.Network/virtualNetworks"


def _lock(azure: Azure, scope: str, level: str) -> dict[str, object]:
    name = f"{level}-{len(scope)}"
    return {"id": f"{scope}/providers/Microsoft.Authorization/locks/{name}", "properties": {"level": level}}


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "AuthenticationFailed"),
        ("Basic abc", "AuthenticationFailedInvalidHeader"),
        ("Bearer a.b.c", "InvalidAuthenticationToken"),
    ],
)
def test_a_token_of_ours_is_needed(azure: Azure, header: str | None, code: str) -> None:
    path = VNETS.format(azure.subscription_id)
    answer = azure.http.get(
        path, params={"api-version": "2024-05-01"}, headers={"Authorization": header} if header else {}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, code)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer authorization_uri=")


def test_an_empty_part_of_an_address_is_skipped(azure: Azure) -> None:
    path = azure.id("virtualNetworks", "hub-vnet").replace("Microsoft.Network/", "Microsoft.Network//")
    assert azure.send("GET", path).json()["name"] == "hub-vnet"


def test_every_answer_carries_arms_headers(azure: Azure) -> None:
    answer = azure.send("GET", VNETS.format(azure.subscription_id))
    for name in ("x-ms-request-id", "x-ms-correlation-request-id", "x-ms-routing-request-id"):
        assert answer.headers[name]
    assert answer.headers["x-ms-routing-request-id"].startswith("EASTUS:")
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert "x-ms-ratelimit-remaining-subscription-reads" in answer.headers


@pytest.mark.parametrize(
    ("version", "status", "code"),
    [
        ("2026-03-01", 200, None),
        ("2024-05-01", 200, None),
        ("2022-01-01", 200, None),
        ("2015-06-15", 200, None),
        ("2031-01-01", 200, None),
        ("", 400, "MissingApiVersionParameter"),
        ("soon", 400, "InvalidApiVersionParameter"),
        ("2024-13-01", 400, "InvalidApiVersionParameter"),
        ("2024-05-02", 400, "NoRegisteredProviderFound"),
    ],
)
def test_api_versions_are_checked(azure: Azure, version: str, status: int, code: str | None) -> None:
    answer = azure.send("GET", VNETS.format(azure.subscription_id), version=version)
    assert answer.status_code == status
    assert answer.json().get("error", {}).get("code") == code


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/subscriptions/{}/resourceGroups/hub-rg/providers/Microsoft.Network/teapots/t", 404, "InvalidResourceType"),
        ("/subscriptions/{}/resourceGroups/hub-rg/providers/Microsoft.Tea/pots/t", 404, "InvalidResourceNamespace"),
        ("/subscriptions/{}/providers/Microsoft.Network/teapots", 404, "InvalidResourceType"),
        ("/subscriptions/{}/nothing", 404, "NotFound"),
        ("/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups", 404, "SubscriptionNotFound"),
        ("/nowhere", 404, "MissingSubscription"),
        (
            "/subscriptions/{}/resourceGroups/hub-rg/providers/Microsoft.Network/virtualNetworks/a//b",
            404,
            "InvalidResourceType",
        ),
    ],
)
def test_unknown_addresses_get_arms_own_errors(azure: Azure, path: str, status: int, code: str) -> None:
    answer = azure.send("GET", path.format(azure.subscription_id), version="2024-05-01")
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.headers["x-ms-failure-cause"] == "gateway"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"x":' * 600 + b"1" + b"}" * 600,
        b'{"location":"eastus","tags":{"a":"\\ud800"}}',
        b'{"location":"eastus","properties":{"x":NaN}}',
        b'{"location":"eastus","properties":{"x":1e999}}',
        b'{"location":"eastus","properties":{"x":' + b"9" * 5000 + b"}}",
    ],
    ids=range(12),
)
def test_bad_json_is_refused_and_the_server_goes_on(azure: Azure, content: bytes) -> None:
    headers = {"Authorization": f"Bearer {azure.token()}", "Content-Type": "application/json"}
    path = azure.id("virtualNetworks", "v1")
    answer = azure.http.put(path, params={"api-version": "2024-05-01"}, content=content, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "InvalidRequestContent")
    assert azure.send("GET", VNETS.format(azure.subscription_id)).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"location": PLACE, "properties": []},
        {"location": PLACE, "properties": "x"},
        {"location": 5, "properties": {}},
        {"location": PLACE, "tags": [], "properties": {}},
        {"location": PLACE, "properties": {"addressSpace": [1]}},
        {"location": PLACE, "properties": {"addressSpace": {"addressPrefixes": "10.0.0.0/8"}}},
        {"location": PLACE, "properties": {"addressSpace": {"addressPrefixes": ["10.1.0.0/16"]}, "subnets": {"a": 1}}},
        {"location": PLACE, "properties": {"addressSpace": {"addressPrefixes": ["10.1.0.0/16"]}, "subnets": [5]}},
        {"location": PLACE, "properties": {"ipConfigurations": [5], "securityRules": [7]}},
        {
            "location": PLACE,
            "properties": {"ipConfigurations": [{"properties": {"subnet": "x"}}], "securityRules": "x"},
        },
        {"location": PLACE, "properties": {"securityRules": [{"name": "a", "properties": "x"}], "sku": "x"}},
        {"location": PLACE, "properties": {"sku": {"tier": "Standard_v2"}, "httpListeners": [{"name": "a"}]}},
        {"location": PLACE, "properties": {"hardwareProfile": "x", "creationData": "x"}},
        {"location": PLACE, "properties": {"hardwareProfile": {"vmSize": {}}, "osProfile": []}},
        {
            "location": PLACE,
            "properties": {"hardwareProfile": {"vmSize": "Standard_B2s"}, "osProfile": {"adminUsername": []}},
        },
    ],
)
@pytest.mark.parametrize(
    "kind",
    [
        "virtualNetworks",
        "networkSecurityGroups",
        "networkInterfaces",
        "applicationGateways",
        "virtualMachines",
        "disks",
    ],
)
def test_a_body_of_the_wrong_shape_is_400(azure: Azure, kind: str, body: dict[str, object]) -> None:
    answer = azure.send("PUT", azure.id(kind, "x1"), body)
    accepted = kind == "networkSecurityGroups" and "securityRules" not in str(body) and answer.status_code == 201
    assert accepted or answer.status_code == 400, answer.text


def test_a_body_over_four_megabytes_is_413(azure: Azure) -> None:
    body = {"location": PLACE, "tags": {"a": "x" * (5 * 1024 * 1024)}}
    answer = azure.send("PUT", azure.id("virtualNetworks", "v1"), body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "RequestContentTooLarge")


def test_wrong_methods_are_405(azure: Azure) -> None:
    for method, path in (
        ("POST", azure.id("virtualNetworks", "hub-vnet")),
        ("DELETE", VNETS.format(azure.subscription_id)),
        ("PUT", f"/subscriptions/{azure.subscription_id}/locations"),
        ("OPTIONS", azure.id("virtualNetworks", "hub-vnet")),
    ):
        answer = azure.send(method, path, version="2022-01-01")
        assert (answer.status_code, answer.json()["error"]["code"]) == (405, "MethodNotAllowed"), (method, path)


@pytest.mark.parametrize("method", ["BREW", "FOO"])
def test_a_method_that_http_does_not_know_is_refused_in_arms_form(azure: Azure, method: str) -> None:
    answer = azure.send(method, azure.id("virtualNetworks", "hub-vnet"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BadRequest")
    assert answer.headers["x-ms-request-id"]


def test_groups_are_made_found_listed_and_patched(azure: Azure) -> None:
    groups = azure.resources.resource_groups
    made = groups.create_or_update("other", {"location": "West US", "tags": {"a": "b"}})
    assert (made.name, made.location, made.properties.provisioning_state) == ("other", "westus", "Succeeded")
    assert {each.name for each in groups.list()} == {RG, "other"}
    assert groups.check_existence("other")
    assert not groups.check_existence("none")
    assert groups.update("other", {"tags": {"c": "d"}}).tags == {"c": "d"}
    with pytest.raises(HttpResponseError) as caught:
        groups.create_or_update("other", {"location": PLACE})
    assert codes(caught.value) == (409, "InvalidResourceGroupLocation")


def test_a_group_is_deleted_with_what_is_in_it(azure: Azure) -> None:
    azure.vm_with_network()
    hub = azure.id("virtualNetworks", "hub-vnet")
    azure.resources.resource_groups.create_or_update("other", {"location": PLACE})
    body = {"location": PLACE, "properties": {"addressSpace": {"addressPrefixes": ["10.50.0.0/24"]}}}
    path = azure.id("virtualNetworks", "far", group="other")
    azure.send("PUT", path, body)
    azure.advance(4)
    azure.peer("hub-vnet", "to-far", path)
    azure.send("PUT", f"{path}/virtualNetworkPeerings/to-hub", {"properties": {"remoteVirtualNetwork": {"id": hub}}})
    azure.advance(5)
    answer = azure.send("DELETE", f"/subscriptions/{azure.subscription_id}/resourcegroups/other", version="2022-09-01")
    assert (answer.status_code, answer.content, answer.headers["Retry-After"]) == (202, b"", "15")
    assert "Azure-AsyncOperation" not in answer.headers
    assert azure.send("GET", answer.headers["Location"]).status_code == 202
    azure.advance(20)
    assert azure.send("GET", answer.headers["Location"]).status_code == 200
    assert azure.network.virtual_network_peerings.get(RG, "hub-vnet", "to-far").peering_state == "Disconnected"
    with pytest.raises(ResourceNotFoundError) as caught:
        azure.resources.resource_groups.begin_delete("other")
    assert codes(caught.value) == (404, "ResourceGroupNotFound")
    azure.resources.resource_groups.begin_delete(RG, polling=azure.done).result()
    assert azure.names() == []


def test_a_group_that_can_not_go_answers_409_with_the_blocking_error_in_it(azure: Azure) -> None:
    azure.resources.resource_groups.create_or_update("other", {"location": PLACE})
    group = {"location": PLACE, "properties": {"securityRules": []}}
    nsg = azure.id("networkSecurityGroups", "nsg", group="other")
    azure.send("PUT", nsg, group)
    azure.advance(3)
    body = {"properties": {"addressPrefix": "10.0.9.0/24", "networkSecurityGroup": {"id": nsg}}}
    azure.network.subnets.begin_create_or_update(RG, "hub-vnet", "s9", body, polling=azure.done).result()
    answer = azure.send("DELETE", f"/subscriptions/{azure.subscription_id}/resourcegroups/other", version="2022-09-01")
    azure.advance(20)
    ended = azure.send("GET", answer.headers["Location"])
    error = ended.json()["Error"]
    assert (ended.status_code, error["Code"]) == (409, "ResourceGroupDeletionBlocked")
    assert error["Details"][0]["Target"] == nsg
    assert json.loads(error["Details"][0]["Message"])["error"]["code"] == "InUseNetworkSecurityGroupCannotBeDeleted"
    assert azure.resources.resource_groups.get("other").properties.provisioning_state == "Succeeded"


def test_locks_are_listed_at_each_scope_and_forbid_what_they_say(azure: Azure) -> None:
    hub, group = azure.id("virtualNetworks", "hub-vnet"), f"/subscriptions/{azure.subscription_id}/resourceGroups/{RG}"
    azure.plant(_lock(azure, hub, "ReadOnly"))
    shown = azure.send("GET", f"{hub}/providers/Microsoft.Authorization/locks", version="2016-09-01").json()["value"]
    assert [each["properties"]["level"] for each in shown] == ["ReadOnly"]
    listed = azure.send("GET", f"{group}/providers/Microsoft.Authorization/locks", version="2016-09-01").json()["value"]
    assert len(listed) == 1
    subnet = {"properties": {"addressPrefix": "10.0.9.0/24"}}
    with pytest.raises(HttpResponseError) as caught:
        azure.network.subnets.begin_create_or_update(RG, "hub-vnet", "s9", subnet)
    assert codes(caught.value) == (409, "ScopeLocked")
    spoke = azure.vnet("v1", "10.11.1.0/24")
    assert codes(_peering_refused(azure, spoke)) == (409, "ScopeLocked")
    azure.plant(_lock(azure, group, "CanNotDelete"))
    azure.vnet("v1", "10.11.1.0/24")
    with pytest.raises(HttpResponseError) as caught:
        azure.network.virtual_networks.begin_delete(RG, "v1")
    assert codes(caught.value) == (409, "ScopeLocked")


def _peering_refused(azure: Azure, spoke: str) -> HttpResponseError:
    with pytest.raises(HttpResponseError) as caught:
        azure.peer("hub-vnet", "p", spoke)
    return caught.value


@pytest.mark.parametrize("name", ["microsoft", "Azure-policy", "WINDOWS"])
def test_tag_names_with_a_reserved_prefix_are_refused(azure: Azure, name: str) -> None:
    nsg = azure.id("networkSecurityGroups", "tagged")
    for body in ({"location": PLACE, "tags": {name: "x"}}, {"location": PLACE, "tags": {"my-azure": "x"}}):
        answer = azure.send("PUT", nsg, body)
        assert (answer.status_code == 400) == (name in body["tags"]), answer.text
    refused = azure.send("PATCH", nsg, {"tags": {name: "x"}})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "InvalidTagName")


def test_resources_are_found_by_tag_in_the_group_and_in_the_subscription(azure: Azure) -> None:
    for number, tags in enumerate([{"spoke_id": "1"}, {"Spoke_Id": "1"}, {"spoke_id": "2"}]):
        azure.plant(
            {"id": azure.id("networkSecurityGroups", f"n{number}"), "location": PLACE, "tags": tags, "properties": {}}
        )
    query = "tagName eq 'spoke_id' and tagValue eq '1'"
    assert [each.name for each in azure.resources.resources.list_by_resource_group(RG, filter=query)] == ["n0", "n1"]
    assert [each.name for each in azure.resources.resources.list(filter=query)] == ["n0", "n1"]
    shown = list(azure.resources.resources.list(filter=query))
    assert [each.tags for each in shown] == [None, None], "a list filtered by a tag doesn't show the tags"
    assert all(
        each.tags
        for each in azure.resources.resources.list(filter="substringof('n', name)")
        if each.name[1:2].isdigit()
    )


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("resourceType eq 'Microsoft.Network/applicationGateways'", ["hub-agw"]),
        ("resourceGroup eq 'HUB-RG' and name ne 'hub-vnet'", ["hub-agw-pip", "hub-agw"]),
        ("name eq 'hub-vnet' or name eq 'hub-agw'", ["hub-vnet", "hub-agw"]),
        ("substringof('AGW', name)", ["hub-agw-pip", "hub-agw"]),
        ("startswith(name, 'hub-v')", ["hub-vnet"]),
        ("name eq 'it''s and nothing'", []),
        ("colour eq 'red'", None),
        ("name like 'x'", None),
        ("tagName eq 'a' and resourceGroup eq 'hub-rg'", None),
        ("tagValue eq 'a'", None),
        ("nonsense", None),
    ],
)
def test_a_filter_is_followed_or_refused_but_never_ignored(azure: Azure, text: str, names: list[str] | None) -> None:
    path = f"/subscriptions/{azure.subscription_id}/resources"
    answer = azure.send("GET", path, version="2021-04-01", query={"$filter": text})
    if names is None:
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "InvalidFilterInQueryString")
    else:
        assert [each["name"] for each in answer.json()["value"]] == names


def test_long_lists_come_in_pages(azure: Azure) -> None:
    azure.plant(
        *(
            {"id": azure.id("networkSecurityGroups", f"n{n:03}"), "location": PLACE, "properties": {}}
            for n in range(120)
        )
    )
    answer = azure.send("GET", VNETS.format(azure.subscription_id).replace("virtualNetworks", "networkSecurityGroups"))
    assert len(answer.json()["value"]) == 50
    assert "skiptoken" in answer.json()["nextLink"]
    names = [each.name for each in azure.network.network_security_groups.list(RG)]
    assert names == [f"n{n:03}" for n in range(120)]
    assert len(list(azure.network.network_security_groups.list_all())) == 120
    assert len(list(azure.resources.resources.list())) == 123


def test_the_address_of_a_next_page_can_be_followed_whatever_the_group_is_called(azure: Azure) -> None:
    group = "grüppe (1)"
    azure.local("POST", "limits", {"page_size": 5})
    azure.plant(
        *({"id": azure.id("networkSecurityGroups", f"n{n:03}", group=group), "location": PLACE} for n in range(12))
    )
    first = azure.send("GET", azure.id("networkSecurityGroups", "x", group=group).removesuffix("/x"))
    assert first.json()["nextLink"].isascii()
    assert " " not in first.json()["nextLink"]
    assert len(list(azure.network.network_security_groups.list(group))) == 12


def test_the_names_of_a_query_are_compared_without_letter_case(azure: Azure) -> None:
    answer = azure.send("GET", VNETS.format(azure.subscription_id), version="", query={"Api-Version": "2024-05-01"})
    assert answer.status_code == 200


@pytest.mark.parametrize("token", ["x", "-5"])
def test_a_skip_token_that_was_not_given_out_is_refused(azure: Azure, token: str) -> None:
    answer = azure.send("GET", VNETS.format(azure.subscription_id), query={"$skiptoken": token})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "InvalidSkipToken")


def test_the_ids_that_a_client_gave_its_request_come_back(azure: Azure) -> None:
    given = {
        "x-ms-correlation-request-id": "c0ffee00-0000-4000-8000-000000000000",
        "x-ms-client-request-id": "mine",
        "x-ms-return-client-request-id": "true",
    }
    answer = azure.send("GET", VNETS.format(azure.subscription_id), headers=given)
    assert answer.headers["x-ms-correlation-request-id"] == given["x-ms-correlation-request-id"]
    assert answer.headers["x-ms-client-request-id"] == "mine"


def test_tags_are_checked(azure: Azure) -> None:
    for tags in (
        {f"t{n}": "" for n in range(51)},
        {"a/b": ""},
        {"a": "x" * 257},
        {"a": "1", "A": "2"},
        {"x" * 513: ""},
    ):
        body = {"location": PLACE, "tags": tags, "properties": {"addressSpace": {"addressPrefixes": ["10.1.0.0/16"]}}}
        assert azure.send("PUT", azure.id("virtualNetworks", "v1"), body).status_code == 400


def test_locations_are_checked(azure: Azure) -> None:
    def code(body: dict[str, Any], name: str = "v1") -> str:
        answer = azure.send("PUT", azure.id("virtualNetworks", name), body)
        return str(answer.json().get("error", {}).get("code"))

    space = {"properties": {"addressSpace": {"addressPrefixes": ["10.1.0.0/16"]}}}
    assert code(space) == "LocationRequired"
    assert code(space | {"location": "mars"}) == "LocationNotAvailableForResourceType"
    assert code(space | {"location": "westus"}, "hub-vnet") == "InvalidResourceLocation"


def test_subscriptions_locations_and_providers_are_listed(azure: Azure) -> None:
    base = f"/subscriptions/{azure.subscription_id}"
    assert azure.send("GET", "/subscriptions", version="2022-12-01").json()["value"][0]["state"] == "Enabled"
    assert azure.send("GET", base, version="2022-12-01").json()["subscriptionId"] == azure.subscription_id
    places = azure.send("GET", f"{base}/locations", version="2022-12-01").json()["value"]
    assert PLACE in {each["name"] for each in places}
    provider = azure.resources.providers.get("Microsoft.Network")
    assert provider.registration_state == "Registered"


def test_a_network_quota_is_shown_and_held_to_in_its_region_alone(azure: Azure) -> None:
    azure.local("POST", "quota", {"location": PLACE, "quotas": {"VirtualNetworks": 1}})
    shown = next(each for each in azure.network.usages.list(PLACE) if each.name.value == "VirtualNetworks")
    assert (shown.current_value, shown.limit) == (1, 1)
    vnet = {"location": PLACE, "properties": {"addressSpace": {"addressPrefixes": ["10.11.1.0/24"]}}}
    with pytest.raises(HttpResponseError) as refused:
        azure.network.virtual_networks.begin_create_or_update(RG, "one-more", vnet)
    assert codes(refused.value) == (400, "VnetCountLimitReached")
    assert refused.value.error is not None
    assert refused.value.error.message == (
        "Cannot create more than 1 virtual networks for this subscription in this region."
    )
    azure.network.virtual_networks.begin_create_or_update(RG, "elsewhere", vnet | {"location": "westus"})
    hub = azure.send("GET", azure.id("virtualNetworks", "hub-vnet")).json()
    assert azure.send("PUT", hub["id"], hub).status_code == 200, "one that is there is no more than before"
