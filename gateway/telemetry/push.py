"""Where metrics are pushed to, through reloads. Loads the exporter with the first endpoint, and in another thread."""

import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread

from gateway.telemetry.gauges import Source

if TYPE_CHECKING:
    from gateway.telemetry.otlp_metrics import OtlpMetrics

log = logging.getLogger("onegate.telemetry")

LAST_SECONDS: Final = 2.0  # a collector that is up takes its last metrics in far less
MARGIN_SECONDS: Final = 0.1  # in which it says that it gave up


class Push:
    """Sends the metrics of one gateway to at most one collector at a time.

    The last push takes ``stop_seconds`` at most, and never over `LAST_SECONDS`.
    """

    def __init__(self, source: Source, stop_seconds: float) -> None:
        self._source = source
        self._stop_seconds = min(stop_seconds, LAST_SECONDS)
        self._wanted: str | None = None
        self._present: str | None = None
        self._sender: OtlpMetrics | None = None
        self._lock = threading.Lock()

    def aim(self, endpoint: str | None) -> None:
        """Send there from now on, or nowhere; what this takes is done in another thread."""
        if endpoint != self._wanted:
            self._wanted = endpoint
            threading.Thread(target=self._settle, daemon=True).start()

    @asynccontextmanager
    async def running(self, endpoint: str | None) -> AsyncIterator[None]:
        """Send within the block, and a last time at its end."""
        self.aim(endpoint)
        try:
            yield
        finally:
            if self._wanted is not None:
                self._wanted = None
                with anyio.move_on_after(self._stop_seconds + MARGIN_SECONDS, shield=True):
                    await anyio.to_thread.run_sync(self._settle, abandon_on_cancel=True)

    def _settle(self) -> None:
        """Make true what is wanted; of several calls the last one finds the latest wish."""
        with self._lock:
            wanted = self._wanted
            if wanted == self._present:
                return
            former, self._sender, self._present = self._sender, None, wanted
            try:
                if former is not None:
                    former.stop(self._stop_seconds)
                self._sender = None if wanted is None else _sender(wanted, self._source)
            except Exception:  # the exporter reads OTEL_* variables and the files that they name
                log.exception("metrics cannot be sent to the collector")


def _sender(endpoint: str, source: Source) -> "OtlpMetrics":
    from gateway.telemetry.data_model import DataModel
    from gateway.telemetry.otlp_metrics import OtlpMetrics

    return OtlpMetrics(endpoint, DataModel(source).collect)
