"""Counts in OpenTelemetry's data model: names, zeros, times and the resource."""

import sys
import threading
from dataclasses import replace

from opentelemetry.sdk.metrics.export import Histogram, Metric, Sum

from gateway import __version__
from gateway.telemetry.data_model import MAX_ZEROED, DataModel
from gateway.telemetry.gauges import Gauges, Naming, Source, UpstreamGauge
from gateway.telemetry.measures import STATUSES, Measures

BEGUN = 1_000_000


class Stage:
    """A model over gauges and names that a test changes."""

    def __init__(self) -> None:
        self.measures, self.gauges, self.naming = Measures(), Gauges(), Naming()
        self.model = DataModel(Source(self.measures, lambda: self.gauges, lambda: self.naming, BEGUN))

    def metrics(self) -> dict[str, Metric]:
        (resource,) = self.model.collect().resource_metrics
        return {metric.name: metric for metric in resource.scope_metrics[0].metrics}

    def calls(self) -> dict[tuple[str, ...], float]:
        points = self.metrics()["onegate_mcp_tool_calls"].data.data_points
        return {(p.attributes["tool"], p.attributes["upstream"], p.attributes["status"]): p.value for p in points}

    def restarts(self) -> dict[str, tuple[float, int]]:
        points = self.metrics()["onegate_upstream_restarts"].data.data_points
        return {p.attributes["upstream"]: (p.value, p.start_time_unix_nano) for p in points}


def test_a_tool_that_is_offered_or_was_called_has_every_status_from_zero_on() -> None:
    stage = Stage()
    stage.gauges = Gauges(tools={("gh_issue", "gh"): None})
    stage.measures.call("gh_gone", "gh", "error")
    assert stage.calls() == {
        (tool, "gh", status): int((tool, status) == ("gh_gone", "error"))
        for tool in ("gh_issue", "gh_gone")
        for status in STATUSES
    }


def test_of_more_tools_than_that_only_what_was_counted_is_there() -> None:
    stage = Stage()
    stage.gauges = Gauges(tools=[(f"t_{number}", "gh") for number in range(MAX_ZEROED)])
    assert len(stage.calls()) == MAX_ZEROED * len(STATUSES)
    stage.measures.call("one_more", "gh", "success")
    assert stage.calls() == {("one_more", "gh", "success"): 1}


def test_another_prefix_and_name_hold_from_the_next_collection() -> None:
    stage = Stage()
    assert "onegate_sessions" in stage.metrics()
    stage.naming = Naming("acme", "acme-tools")
    (resource,) = stage.model.collect().resource_metrics
    assert "acme_sessions" in {metric.name for metric in resource.scope_metrics[0].metrics}
    about = resource.resource.attributes
    assert (about["service.name"], about["service.version"]) == ("acme-tools", __version__)


def test_two_gateways_of_one_name_are_two_sources() -> None:
    instances = {
        Stage().model.collect().resource_metrics[0].resource.attributes["service.instance.id"] for _ in range(2)
    }
    assert len(instances) == 2


def test_counts_are_cumulative_since_the_start() -> None:
    stage = Stage()
    stage.measures.call("gh_issue", "gh", "success")
    stage.measures.duration("gh_issue", "gh", 0.02)
    metrics = stage.metrics()
    calls, durations = metrics["onegate_mcp_tool_calls"].data, metrics["onegate_mcp_tool_duration"].data
    assert isinstance(calls, Sum)
    assert isinstance(durations, Histogram)
    assert calls.is_monotonic
    assert {point.start_time_unix_nano for point in (*calls.data_points, *durations.data_points)} == {BEGUN}
    assert (durations.data_points[0].count, durations.data_points[0].sum) == (1, 0.02)
    assert metrics["onegate_mcp_tool_duration"].unit == "s"


def test_an_operation_names_only_what_it_has() -> None:
    stage = Stage()
    stage.measures.operation("tools/list", "", "", 0.01)
    stage.measures.operation("tools/call", "gh_issue", "timeout", 0.01)
    points = stage.metrics()["mcp.server.operation.duration"].data.data_points
    assert [dict(point.attributes) for point in points] == [
        {"mcp.method.name": "tools/list"},
        {"mcp.method.name": "tools/call", "gen_ai.tool.name": "gh_issue", "error.type": "timeout"},
    ]


def test_an_upstream_that_comes_back_counts_its_restarts_anew() -> None:
    stage, up = Stage(), UpstreamGauge("gh", True, 3)
    stage.gauges = Gauges(upstreams=(up,))
    assert stage.restarts() == {"gh": (3, BEGUN)}
    stage.gauges = Gauges(upstreams=(replace(up, restarts=4), replace(up, name="later", restarts=0)))
    first = stage.restarts()
    assert first["gh"] == (4, BEGUN)
    assert first["later"][1] > BEGUN
    stage.gauges = Gauges(upstreams=(replace(up, restarts=0),))
    value, since = stage.restarts()["gh"]
    assert (value, since > BEGUN) == (0, True)
    assert stage.restarts()["gh"] == (0, since)


def test_tables_may_grow_while_they_are_read() -> None:
    stage, tools = Stage(), 2_000

    def count() -> None:
        for number in range(tools):
            stage.measures.call(f"gh_{number}", "gh", "success")
            stage.measures.duration(f"gh_{number}", "gh", 0.01)
            stage.measures.operation("tools/call", f"gh_{number}", "", 0.01)
            stage.measures.denial(f"gh_{number}", "viewer")
            stage.measures.auth_failure(number)

    thread = threading.Thread(target=count)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # the threads take turns within every loop
    try:
        thread.start()
        while thread.is_alive():
            stage.model.collect()
    finally:
        sys.setswitchinterval(interval)
        thread.join()
    assert sum(stage.calls().values()) == tools
