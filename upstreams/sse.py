"""An upstream over HTTP+SSE, the transport of MCP 2024-11-05: one GET stream in, a POST for each message out."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

from upstreams.config import ServerEntry
from upstreams.connection import Call, Wiring
from upstreams.duplex import Duplex
from upstreams.errors import ConnectionLost
from upstreams.events import Event, EventParser, EventTooLarge
from upstreams.urls import Url, joined
from upstreams.web import HttpStatus, WebClient, media_type, status_line

log = logging.getLogger("onegate.upstream")

ENDPOINT_SECONDS: Final = 15.0  # the endpoint event is the first thing on the stream


class SseConnection:
    """The stream, the endpoint that it named, and the messages on both."""

    def __init__(self, entry: ServerEntry, wiring: Wiring) -> None:
        assert entry.url is not None
        self._wiring = wiring
        self._web = WebClient(entry.url, entry.headers, wiring.max_message)
        self._duplex = Duplex(wiring, self._send, self._bad_message)
        self._endpoint: asyncio.Future[Url] = asyncio.get_running_loop().create_future()
        self._closed = asyncio.Event()

    @classmethod
    async def start(cls, entry: ServerEntry, wiring: Wiring) -> "SseConnection":
        """Open the stream and wait for its endpoint. Raises `ConnectionLost`."""
        self = cls(entry, wiring)
        wiring.spawn(self._read)
        try:
            async with asyncio.timeout(ENDPOINT_SECONDS):
                await self._endpoint
        except TimeoutError:
            await self.close()
            raise ConnectionLost("no endpoint event on the stream; is this an HTTP+SSE server?") from None
        except BaseException:
            await self.close()
            raise
        return self

    async def request(self, call: Call) -> dict[str, Any]:
        """See `Connection.request`."""
        return await self._duplex.request(call)

    async def notify(self, method: str, params: dict[str, Any], headers: Mapping[str, str]) -> None:
        """See `Connection.notify`."""
        await self._duplex.notify(method, params)

    async def close(self) -> None:
        """Close the stream and the pool."""
        self._closed.set()
        await self._web.close()

    def kill(self) -> None:
        """Nothing of a remote server is held here."""

    async def _read(self) -> None:
        reason = "the upstream closed its stream"
        try:
            async with self._web.send("GET", {"Accept": "text/event-stream"}) as response:
                if response.status != 200 or media_type(response) != "text/event-stream":
                    raise HttpStatus(response.status, f"{status_line(response.status)}, no event stream")
                parser = EventParser(self._web.max_message)
                while chunk := await response.chunk():
                    for event in parser.feed(chunk):
                        self._take(event)
        except (ConnectionLost, EventTooLarge) as exc:
            reason = str(exc)
        if not self._endpoint.done():
            self._endpoint.set_exception(ConnectionLost(reason))
        if not self._closed.is_set():
            self._duplex.lost(reason)

    def _take(self, event: Event) -> None:
        if event.name != "endpoint":
            self._duplex.receive(event.data)
            return
        if self._endpoint.done():
            return
        endpoint = joined(self._web.url, event.data.decode("utf-8", "replace"))
        if endpoint is not None:
            self._endpoint.set_result(endpoint)
        else:  # the entry's headers hold credentials: they go nowhere else
            self._endpoint.set_exception(ConnectionLost("the server names an endpoint of another origin"))

    async def _send(self, data: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        async with self._web.send("POST", headers, data, await self._endpoint) as response:
            if response.status >= 300:
                raise HttpStatus(response.status, status_line(response.status))

    def _bad_message(self) -> None:
        log.debug("dropped a message that is no JSON-RPC", extra={"upstream": self._wiring.name})
