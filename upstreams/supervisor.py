"""Keeps upstreams alive: start, list, watch, back off, stop; one owner task for each, none waits for another."""

import asyncio
import functools
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup

from upstreams.backoff import Backoff
from upstreams.connection import KINDS as CONNECTIONS
from upstreams.connection import Connection, Wiring
from upstreams.errors import ConnectionLost
from upstreams.listening import ACKNOWLEDGED, Listening
from upstreams.listing import read_listing
from upstreams.negotiation import Peer, negotiate_http, negotiate_pipe
from upstreams.upstream import Upstream, nothing_to_wait_for

log = logging.getLogger("onegate.upstream")

HANDSHAKE_SECONDS: Final = 120.0  # the first start of an npx or uvx server downloads it
CLOSE_SECONDS: Final = 8.0  # over the 5 s that the stop ladder of a process takes
REFRESH_PAUSE_SECONDS: Final = 0.1  # a burst of list_changed makes one refresh
REFRESH_RETRY_SECONDS: Final = 5.0  # until a refresh that failed is tried again


class Supervisor:
    """The owner of one upstream."""

    def __init__(self, upstream: Upstream, own_info: Mapping[str, Any], max_message: int) -> None:
        self.upstream = upstream
        self._own_info = own_info
        self.max_message = max_message  # of the connections made from now on
        self._backoff = Backoff(random.random)
        self._lost: str | None = None
        self._stop = asyncio.Event()
        self.stopped = asyncio.Event()
        self._group: TaskGroup | None = None
        self._connections: list[Connection] = []
        self._life_scope = anyio.CancelScope()
        self._listening: Listening | None = None

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

    async def retire(self, seconds: float, arrived: Callable[[], Awaitable[None]]) -> None:
        """Ask `run` to end when the calls under way have ended, after ``seconds`` at the latest.

        ``arrived`` returns once no more calls are on their way here.
        """
        with anyio.move_on_after(seconds):
            await arrived()
            await self.upstream.calm()
        self.stop()

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
            self._listening = Listening(upstream)
            upstream.relisten = self._listening.relisten
            upstream.in_force = self._listening.in_force
            self._spawn(self._listening.follow, listened)
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
        wiring = Wiring(entry.name, self._spawn, self._on_notice, self._on_lost, self._on_expired, self.max_message)
        connections = self._connections
        connections.append(await connect(entry, wiring))
        self.upstream.tail = getattr(connections[0], "stderr_tail", list)
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
                    self._spawn(self._refresh_later, kinds)

    async def _refresh_later(self, kinds: frozenset[str]) -> None:
        await asyncio.sleep(REFRESH_RETRY_SECONDS)
        self.upstream.dirty.update(kinds)
        self.upstream.wake.set()

    def _disconnect(self, reason: str) -> None:
        self.upstream.peers = {}
        self.upstream.relisten = lambda: None
        self.upstream.in_force = nothing_to_wait_for
        self.upstream.last_error = reason
        self._listening = None

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
            if self._listening is not None:
                self._listening.acknowledged()
        else:
            self.upstream.on_notice(method, params)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not self._stop.is_set():
                    self.upstream.wake.clear()
                    await self.upstream.wake.wait()
        except TimeoutError:
            return
