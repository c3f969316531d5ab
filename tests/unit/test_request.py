"""What callers may send, and what they are told when they may not."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import example, given
from hypothesis import strategies as st

from shared.data import as_data, from_data
from shared.errors import ValidationException
from shared.settings import settings_from
from shared.spoke.plan import SpokePlan, our_tags
from shared.spoke.request.model import (
    check_against_settings,
    check_reserved,
    plan_from,
    spoke_request,
)
from shared.spoke.request.ssh_keys import checked_ssh_public_key

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = settings_from(
    {
        "AZURE_SUBSCRIPTION_ID": "00000000-0000-0000-0000-000000000001",
        "HUB_RESOURCE_GROUP": "hub-rg",
        "HUB_VNET_NAME": "hub-vnet",
        "HUB_AGW_NAME": "hub-agw",
        "TASK_HUB": "HubSpokeTest",
        "SPOKE_DOMAIN": "spokes.example.com",
        "SPOKE_DOMAINS": "spokes.example.com,apps.example.org",
        "TABLES_ENDPOINT": "https://account.table.core.windows.net",
    }
)


def sample(name: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((ROOT / "samples" / f"{name}.json").read_text(encoding="utf-8"))
    return body


ACME = sample("acme-corp")


def planned(**changes: Any) -> SpokePlan:
    request = check_against_settings(spoke_request(ACME | changes), SETTINGS)
    return plan_from(request, SETTINGS, request.spoke_id or 77, "deploy-acme-corp-1-abcd")


def refusal(**changes: Any) -> ValidationException:
    with pytest.raises(ValidationException) as refused:
        planned(**changes)
    return refused.value


def public_key(key: Any) -> str:
    text: bytes = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return text.decode()


@pytest.mark.parametrize("name", ["acme-corp", "minimal", "with-cloud-init"])
def test_the_samples_are_accepted(name: str) -> None:
    body = sample(name)
    request = check_against_settings(spoke_request(body), SETTINGS)
    assert request.as_body() == body


def test_the_older_form_means_the_same() -> None:
    body = sample("v1-acme")
    request = spoke_request(body, v1=True)
    assert (request.vm_name, request.vm_size) == (body["vm"]["name"], body["vm"]["size"])
    assert (request.spoke_id, request.address_prefix) == (3, "10.11.3.0/24")
    with pytest.raises(ValidationException) as refused:
        spoke_request(body | {"vm": body["vm"] | {"name": "-"}}, v1=True)
    assert refused.value.failure.details["field"] == "vm.name"


def test_a_plan_holds_every_name_and_address() -> None:
    plan = planned()
    assert plan.vnet_name == "spoke-vnet-1"
    assert plan.address_prefix == "10.11.1.0/24"
    assert [name for name, _ in plan.subnets] == ["web-subnet-1", "app-subnet-1", "db-subnet-1", "management-subnet-1"]
    assert (plan.nic_name, plan.os_disk_name) == ("acme-vm-prod-nic", "acme-vm-prod-osdisk")
    assert (plan.backend_pool_name, plan.routing_rule_name) == ("acme-corp-pool", "acme-corp-route")
    assert plan.host_name == "acme-corp.spokes.example.com"
    assert (plan.location, plan.resource_group) == ("eastus", "hub-rg")
    assert from_data(SpokePlan, json.loads(json.dumps(as_data(plan)))) == plan


def test_callers_choose_names_within_limits() -> None:
    plan = planned(
        location="West Europe",
        vnet_name="acme-net",
        backend_pool_name="acme.pool_",
        routing_rule_name="r",
        host_name="shop.apps.example.org",
        address_prefix="10.11.9.0/24",
        tags={"cost": "4711"},
    )
    assert (plan.location, plan.vnet_name, plan.host_name) == ("westeurope", "acme-net", "shop.apps.example.org")
    assert (plan.spoke_id, plan.address_prefix) == (1, "10.11.9.0/24")
    assert our_tags(plan)["cost"] == "4711"


def test_the_block_decides_the_id_when_none_is_given() -> None:
    body = {name: value for name, value in ACME.items() if name != "spoke_id"} | {"address_prefix": "10.11.42.0/24"}
    assert check_against_settings(spoke_request(body), SETTINGS).spoke_id == 42


@pytest.mark.parametrize(
    "spoke_id", ["one", "1", True, 1.0, 1.5, float("inf"), float("nan"), 0, -1, 256, 10**30, 10**4000, [1], {}]
)
def test_the_id_must_be_a_whole_number_of_the_range(spoke_id: Any) -> None:
    refused = refusal(spoke_id=spoke_id)
    assert refused.failure.details["field"] == "spoke_id"
    assert refused.failure.message.startswith("spoke_id ")
    assert len(json.dumps(refused.failure.public(), allow_nan=False)) < 600


@pytest.mark.parametrize(
    ("field", "value", "part"),
    [
        ("client_name", "", "empty"),
        ("client_name", "!!!", "letter"),
        ("client_name", "a/b", "/"),
        ("client_name", "a\\b", "/"),
        ("client_name", "a#b", "#"),
        ("client_name", "a?b", "?"),
        ("client_name", "a\nb", "control"),
        ("client_name", "a\x85b", "control"),
        ("client_name", "a" * 129, "128"),
        ("client_name", "\ud800a", "surrogate"),
        ("client_name", 5, "string"),
        ("client_name", None, "string"),
        ("vm_name", "-acme", "letters"),
        ("vm_name", "acme_vm", "letters"),
        ("vm_name", "1234", "digits"),
        ("vm_name", "a" * 65, "64"),
        ("vm_name", "acme\n", "letters"),
        ("vm_size", "Standard B2s", "Standard_B2s"),
        ("admin_username", "root", "Azure"),
        ("admin_username", "Azureuser", "lower-case"),
        ("admin_username", "1abc", "lower-case"),
        ("location", "east/us", "region"),
        ("vnet_name", "HUB-VNET", "hub"),
        ("vnet_name", "a", "2 to 64"),
        ("backend_pool_name", "a pool", "letters"),
        ("routing_rule_name", "rule-", "letters"),
        ("host_name", "acme.example.net", "SPOKE"),
        ("host_name", "spokes.example.com", "SPOKE"),
        ("host_name", "*.spokes.example.com", "wildcard"),
        ("host_name", "Acme.spokes.example.com", "lower-case"),
        ("host_name", "evilspokes.example.com", "SPOKE"),
        ("address_prefix", "10.11.0.0/24", "first block"),
        ("address_prefix", "10.11.1.0/25", "exactly one"),
        ("tags", {"Deployment_ID": "x"}, "this service"),
        ("tags", {"a": "1", "A": "2"}, "Azure takes them for one"),
        ("tags", {"Microsoft.x": "1"}, "Azure's"),
        ("tags", {"azure": "1"}, "Azure's"),
        ("tags", {"WINDOWS_version": "1"}, "Azure's"),
        ("tags", {"a<b": "1"}, "must have names"),
        ("tags", {"": "1"}, "must have names"),
        ("tags", {"a": "x" * 257}, "256"),
        ("tags", {"a": "\U0001f600" * 129}, "256"),
        ("tags", {str(number): "" for number in range(47)}, "46"),
        ("tags", ["a"], "object"),
        ("cloud_init", "ä" * 12289, "24"),
        ("cloud_init", "a\0", "NUL"),
        ("unknown", 1, "not a field"),
        ("VM_NAME", "a", "not a field"),
    ],
)
def test_what_is_refused_is_named_with_a_sentence(field: str, value: Any, part: str) -> None:
    failure = refusal(**{field: value}).failure
    assert failure.details["field"] == field
    assert part.replace("SPOKE", "spokes.example.com") in failure.message
    assert failure.message.endswith(".")
    json.dumps(failure.public()).encode()


def test_all_mistakes_are_told_together() -> None:
    with pytest.raises(ValidationException) as refused:
        spoke_request({"client_name": "", "vm_name": 5, "spoke_id": "one"})
    errors = refused.value.failure.details["errors"]
    assert {error["field"] for error in errors} == {
        "client_name",
        "vm_name",
        "vm_size",
        "admin_username",
        "ssh_public_key",
        "spoke_id",
    }
    assert "5 more" in refused.value.failure.message


@pytest.mark.parametrize(
    "tags", [{str(number): "v" * 256 for number in range(46)}, {"n" * 512: ""}, {"a": "\U0001f600" * 128}]
)
def test_tags_up_to_azures_limits_are_accepted(tags: dict[str, str]) -> None:
    assert planned(tags=tags).tags == tags


def test_cloud_init_of_24_kib_is_accepted() -> None:
    assert planned(cloud_init="x" * 24 * 1024).cloud_init == "x" * 24 * 1024


# --- SSH keys ---


@pytest.mark.parametrize("bits", [2048, 3072])
def test_rsa_keys_are_accepted(bits: int) -> None:
    key = public_key(rsa.generate_private_key(65537, bits).public_key())
    assert checked_ssh_public_key(f"{key} someone@example.com \n") == f"{key} someone@example.com"


def test_ed25519_keys_are_accepted() -> None:
    key = public_key(ed25519.Ed25519PrivateKey.generate().public_key())
    assert checked_ssh_public_key(key) == key


def test_a_short_rsa_key_is_refused() -> None:
    key = public_key(rsa.generate_private_key(65537, 1024).public_key())  # noqa: S505 - to be refused
    with pytest.raises(ValueError, match="1024 bits"):
        checked_ssh_public_key(key)


def test_other_kinds_of_keys_are_refused() -> None:
    elliptic = public_key(ec.generate_private_key(ec.SECP256R1()).public_key())
    for key in (elliptic, "ssh-dss AAAAB3NzaC1kc3MAAACBAM", f"ssh-rsa-cert-v01@openssh.com {elliptic.split()[1]}"):
        with pytest.raises(ValueError, match="begin with ssh-rsa or ssh-ed25519"):
            checked_ssh_public_key(key)


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "ssh-rsa",
        "ssh-rsa AAAAB3NzaC1yc2E",
        "ssh-rsa not-base64!",
        ACME["ssh_public_key"].replace("ssh-ed25519", "ssh-rsa"),
        ACME["ssh_public_key"] + "\n" + ACME["ssh_public_key"],
        'command="rm -rf /" ' + ACME["ssh_public_key"],
        ACME["ssh_public_key"].split()[0] + " " + ACME["ssh_public_key"].split()[1] + "====",
        "ssh-ed25519 " + "A" * 68,
    ],
)
def test_a_broken_key_is_refused(broken: str) -> None:
    assert refusal(ssh_public_key=broken).failure.details["field"] == "ssh_public_key"


def test_a_private_key_is_refused_and_not_repeated() -> None:
    private = (
        ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    )
    failure = refusal(ssh_public_key=private).failure
    assert "private key" in failure.message
    assert private.splitlines()[1][:10] not in json.dumps(failure.public())


@pytest.mark.parametrize(
    "changes",
    [
        {"cloud_init": 5, "ssh_public_key": "ssh-rsa hunter2"},
        {"cloud_init": ["hunter2"]},
        {"cloud_init": "hunter2\0"},
        {"cloud_init": "hunter2" * 5000},
        {"cloudinit": "hunter2"},
        {"vm_name": "#cloud-config hunter2"},
        {"host_name": "ssh-ed25519 hunter2"},
        {"location": "-----BEGIN OPENSSH PRIVATE KEY-----hunter2"},
        {"tags": "#!/bin/sh hunter2"},
    ],
)
def test_no_refusal_shows_a_secret_in_whichever_field_it_was_sent(changes: dict[str, Any]) -> None:
    assert "hunter2" not in json.dumps(refusal(**changes).failure.public())
    vm = {"name": "vm-1", "size": "Standard_B2s", "admin_username": "azureuser", "ssh_public_key": "hunter2"}
    with pytest.raises(ValidationException) as refused:
        spoke_request(sample("v1-acme") | {"vm": vm} | changes, v1=True)
    assert "hunter2" not in json.dumps(refused.value.failure.public())


# --- whatever is sent ---

NAMES = [*ACME, "location", "vnet_name", "host_name", "address_prefix", "tags", "cloud_init", "backend_pool_name"]
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=70),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=9), JSON_VALUES, max_size=6))
@example({"client_name": "\ud800", "tags": {"\udfff": "\ud800"}})
def test_any_body_gives_a_plan_or_a_refusal(changes: dict[str, Any]) -> None:
    try:
        plan = planned(**changes)
    except ValidationException as refused:
        text = json.dumps(refused.failure.public())
        assert len(text) < 20_000
    else:
        assert from_data(SpokePlan, as_data(plan)) == plan
        assert not set("/\\#?") & set(plan.client_name + plan.vm_name + plan.host_name + plan.vnet_name)


@given(JSON_VALUES)
def test_any_older_body_gives_a_request_or_a_refusal(vm: Any) -> None:
    try:
        spoke_request(sample("v1-acme") | {"vm": vm}, v1=True)
    except ValidationException as refused:
        assert refused.failure.details["field"].startswith("vm")  # noqa: PT017 - nothing else can be wrong


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"client_name": "login"}, "client_name"),
        ({"client_name": "  WWW! "}, "client_name"),
        ({"client_name": "MTA_STS"}, "client_name"),
        ({"host_name": "admin.spokes.example.com"}, "host_name"),
        ({"host_name": "mail.acme.spokes.example.com"}, "host_name"),
    ],
)
def test_reserved_names_are_refused(changes: dict[str, Any], field: str) -> None:
    request = check_against_settings(spoke_request(ACME | changes), SETTINGS)
    with pytest.raises(ValidationException) as refused:
        check_reserved(request, SETTINGS)
    assert refused.value.failure.code == "ReservedName"
    assert refused.value.failure.details["field"] == field
    check_reserved(request, replace(SETTINGS, reserved_clients=()))


@pytest.mark.parametrize("client", ["login-page", "wwww", "my-api", "acme-corp"])
def test_names_that_only_hold_a_reserved_one_are_taken(client: str) -> None:
    check_reserved(spoke_request(ACME | {"client_name": client}), SETTINGS)
