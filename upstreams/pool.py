"""An HTTP/1.1 client for one origin: a pool of connections, answers as they come. Knows HTTP (RFC 9112), not MCP.

Reading is paused while nobody takes what came; leaving an answer before its end closes its connection.
"""

import asyncio
import os
import ssl
from collections import deque
from collections.abc import Mapping
from typing import Final

import httptools

from upstreams.errors import ConnectionLost, Unreachable
from upstreams.urls import Url

CONNECT_SECONDS: Final = 10.0  # a host that is there answers a SYN much sooner
KEEPALIVE_SECONDS: Final = 4.0  # uvicorn, the server of most Python upstreams, closes an idle connection after 5
MAX_HEAD: Final = 2**18  # bytes of a status line with its headers
MAX_BUFFERED: Final = 2**18  # bytes that wait for their reader before the connection is told to pause


class Link(asyncio.Protocol):
    """One connection. It carries one exchange at a time; `Pool` sees to that."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.complete = False
        self.idle_since = 0.0
        self.lost: str | None = None
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._head_done = False
        self._head_size = 0
        self._to_end_of_stream = False
        self._keep_alive = False
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._paused = False
        self._unasked = False

    @property
    def reusable(self) -> bool:
        """Whether another exchange can follow on this connection."""
        return self.complete and self._keep_alive and self.lost is None and not self._closing()

    def _closing(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    async def exchange(self, data: bytes) -> None:
        """Send a request and wait for the head of its answer. Raises `ConnectionLost`."""
        assert self._transport is not None
        self.status, self.headers, self.complete = 0, {}, False
        self._head_done = self._to_end_of_stream = self._keep_alive = False
        self._head_size = 0
        self._chunks.clear()  # the rest of an answer that nobody read
        self._buffered = 0
        self._resume()
        self._transport.write(data)
        while not self._head_done:
            await self._wait()

    async def chunk(self) -> bytes:
        """The next bytes of the body, empty at its end. Raises `ConnectionLost` when the connection broke."""
        while not self._chunks:
            if self.complete:
                return b""
            await self._wait()
        data = b"".join(self._chunks) if len(self._chunks) > 1 else self._chunks[0]
        self._chunks.clear()
        self._buffered = 0
        self._resume()
        return data

    def abort(self) -> None:
        """Close at once."""
        self._fail("closed")
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if not self._head_done:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._break("the answer is not HTTP")
            return
        if not self._head_done and self._head_size > MAX_HEAD:
            self._break(f"the head of the answer is over {MAX_HEAD} bytes")
        elif self._buffered > MAX_BUFFERED and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        if self._unasked:
            self._keep_alive = False
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._head_done and self._to_end_of_stream and exc is None:
            self.complete = True
        code = exc.errno if isinstance(exc, OSError) else None
        self._fail(os.strerror(code) if code else "the server closed the connection")

    def on_message_begin(self) -> None:
        self._unasked = self.complete  # a second answer to one request: it is not looked at

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._unasked:
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
        self._to_end_of_stream = not framed and self.status not in (204, 304)
        self._head_done = True

    def on_body(self, data: bytes) -> None:
        if self._unasked:
            return
        self._chunks.append(data)
        self._buffered += len(data)

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

    async def _wait(self) -> None:
        if self.lost is not None:
            raise ConnectionLost(f"the connection broke: {self.lost}")
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class PooledAnswer:
    """One answer of a `Pool`. Header names are lower-case, repeated ones joined by commas."""

    __slots__ = ("_link", "_pool", "headers", "status")

    def __init__(self, pool: "Pool", link: Link) -> None:
        self._pool = pool
        self._link = link
        self.status = link.status
        self.headers: Mapping[str, str] = link.headers

    async def chunk(self) -> bytes:
        """The next bytes of the body, empty at its end. Raises `ConnectionLost`."""
        return await self._link.chunk()

    def release(self) -> None:
        """Done with it: the connection goes back to the pool, or is closed when the answer has not ended."""
        self._pool.give_back(self._link)


class Pool:
    """Connections to one origin. ``headers`` go with every request."""

    def __init__(self, origin: Url, headers: Mapping[str, str]) -> None:
        self._origin = origin
        self._tls = ssl.create_default_context() if origin.scheme == "https" else None
        self._idle: list[Link] = []
        self._busy: set[Link] = set()
        self._closed = False
        self._sweeping: asyncio.TimerHandle | None = None
        own = {"Host": origin.authority, "User-Agent": "onegate", "Accept-Encoding": "identity"}
        if origin.basic is not None:
            own["Authorization"] = origin.basic
        declared = {name.lower() for name in headers}
        own = {name: value for name, value in own.items() if name.lower() not in declared}
        self._standing = "".join(map(_line, {**own, **headers}.items()))

    async def open(self, method: str, url: Url, headers: Mapping[str, str], body: bytes | None) -> PooledAnswer:
        """Send one request. Raises `Unreachable` when nothing was sent, `ConnectionLost` when no answer came."""
        length = "" if body is None else f"Content-Length: {len(body)}\r\n"
        head = f"{method} {url.target} HTTP/1.1\r\n{self._standing}{''.join(map(_line, headers.items()))}{length}\r\n"
        link = await self._link()
        try:
            await link.exchange(head.encode() + (body or b""))
        except BaseException:
            self.give_back(link)
            raise
        return PooledAnswer(self, link)

    async def close(self) -> None:
        """Close every connection; whoever still reads from one gets `ConnectionLost`."""
        self._closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        for link in [*self._idle, *self._busy]:
            link.abort()
        self._idle.clear()

    def give_back(self, link: Link) -> None:
        """Keep a connection that ended its exchange well, close any other."""
        self._busy.discard(link)
        if not link.reusable or self._closed:
            link.abort()
            return
        link.idle_since = asyncio.get_running_loop().time()
        self._idle.append(link)
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(KEEPALIVE_SECONDS, self._sweep)

    async def _link(self) -> Link:
        if self._closed:
            raise ConnectionLost("the connection was closed")
        oldest = asyncio.get_running_loop().time() - KEEPALIVE_SECONDS
        while self._idle:
            link = self._idle.pop()
            if link.idle_since > oldest and link.reusable:
                break
            link.abort()
        else:
            link = await self._connect()
        self._busy.add(link)
        return link

    async def _connect(self) -> Link:
        origin, loop = self._origin, asyncio.get_running_loop()
        where = f"cannot connect to {origin.host}:{origin.port}"
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, link = await loop.create_connection(
                    Link, origin.host, origin.port, ssl=self._tls, server_hostname=origin.host if self._tls else None
                )
        except TimeoutError as exc:
            raise Unreachable(f"{where}: timed out") from exc
        except ssl.SSLCertVerificationError as exc:
            raise Unreachable(f"{where}: its certificate is not trusted ({exc.verify_message})") from exc
        except (OSError, UnicodeError) as exc:
            code = getattr(exc, "errno", None)
            reason = os.strerror(code) if code and code > 0 else str(getattr(exc, "strerror", None) or exc)
            raise Unreachable(f"{where}: {reason}") from exc
        return link

    def _sweep(self) -> None:
        """Close what was idle for too long; look again while anything is idle."""
        loop = asyncio.get_running_loop()
        oldest = loop.time() - KEEPALIVE_SECONDS
        kept = [link for link in self._idle if link.idle_since > oldest and link.reusable]
        for link in self._idle:
            if link not in kept:
                link.abort()
        self._idle = kept
        self._sweeping = loop.call_later(KEEPALIVE_SECONDS, self._sweep) if kept else None


def _line(header: tuple[str, str]) -> str:
    name, value = header
    if "\n" in value or "\r" in value:  # a second header, smuggled in with a value
        raise ConnectionLost(f"the header {name} holds a line break")
    return f"{name}: {value}\r\n"
