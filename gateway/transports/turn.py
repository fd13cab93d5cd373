"""One request on a connection and its answer: uvicorn's cycle, without what an answer in one piece does not need.

uvicorn writes head and body apart, each by a system call, and makes for every request what only streams and slow bodies
use. Knows uvicorn's cycle, nothing of what is asked or answered.
"""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from gateway.transports.exchange import Header
from gateway.transports.heads import Head
from upstreams.outbox import LARGE

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

TURN: Final = "onegate.turn"
"""Where the ASGI scope of a request has its `Turn`. Applications take it out, as it holds the scope."""


class Turn(RequestResponseCycle):
    """One request and its answer. ``head`` is what the connection remembers of its head, if anything."""

    # What uvicorn sets in each cycle anew.
    access_log = False
    default_headers: list[Header] = []  # noqa: RUF012  # uvicorn only reads it
    disconnected = False
    waiting_for_100_continue = False
    more_body = True
    response_started = False
    response_complete = False
    chunked_encoding: bool | None = None
    expected_content_length = 0

    transport: Any
    """A `Sender`."""
    head: Head | None = None
    task: "asyncio.Task[None]"
    """What serves it, once it is its turn."""
    _event: asyncio.Event | None = None
    _taken = False

    def __init__(self, protocol: "HttpToolsProtocol", scope: Any, keep_alive: bool, body: bytes | None = None) -> None:
        self.scope = scope
        self.transport = protocol.transport
        self.flow = protocol.flow
        self.logger = protocol.logger
        self.keep_alive = keep_alive
        self.on_response = protocol.on_response_complete
        self._served = protocol.tasks  # all that are being served, this one among them
        if body is None:
            self.body: Any = bytearray()
        else:
            self.body, self.more_body = body, False

    @property
    def message_event(self) -> asyncio.Event:  # type: ignore[override]
        """Set when something came, or the client went."""
        if self._event is None:
            self._event = asyncio.Event()
        return self._event

    def take_body(self) -> bytes | None:
        """The whole body if it is here and nobody has it yet, else None: then `receive` brings it."""
        if self.more_body or self._taken or self.disconnected:
            return None
        self._taken = True
        self.flow.resume_reading()
        body, self.body = bytes(self.body), b""
        return body

    def leave(self) -> None:
        """The client is gone."""
        if not self.response_complete:
            self.disconnected = True
            self.message_event.set()

    async def receive(self) -> Any:
        """The next part of the body, or the client's end (ASGI, http)."""
        body = self.take_body()
        if body is not None:
            return {"type": "http.request", "body": body, "more_body": False}
        return await super().receive()

    @property
    def held_up(self) -> bool:
        """Whether an answer has to wait, as the client does not take the ones before."""
        return self.flow.write_paused and not self.disconnected

    async def free(self) -> None:
        """Wait until it is no longer held up."""
        await self.flow.drain()

    def answer(self, status: int, headers: Iterable[Header], body: bytes) -> None:
        """Answer at once; does what `send` would do with start and body. Nothing, where the client is gone."""
        if self.disconnected:
            return
        if self.response_started:
            raise RuntimeError("the response has started")
        lines = [STATUS_LINE[status]]
        for name, value in headers:
            if b"\n" in value or b"\r" in value:
                raise RuntimeError(f"the header {name.decode()} holds a line break")
            lines += (name, b": ", value, b"\r\n")
        lines.append(b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n")
        self.response_started = True
        self.waiting_for_100_continue = False
        self._write(lines, b"" if self.scope["method"] == "HEAD" else body)
        self.response_complete = True
        if self._event is not None:
            self._event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    def _write(self, lines: list[bytes], body: bytes) -> None:
        if len(body) > LARGE:  # is not copied
            self.transport.write(b"".join(lines))
            self.transport.write(body)
            return
        lines.append(body)
        if len(self._served) > 1:
            self.transport.write_soon(b"".join(lines))
        else:  # one alone has nobody to go out with
            self.transport.write(b"".join(lines))
