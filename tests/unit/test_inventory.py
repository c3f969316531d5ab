"""Every part of a spoke stands in the inventory: a part, name, id or undo that was added without it fails here by its name."""

import inspect

import pytest

from shared.checks.subjects.names import parts_as_made
from shared.recovery.orphans import orphans_among
from shared.saga.steps import STEPS, UNDOS
from shared.spoke.inventory import TAGGED, named_by, parts
from shared.spoke.plan import our_tags
from shared.spoke.resource_ids import ResourceIds, name_of, type_of
from tests.activities.azure_stand_in import a_plan, part_names

IDS = ResourceIds("sub", "hub-rg", "hub-vnet", "hub-agw", "spoke-rg")
PLAN = a_plan(7)
PARTS = parts(PLAN, IDS)
ID_METHODS = [name for name, value in vars(ResourceIds).items() if inspect.isfunction(value) and name[0] != "_"]


@pytest.mark.parametrize("undo", [undo.name for undo in UNDOS])
def test_every_undo_removes_parts_owned_in_one_way(undo: str) -> None:
    ways = {part.owned_by for part in PARTS if part.undo == undo} - {"parent"}
    assert len(ways) == 1, f"parts() in shared/spoke/inventory.py says of {undo}: {ways or 'nothing'}"


def test_parts_go_in_the_order_of_the_undos() -> None:
    assert list(dict.fromkeys(part.undo for part in PARTS)) == [undo.name for undo in UNDOS]


@pytest.mark.parametrize("name", part_names(PLAN))
def test_every_name_of_the_plan_is_the_name_of_a_part(name: str) -> None:
    assert getattr(PLAN, name) in {name_of(part.id) for part in PARTS}, f"parts() doesn't use SpokePlan.{name}"


@pytest.mark.parametrize("method", [name for name in ID_METHODS if name != "of"])
def test_every_kind_of_id_is_the_id_of_a_part(method: str) -> None:
    make = getattr(IDS, method)
    kind = type_of(make(*["name"] * len(inspect.signature(make).parameters)))
    assert kind in {type_of(part.id) for part in PARTS}, f"parts() doesn't use ResourceIds.{method}"


def test_tagged_parts_are_deleted_as_orphans_in_the_order_in_which_they_can_go() -> None:
    tagged = [part.id for part in PARTS if part.owned_by == "tags"]
    assert [type_of(each).rsplit("/", 1)[-1].lower() for each in tagged] == list(TAGGED)
    found = orphans_among([{"id": each, "tags": our_tags(PLAN)} for each in sorted(tagged)], set())
    assert [orphan["resource"] for orphan in found] == tagged
    assert [orphan["resource"] for orphan in found if not orphan["is_part_of_a_spoke"]] == []


def test_the_order_of_making_is_that_of_the_steps() -> None:
    order = [undo for step in STEPS for undo in step.undos]
    assert list(dict.fromkeys(part.undo for part in parts_as_made(PLAN, IDS))) == order
    assert {part.id for part in parts_as_made(PLAN, IDS)} == {part.id for part in PARTS}


def test_an_undo_without_parts_names_nothing() -> None:
    """Such an undo fails a test above; a delete works all the same."""
    assert named_by("undo_without_parts", PLAN, IDS) == []
