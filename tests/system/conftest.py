"""What several system tests need: files by which they and a server's tools tell each other, and threads for calls."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from tests.fixtures.pending import Marks


@pytest.fixture
def marks(tmp_path: Path) -> Marks:
    """Makes paths of files that a tool is to write, or to wait for."""
    numbers = count()
    return lambda: tmp_path / f"mark-{next(numbers)}"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool
