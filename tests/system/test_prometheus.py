"""A real Prometheus scrapes a real gateway through a known mix of calls, and the documented queries tell that mix.

Every call series is there from the first scrape on, at 0, so that `rate()` extrapolates all by the same factor, and
ratios are exact. Series of denials and histograms begin with their first event: these queries tell what came after it,
extrapolated by less than two scrape intervals.
"""

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from gateway.api_keys import new_key
from gateway.app_gauges import gauges
from gateway.telemetry.measures import BOUNDS
from tests.fixtures.gate import entry
from tests.fixtures.gateways import Message, raw_entry
from tests.fixtures.live_gateway import LiveGateway, call, live_gateway
from tests.fixtures.prometheus import Prometheus, metrics_served, scraping
from tests.fixtures.raw_upstream import RawUpstream, raw_upstream, tool

DEVELOPER, DEVELOPER_ENTRY = new_key("developer")
VIEWER, VIEWER_ENTRY = new_key("viewer")
KEYS = {"developer": DEVELOPER, "viewer": VIEWER}
SLOW_SECONDS = 0.3
FAILED: Message = {"isError": True, "content": [{"type": "text", "text": "no"}]}

SUCCESS_RATIO = (
    'sum(rate(agentgateway_mcp_tool_calls_total{status="success"}[5m])) '
    "/ sum(rate(agentgateway_mcp_tool_calls_total[5m]))"
)
P99 = "histogram_quantile(0.99, sum(rate(agentgateway_mcp_tool_duration_seconds_bucket[5m])) by (le, tool))"
TOP = "topk(10, sum(rate(agentgateway_mcp_tool_calls_total[1h])) by (tool))"
DENIALS = 'sum(rate(agentgateway_rbac_denials_total{type="mcp"}[5m])) by (tool, role)'


@dataclass(frozen=True)
class Part:
    """So many calls of one tool by one role, and how they end."""

    role: str
    tool: str
    ends: dict[str, int]


MIX = (
    Part("developer", "up_echo", {"success": 240}),
    Part("developer", "up_list", {"success": 100}),
    Part("viewer", "up_list", {"denied": 10}),
    Part("developer", "up_drop", {"denied": 30}),
    Part("viewer", "up_drop", {"denied": 20}),
    Part("developer", "up_fail", {"error": 40}),
    Part("developer", "up_limited", {"success": 5, "rate_limited": 20}),
    Part("developer", "up_hang", {"timeout": 12}),
    Part("developer", "up_slow", {"success": 8}),
    Part("developer", "gone_echo", {"unavailable": 14}),
    Part("developer", "gone_pid", {"success": 1}),
)
ALL = sum(sum(part.ends.values()) for part in MIX)
BY_TOOL = Counter[str]()
BY_STATUS = Counter[str]()
for _part in MIX:
    BY_TOOL[_part.tool] += sum(_part.ends.values())
    BY_STATUS.update(_part.ends)


def config(up: RawUpstream, gate: Path) -> Message:
    slow = {"overrides": {"hang": {"timeout": "100ms"}}}
    keys = [
        {**entry(text), "claims": {"role": role}}
        for role, text in (("developer", DEVELOPER_ENTRY), ("viewer", VIEWER_ENTRY))
    ]
    return {
        "mcpServers": {"up": {"url": up.url, "tools": slow}, "gone": raw_entry("--gate", gate)},
        "auth": {"api_keys": keys},
        "policy": {"allow": ['jwt.role == "developer" && mcp.tool.name != "drop"', 'mcp.tool.name == "echo"']},
        "rate_limits": [{"per": "tool", "rate": "1/h", "burst": 5, "tools": ["up_limited"]}],
        "telemetry": {"metrics": {"prefix": "agentgateway"}},
    }


@dataclass
class Scraped:
    """A gateway, and a Prometheus that scrapes it. Without its gate one of the upstreams does not come back."""

    live: LiveGateway
    prometheus: Prometheus
    gate: Path

    def call(self, role: str, name: str) -> Message:
        answer = self.live.post(call(name), {"X-API-Key": KEYS[role]})
        message: Message = answer.json
        return message

    def made(self, parts: list[tuple[str, str]]) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda one: self.call(*one), parts))

    def scraped(self, calls: int) -> None:
        self.prometheus.wait_for("sum(agentgateway_mcp_tool_calls_total)", calls)

    def buckets(self, name: str) -> list[int]:
        return list(self.live.gateway.telemetry.observer.measures.durations[name, name.split("_")[0]].counts)


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    home = tmp_path_factory.mktemp("prometheus")
    gate, never = home / "gate", threading.Event()
    gate.touch()
    with raw_upstream("modern") as up:
        up.tools = [tool(name) for name in ("echo", "list", "drop", "fail", "limited", "hang", "slow")]
        up.calls = {
            "fail": lambda params: FAILED,
            "hang": lambda params: {"content": [], "late": never.wait(1.0)},
            "slow": lambda params: {"content": [], "late": never.wait(SLOW_SECONDS)},
        }
        with live_gateway(home, config(up, gate)) as live:
            exposition = live.gateway.telemetry.exposition(partial(gauges, live.gateway))
            with metrics_served(exposition.text) as target, scraping(home, target) as prometheus:
                yield Scraped(live, prometheus, gate)


@pytest.fixture(scope="module")
def mixed(scraped: Scraped) -> dict[str, list[int]]:
    """Make the calls; gives what the histogram of each tool counted after the first scraped call."""
    scraped.scraped(0)
    assert scraped.live.post(call("up_echo"), {"X-API-Key": "og_wrong"}).status == 401
    assert scraped.prometheus.value('agentgateway_upstream_up{upstream="gone"}') == 1
    pid = int(scraped.call("developer", "gone_pid")["result"]["content"][0]["text"])
    scraped.gate.unlink()
    os.kill(pid, signal.SIGKILL)
    scraped.prometheus.wait_for('agentgateway_upstream_up{upstream="gone"}', 0)
    left = {(part.role, part.tool): sum(part.ends.values()) for part in MIX if part.tool != "gone_pid"}
    scraped.made(list(left))
    scraped.scraped(1 + len(left))
    first = {name: scraped.buckets(name) for name in ("up_echo", "up_slow", "up_hang")}
    scraped.made([one for one, times in left.items() for _ in range(times - 1)])
    scraped.scraped(ALL)
    return {
        name: [now - then for now, then in zip(scraped.buckets(name), counts, strict=True)]
        for name, counts in first.items()
    }


def test_the_mix_is_counted_call_by_call(scraped: Scraped, mixed: object) -> None:
    assert ALL == 500
    by_status = scraped.prometheus.values("sum(last_over_time(agentgateway_mcp_tool_calls_total[1m])) by (status)")
    assert {labels["status"]: value for labels, value in by_status} == BY_STATUS


def test_the_success_ratio_is_that_of_the_mix(scraped: Scraped, mixed: object) -> None:
    assert scraped.prometheus.value(SUCCESS_RATIO) == pytest.approx(BY_STATUS["success"] / ALL, rel=1e-9)


def test_the_top_tools_come_in_their_order_and_proportion(scraped: Scraped, mixed: object) -> None:
    top = [(labels["tool"], value) for labels, value in scraped.prometheus.values(TOP) if value]
    assert [name for name, _ in top] == [name for name, _ in BY_TOOL.most_common()]
    whole = sum(value for _, value in top)
    assert {name: value / whole for name, value in top} == pytest.approx(
        {name: count / ALL for name, count in BY_TOOL.items()}, rel=1e-9
    )


def test_the_99th_percentile_lies_in_the_bucket_of_the_slowest_calls(
    scraped: Scraped, mixed: dict[str, list[int]]
) -> None:
    p99 = {labels["tool"]: value for labels, value in scraped.prometheus.values(P99)}
    for name, counts in mixed.items():
        assert bound_below(counts, 0.97) <= p99[name] <= bound_above(counts, 1.0), (name, counts)
    assert p99["up_slow"] > 0.25
    assert p99["up_hang"] > 0.1


def test_denials_are_told_by_tool_and_role(scraped: Scraped, mixed: object) -> None:
    made = {(part.tool, part.role): part.ends["denied"] for part in MIX if "denied" in part.ends}
    series = {
        (one["metric"]["tool"], one["metric"]["role"]): [float(value) for _, value in one["values"]]
        for one in scraped.prometheus.ask('agentgateway_rbac_denials_total{type="mcp"}[5m]')
    }
    assert {key: values[-1] for key, values in series.items()} == made
    for labels, rate in scraped.prometheus.values(DENIALS):
        values = series.pop((labels["tool"], labels["role"]))
        rise = values[-1] - values[0]
        assert rise <= rate * 300 <= rise * (1 + 1.6 / (len(values) - 1))
    assert series == {}


def test_gauges_tell_what_the_gateway_has(scraped: Scraped, mixed: object) -> None:
    for series, value in {
        "up": 1,
        "agentgateway_sessions": 0,
        'agentgateway_upstream_up{upstream="up"}': 1,
        'agentgateway_upstream_restarts_total{upstream="gone"}': 1,
        'agentgateway_auth_failures_total{status="401"}': 1,
        "process_resident_memory_bytes > bool 1e6": 1,
    }.items():
        scraped.prometheus.wait_for(series, value)


def test_prometheus_had_nothing_to_complain_of(scraped: Scraped, mixed: object) -> None:
    said = scraped.prometheus.process.stderr_text().splitlines()
    assert [line for line in said if "level=info" not in line] == []


def bound_below(counts: list[int], share: float) -> float:
    """The lower bound of the bucket in which this share of the calls is reached."""
    return (0.0, *BOUNDS)[_bucket(counts, share)]


def bound_above(counts: list[int], share: float) -> float:
    """Its upper bound; beyond the last one a quantile is that one."""
    return (*BOUNDS, BOUNDS[-1])[_bucket(counts, share)]


def _bucket(counts: list[int], share: float) -> int:
    reached = [sum(counts[: index + 1]) >= share * sum(counts) for index in range(len(counts))]
    return reached.index(True)
