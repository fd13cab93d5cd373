"""Ends a connection whose client takes nothing of its answer for too long. Knows transports and time only."""

import asyncio


class Stall:
    """Runs while a transport holds more than it should. Closing would wait for the client, so it is aborted."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._unsent = 0

    def begin(self, loop: asyncio.AbstractEventLoop, transport: asyncio.WriteTransport, seconds: float) -> None:
        """The client takes too little; look in ``seconds`` whether it takes anything."""
        self._unsent = transport.get_write_buffer_size()
        self._timer = loop.call_later(seconds, self._look, loop, transport, seconds)

    def end(self) -> None:
        """It takes enough, or is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, loop: asyncio.AbstractEventLoop, transport: asyncio.WriteTransport, seconds: float) -> None:
        if transport.get_write_buffer_size() >= self._unsent:
            transport.abort()
        else:
            self.begin(loop, transport, seconds)
