"""One HTTP request at a door, checked so far, and the form that a JSON-RPC message must have."""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from weakref import ReferenceType

from gateway.eras.sessions import Sessions
from gateway.errors import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    PARSE_ERROR,
    McpError,
    RateLimited,
    Refused,
    http_status,
    to_error,
)
from gateway.request import Entrant
from gateway.service import Service, at_end
from gateway.telemetry.current import Serving
from gateway.transports.entrance import Entrance, NotAdmitted
from gateway.transports.exchange import Exchange, Header, Receive, Scope
from gateway.transports.guard import OWS
from upstreams import wire

if TYPE_CHECKING:
    from gateway.transports.turn import Turn  # brings the HTTP server, which stdio does without

log = logging.getLogger("onegate.http")

MAX_DEPTH: Final = 64
SESSION_HEADER: Final = "mcp-session-id"
IDS: Final = frozenset({str, int, wire.BigInt})
RETRY_AFTER: Final = (b"retry-after", b"1")


@dataclass(slots=True)
class Settled:
    """What the head of a request has settled: a client that sends an equal one next is not looked at again.

    It holds under ``entrance``, whose config a reload replaces, and as long as ``entrant`` lasts. It keeps no config
    that is gone: a connection may be idle, or send other heads, for days.
    """

    entrance: ReferenceType[Entrance]
    entrant: Entrant
    door: str
    headers: dict[str, str]
    varying: tuple[str, ...]
    """Which headers may have another value the next time, in the order in which they stand."""
    streams: bool
    """Whether the client takes an event stream."""
    seen: Mapping[str, Any]
    """What a trusted proxy says of the request in place of its ASGI scope; empty without one."""
    again: "Again"
    typed: bool = False
    """Whether its body is of a type that is taken."""

    def serve(self, turn: "Turn") -> Awaitable[None] | None:
        """See `Kept`."""
        return self.again(turn, self)

    def headers_with(self, values: list[bytes]) -> Mapping[str, str]:
        """Those of another request with an equal head, in which those that vary have these values."""
        found = self.headers.copy()
        for name, value in zip(self.varying, values):  # noqa: B905  # strict would cost more than the rest
            found[name] = value.decode("latin-1").strip(OWS)
        return found


Again = Callable[["Turn", Settled], Awaitable[None] | None]
"""Serves another request with a head that an equal one has settled; None where that holds no longer."""


@dataclass(slots=True)
class Inbound:
    """One HTTP request. Header names are lower-case, values stripped; of a repeated header it holds the last."""

    service: Service
    sessions: Sessions
    method: str
    door: str
    headers: Mapping[str, str]
    entrant: Entrant
    exchange: Exchange
    serving: Serving
    receive: Receive
    made: Scope | None = None
    """Its ASGI scope, as its client made it once that is known; None while nobody needs it."""
    turn: "Turn | None" = None
    """The server's side of it, where that is ours."""
    settled: Settled | None = None
    admitted_by: Entrance | None = None
    reply_id: Any = None
    """The id of the request, once it is known to have one: every answer goes under it (JSON-RPC 2.0 §5)."""
    expired: bool = False
    """Whether the caller's token ended while its answer was a stream."""

    @property
    def scope(self) -> Scope:
        """Its ASGI scope."""
        if self.made is None:
            assert self.turn is not None
            assert self.settled is not None
            self.made = {**self.turn.scope, **self.settled.seen}
        return self.made

    @property
    def raw_headers(self) -> list[Header]:
        """As they were sent, repeated ones included."""
        headers: list[Header] = self.scope["headers"]
        return headers

    @property
    def request_id(self) -> str:
        """Names the request in the log and in its answer."""
        return self.serving.request_id

    def canceller(self) -> Callable[[], None]:
        """What cancels the task that serves it, as a client that hangs up does."""
        return canceller() if self.turn is None else self.turn.cancel

    def until_expired(self) -> Callable[[], None]:
        """Cancel what serves it when the caller's credential ends; returns what takes that back."""
        return at_end(self.entrant, self._expire)

    def _expire(self) -> None:
        self.expired = True
        assert self.turn is not None
        self.turn.cancel()

    async def refuse(self, error: McpError, table: Mapping[int, int]) -> None:
        """Answer with a JSON-RPC error and the HTTP status that it has in this era."""
        if self.exchange.gone:
            return
        status = http_status(error, table)
        for name, value in headers_of(error, status):
            self.exchange.add_header(name, value)
        if status >= 500:  # what an upstream or a fault of ours is behind is told elsewhere
            log.log(logging.INFO if isinstance(error, Refused) else logging.DEBUG, "%d: %s", status, error.message)
        message = {"jsonrpc": "2.0", "id": self.reply_id, "error": error.member()}
        await self.exchange.finish(status, message)

    async def not_allowed(self, allow: str) -> None:
        """Answer 405 (RFC 9110 §15.5.6)."""
        error = {"code": INVALID_REQUEST, "message": f"Method not allowed: {self.method}"}
        body = wire.dumps({"jsonrpc": "2.0", "id": None, "error": error})
        await self.exchange.respond(405, body, ((b"allow", allow.encode()),))


def told(exc: Exception, request_id: str, log: logging.Logger) -> McpError:
    """What the caller gets of a failure; one that nobody foresaw is for the log."""
    error = to_error(exc, request_id)
    if error.code == INTERNAL_ERROR and error.data == {"request_id": request_id}:
        log.error("a request failed", exc_info=exc)
    return error


def headers_of(error: Exception, status: int) -> list[Header]:
    """What an answer says of an error beside its body: how to get in, when to come back."""
    headers: list[Header] = []
    if isinstance(error, NotAdmitted) and error.challenge:
        headers.append((b"www-authenticate", error.challenge.encode("latin-1")))
    if isinstance(error, RateLimited):
        headers.append((b"retry-after", b"%d" % error.seconds))
    elif status == 503:
        headers.append(RETRY_AFTER)
    return headers


def parsed(body: bytes) -> Any:
    """Parse a message from a client. Raises `McpError`."""
    try:
        message = wire.loads(body)
    except ValueError:
        raise McpError(PARSE_ERROR, "Parse error: not JSON") from None
    if wire.too_deep(body, message, MAX_DEPTH):
        raise McpError(PARSE_ERROR, f"Parse error: nested deeper than {MAX_DEPTH}")
    return message


def check_message(message: Any) -> None:
    """JSON-RPC 2.0 §4, with ids as MCP has them: a text or an integer, never null. Raises `McpError`."""
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise McpError(INVALID_REQUEST, "Invalid request: not a JSON-RPC 2.0 message")
    if "method" in message:
        fine = isinstance(message["method"], str) and isinstance(message.get("params", {}), dict)
    else:
        fine = "id" in message and ("result" in message or "error" in message)
    if not fine or type(message.get("id", "")) not in IDS:
        raise McpError(INVALID_REQUEST, "Invalid request: not a JSON-RPC request, notification or response")


def canceller() -> Callable[[], None]:
    """What cancels the present task, as a client that hangs up does."""
    task = asyncio.current_task()
    assert task is not None
    return functools.partial(_cancel, task)


def resume() -> None:
    """Go on in a task that was cancelled for a reason that is known, and has been dealt with."""
    task = asyncio.current_task()
    assert task is not None
    task.uncancel()


def _cancel(task: "asyncio.Task[Any]") -> None:
    task.cancel()
