"""Hears of changes from a modern upstream (MCP 2026-07-28, basic/utilities/subscriptions): one stream after another.

Knows which resources clients want to hear of, not who they are; ends with the task group of its connection.
"""

import asyncio
import logging
from typing import Any, Final

import anyio

from upstreams.errors import ConnectionLost, ErrorReply
from upstreams.listing import KINDS, METHOD_NOT_FOUND
from upstreams.negotiation import Peer
from upstreams.upstream import Upstream

log = logging.getLogger("onegate.upstream")

RELISTEN_SECONDS: Final = 0.5
RELISTEN_MAX_SECONDS: Final = 60.0  # of a server that ends every listen at once: each one costs a listing
OVERLAP_SECONDS: Final = 0.2  # what the server wrote to the stream before may still be on its way
ACKNOWLEDGE_SECONDS: Final = 2.0  # a server that does not say that it listens must not hold up those who subscribe
ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"


class Listening:
    """What one connection listens to, in step with what clients want."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._wanted = asyncio.Event()  # what is to be listened to may have changed
        self._heard = asyncio.Event()  # the newest stream is in force, or will not be
        self._waiting: list[asyncio.Event] = []

    def relisten(self) -> None:
        """What clients want has changed."""
        self._wanted.set()

    def acknowledged(self) -> None:
        """The server says that the newest stream is in force."""
        self._heard.set()

    async def follow(self, peer: Peer) -> None:
        """Listen to what is wanted, one stream after another.

        A stream ends only after the next one has begun, so that no change falls between two; some are told twice.
        """
        before: anyio.CancelScope | None = None
        async with anyio.create_task_group() as group:
            while True:
                self._wanted.clear()
                self._heard.clear()
                waiting, self._waiting = self._waiting, []
                scope = anyio.CancelScope()
                group.start_soon(self._listen, peer, scope)
                with anyio.move_on_after(ACKNOWLEDGE_SECONDS):
                    await self._heard.wait()
                if before is not None:
                    group.start_soon(_retire, before)
                before = scope
                for one in waiting:
                    one.set()
                await self._wanted.wait()

    async def in_force(self) -> None:
        """Return once everything that is wanted now is listened to, within a bound."""
        done = asyncio.Event()
        self._waiting.append(done)
        self._wanted.set()
        with anyio.move_on_after(3 * ACKNOWLEDGE_SECONDS):  # the stream before may have to be waited for first
            await done.wait()

    async def _listen(self, peer: Peer, scope: anyio.CancelScope) -> None:
        """Hold `subscriptions/listen` open (MCP 2026-07-28, basic/utilities/subscriptions)."""
        wanted: dict[str, Any] = {
            f"{kind}ListChanged": True
            for kind in ("tools", "prompts", "resources")
            if (peer.capabilities.get(kind) or {}).get("listChanged")
        }
        pause, loop = RELISTEN_SECONDS, asyncio.get_running_loop()
        with scope:
            while True:
                uris = self._upstream.subscribed
                filters = {**wanted, **({"resourceSubscriptions": uris} if uris else {})}
                if not filters:
                    self._heard.set()
                    return
                began = loop.time()
                try:
                    await peer.request("subscriptions/listen", {"notifications": filters})
                except (ErrorReply, ConnectionLost) as exc:
                    log.debug("listen ended: %s", exc, extra={"upstream": self._upstream.name})
                    self._heard.set()
                    if isinstance(exc, ErrorReply) and exc.code == METHOD_NOT_FOUND:
                        return
                lasted = loop.time() - began
                pause = RELISTEN_SECONDS if lasted > RELISTEN_MAX_SECONDS else min(2 * pause, RELISTEN_MAX_SECONDS)
                await asyncio.sleep(pause)
                self._upstream.dirty.update(KINDS)  # what changed while nobody listened is not repeated
                self._upstream.wake.set()


async def _retire(stream: anyio.CancelScope) -> None:
    await asyncio.sleep(OVERLAP_SECONDS)
    stream.cancel()
