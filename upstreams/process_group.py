"""A child process and all that it started, as one thing to signal. Knows pids only: no pipes, no waiting."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator


class ProcessGroup:
    """The processes of the session that ``leader`` began; on Windows, which has no such groups, the leader alone.

    Use it only while the leader is not reaped or ``alive()`` was true a moment ago: later the number may be another's.
    """

    def __init__(self, leader: int) -> None:
        self.leader = leader

    if sys.platform == "win32":

        def terminate(self) -> None:
            """Windows knows no polite request that a console program without a console would get."""
            self.kill()

        def kill(self) -> None:
            """End the leader at once."""
            try:
                os.kill(self.leader, signal.SIGTERM)  # TerminateProcess
            except OSError:
                return

        def alive(self) -> bool:
            """Whether anybody is left besides the leader, whose end is told by the event loop."""
            return False

    else:

        def terminate(self) -> None:
            """Ask every member to end."""
            self._signal(signal.SIGTERM)

        def kill(self) -> None:
            """End every member at once."""
            self._signal(signal.SIGKILL)

        def alive(self) -> bool:
            """Whether any member is left; call it once the leader is reaped."""
            self._reap_orphans()
            return self._signal(0) and not self._only_zombies()

        def _signal(self, number: int) -> bool:
            try:
                os.killpg(self.leader, number)
            except (ProcessLookupError, PermissionError):  # EPERM: only zombies (macOS), or not ours to signal
                return False
            return True

        def _reap_orphans(self) -> None:
            """Members whose parent died are ours to reap when we are process 1, as in a container."""
            try:
                while os.waitpid(-self.leader, os.WNOHANG) != (0, 0):
                    pass
            except ChildProcessError:
                return

        def _only_zombies(self) -> bool:
            """A container whose process 1 reaps nobody keeps the dead of a group for ever; Linux tells them apart."""
            if sys.platform != "linux":
                return False
            return not any(group == self.leader and state not in "ZX" for state, group in _processes())


def _processes() -> Iterator[tuple[str, int]]:
    """State and group of every process (proc(5), /proc/pid/stat)."""
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            with contextlib.suppress(OSError), open(f"{entry.path}/stat", "rb") as file:
                state, _, group = file.read().rpartition(b")")[2].split()[:3]
                yield state.decode("ascii"), int(group)
