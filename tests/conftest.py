"""What holds for every test."""

import logging

import pytest

from shared.process import logs


@pytest.fixture(autouse=True)
def levels_of_our_loggers() -> None:
    """Each test begins with the levels that Python starts with: settings of an earlier one have raised or lowered them."""
    for name in logs.OUR_LOGGERS:
        logging.getLogger(name).setLevel(logging.NOTSET)
