"""Spans of sampled requests, in OpenTelemetry's API; only what is sampled makes any object.

A request has one server span; the stages of its way through the gateway are its children, one after another.
"""

import random
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from opentelemetry import trace as otel
from opentelemetry.trace import SpanKind, Status, StatusCode, TraceFlags, Tracer, TraceState

from gateway.telemetry.context import TRACEPARENT, TRACESTATE
from gateway.telemetry.current import Serving
from upstreams import wire

MAX_ARGUMENTS: Final = 8_192  # characters of one attribute; collectors drop spans that are too large
SUBJECTS: Final = {
    "tools/call": "gen_ai.tool.name",
    "prompts/get": "gen_ai.prompt.name",
    "resources/read": "mcp.resource.uri",
}
"""The attribute that names what a method is about (OpenTelemetry semantic conventions, MCP)."""


class Tracing:
    """Decides what is sampled: as the caller's own trace is, else a share ``sample`` of all."""

    def __init__(
        self,
        tracer: Tracer,
        sample: float = 1.0,
        arguments: bool = False,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._tracer = tracer
        self._sample = sample
        self._arguments = arguments
        self._draw = draw

    def begin(self, serving: Serving, method: str) -> None:
        """Give a request its trace if it is sampled."""
        parent = serving.context
        if parent is None:
            sampled = self._sample > 0.0 and self._draw() < self._sample
        else:
            sampled = int(parent[TRACEPARENT][-2:], 16) & TraceFlags.SAMPLED != 0
        if sampled:
            serving.trace = Trace(self._tracer, method, serving, self._arguments)


class Trace:
    """The spans of one request. Every method is called from the task that serves it."""

    def __init__(self, tracer: Tracer, method: str, serving: Serving, arguments: bool) -> None:
        self._tracer = tracer
        self._arguments = arguments
        attributes = {"mcp.method.name": method, "rpc.system": "jsonrpc", "onegate.request.id": serving.request_id}
        earlier, parent = serving.stages or [], serving.context
        self._last = earlier[0][1] if earlier else time.time_ns()
        around = None if parent is None else otel.set_span_in_context(otel.NonRecordingSpan(_context(parent)))
        self._span = tracer.start_span(method, around, SpanKind.SERVER, attributes, start_time=self._last)
        self._within = otel.set_span_in_context(self._span)
        for name, begun, ended in earlier:
            tracer.start_span(name, self._within, start_time=begun).end(ended)
            self._last = max(self._last, ended)
        self._execution: otel.Span | None = None

    def authorized(self, method: str, target: str, allowed: bool) -> None:
        """What policy said, at the end of `gateway.authorize`; the target is known to be real."""
        result = "allowed" if allowed else "denied"
        self._stage("gateway.authorize", {"mcp.tool.name": target, "rbac.result": result})
        self._span.update_name(f"{method} {target}")
        self._span.set_attribute(SUBJECTS[method], target)
        if method == "tools/call":
            self._span.set_attribute("gen_ai.operation.name", "execute_tool")

    def executing(self, server: str, arguments: Mapping[str, Any] | None) -> dict[str, str]:
        """The request goes to its upstream; returns the context that it takes along."""
        self._stage("gateway.route", {"mcp.server": server})
        attributes = {"mcp.server": server}
        if self._arguments and arguments is not None:
            attributes["mcp.tool.arguments"] = wire.dumps(dict(arguments))[:MAX_ARGUMENTS].decode(errors="replace")
        self._execution = self._tracer.start_span("mcp.tool.execute", self._within, SpanKind.CLIENT, attributes)
        return _carried(self._execution.get_span_context())

    def executed(self, error: str) -> None:
        """The request has come out of the relay, with an error of this type or none (empty)."""
        if self._execution is not None:
            _fail(self._execution, error)
            self._execution.end()
            self._execution = None
        _fail(self._span, error)
        self._last = time.time_ns()

    def finish(self) -> None:
        """The answer is written."""
        self._stage("gateway.respond", {})
        self._span.end()

    def ids(self) -> tuple[str, str]:
        """The ids of the trace and of its server span, as logs write them."""
        context = self._span.get_span_context()
        return f"{context.trace_id:032x}", f"{context.span_id:016x}"

    def _stage(self, name: str, attributes: Mapping[str, str]) -> None:
        now = time.time_ns()
        self._tracer.start_span(name, self._within, attributes=attributes, start_time=self._last).end(now)
        self._last = now


def _fail(span: otel.Span, error: str) -> None:
    if error:
        span.set_attribute("error.type", error)
        span.set_status(Status(StatusCode.ERROR))


def _context(parent: Mapping[str, str]) -> otel.SpanContext:
    _, trace_id, span_id, flags = parent[TRACEPARENT].split("-")
    state = TraceState.from_header([parent[TRACESTATE]]) if TRACESTATE in parent else None
    return otel.SpanContext(int(trace_id, 16), int(span_id, 16), True, TraceFlags(int(flags, 16)), state)


def _carried(context: otel.SpanContext) -> dict[str, str]:
    carried = {TRACEPARENT: f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"}
    return {**carried, TRACESTATE: context.trace_state.to_header()} if context.trace_state else carried
