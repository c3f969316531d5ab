"""What the docs name exists: routes, codes, and the files that they link to."""

import re
from pathlib import Path

import pytest

from triggers.http.openapi import openapi_document

ROOT = Path(__file__).parents[2]
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Codes are words with at least two capitals: `SpokeInUse`, not `Connected`.
CODE = re.compile(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`")
OUR_ERRORS = {
    "StorageException",
    "ValidationException",
    "AzureResourceException",
    "ConfigurationException",
    "DeploymentException",
    "AllowGatewayToWeb",
}


def source() -> str:
    folders = ("activities", "orchestrators", "shared", "triggers")
    return "".join(file.read_text(encoding="utf-8") for folder in folders for file in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("page", ["troubleshooting.md", "api.md"])
def test_each_code_of_a_guide_is_one_that_the_app_knows(page: str) -> None:
    named = set(CODE.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))) - OUR_ERRORS
    known = set(re.findall(r'"([A-Z]\w+)"', source()))
    assert len(named) > 10
    # The codes of two rights are Azure's own and come through as they are.
    assert named - known <= {"AuthorizationFailed", "LinkedAuthorizationFailed"}


def test_the_quick_reference_has_every_route_and_no_other() -> None:
    text = (ROOT / "docs" / "quick-reference.md").read_text(encoding="utf-8")
    called = {re.sub(r"(?<=/)(\d+|<\w+>|\$\w+)", "{}", path) for path in re.findall(r"\$API(/[\w/<>.$-]*)", text)}
    routes = {re.sub(r"\{\w+\}", "{}", path) for path in openapi_document()["paths"]}
    assert called == routes


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_a_link_leads_to_a_file(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
