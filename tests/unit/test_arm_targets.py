"""Which targets get a request with the app's token: ARM's host, and ids that name what they seem to name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.arm.targets import RefusedTargetError, url_of

PUBLIC = "https://management.azure.com"
LOCAL = "https://127.0.0.1:8443"
VM = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/vm"
OPERATION = (
    "/subscriptions/s/providers/Microsoft.Network/locations/eastus/operations/1?api-version=2024-05-01&t=6%2Bx%3d"
)


@pytest.mark.parametrize(
    ("target", "endpoint"),
    [
        (PUBLIC + OPERATION, PUBLIC),
        ("HTTPS://Management.Azure.COM" + OPERATION, PUBLIC),
        (f"https://management.azure.com:443{OPERATION}", PUBLIC),
        (f"https://eastus.management.azure.com{OPERATION}", PUBLIC),
        (f"https://west-europe2.management.azure.com:443{OPERATION}", PUBLIC),
        (PUBLIC, PUBLIC),
        (f"{PUBLIC}?x=1", PUBLIC),
        (LOCAL + OPERATION, LOCAL),
        (f"https://[::1]:8443{OPERATION}", "https://[::1]:8443"),
        (f"https://localhost{OPERATION}", "https://localhost:443/"),
    ],
)
def test_urls_of_arm_are_replayed_verbatim(target: str, endpoint: str) -> None:
    assert url_of(target, endpoint) == target


HOSTILE_HOSTS = [
    "https://evil.example.com",
    "https://127.0.0.1:9443",
    "https://management.azure.com@evil.example.com",
    "https://user:pw@management.azure.com",
    "https://management.azure.com.evil.example.com",
    "https://evilmanagement.azure.com",
    "https://management.azure.com.",
    "https://management.azure.com:8443",
    "https://management.azure.com:",
    "https://.management.azure.com",
    "https://x..management.azure.com",
    "http://management.azure.com",
    "ftp://management.azure.com",
    "https:////management.azure.com",
    "https:///management.azure.com",
    "https://evil.example.com\\@management.azure.com",
    "https://management.azure.com\\.evil.example.com",
    "https://evil.example.com#@management.azure.com",
    "https://evil.example.com?@management.azure.com",
    "https://management.azure.com%2eevil.example.com",
    "https://management%2eazure%2ecom",
    "https://m\u0430nagement.azure.com",
    "https://management\u3002azure\u3002com",
    "https://management.azure.com\u2044evil.example.com",
    "https://\tevil.example.com",
    "https://management.azure.com\n.evil.example.com",
    " https://management.azure.com",
    "https://eastus.management.azure.com.evil.example.com",
    "https://[::ffff:127.0.0.1]",
    "https://2130706433",
    "https://",
    "https",
]


@pytest.mark.parametrize("host", HOSTILE_HOSTS)
@pytest.mark.parametrize("endpoint", [PUBLIC, LOCAL])
def test_no_other_host_gets_a_request(host: str, endpoint: str) -> None:
    with pytest.raises(RefusedTargetError):
        url_of(host + OPERATION, endpoint)


def test_regional_hosts_are_arms_in_public_azure_only() -> None:
    with pytest.raises(RefusedTargetError):
        url_of(f"https://eastus.management.azure.com{OPERATION}", "https://management.usgovcloudapi.net")


@pytest.mark.parametrize(
    "tail",
    ["#x", "\\x", "/../vm2", "/..", "/./x", "/%2e%2e/x", "/%252E%252e/x", "/%2E./x", "/a%00", "/a\n", "/%5cx", "/%23x"],
)
def test_an_operations_path_is_checked_like_an_id(tail: str) -> None:
    with pytest.raises(RefusedTargetError):
        url_of(f"{PUBLIC}/subscriptions/s{tail}", PUBLIC)


@pytest.mark.parametrize("query", ["x={a}", "x={a}/evil.example.com/y", "x=}", "x=1#y", "x=\\", "x=\n", "x= y"])
def test_an_operations_query_holds_nothing_that_parsers_read_otherwise(query: str) -> None:
    with pytest.raises(RefusedTargetError):
        url_of(f"{PUBLIC}/subscriptions/s?{query}", PUBLIC)


@pytest.mark.parametrize("name", ["hub..vnet", "..vnet", "vnet..", "a.b", "...", "vm_1", "grüße-rg", "a%20b", "(rg)"])
def test_names_with_dots_and_other_letters_are_names(name: str) -> None:
    assert url_of(f"/subscriptions/s/resourceGroups/{name}", PUBLIC).endswith(name)


@pytest.mark.parametrize(
    "target",
    [
        "",
        "subscriptions/s",
        "@evil.example.com/x",
        ".evil.example.com/x",
        ":8443/x",
        "//evil.example.com/x",
        "\\\\evil.example.com\\x",
        f"{VM}/{{x}}",
        f"{VM}/%7Bx%7D",
        f"{VM}?x=",
        f"{VM}?x=/virtualNetworkPeerings/p",
        f"{VM}%3Fx=",
        f"{VM}%253Fx=",
        f"{VM}#",
        f"{VM}%23",
        f"{VM}\\..\\vm2",
        f"{VM}/../vm2",
        f"{VM}/..",
        f"{VM}/.",
        f"{VM}/.. /vm2",
        f"{VM}/%2e%2e/vm2",
        f"{VM}/.%2E/vm2",
        f"{VM}/%252e%252e/vm2",
        f"{VM}/%25252e%25252e%25252fvm2",
        f"{VM}/..%2fvm2",
        f"{VM}/..%5cvm2",
        f"{VM}/\uff0e\uff0e/vm2",
        f"{VM}/%ef%bc%8e%ef%bc%8e/vm2",
        f"{VM}/%c0%ae%c0%ae/vm2",
        f"{VM}\x00",
        f"{VM}%00",
        f"{VM}\r\nHost: evil.example.com",
        f"{VM}%0d%0aHost:evil",
        f"{VM}\u2028",
        f"{VM}\ud800",
        f"{VM}%{'25' * 20}2e",
    ],
)
def test_an_id_that_names_something_else_is_refused(target: str) -> None:
    with pytest.raises(RefusedTargetError):
        url_of(target, PUBLIC)


@given(st.text(), st.sampled_from([PUBLIC, LOCAL]))
def test_whatever_the_target_is_its_request_goes_to_arm(text: str, endpoint: str) -> None:
    """Judged by another parser: the one that the HTTP client sends with."""
    from azure.core.pipeline.transport._base import _format_url_section
    from urllib3.util import parse_url

    for target in (text, f"/{text}", f"https://{text}", f"https://management.azure.com{text}"):
        try:
            accepted = url_of(target, endpoint)
        except RefusedTargetError:
            continue
        assert _format_url_section(accepted) == accepted, "the SDK fills nothing in"
        url, ours = parse_url(accepted), parse_url(endpoint)
        assert url.scheme == "https"
        assert url.auth is None
        assert (url.host, url.port or 443) == (ours.host, ours.port or 443)
