"""Builds what `telemetry:` asks for, and builds anew what a reload changed; alone knows the whole of it."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gateway.config import Config
from gateway.telemetry.exposition import Exposition
from gateway.telemetry.gauges import Gauges, Naming, Source
from gateway.telemetry.observer import Observer
from gateway.telemetry.push import Push


class Telemetry:
    """What one gateway tells of itself, from its start to its end; reloads go on counting."""

    def __init__(self, config: Config) -> None:
        self.observer = Observer()
        self._begun = time.time_ns()
        self._push: Push | None = None
        self.renew(config)

    def renew(self, config: Config) -> None:
        """Go on under another config."""
        self.observer.role_claim = config.telemetry.metrics.role_claim
        self.observer.recent.forget(list(config.servers))
        self._renew_metrics(config)

    def exposition(self, gauges: Callable[[], Gauges]) -> Exposition:
        """The metrics for Prometheus; ``gauges`` is asked at each scrape, in the thread of the scrape."""
        return Exposition(self._source(gauges))

    @asynccontextmanager
    async def pushing(self, gauges: Callable[[], Gauges], stop_seconds: float) -> AsyncIterator[None]:
        """Push the metrics to the configured collector within the block; its last push takes so long at most."""
        push = self._push = Push(self._source(gauges), stop_seconds)
        try:
            async with push.running(self._endpoint):
                yield
        finally:
            self._push = None

    def _source(self, gauges: Callable[[], Gauges]) -> Source:
        return Source(self.observer.measures, gauges, lambda: self._naming, self._begun)

    def _renew_metrics(self, config: Config) -> None:
        self._naming = Naming(config.telemetry.metrics.prefix, config.name)
        self._endpoint = config.telemetry.otlp.endpoint
        if self._push is not None:
            self._push.aim(self._endpoint)
