"""Builds what `telemetry:` asks for, and builds anew what a reload changed; alone knows the whole of it."""

import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread

from gateway import logs
from gateway.config import Config
from gateway.telemetry.audit_handover import AuditHandover
from gateway.telemetry.declared import declared
from gateway.telemetry.exposition import Exposition
from gateway.telemetry.gauges import Gauges, Naming, Source
from gateway.telemetry.observer import Observer
from gateway.telemetry.push import Push
from gateway.telemetry.secrets import Redactor

log = logging.getLogger("onegate.telemetry")


class Telemetry:
    """What one gateway tells of itself, from its start to its end; reloads go on counting."""

    def __init__(self, config: Config) -> None:
        self.observer = Observer()
        self.redactor = Redactor()
        """Masks in a text what this config, or one before it, declares as secret: for all that people get to read."""
        self._audit = AuditHandover()
        self._begun = time.time_ns()
        self._push: Push | None = None
        self._config: Config | None = None
        self._end_spans: Callable[[], None] | None = None
        self.prepare(config)
        self.renew(config)
        logs.mask_with(self.redactor.redact)

    def prepare(self, config: Config) -> None:
        """Open what another config needs, for `renew`. Raises ConfigError, with nothing changed."""
        self._audit.prepare(config)

    def renew(self, config: Config) -> None:
        """Go on under another config, the one that was prepared."""
        self.redactor.renew(declared(config))
        self.observer.role_claim = config.telemetry.metrics.role_claim
        self.observer.recent.forget(list(config.servers))
        self.observer.audit = self._audit.take()
        self._renew_metrics(config)
        self._renew_spans(config)
        self._config = config

    def reopen(self) -> None:
        """Files were renamed; go on in fresh ones."""
        self._audit.reopen()

    def exposition(self, gauges: Callable[[], Gauges]) -> Exposition:
        """The metrics for Prometheus; ``gauges`` is asked at each scrape, in the thread of the scrape."""
        return Exposition(self._source(gauges))

    @asynccontextmanager
    async def running(self, gauges: Callable[[], Gauges], stop_seconds: float) -> AsyncIterator[None]:
        """Send what is to be sent within the block; at its end what is left, which takes so long at most."""
        push = self._push = Push(self._source(gauges), stop_seconds)
        until, ending = 0.0, None
        try:
            async with push.running(self._endpoint):
                try:
                    yield
                finally:  # side by side with the last push: who waits for the end waits once
                    until, ending = time.monotonic() + stop_seconds, self._stop_spans()
                    self._audit.retire()
        finally:
            self._push = None
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._close, until, ending)

    def _close(self, until: float, ending: threading.Thread | None) -> None:
        self._audit.close(max(0.0, until - time.monotonic()))
        if ending is not None:
            ending.join(max(0.0, until - time.monotonic()))

    def _source(self, gauges: Callable[[], Gauges]) -> Source:
        return Source(self.observer.measures, gauges, lambda: self._naming, self._begun)

    def _renew_metrics(self, config: Config) -> None:
        self._naming = Naming(config.telemetry.metrics.prefix, config.name)
        self._endpoint = config.telemetry.otlp.endpoint
        if self._push is not None:
            self._push.aim(self._endpoint)

    def _renew_spans(self, config: Config) -> None:
        present = self._config
        if present is not None and (present.telemetry.otlp, present.name) == (config.telemetry.otlp, config.name):
            return
        self._stop_spans()
        self.observer.tracing = None
        if config.telemetry.otlp.endpoint is not None:
            from gateway.telemetry.spans import span_sender  # a quarter of a second that only its users pay

            try:
                self.observer.tracing, self._end_spans = span_sender(config.telemetry.otlp, config.name)
            except Exception:  # the exporter reads OTEL_* variables and the files that they name
                log.exception("spans cannot be sent to the collector")

    def _stop_spans(self) -> threading.Thread | None:
        """Let what is under way be sent without anybody waiting for it."""
        end, self._end_spans = self._end_spans, None
        if end is None:
            return None
        ending = threading.Thread(target=end, daemon=True, name="spans")
        ending.start()
        return ending
