"""The last few failures, and how fast each upstream was lately, for the status page and `onegate status`. Pure."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MAX_EVENTS: Final = 100
MAX_DURATIONS: Final = 512  # of each upstream; the quantiles are those of its last calls
MINUTES: Final = 60


@dataclass(frozen=True, slots=True)
class Event:
    """One call that did not succeed. ``time`` is in seconds since 1970; ``reason`` holds own words only."""

    time: float
    request_id: str
    status: str
    method: str
    target: str
    upstream: str
    identity: str
    reason: str


class Recent:
    """Bounded memory of what happened lately; times are handed in, in seconds since 1970."""

    def __init__(self) -> None:
        self.events: deque[Event] = deque(maxlen=MAX_EVENTS)
        self._durations: dict[str, deque[float]] = {}
        self._minutes: deque[list[int]] = deque(maxlen=MINUTES)
        """Minutes since 1970 in which there were calls, and how many."""
        self._turns = 0.0  # when the last of them is over

    def call(self, now: float) -> None:
        """Count one call in its minute."""
        if not self._turns - 60.0 <= now < self._turns:
            minute = int(now // 60)
            self._turns = (minute + 1) * 60.0
            self._minutes.append([minute, 0])
        self._minutes[-1][1] += 1

    def duration(self, upstream: str, seconds: float) -> None:
        """Keep what one call to an upstream took."""
        kept = self._durations.get(upstream)
        if kept is None:
            kept = self._durations[upstream] = deque(maxlen=MAX_DURATIONS)
        kept.append(seconds)

    def failure(self, event: Event) -> None:
        """Keep one failure; the oldest goes."""
        self.events.append(event)

    def quantiles(self, upstream: str, wanted: Sequence[float]) -> list[float] | None:
        """What share of the upstream's last calls took at most so long, in seconds; None where there were none."""
        kept = sorted(self._durations.get(upstream, ()))
        return [kept[min(len(kept) - 1, int(share * len(kept)))] for share in wanted] if kept else None

    def per_minute(self, now: float) -> list[int]:
        """Calls in each of the last minutes, the present one last."""
        counted, this = {minute: calls for minute, calls in self._minutes}, int(now // 60)  # noqa: C416  # for the types
        return [counted.get(minute, 0) for minute in range(this - MINUTES + 1, this + 1)]

    def forget(self, known: Sequence[str]) -> None:
        """Keep nothing of upstreams that a reload took away."""
        for name in [name for name in self._durations if name not in known]:
            del self._durations[name]
