"""HTTP through a proxy that the environment names, on aiohttp; the same answers as `Pool` gives. Knows no MCP.

Cookies are not kept, .netrc is not read, redirects are not followed.
"""

import ssl
from collections.abc import Mapping
from typing import Final

import aiohttp
from yarl import URL

from upstreams.errors import ConnectionLost, Unreachable
from upstreams.link import reason
from upstreams.pool import CONNECT_SECONDS, KEEPALIVE_SECONDS, header_lines, overlaid, standing_headers
from upstreams.urls import Url

READ_CHUNK: Final = 2**16


class ProxiedAnswer:
    """One answer that came through the proxy. Header names are lower-case, repeated ones joined by commas."""

    def __init__(self, response: aiohttp.ClientResponse, held: set[aiohttp.ClientResponse]) -> None:
        self._response = response
        self._held = held
        held.add(response)
        self.status = response.status
        names = {name.lower() for name in response.headers}
        self.headers: Mapping[str, str] = {name: ", ".join(response.headers.getall(name)) for name in names}

    async def chunk(self) -> bytes:
        """The next bytes of the body, empty at its end. Raises `ConnectionLost`."""
        try:
            return await self._response.content.read(READ_CHUNK)
        except (aiohttp.ClientError, OSError) as exc:
            raise ConnectionLost(f"the connection broke: {_reason(exc)}") from exc

    def whole(self) -> None:
        """How much has come is not told: `chunk` brings it."""

    def release(self) -> None:
        """Done with it: the connection is kept, or closed when the answer has not ended."""
        self._held.discard(self._response)
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


class ProxiedPool:
    """Connections to one origin through ``proxy``. ``headers`` go with every request."""

    def __init__(self, origin: Url, headers: Mapping[str, str], proxy: str) -> None:
        self._proxy = proxy
        self._where = f"cannot connect to {origin.host}:{origin.port} through the proxy"
        self._answers: set[aiohttp.ClientResponse] = set()
        self._standing = standing_headers(origin, headers)  # not the session's: it sends those to the proxy, in CONNECT
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                keepalive_timeout=KEEPALIVE_SECONDS,
                ssl=ssl.create_default_context() if origin.scheme == "https" else True,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        )

    async def open(self, method: str, url: Url, headers: Mapping[str, str], body: bytes | None) -> ProxiedAnswer:
        """Send one request. Raises `Unreachable` when nothing was sent, `ConnectionLost` when no answer came."""
        if self._session.closed:
            raise ConnectionLost("the connection was closed")
        header_lines(headers)  # refuses line breaks
        try:
            response = await self._session.request(
                method,
                URL(f"{url.scheme}://{url.authority}{url.target}", encoded=True),
                data=body,
                headers=overlaid(self._standing, headers),
                allow_redirects=False,
                proxy=self._proxy,
            )
        except aiohttp.InvalidURL as exc:  # the proxy's: `open` is given a URL that was parsed
            raise Unreachable(f"{self._where}: its URL in the environment is not a URL") from exc
        except aiohttp.ClientHttpProxyError as exc:
            raise Unreachable(f"{self._where}: it answered {exc.status}") from exc
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as exc:
            raise Unreachable(f"{self._where}: {_reason(exc)}") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise ConnectionLost(f"the connection broke: {_reason(exc)}") from exc
        return ProxiedAnswer(response, self._answers)

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
        exc = exc.certificate_error
    elif isinstance(exc, aiohttp.ClientConnectorError):
        exc = exc.os_error
    if isinstance(exc, aiohttp.ServerDisconnectedError):
        return "the server closed the connection"
    return "failed" if isinstance(exc, aiohttp.ClientError) and not isinstance(exc, OSError) else reason(exc)
