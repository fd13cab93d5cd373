"""The helper process behind upstreams/watchdog.py, run by its path: standard input in, signals out.

Reads ``+PGID`` and ``-PGID`` lines. When the input ends, the gateway is gone: the groups still listed are ended.
Imports next to nothing: it starts in 10 ms and stays small.
"""

import os
import signal
import time

GRACE_SECONDS = 0.3  # with the start of this process and the kernel's part, all is gone within one second
POLL_SECONDS = 0.01


def watch(fd: int) -> set[int]:
    """Follow the list until the input ends; return the groups that are left on it."""
    groups: set[int] = set()
    rest = b""
    while chunk := os.read(fd, 65536):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            change = groups.add if line[:1] == b"+" else groups.discard
            change(int(line[1:]))
    return groups


def end(groups: set[int]) -> None:
    """SIGTERM, a short grace, SIGKILL."""
    left = [group for group in groups if _sent(group, signal.SIGTERM)]
    deadline = time.monotonic() + GRACE_SECONDS
    while left and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        left = [group for group in left if _sent(group, 0)]
    for group in left:
        _sent(group, signal.SIGKILL)


def _sent(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    end(watch(0))
