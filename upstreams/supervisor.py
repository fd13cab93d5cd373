"""Keeps upstreams alive: start, list, watch, back off, stop; one owner task for each, none waits for another."""

import asyncio
import functools
import logging
import random
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup

from upstreams.backoff import Backoff
from upstreams.connection import KINDS as CONNECTIONS
from upstreams.connection import Connection, Wiring
from upstreams.errors import ConnectionLost, ErrorReply
from upstreams.listing import KINDS, METHOD_NOT_FOUND, read_listing
from upstreams.negotiation import Peer, negotiate_http, negotiate_pipe
from upstreams.upstream import Upstream, nothing_to_wait_for

log = logging.getLogger("onegate.upstream")

HANDSHAKE_SECONDS: Final = 120.0  # the first start of an npx or uvx server downloads it
CLOSE_SECONDS: Final = 8.0  # over the 5 s that the stop ladder of a process takes
REFRESH_PAUSE_SECONDS: Final = 0.1  # a burst of list_changed makes one refresh
RELISTEN_SECONDS: Final = 0.5
RELISTEN_MAX_SECONDS: Final = 60.0  # of a server that ends every listen at once: each one costs a listing


OVERLAP_SECONDS: Final = 0.2  # what the server wrote to the stream before may still be on its way
ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"
ACKNOWLEDGE_SECONDS: Final = 2.0  # a server that does not say that it listens must not hold up those who subscribe


class Supervisor:
    """The owner of one upstream."""

    def __init__(self, upstream: Upstream, own_info: Mapping[str, Any], max_message: int) -> None:
        self.upstream = upstream
        self._own_info = own_info
        self._max_message = max_message
        self._backoff = Backoff(random.random)
        self._lost: str | None = None
        self._stop = asyncio.Event()
        self.stopped = asyncio.Event()
        self._group: TaskGroup | None = None
        self._connections: list[Connection] = []
        self._life_scope = anyio.CancelScope()
        self._listen_scope = anyio.CancelScope()
        self._wanted = asyncio.Event()  # what is to be listened to may have changed
        self._heard = asyncio.Event()  # the newest stream is in force, or will not be
        self._waiting: list[asyncio.Event] = []

    async def run(self) -> None:
        """Live until `stop`; then everything that the upstream held is gone."""
        upstream, loop = self.upstream, asyncio.get_running_loop()
        while not self._stop.is_set():
            reason = await self._one_life()
            upstream.settled.set()
            if self._stop.is_set():
                break
            event, delay = self._backoff.failed(loop.time())
            upstream.move(event)
            upstream.last_error = reason
            upstream.restarts += 1
            log.warning(
                "%s is down: %s; next attempt in %.1f s",
                upstream.name,
                reason,
                delay,
                extra={"upstream": upstream.name},
            )
            await self._pause(delay)
            if not self._stop.is_set():
                upstream.move("retry")
        upstream.move("stop")
        upstream.settled.set()
        self.stopped.set()

    def stop(self) -> None:
        """Ask `run` to end."""
        self._stop.set()
        self._life_scope.cancel()  # a server that does not answer must not delay our end
        self.upstream.wake.set()

    def kill(self) -> None:
        """End what this upstream holds on this machine at once; `run` then ends soon."""
        for connection in self._connections:
            connection.kill()

    async def _one_life(self) -> str:
        """Connect, serve until the end; returns why it ended."""
        self._connections = []
        self._lost = None
        reason = "stopped"
        try:
            async with anyio.create_task_group() as group:
                self._group = group
                try:
                    reason = await self._live()
                finally:
                    self._disconnect(reason)
                    with anyio.move_on_after(CLOSE_SECONDS, shield=True):
                        for connection in self._connections:
                            await connection.close()
                    group.cancel_scope.cancel()
        except Exception:
            # A fault of ours in this upstream's tasks: it is restarted like any other failure, the others go on.
            log.exception("the supervision of %s failed", self.upstream.name, extra={"upstream": self.upstream.name})
            reason = "an internal error, see the log"
        return reason

    async def _live(self) -> str:
        upstream = self.upstream
        try:
            with anyio.CancelScope() as self._life_scope:
                async with asyncio.timeout(HANDSHAKE_SECONDS):
                    await self._start()
                if not any(upstream.listing.items.values()):
                    log.warning("%s is connected and lists nothing", upstream.name, extra={"upstream": upstream.name})
                return await self._serve()
        except TimeoutError:
            return f"it did not answer the handshake within {HANDSHAKE_SECONDS:g} s"
        except (ConnectionLost, OSError) as exc:
            return str(exc)
        return "stopped"

    async def _start(self) -> None:
        upstream = self.upstream
        peers = await self._negotiate()
        # Calls before `publish` see the last listing but reach the new peers only once the state is READY.
        upstream.peers = peers
        upstream.dirty.clear()
        primary = upstream.peer
        assert primary is not None
        listing = await read_listing(upstream.name, primary, upstream.listing)
        if self._lost is not None:
            raise ConnectionLost(self._lost)
        self._backoff.succeeded()
        upstream.last_error = None
        upstream.move("up")
        upstream.publish(listing)
        upstream.settled.set()
        for peer in peers.values():
            await upstream.restore(peer)
        if (listened := peers.get("modern")) is not None:
            upstream.relisten = self._wanted.set
            upstream.in_force = self._in_force
            self._listen_scope = anyio.CancelScope()
            self._spawn(self._follow, listened)
        upstream.broken = self._on_lost
        log.info(
            "%s is ready: %d tools, protocol %s",
            upstream.name,
            len(listing.of("tools")),
            "+".join(peer.version for peer in peers.values()),
            extra={"upstream": upstream.name},
        )

    async def _negotiate(self) -> dict[str, Peer]:
        entry = self.upstream.entry
        connect = CONNECTIONS[entry.type]
        wiring = Wiring(entry.name, self._spawn, self._on_notice, self._on_lost, self._on_expired, self._max_message)
        connections = self._connections
        connections.append(await connect(entry, wiring))
        self.upstream.stderr = getattr(connections[0], "stderr_tail", list)
        if entry.type != "http":
            return await negotiate_pipe(connections[0], self._own_info, entry.protocol)
        connections.append(await connect(entry, wiring))
        return await negotiate_http(connections[0], connections[1], self._own_info, entry.protocol)

    async def _serve(self) -> str:
        """Refresh listings as they change, until the connection is lost or the gateway stops."""
        upstream = self.upstream
        while True:
            await upstream.wake.wait()
            upstream.wake.clear()
            if self._stop.is_set():
                return "stopped"
            if self._lost is not None:
                return self._lost
            await asyncio.sleep(REFRESH_PAUSE_SECONDS)
            kinds, peer = frozenset(upstream.dirty), upstream.peer
            upstream.dirty.clear()
            if kinds and peer is not None:
                try:
                    async with asyncio.timeout(upstream.entry.timeout):
                        upstream.publish(await read_listing(upstream.name, peer, upstream.listing, kinds))
                except (ConnectionLost, TimeoutError) as exc:
                    log.warning("%s: its lists could not be refreshed: %s", upstream.name, exc or "no answer in time")

    def _disconnect(self, reason: str) -> None:
        self.upstream.peers = {}
        self.upstream.relisten = lambda: None
        self.upstream.in_force = nothing_to_wait_for
        self.upstream.last_error = reason
        self._listen_scope.cancel()

    def _spawn(self, work: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        if self._group is not None and not self._group.cancel_scope.cancel_called:
            self._group.start_soon(functools.partial(work, *args))

    def _on_lost(self, reason: str) -> None:
        if self._lost is None:
            self._lost = reason
            self.upstream.last_error = reason
            self.upstream.peers = {}  # calls from now on fail at once
        self.upstream.wake.set()

    def _on_expired(self) -> None:
        peer = self.upstream.peers.get("legacy")
        if peer is not None:
            self._spawn(self._renew, peer)

    async def _renew(self, peer: Peer) -> None:
        try:
            await self.upstream.renew(peer)
        except ConnectionLost as exc:
            self._on_lost(str(exc))

    def _on_notice(self, method: str, params: dict[str, Any]) -> None:
        if method == ACKNOWLEDGED:
            self._heard.set()
        else:
            self.upstream.on_notice(method, params)

    async def _follow(self, peer: Peer) -> None:
        """Listen to what is wanted, one stream after another.

        A stream ends only after the next one has begun, so that no change falls between two; some are told twice.
        """
        before: anyio.CancelScope | None = None
        with self._listen_scope:
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

    async def _in_force(self) -> None:
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
                uris = self.upstream.subscribed
                filters = {**wanted, **({"resourceSubscriptions": uris} if uris else {})}
                if not filters:
                    self._heard.set()
                    return
                began = loop.time()
                try:
                    await peer.request("subscriptions/listen", {"notifications": filters})
                except (ErrorReply, ConnectionLost) as exc:
                    log.debug("listen ended: %s", exc, extra={"upstream": self.upstream.name})
                    self._heard.set()
                    if isinstance(exc, ErrorReply) and exc.code == METHOD_NOT_FOUND:
                        return
                lasted = loop.time() - began
                pause = RELISTEN_SECONDS if lasted > RELISTEN_MAX_SECONDS else min(2 * pause, RELISTEN_MAX_SECONDS)
                await asyncio.sleep(pause)
                self.upstream.dirty.update(KINDS)  # what changed while nobody listened is not repeated
                self.upstream.wake.set()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not self._stop.is_set():
                    self.upstream.wake.clear()
                    await self.upstream.wake.wait()
        except TimeoutError:
            return


async def _retire(stream: anyio.CancelScope) -> None:
    await asyncio.sleep(OVERLAP_SECONDS)
    stream.cancel()
