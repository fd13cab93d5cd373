"""Counts the requests of one config that have not reached their upstream yet: what a reload replaced waits for them."""

import asyncio


class Arrivals:
    """Requests on their way. A pause instead would be too short whenever the machine is busy enough."""

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()

    @property
    def busy(self) -> bool:
        """Whether any is on its way."""
        return self._count > 0

    def enter(self) -> None:
        """One more has been taken."""
        self._count += 1

    def leave(self) -> None:
        """One is with its upstream, or has ended before."""
        self._count -= 1
        if not self._count:
            self._none.set()

    async def over(self) -> None:
        """Wait until none is on its way."""
        while self._count:
            self._none.clear()
            await self._none.wait()
