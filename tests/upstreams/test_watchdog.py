"""The watchdog: whatever ends the gateway, no child outlives it by more than a second."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from upstreams.watchdog import Watchdog, watchdog

if sys.platform == "win32":
    pytest.skip("process groups are POSIX", allow_module_level=True)

pytestmark = pytest.mark.alone

ROOT = Path(__file__).parents[2]

GATEWAY = """
import asyncio, sys
from upstreams.process import ChildProcess, child_environment
from upstreams.watchdog import watchdog

async def main():
    child = await ChildProcess.start(
        [sys.executable, "child.py"], env=child_environment({}, []), cwd=sys.argv[1],
        on_line=lambda line: print(line.decode(), flush=True), on_exit=print, max_line=1000)
    print(child.pid, watchdog().pid, flush=True)
    await asyncio.sleep(60)

if sys.argv[2] == "uvloop":
    import uvloop
    uvloop.run(main())
asyncio.run(main())
"""

# Both generations ignore what a polite end would be.
CHILD = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
sleep = "import signal, time; signal.signal(15, 1); print('up', flush=True); time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", sleep], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""


def until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return sys.platform != "linux"


@pytest.fixture
def dog() -> Iterator[Watchdog]:
    dog = Watchdog()
    yield dog
    dog.close()


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("target", ["gateway", "its group"])
def test_a_killed_gateway_leaves_nothing_behind_after_a_second(tmp_path: Path, loop: str, target: str) -> None:
    (tmp_path / "child.py").write_text(CHILD)
    gateway = subprocess.Popen(
        [sys.executable, "-c", GATEWAY, str(tmp_path), loop],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with gateway:
        assert gateway.stdout is not None
        numbers = [int(n) for n in (gateway.stdout.readline() + gateway.stdout.readline()).split()]
        assert len(numbers) == 3
        assert all(alive(pid) for pid in numbers)
        if target == "gateway":
            gateway.kill()
        else:
            os.killpg(gateway.pid, signal.SIGKILL)
        until(lambda: not any(alive(pid) for pid in numbers), 1.0)


def test_close_ends_what_is_guarded(dog: Watchdog, sleeper: subprocess.Popen[bytes]) -> None:
    dog.guard(sleeper.pid)
    dog.close()
    assert sleeper.wait(1) == -signal.SIGTERM


def test_what_was_released_is_left_alone(dog: Watchdog, sleeper: subprocess.Popen[bytes]) -> None:
    dog.guard(sleeper.pid)
    dog.release(sleeper.pid)
    dog.close()
    assert sleeper.poll() is None


def test_the_helper_starts_with_the_first_child_and_ends_with_close(
    dog: Watchdog, sleeper: subprocess.Popen[bytes]
) -> None:
    assert dog.pid is None
    dog.guard(sleeper.pid)
    helper = dog.pid
    assert helper is not None
    assert alive(helper)
    dog.close()
    assert not alive(helper)


def test_the_helper_does_not_end_by_the_signals_of_a_terminal_or_a_service_manager(
    dog: Watchdog, sleeper: subprocess.Popen[bytes]
) -> None:
    dog.guard(sleeper.pid)
    helper = dog.pid
    assert helper is not None
    until(lambda: ignores_signals(helper), 5.0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(helper, number)
    dog.close()
    assert sleeper.wait(1) == -signal.SIGTERM


def ignores_signals(pid: int) -> bool:
    with contextlib.suppress(OSError):
        ignored = int(Path(f"/proc/{pid}/status").read_text().split("SigIgn:")[1].split()[0], 16)
        return bool(ignored >> (signal.SIGTERM - 1) & 1)
    return sys.platform != "linux"


def test_a_helper_that_was_killed_is_replaced_and_told_all_again(
    dog: Watchdog, sleeper: subprocess.Popen[bytes]
) -> None:
    dog.guard(sleeper.pid)
    first = dog.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    until(lambda: not alive(first), 5.0)
    dog.guard(10**9)  # no such group
    assert dog.pid not in (None, first)
    dog.close()
    assert sleeper.wait(1) == -signal.SIGTERM


def test_a_process_has_one_watchdog() -> None:
    assert watchdog() is watchdog()
