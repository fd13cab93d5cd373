"""Writes of many connections go out together, at the end of the loop's turn. Knows transports, not what is written.

Each write wakes whoever waits for it. With other work between them a receiver sleeps again by the next, and is woken
for each; those that go out together find it awake. That takes a tenth off the whole cost of a call.
"""

import asyncio
import logging
from typing import Final
from weakref import WeakKeyDictionary, ref

log = logging.getLogger("onegate.http")

LARGE: Final = 2**16  # bytes that are not worth to be copied for the sake of one write, or of one piece


class Outbox:
    """What waits to be written within one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.exchanges = 0
        """How many wait for an answer: what one alone writes has nobody to go out with."""
        self._loop = ref(loop)  # which is the key to this: held from here it would stay for ever
        self._waiting: list[Sender] = []

    def add(self, sender: "Sender") -> None:
        """It has something to write."""
        if not self._waiting and (loop := self._loop()) is not None:
            loop.call_soon(self.flush)
        self._waiting.append(sender)

    def flush(self) -> None:
        """Write all that waits; a connection that is gone by now (uvloop's then raise) keeps no other back."""
        waiting, self._waiting = self._waiting, []
        for sender in waiting:
            try:
                sender.deliver()
            except Exception as exc:
                log.debug("not written: %s", type(exc).__name__)


AS_IT_IS: Final = (
    "is_closing",
    "get_extra_info",
    "get_write_buffer_size",
    "pause_reading",
    "resume_reading",
    "can_write_eof",
)
"""What a transport does where nothing is written: its own methods, not called through others."""


class Sender:
    """A transport that can also write a little later. What is written keeps its order, and goes out before a close."""

    __slots__ = ("_pending", "_transport", "outbox", *AS_IT_IS)

    def __init__(self, transport: asyncio.Transport, outbox: Outbox) -> None:
        self._transport = transport
        self.outbox = outbox
        self._pending: bytes | None = None
        self.is_closing = transport.is_closing
        self.get_extra_info = transport.get_extra_info
        self.get_write_buffer_size = transport.get_write_buffer_size
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading
        self.can_write_eof = transport.can_write_eof

    def write_soon(self, data: bytes) -> None:
        """Write at the end of the loop's turn, together with what others write."""
        if self._pending is not None:
            self.deliver()
        self._pending = data
        self.outbox.add(self)

    def deliver(self) -> None:
        """Write now what waits."""
        data, self._pending = self._pending, None
        if data is not None:
            self._transport.write(data)

    def write(self, data: bytes) -> None:
        """Write now."""
        self.deliver()
        self._transport.write(data)

    def write_eof(self) -> None:
        """Close the writing end."""
        self.deliver()
        self._transport.write_eof()

    def close(self) -> None:
        """Close once everything is written."""
        self.deliver()
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._pending = None
        self._transport.abort()


_OUTBOXES: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, Outbox]] = WeakKeyDictionary()


def sender_for(transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> Sender:
    """A sender over a transport of this loop; all of one loop write together."""
    outbox = _OUTBOXES.get(loop)
    if outbox is None:
        outbox = _OUTBOXES[loop] = Outbox(loop)
    return Sender(transport, outbox)
