"""Sends spans to an OTLP receiver over HTTP, from a thread of its own; imported only where one is configured."""

from collections.abc import Callable, Sequence
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

from gateway import __version__
from gateway.config_telemetry import OtlpConfig
from gateway.telemetry.collector import Word
from gateway.telemetry.tracing import Ended, Tracing

TRACES_PATH: Final = "/v1/traces"  # OpenTelemetry protocol exporter, OTLP/HTTP: a signal's path under the endpoint
EXPORT_SECONDS: Final = 5.0  # a receiver that takes longer is down; spans are dropped, calls notice nothing
DELAY_MILLISECONDS: Final = 1_000.0


def span_sender(otlp: OtlpConfig, service: str) -> tuple[Tracing, Callable[[], None]]:
    """What makes the spans, and what sends the rest of them and ends; the latter blocks for seconds at most."""
    assert otlp.endpoint is not None
    exporter = _Exporter(otlp.endpoint.rstrip("/") + TRACES_PATH)
    resource = Resource.create({"service.name": service, "service.version": __version__})
    processor = BatchSpanProcessor(exporter, schedule_delay_millis=DELAY_MILLISECONDS)
    return Tracing(Ended(processor, resource), otlp.sample, otlp.arguments), processor.shutdown


class _Exporter(OTLPSpanExporter):
    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint, timeout=EXPORT_SECONDS)
        self._word = Word("spans", OTLPSpanExporter)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        self._word.heard(result is SpanExportResult.SUCCESS)
        return result
