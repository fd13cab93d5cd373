"""Leaves no child behind when the gateway is killed: a helper process that outlives it by a moment. Knows pids only.

The helper holds the read end of a pipe whose only write end is here; the kernel closes it however this process ends.
"""

import atexit
import contextlib
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

log = logging.getLogger("onegate.upstream")

HELPER = Path(__file__).with_name("watchdog_process.py")
CLOSE_SECONDS = 1.0  # the helper's own grace is 0.3 s
LINKER_NAMES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # what an interpreter may need to start; no secrets


class Watchdog:
    """The helper of this process: told which process groups to end should this process vanish."""

    def __init__(self) -> None:
        self.pid: int | None = None  # of the helper, while it runs
        self.owner = os.getpid()
        self._lock = threading.Lock()
        self._groups: set[int] = set()
        self._helper: subprocess.Popen[bytes] | None = None
        self._closed = False

    def guard(self, pgid: int) -> None:
        """From now on the group ends with this process."""
        with self._lock:
            self._groups.add(pgid)
            self._tell(b"+%d\n" % pgid)

    def release(self, pgid: int) -> None:
        """The group is gone; its number may soon be another's."""
        with self._lock:
            if pgid in self._groups:
                self._groups.discard(pgid)
                self._tell(b"-%d\n" % pgid)

    def close(self) -> None:
        """End the helper, and with it the groups that were not released."""
        with self._lock:
            self._closed = True
            if self._helper is not None:
                self._end_helper(self._helper)

    def _tell(self, line: bytes) -> None:
        if sys.platform == "win32" or self._closed:
            return
        if self._helper is None:
            self._start()
        elif not self._written(line):
            log.warning("the process that guards child processes is gone; starting another")
            self._end_helper(self._helper)
            self._start()

    def _start(self) -> None:
        try:
            self._helper = subprocess.Popen(  # noqa: S603 - our own file, no shell
                [sys.executable, "-I", "-S", str(HELPER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                cwd="/",  # hold no folder
                env={name: os.environ[name] for name in LINKER_NAMES if name in os.environ},
                start_new_session=True,  # what kills our group must not kill it
            )
        except OSError as exc:
            log.warning("child processes are not guarded against a kill of the gateway: %s", exc)
            return
        self.pid = self._helper.pid
        if self._helper.stdin is not None:
            os.set_blocking(self._helper.stdin.fileno(), False)  # a helper that stands still must not stop us
        self._written(b"".join(b"+%d\n" % group for group in self._groups))

    def _written(self, lines: bytes) -> bool:
        pipe = self._helper.stdin if self._helper is not None else None
        if pipe is None:
            return False
        try:
            return pipe.write(lines) == len(lines)
        except (OSError, ValueError):
            return False

    def _end_helper(self, helper: subprocess.Popen[bytes]) -> None:
        self._helper, self.pid = None, None
        if helper.stdin is not None:
            with contextlib.suppress(OSError):
                helper.stdin.close()
        try:
            helper.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            helper.kill()
            helper.wait(CLOSE_SECONDS)


_watchdog: Watchdog | None = None


def watchdog() -> Watchdog:
    """The one of this process; a forked process gets its own."""
    global _watchdog
    if _watchdog is None or _watchdog.owner != os.getpid():
        _watchdog = Watchdog()
        atexit.register(_watchdog.close)
    return _watchdog
