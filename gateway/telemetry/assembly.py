"""Builds what `telemetry:` asks for, and builds anew what a reload changed; alone knows the whole of it."""

import threading
from collections.abc import Callable

from gateway.config import Config
from gateway.telemetry.observer import Observer


class Telemetry:
    """What one gateway tells of itself, from its start to its end; reloads go on counting."""

    def __init__(self, config: Config) -> None:
        self.observer = Observer()
        self._config: Config | None = None
        self._end_spans: Callable[[], None] | None = None
        self.renew(config)

    def renew(self, config: Config) -> None:
        """Go on under another config."""
        self.observer.role_claim = config.telemetry.metrics.role_claim
        self.observer.recent.forget(list(config.servers))
        self._renew_spans(config)
        self._config = config

    def close(self, seconds: float) -> None:
        """Send what is left; blocks for so long at most."""
        if (ending := self._stop_spans()) is not None:
            ending.join(seconds)

    def _renew_spans(self, config: Config) -> None:
        present = self._config
        if present is not None and (present.telemetry.otlp, present.name) == (config.telemetry.otlp, config.name):
            return
        self._stop_spans()
        self.observer.tracing = None
        if config.telemetry.otlp.endpoint is not None:
            from gateway.telemetry.spans import span_sender  # a quarter of a second that only its users pay

            self.observer.tracing, self._end_spans = span_sender(config.telemetry.otlp, config.name)

    def _stop_spans(self) -> threading.Thread | None:
        """Let what is under way be sent without anybody waiting for it."""
        end, self._end_spans = self._end_spans, None
        if end is None:
            return None
        ending = threading.Thread(target=end, daemon=True, name="spans")
        ending.start()
        return ending
