"""What every way to reach an upstream offers, and the literal table of the ways; knows no era and no policy."""

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from upstreams.channel import NO_CHANNEL, ClientChannel
from upstreams.config import ServerEntry

Spawn = Callable[..., None]
"""Starts a coroutine function with its arguments in the task group that owns the connection."""

Notice = Callable[[str, dict[str, Any]], None]
"""Takes a notification (method, params) that belongs to no call."""


@dataclass(slots=True, eq=False)
class Call:
    """One request on its way to an upstream. ``headers`` travel only where the transport has headers."""

    method: str
    params: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    channel: ClientChannel = NO_CHANNEL
    progressed: Callable[[], None] | None = None  # called at each progress notification: the time limit moves
    asked: Callable[[], None] | None = None  # called when the client is asked something: a person needs time
    id: int = 0
    """Its id on this hop, and its progress token there, once it is sent."""
    client_token: str | int | None = None
    """The client's own progress token, when it asked for progress."""
    reply: "asyncio.Future[dict[str, Any]] | None" = None
    """Where its reply is put; None where that comes in answer to the request itself."""

    def progress(self, params: dict[str, Any]) -> None:
        """Hand a progress notification to the caller under the caller's own token."""
        if self.progressed is not None:
            self.progressed()
        if self.client_token is not None:
            self.channel.notify("notifications/progress", {**params, "progressToken": self.client_token})


class Connection(Protocol):
    """A live connection: requests, notifications, an end."""

    async def request(self, call: Call) -> dict[str, Any]:
        """Send and wait for the result object.

        Raises `ErrorReply` for a JSON-RPC error, `ConnectionLost` (or `SessionExpired`) when no answer can come.
        Cancelling the caller tells the upstream to cancel.
        """
        ...

    async def notify(self, method: str, params: dict[str, Any], headers: Mapping[str, str]) -> None:
        """Send a notification; `ConnectionLost` when it cannot be sent."""
        ...

    async def close(self) -> None:
        """End the connection and everything it holds; bounded, idempotent."""
        ...

    def kill(self) -> None:
        """End what the connection holds on this machine now, by force where a signal does not."""
        ...


@dataclass(slots=True)
class Wiring:
    """What a connection is given to work with: where notices go, how it starts tasks, whom it tells of its end."""

    name: str
    spawn: Spawn
    on_notice: Notice
    on_lost: Callable[[str], None]
    on_expired: Callable[[], None]
    max_message: int


Connect = Callable[[ServerEntry, Wiring], Awaitable[Connection]]


async def connect_stdio(entry: ServerEntry, wiring: Wiring) -> Connection:
    """Start the entry's command and speak over its stdin and stdout."""
    from upstreams.stdio import StdioConnection

    return await StdioConnection.start(entry, wiring)


async def connect_http(entry: ServerEntry, wiring: Wiring) -> Connection:
    """Streamable HTTP to the entry's URL; nothing is sent yet."""
    await _load("upstreams.http")
    from upstreams.http import HttpConnection

    return HttpConnection(entry, wiring)


async def connect_sse(entry: ServerEntry, wiring: Wiring) -> Connection:
    """HTTP+SSE (MCP 2024-11-05, basic/transports): opens the stream and waits for its endpoint event."""
    await _load("upstreams.sse")
    from upstreams.sse import SseConnection

    return await SseConnection.start(entry, wiring)


async def _load(module: str) -> None:
    """Import beside the loop: aiohttp takes 0.2 s, and a desktop client is waiting for the answer to its greeting."""
    await asyncio.to_thread(importlib.import_module, module)


KINDS: dict[str, Connect] = {"stdio": connect_stdio, "http": connect_http, "sse": connect_sse}
