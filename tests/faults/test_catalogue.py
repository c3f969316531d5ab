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
    go_together,
    mixed_runs,
    ordinary,
    pairs_of,
    runs_of,
    step_of,
    way_of,
)
from tests.faults.layouts import LAYOUTS

RUNS_OF = {"deploy": {"deploy"}, "delete": {"delete", "rollback"}}


def met(*runs: str) -> set[tuple[str, str]]:
    """The calls of these runs, and the kinds that they meet in the ordinary run."""
    return {(call, case.kind.name) for case in ordinary() if case.run in runs for call in case.calls}


def test_what_may_end_a_run_meets_every_caller() -> None:
    pairs = [pair for matrix in MATRICES.values() for pair in pairs_of(matrix)]
    possible = {(caller_of(call), kind.name) for call, kind in pairs if not kind.passes}
    assert {(caller_of(call), kind) for call, kind in met("deploy", "delete", "rollback")} == possible


@pytest.mark.parametrize("matrix", MATRICES)
def test_what_may_end_a_run_meets_every_way_of_calling_and_every_call(matrix: str) -> None:
    possible = {(way_of(call), kind.name) for call, kind in pairs_of(MATRICES[matrix]) if not kind.passes}
    assert {(way_of(call), kind) for call, kind in met(*RUNS_OF[matrix])} == possible
    assert {call for call, _ in met(*RUNS_OF[matrix])} == set(calls_of(MATRICES[matrix]))


@pytest.mark.parametrize("matrix", MATRICES)
def test_every_caller_of_a_deployment_and_of_a_delete_meets_something_in_it(matrix: str) -> None:
    assert {caller_of(call) for call, _ in met(*RUNS_OF[matrix])} == set(MATRICES[matrix])


def test_deletes_and_rollbacks_meet_some_calls_each() -> None:
    assert all(met(run) for run in ("delete", "rollback"))


def test_every_caller_and_every_kind_is_met_in_each_layout() -> None:
    for layout in LAYOUTS:
        cases = [case for case in ordinary() if case.layout is layout]
        assert {caller_of(call) for case in cases for call in case.calls} == {*DEPLOY, *DELETE}
        assert {case.kind.name for case in cases} == {kind.name for kind in KINDS if not kind.passes}


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
def test_what_a_step_meets_in_one_run_goes_together(matrix: Matrix) -> None:
    for run in mixed_runs(matrix):
        for step in {step_of(call) for call, _ in run}:
            assert go_together([(call, kind) for call, kind in run if step_of(call) == step])
