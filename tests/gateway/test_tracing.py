"""Which requests get spans, and that the others get nothing at all."""

from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gateway.telemetry.current import Serving
from gateway.telemetry.tracing import MAX_ARGUMENTS, Ended, Tracing

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Spans:
    """A tracer whose spans stay in memory."""

    def __init__(self, sample: float = 1.0, draw: float = 0.0, **settings: Any) -> None:
        self._kept = InMemorySpanExporter()
        ended = Ended(SimpleSpanProcessor(self._kept), Resource.get_empty())
        self.tracing = Tracing(ended, sample, draw=lambda: draw, **settings)

    def begin(self, flags: str | None = None, method: str = "tools/call", **context: str) -> Serving:
        serving = Serving(stages=[])
        if flags is not None:
            serving.context = {"traceparent": f"00-{TRACE}-{SPAN}-{flags}", **context}
        self.tracing.begin(serving, method)
        return serving

    @property
    def names(self) -> list[str]:
        return [span.name for span in self._kept.get_finished_spans()]

    def attributes(self, name: str) -> dict[str, Any]:
        return dict(next(span.attributes or {} for span in self._kept.get_finished_spans() if span.name == name))


@pytest.mark.parametrize(("draw", "sampled"), [(0.0, True), (0.0099, True), (0.01, False), (0.99, False)])
def test_a_share_of_requests_is_sampled(draw: float, sampled: bool) -> None:
    assert (Spans(0.01, draw).begin().trace is not None) is sampled


def test_nothing_is_sampled_at_a_share_of_zero() -> None:
    assert Spans(0.0, 0.0).begin().trace is None


@pytest.mark.parametrize(("flags", "sampled"), [("01", True), ("00", False), ("03", True), ("02", False)])
def test_a_caller_with_a_trace_decides_for_itself(flags: str, sampled: bool) -> None:
    for share in (0.0, 1.0):
        assert (Spans(share, 0.5).begin(flags).trace is not None) is sampled


def test_what_goes_upstream_names_the_execution_in_the_callers_trace() -> None:
    spans = Spans()
    trace = spans.begin("01", tracestate="vendor=1").trace
    assert trace is not None
    carried = trace.executing("up", {})
    version, trace_id, span_id, flags = carried["traceparent"].split("-")
    assert (version, trace_id, flags, carried["tracestate"]) == ("00", TRACE, "01", "vendor=1")
    assert span_id != SPAN
    assert trace.ids()[0] == TRACE


def test_a_list_has_its_server_span_and_no_execution() -> None:
    spans = Spans()
    serving = spans.begin(method="tools/list")
    assert serving.trace is not None
    serving.trace.executed("")
    serving.finish()
    assert spans.names == ["gateway.respond", "tools/list"]


def test_arguments_are_written_only_where_asked_for_and_never_without_end() -> None:
    for asked in (True, False):
        spans = Spans(arguments=asked)
        trace = spans.begin().trace
        assert trace is not None
        trace.executing("up", {"text": "é" * MAX_ARGUMENTS})
        trace.executed("")
        written = spans.attributes("mcp.tool.execute").get("mcp.tool.arguments")
        assert (written is not None) is asked
        assert written is None or len(written) <= MAX_ARGUMENTS
