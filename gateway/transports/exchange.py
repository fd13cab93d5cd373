"""One HTTP request and its answer: JSON, or an event stream once something must flow before the end.

Knows HTTP and event framing, nothing of MCP. Memory for a slow reader is bounded: its stream is closed, nobody waits.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from functools import lru_cache
from typing import Any, Final, Protocol

from gateway.service import Spawn
from upstreams import wire
from upstreams.alarms import Alarm, Alarms

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Message = dict[str, Any]
Header = tuple[bytes, bytes]


class Whole(Protocol):
    """Writes an answer that is there as a whole."""

    @property
    def held_up(self) -> bool:
        """Whether it has to wait until it is `free`."""
        ...

    async def free(self) -> None:
        """Wait until the client takes more."""
        ...

    def answer(self, status: int, headers: Iterable[Header], body: bytes) -> None:
        """Write it; header names are in lower case, a content-length is among them."""
        ...


WATCH_SECONDS: Final = 0.05  # most calls end sooner, and then nobody has to look whether the client is still there
SILENCE_SECONDS: Final = 15.0  # proxies close a connection that is silent for longer
MAX_QUEUED_BYTES: Final = 8 * 2**20
MAX_QUEUED_FRAMES: Final = 2_000
STALLED_SECONDS: Final = 60.0  # a client that reads nothing for this long is gone

MAX_KNOWN: Final = 256  # characters of an Accept header that is worth to be remembered

NO_FRAMES: Final[deque[bytes]] = deque(maxlen=0)
KEEPALIVE: Final = b": keep-alive\n\n"
JSON: Final = (b"content-type", b"application/json")
STREAM_HEADERS: Final = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


def frame(message: Message) -> bytes:
    """One message as an event (MCP 2025-11-25, basic/transports)."""
    return b"".join((b"event: message\ndata: ", wire.dumps(message), b"\n\n"))  # one copy, however long it is


class Exchange(Alarm):
    """Holds the two ASGI callables of one request. Use within the task that serves it.

    It rings when the answer takes its time: only from then on it is worth to look at the client.
    """

    # What most answers never set.
    watches: Alarms | None = None
    """Those of all requests, where they share them."""
    gone = False
    on_gone: Callable[[], None] | None = None
    on_open: Callable[[], Callable[[], None]] | None = None
    """Called when the answer becomes a stream; what it returns is called when the stream has its last event."""
    _frames: deque[bytes] = NO_FRAMES
    _queued = 0
    _more: asyncio.Event | None = None  # there while the stream is open: set when there is more to write
    _written: asyncio.Event | None = None  # there while the stream is open: set when its writer has ended
    _last = False
    _watching = False
    _silence: asyncio.TimerHandle | None = None
    _closed: Callable[[], None] | None = None

    def __init__(self, receive: Receive, send: Send, spawn: Spawn, streams: bool, whole: Whole | None = None) -> None:
        self._receive = receive
        self._send = send
        self._spawn = spawn
        self._whole = whole  # writes an answer that is no stream at once, where the server can
        self._streams = streams  # whether the client takes an event stream
        self._headers: list[tuple[bytes, bytes]] = []

    def watch(self, on_gone: Callable[[], None] | None) -> None:
        """From now on tell ``on_gone`` when the client hangs up, and keep a silent connection alive."""
        self.on_gone = on_gone
        if self.watches is None:
            self.watches = Alarms(WATCH_SECONDS)
        self._watching = True
        self.watches.add(self)

    def add_header(self, name: bytes, value: bytes) -> None:
        """Add a header to the answer, JSON or stream."""
        self._headers.append((name, value))

    def never_stream(self) -> None:
        """The answer is one whole body, whatever the client takes."""
        self._streams = False

    def open(self) -> None:
        """Turn the answer into an event stream; does nothing where it is one already."""
        if self._written is None and not self.gone and not self._last:
            self._written, self._more, self._frames = asyncio.Event(), asyncio.Event(), deque()
            self._spawn(self._write, self._written)
            if self.on_open is not None:
                self._closed = self.on_open()

    def send(self, message: Message) -> bool:
        """Queue a message on the event stream, which this opens; False when the client takes none."""
        if not self._streams or self.gone or self._last:
            return False
        return self.send_raw(frame(message))

    def send_raw(self, data: bytes) -> bool:
        """Queue framed bytes; False when the stream is closed, which one that is not read gets."""
        if self.gone:
            return False
        self.open()
        self._frames.append(data)
        self._queued += len(data)
        if self._queued > MAX_QUEUED_BYTES or len(self._frames) > MAX_QUEUED_FRAMES:
            self._hang_up()
            return False
        self._wake()
        return True

    async def finish(self, status: int, message: Message) -> None:
        """Give the final answer and wait until it is written."""
        if self._written is None:
            await self.respond(status, wire.dumps(message))
            return
        self._frames.append(frame(message))
        await self.end()

    async def respond(self, status: int, body: bytes = b"", headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        """Answer at once with a whole body (JSON when there is one)."""
        self._stop_timers()
        self._last = True
        lines = self._lines(status, body)
        lines += headers
        if self._whole is not None:
            if self._whole.held_up:
                await self._whole.free()
            self._whole.answer(status, lines, body)
            return
        await self._send({"type": "http.response.start", "status": status, "headers": lines})
        await self._send({"type": "http.response.body", "body": body})

    def _lines(self, status: int, body: bytes) -> list[Header]:
        if status == 304:  # has no body, and a length would be that of the 200 which it stands for (RFC 9110 §8.6)
            return [*self._headers]
        length = (b"content-length", b"%d" % len(body))
        return [JSON, length, *self._headers] if body else [length, *self._headers]

    async def end(self) -> None:
        """End the stream after what is queued; bounded by the patience with a stalled reader."""
        self._stop_timers()
        self._last = True
        self._wake()
        if self._written is not None:
            await self._written.wait()

    def close(self) -> None:
        """Ask a stream that lives on to end."""
        self._last = True
        self._wake()

    def _wake(self) -> None:
        if self._more is not None:
            self._more.set()

    async def follow(self) -> None:
        """Stay until the stream has ended or the client is gone."""
        if self._written is not None:
            await self._written.wait()

    async def _write(self, written: asyncio.Event) -> None:
        try:
            headers = [*STREAM_HEADERS, *self._headers]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
            while not self.gone:
                if self._frames:
                    data = b"".join(self._frames)
                    self._frames.clear()
                    self._queued = 0
                    async with asyncio.timeout(STALLED_SECONDS):
                        await self._send({"type": "http.response.body", "body": data, "more_body": True})
                elif self._last:
                    await self._send({"type": "http.response.body", "body": b""})
                    return
                else:
                    await self._next_frame()
        except TimeoutError:
            self._hang_up()
        finally:
            written.set()

    async def _next_frame(self) -> None:
        assert self._more is not None
        self._more.clear()
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                await self._more.wait()
        except TimeoutError:
            self._frames.append(KEEPALIVE)

    def ring(self) -> None:
        """The call takes its time: look at the client from now on."""
        self._spawn(self._listen)
        if self._streams:
            self._silence = asyncio.get_running_loop().call_later(SILENCE_SECONDS, self.open)

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._last:
            self._hang_up()

    def _hang_up(self) -> None:
        if not self.gone:
            self.gone, on_gone = True, self.on_gone
            self._stop_timers()
            self._wake()
            if self._written is not None:
                self._written.set()  # nobody waits for a writer that a stalled reader holds
            if on_gone is not None:
                on_gone()

    def _stop_timers(self) -> None:
        if self._watching and self.watches is not None:
            self.watches.take_back(self)
            self._watching = False
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None
        # What is called when the client goes refers back to here: left in place, it would be the garbage collector's.
        self.on_gone = self.on_open = None
        if self._closed is not None:
            self._closed()


def accepts(headers: Mapping[str, str], kind: str) -> bool:
    """Tell whether Accept allows a media type (RFC 9110 §12.5.1; quality values are not weighed)."""
    accepted = headers.get("accept")
    return accepted is None or (_known if len(accepted) <= MAX_KNOWN else _allows)(accepted, kind)


def _allows(accepted: str, kind: str) -> bool:
    ranges = {part.split(";")[0].strip().lower() for part in accepted.split(",")}
    return not ranges.isdisjoint({kind, f"{kind.split('/')[0]}/*", "*/*"})


_known = lru_cache(maxsize=256)(_allows)  # clients send the same few, again and again
