"""Keeps cores from sleeping while latencies are measured on them, without taking time from whoever wants to run.

A halted virtual core takes some tens of microseconds to wake up, as long as a call; what runs here has the idle policy
of the scheduler (sched(7)), and gives way at once.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

MOST_SECONDS = 120.0
LOOK_SECONDS = 0.1  # so often it looks whether whoever started it is still there


@contextmanager
def kept_awake(cores: Iterable[int]) -> Iterator[None]:
    """Within the block these cores do not sleep; Linux only."""
    spinning = [subprocess.Popen([sys.executable, __file__, str(core)]) for core in cores]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def spin(core: int) -> None:
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    os.sched_setaffinity(0, {core})
    parent, until = os.getppid(), time.monotonic() + MOST_SECONDS
    while os.getppid() == parent and time.monotonic() < until:
        looked = time.monotonic()
        while time.monotonic() < looked + LOOK_SECONDS:
            pass


if __name__ == "__main__":
    spin(int(sys.argv[1]))
