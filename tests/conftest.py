"""What every test finds: logging as it was, which commands that run in the tests' own process set up for themselves;
and where several processes share the tests (pytest -n), no other test beside one that is marked `alone`.
"""

import logging
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = "onegate"
TURNS = pytest.StashKey[Any]()


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):  # one of several processes
        from tests.fixtures.turns import Turns  # Windows, where they run in one, has not what it needs

        config.stash[TURNS] = Turns(Path(config.option.basetemp).parent)  # each has its folder in the run's own


def pytest_unconfigure(config: pytest.Config) -> None:
    if TURNS in config.stash:
        config.stash[TURNS].close()


# First, so that a test's time limit begins when it has its turn.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    if TURNS not in item.config.stash:
        return (yield)
    turns, alone = item.config.stash[TURNS], _is_alone(item)
    turns.alone() if alone else turns.beside_others()
    try:
        return (yield)
    finally:
        # Several in a row are one turn: to let one test of the others in between would be to wait for it each time.
        if not (alone and nextitem is not None and _is_alone(nextitem)):
            turns.leave()


def _is_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    return _in_utf8((yield))


def _in_utf8(part: Any) -> Any:
    """What a test printed or compared may hold half a character, which the pipe between the processes does not take."""
    match part:
        case str():
            return part.encode("utf-8", "backslashreplace").decode()
        case dict():
            return {name: _in_utf8(value) for name, value in part.items()}
        case list() | tuple():
            return [_in_utf8(one) for one in part]
    return part


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
