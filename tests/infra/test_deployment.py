"""What a deployment brings, for each plan and switch."""

import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from local.bicep import ROOT, Bicep, complaints
from shared.settings import Settings, settings_from
from tests.infra.alert_files import ALERTS, guide_rows, heads
from tests.infra.conftest import HUB, SUBSCRIPTION, Predict
from tests.infra.predicted import DEFINITION, FLEX_FORBIDS, Deployment
from tests.unit.test_settings import NEEDED, Asked, example, guide

HOST_ROLES = {
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",  # Storage Blob Data Owner
    "974c5e8b-45b9-4653-ba55-5f855dd0fb88",  # Storage Queue Data Contributor
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",  # Storage Table Data Contributor
}
TABLE_DATA = "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3"
METRICS_PUBLISHER = "3913510d-42f4-4e42-8a64-420c390055eb"
# What a site on Flex Consumption has as a property of another name, or not at all.
PREMIUM_ALONE = {
    "functionAppScaleLimit",
    "functionsRuntimeScaleMonitoringEnabled",
    "linuxFxVersion",
    "minimumElasticInstanceCount",
    "vnetRouteAllEnabled",
}
# Settings of the app that no deployment to Azure makes, and why.
NEVER_DEPLOYED = {
    "TABLES_CONNECTION_STRING": "holds a key; the app has an identity",
    "AzureWebJobsStorage": "holds a key; the identity's form stands there instead",
    "AZURE_TENANT_ID": "of a service principal",
    "AZURE_CLIENT_SECRET": "of a service principal",
}
LOCKED = {
    "vnetEnabled": False,
    "lockRecords": True,
    "alertEmail": "operators@example.com",
    "spokeResourceGroup": "spokes-rg",
    "settings": {"LOG_LEVEL": "DEBUG", "TASK_HUB": "Blue"},
}
TRIAL = dict.fromkeys(HUB) | {"createTrialHub": True}
VARIANTS: dict[str, dict[str, Any]] = {
    "flex": {},
    "flex without a network, locked": LOCKED,
    "premium": {"plan": "ElasticPremium", "pythonVersion": "3.13"},
    "trial hub": TRIAL,
    "premium without a network": {
        "plan": "ElasticPremium",
        "vnetEnabled": False,
        "customRoles": False,
        "lockRecords": True,
    },
}
SWITCHES: dict[str, list[Any]] = {
    "plan": ["FlexConsumption", "ElasticPremium"],
    "vnetEnabled": [True, False],
    "customRoles": [True, False],
    "createTrialHub": [True, False],
    "lockRecords": [True, False],
}
EVERY_COMBINATION = [dict(zip(SWITCHES, values, strict=True)) for values in product(*SWITCHES.values())]


@pytest.fixture(
    params=[
        *(pytest.param(variant, id=name) for name, variant in VARIANTS.items()),
        *(
            pytest.param(
                (TRIAL if each["createTrialHub"] else {}) | each, marks=pytest.mark.full, id=f"combination {n}"
            )
            for n, each in enumerate(EVERY_COMBINATION)
        ),
    ]
)
def deployment(request: pytest.FixtureRequest, predict: Predict) -> Deployment:
    return predict(**request.param)


def app_roles() -> dict[str, dict[str, Any]]:
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (ROOT / "infra" / "roles").glob("*.json")
    }


def optional_settings() -> set[str]:
    """The settings that the template lets a deployment set."""
    text = (ROOT / "infra" / "app" / "settings.bicep").read_text(encoding="utf-8")
    return set(re.findall(r"^  (\w+): string\?$", text, re.MULTILINE))


# -- every variant


def test_every_setting_is_known(deployment: Deployment) -> None:
    documented = {name.removeprefix("_") for name in example()}
    assert set(deployment.settings) <= documented
    assert set(deployment.settings) <= set(guide())


def accepted(deployment: Deployment) -> Settings:
    """The settings as the app reads them: it would refuse a bad one, and name one that is missing."""
    only_azure_knows = re.compile(r"^\[(?!\{).*\]$")
    values = {name: only_azure_knows.sub("", value) for name, value in deployment.settings.items()}
    # In the form that it has there.
    values["TABLES_ENDPOINT"] = deployment.settings["TABLES_ENDPOINT"] and "https://records.table.core.windows.net"
    return settings_from(values)


def test_every_required_setting_is_set_and_all_together_are_good(deployment: Deployment) -> None:
    settings = accepted(deployment)
    assert settings.hub_vnet_name == "hub-vnet"
    assert settings.durable_urls == "none"
    assert settings.task_hub.account is not None


def test_there_is_no_key_anywhere(deployment: Deployment) -> None:
    text = json.dumps(deployment.snapshot)
    for word in ("listKeys", "listAccountSas", "AccountKey=", "SharedAccessSignature"):
        assert word not in text
    for account in deployment.of("Microsoft.Storage/storageAccounts"):
        properties = account["properties"]
        assert properties["allowSharedKeyAccess"] is False
        assert properties["allowBlobPublicAccess"] is False
        assert properties["minimumTlsVersion"] == "TLS1_2"
        assert properties["supportsHttpsTrafficOnly"] is True
    assert deployment.only("Microsoft.Insights/components")["properties"]["DisableLocalAuth"] is True
    assert (
        deployment.only("Microsoft.OperationalInsights/workspaces")["properties"]["features"]["disableLocalAuth"]
        is True
    )


def test_the_app_takes_https_only_and_no_ftp(deployment: Deployment) -> None:
    properties = deployment.only("Microsoft.Web/sites")["properties"]
    assert properties["httpsOnly"] is True
    assert properties["siteConfig"]["minTlsVersion"] == "1.2"
    assert properties["siteConfig"]["ftpsState"] == "Disabled"
    policies = deployment.of("Microsoft.Web/sites/basicPublishingCredentialsPolicies")
    assert {policy["name"].rpartition("/")[2]: policy["properties"]["allow"] for policy in policies} == {
        "ftp": False,
        "scm": False,
    }


def test_the_identity_is_everywhere_the_same(deployment: Deployment) -> None:
    settings = deployment.settings
    client_id = settings["AZURE_CLIENT_ID"]
    assert settings["AzureWebJobsStorage__clientId"] == client_id
    assert settings["AzureWebJobsStorage__credential"] == "managedidentity"
    assert settings["AZURE_TOKEN_CREDENTIALS"] == "ManagedIdentityCredential"
    assert client_id.strip("[]") in settings["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"]
    assert "Authorization=AAD" in settings["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"]
    identity = deployment.only("Microsoft.ManagedIdentity/userAssignedIdentities")["id"]
    assert list(deployment.only("Microsoft.Web/sites")["identity"]["userAssignedIdentities"]) == [identity]
    principals = {
        each["properties"]["principalId"] for each in deployment.of("Microsoft.Authorization/roleAssignments")
    }
    assert len(principals) == 1


def test_the_data_roles_are_on_the_accounts(deployment: Deployment) -> None:
    accounts = {account["name"][:2]: account["id"] for account in deployment.of("Microsoft.Storage/storageAccounts")}
    on_data = {(scope, role) for scope, role in deployment.assignments if "/providers/Microsoft.Storage/" in scope}
    assert on_data == {(accounts["st"], role) for role in HOST_ROLES} | {(accounts["re"], TABLE_DATA)}
    insights = deployment.only("Microsoft.Insights/components")["id"]
    assert (insights, METRICS_PUBLISHER) in deployment.assignments


def test_the_roles_are_those_of_the_files(deployment: Deployment) -> None:
    made = {role["properties"]["roleName"].partition(" (")[0]: role["properties"] for role in deployment.of(DEFINITION)}
    files = {role["name"]: role for role in app_roles().values()}
    assert made.keys() == (files.keys() if deployment.snapshot["outputs"]["APP_WARNING"] == "" else set())
    for name in made:
        role = files[name]
        (permission,) = made[name]["permissions"]
        assert permission == {
            "actions": [entry["action"] for entry in role["actions"]],
            "notActions": role["notActions"],
        }
        assert made[name]["assignableScopes"] == [f"/subscriptions/{SUBSCRIPTION}"]
        assert made[name]["roleName"].startswith(f"{name} (dev ")


def test_storage_is_private_when_there_is_a_network(deployment: Deployment) -> None:
    private = bool(deployment.of("Microsoft.Network/privateEndpoints"))
    accounts = deployment.of("Microsoft.Storage/storageAccounts")
    access = {
        (each["properties"]["publicNetworkAccess"], each["properties"]["networkAcls"]["defaultAction"])
        for each in accounts
    }
    assert access == {("Disabled", "Deny") if private else ("Enabled", "Allow")}
    assert bool(deployment.only("Microsoft.Web/sites")["properties"].get("virtualNetworkSubnetId")) == private
    # Of the host's account all three services, of the records' account the tables; each name is resolved in the VNet.
    reached = [
        service
        for each in deployment.of("Microsoft.Network/privateEndpoints")
        for connection in each["properties"]["privateLinkServiceConnections"]
        for service in connection["properties"]["groupIds"]
    ]
    assert sorted(reached) == (["blob", "queue", "table", "table"] if private else [])
    zone = re.compile(r"'privatelink\.\{0\}\.\{1\}', '(\w+)'")  # the suffix is known to Azure alone
    for kind in ("privateDnsZones", "privateDnsZones/virtualNetworkLinks"):
        found = [name for each in deployment.of(f"Microsoft.Network/{kind}") for name in zone.findall(each["id"])]
        assert set(found) == set(reached)
    for each in deployment.of("Microsoft.Network/privateEndpoints/privateDnsZoneGroups"):
        (config,) = each["properties"]["privateDnsZoneConfigs"]
        assert zone.findall(config["properties"]["privateDnsZoneId"]) == [config["name"]]
        assert f"-{config['name']}/" in each["id"]
    assert len(deployment.of("Microsoft.Network/privateEndpoints/privateDnsZoneGroups")) == len(reached)


# -- single variants


def test_flex_consumption_has_none_of_the_settings_that_it_refuses(predict: Predict) -> None:
    app = predict()
    assert not FLEX_FORBIDS & set(app.settings)
    assert app.only("Microsoft.Web/serverfarms")["sku"] == {"name": "FC1", "tier": "FlexConsumption"}
    site = app.only("Microsoft.Web/sites")["properties"]
    premium = predict(**VARIANTS["premium"]).only("Microsoft.Web/sites")["properties"]["siteConfig"]
    assert set(premium) - set(site["siteConfig"]) == PREMIUM_ALONE
    config = site["functionAppConfig"]
    assert config["runtime"] == {"name": "python", "version": "3.12"}
    assert config["scaleAndConcurrency"] == {
        "maximumInstanceCount": 40,
        "instanceMemoryMB": 2048,
        "alwaysReady": [{"name": "durable", "instanceCount": 1}],
    }
    assert config["deployment"]["storage"]["authentication"]["type"] == "UserAssignedIdentity"
    (container,) = app.of("Microsoft.Storage/storageAccounts/blobServices/containers")
    assert container["name"].rpartition("/")[2] in config["deployment"]["storage"]["value"]


def test_premium_has_its_settings_and_reads_the_package_with_the_identity(predict: Predict) -> None:
    app = predict(**VARIANTS["premium"])
    settings = app.settings
    assert FLEX_FORBIDS & set(settings) == {
        "FUNCTIONS_EXTENSION_VERSION",
        "FUNCTIONS_WORKER_RUNTIME",
        "WEBSITE_RUN_FROM_PACKAGE",
    }
    identity = app.only("Microsoft.ManagedIdentity/userAssignedIdentities")["id"]
    assert settings["WEBSITE_RUN_FROM_PACKAGE_BLOB_MI_RESOURCE_ID"] == identity
    site = app.only("Microsoft.Web/sites")["properties"]
    assert site["siteConfig"]["linuxFxVersion"] == "Python|3.13"
    assert "functionAppConfig" not in site
    assert app.only("Microsoft.Web/serverfarms")["sku"]["tier"] == "ElasticPremium"
    assert delegated(predict()) == ["Microsoft.App/environments"]
    assert delegated(app) == ["Microsoft.Web/serverFarms"]


def delegated(deployment: Deployment) -> list[str]:
    subnets = deployment.only("Microsoft.Network/virtualNetworks")["properties"]["subnets"]
    return [
        each["properties"]["serviceName"] for subnet in subnets for each in subnet["properties"].get("delegations", [])
    ]


def test_each_role_is_on_its_scope(predict: Predict) -> None:
    roles = {key: role["name"] for key, role in app_roles().items()}
    hub_group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/hub-rg"
    on_azure = {(scope, role) for scope, role in predict().assignments if role in roles.values()}
    assert on_azure == {
        (f"/subscriptions/{SUBSCRIPTION}", roles["subscription"]),
        (f"{hub_group}/providers/Microsoft.Network/virtualNetworks/hub-vnet", roles["hub-vnet"]),
        (hub_group, roles["gateway"]),
        (f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-dev-spokes", roles["spoke-group"]),
    }


def test_with_a_list_of_what_the_gateway_names_its_role_is_on_these_alone(predict: Predict) -> None:
    gateway_role = app_roles()["gateway"]["name"]
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups"
    linked = [
        f"{group}/hub-rg/providers/Microsoft.Network/publicIPAddresses/hub-agw-pip",
        f"{group}/security-rg/providers/Microsoft.Network/ApplicationGatewayWebApplicationFirewallPolicies/waf",
        f"{group}/security-rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/certificates",
        f"{group}/hub-rg/providers/Microsoft.Network/networkSecurityGroups/agw-nsg",
        f"{group}/hub-rg/providers/Microsoft.Network/routeTables/agw-routes",
    ]
    scopes = {scope for scope, role in predict(gatewayLinkedIds=linked).assignments if role == gateway_role}
    assert scopes == {*linked, f"{group}/hub-rg/providers/Microsoft.Network/applicationGateways/hub-agw"}


def test_a_linked_resource_elsewhere_gets_its_role_once_and_a_role_that_can_be_assigned_there(predict: Predict) -> None:
    there = "/subscriptions/00000000-0000-0000-0000-00000000000c"
    policy = (
        f"{there}/resourceGroups/r/providers/Microsoft.Network/ApplicationGatewayWebApplicationFirewallPolicies/waf"
    )
    app = predict(gatewayLinkedIds=[policy, policy.replace("/waf", "/WAF")])
    role = app_roles()["gateway"]["name"]
    assert (policy, role) in app.assignments
    assert len([scope for scope, _ in app.assignments if scope.startswith(there)]) == 1
    for each in app.of(DEFINITION):
        assert each["properties"]["assignableScopes"] == [f"/subscriptions/{SUBSCRIPTION}", there]
    # `azd down` removes it from there.
    assert app.snapshot["outputs"]["APP_SUBSCRIPTION_IDS"].split(",") == [SUBSCRIPTION, there.rpartition("/")[2]]


def test_no_right_is_given_in_a_subscription_without_hub_and_spokes(predict: Predict) -> None:
    app = predict(hubSubscriptionId="00000000-0000-0000-0000-00000000000B", spokeResourceGroup="spokes-rg")
    on_azure = {scope for scope, role in app.assignments if role in app.roles.values()}
    assert {scope.split("/")[2] for scope in on_azure} == {"00000000-0000-0000-0000-00000000000b"}
    assert accepted(app).subscription_id == "00000000-0000-0000-0000-00000000000b"


def test_hub_and_spokes_in_one_group_get_a_role_that_both_need_once(predict: Predict) -> None:
    """Azure refuses a second assignment of a role on a scope, however the scope is spelled."""
    app = predict(customRoles=False, spokeResourceGroup="HUB-rg")
    spelled = [(scope.lower(), role) for scope, role in app.assignments]
    assert len(set(spelled)) == len(spelled)
    network, machines, identities = (
        "4d97b98b-1d4f-4787-a291-c67834d212e7",
        "9980e02c-c2be-4d73-94e8-173b1dc7cf3c",
        "f1a07417-d97a-45cb-824c-7a7467783830",
    )
    assert {role for scope, role in spelled if scope.endswith("/hub-rg")} == {network, machines, identities}


def test_several_hubs_get_their_roles_and_stand_in_one_setting(predict: Predict) -> None:
    roles = {key: role["name"] for key, role in app_roles().items()}
    other = "00000000-0000-0000-0000-00000000000b"
    hubs = [
        {
            "name": "east",
            "resource_group": "east-rg",
            "vnet": "east-vnet",
            "gateways": [{"name": "a"}, {"name": "b", "domain": "b.example.com"}],
        },
        {
            "name": "west",
            "subscription_id": other,
            "resource_group": "west-rg",
            "vnet": "west-vnet",
            "spoke_resource_group": "west-spokes",
            "address_pool": "10.12.0.0/16",
            "gateways": [{"name": "c", "domain": "c.example.com"}],
        },
    ]
    app = predict(**dict.fromkeys(HUB), hubs=hubs)
    assert json.loads(app.settings["HUBS"]) == hubs
    assert [place.hub_agw_name for place in accepted(app).places] == ["a", "b", "c"]
    assert not {"HUB_RESOURCE_GROUP", "HUB_VNET_NAME", "HUB_AGW_NAME"} & set(app.settings)
    own = f"/subscriptions/{SUBSCRIPTION}"
    west = f"/subscriptions/{other}"
    assert {(scope, role) for scope, role in app.assignments if role in roles.values()} == {
        (own, roles["subscription"]),
        (west, roles["subscription"]),
        (f"{own}/resourceGroups/east-rg/providers/Microsoft.Network/virtualNetworks/east-vnet", roles["hub-vnet"]),
        (f"{west}/resourceGroups/west-rg/providers/Microsoft.Network/virtualNetworks/west-vnet", roles["hub-vnet"]),
        (f"{own}/resourceGroups/east-rg", roles["gateway"]),
        (f"{west}/resourceGroups/west-rg", roles["gateway"]),
        (f"{own}/resourceGroups/rg-dev-spokes", roles["spoke-group"]),
        (f"{west}/resourceGroups/west-spokes", roles["spoke-group"]),
    }
    for role in app.of(DEFINITION):
        assert role["properties"]["assignableScopes"] == [own, west]


def test_without_own_roles_azures_are_assigned_and_the_deployment_says_so(predict: Predict) -> None:
    app = predict(customRoles=False)
    assert app.of(DEFINITION) == []
    scopes = {scope for scope, _ in app.assignments if "rg-dev/" not in scope}
    own = {scope for scope, role in predict().assignments if "rg-dev/" not in scope}
    assert scopes == own
    assert "customRoles=false" in app.snapshot["outputs"]["APP_WARNING"]
    assert predict().snapshot["outputs"]["APP_WARNING"] == ""


def test_what_is_named_is_not_made_and_what_is_empty_is(predict: Predict) -> None:
    def groups(**changes: Any) -> set[str]:
        return {group["name"] for group in predict(**changes).of("Microsoft.Resources/resourceGroups")}

    assert groups() == {"rg-dev", "rg-dev-spokes"}
    assert groups(**VARIANTS["trial hub"]) == {"rg-dev", "rg-dev-spokes", "rg-dev-hub"}
    assert groups(**LOCKED) == {"rg-dev"}
    assert groups(**OTHER_ENVIRONMENT) == {f"rg-{OTHER_ENVIRONMENT['environmentName'].lower()}-spokes"}
    # A hub that is there is never a resource of the deployment: `azd down` deletes the groups that are.
    assert not any("hub-rg" in each["id"] for each in predict().resources if "roleAssignments" not in each["type"])


def test_the_account_of_the_records_is_zone_redundant_and_locked_on_demand(predict: Predict) -> None:
    locked = predict(**LOCKED)
    records = next(each for each in locked.of("Microsoft.Storage/storageAccounts") if each["name"].startswith("rec"))
    assert records["sku"]["name"] == "Standard_ZRS"
    lock = locked.only("Microsoft.Authorization/locks")
    assert lock["id"].startswith(f"{records['id']}/providers/")
    assert lock["properties"]["level"] == "CanNotDelete"
    assert locked.snapshot["outputs"]["APP_RECORDS_LOCKED"] is True
    assert predict().of("Microsoft.Authorization/locks") == []
    assert locked.settings["LOG_LEVEL"] == "DEBUG"
    assert locked.settings["TASK_HUB"] == "Blue"


OTHER_ENVIRONMENT = {"environmentName": "A-Long_Name.with-32-characters-i", "appResourceGroup": "apps"}


def test_two_environments_share_no_name(predict: Predict) -> None:
    def ids(**changes: Any) -> set[str]:
        return {each["id"] for each in predict(**changes).resources if not each["id"].startswith("[")}

    assert not ids() & ids(**OTHER_ENVIRONMENT)
    first, second = (
        {role["properties"]["roleName"] for role in predict(**changes).of(DEFINITION)}
        for changes in ({}, OTHER_ENVIRONMENT)
    )
    assert not first & second
    # Azure and azd tell neither groups nor regions by their capital letters.
    assert {each.lower() for each in ids(environmentName="Dev", location="East US")} == {each.lower() for each in ids()}


def test_names_are_ones_that_azure_takes(predict: Predict) -> None:
    app = predict(**OTHER_ENVIRONMENT)
    for account in app.of("Microsoft.Storage/storageAccounts"):
        assert re.fullmatch(r"[a-z0-9]{3,24}", account["name"])
    assert re.fullmatch(r"[A-Za-z0-9-]{2,60}", app.only("Microsoft.Web/sites")["name"])
    for rule in app.of("Microsoft.Insights/scheduledQueryRules"):
        assert len(rule["name"]) <= 260


# -- alerts


def test_a_deployment_makes_each_alert_with_that_description(predict: Predict) -> None:
    rows = guide_rows("Alerts")
    made = {
        each["properties"]["displayName"].rpartition(": ")[2]: each["properties"]
        for each in predict().of("Microsoft.Insights/scheduledQueryRules")
    }
    assert made.keys() == rows.keys()
    for path in ALERTS:
        rule = made[path.stem]
        assert rule["description"] == " ".join(heads(path))
        assert rule["criteria"]["allOf"][0]["query"] == path.read_text(encoding="utf-8")
        assert str(rule["severity"]) == rows[path.stem][0]
        (scope,) = rule["scopes"]
        assert scope.endswith(".outputs.insightsId.value]")
    assert made["leftovers"]["severity"] == 1


def test_the_recipient_gets_every_alert(predict: Predict) -> None:
    app = predict(**LOCKED)
    group = app.only("Microsoft.Insights/actionGroups")
    assert group["properties"]["emailReceivers"][0]["emailAddress"] == "operators@example.com"
    for rule in app.of("Microsoft.Insights/scheduledQueryRules"):
        assert rule["properties"]["actions"]["actionGroups"] == [group["id"]]
    assert predict().of("Microsoft.Insights/actionGroups") == []


def test_the_workbook_is_the_file(predict: Predict) -> None:
    text = (ROOT / "infra" / "workbook.json").read_text(encoding="utf-8")
    assert predict().only("Microsoft.Insights/workbooks")["properties"]["serializedData"] == text


# -- the four places


def test_every_setting_of_the_app_stands_in_the_template(predict: Predict) -> None:
    """Code, example and guide are compared by tests/unit/test_settings.py; here the fourth place."""
    asked = Asked(dict(NEEDED))
    settings_from(asked)
    made = {name for variant in VARIANTS.values() for name in predict(**variant).settings} | {"HUBS"}
    may = optional_settings()
    read = {name for name in asked.names if not name.startswith("AzureWebJobsStorage")}
    assert read - made - may == {name for name in NEVER_DEPLOYED if name in read}
    documented = {name.removeprefix("_") for name in example() if name.startswith("_") and name != "_"}
    assert documented - made - may - NEVER_DEPLOYED.keys() == set()
    # HUBS is in the template before it is in the app.
    assert may <= read
    assert made - documented <= {"HUBS"}


# -- the check itself


def test_the_check_finds_a_warning_and_another_format(bicep: Bicep, tmp_path: Path) -> None:
    bad = tmp_path / "bad.bicep"
    bad.write_text(
        "param unused string\nresource a 'Microsoft.Storage/storageAccounts@2025-06-01' = {name: 'abc'}\n"
        "resource b 'Microsoft.Storage/storageAccounts@2025-06-31' = {name: 'def'}\n"
    )
    found = "\n".join(complaints(bicep, bad))
    # BCP081: a version of the API that there is not.
    for word in ("no-unused-params", "BCP035", "BCP081", "format differs"):
        assert word in found
