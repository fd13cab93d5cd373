"""What every test finds as it was: logging, which commands that run in the tests' own process set up for themselves."""

import logging
from collections.abc import Iterator

import pytest

ROOT = "onegate"


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root, own = logging.getLogger(), logging.getLogger(ROOT)
    handlers, level, own_level = list(root.handlers), root.level, own.level
    yield
    # pytest's own handlers come and go by themselves; what a test has added or taken away is put back.
    root.handlers[:] = handlers
    root.setLevel(level)
    own.setLevel(own_level)
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if name.startswith(f"{ROOT}.") and isinstance(logger, logging.Logger):
            logger.setLevel(logging.NOTSET)
