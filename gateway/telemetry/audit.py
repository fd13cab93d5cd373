"""The audit log at work: a bounded queue of lines, and the thread that writes them in batches.

The event loop only appends to a list; it never waits, and it refuses calls for whose lines there is no room. How a line
looks and what a file is, the modules beside it know.

Why lines are made on the loop and not in the thread: both share one processor (the interpreter's lock), a line costs
less than to hand a request over, and only a made line has a size to count. They are made some at a time, as one between
other work costs three times what one in a row does.
"""

import asyncio
import logging
import threading
from collections import deque
from contextlib import suppress
from typing import Final

from gateway.telemetry.audit_file import AuditFile
from gateway.telemetry.audit_line import Lines
from gateway.telemetry.observer import Use

log = logging.getLogger("onegate.mcp")

MAX_LINES: Final = 50_000  # some seconds of a busy gateway: a disk that is away for longer is no hiccup
MAX_BYTES: Final = 64 * 2**20  # what calls in flight still bring comes over it; they hold as much already
MAX_RECORDS: Final = 32  # that become lines together: a tenth of a millisecond of the loop
MAX_BATCH: Final = 2**20  # bytes of one write, but for a line that is longer by itself
COLLECT_SECONDS: Final = 0.03  # a busy gateway does not pay a change of thread for each call
RETRY_SECONDS: Final = 1.0
LAST_RETRY_SECONDS: Final = 0.05  # while somebody waits for the end


Record = tuple[Use, str, float, float]
"""What a line is made from: see `AuditSink.write`."""


class AuditLog:
    """One audit file and what waits for it; see `AuditSink`. It starts its thread when there is something to do."""

    def __init__(self, file: AuditFile, lines: Lines, most: tuple[int, int] = (MAX_LINES, MAX_BYTES)) -> None:
        """``most`` lines and bytes are kept for a file that cannot be written."""
        self._file = file
        self._line = lines.line
        self._large = lines.large
        self._records: deque[Record] = deque()
        self._max_lines, self._max_bytes = most
        self._queue: deque[bytes] = deque()
        # No lock: each number is changed by one thread only, these by the loop's,
        self._reserved = self._taken_bytes = 0
        # these by the one that writes.
        self._written = self._written_bytes = 0
        self._batch = (0, 0)
        self._failing = self._told_full = False
        self._thread: threading.Thread | None = None
        self._wake, self._reopen, self._ending, self._dropped = (threading.Event() for _ in range(4))

    def reserve(self) -> bool:
        """See `AuditSink`."""
        if (
            self._reserved - self._written >= self._max_lines
            or self._taken_bytes - self._written_bytes >= self._max_bytes
        ):
            self._tell_full()
            return False
        self._reserved += 1
        return True

    def write(self, use: Use, outcome: str, seconds: float, now: float) -> None:
        """See `AuditSink`."""
        self._records.append((use, outcome, seconds, now))
        if self._large or len(self._records) >= MAX_RECORDS or self._ending.is_set():
            self._make_lines()
        elif len(self._records) == 1:
            self._make_lines_soon()

    def reopen(self) -> None:
        """Go on in the file that now has the name, from the next batch on: the present one was renamed."""
        self._make_lines()
        self._reopen.set()
        self._rouse()

    def retire(self) -> None:
        """Reserve no more, and close the file once every reserved line is written."""
        self._max_lines = 0
        self._ending.set()
        self._make_lines()
        self._rouse()

    @property
    def gone(self) -> bool:
        """Whether it has retired, and its file is closed."""
        return self._ending.is_set() and (self._thread is None or not self._thread.is_alive())

    def ended(self, seconds: float) -> bool:
        """Wait for the end of one that retires, no longer than so long; what is not written then, is lost."""
        if self._thread is not None:
            self._thread.join(seconds)
        if self.gone:
            return True
        self._dropped.set()
        self._wake.set()
        left = self._reserved - self._written
        if left:
            log.error("the audit log ends with %d lines unwritten: %s", left, self._file.path)
        else:
            log.warning("the audit file was not known to be on its disk in time: %s", self._file.path)
        return False

    def _make_lines_soon(self) -> None:
        try:
            asyncio.get_running_loop().call_later(COLLECT_SECONDS, self._make_lines)
        except RuntimeError:  # a command that ends, outside the loop
            self._make_lines()

    def _make_lines(self) -> None:
        """Make lines of what has ended; at the end from another thread, while a timer of the loop may do the same."""
        with suppress(IndexError):
            while True:
                line = self._line(*self._records.popleft())
                self._queue.append(line)
                self._taken_bytes += len(line)
        if self._queue and not self._wake.is_set():
            self._rouse()

    def _tell_full(self) -> None:
        if not self._told_full and not self._ending.is_set():
            self._told_full = True
            log.error("the audit log is full, calls are refused until it is written: %s", self._file.path)

    def _rouse(self) -> None:
        if self._thread is None or not (self._thread.is_alive() or self._ending.is_set()):
            thread = threading.Thread(target=self._run, name="audit", daemon=True)
            thread.start()  # where that fails, the next line tries again
            self._thread = thread
        self._wake.set()

    def _run(self) -> None:
        while not self._over():
            self._wake.wait()
            self._ending.wait(COLLECT_SECONDS)
            self._wake.clear()  # first: what comes during the work wakes again
            while not self._work() and not self._over():
                if self._ending.wait(RETRY_SECONDS):
                    self._dropped.wait(LAST_RETRY_SECONDS)
        self._file.close()

    def _over(self) -> bool:
        return self._dropped.is_set() or (self._ending.is_set() and self._written == self._reserved)

    def _work(self) -> bool:
        """Write all that waits; False when something is left to do because it failed."""
        problem = self._take_fresh_file() if self._reopen.is_set() else None
        try:
            self._flush()
            while self._queue:
                self._file.put(self._next())
                self._flush()
        except OSError as exc:
            problem = exc
        if problem is not None and not self._failing:
            log.error("the audit file cannot be opened or written: %s: %s", self._file.path, problem.strerror)
        elif problem is None and self._failing:
            log.warning("the audit file is written again: %s", self._file.path)
        self._failing = problem is not None
        self._told_full = self._told_full and self._failing
        return problem is None

    def _take_fresh_file(self) -> OSError | None:
        self._reopen.clear()  # first: another rotation may come meanwhile
        try:
            self._file.reopen()
        except OSError as exc:
            self._reopen.set()  # lines go on into the old one
            return exc
        return None

    def _next(self) -> bytes:
        """The next lines to write, as many as one write takes."""
        batch: list[bytes] = []
        size = 0
        while self._queue and (not batch or size + len(self._queue[0]) <= MAX_BATCH):
            batch.append(self._queue.popleft())
            size += len(batch[-1])
        self._batch = (len(batch), size)
        return b"".join(batch)

    def _flush(self) -> None:
        self._file.flush()
        lines, size = self._batch
        self._batch = (0, 0)
        self._written += lines
        self._written_bytes += size
