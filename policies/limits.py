"""Token buckets per identity, per tool or both; pure: the clock is an argument. State of one process."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from policies.config import RateLimitConfig

MAX_BUCKETS: Final = 65_536  # about 15 MB; beyond it the bucket not used for longest is forgotten
_MAX_TOOLS: Final = 10_000  # names whose limits are remembered; a catalog holds no more


@dataclass(frozen=True, slots=True)
class _Limit:
    number: int
    per: str
    interval: float  # seconds until one token comes back
    slack: float  # seconds by which a full bucket may run ahead
    globs: tuple[str, ...]

    def bucket(self, identity: Hashable, tool: str) -> Hashable:
        return _BUCKETS[self.per](self.number, identity, tool)


_BUCKETS: dict[str, Callable[[int, Hashable, str], Hashable]] = {
    "identity": lambda number, identity, tool: (number, identity),
    "tool": lambda number, identity, tool: (number, tool),
    "identity_tool": lambda number, identity, tool: (number, identity, tool),
}


class RateLimits:
    """All limits of a config. A bucket is one moment: when it will be full again (the virtual scheduling of GCRA)."""

    def __init__(self, configs: Iterable[RateLimitConfig], max_buckets: int = MAX_BUCKETS) -> None:
        self._limits = tuple(_limit(number, config) for number, config in enumerate(configs))
        self.any = bool(self._limits)
        """Whether there is one at all."""
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()
        self._by_tool: dict[str, tuple[_Limit, ...]] = {}
        self._max_buckets = max_buckets

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, identity_key: Hashable, tool: str, now: float) -> float:
        """Take a token of every bucket of this call, or none: 0.0, or the seconds until all of them have one.

        `tool` is the canonical name; `now` is in seconds on a clock that does not go back.
        """
        limits = self._limits_of(tool)
        buckets = [(limit, limit.bucket(identity_key, tool)) for limit in limits]
        wait = 0.0
        for limit, bucket in buckets:
            wait = max(wait, self._full_at.get(bucket, now) - limit.slack - now)
        if wait > 1e-9:  # below the resolution of clocks: rounding, not a wait
            return wait
        for limit, bucket in buckets:
            self._full_at[bucket] = max(self._full_at.get(bucket, now), now) + limit.interval
            self._full_at.move_to_end(bucket)
        self._forget(now)
        return 0.0

    def _limits_of(self, tool: str) -> tuple[_Limit, ...]:
        known = self._by_tool.get(tool)
        if known is None:
            if len(self._by_tool) >= _MAX_TOOLS:
                self._by_tool.clear()
            known = tuple(limit for limit in self._limits if any(fnmatchcase(tool, glob) for glob in limit.globs))
            self._by_tool[tool] = known
        return known

    def _forget(self, now: float) -> None:
        """Drop full buckets from the old end, where they gather, and more of them while there are too many."""
        while self._full_at:
            bucket, full_at = next(iter(self._full_at.items()))
            if full_at > now and len(self._full_at) <= self._max_buckets:
                return
            del self._full_at[bucket]


def _limit(number: int, config: RateLimitConfig) -> _Limit:
    interval = config.rate.seconds / config.rate.calls
    burst = config.rate.calls if config.burst is None else config.burst
    return _Limit(number, config.per, interval, (burst - 1) * interval, tuple(config.tools))
