"""Writes OpenTelemetry's data model as Prometheus reads it, with OpenTelemetry's own exporter. Knows no metric by name.

Imports the exporter and Prometheus' client: load it only where something scrapes.
"""

import re
from collections.abc import Callable
from typing import Final

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics.export import MetricsData
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder

_CONTENT_TYPE: Final = re.compile(r"[a-z0-9/;=., _-]+")


class PrometheusText:
    """Asks ``collect`` at each scrape, and adds what the system knows of this process (Linux only)."""

    def __init__(self, collect: Callable[[], MetricsData]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        # The scope and the resource are the same for every series: labels of the scrape job say as much.
        reader = PrometheusMetricReader(disable_target_info=True, scope_info_enabled=False, registry=self._registry)
        reader._set_collect_callback(lambda *_, **__: collect())  # as a MeterProvider does with its readers

    def text(self, accept: str) -> tuple[bytes, str]:
        """Body and content type in a form that an Accept header takes. Not from two threads at once."""
        encode, content_type = _encoder(accept)
        return encode(self._registry), content_type


def _encoder(accept: str) -> tuple[Callable[[CollectorRegistry], bytes], str]:
    """The library takes the version over as it comes, and fails over one that is none."""
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError):
        return choose_encoder("")
    return (encode, content_type) if _CONTENT_TYPE.fullmatch(content_type) else choose_encoder("")
