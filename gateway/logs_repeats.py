"""Keeps a flood of one line from filling the disk: so many of it each second, the others are counted.

Pure but for its clock; knows records of `logging`, not what they mean.
"""

import logging
import threading
import time
from collections.abc import Callable, Hashable
from typing import Final

PER_SECOND: Final = 5  # of lines that say the same: enough to see that it is no single event
MAX_LINES: Final = 1_000  # that are told apart within one second; more of them count as one


class Repeats(logging.Filter):
    """Lets the first few equal lines of a second through; the next one after it says how many are missing.

    At debug level everything passes: whoever asks for that wants to see it all.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = (
            threading.Lock()
        )  # of handlers only `emit` is guarded, and threads of exporters and the audit log too
        self._second = -1
        self._seen: dict[Hashable, int] = {}
        self._left_out: dict[Hashable, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written; one that follows others left out gets their number as ``left_out``."""
        if record.levelno <= logging.DEBUG:
            return True
        line = (record.name, record.levelno, record.msg, str(record.args), str(_fields(record)))
        with self._lock:
            return self._passes(record, line)

    def _passes(self, record: logging.LogRecord, line: Hashable) -> bool:
        self._turn()
        if line not in self._seen and len(self._seen) >= MAX_LINES:
            line = (record.name, record.levelno)
        self._seen[line] = self._seen.get(line, 0) + 1
        if self._seen[line] > PER_SECOND:
            return False
        if missing := self._left_out.pop(line, 0):
            record.left_out = missing
        return True

    def _turn(self) -> None:
        second = int(self._clock())
        if second == self._second:
            return
        self._second = second
        for line, count in self._seen.items():
            if count > PER_SECOND:
                self._left_out[line] = self._left_out.get(line, 0) + count - PER_SECOND
        while len(self._left_out) > MAX_LINES:
            del self._left_out[next(iter(self._left_out))]
        self._seen = {}


_STANDARD: Final = frozenset(vars(logging.makeLogRecord({})))


def _fields(record: logging.LogRecord) -> list[tuple[str, object]]:
    return [(name, value) for name, value in vars(record).items() if name not in _STANDARD]
