"""A child process: lines in and out, its end told once and at once, and nothing of it left after a stop."""

import ast
import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from upstreams import process
from upstreams.errors import ConnectionLost
from upstreams.process import ChildProcess, child_environment
from upstreams.process_group import ProcessGroup
from upstreams.spawn import STDERR
from upstreams.stderr_tail import StderrTail, escaped

if sys.platform == "win32":
    pytest.skip("process groups are POSIX", allow_module_level=True)

pytestmark = pytest.mark.alone

try:
    import uvloop

    LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]
except ImportError:
    LOOPS = [asyncio.new_event_loop]

ECHO = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)\n"
DEAF = (
    "import signal, sys, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(60)\n"
)
GRANDCHILD = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
"""
FAMILY = GRANDCHILD + "sys.stdin.read()\nimport time; time.sleep(60)\n"
ORPHAN = GRANDCHILD + "sys.exit(3)\n"

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=LOOPS, ids=lambda factory: factory.__module__.split(".")[0])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    failures: list[dict[str, Any]] = []
    with asyncio.Runner(loop_factory=request.param) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: failures.append(context))
        yield runner.run
    assert failures == [], "a callback raised"


@pytest.fixture
def quick_ladder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "RUNG_SECONDS", {0: 0.1, 1: 0.2, 2: 1.0})


class Child:
    """A started child and what was heard of it."""

    def __init__(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        self.lines: list[bytes] = []
        self.ends: list[str] = []
        self.ended_at = 0.0
        self.process: ChildProcess

    async def start(self, script: str, max_line: int = 16 * 1024 * 1024) -> "Child":
        (self.folder / "child.py").write_text(script)
        return await self.start_command([sys.executable, "child.py"], max_line)

    async def start_command(self, command: Sequence[str], max_line: int = 1024) -> "Child":
        self.process = await ChildProcess.start(
            command,
            env=child_environment({"PYTHONDONTWRITEBYTECODE": "1"}, []),
            cwd=str(self.folder),
            on_line=self.lines.append,
            on_exit=self._ended,
            max_line=max_line,
        )
        return self

    def _ended(self, reason: str) -> None:
        self.ends.append(reason)
        self.ended_at = time.monotonic()

    async def heard(self, count: int = 1) -> None:
        await until(lambda: len(self.lines) >= count)

    async def ended(self) -> str:
        await until(lambda: bool(self.ends))
        return self.ends[0]


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    child = Child(tmp_path)
    yield child
    if hasattr(child, "process"):
        assert not alive(child.process.pid), "the test left its child"
        assert len(child.ends) == 1, "the end is told exactly once"


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the operating system sets no event
            await asyncio.sleep(0.002)


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return sys.platform != "linux"


async def refused(awaitable: Awaitable[object]) -> str:
    with pytest.raises(ConnectionLost) as caught:
        await awaitable
    return str(caught.value)


def test_lines_go_in_and_come_back(run: Run, child: Child) -> None:
    async def main() -> None:
        await child.start(ECHO)
        child.process.write(b'{"id":1}')
        child.process.write(b'{"id":2}')
        await child.heard(2)
        await child.process.stop()

    run(main())
    assert child.lines == [b'{"id":1}', b'{"id":2}']
    assert child.ends == ["stopped"]


def test_a_line_of_five_megabytes_arrives_whole(run: Run, child: Child) -> None:
    async def main() -> None:
        await child.start("print('x' * 5_000_000, flush=True)\nimport sys; sys.stdin.read()")
        await child.heard()
        await child.process.stop()

    run(main())
    assert child.lines == [b"x" * 5_000_000]


def test_lines_written_just_before_the_exit_are_read_before_the_end_is_told(run: Run, child: Child) -> None:
    async def main() -> None:
        await child.start("for n in range(20000): print(n)")
        assert await child.ended() == "exited with code 0"
        assert len(child.lines) == 20000
        await child.process.stop()

    run(main())


def test_an_oversized_line_is_dropped_and_counted(run: Run, child: Child) -> None:
    async def main() -> None:
        await child.start("print('x' * 5000); print('ok', flush=True)\nimport sys; sys.stdin.read()", max_line=1024)
        await child.heard()
        await child.process.stop()

    run(main())
    assert child.lines == [b"ok"]
    assert child.process.bad_lines == 1


def test_a_child_that_dies_says_so_with_its_last_words(run: Run, child: Child) -> None:
    async def main() -> None:
        await child.start("import sys; sys.stderr.write('no such key: \\x1b[31mAPI_KEY'); sys.exit(1)")
        assert await child.ended() == "exited with code 1: no such key: \\x1b[31mAPI_KEY"
        assert child.process.stderr_tail() == ["no such key: \\x1b[31mAPI_KEY"]
        with pytest.raises(ConnectionLost, match="exited with code 1"):
            child.process.write(b"late")
        await child.process.stop()

    run(main())


def test_a_killed_child_is_told_within_a_tenth_of_a_second(run: Run, tmp_path: Path) -> None:
    async def seconds() -> float:
        child = await Child(tmp_path).start(ECHO)
        child.process.write(b"up")
        await child.heard()
        killed_at = time.monotonic()
        os.kill(child.process.pid, signal.SIGKILL)
        assert await child.ended() == "killed by signal 9"
        await child.process.stop()
        return child.ended_at - killed_at

    async def main() -> None:
        assert min([await seconds() for _ in range(5)]) < 0.1  # the best of five: the machine may be busy

    run(main())


def test_a_closed_stdout_is_the_end_though_the_child_lives(run: Run, child: Child, quick_ladder: None) -> None:
    async def main() -> None:
        await child.start("import os, time\nos.close(1)\ntime.sleep(60)")
        assert await child.ended() == "closed its stdout"
        assert alive(child.process.pid)
        await child.process.stop()

    run(main())


def test_a_leader_that_dies_takes_its_grandchild_along(run: Run, child: Child) -> None:
    async def main() -> None:
        await child.start(ORPHAN)
        assert await child.ended() == "exited with code 3"
        await child.heard()
        await until(lambda: not alive(int(child.lines[0])))
        await child.process.stop()
        assert not ProcessGroup(child.process.pid).alive()

    run(main())


def test_stop_ends_a_child_that_ignores_sigterm_and_closed_pipes(run: Run, child: Child, quick_ladder: None) -> None:
    async def main() -> None:
        await child.start(DEAF)
        await child.heard()
        await child.process.stop()
        assert not ProcessGroup(child.process.pid).alive()

    run(main())
    assert child.ends == ["stopped"]


def test_stop_ends_the_whole_family(run: Run, child: Child, quick_ladder: None) -> None:
    async def main() -> None:
        await child.start(FAMILY)
        await child.heard()
        await child.process.stop()
        assert not alive(int(child.lines[0]))

    run(main())


def test_stop_ends_a_grandchild_whose_parent_left_politely(run: Run, child: Child, quick_ladder: None) -> None:
    async def main() -> None:
        await child.start(GRANDCHILD + "sys.stdin.read()\n")
        await child.heard()
        await child.process.stop()
        assert not alive(int(child.lines[0]))

    run(main())


def test_stop_may_be_called_often_and_at_once(run: Run, child: Child) -> None:
    async def main() -> None:
        await child.start(ECHO)
        await asyncio.gather(child.process.stop(), child.process.stop())
        await child.process.stop()
        child.process.kill()

    run(main())


@pytest.mark.parametrize("how", ["native", "scope"])
def test_a_cancelled_stop_still_ends_the_child(run: Run, child: Child, quick_ladder: None, how: str) -> None:
    async def main() -> None:
        await child.start(DEAF)
        await child.heard()
        if how == "scope":
            with anyio.move_on_after(0.01):
                await child.process.stop()
        else:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(child.process.stop(), 0.01)
        assert not ProcessGroup(child.process.pid).alive()

    run(main())


def test_kill_ends_the_family_at_once(run: Run, child: Child) -> None:
    async def main() -> None:
        await child.start(FAMILY)
        await child.heard()
        child.process.kill()
        await child.ended()
        await child.process.stop()
        assert not alive(int(child.lines[0]))

    run(main())


def test_a_process_that_left_the_group_and_holds_the_pipes_does_not_hold_up_the_end(run: Run, child: Child) -> None:
    async def main() -> None:
        await child.start(ORPHAN.replace("])\n", "], start_new_session=True)\n"))
        assert await child.ended() == "exited with code 3"
        await child.process.stop()
        os.kill(int(child.lines[0]), signal.SIGKILL)

    run(main())


def test_a_flood_of_rubbish_ends_the_child(run: Run, child: Child) -> None:
    async def main() -> None:
        await child.start("while True: print('rubbish')")
        await child.heard()
        for _ in range(process.FLOOD_LINES):
            child.process.count_bad_line()
        assert "flooded its stdout" in await child.ended()
        await child.process.stop()

    run(main())
    assert child.process.bad_lines == process.FLOOD_LINES


def test_slow_rubbish_is_only_counted(run: Run, child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "FLOOD_SECONDS", -1.0)

    async def main() -> None:
        await child.start(ECHO)
        for _ in range(2 * process.FLOOD_LINES):
            child.process.count_bad_line()
        assert child.ends == []
        await child.process.stop()

    run(main())
    assert child.process.bad_lines == 2 * process.FLOOD_LINES


def test_a_child_that_does_not_read_is_written_to_up_to_a_bound(run: Run, child: Child, quick_ladder: None) -> None:
    async def main() -> None:
        await child.start("import time; print('up', flush=True); time.sleep(60)")
        await child.heard()
        for _ in range(31):
            child.process.write(b"x" * 1024 * 1024)
        with pytest.raises(ConnectionLost, match="does not read its stdin"):
            child.process.write(b"x" * 2 * 1024 * 1024)
        await child.process.stop()

    run(main())


def test_a_loud_stderr_is_drained_bounded_and_never_blocks_the_child(
    run: Run, child: Child, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="onegate.upstream")

    async def main() -> None:
        await child.start("import sys\nfor n in range(50000): print(f'line {n} \\x07', file=sys.stderr)\nprint('done')")
        assert await child.ended() == "exited with code 0: line 49999 \\x07"
        await child.process.stop()

    run(main())
    assert child.lines == [b"done"]
    assert child.process.stderr_tail() == [f"line {n} \\x07" for n in range(49950, 50000)]
    assert 20 <= len(caplog.records) < 500


def test_a_line_of_stderr_without_end_is_cut() -> None:
    tail = StderrTail()
    for _ in range(1000):
        tail.feed(b"y" * 1000)
    tail.feed(b"\nnext")
    assert tail.lines() == ["y" * 500, "next"]


def test_stderr_is_logged_at_a_bounded_rate_and_the_rest_is_counted() -> None:
    tail = StderrTail()
    assert len(tail.loggable([b"x"] * 30, now=1.0)) == 20
    assert tail.loggable([b"x"] * 5, now=1.9) == []
    assert tail.loggable([b"x"], now=2.0) == ["(15 lines left out)", "x"]


def test_controls_bidirectional_and_broken_characters_are_spelled_out() -> None:
    assert escaped("a\r\x1b[2Jb\u202ec\u200bé".encode() + b"\xff") == "a\\r\\x1b[2Jb\\u202ec\\u200bé\\xff"


def test_what_cannot_start_says_why(run: Run, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("no program")
    (tmp_path / "broken").write_bytes(b"\x7fELF no program either")
    (tmp_path / "broken").chmod(0o755)

    async def main() -> None:
        start = Child(tmp_path).start_command
        missing = await refused(start(["no-such-program"]))
        assert missing == "command not found: no-such-program (is it installed and on PATH?)"
        assert "permission denied" in await refused(start(["./plain"]))
        assert "cannot start ./broken" in await refused(start(["./broken"]))
        assert "command not found" in await refused(start([]))
        gone = Child(tmp_path / "gone").start_command(["python3"])
        assert await refused(gone) == f"working directory does not exist: {tmp_path / 'gone'}"

    run(main())


def test_the_child_holds_its_three_pipes_and_nothing_else_of_ours(run: Run, child: Child) -> None:
    async def main() -> None:
        await child.start("import os\nprint([n for n in os.listdir('/dev/fd') if os.path.exists(f'/dev/fd/{n}')])")
        await child.ended()
        await child.process.stop()

    with open(os.devnull) as ours:
        assert ours.fileno() > STDERR
        run(main())
    assert sorted(ast.literal_eval(child.lines[0].decode())) == ["0", "1", "2"]


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_a_cancelled_start_leaves_nothing(
    run: Run, tmp_path: Path, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []
    monkeypatch.setattr(process.watchdog(), "guard", started.append)

    async def main() -> None:
        starting = asyncio.create_task(Child(tmp_path).start(DEAF))
        for _ in range(after):
            await asyncio.sleep(0)
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await (await starting).process.stop()
        await until(lambda: not any(alive(pid) for pid in started))

    run(main())
    assert len(started) == (after > 0)


def test_a_relative_command_is_found_in_the_childs_folder(run: Run, child: Child, tmp_path: Path) -> None:
    (tmp_path / "hello").write_text("#!/bin/sh\necho hello\n")
    (tmp_path / "hello").chmod(0o755)

    async def main() -> None:
        await child.start_command(["./hello"])
        await child.ended()
        await child.process.stop()

    run(main())
    assert child.lines == [b"hello"]


def test_the_child_gets_the_fixed_names_the_passed_ones_and_its_own() -> None:
    ours = {"PATH": "/bin", "LC_ALL": "C", "SECRET": "s", "PROXY": "p", "LANG": "() { :;}; evil", "HOME": "/h"}
    assert child_environment({"HOME": "/other", "KEY": "k"}, ["PROXY", "ABSENT"], ours) == {
        "PATH": "/bin",
        "LC_ALL": "C",
        "PROXY": "p",
        "HOME": "/other",
        "KEY": "k",
    }


def test_the_ends_of_a_childs_pipes_are_closed_once_and_none_is_left(run: Run) -> None:
    async def main() -> None:
        ended = asyncio.Event()
        command = [sys.executable, "-c", "pass"]
        process = await ChildProcess.start(
            command, env={}, cwd=None, on_line=print, on_exit=lambda reason: ended.set(), max_line=100
        )
        await ended.wait()
        await process.stop()

    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    run(main())  # the watchdog has its pipe from now on
    gc.collect()  # what other tests have left open
    before = descriptors()
    run(main())
    assert descriptors() == before
    gc.collect()  # what is collected late closes nothing that is another's by now
    assert descriptors() == before
