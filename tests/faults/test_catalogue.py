"""What the ordinary run takes of the fault matrix is enough."""

from collections.abc import Callable

import pytest

from tests.faults.catalogue import (
    DELETE,
    DEPLOY,
    KINDS,
    FaultKind,
    caller_of,
    calls_of,
    goes_of,
    goes_shared_out,
    layouts_of,
    ordinary_goes,
    pairs_of,
    pairwise,
    shared_out,
    step_of,
    way_of,
)
from tests.faults.layouts import LAYOUTS

Matrix = dict[str, tuple[str, ...]]
GOES = [(DEPLOY, 5), (DELETE, 4)]


@pytest.mark.parametrize("matrix", [DEPLOY, DELETE])
@pytest.mark.parametrize("factor", [caller_of, way_of])
def test_what_may_end_a_run_meets_every_caller_and_every_way_of_calling(
    matrix: Matrix, factor: Callable[[str], str]
) -> None:
    possible = {(factor(call), kind.name) for call, kind in pairs_of(matrix) if not kind.passes}
    assert {(factor(call), kind) for call, kind in pairwise(matrix)} == possible


def test_deletes_and_rollbacks_share_the_pairs() -> None:
    halves = set(shared_out(DELETE, "delete")), set(shared_out(DELETE, "rollback"))
    assert halves[0] | halves[1] == set(pairwise(DELETE))
    for half in halves:
        assert {caller_of(call) for call, _ in half} == set(DELETE)
        assert {kind for _, kind in half} == {kind.name for kind in KINDS if not kind.passes}


@pytest.mark.parametrize(("matrix", "goes"), GOES)
@pytest.mark.parametrize("factor", [step_of, way_of])
def test_what_passes_meets_every_step_and_every_way_of_calling(
    matrix: Matrix, goes: int, factor: Callable[[str], str]
) -> None:
    possible = {(factor(call), kind.name) for call, kind in pairs_of(matrix) if kind.passes}
    met = {
        (factor(fault.call), kind.name)
        for kind in KINDS
        if kind.passes
        for go, faults in enumerate(goes_of(matrix, kind, goes))
        if go in ordinary_goes(matrix, kind, goes)
        for fault in faults
    }
    assert met == possible


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.passes], ids=lambda kind: kind.name)
def test_deletes_and_rollbacks_share_the_runs_of_what_passes(kind: FaultKind) -> None:
    halves = [goes_shared_out(DELETE, kind, 4, run) for run in ("delete", "rollback")]
    assert all(halves), "each meets it"
    assert set.union(*halves) == ordinary_goes(DELETE, kind, 4)
    assert not set.intersection(*halves)


@pytest.mark.parametrize("matrix", [DEPLOY, DELETE])
def test_every_call_is_in_the_ordinary_run(matrix: Matrix) -> None:
    assert {call for call, _ in pairwise(matrix)} == set(calls_of(matrix))


@pytest.mark.parametrize("chosen", [pairwise(DEPLOY), pairwise(DELETE)])
@pytest.mark.parametrize("factor", [lambda pair: caller_of(pair[0]), lambda pair: pair[1]])
def test_every_caller_and_every_kind_is_met_in_each_layout(
    chosen: list[tuple[str, str]], factor: Callable[[tuple[str, str]], str]
) -> None:
    layouts = layouts_of(chosen)
    assert set(layouts) == set(chosen), "one layout for each, so that the ordinary run is no longer than before"
    assert {(factor(pair), layout.name) for pair, layout in layouts.items()} == {
        (factor(pair), layout.name) for pair in chosen for layout in LAYOUTS
    }
