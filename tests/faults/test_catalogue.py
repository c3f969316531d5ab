"""What the ordinary run takes of the fault matrix is enough."""

from collections.abc import Callable

import pytest

from tests.faults.catalogue import (
    DELETE,
    DEPLOY,
    KINDS,
    MATRICES,
    Matrix,
    caller_of,
    calls_of,
    mixed_runs,
    ordinary,
    pairs_of,
    runs_of,
    step_of,
    way_of,
)
from tests.faults.layouts import LAYOUTS

RUNS_OF = {"deploy": {"deploy"}, "delete": {"delete", "rollback"}}
ENDING = {kind.name for kind in KINDS if not kind.passes}
Case = tuple[str, str, str]


def test_what_may_end_a_run_meets_every_caller() -> None:
    pairs = [pair for matrix in MATRICES.values() for pair in pairs_of(matrix)]
    possible = {(caller_of(call), kind.name) for call, kind in pairs if not kind.passes}
    assert {(caller_of(call), kind) for _, call, kind in ordinary()} == possible


@pytest.mark.parametrize("matrix", MATRICES)
def test_what_may_end_a_run_meets_every_way_of_calling_and_every_call(matrix: str) -> None:
    chosen = [(call, kind) for run, call, kind in ordinary() if run in RUNS_OF[matrix]]
    possible = {(way_of(call), kind.name) for call, kind in pairs_of(MATRICES[matrix]) if not kind.passes}
    assert {(way_of(call), kind) for call, kind in chosen} == possible
    assert {call for call, _ in chosen} == set(calls_of(MATRICES[matrix]))


@pytest.mark.parametrize("matrix", MATRICES)
def test_every_caller_of_a_deployment_and_of_a_delete_meets_something_in_it(matrix: str) -> None:
    met = {caller_of(call) for run, call, _ in ordinary() if run in RUNS_OF[matrix]}
    assert met == set(MATRICES[matrix])


def test_deletes_and_rollbacks_each_meet_everything_that_may_end_a_run() -> None:
    for run in ("deploy", "delete", "rollback"):
        assert {kind for where, _, kind in ordinary() if where == run} == ENDING


@pytest.mark.parametrize("factor", [lambda case: caller_of(case[1]), lambda case: case[2]])
def test_every_caller_and_every_kind_is_met_in_each_layout(factor: Callable[[Case], str]) -> None:
    met = {(factor(case), layout.name) for case, layout in ordinary().items()}
    assert met == {(factor(case), layout.name) for case in ordinary() for layout in LAYOUTS}


@pytest.mark.parametrize("matrix", [DEPLOY, DELETE])
@pytest.mark.parametrize("factor", [step_of, way_of])
def test_what_passes_meets_every_step_and_every_way_of_calling(matrix: Matrix, factor: Callable[[str], str]) -> None:
    possible = {(factor(call), kind.name) for call, kind in pairs_of(matrix) if kind.passes}
    met = {(factor(call), kind.name) for run in mixed_runs(matrix) for call, kind in run}
    assert met == possible


@pytest.mark.parametrize(("matrix", "count"), [(DEPLOY, 5), (DELETE, 4)])
def test_what_passes_meets_every_call_in_the_full_run(matrix: Matrix, count: int) -> None:
    runs = [run for kind in KINDS if kind.passes for run in runs_of(matrix, kind, count)]
    assert {(call, kind.name) for run in runs for call, kind in run} == {
        (call, kind.name) for call, kind in pairs_of(matrix) if kind.passes
    }


@pytest.mark.parametrize("matrix", [DEPLOY, DELETE])
def test_no_run_meets_two_faults_at_one_step(matrix: Matrix) -> None:
    for run in mixed_runs(matrix):
        assert len({step_of(call) for call, _ in run}) == len(run)
