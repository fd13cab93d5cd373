"""Pushes metrics to a collector (OTLP over HTTP) in a thread of its own. Whatever the collector does, calls go on.

Imports the exporter: load it only where an endpoint is configured.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData, PeriodicExportingMetricReader

from gateway.telemetry.collector import Word

log = logging.getLogger("onegate.telemetry")

PATH: Final = "/v1/metrics"
INTERVAL_SECONDS: Final = 60.0


class OtlpMetrics:
    """Sends what ``collect`` returns each minute, and once more at the end."""

    def __init__(
        self, endpoint: str, collect: Callable[[], MetricsData], interval_seconds: float = INTERVAL_SECONDS
    ) -> None:
        exporter = _Exporter(endpoint.rstrip("/") + PATH)
        self._reader = PeriodicExportingMetricReader(exporter, interval_seconds * 1000)
        # As a MeterProvider does with its readers; for None nothing is sent.
        self._reader._set_collect_callback(lambda *_, **__: _collected(collect))  # type: ignore[arg-type]

    def stop(self, seconds: float) -> None:
        """Send once more and end, after so long at most; a collector that does not answer gets nothing."""
        begun = time.monotonic()
        self._reader.shutdown(timeout_millis=seconds * 1000)
        if time.monotonic() - begun >= seconds:
            log.warning("the last metrics could not be sent to the collector within %g s", seconds)


def _collected(collect: Callable[[], MetricsData]) -> MetricsData | None:
    try:
        return _filled(collect())
    except Exception:  # the thread would end with it
        log.exception("metrics could not be collected")
        return None


def _filled(data: MetricsData) -> MetricsData:
    """Without the metrics that have no series yet: on the wire these would have no type."""
    (resource,) = data.resource_metrics
    (scope,) = resource.scope_metrics
    filled = replace(scope, metrics=[metric for metric in scope.metrics if metric.data.data_points])
    return MetricsData([replace(resource, scope_metrics=[filled])])


class _Exporter(OTLPMetricExporter):
    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint)
        self._word = Word("metrics", OTLPMetricExporter)

    def export(self, metrics_data: MetricsData, timeout_millis: float | None = 10_000, **more: Any) -> Any:
        result = super().export(metrics_data, timeout_millis, **more)
        self._word.heard(result is MetricExportResult.SUCCESS)
        return result

    def shutdown(self, timeout_millis: float = 30_000, **more: Any) -> None:
        self._word.end()
        super().shutdown(timeout_millis, **more)
