"""Bounds how many calls run on one upstream at a time and how many wait; first come, first served."""

import asyncio
from collections import deque


class Full(Exception):
    """No place: too many wait, or the wait was too long. Its text says which."""


class Slots:
    """``limit`` calls may run and ``queue`` more may wait. Taking a free place costs a comparison."""

    def __init__(self, limit: int, queue: int) -> None:
        self._limit = limit
        self._queue = queue
        self._running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._calm = asyncio.Event()

    @property
    def running(self) -> int:
        """How many places are taken."""
        return self._running

    @property
    def waiting(self) -> int:
        """How many wait for one."""
        return len(self._waiting)

    def take(self) -> bool:
        """Take a free place; False where there is none."""
        if self._running >= self._limit:
            return False
        self._running += 1
        return True

    async def acquire(self, seconds: float) -> None:
        """Take a place, waiting at most ``seconds`` for it. Raises `Full`."""
        if self.take():
            return
        if len(self._waiting) >= self._queue:
            raise Full("too many calls are waiting for it")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(seconds):
                await turn
        except BaseException as exc:
            if turn.done() and not turn.cancelled():
                self.release()  # the place came just as the caller gave up
            elif turn in self._waiting:
                self._waiting.remove(turn)
            if isinstance(exc, TimeoutError):
                raise Full("its calls take too long for the next ones to start") from None
            raise

    def release(self) -> None:
        """Give the place back: to the one who has waited longest, if anyone does."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._running -= 1
        if not self._running:
            self._calm.set()

    async def calm(self) -> None:
        """Wait until no call runs."""
        while self._running:
            self._calm.clear()
            await self._calm.wait()
