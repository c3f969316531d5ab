"""Application Gateways: one document, its operations, and two writers."""

from __future__ import annotations

import pytest
from azure.core.exceptions import HttpResponseError

from tests.contracts.azure import RG, Azure, codes
from tests.contracts.gateways import Document, put, refused_put, with_site


def test_the_hubs_gateway_is_as_azure_cli_makes_it(azure: Azure) -> None:
    gateway = azure.network.application_gateways.get(RG, "hub-agw")
    assert (gateway.sku.tier, gateway.provisioning_state, gateway.operational_state) == (
        "Standard_v2",
        "Succeeded",
        "Running",
    )
    assert (gateway.autoscale_configuration.min_capacity, gateway.autoscale_configuration.max_capacity) == (2, 10)
    assert [each.name for each in gateway.frontend_ip_configurations] == ["appGatewayFrontendIP"]
    assert [(each.name, each.priority) for each in gateway.request_routing_rules] == [("defaultRoutingRule", 1001)]


def test_a_put_is_200_updating_for_a_while_with_a_new_etag_each_time(
    azure: Azure, gateway: str, document: Document
) -> None:
    answer = azure.send("PUT", gateway, with_site(document, "acme", "acme.example.com", 1000))
    shown = answer.json()
    assert (answer.status_code, answer.headers["Retry-After"]) == (200, "10")
    assert shown["properties"]["provisioningState"] == "Updating"
    assert shown["properties"]["httpListeners"][0]["properties"]["provisioningState"] == "Updating"
    azure.advance(39)
    assert azure.poll(answer).json() == {"status": "InProgress"}
    azure.advance(1)
    assert azure.poll(answer).json() == {"status": "Succeeded"}
    after = azure.send("GET", gateway).json()
    assert len({document["etag"], shown["etag"], after["etag"]}) == 3
    assert after["properties"]["probes"][0]["etag"] == after["etag"]


def test_parts_have_ids_types_and_show_who_uses_them(azure: Azure, gateway: str, document: Document) -> None:
    put(azure, with_site(document, "acme", "acme.example.com", 1000))
    properties = azure.send("GET", gateway).json()["properties"]
    pool = properties["backendAddressPools"][1]
    assert pool["id"] == f"{gateway}/backendAddressPools/acme-pool"
    assert pool["type"] == "Microsoft.Network/applicationGateways/backendAddressPools"
    assert pool["properties"]["requestRoutingRules"] == [{"id": f"{gateway}/requestRoutingRules/acme-rule"}]
    port = properties["frontendPorts"][0]["properties"]
    assert [each["id"].rsplit("/", 1)[1] for each in port["httpListeners"]] == [
        "appGatewayHttpListener",
        "acme-listener",
    ]
    assert properties["probes"][0]["properties"]["backendHttpSettingsCollection"] == [
        {"id": f"{gateway}/backendHttpSettingsCollection/acme-settings"}
    ]


def test_a_second_put_is_accepted_cancels_the_first_and_wins_whole(
    azure: Azure, gateway: str, document: Document
) -> None:
    first = azure.send("PUT", gateway, with_site(document, "one", "one.example.com", 900))
    second = azure.send("PUT", gateway, with_site(document, "two", "two.example.com", 901))
    assert (first.status_code, second.status_code) == (200, 200)
    ended = azure.poll(first)
    assert ended.status_code == 200
    error = ended.json()["error"]
    assert (ended.json()["status"], error["code"], error["message"]) == (
        "Canceled",
        "Canceled",
        "Operation was canceled.",
    )
    assert error["details"][0]["code"] == "CanceledAndSupersededDueToAnotherOperation"
    ids = [answer.headers["Azure-AsyncOperation"].split("/operations/")[1].split("?")[0] for answer in (first, second)]
    assert error["details"][0]["message"] == (
        f"Operation PutApplicationGatewayOperation ({ids[0]}) was canceled and superseded by operation "
        f"PutApplicationGatewayOperation ({ids[1]})."
    )
    azure.advance(40)
    assert azure.poll(second).json() == {"status": "Succeeded"}
    names = [each["name"] for each in azure.send("GET", gateway).json()["properties"]["httpListeners"]]
    assert names == ["appGatewayHttpListener", "two-listener"], "without any merge"


def test_a_stale_etag_is_412_also_after_provisioning_has_ended(azure: Azure, gateway: str, document: Document) -> None:
    accepted = azure.send("PUT", gateway, document, headers={"If-Match": document["etag"]})
    assert accepted.status_code == 200
    azure.advance(40)
    stale = azure.send("PUT", gateway, document, headers={"If-Match": accepted.json()["etag"]})
    assert (stale.status_code, stale.json()["error"]["code"]) == (412, "PreconditionFailed")
    fresh = azure.send("GET", gateway).json()["etag"]
    assert azure.send("PUT", gateway, document, headers={"If-Match": fresh}).status_code == 200


def test_unknown_properties_and_read_only_parts_survive_a_round_trip(
    azure: Azure, gateway: str, document: Document
) -> None:
    document["properties"]["futureTop"] = {"a": [1, {"b": None}]}
    document["properties"]["backendAddressPools"][0]["properties"]["futurePool"] = "x"
    azure.plant(document)
    model = azure.network.application_gateways.get(RG, "hub-agw")
    put(azure, model)
    after = azure.send("GET", gateway).json()["properties"]
    assert after["futureTop"] == {"a": [1, {"b": None}]}
    assert after["backendAddressPools"][0]["properties"]["futurePool"] == "x"


def test_certificates_given_by_name_without_data_are_kept(azure: Azure, document: Document) -> None:
    document["properties"]["sslCertificates"] = [{"name": "wild", "properties": {"publicCertData": "MIIB"}}]
    azure.plant(document)
    after = put(azure, azure.network.application_gateways.get(RG, "hub-agw"))
    assert [(each.name, each.public_cert_data) for each in after.ssl_certificates] == [("wild", "MIIB")]


def test_a_key_vault_certificate_that_is_broken_fails_every_put_late(azure: Azure, document: Document) -> None:
    azure.fault(
        "fail_operation",
        method="PUT",
        path="applicationGateways/hub-agw$",
        code="ApplicationGatewayKeyVaultSecretException",
        times=2,
    )
    for _ in range(2):
        with pytest.raises(HttpResponseError) as caught:
            put(azure, document)
        assert codes(caught.value) == (200, "ApplicationGatewayKeyVaultSecretException")
        assert azure.network.application_gateways.get(RG, "hub-agw").provisioning_state == "Failed"
    assert put(azure, document).provisioning_state == "Succeeded"


def test_an_identity_that_may_not_be_assigned_is_403(azure: Azure, gateway: str, document: Document) -> None:
    azure.fault("refuse", method="PUT", path="applicationGateways/", status=403, code="LinkedAuthorizationFailed")
    refused = azure.send("PUT", gateway, document)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "LinkedAuthorizationFailed")


def test_a_put_starts_a_stopped_gateway(azure: Azure, document: Document) -> None:
    azure.network.application_gateways.begin_stop(RG, "hub-agw", polling=azure.done).result()
    assert azure.network.application_gateways.get(RG, "hub-agw").operational_state == "Stopped"
    assert put(azure, document).operational_state == "Running"


def test_a_subnet_that_is_being_written_makes_it_retryable(azure: Azure, document: Document) -> None:
    subnet = azure.send("GET", azure.id("virtualNetworks/subnets", "hub-vnet", "agw-subnet")).json()
    azure.network.subnets.begin_create_or_update(RG, "hub-vnet", "agw-subnet", subnet, polling=False)
    assert codes(refused_put(azure, document)) == (429, "RetryableError")


def test_deleting_shows_deleting_and_frees_the_subnet(azure: Azure, gateway: str) -> None:
    azure.network.application_gateways.begin_delete(RG, "hub-agw", polling=False)
    assert azure.network.application_gateways.get(RG, "hub-agw").provisioning_state == "Deleting"
    azure.advance(5)
    assert azure.send("GET", gateway).status_code == 404
    azure.network.subnets.begin_delete(RG, "hub-vnet", "agw-subnet", polling=azure.done).result()
