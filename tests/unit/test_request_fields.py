"""A field of a request gets all the way to what is built from it: a part that was forgotten is named."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from shared.spoke.plan import SpokePlan
from shared.spoke.request.model import SpokeRequest

ROOT = Path(__file__).resolve().parents[2]
REQUEST = ROOT / "shared" / "spoke" / "request"
PLAN = ROOT / "shared" / "spoke" / "plan.py"


def text_of(paths: list[Path]) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


IN_REQUEST = text_of(sorted(REQUEST.glob("*.py")))
BUILDERS = text_of(
    [
        path
        for folder in ("activities", "shared")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if REQUEST not in path.parents and path != PLAN
    ]
)
# What the plan says of itself in its properties.
OF_ITSELF = text_of([PLAN])
# For those who read the row: a spoke is found by the hub whose partition has it.
ONLY_STORED = {"hub"}


@pytest.mark.parametrize("name", SpokeRequest.model_fields)
def test_a_field_of_a_request_is_read(name: str) -> None:
    assert re.search(rf"\brequest\.{name}\b", IN_REQUEST), f"plan_from() doesn't hand on SpokeRequest.{name}"


@pytest.mark.parametrize("name", [each.name for each in fields(SpokePlan) if each.name not in ONLY_STORED])
def test_a_field_of_the_plan_is_used(name: str) -> None:
    used = re.search(rf"\bplan\.{name}\b", BUILDERS) or re.search(rf"\b(self|plan)\.{name}\b", OF_ITSELF)
    assert used, f"no document in shared/spoke/documents is made of SpokePlan.{name}"
