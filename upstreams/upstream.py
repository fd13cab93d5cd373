"""One server behind the gateway as the gateway holds it: its state, its listing, and requests to it."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from upstreams.alarms import Alarms, Deadline
from upstreams.channel import NO_CHANNEL, ClientChannel
from upstreams.config import ServerEntry
from upstreams.errors import (
    ConnectionLost,
    ErrorReply,
    SessionExpired,
    UpstreamBusy,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from upstreams.listing import KINDS, Listing
from upstreams.negotiation import Peer, handshake
from upstreams.slots import Full, Slots
from upstreams.states import TRANSITIONS, State
from upstreams.subscriptions import Listener, Subscriptions
from upstreams.words import UNMASKED, Mask, masked_reply, masked_result

log = logging.getLogger("onegate.upstream")

QUEUE_FACTOR: Final = 4  # calls that may wait, as a multiple of those that may run
CHANGES: Final = {f"notifications/{kind}/list_changed": kind for kind in ("tools", "prompts", "resources")}
LEVELS: Final = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")

LEVEL_SECONDS: Final = 2.0  # a server that does not answer setLevel must not keep the call waiting

Changed = Callable[["Upstream"], None]


async def nothing_to_wait_for() -> None:
    """What `Upstream.in_force` is while nothing is listened to."""


class Upstream:
    """Holds what the supervisor maintains, and answers or fails at once; never waits for a reconnect.

    What the server says of its failures leaves this object through ``mask`` only.
    """

    def __init__(self, entry: ServerEntry, on_change: Changed, mask: Mask = UNMASKED) -> None:
        self.entry = entry
        self.name = entry.name
        self.state = State.STARTING
        self.since = time.time()
        """When it came into its state, in seconds since 1970."""
        self.listing = Listing()
        self.peers: dict[str, Peer] = {}
        self.known = False  # it was connected at least once
        self.settled = asyncio.Event()  # its first attempt has ended, well or not
        self._last_error: str | None = None
        self._mask = mask
        self.restarts = 0
        self.tail: Callable[[], list[str]] = list
        """The last lines of its stderr as they came; `stderr` is for people."""
        self.dirty: set[str] = set()
        self.wake = asyncio.Event()
        self._on_change = on_change
        self._timeouts: dict[float, Alarms] = {}
        self._slots = Slots(entry.concurrency, entry.concurrency * QUEUE_FACTOR)
        self._subscriptions = Subscriptions()
        self._subscribing = asyncio.Lock()  # over HTTP a later request may overtake an earlier one
        self._renewing = asyncio.Lock()
        self._log_level: str | None = None  # what a legacy server was asked for
        self._levelling = asyncio.Lock()
        self.relisten: Callable[[], None] = lambda: None
        self.in_force: Callable[[], Awaitable[None]] = nothing_to_wait_for
        """Returns once the last `relisten` has taken effect."""
        self.broken: Callable[[str], None] = lambda reason: None
        """Told that the connection is of no use any more; its owner makes another."""

    @property
    def peer(self) -> Peer | None:
        """The face that the gateway itself asks: the modern one if there is one."""
        return self.peers.get("modern") or self.peers.get("legacy")

    @property
    def last_error(self) -> str | None:
        """Why it is down, or was when it last was."""
        return None if self._last_error is None else self._mask.redact(self._last_error)

    @last_error.setter
    def last_error(self, reason: str | None) -> None:
        self._last_error = reason

    def stderr(self) -> list[str]:
        """The last lines that it wrote to stderr, oldest first."""
        return [self._mask.redact(line) for line in self.tail()]

    @property
    def subscribed(self) -> list[str]:
        """The resources that clients listen to."""
        return self._subscriptions.uris

    @property
    def load(self) -> tuple[int, int]:
        """How many calls run, and how many wait for a place."""
        return self._slots.running, self._slots.waiting

    def inherit(self, former: "Upstream") -> None:
        """Take the place of one whose entry was another: its list is the last known, its listeners go on hearing."""
        self.listing, self.known, self.restarts = former.listing, former.known, former.restarts
        self._subscriptions = former._subscriptions
        self._log_level = former._log_level

    async def calm(self) -> None:
        """Wait until no call runs."""
        await self._slots.calm()

    def move(self, event: str) -> None:
        """Take a step of the state table."""
        self.state = TRANSITIONS[self.state, event]
        self.since = time.time()

    def publish(self, listing: Listing) -> None:
        """Replace the listing and say so."""
        self.listing = listing
        self.known = True
        self._on_change(self)

    async def request(
        self,
        method: str,
        params: dict[str, Any],
        channel: ClientChannel = NO_CHANNEL,
        limits: tuple[float, float] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Send one request and return its result.

        ``limits`` are the seconds until the call times out and the most that progress extends it to. Raises
        `ErrorReply` (the upstream's own error), `UpstreamUnavailable`, `UpstreamBusy` or `UpstreamTimeout`.
        A result is untouched; errors, and results that say of themselves that they are one, are masked.
        """
        peer = self._peer_for(channel)  # a server that is down is no reason to queue
        queued = not self._slots.take()
        if queued:
            await self._queue()
        timeout, most = limits or (self.entry.timeout, self.entry.max_timeout)
        try:
            if queued:
                peer = self._peer_for(channel)
            with Deadline(self._alarms(timeout), most) as deadline:
                extend = deadline.extend, deadline.suspend
                if peer.face == "legacy" and self._renewing.locked():
                    peer = await self._renewed(channel)
                try:
                    if channel.log_level is not None:
                        await self._heed_level(peer, channel.log_level)
                    result = await peer.request(method, params, channel, headers, extend)
                except SessionExpired:  # it refused the request itself, so sending it again repeats nothing
                    peer = await self.renew(peer)
                    result = await peer.request(method, params, channel, headers, extend)
            return masked_result(result, self._mask) if result.get("isError") is True else result
        except ErrorReply as exc:
            raise masked_reply(exc, self._mask) from None
        except TimeoutError as exc:
            raise UpstreamTimeout(self.name, timeout) from exc
        except ConnectionLost as exc:
            raise UpstreamUnavailable(self.name, str(exc)) from exc
        finally:
            self._slots.release()

    async def _queue(self) -> None:
        try:
            await self._slots.acquire(self.entry.timeout)
        except Full as exc:
            raise UpstreamBusy(self.name, str(exc)) from None

    def _alarms(self, seconds: float) -> Alarms:
        """Those of one length: there are as many as the config has time limits."""
        alarms = self._timeouts.get(seconds)
        if alarms is None:
            alarms = self._timeouts[seconds] = Alarms(seconds)
        return alarms

    async def subscribe(self, uri: str, listener: Listener) -> None:
        """Tell ``listener`` of changes of a resource. Raises what `request` raises when the upstream refuses."""
        if not self._subscriptions.add(uri, listener):
            return
        try:
            if "modern" in self.peers:
                self.relisten()
                await self.in_force()
            elif self.state is State.READY:
                async with self._subscribing:
                    await self.request("resources/subscribe", {"uri": uri})
        except BaseException:
            self._subscriptions.remove(uri, listener)
            raise

    async def unsubscribe(self, uri: str, listener: Listener) -> None:
        """Take back one `subscribe`; errors of the upstream do not matter any more."""
        if not self._subscriptions.remove(uri, listener):
            return
        if "modern" in self.peers:
            self.relisten()
        elif self.state is State.READY:
            async with self._subscribing:
                await self._unsubscribe(uri)

    async def _unsubscribe(self, uri: str) -> None:
        if uri in self.subscribed:
            return  # wanted again in the meantime
        try:
            await self.request("resources/unsubscribe", {"uri": uri})
        except (ErrorReply, UpstreamUnavailable, UpstreamTimeout) as exc:
            log.debug("unsubscribe failed: %s", exc, extra={"upstream": self.name})

    def on_notice(self, method: str, params: dict[str, Any]) -> None:
        """Take a notification that belongs to no call."""
        kind = CHANGES.get(method)
        if kind is not None:
            self.dirty.update({kind, "templates"} if kind == "resources" else {kind})
            self.wake.set()
        elif method == "notifications/resources/updated" and isinstance(params.get("uri"), str):
            self._subscriptions.updated(params["uri"])

    async def restore(self, peer: Peer) -> None:
        """Say again to a fresh legacy session what the last one was told: subscriptions and log level."""
        if peer.face != "legacy":
            return
        for uri in self.subscribed if "modern" not in self.peers else ():
            try:
                await peer.request("resources/subscribe", {"uri": uri})
            except ErrorReply as exc:
                log.warning("%s: cannot subscribe again to %s: %s", self.name, uri, exc.message)
        if self._log_level is not None:
            await self._ask_level(peer, self._log_level)

    async def renew(self, peer: Peer) -> Peer:
        """Open a new session in place of one that the server forgot; callers that come together share it."""
        async with self._renewing:
            current = self.peers.get("legacy")
            if current is None:
                raise ConnectionLost(self.last_error or "its session could not be renewed")
            if current is not peer:
                return current
            peer.connection.forget_session()  # type: ignore[attr-defined]  # only HTTP connections have sessions
            try:
                fresh = await handshake(peer.connection, peer.own_info, peer.version)
            except BaseException as exc:  # without a session every call from now on would fail
                self.broken(str(exc) or "its session could not be renewed")
                raise
            self.peers["legacy"] = fresh
            await self.restore(fresh)
            self.dirty.update(KINDS)
            self.wake.set()
            log.info("the upstream's session is renewed", extra={"upstream": self.name})
            return fresh

    async def _renewed(self, channel: ClientChannel) -> Peer:
        """The face to ask once it has its new session: what goes out before that belongs to none."""
        async with self._renewing:
            return self._peer_for(channel)

    def _peer_for(self, channel: ClientChannel) -> Peer:
        peer = self.peers.get(channel.face) or self.peer
        if peer is None or self.state is not State.READY:
            raise UpstreamUnavailable(self.name, self.last_error or f"it is {self.state}")
        return peer

    async def _heed_level(self, peer: Peer, level: str) -> None:
        """Before a call whose client wants log messages, ask a legacy server for that level if it may be quieter.

        Such a server has one level for all calls of the session, so it is never asked for less: each channel filters.
        """
        if peer.face != "legacy" or not self._quieter_than(level):
            return
        async with self._levelling:
            if self._quieter_than(level):
                await self._ask_level(peer, level)

    def _quieter_than(self, level: str) -> bool:
        return level in LEVELS and (self._log_level is None or LEVELS.index(level) < LEVELS.index(self._log_level))

    async def _ask_level(self, peer: Peer, level: str) -> None:
        if "logging" in peer.capabilities:
            try:
                async with asyncio.timeout(LEVEL_SECONDS):
                    await peer.request("logging/setLevel", {"level": level})
            except (ErrorReply, TimeoutError) as exc:
                log.debug("setLevel failed: %s", exc or "no answer in time", extra={"upstream": self.name})
        self._log_level = level
