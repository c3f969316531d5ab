"""A running stack that several files share, and stacks of one's own for tests that need other settings or stop it."""

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from local.processes import last_lines
from local.stack import Stack
from tests.conftest import unit_of
from tests.e2e.client import Api

# Real Azure's pace is 1: at this one the 45 s of a VM are 0.18 s.
TIME_SCALE = 0.004
# Places for spokes on the shared stack's gateway. The hub's default pool, settings and listener take one more.
PLACES = 15

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


@pytest.fixture(scope="session")
def stack(start_stack: StartStack) -> Stack:
    """The app on a local Azure, shared by the tests of several files: each takes spoke ids and names of its own.

    No answer of /health is shared: what a test has changed shows at once.
    """
    return start_stack(settings={"AGW_LIMIT": str(PLACES + 1), "HEALTH_FRESH_SECONDS": "0"})


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Stops the shared stack after its last test: its timers would be work for as long as the session lasts."""
    stack = getattr(item, "funcargs", {}).get("stack")
    if isinstance(stack, Stack) and not (nextitem and unit_of(nextitem.nodeid) == unit_of(item.nodeid)):
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
