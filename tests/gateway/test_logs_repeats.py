"""A line that comes over and over: the first few of a second are written, the others counted."""

import logging
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest

from gateway.logs_repeats import MAX_LINES, PER_SECOND, Repeats


class Log:
    """A filter, its clock, and what came through."""

    def __init__(self) -> None:
        self.now = 100.0
        self.written: list[logging.LogRecord] = []
        self._repeats = Repeats(lambda: self.now)

    def say(self, text: str, count: int = 1, level: int = logging.INFO, **fields: Any) -> list[logging.LogRecord]:
        """Log it so often; returns what was written of it."""
        written = []
        for _ in range(count):
            record = logging.makeLogRecord({"name": "onegate.auth", "levelno": level, "msg": text, **fields})
            if self._repeats.filter(record):
                written.append(record)
        return written


def test_the_first_few_of_a_second_are_written_and_the_next_one_later_says_how_many_are_missing() -> None:
    log = Log()
    assert len(log.say("not let in", 100)) == PER_SECOND
    log.now += 1
    first, second = log.say("not let in", 2)
    assert vars(first)["left_out"] == 100 - PER_SECOND
    assert "left_out" not in vars(second)


def test_what_is_missing_is_kept_until_the_line_comes_again() -> None:
    log = Log()
    log.say("not let in", 10)
    for _ in range(5):
        log.now += 1
        log.say("something else")
    log.now += 1
    (again,) = log.say("not let in")
    assert vars(again)["left_out"] == 10 - PER_SECOND


def test_lines_that_differ_in_a_field_or_level_do_not_hide_each_other() -> None:
    log = Log()
    log.say("not let in", 100, status=401)
    assert len(log.say("not let in", status=403)) == 1
    assert len(log.say("not let in", level=logging.WARNING, status=401)) == 1


def test_debug_level_shows_everything() -> None:
    assert len(Log().say("x", 100, level=logging.DEBUG)) == 100


def test_a_flood_of_lines_that_all_differ_is_bounded_too() -> None:
    log = Log()
    written = sum(len(log.say(f"line {number}")) for number in range(3 * MAX_LINES))
    assert written == MAX_LINES + PER_SECOND


def test_memory_of_what_is_missing_is_bounded() -> None:
    log = Log()
    for second in range(30):
        log.now += 1
        for number in range(MAX_LINES // 10):
            log.say(f"{second} {number}", PER_SECOND + 1)
    log.now += 1
    log.say("x")
    assert len(log._repeats._left_out) == MAX_LINES


@pytest.fixture
def _busy_threads() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_busy_threads")
def test_threads_that_log_at_once_do_not_trip_over_each_other() -> None:
    seconds = count()
    repeats = Repeats(lambda: next(seconds) / 3)

    def say(name: str) -> int:
        record = logging.makeLogRecord({"name": name, "levelno": logging.INFO, "msg": "x"})
        return sum(repeats.filter(record) for _ in range(5_000))

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(say, "abcd"))
