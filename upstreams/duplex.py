"""One two-way pipe of JSON-RPC messages (stdio, HTTP+SSE); knows messages, not what carries them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from upstreams import wire
from upstreams.connection import Call, Wiring
from upstreams.correlation import Correlator, answer
from upstreams.errors import ConnectionLost

log = logging.getLogger("onegate.upstream")

ON_THE_CALL = frozenset({"notifications/message", "notifications/elicitation/complete"})
"""Notifications that belong to a call but do not say to which."""

Send = Callable[[bytes], Awaitable[None]]


class Duplex:
    """Sends requests, receives messages, and tells bad ones to ``on_bad``."""

    def __init__(self, wiring: Wiring, send: Send, on_bad: Callable[[], None]) -> None:
        self._wiring = wiring
        self._send = send
        self._on_bad = on_bad
        self._calls = Correlator()
        self._lost: str | None = None

    async def request(self, call: Call) -> dict[str, Any]:
        """See `Connection.request`."""
        if self._lost is not None:
            raise ConnectionLost(self._lost)
        reply: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        call.reply = reply
        message = self._calls.begin(call)
        try:
            await self._send(wire.dumps(message))
            return await reply
        except BaseException:
            # No answer was taken, so the upstream may still be at work (MCP 2025-11-25, basic/utilities/cancellation:
            # initialize is never cancelled).
            if not reply.done() or reply.cancelled():
                self._wiring.spawn(self._cancel, call.id, call.method)
            raise
        finally:
            self._calls.end(call)
            call.reply = None
            del reply  # an error that it holds has this frame in its traceback

    async def notify(self, method: str, params: dict[str, Any]) -> None:
        """See `Connection.notify`."""
        await self._send(wire.dumps({"jsonrpc": "2.0", "method": method, "params": params}))

    def receive(self, data: bytes) -> None:
        """Take one message off the pipe; what is no JSON-RPC message is counted and dropped."""
        try:
            message = wire.loads(data)
        except ValueError:
            self._on_bad()
            return
        for one in message if isinstance(message, list) else [message]:  # 2025-03-26 has batches
            self._take(one)

    def lost(self, reason: str) -> None:
        """The pipe is gone: every call in flight fails at once."""
        if self._lost is None:
            self._lost = reason
            self._calls.fail_all(reason)
            self._wiring.on_lost(reason)

    def _take(self, message: Any) -> None:
        if not isinstance(message, dict):
            self._on_bad()
        elif isinstance(message.get("method"), str):
            if message.get("id") is not None:
                self._wiring.spawn(self._answer, message)
            else:
                params = message.get("params")
                self._notice(message["method"], params if isinstance(params, dict) else {})
        elif not self._calls.settle(message):
            log.debug("dropped a reply that answers no call", extra={"upstream": self._wiring.name})

    def _notice(self, method: str, params: dict[str, Any]) -> None:
        if method == "notifications/progress":
            self._calls.progress(params)
        elif method in ON_THE_CALL:
            self._calls.sole_channel().notify(method, params)
        else:
            self._wiring.on_notice(method, params)

    async def _answer(self, message: dict[str, Any]) -> None:
        channel = self._calls.sole_channel()
        self._calls.asking(channel)
        reply = await answer(channel, message)
        try:
            await self._send(wire.dumps(reply))
        except ConnectionLost:
            log.debug("an answer came too late", extra={"upstream": self._wiring.name})

    async def _cancel(self, request_id: int, method: str) -> None:
        if method == "initialize" or self._lost is not None:
            return
        try:
            await self.notify("notifications/cancelled", {"requestId": request_id, "reason": "the caller went away"})
        except ConnectionLost:
            log.debug("could not cancel a call", extra={"upstream": self._wiring.name})
