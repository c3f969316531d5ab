"""What holds for every test."""

import logging
from pathlib import Path

import pytest

from shared.process import logs

SHORT = Path(__file__).parent / "unit"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files of all folders mixed, so that some workers wait for their servers while others compute; the short ones last, so
    that no worker is alone for long."""
    folders: dict[Path, list[Path]] = {}
    for path in dict.fromkeys(item.path for item in items):
        folders.setdefault(path.parent, []).append(path)
    place = {
        path: (folder == SHORT, number / len(paths))
        for folder, paths in folders.items()
        for number, path in enumerate(paths)
    }
    items.sort(key=lambda item: place[item.path])


@pytest.fixture(autouse=True)
def levels_of_our_loggers() -> None:
    """Each test begins with the levels that Python starts with: settings of an earlier one have raised or lowered them."""
    for name in logs.OUR_LOGGERS:
        logging.getLogger(name).setLevel(logging.NOTSET)
