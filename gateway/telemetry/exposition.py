"""What a scrape of Prometheus gets. The exporters are loaded by the first: where nobody scrapes, nothing is paid."""

import threading
from collections.abc import Callable

from gateway.telemetry.gauges import Source


class Exposition:
    """The metrics of one gateway as text. A scrape of many tools takes a while: ask it from a worker thread."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._text: Callable[[str], tuple[bytes, str]] | None = None

    def text(self, accept: str | None = None) -> tuple[bytes, str]:
        """Body and content type, in a form that the Accept header of the scrape takes."""
        with self._lock:
            if self._text is None:
                self._text = _loaded(self._source)
            return self._text(accept or "")


def _loaded(source: Source) -> Callable[[str], tuple[bytes, str]]:
    from gateway.telemetry.data_model import DataModel
    from gateway.telemetry.prometheus import PrometheusText

    return PrometheusText(DataModel(source).collect).text
