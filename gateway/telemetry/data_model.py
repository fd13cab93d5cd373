"""Turns plain counts into OpenTelemetry's data model, cumulative; who exports it is not known here.

Imports the SDK: load it only where something is exported. It runs in another thread than the one that counts, so each
table is copied first, in one step of C that no other thread gets into.
"""

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import Histogram as HistogramData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from gateway import __version__
from gateway.telemetry.gauges import Gauges, Naming, Source, UpstreamGauge
from gateway.telemetry.measures import BOUNDS, STATUSES, Histogram, Measures

SCOPE: Final = InstrumentationScope("onegate", __version__)
CUMULATIVE: Final = AggregationTemporality.CUMULATIVE

MAX_ZEROED: Final = 500
"""So many tools have every status from 0 on: `rate()` does not see the step with which a series begins, and so would
miss the first call, and the first error, of each. Six series a tool; of more tools only what was counted is there."""

AUTH_STATUSES: Final = {"401": 0, "403": 0}

Labels = dict[str, str]


class DataModel:
    """Makes the metrics of one gateway, as often as asked."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._instance = str(uuid.uuid4())  # two gateways of one name are not two resets of one counter
        self._resource: tuple[str, Resource] | None = None
        self._seen: dict[str, tuple[int, int]] = {}

    def collect(self) -> MetricsData:
        """Everything as it is now."""
        naming, gauges = self._source.naming(), self._source.gauges()
        moment = _Moment(self._source.begun, time.time_ns())
        measures, prefix = self._source.measures, naming.prefix
        metrics = [
            *_tool_metrics(measures, gauges, prefix, moment),
            *_own_metrics(measures, gauges, prefix, moment),
            *_upstream_metrics(gauges, self._restarts_since(gauges.upstreams, moment), prefix, moment),
        ]
        scope = ScopeMetrics(SCOPE, metrics, "")
        return MetricsData([ResourceMetrics(self._resource_of(naming), [scope], "")])

    def _resource_of(self, naming: Naming) -> Resource:
        if self._resource is None or self._resource[0] != naming.service:
            about = {"service.name": naming.service, "service.version": __version__}
            self._resource = naming.service, Resource.create({**about, "service.instance.id": self._instance})
        return self._resource[1]

    def _restarts_since(self, upstreams: Iterable[UpstreamGauge], moment: "_Moment") -> dict[str, int]:
        """Since when each upstream's restarts are counted: one that a reload took away and brought back starts anew."""
        first = not self._seen
        seen: dict[str, tuple[int, int]] = {}
        for one in upstreams:
            since, least = self._seen.get(one.name, (moment.begun if first else moment.now, 0))
            seen[one.name] = (since if one.restarts >= least else moment.now, one.restarts)
        self._seen = seen
        return {name: since for name, (since, _) in seen.items()}


@dataclass(frozen=True, slots=True)
class _Moment:
    """When counting began and when it is read, in nanoseconds since 1970."""

    begun: int
    now: int

    def number(self, labels: Labels, value: int) -> NumberDataPoint:
        return NumberDataPoint(labels, self.begun, self.now, value)

    def histogram(self, labels: Labels, histogram: Histogram) -> HistogramDataPoint:
        counts, total = histogram.counts.copy(), histogram.total
        # The least and the most are not kept: they are left out on the wire.
        return HistogramDataPoint(
            labels,
            self.begun,
            self.now,
            count=sum(counts),
            sum=total,
            bucket_counts=counts,
            explicit_bounds=BOUNDS,
            min=None,  # type: ignore[arg-type]
            max=None,  # type: ignore[arg-type]
        )


def _tool_metrics(measures: Measures, gauges: Gauges, prefix: str, moment: _Moment) -> Iterator[Metric]:
    calls = [
        moment.number({"tool": tool, "upstream": upstream, "status": status}, count)
        for (tool, upstream, status), count in _with_zeros(measures.calls.copy(), gauges).items()
    ]
    yield _counter(f"{prefix}_mcp_tool_calls", "Tool calls by how they ended.", "{call}", calls)
    durations = [
        moment.histogram({"tool": tool, "upstream": upstream}, one)
        for (tool, upstream), one in measures.durations.copy().items()
    ]
    about = "What tool calls took that went to their upstream."
    yield _histogram(f"{prefix}_mcp_tool_duration", about, durations)
    denials = [
        moment.number({"type": "mcp", "tool": tool, "role": role}, count)
        for (tool, role), count in measures.denials.copy().items()
    ]
    yield _counter(f"{prefix}_rbac_denials", "Tool calls that policy refused.", "{call}", denials)
    operations = [moment.histogram(_operation(*key), one) for key, one in measures.operations.copy().items()]
    # OpenTelemetry semantic conventions, MCP: the name is theirs, so it has no prefix.
    yield _histogram("mcp.server.operation.duration", "What MCP requests took in the gateway.", operations)


def _own_metrics(measures: Measures, gauges: Gauges, prefix: str, moment: _Moment) -> Iterator[Metric]:
    failures = [
        moment.number({"status": status}, count)
        for status, count in {**AUTH_STATUSES, **measures.auth_failures.copy()}.items()
    ]
    yield _counter(f"{prefix}_auth_failures", "HTTP requests that were not let in.", "{request}", failures)
    refused = [moment.number({}, measures.audit_refused)]
    about = "Requests refused because the audit file could not keep up."
    yield _counter(f"{prefix}_audit_refused", about, "{request}", refused)
    in_flight = [moment.number({}, gauges.in_flight)]
    yield _gauge(f"{prefix}_requests_in_flight", "HTTP requests being served, open streams included.", in_flight)
    sessions = [moment.number({}, gauges.sessions)]
    yield _gauge(f"{prefix}_sessions", "Sessions of clients of before MCP 2026.", sessions)
    yield _gauge(f"{prefix}_build_info", "The version that runs.", [moment.number({"version": __version__}, 1)])


def _upstream_metrics(gauges: Gauges, since: Mapping[str, int], prefix: str, moment: _Moment) -> Iterator[Metric]:
    up = [moment.number({"upstream": one.name}, int(one.up)) for one in gauges.upstreams]
    yield _gauge(f"{prefix}_upstream_up", "Whether calls to the upstream are taken.", up)
    restarts = [
        NumberDataPoint({"upstream": one.name}, since[one.name], moment.now, one.restarts) for one in gauges.upstreams
    ]
    about = "Attempts to start or connect the upstream anew."
    yield _counter(f"{prefix}_upstream_restarts", about, "{restart}", restarts)


def _with_zeros(counted: dict[tuple[str, str, str], int], gauges: Gauges) -> Mapping[tuple[str, str, str], int]:
    pairs = dict.fromkeys([*gauges.tools, *((tool, upstream) for tool, upstream, _ in counted)])
    if len(pairs) > MAX_ZEROED:
        return counted
    return {(*pair, status): counted.get((*pair, status), 0) for pair in pairs for status in STATUSES}


def _operation(method: str, tool: str, error: str) -> Labels:
    named = {"mcp.method.name": method, "gen_ai.tool.name": tool, "error.type": error}
    return {name: value for name, value in named.items() if value}


def _counter(name: str, about: str, unit: str, points: list[NumberDataPoint]) -> Metric:
    return Metric(name, about, unit, Sum(points, CUMULATIVE, True))


def _gauge(name: str, about: str, points: list[NumberDataPoint]) -> Metric:
    return Metric(name, about, "", Gauge(points))


def _histogram(name: str, about: str, points: list[HistogramDataPoint]) -> Metric:
    return Metric(name, about, "s", HistogramData(points, CUMULATIVE))
