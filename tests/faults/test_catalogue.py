"""What the ordinary run takes of the fault matrix of rollbacks and deletes is enough."""

from collections.abc import Callable

import pytest

from tests.faults.catalogue import (
    DELETE,
    KINDS,
    caller_of,
    calls_of,
    goes_of,
    ordinary_goes,
    pairs_of,
    pairwise,
    step_of,
    way_of,
)

GOES = 4


@pytest.mark.parametrize("factor", [caller_of, way_of])
def test_what_may_end_a_run_meets_every_caller_and_every_way_of_calling(factor: Callable[[str], str]) -> None:
    possible = {(factor(call), kind.name) for call, kind in pairs_of(DELETE) if not kind.passes}
    assert {(factor(call), kind) for call, kind in pairwise(DELETE)} == possible


@pytest.mark.parametrize("factor", [step_of, way_of])
def test_what_passes_meets_every_step_and_every_way_of_calling(factor: Callable[[str], str]) -> None:
    possible = {(factor(call), kind.name) for call, kind in pairs_of(DELETE) if kind.passes}
    met = {
        (factor(fault.call), kind.name)
        for kind in KINDS
        if kind.passes
        for go, faults in enumerate(goes_of(DELETE, kind, GOES))
        if go in ordinary_goes(kind, GOES)
        for fault in faults
    }
    assert met == possible


def test_every_call_is_in_the_ordinary_run() -> None:
    assert {call for call, _ in pairwise(DELETE)} == set(calls_of(DELETE))
