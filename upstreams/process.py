"""One child process that speaks lines over its stdin and stdout. Knows no JSON, no MCP and no restarts.

Everything is driven by callbacks of the event loop, so that neither a cancelled caller nor a missing task can leave the
child half stopped. Public: ``ChildProcess`` and ``child_environment``.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self, cast

import anyio

from upstreams.environment import child_environment, find_program
from upstreams.errors import ConnectionLost
from upstreams.lines import LineSplitter
from upstreams.process_group import ProcessGroup
from upstreams.spawn import STDERR, STDIN, STDOUT, Command, Spawned, spawn
from upstreams.stderr_tail import StderrTail
from upstreams.watchdog import watchdog

__all__ = ["ChildProcess", "child_environment"]

log = logging.getLogger("onegate.upstream")

MAX_UNREAD = 32 * 1024 * 1024  # two messages of the largest size; a child that reads nothing must not fill our memory
FLOOD_LINES, FLOOD_SECONDS = 1000, 10.0  # rubbish on stdout beyond this is no slip of a print statement
GRACE_SECONDS = 0.05  # to tell a reason and read the last lines; pending calls must fail within 0.1 s
POLL_SECONDS = 0.01  # no event tells that a group is empty

# The rungs of the stop ladder: what is done, and how long until the next one.
CLOSE_STDIN, TERMINATE, KILL, GIVE_UP = 0, 1, 2, 3
RUNG_SECONDS = {CLOSE_STDIN: 2.0, TERMINATE: 3.0, KILL: 1.0}
HURRY_SECONDS = 0.3  # between the last two rungs for who cannot wait; as long as the watchdog gives


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears of a child: called in the event loop, ``on_exit`` exactly once and last."""

    on_line: Callable[[bytes], None]
    on_exit: Callable[[str], None]


class ChildProcess:
    """A running child; whoever starts one ends it with ``stop()``, also after ``on_exit``."""

    @classmethod
    async def start(  # noqa: PLR0913 - all of it is needed at once
        cls,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str | None,
        on_line: Callable[[bytes], None],
        on_exit: Callable[[str], None],
        max_line: int,
    ) -> Self:
        """Start ``command``; raises ConnectionLost that says why not. The callbacks may run before this returns."""
        program = find_program(command[0] if command else "", env, cwd)
        child = cls(Listener(on_line, on_exit), max_line)
        try:
            await spawn(Command(program, command[1:], dict(env), cwd), _Pipes(child))
        except (OSError, ValueError) as exc:  # ValueError: a NUL in an argument
            raise ConnectionLost(f"cannot start {command[0]}: {getattr(exc, 'strerror', None) or exc}") from exc
        except asyncio.CancelledError:
            child.kill()
            raise
        return child

    def __init__(self, listener: Listener, max_line: int) -> None:
        self.pid = 0
        self.bad_lines = 0
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._lines = LineSplitter(max_line)
        self._stderr = StderrTail()
        self._bad_times: deque[float] = deque(maxlen=FLOOD_LINES)
        self._pipes_open = {STDIN, STDOUT, STDERR}
        self._reason = ""  # set once on_exit was called
        self._exited = False
        self._stopping = False
        self._group_gone = False
        self._rung = -1
        self._rung_timer: asyncio.TimerHandle | None = None
        self._grace_timer: asyncio.TimerHandle | None = None
        self._done: asyncio.Future[None] = self._loop.create_future()

    def write(self, line: bytes) -> None:
        """Send ``line`` and a line feed; raises ConnectionLost when the child is gone or does not read."""
        stdin = self._stdin()
        if self._reason or STDIN not in self._pipes_open or stdin is None or stdin.is_closing():
            raise ConnectionLost(self._reason or "its stdin is closed")
        if stdin.get_write_buffer_size() + len(line) > MAX_UNREAD:
            raise ConnectionLost(f"it does not read its stdin: more than {MAX_UNREAD // 1024 // 1024} MiB wait")
        stdin.write(line + b"\n")

    def stderr_tail(self) -> list[str]:
        """The last lines of its stderr, escaped."""
        return self._stderr.lines()

    def count_bad_line(self) -> None:
        """Count a line that means nothing; a flood of them ends the child."""
        self.bad_lines += 1
        now = self._loop.time()
        self._bad_times.append(now)
        if len(self._bad_times) == FLOOD_LINES and now - self._bad_times[0] <= FLOOD_SECONDS and not self._reason:
            self._end(f"flooded its stdout: {FLOOD_LINES} lines in {FLOOD_SECONDS:g} s were no messages")
            self._climb(KILL)

    async def stop(self) -> None:
        """Close stdin, then SIGTERM, then SIGKILL, until the whole group is gone: 6 s at most, also when cancelled."""
        self._stopping = True
        if self._rung < CLOSE_STDIN:
            self._climb(CLOSE_STDIN)
        with anyio.CancelScope(shield=True):
            await _to_the_end(self._done)

    def hurry(self) -> None:
        """SIGTERM to the group at once, SIGKILL soon after; ``stop()`` then waits for its end."""
        self._stopping = True
        if self._loop.is_closed():
            self._signal(KILL)
        elif self._rung < KILL:
            self._climb(TERMINATE)
            self._rush()

    def kill(self) -> None:
        """SIGKILL to the group at once; ``stop()`` then waits for its end."""
        self._stopping = True
        if self._loop.is_closed():
            self._signal(KILL)
        elif self._rung < KILL:
            self._climb(KILL)

    # The stop ladder: each rung leads to the next by a timer, or sooner when the leader ends.

    def _climb(self, rung: int) -> None:
        if self._rung_timer is not None:
            self._rung_timer.cancel()
        if self._group_gone:
            return
        self._rung = rung
        if rung == GIVE_UP:
            log.warning("process group %d outlives SIGKILL", self.pid)
            self._group_is_gone()
            self._end(self._why())
            return
        self._rung_timer = self._loop.call_later(RUNG_SECONDS[rung], self._climb, rung + 1)
        self._signal(rung)

    def _rush(self) -> None:
        if self._rung_timer is not None and not self._group_gone:
            self._rung_timer.cancel()
            self._rung_timer = self._loop.call_later(HURRY_SECONDS, self._climb, KILL)

    def _signal(self, rung: int) -> None:
        if self._group_gone:  # the number may be another's by now
            return
        if rung == CLOSE_STDIN:
            if (stdin := self._stdin()) is not None:
                stdin.close()
        elif rung == TERMINATE:
            self._group.terminate()
        else:
            self._group.kill()

    def _await_group(self) -> None:
        if self._group_gone:
            return
        if self._group.alive():
            self._loop.call_later(POLL_SECONDS, self._await_group)
        else:
            self._group_is_gone()

    def _group_is_gone(self) -> None:
        self._group_gone = True
        if self._rung_timer is not None:
            self._rung_timer.cancel()
        watchdog().release(self.pid)
        self._settle()

    # What the event loop tells.

    def started(self, transport: Spawned) -> None:
        self._transport = transport
        self.pid = transport.get_pid()
        self._group = ProcessGroup(self.pid)
        watchdog().guard(self.pid)

    def received(self, fd: int, chunk: bytes) -> None:
        if fd == STDERR:
            lines = self._stderr.feed(chunk)
            if log.isEnabledFor(logging.DEBUG):
                for text in self._stderr.loggable(lines, self._loop.time()):
                    log.debug("stderr of process %d: %s", self.pid, text)
            return
        oversized = self._lines.oversized
        for line in self._lines.feed(chunk):
            if self._reason:
                return
            self._listener.on_line(line)
        for _ in range(self._lines.oversized - oversized):
            self.count_bad_line()

    def pipe_closed(self, fd: int) -> None:
        self._pipes_open.discard(fd)
        if fd == STDOUT or self._exited:
            self._end_soon()

    def exited(self) -> None:
        self._exited = True
        self._end_soon()
        if self._group.alive():
            # What a dead leader leaves behind is nobody's; while stopping it gets the rest of the ladder.
            self._climb(max(self._rung, TERMINATE) if self._stopping else KILL)
        self._await_group()

    # The end, told once.

    def _end_soon(self) -> None:
        """Tell the end when all is known: the exit code, the last lines; or after a short grace with what is."""
        if self._exited and not self._pipes_open & {STDOUT, STDERR}:
            self._end(self._why())
        elif self._grace_timer is None and not self._reason:
            self._grace_timer = self._loop.call_later(GRACE_SECONDS, lambda: self._end(self._why()))

    def _why(self) -> str:
        if self._stopping:
            return "stopped"
        code = self._transport.get_returncode() if self._exited else None
        reason = "closed its stdout" if code is None else _ending(code)
        last = self._stderr.last()
        return f"{reason}: {last}" if last else reason

    def _end(self, reason: str) -> None:
        if self._reason:
            return
        self._reason = reason
        if self._grace_timer is not None:
            self._grace_timer.cancel()
        self._settle()
        self._listener.on_exit(reason)

    def _settle(self) -> None:
        """Close what is left open once the group is gone and its last lines are read."""
        if self._group_gone and self._reason and not self._done.done():
            self._done.set_result(None)
            self._transport.close()  # pipes that a process outside the group may still hold

    def _stdin(self) -> asyncio.WriteTransport | None:
        return cast("asyncio.WriteTransport | None", self._transport.get_pipe_transport(STDIN))


class _Pipes(asyncio.SubprocessProtocol):
    """Names the events of asyncio's interface in the child's words."""

    def __init__(self, child: ChildProcess) -> None:
        self._child = child

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._child.started(cast("Spawned", transport))

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._child.received(fd, data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._child.pipe_closed(fd)

    def process_exited(self) -> None:
        self._child.exited()


def _ending(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"exited with code {code}"


async def _to_the_end(done: "asyncio.Future[None]") -> None:
    """Wait for ``done``, which a timer guarantees; a cancellation is put off until then, not lost."""
    cancelled: asyncio.CancelledError | None = None
    while not done.done():
        try:
            await asyncio.wait([done])
        except asyncio.CancelledError as exc:
            cancelled = exc
    if cancelled is not None:
        raise cancelled
