"""The gateway as a stdio MCP server: JSON-RPC lines on stdin and stdout, both eras, one client.

Knows lines, not what they mean; stdout carries protocol only.
"""

import asyncio
import functools
import logging
import os
import stat
import sys
import threading
from collections.abc import Callable
from typing import Any, BinaryIO, Final

from gateway.changes import LIST_CHANGED
from gateway.eras.envelope import BATCH_VERSIONS, is_modern, open_envelope
from gateway.eras.legacy import answer_legacy, initialize_result, join, negotiated, request_key, take_notification
from gateway.eras.modern import ModernCall, answer_modern
from gateway.eras.sessions import Session
from gateway.errors import INVALID_REQUEST, McpError
from gateway.request import Entrant
from gateway.service import Service
from gateway.telemetry.current import SERVING, Serving
from gateway.transports.inbound import check_message, parsed, told
from upstreams import wire
from upstreams.lines import LineSplitter

log = logging.getLogger("onegate.mcp")

Message = dict[str, Any]

READ_BYTES: Final = 2**16
FINISH_SECONDS: Final = 0.3  # of the 1.5 s in which everything must be gone after the client
MAX_RUNNING: Final = 1_000
MAX_UNREAD_BYTES: Final = 64 * 2**20  # what may wait for a client that does not read its pipe


class StdioDoor:
    """Serves one client on a pair of pipes."""

    def __init__(self, service: Service, door: str, entrant: Entrant, max_message: int) -> None:
        self._service = service
        self._door = door
        self._entrant = entrant
        self._lines = LineSplitter(max_message)
        self._session: Session | None = None
        service.sessions = lambda: int(self._session is not None and not self._session.ended)
        self._running: dict[Any, asyncio.Task[None]] = {}
        self._writer: Callable[[bytes], None] = lambda line: None
        self._group: asyncio.TaskGroup | None = None

    def renew(self, door: str, entrant: Entrant) -> None:
        """Go on under another config: the one client stays, whatever its door is called and its claims are now."""
        if (door, entrant) == (self._door, self._entrant):
            return
        self._door, self._entrant = door, entrant
        if self._session is not None:
            self._session.door, self._session.entrant = door, entrant
            for method in dict.fromkeys(LIST_CHANGED.values()):
                self._session.list_changed(method)

    async def serve(self) -> None:
        """Serve until stdin closes."""
        ended = asyncio.Event()
        self._writer, close = await open_stdout(sys.stdout.buffer, ended.set)
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                await open_stdin(sys.stdin.buffer, self._feed, ended.set)
                await ended.wait()
                self._service.close_streams()
                if self._running:  # `onegate stdio < file` wants the answers to its last lines
                    await asyncio.wait(self._running.values(), timeout=FINISH_SECONDS)
                for task in list(self._running.values()):
                    task.cancel()
        finally:
            if self._session is not None:
                self._session.end()
            close()

    def send(self, message: Message) -> bool:
        """Write one message; see `Outlet`."""
        self._writer(wire.dumps(message))
        return True

    def _feed(self, chunk: bytes) -> None:
        for line in self._lines.feed(chunk):
            self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            message = parsed(line)
            if isinstance(message, list):
                self._take_batch(message)
                return
            check_message(message)
        except McpError as exc:
            self.send({"jsonrpc": "2.0", "id": None, "error": exc.member()})
            return
        self._take_message(message)

    def _take_batch(self, messages: list[Any]) -> None:
        """Each message of a batch is answered by itself, which JSON-RPC lets a server on a pipe do."""
        if self._session is None or self._session.version not in BATCH_VERSIONS or not messages:
            raise McpError(INVALID_REQUEST, "Invalid request: batches are not part of this protocol version")
        for message in messages:
            check_message(message)
        for message in messages:
            self._take_message(message)

    def _take_message(self, message: Message) -> None:
        if "method" not in message:
            if self._session is not None:
                self._session.answered(message)
        elif "id" in message:
            key = request_key(message["id"])
            if key in self._running or len(self._running) >= MAX_RUNNING:
                error = McpError(INVALID_REQUEST, "Too many requests are running, or one with this id")
                self.send({"jsonrpc": "2.0", "id": message["id"], "error": error.member()})
                return
            assert self._group is not None
            task = self._group.create_task(self._answer(message))
            self._running[key] = task
            task.add_done_callback(functools.partial(self._done, key))
        elif message["method"] == "notifications/cancelled":
            params = message.get("params") or {}
            running = self._running.get(request_key(params.get("requestId")))
            if running is not None:
                running.cancel()
        elif self._session is not None:
            take_notification(self._session, message)

    def _done(self, key: Any, task: "asyncio.Task[None]") -> None:
        self._running.pop(key, None)

    async def _answer(self, message: Message) -> None:
        """Answer one request; a cancelled one gets no answer (MCP 2025-11-25, basic/utilities/cancellation)."""
        reply: Message = {"jsonrpc": "2.0", "id": message["id"]}
        serving = Serving(stages=None if self._service.relay.observer.tracing is None else [])
        SERVING.set(serving)
        try:
            reply["result"] = await self._result(message)
        except Exception as exc:
            reply["error"] = told(exc, serving.request_id, log).member()
        finally:
            serving.finish()
        self.send(reply)

    async def _result(self, message: Message) -> Message:
        if is_modern(message, {}):
            envelope = open_envelope(message, None)
            if isinstance(envelope, McpError):
                raise envelope
            able, level = envelope.capabilities, envelope.log_level
            call = ModernCall(message, able, level, self._entrant, self._door, self, self)
            return await answer_modern(self._service, call)
        if message["method"] == "initialize":
            return await self._initialize(message)
        if self._session is None:
            await self._initialize({"params": {"protocolVersion": ""}})  # a client that skips the greeting
        assert self._session is not None
        return await answer_legacy(self._service, self._session, message, self)

    async def _initialize(self, message: Message) -> Message:
        version, capabilities = negotiated(message.get("params") or {})
        if self._session is not None:
            self._session.end()
        self._session = Session("stdio", self._entrant, self._door, version, capabilities, stream=self)
        join(self._service, self._session)
        return await initialize_result(self._service, self._session)


async def open_stdin(stdin: BinaryIO, feed: Callable[[bytes], None], ended: Callable[[], None]) -> None:
    """Give what arrives on ``stdin`` to ``feed`` on the loop; ``ended`` is called at its end."""
    loop = asyncio.get_running_loop()
    try:
        _only_pipes(stdin)
        await loop.connect_read_pipe(lambda: _Reader(feed, ended), stdin)
    except (ValueError, OSError, NotImplementedError):  # a file, or a platform whose pipes cannot be waited for
        thread = threading.Thread(target=_read_in_thread, args=(stdin.fileno(), loop, feed, ended), daemon=True)
        thread.start()


async def open_stdout(
    stdout: BinaryIO, broken: Callable[[], None]
) -> tuple[Callable[[bytes], None], Callable[[], None]]:
    """Open ``stdout`` for lines; returns what writes one and what closes. ``broken`` is called when nobody reads."""
    loop = asyncio.get_running_loop()
    try:
        _only_pipes(stdout)
        transport, _ = await loop.connect_write_pipe(lambda: _Broken(broken), stdout)
    except (ValueError, OSError, NotImplementedError):
        return functools.partial(_write_blocking, stdout, broken), stdout.flush

    def write(line: bytes) -> None:
        if transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            broken()
        elif not transport.is_closing():
            transport.write(line + b"\n")

    return write, transport.close


def _only_pipes(stream: BinaryIO) -> None:
    """Raise ValueError for a file or a device: uvloop ends the whole process over those instead of refusing them."""
    mode = os.fstat(stream.fileno()).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        raise ValueError("not a pipe")


class _Reader(asyncio.Protocol):
    def __init__(self, feed: Callable[[bytes], None], ended: Callable[[], None]) -> None:
        self._feed = feed
        self._ended = ended

    def data_received(self, data: bytes) -> None:
        self._feed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended()


class _Broken(asyncio.BaseProtocol):
    def __init__(self, broken: Callable[[], None]) -> None:
        self._broken = broken

    def connection_lost(self, exc: Exception | None) -> None:
        self._broken()


def _read_in_thread(
    fd: int, loop: asyncio.AbstractEventLoop, feed: Callable[[bytes], None], ended: Callable[[], None]
) -> None:
    try:
        while chunk := os.read(fd, READ_BYTES):
            loop.call_soon_threadsafe(feed, chunk)
        loop.call_soon_threadsafe(ended)
    except (OSError, RuntimeError):  # the loop is closed: nobody listens any more
        return


def _write_blocking(stdout: BinaryIO, broken: Callable[[], None], line: bytes) -> None:
    try:
        stdout.write(line + b"\n")
        stdout.flush()
    except OSError:
        broken()
