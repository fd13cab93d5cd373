"""The HTTP client that remote upstreams share: redirects, caps, the choice of a proxy. Knows HTTP, not MCP.

Redirects never leave the origin: what an entry declares goes to the entry's own server and nowhere else.
"""

from collections.abc import Coroutine, Mapping
from http.client import responses
from typing import Any, Final, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from upstreams.errors import ConnectionLost, ErrorReply
from upstreams.pool import Pool
from upstreams.urls import Url, joined, parse_url

REDIRECTS_SAME_METHOD: Final = frozenset({307, 308})


class HttpStatus(ConnectionLost):
    """The server answered with an HTTP status that carries no JSON-RPC reply."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Answer(Protocol):
    """An answer whose head has come. Header names are lower-case."""

    @property
    def status(self) -> int:
        """Of HTTP."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Those of its head."""
        ...

    async def chunk(self) -> bytes:
        """The next bytes of the body, empty at its end. Raises `ConnectionLost`."""
        ...

    def whole(self) -> bytes | None:
        """The rest of the body, if all of it has come, else None."""
        ...

    def release(self) -> None:
        """Done with it, at its end or before."""
        ...


class Carrier(Protocol):
    """What sends requests to one origin."""

    async def open(self, method: str, url: Url, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """Send one request and return its answer's head."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


class WebClient:
    """Requests to one URL. ``headers`` go with every one, bodies are at most ``max_message`` bytes."""

    def __init__(self, url: str, headers: Mapping[str, str], max_message: int) -> None:
        self.url = parse_url(url)
        self.max_message = max_message
        self._carrier = _carrier(self.url, headers)

    def send(
        self, method: str, headers: Mapping[str, str], body: bytes | None = None, url: Url | None = None
    ) -> "Sending":
        """Send one request when the returned context is entered, following at most one redirect within the origin.

        Entering gives the answer, leaving releases it. Raises `Unreachable` when nothing was sent, `ConnectionLost`
        when the connection broke.
        """
        return Sending(self.open(method, headers, body, url))

    async def open(
        self, method: str, headers: Mapping[str, str], body: bytes | None = None, url: Url | None = None
    ) -> Answer:
        """See `send`; whoever calls this releases the answer."""
        url = url or self.url
        answer = await self._carrier.open(method, url, headers, body)
        if answer.status in REDIRECTS_SAME_METHOD:
            onward = joined(url, answer.headers.get("location", ""))
            if onward is not None:
                answer.release()
                answer = await self._carrier.open(method, onward, headers, body)
        return answer

    async def read(self, answer: Answer) -> bytes:
        """Read a whole body, at most ``max_message`` bytes; a longer one raises `ErrorReply`."""
        whole = answer.whole()
        self._check(answer, 0 if whole is None else len(whole))
        if whole is not None:
            return whole
        chunks, size = [], 0
        while chunk := await answer.chunk():
            chunks.append(chunk)
            size += len(chunk)
            self._check(answer, size)
        return b"".join(chunks)  # one alone is not copied

    def _check(self, answer: Answer, size: int) -> None:
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise ErrorReply(-32603, "The upstream's answer is compressed, which it was asked not to be")
        if size > self.max_message:
            raise ErrorReply(-32603, f"The upstream's answer is over {self.max_message} bytes")

    async def close(self) -> None:
        """Close every connection; whoever still reads from one gets `ConnectionLost`."""
        await self._carrier.close()


class Sending:
    """One request and its answer, as a context."""

    __slots__ = ("_answer", "_opening")

    def __init__(self, opening: Coroutine[Any, Any, Answer]) -> None:
        self._opening = opening
        self._answer: Answer | None = None

    async def __aenter__(self) -> Answer:
        self._answer = await self._opening
        return self._answer

    async def __aexit__(self, *exc: object) -> None:
        if self._answer is not None:
            self._answer.release()


def media_type(answer: Answer) -> str:
    """The media type of an answer's body, lower-case, without parameters."""
    kind = answer.headers.get("content-type", "")
    return kind if kind == "application/json" else kind.partition(";")[0].strip().lower()


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for ``url`` (HTTP_PROXY, HTTPS_PROXY, NO_PROXY), or None."""
    parts = urlsplit(url)
    if not parts.hostname or proxy_bypass(parts.hostname):
        return None
    return getproxies().get(parts.scheme)


def status_line(status: int) -> str:
    """A status in words of our own: what the server says there may repeat the credentials that it was sent."""
    return f"HTTP {status} {responses.get(status, '')}".rstrip()


def _carrier(url: Url, headers: Mapping[str, str]) -> Carrier:
    proxy = proxy_for(url.text)
    if proxy is None:
        return Pool(url, headers)
    from upstreams.proxied import ProxiedPool  # aiohttp takes 0.2 s to load

    return ProxiedPool(url, headers, proxy)
