"""Starts the servers under load, pins them to cores and reads what they cost from /proc; knows nothing of MCP."""

import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

READY_SECONDS = 30.0  # the gateway and the SDK import in about a second; a loaded machine takes longer
STOP_SECONDS = 10.0
QUIET_SECONDS, QUIET_TICKS = 0.1, 1  # an idle server may wake up once in a while
SETTLE_SECONDS = 20.0  # the slowest peer works on what 16 callers have given up for a second or two
URL = re.compile(r"http://\S+/mcp\b")
ALLOWED = os.sched_getaffinity(0) if sys.platform == "linux" else set()
"""Our cores as we were started, wherever we are kept later."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: where it listens and which process to measure."""

    name: str
    url: str
    pid: int


class StartError(RuntimeError):
    """A server did not come up; the text says which, and holds the end of what it logged."""


@contextmanager
def running(name: str, command: Sequence[str], log: Path, ready: float = READY_SECONDS) -> Iterator[Server]:
    """Runs `command` until the block ends; it is ready when it prints its URL on stdout."""
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, stdin=subprocess.DEVNULL, text=True)
    try:
        yield Server(name, first_url(name, process, log, ready), process.pid)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def first_url(name: str, process: subprocess.Popen[str], log: Path, ready: float) -> str:
    """The URL in the first line of stdout that holds one; later lines are read and dropped."""
    urls: queue.Queue[str | None] = queue.Queue()

    def drain() -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                if found := URL.search(line):
                    urls.put(found.group())
        urls.put(None)

    threading.Thread(target=drain, daemon=True).start()
    try:
        url = urls.get(timeout=ready)
    except queue.Empty:
        url = None
    if url is None:
        raise StartError(f"{name} did not print its URL; it logged:\n{log.read_text()[-2000:]}")
    return url


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and those that these have started."""
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def settle(pids: Iterable[int]) -> None:
    """Returns when the processes rest; some still work on what their callers have given up, on the next one's core."""
    deadline = time.monotonic() + SETTLE_SECONDS
    most = QUIET_TICKS / os.sysconf("SC_CLK_TCK")
    spent, before = sum(map(cpu_seconds, pids)), -1.0
    while spent - before > most and time.monotonic() < deadline:
        time.sleep(QUIET_SECONDS)
        spent, before = sum(map(cpu_seconds, pids)), spent


def cpu_seconds(pid: int) -> float:
    """User and system time of one process so far, its children not counted."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def forget_peak_memory(pid: int) -> None:
    """Starts the peak anew, so that each row has its own (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_memory_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def memory_mb(pid: int) -> float:
    """What a process has in memory now."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def cores() -> tuple[int, int]:
    """The core of the process under test, and that of all others."""
    first, second, *_ = sorted(ALLOWED)
    return first, second


def place(tested: Iterable[int], others: Iterable[int]) -> None:
    """Gives what is under test one core; what it calls and what loads it share another."""
    first, second = cores()
    for pids, core in ((others, second), (tested, first)):
        for pid in pids:
            pin(pid, {core})


def pin(pid: int, cores: set[int]) -> None:
    """Keeps every thread of a process on these cores; threads it starts later inherit it."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), cores)
