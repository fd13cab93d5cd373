"""One connection of the HTTP/1.1 client (RFC 9112): a request goes out, its answer comes in. Knows no pool and no MCP.

Reading is paused while nobody takes what came. What broke is said in words of our own: the server's bytes may repeat
the credentials that it was sent.
"""

import asyncio
import os
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import Final

import httptools

from upstreams.errors import ConnectionLost
from upstreams.framing import LENGTH, KnownHead, known_head
from upstreams.outbox import LARGE, Outbox, Sender, sender_for

MAX_HEAD: Final = 2**18  # bytes of a status line with its headers, or of anything else that brings no body
VARYING: Final = frozenset({LENGTH, b"date", b"x-request-id"})
"""Headers of an answer that are others in the next, and that nobody here asks for."""
MAX_BUFFERED: Final = 2**18  # bytes that wait for their reader before the connection is told to pause


class Link(asyncio.Protocol):
    """One connection, and the answer that comes on it: one exchange at a time, `Pool` sees to that.

    Header names are lower-case, repeated ones joined by commas. ``released`` is told that an exchange is over.
    """

    def __init__(self, released: "Callable[[Link], None]") -> None:
        self._released = released
        self.status = 0
        self.headers: dict[str, str] = {}
        self.head_done = False
        self.complete = False
        self.idle_since = 0.0
        self.lost: str | None = None
        self._transport: Sender | None = None
        self.outbox: Outbox
        """With whose writes its own go out; there once it is connected."""
        self.loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._bodiless = 0  # bytes that came since the last of a body
        self._to_end_of_stream = False
        self._keep_alive = False
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._paused = False
        self._unasked = False
        self._known: tuple[KnownHead, dict[str, str]] | None = None  # the last answer's, if it may come again

    @property
    def reusable(self) -> bool:
        """Whether another exchange can follow on this connection."""
        return self.complete and self._keep_alive and self.lost is None and not self._closing()

    def _closing(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def send(self, data: bytes, rest: bytes = b"") -> None:
        """Send a request, the ``rest`` of it apart: from now on its answer is waited for."""
        assert self._transport is not None
        self.status, self.headers, self.complete = 0, {}, False
        self.head_done = self._to_end_of_stream = self._keep_alive = False
        self._bodiless = 0
        self._chunks.clear()  # the rest of an answer that nobody read
        self._buffered = 0
        self._resume()
        if rest or self.outbox.exchanges <= 1:
            self._transport.write(data)
            if rest:
                self._transport.write(rest)
        else:
            self._transport.write_soon(data)

    async def chunk(self) -> bytes:
        """The next bytes of the body, empty at its end. Raises `ConnectionLost` when the connection broke."""
        while not self._chunks:
            if self.complete:
                return b""
            await self.more()
        data = self._chunks.popleft()
        if self._chunks and len(data) < LARGE:  # many small ones are read faster together, large ones without a copy
            data = b"".join((data, *self._chunks))
            self._chunks.clear()
        self._buffered -= len(data)
        if not self._chunks:
            self._resume()
        return data

    def whole(self) -> bytes | None:
        """The rest of the body, if the answer has ended, else None."""
        if not self.complete:
            return None
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._buffered = 0
        self._resume()
        return data

    def release(self) -> None:
        """Done with the answer: who leaves it before its end closes the connection."""
        self._released(self)

    def abort(self) -> None:
        """Close at once."""
        self._fail("closed")
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = sender_for(transport, self.loop)  # type: ignore[arg-type]
        self.outbox = self._transport.outbox

    def data_received(self, data: bytes) -> None:
        first = not self.head_done and not self._bodiless  # of the answer
        if first and self._known is not None and (read := self._known[0].read(data)) is not None:
            self._take_known(self._known[1], read[1])
            return
        self._bodiless += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._break("the answer is not HTTP")
            return
        if self._bodiless > MAX_HEAD and not self.complete:
            self._break(f"the headers of the answer are over {MAX_HEAD} bytes")
        elif self._buffered > MAX_BUFFERED and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        if self._unasked:
            self._keep_alive = False
        elif first and self.status == 200 and self.reusable and "transfer-encoding" not in self.headers:
            # An interim answer may come first, with a length of its own.
            head = known_head(data, VARYING) if data[9:12] == b"200" else None
            lasting = {name: value for name, value in self.headers.items() if name.encode("latin-1") not in VARYING}
            self._known = None if head is None else (head, lasting)
        self._wake()

    def _take_known(self, headers: dict[str, str], body: bytes) -> None:
        """A whole answer came with the head of one before: what the parser would say of it has been said."""
        self.status, self.headers = 200, headers
        self.head_done = self.complete = self._keep_alive = True
        if body:
            self._chunks.append(body)
            self._buffered = len(body)
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.head_done and self._to_end_of_stream and exc is None:
            self.complete = True
        self._fail("the server closed the connection" if exc is None else reason(exc))

    def on_message_begin(self) -> None:
        self._unasked = self.complete  # a second answer to one request: it is not looked at

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._unasked or self.head_done:  # a trailer, which may not change the head (RFC 9110 §6.5.1)
            return
        key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip()
        self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        if self._unasked:
            return
        self.status = self._parser.get_status_code()
        if self.status < 200:  # an interim answer (RFC 9110 §15.2); the real one follows
            return
        self._keep_alive = self._parser.should_keep_alive()
        framed = "content-length" in self.headers or "transfer-encoding" in self.headers
        self._to_end_of_stream = not framed  # the parser itself ends what has no body: 204, 304
        self.head_done = True

    def on_body(self, data: bytes) -> None:
        if self._unasked:
            return
        self._chunks.append(data)
        self._buffered += len(data)
        self._bodiless = 0

    def on_message_complete(self) -> None:
        if self.status < 200:
            self.headers = {}
        else:
            self.complete = True

    def _resume(self) -> None:
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def _break(self, reason: str) -> None:
        self._fail(reason)
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, reason: str) -> None:
        if self.lost is None:
            self.lost = reason
        self._wake()

    def more(self) -> "asyncio.Future[None]":
        """Done when something came of the answer. Raises `ConnectionLost` where nothing can any more."""
        if self.lost is not None:
            raise ConnectionLost(f"the connection broke: {self.lost}")
        waiter = self._waiter = self.loop.create_future()
        return waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


def reason(exc: Exception) -> str:
    """What a connection failed of, for people; the numbers of TLS and of name lookups are none of the system's."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({exc.verify_message})"
    if isinstance(exc, ssl.SSLError):
        return f"TLS failed ({(getattr(exc, 'reason', None) or 'no reason given').lower().replace('_', ' ')})"
    if isinstance(exc, socket.gaierror):
        return exc.strerror or "the name is not known"
    if isinstance(exc, OSError) and exc.errno:
        return os.strerror(exc.errno)
    return str(exc) or "the server closed the connection"
