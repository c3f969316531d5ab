"""A running stack for the tests of a module, and stacks of one's own for tests that need other settings or stop it."""

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from local.processes import last_lines
from local.stack import Stack
from tests.e2e.client import Api

# Real Azure's pace is 1: at this one the 45 s of a VM are 0.45 s.
TIME_SCALE = 0.01

StartStack = Callable[..., Stack]


@pytest.fixture(scope="session")
def start_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartStack]:
    """Starts a stack with a state directory of its own, or with a given one; the options are Stack's. Stopped at the end
    of the session at the latest: use `with start_stack(...) as stack` to have it stopped earlier."""
    with ExitStack() as stacks:

        def start(**options: Any) -> Stack:
            state = options.pop("state", None) or tmp_path_factory.mktemp("stack")
            stack = Stack(state, **({"time_scale": TIME_SCALE} | options))
            stacks.callback(stack.stop)
            stack.start()
            return stack

        yield start


@pytest.fixture(scope="module")
def stack(start_stack: StartStack) -> Iterator[Stack]:
    """The app on a fresh local Azure, shared by the tests of a module: each takes spoke ids and names of its own."""
    stack = start_stack()
    yield stack
    stack.stop()


@pytest.fixture(scope="module")
def api(stack: Stack) -> Iterator[Api]:
    with Api(stack) as client:
        yield client


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows the last lines that its stack's processes have logged."""
    report = yield
    stack = getattr(item, "funcargs", {}).get("stack")
    if report.failed and isinstance(stack, Stack):
        for log in sorted(stack.logs.glob("*.log")):
            report.sections.append((f"last lines of {log.name}", last_lines(log, 30)))
    return report
