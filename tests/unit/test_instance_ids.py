"""Every instance id is made in one place, tells what it is of, and is one that every Durable backend takes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.saga.instances import (
    LONGEST_INSTANCE_ID,
    deployment_id,
    is_run_id,
    is_step_of,
    is_writer_id,
    step_instance_id,
    writer_id,
)
from shared.saga.steps import CHILDREN
from shared.spoke.names import sanitize_name

KINDS = ["deploy", "delete", "rollback"]
WRITERS = ["gateway", "hub"]
GATEWAY_NAMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,78}[A-Za-z0-9_])?", fullmatch=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_deployment_id_tells_kind_client_and_time(kind: str) -> None:
    assert deployment_id(kind, "acme-corp", 1733888400, "1f3a") == f"{kind}-acme-corp-1733888400-1f3a"


@given(st.text(max_size=100), st.sampled_from(KINDS), st.sampled_from(CHILDREN), st.integers(1, 999_999))
def test_no_id_of_a_run_is_too_long_whatever_the_client_is_called(name: str, kind: str, step: str, number: int) -> None:
    run = deployment_id(kind, sanitize_name(name), 99_999_999_999, "ffff")
    child = step_instance_id(run, step, number)
    assert is_run_id(run)
    assert child.startswith(f"{run}:{step}"), "the run's id is short enough to stand in its children's"
    assert len(child) <= LONGEST_INSTANCE_ID
    assert is_step_of(run, step, child)


@pytest.mark.parametrize("step", CHILDREN)
def test_the_longest_client_name_fits_before_every_step(step: str) -> None:
    ids = {deployment_id(kind, "a" * 62 + end, 1733888400, "1f3a") for kind in KINDS for end in "bc"}
    assert len(ids) == 6, "names that differ only in what is cut have ids that differ"
    assert max(len(step_instance_id(run, step, 999_999)) for run in ids) <= LONGEST_INSTANCE_ID


@given(GATEWAY_NAMES, st.integers(1, 999_999))
def test_writers_ids_differ_by_name_and_generation_and_fit(name: str, generation: int) -> None:
    for which in WRITERS:
        made = writer_id(which, name, generation)
        assert len(made) <= LONGEST_INSTANCE_ID
        assert is_writer_id(made)
        assert (made == writer_id(which, name)) == (generation == 1)
        assert made == writer_id(which, name.upper(), generation), "Azure's names differ by more than their letter case"


def test_no_two_names_give_one_writers_id() -> None:
    names = ["a" * 79 + "b", "a" * 79 + "c", "a", "a-2", "a.2"]
    assert len({writer_id(which, name, n) for which in WRITERS for name in names for n in (1, 2)}) == 20


@given(st.text(min_size=90, max_size=400), st.sampled_from(CHILDREN))
def test_a_run_id_of_any_length_has_children_whose_ids_fit(run: str, step: str) -> None:
    assert len(step_instance_id(run, step, 999_999)) <= LONGEST_INSTANCE_ID


@pytest.mark.parametrize(
    "text",
    [
        "",
        "deploy-acme",
        "deploy-acme-1-abcd:create_vm",
        "deploy-acme-1-abcd/..",
        "deploy-acme-1-abcd\n",
        "DEPLOY-acme-1-abcd",
        "deploy-acme-1-ABCD",
        "deploy-acme-١-abcd",
        "gateway-hub-agw",
        "deploy-" + "a" * 90 + "-1-abcd",
    ],
)
def test_what_is_no_runs_id_is_told_by_its_form(text: str) -> None:
    assert not is_run_id(text)


@pytest.mark.parametrize(
    "text", ["", "gateway-", "hub-x:0", "hub-x:02", "hub-x:-1", "hub-x:2:2", "gateway-x#", "Gateway-x", "hub-x\n"]
)
def test_what_is_no_writers_id_is_told_by_its_form(text: str) -> None:
    assert not is_writer_id(text)


@pytest.mark.parametrize(
    "instance_id",
    ["r:create_nic", "r:create_vm:0", "r:create_vm:02", "r:create_vm:٢", "r:create_vm:x", "q:create_vm", "r", ""],
)
def test_a_step_is_of_the_run_that_its_id_names(instance_id: str) -> None:
    assert re.match("r:create_vm", step_instance_id("r", "create_vm", 2))
    assert not is_step_of("r", "create_vm", instance_id)
