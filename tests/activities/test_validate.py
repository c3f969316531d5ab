"""validate_config against a real stand-in and real tables: what it finds, says, and never touches."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from activities.steps.nsg import create_nsg
from activities.steps.validate import validate_config
from local.functions.durable.clock import VirtualClock
from shared.arm.client import arm
from shared.checks.findings import CHECKS
from shared.checks.preflight import plan_report
from shared.clock import running_on
from shared.saga.steps import STEPS
from shared.settings import Settings
from shared.spoke.plan import our_tags
from shared.tables.records import Records
from tests.activities.azure_stand_in import LocalAzure, a_plan, a_run, call_of, recorded
from tests.app import StandingTime, forget_app


def validated(**changes: Any) -> dict[str, Any]:
    run = recorded(a_run(a_plan(**changes)))
    outcome: dict[str, Any] = asyncio.run(validate_config(call_of(run, "validate_config")))
    return outcome


def codes(outcome: dict[str, Any]) -> list[str]:
    return [finding["code"] for finding in outcome["failure"]["details"]["findings"]]


def test_a_fresh_hub_has_nothing_against_a_spoke(settings: Settings) -> None:
    outcome = validated()
    assert outcome == {
        "outcome": "done",
        "message": "Everything is in order",
        "result": {"security_type": "TrustedLaunch", "warnings": []},
    }


def test_a_used_up_quota_is_told_in_words(settings: Settings, azure: LocalAzure) -> None:
    azure.quota(location="eastus", quotas={"standardBSFamily": 0, "cores": 4})
    outcome = validated()
    assert outcome["failure"]["message"] == "Quota exceeded for Standard_B2s in eastus: 0 of 0 vCPUs used"
    assert outcome["failure"]["code"] == "QuotaExceeded"
    assert outcome["failure"]["error"] == "AzureResourceException"
    assert not outcome["failure"].get("transient")


def test_nothing_is_written(settings: Settings, azure: LocalAzure) -> None:
    validated()
    assert {request["method"] for request in azure.requests()} == {"GET"}


def test_one_deployment_costs_few_reads(settings: Settings, azure: LocalAzure) -> None:
    validated()
    first = [request for request in azure.requests() if request["path"].startswith("/subscriptions")]
    permissions = [request for request in first if request["path"].endswith("/permissions")]
    assert len(first) - len(permissions) <= 9
    # Subscription, hub's VNet, the gateway with its address and its subnet, the spokes' group.
    assert len(permissions) <= 6


def test_rights_that_are_there_are_asked_for_once_for_many(settings: Settings, azure: LocalAzure) -> None:
    validated()
    azure.forget_requests()
    run = recorded(a_run(a_plan(2)))
    assert asyncio.run(validate_config(call_of(run, "validate_config")))["outcome"] == "done"
    assert not [request for request in azure.requests() if request["path"].endswith("/permissions")]


@pytest.mark.parametrize("count", [20, pytest.param(99, marks=pytest.mark.full)])  # the last find what the first read
def test_many_at_once_fit_into_one_bucket_of_reads(settings: Settings, azure: LocalAzure, count: int) -> None:
    time = StandingTime(VirtualClock())  # however slow the machine is: they come at once
    runs = [recorded(a_run(a_plan(number))) for number in range(1, count + 1)]
    with running_on(time), ThreadPoolExecutor(16) as threads:
        outcomes = list(threads.map(lambda run: asyncio.run(validate_config(call_of(run, "validate_config"))), runs))
    assert {outcome["outcome"] for outcome in outcomes} == {"done"}
    # The bucket holds 250, and the stand-in's clock stands still: it is not filled up meanwhile.
    assert len(azure.requests("GET")) < 2 * count


def test_all_findings_are_told_together(settings: Settings, azure: LocalAzure) -> None:
    ids = arm().ids
    azure.lock(ids.hub_group, "CanNotDelete")
    azure.plant(
        {
            "id": ids.vm("vm-1"),
            "name": "vm-1",
            "type": "Microsoft.Compute/virtualMachines",
            "location": "eastus",
            "properties": {"provisioningState": "Succeeded"},
        }
    )
    outcome = validated(vm_size="Standard_XYZ")
    assert codes(outcome) == ["ScopeLocked", "NameTaken", "VmSizeUnknown"]
    assert outcome["failure"]["code"] == "ScopeLocked"
    assert outcome["failure"]["message"].endswith("(and 2 more findings)")


@pytest.mark.parametrize(
    ("status", "code"), [(429, "SubscriptionRequestsThrottled"), (503, "ServerBusy"), (500, "InternalServerError")]
)
def test_a_transient_failure_is_tried_again(settings: Settings, azure: LocalAzure, status: int, code: str) -> None:
    azure.fault(method="GET", path=".*/usages", times=1, mode="refuse", status=status, code=code, retry_after=7)
    outcome = validated()
    assert outcome["outcome"] == "failed"
    assert outcome["failure"]["transient"] is True
    assert outcome["failure"]["retry_after"] == pytest.approx(7)
    assert validated()["outcome"] == "done"


def test_a_changed_setting_is_in_force_after_a_restart(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_AGW_NAME", "another-agw")
    forget_app()
    outcome = validated()
    assert codes(outcome) == ["GatewayNotFound"]
    assert "another-agw" in outcome["failure"]["message"]


def refuse(azure: LocalAzure, path: str, status: int = 403, code: str = "AuthorizationFailed") -> None:
    azure.fault(method="GET", path=path, times=99, mode="refuse", status=status, code=code)


@pytest.mark.parametrize(
    "path", [".*/locks", ".*/usages", ".*/skus", ".*/resources", "/subscriptions/[^/]*/providers/[^/]*/virtualNetworks"]
)
def test_what_may_not_be_read_but_is_not_needed_is_a_warning(settings: Settings, azure: LocalAzure, path: str) -> None:
    refuse(azure, path)
    outcome = validated()
    assert outcome["outcome"] == "done"
    (warning,) = outcome["result"]["warnings"]
    assert "may not read" in warning


@pytest.mark.parametrize("path", [".*/virtualNetworks/hub-vnet", ".*/applicationGateways/hub-agw"])
def test_what_may_not_be_read_and_is_needed_is_an_error_with_a_hint(
    settings: Settings, azure: LocalAzure, path: str
) -> None:
    refuse(azure, path)
    outcome = validated()
    assert codes(outcome) == ["AuthorizationFailed"]
    (finding,) = outcome["failure"]["details"]["findings"]
    assert finding["check"] == "permissions"
    assert "docs/operations.md" in finding["hint"]


def test_without_trusted_sizes_the_vm_is_standard(settings: Settings, azure: LocalAzure) -> None:
    refuse(azure, ".*/skus")
    assert validated()["result"]["security_type"] == "Standard"
    forget_app()
    azure.reset()
    assert validated(vm_size="Standard_DC2as_v5")["result"]["security_type"] == "Standard"


def test_a_refused_token_is_told_once(settings: Settings, azure: LocalAzure) -> None:
    refuse(azure, "/subscriptions/.*", 401, "InvalidAuthenticationToken")
    outcome = validated()
    assert codes(outcome) == ["InvalidAuthenticationToken"]
    assert outcome["failure"]["error"] == "ConfigurationException"


def test_a_credential_that_gives_no_token_is_told_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    forget_app()
    outcome = validated()
    assert codes(outcome) == ["CredentialUnavailable"]
    (finding,) = outcome["failure"]["details"]["findings"]
    assert finding["check"] == "credential"
    assert "managed identity" in finding["hint"]


def test_a_missing_spoke_group_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPOKE_RESOURCE_GROUP", "no-such-rg")
    forget_app()
    outcome = validated(resource_group="no-such-rg")
    assert codes(outcome) == ["ResourceGroupNotFound"]
    assert "no-such-rg" in outcome["failure"]["message"]


def test_a_dropped_connection_is_tried_again(settings: Settings, azure: LocalAzure) -> None:
    azure.fault(method="GET", path=".*/hub-vnet", times=1, mode="drop_reply")
    outcome = validated()
    assert outcome["outcome"] == "failed"
    assert outcome["failure"]["transient"] is True


@pytest.mark.parametrize(("strict", "outcome"), [("false", "done"), ("true", "failed")])
def test_an_unmanaged_overlapping_vnet_is_reported(
    settings: Settings, azure: LocalAzure, monkeypatch: pytest.MonkeyPatch, strict: str, outcome: str
) -> None:
    monkeypatch.setenv("STRICT_ADDRESSES", strict)
    forget_app()
    azure.plant(a_vnet(azure, "unmanaged", "10.11.0.0/20"))
    told = validated()
    assert told["outcome"] == outcome
    assert "10.11.0.0/20 of the VNet unmanaged" in str(told)


def test_an_unmanaged_name_is_refused_and_an_own_one_is_not(settings: Settings, azure: LocalAzure) -> None:
    azure.plant(a_vnet(azure, "spoke-vnet-1", "10.11.1.0/24", tags=our_tags(a_plan(1))))
    assert validated(spoke_id=1)["outcome"] == "done"
    azure.plant(a_vnet(azure, "spoke-vnet-2", "10.11.2.0/24", tags=our_tags(a_plan(2, made_by="deploy-another"))))
    forget_app()
    assert codes(validated(spoke_id=2)) == ["NameTaken"]


def a_vnet(azure: LocalAzure, name: str, prefix: str, **more: Any) -> dict[str, Any]:
    return {
        "id": azure.id_of("hub-rg", "Microsoft.Network/virtualNetworks", name),
        "name": name,
        "type": "Microsoft.Network/virtualNetworks",
        "location": "eastus",
        "properties": {"provisioningState": "Succeeded", "addressSpace": {"addressPrefixes": [prefix]}, "subnets": []},
        **more,
    }


def test_a_plan_says_what_would_be_made_and_found(settings: Settings, azure: LocalAzure) -> None:
    before = azure.resources()
    report = plan_report(a_plan(7), settings)
    assert report.spoke_id == 7
    assert report.would_succeed is True
    assert [check["check"] for check in report.checks] == list(CHECKS)
    assert {check["result"] for check in report.checks} == {"ok"}
    assert report.steps == [step.name for step in STEPS]
    assert report.plan["vnet"]["address_space"] == "10.11.7.0/24"
    assert arm().ids.vm("vm-7") in report.plan["resources"]
    assert "ssh-ed25519" not in str(report)
    assert azure.resources() == before
    assert Records().unfinished_runs() == []


def test_a_plan_that_would_fail_says_why(settings: Settings, azure: LocalAzure) -> None:
    azure.quota(location="eastus", quotas={"cores": 1})
    report = plan_report(a_plan(7), settings)
    assert report.would_succeed is False
    (quota,) = [check for check in report.checks if check["result"] != "ok"]
    assert quota["check"] == "quota"
    assert quota["findings"][0]["message"] == "Quota exceeded for Standard_B2s in eastus: 0 of 1 vCPUs used"


def test_a_plan_sees_what_has_just_been_changed(settings: Settings, azure: LocalAzure) -> None:
    assert plan_report(a_plan(7), settings).would_succeed is True
    azure.quota(location="eastus", restrictions=[{"size": "Standard_B2s", "location": "eastus"}])
    azure.lock(arm().ids.hub_vnet, "ReadOnly")
    bad = [check["check"] for check in plan_report(a_plan(7), settings).checks if check["result"] == "error"]
    assert bad == ["locks", "vm_size"]


def test_a_restriction_that_was_lifted_refuses_no_later_deployment(settings: Settings, azure: LocalAzure) -> None:
    restriction = {"size": "Standard_B2s", "location": "eastus"}
    azure.quota(location="eastus", restrictions=[restriction])
    assert codes(validated()) == ["SkuNotAvailable"]
    azure.quota(location="eastus", restrictions=[restriction | {"remove": True}])
    forget_app()  # another process: deployments that start together in one share what they read
    assert validated()["outcome"] == "done"


def test_what_the_gateways_subnet_and_policies_forbid_is_told_beforehand(settings: Settings, azure: LocalAzure) -> None:
    network = "Microsoft.Network"
    group = {"id": azure.id_of("net-rg", f"{network}/networkSecurityGroups", "agw-nsg"), "location": "eastus"}
    azure.put_on_gateway_subnet("networkSecurityGroup", group)
    route = {"name": "default", "properties": {"addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance"}}
    table = {"id": azure.id_of("net-rg", f"{network}/routeTables", "agw-rt"), "location": "eastus"}
    azure.put_on_gateway_subnet("routeTable", table | {"properties": {"routes": [route]}})
    azure.grant("gateway", f"{arm().ids.subscription}/resourceGroups/net-rg")
    document = azure.find(arm().ids.gateway)
    assert document is not None
    document["properties"] |= {"sslPolicy": {"policyType": "Predefined", "policyName": "AppGwSslPolicy20150501"}}
    azure.plant(document)
    expected = [
        "ApplicationGatewaySubnetInboundTrafficBlockedByNetworkSecurityGroup",
        "ApplicationGatewaySubnetUserDefinedRouteNotAllowed",
        "ApplicationGatewayDeprecatedTlsVersionUsedInSslPolicy",
    ]
    assert codes(validated()) == expected
    report = plan_report(a_plan(), settings)
    assert not report.would_succeed
    (of_gateway,) = (check for check in report.checks if check["check"] == "gateway")
    assert [finding["code"] for finding in of_gateway["findings"]] == expected


@pytest.mark.parametrize("kind", ["networkSecurityGroups", "routeTables"])
def test_a_part_of_the_gateways_subnet_that_may_not_be_read_is_a_warning(
    settings: Settings, azure: LocalAzure, kind: str
) -> None:
    """It lies in a group on which the app has no role."""
    resource = {"id": azure.id_of("net-rg", f"Microsoft.Network/{kind}", "of-agw"), "location": "eastus"}
    azure.put_on_gateway_subnet("networkSecurityGroup" if kind.startswith("n") else "routeTable", resource)
    outcome = validated()
    assert outcome["outcome"] == "done"
    (warning,) = outcome["result"]["warnings"]
    assert "may not read the" in warning
    assert "gateway's subnet" in warning


def with_policy(azure: LocalAzure, version: str, sites: int) -> str:
    """A WAF gateway with a policy, beside the block of old rules that it replaced, and with so many other sites."""
    kind = "Microsoft.Network/ApplicationGatewayWebApplicationFirewallPolicies"
    policy_id = azure.id_of("hub-rg", kind, "waf")
    rules = {"managedRuleSets": [{"ruleSetType": "OWASP", "ruleSetVersion": version}]}
    azure.plant({"id": policy_id, "location": "eastus", "properties": {"managedRules": rules}})
    document = azure.find(arm().ids.gateway)
    assert document is not None
    properties = document["properties"]
    block = {"enabled": True, "firewallMode": "Prevention", "ruleSetType": "OWASP", "ruleSetVersion": "3.0"}
    properties |= {"firewallPolicy": {"id": policy_id}, "webApplicationFirewallConfiguration": block}
    properties["sku"] = {"name": "WAF_v2", "tier": "WAF_v2"}
    for number in range(sites):
        name = f"theirs-{number}"
        settings = properties["backendHttpSettingsCollection"][0]["properties"]
        properties["backendHttpSettingsCollection"].append({"name": name, "properties": dict(settings)})
    azure.plant(document)
    return policy_id


@pytest.mark.parametrize(("version", "expected"), [("3.2", []), ("3.1", ["GatewayFull"])])
def test_a_waf_policy_decides_over_the_block_that_it_replaced(
    settings: Settings, azure: LocalAzure, version: str, expected: list[str]
) -> None:
    with_policy(azure, version, sites=45)
    outcome = validated()
    assert (codes(outcome) if outcome["outcome"] == "failed" else []) == expected


def test_a_waf_policy_that_may_not_be_read_is_a_warning(settings: Settings, azure: LocalAzure) -> None:
    with_policy(azure, "3.1", sites=0)
    refuse(azure, ".*FirewallPolicies/waf")
    outcome = validated()
    assert outcome["outcome"] == "done"
    (warning,) = outcome["result"]["warnings"]
    assert "the limit of 100 is assumed" in warning


def test_a_default_host_name_under_anothers_wildcard_is_refused(
    settings: Settings, azure: LocalAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = azure.find(arm().ids.gateway)
    assert document is not None
    listener = document["properties"]["httpListeners"][0]
    wild = {"name": "wild", "properties": listener["properties"] | {"hostNames": ["*.spokes.example.com"]}}
    document["properties"]["httpListeners"].append(wild)
    azure.plant(document)
    assert codes(validated()) == ["NameTaken"]
    monkeypatch.setenv("AGW_OVERRIDE_WILDCARDS", "true")
    forget_app()
    assert validated()["outcome"] == "done"
    assert validated(host_name="shop.spokes.example.com")["outcome"] == "done"


# --- networks as they are ---

SIX = "fd12:3456:789a"


def changed_hub(azure: LocalAzure, *spaces: str, **subnets: list[str]) -> None:
    """The hub's VNet with further address spaces, and its subnets with these prefixes."""
    hub = azure.find(arm().ids.hub_vnet)
    assert hub is not None
    hub["properties"]["addressSpace"]["addressPrefixes"] += spaces
    azure.plant(hub)
    for name, prefixes in subnets.items():
        named, kind = name.replace("_", "-"), "Microsoft.Network/virtualNetworks/subnets"
        properties = {"addressPrefixes": prefixes, "provisioningState": "Succeeded"}
        subnet = {"id": f"{arm().ids.hub_vnet}/subnets/{named}", "name": named, "type": kind, "properties": properties}
        azure.plant(subnet)


def security_group(azure: LocalAzure) -> dict[str, Any]:
    """The group that `create_nsg` makes, by rule."""
    run = recorded(a_run(a_plan(1)))
    for _ in range(3):
        outcome = asyncio.run(create_nsg(call_of(run, "create_nsg")))
        if outcome["outcome"] != "pending":
            break
        azure.advance(30)
    assert outcome["outcome"] == "done", outcome
    nsg = arm().get(arm().ids.nsg("spoke-nsg-1"))
    assert nsg is not None
    return {rule["name"]: rule["properties"] for rule in nsg["properties"]["securityRules"]}


def test_a_dual_stack_hub_has_nothing_against_a_spoke(settings: Settings, azure: LocalAzure) -> None:
    changed_hub(
        azure,
        f"{SIX}::/48",
        hub_subnet=["10.0.1.0/24", f"{SIX}:1::/64"],
        agw_subnet=[f"{SIX}:2::/64", "10.0.2.0/24"],
    )
    peer = {"remoteVirtualNetwork": {"id": "/v/six"}, "remoteAddressSpace": {"addressPrefixes": ["fd00:1::/48"]}}
    azure.plant(
        a_vnet(azure, "six", "fd00:1::/48"),
        {
            "id": f"{arm().ids.hub_vnet}/virtualNetworkPeerings/to-six",
            "name": "to-six",
            "type": "Microsoft.Network/virtualNetworks/virtualNetworkPeerings",
            "properties": peer | {"peeringState": "Connected", "provisioningState": "Succeeded"},
        },
    )
    report = plan_report(a_plan(1), settings)
    assert {check["result"] for check in report.checks} == {"ok"}
    assert validated()["outcome"] == "done"
    rules = security_group(azure)
    assert rules["AllowGatewayToWeb"]["sourceAddressPrefixes"] == ["10.0.2.0/24"]
    assert rules["AllowSshFromOperators"]["sourceAddressPrefixes"] == ["10.0.1.0/24"]
    assert SIX not in str(rules)


def test_overlapping_lists_make_rules_that_azure_takes(
    settings: Settings, azure: LocalAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed_hub(azure, "10.11.0.0/28", hub_subnet=["10.0.1.0/25", "10.0.1.128/25"])
    for name in ("MANAGEMENT_SOURCE_PREFIXES", "SPOKE_ALLOWED_DESTINATIONS", "SPOKE_DENIED_DESTINATIONS"):
        monkeypatch.setenv(name, "10.0.5.0/24,10.0.0.0/8,20.0.0.0/9,20.128.0.0/9")
    forget_app()
    rules = security_group(azure)
    assert rules["AllowSshFromOperators"]["sourceAddressPrefixes"] == ["10.0.0.0/8", "20.0.0.0/8"]
    assert "20.0.0.0/8" in rules["DenyPrivateOut"]["destinationAddressPrefixes"]


def moved_gateway(azure: LocalAzure, subnet_id: str) -> None:
    gateway = azure.find(arm().ids.gateway)
    assert gateway is not None
    gateway["properties"]["gatewayIPConfigurations"][0]["properties"]["subnet"]["id"] = subnet_id
    azure.plant(gateway)


@pytest.mark.parametrize(
    ("subnet", "code"),
    [("ingress-vnet/subnets/agw", "GatewayOutsideHub"), ("hub-vnet/subnets/gone", "GatewaySubnetNotFound")],
)
def test_a_gateway_without_a_subnet_in_the_hub_is_found_before_anything_is_built(
    settings: Settings, azure: LocalAzure, subnet: str, code: str
) -> None:
    moved_gateway(azure, azure.id_of("hub-rg", "Microsoft.Network/virtualNetworks", subnet))
    report = plan_report(a_plan(1), settings)
    assert report.would_succeed is False
    outcome = validated()
    assert codes(outcome) == [code]
    (finding,) = outcome["failure"]["details"]["findings"]
    assert finding["hint"]
    refused = asyncio.run(create_nsg(call_of(recorded(a_run(a_plan(1))), "create_nsg")))
    assert refused["failure"]["code"] == code, "no group without the rule for the gateway"


def test_a_gateway_subnet_of_ipv6_alone_is_found(settings: Settings, azure: LocalAzure) -> None:
    changed_hub(azure, f"{SIX}::/48", agw_subnet=[f"{SIX}:2::/64"])
    assert codes(validated()) == ["GatewaySubnetHasNoIPv4"]


def test_a_hub_without_operators_is_a_warning(settings: Settings, azure: LocalAzure) -> None:
    changed_hub(azure, f"{SIX}::/48", hub_subnet=[f"{SIX}:1::/64"])
    outcome = validated()
    assert outcome["outcome"] == "done"
    assert "hub-subnet without an IPv4 prefix" in outcome["result"]["warnings"][0]
    assert "AllowSshFromOperators" not in security_group(azure)


@pytest.mark.parametrize(("kind", "of"), [("nat", "natGateways"), ("route", "routeTables")])
def test_a_way_out_of_another_region_is_found_before_anything_is_built(
    settings: Settings, azure: LocalAzure, monkeypatch: pytest.MonkeyPatch, kind: str, of: str
) -> None:
    resource_id = azure.id_of("hub-rg", f"Microsoft.Network/{of}", "out")
    monkeypatch.setenv("SPOKE_OUTBOUND", f"{kind}:{resource_id}")
    forget_app()
    properties = {"provisioningState": "Succeeded", "publicIpAddresses": [{"id": f"{resource_id}-ip"}]}
    azure.plant(
        {"id": resource_id, "name": "out", "type": f"Microsoft.Network/{of}", "location": "westeurope"}
        | {"properties": properties}
    )
    assert codes(validated()) == ["OutboundInAnotherRegion"]
    assert validated(spoke_id=2, location="westeurope")["outcome"] == "done"
    elsewhere = resource_id.replace(azure.subscription_id, "00000000-0000-4000-8000-000000000009")
    monkeypatch.setenv("SPOKE_OUTBOUND", f"{kind}:{elsewhere}")
    forget_app()
    assert codes(validated()) == ["OutboundInAnotherSubscription"]


def test_a_hub_gateway_that_is_not_ready_is_a_warning(settings: Settings, azure: LocalAzure) -> None:
    subnet_id = f"{arm().ids.hub_vnet}/subnets/GatewaySubnet"
    used = [{"name": "default", "properties": {"subnet": {"id": subnet_id}}}]
    gateway = {
        "id": azure.id_of("hub-rg", "Microsoft.Network/virtualNetworkGateways", "vpn"),
        "name": "vpn",
        "type": "Microsoft.Network/virtualNetworkGateways",
        "location": "eastus",
        "properties": {"ipConfigurations": used, "provisioningState": "Updating"},
    }
    subnet = {"addressPrefix": "10.0.9.0/24", "provisioningState": "Succeeded"}
    kind = "Microsoft.Network/virtualNetworks/subnets"
    azure.plant({"id": subnet_id, "name": "GatewaySubnet", "type": kind, "properties": subnet}, gateway)
    (warning,) = validated()["result"]["warnings"]
    assert "virtual network gateway vpn is Updating" in warning
    refuse(azure, ".*/virtualNetworkGateways/vpn")
    forget_app()
    (warning,) = validated()["result"]["warnings"]
    assert "may not read" in warning
