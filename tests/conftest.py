"""What holds for every test."""

import logging
import re

import pytest
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

from shared.process import logs

SHORT = "tests/unit"
# Files whose tests share what only one worker makes then: the stack of tests/e2e, the Bicep compiler, and the deployments and
# deletes in the second of two hubs that the fault matrix begins with.
TOGETHER = re.compile(
    r"tests/(e2e/test_(azd_hooks|hostile_starts|main_job|many_spokes)|infra/test_(deployment|documents)|faults/test_matrix\w*)\.py"
)


def unit_of(nodeid: str) -> str:
    """What one worker takes, one test after the other: a file, or files of a folder that share something."""
    file = nodeid.partition("::")[0]
    return f"{file.rpartition('/')[0]}/together" if TOGETHER.fullmatch(file) else file


class Units(LoadFileScheduling):  # type: ignore[misc]  # its base has no types
    """`--dist loadfile` with some files as one."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Units | None:
    return Units(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The units of all folders mixed, so that some workers wait for their servers while others compute; the short ones last, so
    that no worker is alone for long."""
    folders: dict[str, list[str]] = {}
    for unit in dict.fromkeys(unit_of(item.nodeid) for item in items):
        folders.setdefault(unit.rpartition("/")[0], []).append(unit)
    place = {
        unit: (folder == SHORT, number / len(units))
        for folder, units in folders.items()
        for number, unit in enumerate(units)
    }
    items.sort(key=lambda item: place[unit_of(item.nodeid)])


@pytest.fixture(autouse=True)
def levels_of_our_loggers() -> None:
    """Each test begins with the levels that Python starts with: settings of an earlier one have raised or lowered them."""
    for name in logs.OUR_LOGGERS:
        logging.getLogger(name).setLevel(logging.NOTSET)
