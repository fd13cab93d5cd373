"""One request on a connection and its answer: uvicorn's cycle, without what an answer in one piece does not need.

uvicorn writes head and body apart, each by a system call, and makes for every request what only streams and slow bodies
use. Knows uvicorn's cycle, nothing of what is asked or answered.
"""

import asyncio
import functools
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

COLON: Final = b": ".join
END: Final = (b"", b"")  # of a head whose lines are joined
LAST_END: Final = (b"connection: close", *END)


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
    method = "POST"
    task: "asyncio.Task[None]"
    """What serves it, once it is its turn."""
    _event: asyncio.Event | None = None
    _taken = False

    _scope: Any = None
    _values: list[bytes] | None = None

    def __init__(self, protocol: "HttpToolsProtocol", keep_alive: bool, body: bytes | None = None) -> None:
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

    @classmethod
    def first(cls, protocol: "HttpToolsProtocol", scope: Any, keep_alive: bool, body: bytes | None = None) -> "Turn":
        """One whose head was parsed."""
        turn = cls(protocol, keep_alive, body)
        turn.method = scope["method"]
        turn._scope = scope
        return turn

    @classmethod
    def again(cls, protocol: "HttpToolsProtocol", head: Head, values: list[bytes], body: bytes) -> "Turn":
        """One whose head is known but for the values that vary, and whose body is here."""
        turn = cls(protocol, True, body)
        turn.head = head
        turn._values = values
        return turn

    @property
    def scope(self) -> Any:  # type: ignore[override]
        """Its ASGI scope; made when somebody asks for it."""
        if self._scope is None:
            assert self.head is not None
            self._scope = {**self.head.scope, "headers": self.head.headers_with(self.values)}
        return self._scope

    @property
    def values(self) -> list[bytes]:
        """Those of the headers that vary, in the order of the places of its `head`."""
        if self._values is None:
            assert self.head is not None
            self._values = [self._scope["headers"][place][1] for place in self.head.places]
        return self._values

    @property
    def message_event(self) -> asyncio.Event:  # type: ignore[override]
        """Set when something came, or the client went."""
        if self._event is None:
            self._event = asyncio.Event()
        return self._event

    async def serve(self, app: Any) -> None:
        """Have the application answer; one that fails to is dealt with as uvicorn does."""
        try:
            served = None if self.head is None or self.head.kept is None else self.head.kept.serve(self)
            if served is None:
                self.scope[TURN] = self
                served = app(self.scope, self.receive, self.send)
            await served
            if not self.response_complete and not self.disconnected:
                await self.run_asgi(_nothing)
        except BaseException as exc:
            raised = [exc]
            await self.run_asgi(functools.partial(_raise, raised))
        finally:
            self.on_response = _no_more
            self._served.discard(self.task)

    def cancel(self) -> None:
        """Cancel what serves it."""
        self.task.cancel()

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
        lines = [*map(COLON, headers), *(END if self.keep_alive else LAST_END)]
        head = STATUS_LINE[status] + b"\r\n".join(lines)
        if len(head.splitlines()) > len(lines):
            raise RuntimeError("a header holds a line break")
        self.response_started = True
        self.waiting_for_100_continue = False
        self._write(head, b"" if self.method == "HEAD" else body)
        self.response_complete = True
        if self._event is not None:
            self._event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    def _write(self, head: bytes, body: bytes) -> None:
        if len(body) > LARGE:  # is not copied
            self.transport.write(head)
            self.transport.write(body)
        elif len(self._served) > 1:
            self.transport.write_soon(head + body)
        else:  # one alone has nobody to go out with
            self.transport.write(head + body)


async def _nothing(*_: Any) -> None:
    return None


async def _raise(raised: list[BaseException], *_: Any) -> None:
    raise raised.pop()  # what kept it would be kept by it, as its traceback holds this frame


def _no_more() -> None:
    """The connection has gone on to the next request."""
