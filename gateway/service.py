"""What every era and transport shares of one running gateway; holds, decides nothing."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from gateway.changes import Changes, Listener
from gateway.once import Repeats
from gateway.relay import Relay
from gateway.request import Entrant

Spawn = Callable[..., None]
"""Starts a coroutine function with its arguments in the task group of the gateway."""

Work = Callable[..., Coroutine[Any, Any, None]]


def at_end(entrant: Entrant, close: Callable[[], None]) -> Callable[[], None]:
    """Call ``close`` when the credential ends, if ever; returns what takes that back."""
    if entrant.ends is None:
        return lambda: None
    timer = asyncio.get_running_loop().call_later(max(0.0, entrant.ends - time.time()), close)
    return timer.cancel


@dataclass(slots=True)
class Service:
    """One running gateway. ``info`` is how it presents itself on both sides (MCP Implementation)."""

    relay: Relay
    changes: Changes
    info: dict[str, Any]
    spawn: Spawn
    started: float = field(default_factory=time.time)
    """In seconds since 1970."""
    draining: bool = False
    in_flight: int = 0
    sessions: Callable[[], int] = lambda: 0
    """How many sessions there are; whichever transport has them says so."""
    outliving: int = 0
    """What goes on beside them, whether its client still waits or not."""
    streams: int = 0
    """Of the requests in flight those that only listen: nothing waits for them when the gateway stops."""
    calm: asyncio.Event = field(default_factory=asyncio.Event)
    """Set at every end of a request."""
    closers: dict[Callable[[], None], None] = field(default_factory=dict)
    """Ends the streams that live on between requests; called once when the gateway stops."""

    repeats: Repeats = field(init=False)
    """The calls with idempotency keys."""

    def __post_init__(self) -> None:
        self.repeats = Repeats(self.outlive)

    def outlive(self, work: Work, *args: Any) -> None:
        """Start what goes on without its client; a stop waits for it all the same."""
        self.spawn(self._carry, work, *args)

    async def _carry(self, work: Work, *args: Any) -> None:
        self.outliving += 1
        try:
            await work(*args)
        finally:
            self.outliving -= 1
            self.calm.set()

    def begin(self) -> None:
        """One request more is in flight, until `end`."""
        self.in_flight += 1

    def end(self) -> None:
        """One has its answer."""
        self.in_flight -= 1
        self.calm.set()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Count the request that is being served as one that only listens."""
        self.streams += 1
        self.calm.set()
        try:
            yield
        finally:
            self.streams -= 1

    def may_hear(self, listener: Listener, server: str, uri: str) -> bool:
        """Whether a listener may know of a resource, by the rules and the credential of now."""
        relay = self.relay
        door = relay.catalog.doors.get(listener.door)
        return door is not None and relay.access.may_read(door, server, uri, listener.entrant.caller).allowed

    async def no_calls(self) -> None:
        """Wait until only listeners are left."""
        while self.in_flight + self.outliving > self.streams:
            self.calm.clear()
            await self.calm.wait()

    def close_streams(self) -> None:
        """End every long-lived stream cleanly."""
        for close in list(self.closers):
            close()
