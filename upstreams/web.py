"""The HTTP client that remote upstreams share: pool, proxies, redirects, caps. Knows HTTP, not MCP.

Cookies are not kept, .netrc is not read, redirects never leave the origin: what an entry declares goes to the entry's
own server and nowhere else.
"""

import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http.client import responses
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from upstreams.errors import ConnectionLost, ErrorReply, Unreachable

CONNECT_SECONDS: Final = 10.0  # a host that is there answers a SYN much sooner
KEEPALIVE_SECONDS: Final = 4.0  # uvicorn, the server of most Python upstreams, closes an idle connection after 5
READ_CHUNK: Final = 2**16
REDIRECTS_SAME_METHOD: Final = frozenset({307, 308})


class HttpStatus(ConnectionLost):
    """The server answered with an HTTP status that carries no JSON-RPC reply."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class WebClient:
    """One pool of connections to one URL. ``headers`` go with every request."""

    def __init__(self, url: str, headers: Mapping[str, str], max_message: int) -> None:
        self.url = URL(url, encoded=True)
        self.max_message = max_message
        self._proxy = proxy_for(url)
        self._responses: set[aiohttp.ClientResponse] = set()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            headers=headers,
            skip_auto_headers=("User-Agent",) if any(name.lower() == "user-agent" for name in headers) else (),
            read_bufsize=READ_CHUNK,
        )

    @asynccontextmanager
    async def send(
        self, method: str, headers: Mapping[str, str], body: bytes | None = None, url: URL | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one request, following at most one redirect within the origin; the response is released at exit.

        Raises `Unreachable` when nothing was sent, `ConnectionLost` when the connection broke.
        """
        target = url or self.url
        try:
            response = await self._open(method, target, headers, body)
            if response.status in REDIRECTS_SAME_METHOD and (onward := self._within_origin(response)) is not None:
                response.release()
                response = await self._open(method, onward, headers, body)
            async with response:
                self._responses.add(response)
                try:
                    yield response
                finally:
                    self._responses.discard(response)
        except aiohttp.ClientConnectorError as exc:
            raise Unreachable(f"cannot connect to {target.host}:{target.port}: {_connect_reason(exc)}") from exc
        except aiohttp.ConnectionTimeoutError as exc:
            raise Unreachable(f"cannot connect to {target.host}:{target.port}: timed out") from exc
        except (aiohttp.ClientError, ConnectionError) as exc:
            raise ConnectionLost(f"the connection broke: {_break_reason(exc)}") from exc

    async def read(self, response: aiohttp.ClientResponse) -> bytes:
        """Read a whole body, at most ``max_message`` bytes; a longer one raises `ErrorReply`."""
        length = response.content_length
        if length is not None and length <= self.max_message and "Content-Encoding" not in response.headers:
            return await response.read()
        chunks, size = [], 0
        while chunk := await response.content.read(READ_CHUNK):
            size += len(chunk)
            if size > self.max_message:
                response.close()
                raise ErrorReply(-32603, f"The upstream's answer is over {self.max_message} bytes")
            chunks.append(chunk)
        return b"".join(chunks)

    async def close(self) -> None:
        """Close every connection of the pool; whoever still reads from one gets `ConnectionLost`."""
        for response in list(self._responses):
            response.close()
        await self._session.close()

    async def _open(
        self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None
    ) -> aiohttp.ClientResponse:
        if self._session.closed:
            raise ConnectionLost("the connection was closed")
        return await self._session.request(
            method, url, data=body, headers=headers, allow_redirects=False, proxy=self._proxy
        )

    def _within_origin(self, response: aiohttp.ClientResponse) -> URL | None:
        return joined(self.url, response.headers.get("Location", ""))


def joined(base: URL, reference: str) -> URL | None:
    """What a server's reference leads to from ``base``, or None where that is no URL of the same origin."""
    try:
        onward = base.join(URL(reference, encoded=True))
        return onward if same_origin(onward, base) else None
    except ValueError:
        return None


def same_origin(one: URL, other: URL) -> bool:
    """Tell whether two URLs share scheme, host and port (RFC 6454 §4)."""
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for ``url`` (HTTP_PROXY, HTTPS_PROXY, NO_PROXY), or None."""
    parts = urlsplit(url)
    if not parts.hostname or proxy_bypass(parts.hostname):
        return None
    return getproxies().get(parts.scheme)


def status_line(status: int) -> str:
    """A status in words of our own: what the server says there may repeat the credentials that it was sent."""
    return f"HTTP {status} {responses.get(status, '')}".rstrip()


def _break_reason(exc: Exception) -> str:
    """What went wrong, without the URL, which may hold a key, and without the bytes that came."""
    if isinstance(exc, OSError):
        return os.strerror(exc.errno) if exc.errno else type(exc).__name__
    if isinstance(exc, aiohttp.ClientResponseError):
        return exc.message.partition("\n")[0].rstrip(":")
    return str(exc) if isinstance(exc, aiohttp.ServerDisconnectedError) else type(exc).__name__


def _connect_reason(exc: aiohttp.ClientConnectorError) -> str:
    cause = exc.os_error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({cause.verify_message})"
    return str(cause.strerror or cause)
