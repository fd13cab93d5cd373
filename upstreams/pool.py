"""An HTTP/1.1 client for one origin: a pool of connections, answers as they come. Knows HTTP (RFC 9112), not MCP.

Leaving an answer before its end closes its connection.
"""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from upstreams.errors import ConnectionLost, Unreachable
from upstreams.headers import Fixed
from upstreams.link import Link, reason
from upstreams.outbox import LARGE
from upstreams.urls import Url

CONNECT_SECONDS: Final = 10.0  # a host that is there answers a SYN much sooner
MAX_KEPT: Final = 256  # characters of a header that is worth to be remembered
MAX_HEADS: Final = 1_024  # of one pool: one for each tool that is called, some more for each session
MAX_HEAD: Final = 2_048  # bytes of one
KEEPALIVE_SECONDS: Final = 4.0  # uvicorn, the server of most Python upstreams, closes an idle connection after 5


class Pool:
    """Connections to one origin. ``headers`` go with every request."""

    def __init__(self, origin: Url, headers: Mapping[str, str]) -> None:
        self._origin = origin
        self._tls = ssl.create_default_context() if origin.scheme == "https" else None
        self._idle: list[Link] = []
        self._busy: set[Link] = set()
        self._closed = False
        self._sweeping: asyncio.TimerHandle | None = None
        self._heads: dict[tuple[str, str, Fixed], bytes] = {}
        self._standing = header_lines(standing_headers(origin, headers))

    async def open(self, method: str, url: Url, headers: Mapping[str, str], body: bytes | None) -> Link:
        """Send one request; returns the connection, whose answer has begun.

        Raises `Unreachable` when nothing was sent, `ConnectionLost` when no answer came.
        """
        head = self._head(method, url.target, headers)
        data, rest = _request(head, body)
        link = self._kept() or await self._connect()
        self._busy.add(link)
        link.outbox.exchanges += 1
        try:
            link.send(data, rest)
            while not link.head_done:
                await link.more()
        except BaseException:
            self.give_back(link)
            raise
        return link

    def _head(self, method: str, target: str, headers: Mapping[str, str]) -> bytes:
        """The head of a request but for its length. Those of a tool's calls are equal, so they are remembered."""
        if not isinstance(headers, Fixed):
            return self._written(method, target, headers)
        key = (method, target, headers)
        head = self._heads.get(key)
        if head is None:
            head = self._written(method, target, headers)
            if len(self._heads) >= MAX_HEADS:
                self._heads.clear()
            if len(head) <= MAX_HEAD:
                self._heads[key] = head
        return head

    def _written(self, method: str, target: str, headers: Mapping[str, str]) -> bytes:
        lines = {**self._standing, **header_lines(headers)}  # the request's own stand in place of the entry's
        return f"{method} {target} HTTP/1.1\r\n{''.join(lines.values())}".encode()

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
        if link not in self._busy:
            return
        self._busy.remove(link)
        link.outbox.exchanges -= 1
        if not link.reusable or self._closed:
            link.abort()
            return
        link.idle_since = link.loop.time()
        self._idle.append(link)
        if self._sweeping is None:
            self._sweeping = link.loop.call_later(KEEPALIVE_SECONDS, self._sweep)

    def _kept(self) -> Link | None:
        """A connection that another exchange can follow on."""
        if self._closed:
            raise ConnectionLost("the connection was closed")
        while self._idle:
            link = self._idle.pop()
            if link.reusable and link.idle_since > link.loop.time() - KEEPALIVE_SECONDS:
                return link
            link.abort()
        return None

    async def _connect(self) -> Link:
        where = f"cannot connect to {self._origin.host}:{self._origin.port}"
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                link = await self._connect_to_any()
        except TimeoutError as exc:
            raise Unreachable(f"{where}: timed out") from exc
        except (OSError, UnicodeError) as exc:
            raise Unreachable(f"{where}: {reason(exc)}") from exc
        if self._closed:  # meanwhile
            link.abort()
            raise ConnectionLost("the connection was closed")
        return link

    async def _connect_to_any(self) -> Link:
        """A connection to the first address of the host that has one for us. Raises `OSError` of the last one.

        The lookup is awaited apart: uvloop's `create_connection` forgets its own when it is cancelled meanwhile, and
        the loop then logs a failure that nobody took.
        """
        origin, loop = self._origin, asyncio.get_running_loop()
        failure = OSError("the name has no address")
        for *_, address in await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM):
            try:
                _, link = await loop.create_connection(
                    self._link,
                    str(address[0]),
                    origin.port,
                    ssl=self._tls,
                    server_hostname=origin.host if self._tls else None,
                )
            except OSError as exc:
                failure = exc
            else:
                return link
        raise failure

    def _link(self) -> Link:
        return Link(self.give_back)

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


def _request(head: bytes, body: bytes | None) -> tuple[bytes, bytes]:
    """What is written at once, and what apart: a large body is not copied for the sake of one write."""
    if body is None:
        return head + b"\r\n", b""
    if len(body) > LARGE:
        return b"%bContent-Length: %d\r\n\r\n" % (head, len(body)), body
    return b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body), b""


def standing_headers(origin: Url, headers: Mapping[str, str]) -> dict[str, str]:
    """What goes with every request: ``headers``, and of our own what they do not have."""
    own = {"Host": origin.authority, "User-Agent": "onegate", "Accept-Encoding": "identity"}
    if origin.basic is not None:
        own["Authorization"] = origin.basic
    return overlaid(own, headers)


def overlaid(under: Mapping[str, str], over: Mapping[str, str]) -> dict[str, str]:
    """Both; where a name is in both, in whatever case, that of ``over``."""
    names = {name.lower() for name in over}
    return {**{name: value for name, value in under.items() if name.lower() not in names}, **over}


def header_lines(headers: Mapping[str, str]) -> dict[str, str]:
    """The lines of a request's head by lower-case name. Raises `ConnectionLost` for more than a line."""
    return dict((_known_line if len(value) <= MAX_KEPT else _line)(name, value) for name, value in headers.items())


def _line(name: str, value: str) -> tuple[str, str]:
    if any(character in value for character in "\r\n\0"):  # a second header, smuggled in with a value
        raise ConnectionLost(f"the header {name} holds a line break")
    return name.lower(), f"{name}: {value}\r\n"


_known_line = lru_cache(maxsize=4096)(_line)  # a tool's calls have the same ones each time
