"""What the docs name exists: routes, codes, and the files that they link to."""

import json
import re
from pathlib import Path

import pytest

import function_app  # noqa: F401 - it declares the routes
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
    assert sorted(called ^ routes) == [], "docs/quick-reference.md and the routes differ in these"


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_a_link_leads_to_a_file(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def _expanded(action: str) -> set[str]:
    """`virtualNetworks/{read,write}` as the actions that it stands for."""
    head, _, ends = action.partition("{")
    found = {head + end for end in ends.rstrip("}").split(",")} if ends else {action}
    return {each if each.startswith("Microsoft.") else f"Microsoft.Network/{each}" for each in found}


def test_the_table_of_rights_is_that_of_the_role_files() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[`([\w-]+)`\]\(\.\./infra/roles/\S+\) \|[^|]+\| (.+) \|$", text, re.MULTILINE)
    table = {role: set().union(*map(_expanded, re.findall(r"`([^`]+)`", actions))) for role, actions in rows}
    files = {
        path.stem: {each["action"] for each in json.loads(path.read_text(encoding="utf-8"))["actions"]}
        for path in (ROOT / "infra" / "roles").glob("*.json")
    }
    differ = {role: sorted(table.get(role, set()) ^ files.get(role, set())) for role in table | files}
    assert not any(differ.values()), f"the table of rights in docs/operations.md and infra/roles differ in {differ}"
    assert set(table) == set(files)


PACKAGES = sorted(
    {
        file.parent
        for folder in ("triggers", "orchestrators", "activities", "shared")
        for file in (ROOT / folder).rglob("*.py")
    }
)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: str(package.relative_to(ROOT)))
def test_a_package_is_on_the_map_and_small_enough_to_learn(package: Path) -> None:
    modules = [file.stem for file in package.glob("*.py") if file.stem != "__init__"]
    assert len(modules) <= 7, modules
    name = package.relative_to(ROOT).as_posix()
    assert f"| `{name}/` |" in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8") or name == "shared"
