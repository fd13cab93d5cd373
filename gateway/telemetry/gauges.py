"""What metrics show beside the counts: what a gateway has at this moment, and what it is called. Plain values only."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from gateway.telemetry.measures import Measures


@dataclass(frozen=True, slots=True)
class UpstreamGauge:
    """One upstream of the present config."""

    name: str
    up: bool
    restarts: int


@dataclass(frozen=True, slots=True)
class Gauges:
    """A gateway at one moment."""

    in_flight: int = 0
    sessions: int = 0
    upstreams: tuple[UpstreamGauge, ...] = ()
    tools: Collection[tuple[str, str]] = ()
    """(tool, upstream) of every tool that some door offers."""


@dataclass(frozen=True, slots=True)
class Naming:
    """What the names of metrics start with, and what the gateway calls itself."""

    prefix: str = "onegate"
    service: str = "onegate"


@dataclass(frozen=True, slots=True)
class Source:
    """All that metrics are made from. ``gauges`` and ``naming`` are asked at each collection, from another thread."""

    measures: Measures
    gauges: Callable[[], Gauges]
    naming: Callable[[], Naming] = Naming
    begun: int = field(default_factory=time.time_ns)
    """When counting began, in nanoseconds since 1970."""
