"""HTTP through a proxy that the environment names, on aiohttp; the same answers as `Pool` gives. Knows no MCP.

Cookies are not kept, .netrc is not read, redirects are not followed.
"""

import os
import ssl
from collections.abc import Mapping
from typing import Final

import aiohttp
from yarl import URL

from upstreams.errors import ConnectionLost, Unreachable
from upstreams.pool import CONNECT_SECONDS, KEEPALIVE_SECONDS
from upstreams.urls import Url

READ_CHUNK: Final = 2**16


class ProxiedAnswer:
    """One answer that came through the proxy. Header names are lower-case."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}

    async def chunk(self) -> bytes:
        """The next bytes of the body, empty at its end. Raises `ConnectionLost`."""
        try:
            return await self._response.content.read(READ_CHUNK)
        except (aiohttp.ClientError, OSError) as exc:
            raise ConnectionLost(f"the connection broke: {_reason(exc)}") from exc

    def release(self) -> None:
        """Done with it: the connection is kept, or closed when the answer has not ended."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


class ProxiedPool:
    """Connections to one origin through ``proxy``. ``headers`` go with every request."""

    def __init__(self, origin: Url, headers: Mapping[str, str], proxy: str) -> None:
        self._proxy = proxy
        self._where = f"cannot connect to {origin.host}:{origin.port}"
        self._answers: set[aiohttp.ClientResponse] = set()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            headers={"User-Agent": "onegate", "Accept-Encoding": "identity", **headers},
        )

    async def open(self, method: str, url: Url, headers: Mapping[str, str], body: bytes | None) -> ProxiedAnswer:
        """Send one request. Raises `Unreachable` when nothing was sent, `ConnectionLost` when no answer came."""
        if self._session.closed:
            raise ConnectionLost("the connection was closed")
        try:
            response = await self._session.request(
                method,
                URL(url.text, encoded=True),
                data=body,
                headers=headers,
                allow_redirects=False,
                proxy=self._proxy,
            )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as exc:
            raise Unreachable(f"{self._where}: {_reason(exc)}") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise ConnectionLost(f"the connection broke: {_reason(exc)}") from exc
        self._answers.add(response)
        return ProxiedAnswer(response)

    async def close(self) -> None:
        """Close every connection; whoever still reads from one gets `ConnectionLost`."""
        for response in self._answers:
            response.close()
        await self._session.close()


def _reason(exc: Exception) -> str:
    """What went wrong, without the URL, which may hold a key, and without the bytes that came."""
    if isinstance(exc, aiohttp.ConnectionTimeoutError):
        return "timed out"
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not trusted"
    cause = exc.os_error if isinstance(exc, aiohttp.ClientConnectorError) else exc
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({cause.verify_message})"
    if isinstance(cause, OSError):
        return os.strerror(cause.errno) if cause.errno and cause.errno > 0 else str(cause.strerror or "failed")
    return "the server closed the connection" if isinstance(exc, aiohttp.ServerDisconnectedError) else "failed"
