"""Names in Azure follow from a client's name, and are always legal there."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.spoke import names as naming
from shared.spoke.names import sanitize_name
from shared.spoke.request.model import plan_from, spoke_request
from tests.unit.test_request import ACME, SETTINGS

DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@pytest.mark.parametrize(
    ("name", "sanitized"),
    [
        ("Acme Corp! 2024", "acme-corp-2024"),
        ("Acme Corp!", "acme-corp"),
        ("acme-corp", "acme-corp"),
        ("ACME_CORP", "acme-corp"),
        ("-acme-", "acme"),
        ("_ 7 of 9 _", "7-of-9"),
        ("Müller & Söhne", "mller--shne"),
        ("a" * 70, "a" * 63),
        ("a" * 62 + "-b", "a" * 62),
        ("x", "x"),
    ],
)
def test_a_name_is_sanitized(name: str, sanitized: str) -> None:
    assert sanitize_name(name) == sanitized


@given(st.text())
def test_any_name_becomes_a_dns_label(name: str) -> None:
    assert DNS_LABEL.fullmatch(sanitize_name(name))


@given(st.text())
def test_sanitizing_twice_changes_nothing(name: str) -> None:
    once = sanitize_name(name)
    assert sanitize_name(once) == once


@given(st.text(alphabet="!?*()[]äöü株", min_size=0, max_size=10))
def test_a_name_of_which_nothing_is_left_gets_the_same_stem_every_time(name: str) -> None:
    assert naming.stem_of(name) == ""
    assert sanitize_name(name) == sanitize_name(name)
    assert DNS_LABEL.fullmatch(sanitize_name(name))


def test_names_without_a_stem_differ() -> None:
    assert sanitize_name("!") != sanitize_name("?")
    assert sanitize_name("\ud800") != sanitize_name("")


@given(st.text())
def test_names_of_gateway_elements_are_legal(name: str) -> None:
    plan = plan_from(spoke_request(ACME).model_copy(update={"client_name": name}), SETTINGS, 7, "deploy-acme-7-aaaa")
    for element in plan.site_names.by_collection().values():
        assert re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,78}[a-z0-9_]", element)
