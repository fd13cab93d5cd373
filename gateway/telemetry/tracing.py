"""Spans of sampled requests, as OpenTelemetry's SDK sends them; only what is sampled makes any object.

A request has one server span; the stages of its way through the gateway are its children, one after another. Each is
made when it has ended: the SDK's own open spans, which anybody may add to from any thread, cost ten times as much.
"""

import random
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from gateway import __version__
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

SCOPE: Final = InstrumentationScope("onegate", __version__)
SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
FINE, FAILED = Status(), Status(StatusCode.ERROR)

Attributes = Mapping[str, str]


class Ended:
    """Makes spans that have ended, and hands them to what sends them; times are in nanoseconds since 1970."""

    def __init__(self, processor: SpanProcessor, resource: Resource) -> None:
        self._processor = processor
        self._resource = resource
        self._ids = RandomIdGenerator()

    def context(self, parent: SpanContext | None) -> SpanContext:
        """The ids of another span of this parent's trace, or of a trace of its own."""
        if parent is None:
            return SpanContext(self._ids.generate_trace_id(), self._ids.generate_span_id(), False, SAMPLED)
        return SpanContext(parent.trace_id, self._ids.generate_span_id(), False, SAMPLED, parent.trace_state)

    def tell(
        self,
        name: str,
        ids: tuple[SpanContext, SpanContext | None],
        times: tuple[int, int],
        **more: Any,
    ) -> None:
        """One span has ended: its ids, its parent's, its begin and end, and what `ReadableSpan` has ``more``."""
        (context, parent), (begun, end) = ids, times
        span = ReadableSpan(
            name,
            context,
            parent,
            self._resource,
            start_time=begun,
            end_time=end,
            instrumentation_scope=SCOPE,
            **{"status": FINE, **more},
        )
        self._processor.on_end(span)


class Tracing:
    """Decides what is sampled: as the caller's own trace is, else a share ``sample`` of all."""

    def __init__(
        self,
        ended: Ended,
        sample: float = 1.0,
        arguments: bool = False,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._ended = ended
        self._sample = sample
        self._arguments = arguments
        self._draw = draw

    def begin(self, serving: Serving, method: str) -> None:
        """Give a request its trace if it is sampled."""
        parent = serving.context
        if parent is None:
            sampled = self._draw() < self._sample
        else:
            sampled = int(parent[TRACEPARENT][-2:], 16) & TraceFlags.SAMPLED != 0
        if sampled:
            serving.trace = Trace(self._ended, method, serving, self._arguments)


class Trace:
    """The spans of one request. Every method is called from the task that serves it."""

    def __init__(self, ended: Ended, method: str, serving: Serving, arguments: bool) -> None:
        self._ended = ended
        self._arguments = arguments
        self._name = method
        self._attributes = {
            "mcp.method.name": method,
            "rpc.system": "jsonrpc",
            "onegate.request.id": serving.request_id,
        }
        earlier = serving.stages or []
        self._begun = self._last = earlier[0][1] if earlier else time.time_ns()
        self._parent = None if serving.context is None else _context(serving.context)
        self._context = ended.context(self._parent)
        self._execution: tuple[SpanContext, Attributes, int] | None = None
        self._error = ""
        for name, begun, end in earlier:
            self._child(name, {}, begun, end)
            self._last = max(self._last, end)

    def authorized(self, method: str, target: str, allowed: bool) -> None:
        """What policy said, at the end of `gateway.authorize`; the target is known to be real."""
        result = "allowed" if allowed else "denied"
        self._stage("gateway.authorize", {"mcp.tool.name": target, "rbac.result": result})
        self._name = f"{method} {target}"
        self._attributes[SUBJECTS[method]] = target
        if method == "tools/call":
            self._attributes["gen_ai.operation.name"] = "execute_tool"

    def executing(self, server: str, arguments: Mapping[str, Any] | None) -> dict[str, str]:
        """The request goes to its upstream; returns the context that it takes along."""
        self._stage("gateway.route", {"mcp.server": server})
        attributes = {"mcp.server": server}
        if self._arguments and arguments is not None:
            attributes["mcp.tool.arguments"] = wire.dumps(dict(arguments))[:MAX_ARGUMENTS].decode(errors="replace")
        context = self._ended.context(self._context)
        self._execution = context, attributes, self._last
        return _carried(context)

    def executed(self, error: str) -> None:
        """The request has come out of the relay, with an error of this type or none (empty)."""
        now = time.time_ns()
        if self._execution is not None:
            context, attributes, begun = self._execution
            self._execution = None
            more = _outcome(SpanKind.CLIENT, attributes, error)
            self._ended.tell("mcp.tool.execute", (context, self._context), (begun, now), **more)
        self._error = error
        self._last = now

    def finish(self) -> None:
        """The answer is written."""
        self._stage("gateway.respond", {})
        more = _outcome(SpanKind.SERVER, self._attributes, self._error)
        self._ended.tell(self._name, (self._context, self._parent), (self._begun, self._last), **more)

    def ids(self) -> tuple[str, str]:
        """The ids of the trace and of its server span, as logs write them."""
        return f"{self._context.trace_id:032x}", f"{self._context.span_id:016x}"

    def _stage(self, name: str, attributes: Attributes) -> None:
        begun, self._last = self._last, time.time_ns()
        self._child(name, attributes, begun, self._last)

    def _child(self, name: str, attributes: Attributes, begun: int, end: int) -> None:
        ids = (self._ended.context(self._context), self._context)
        self._ended.tell(name, ids, (begun, end), attributes=attributes)


def _outcome(kind: SpanKind, attributes: Attributes, error: str) -> dict[str, Any]:
    """What a span says that ended with an error of this type or none (empty)."""
    if not error:
        return {"kind": kind, "attributes": attributes}
    return {"kind": kind, "attributes": {**attributes, "error.type": error}, "status": FAILED}


def _context(parent: Mapping[str, str]) -> SpanContext:
    _, trace_id, span_id, flags = parent[TRACEPARENT].split("-")
    state = TraceState.from_header([parent[TRACESTATE]]) if TRACESTATE in parent else None
    return SpanContext(int(trace_id, 16), int(span_id, 16), True, TraceFlags(int(flags, 16)), state)


def _carried(context: SpanContext) -> dict[str, str]:
    carried = {TRACEPARENT: f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"}
    return {**carried, TRACESTATE: context.trace_state.to_header()} if context.trace_state else carried
