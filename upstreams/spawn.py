"""Starts a child process with three pipes and reports to an asyncio.SubprocessProtocol. Knows no lines and no groups.

On POSIX with our own pipes: uvloop's subprocess_exec leaves the child further copies of its three sockets, so that a
child that closes its stdout cannot be told from one that is silent; and it runs what cannot be run as a shell script.
"""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

STDIN, STDOUT, STDERR = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Command:
    """What is run: the program's path, its arguments, environment and folder."""

    program: str
    args: Sequence[str]
    env: dict[str, str]
    cwd: str | None


class PipedProcess:
    """A process with three pipes; the part of asyncio.SubprocessTransport that ChildProcess uses."""

    def __init__(self, popen: subprocess.Popen[bytes], protocol: asyncio.SubprocessProtocol) -> None:
        self._loop = asyncio.get_running_loop()
        self._popen = popen
        self._protocol = protocol
        self._pipes: dict[int, asyncio.BaseTransport] = {}
        self._pidfd = -1

    def get_pid(self) -> int:
        """The process id."""
        return self._popen.pid

    def get_returncode(self) -> int | None:
        """The exit code, or minus the signal; None while it runs."""
        return self._popen.returncode

    def get_pipe_transport(self, fd: int) -> asyncio.BaseTransport | None:
        """The transport of one of the three pipes."""
        return self._pipes.get(fd)

    def close(self) -> None:
        """Close our ends of the pipes, without waiting for what is unsent."""
        for pipe in list(self._pipes.values()):
            if isinstance(pipe, asyncio.WriteTransport) and pipe.get_write_buffer_size():
                pipe.abort()  # close() would wait for a reader
            else:
                pipe.close()

    async def connect(self) -> None:
        """Attach the pipes to the event loop, and wait for the exit in it."""
        self._watch_exit()
        await self._loop.connect_read_pipe(
            lambda: _Pipe(self._pipes, self._protocol, STDOUT), _End(self._popen.stdout, self._loop)
        )
        await self._loop.connect_read_pipe(
            lambda: _Pipe(self._pipes, self._protocol, STDERR), _End(self._popen.stderr, self._loop)
        )
        await self._loop.connect_write_pipe(
            lambda: _Pipe(self._pipes, self._protocol, STDIN), _End(self._popen.stdin, self._loop)
        )

    def _watch_exit(self) -> None:
        try:
            self._pidfd = os.pidfd_open(self._popen.pid)
        except (AttributeError, OSError):  # macOS, or a kernel before 5.3
            threading.Thread(target=self._wait_in_thread, daemon=True).start()
        else:
            self._loop.add_reader(self._pidfd, self._exited)

    def _exited(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._popen.wait()
        self._protocol.process_exited()

    def _wait_in_thread(self) -> None:
        self._popen.wait()
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._protocol.process_exited)


class _End:
    """Our end of one pipe, as an event loop wants it: closed once, by whoever the loop leaves it to.

    uvloop closes the descriptor and then the object that it came from, by when the number may be another thread's.
    """

    def __init__(self, stream: IO[bytes] | None, loop: asyncio.AbstractEventLoop) -> None:
        assert stream is not None
        self._fd = os.dup(stream.fileno())
        stream.close()
        self._loop_closes = not isinstance(loop, asyncio.BaseEventLoop)

    def fileno(self) -> int:
        """The descriptor."""
        return self._fd

    def close(self) -> None:
        """Called by the transport when it is done."""
        if self._fd >= 0 and not self._loop_closes:
            os.close(self._fd)
        self._fd = -1


class _Pipe(asyncio.Protocol):
    """One pipe: in ``pipes`` while it is open, its events told under its number."""

    def __init__(self, pipes: dict[int, asyncio.BaseTransport], protocol: asyncio.SubprocessProtocol, fd: int) -> None:
        self._pipes = pipes
        self._protocol = protocol
        self._fd = fd

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._pipes[self._fd] = transport

    def data_received(self, data: bytes) -> None:
        self._protocol.pipe_data_received(self._fd, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._pipes.pop(self._fd, None)
        self._protocol.pipe_connection_lost(self._fd, exc)


Spawned = asyncio.SubprocessTransport | PipedProcess


async def spawn(command: Command, protocol: asyncio.SubprocessProtocol) -> None:
    """Start it in a group of its own: ctrl-C in our terminal is for us, and all that it starts can be ended with it."""
    if sys.platform == "win32":
        await asyncio.get_running_loop().subprocess_exec(
            lambda: protocol,
            command.program,
            *command.args,
            env=command.env,
            cwd=command.cwd,
            creationflags=subprocess.CREATE_NEW_PROCESS_GROUP,
        )
        return
    # Not in a thread: it takes a millisecond, and no cancellation can come between the start and its watchdog.
    popen = subprocess.Popen(  # noqa: ASYNC220, S603
        [command.program, *command.args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env=command.env,
        cwd=command.cwd,
        start_new_session=True,
    )
    process = PipedProcess(popen, protocol)
    protocol.connection_made(process)  # type: ignore[arg-type]
    await process.connect()
