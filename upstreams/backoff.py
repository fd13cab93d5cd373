"""Pure: how long to wait before the next attempt; the clock and the dice are arguments."""

from collections import deque
from collections.abc import Callable
from typing import Final

FIRST_SECONDS: Final = 0.5
MAX_SECONDS: Final = 60.0  # longer hides a recovered server
MAX_RESTARTS: Final = 30  # in a minute; more costs the machine and helps nobody
WINDOW_SECONDS: Final = 60.0
REST_SECONDS: Final = 60.0


class Backoff:
    """Doubles from 0.5 s to 60 s with jitter; a success resets it, a crowd of restarts rests."""

    def __init__(self, dice: Callable[[], float]) -> None:
        self._dice = dice
        self._failures = 0
        self._restarts: deque[float] = deque(maxlen=MAX_RESTARTS + 1)

    def succeeded(self) -> None:
        """A handshake came through: the next failure starts small again."""
        self._failures = 0

    def failed(self, now: float) -> tuple[str, float]:
        """Note a failure at ``now``; returns the event ("down" or "crowded") and the seconds to wait."""
        self._restarts.append(now)
        if len(self._restarts) > MAX_RESTARTS and now - self._restarts[0] < WINDOW_SECONDS:
            self._restarts.clear()
            return "crowded", REST_SECONDS
        delay = min(MAX_SECONDS, FIRST_SECONDS * 2.0**self._failures)
        self._failures = min(self._failures + 1, 10)
        return "down", delay * (0.5 + 0.5 * self._dice())  # spread, so that servers of one host do not start together
