"""What the benchmark's report says of figures that are known: ratios, peers that are missing, the bars of the plot."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gateway.telemetry.exposition import Exposition
from gateway.telemetry.gauges import Gauges, Naming, Source
from gateway.telemetry.measures import Measures

HERE = Path(__file__).parent
SUBJECT, SDK, PEER = "onegate, JWT + 10 rules, metrics", "SDK proxy, 2026-07-28", "FastMCP default, sessionless"


def row(kind: str, calls: float, cpu_ms: float) -> dict[str, Any]:
    times = {"p50_ms": 0.25, "p99_ms": 1234.5}
    return {"kind": kind, "calls_per_second": calls, "cpu_ms_per_call": cpu_ms, "peak_mb": 61.4, **times}


def canned() -> dict[str, Any]:
    """A report as `run.py` writes it, with figures that are easily divided."""
    return {
        "machine": {"cpu": "abacus", "cores": 2, "python": "3.11.7", "wrk": "wrk 4", "libraries": {"mcp": "2.3.0"}},
        "settings": {"connections": 16, "rounds": 3, "seconds": 2, "pinned": True, "tools": 20},
        "rows": {
            "direct": row("direct", 80_000.0, 0.01),
            SUBJECT: row("onegate", 12_500.0, 0.08),
            SDK: row("proxy", 500.0, 2.0),
            PEER: row("proxy", 25.0, 40.0),
        },
        "subject": SUBJECT,
        "sdk": SDK,
        "peers": {
            PEER: {"package": "fastmcp", "version": "4.1.2", "settings": "as it comes"},
            "gone": {"package": "gone", "version": "9.9.9", "settings": "off"},
        },
        "not_measured": {"gone": "it did not print its URL"},
        "axes": {},
        "inside": {},
        "rounds": {},
    }


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(HERE))
    import report

    return report


@pytest.fixture
def plot(report: ModuleType) -> ModuleType:
    import plot

    return plot


def test_the_table_for_a_terminal_has_the_ratios_to_the_sdk_proxy_and_to_the_direct_call(report: ModuleType) -> None:
    lines = {line.split("  ")[0]: line.split() for line in report.text(canned()).splitlines()}
    assert lines[SUBJECT][-7:] == ["12,500", "0.25", "1234.50", "0.080", "61", "25.0", "15.62%"]
    assert lines[PEER][-2:] == ["0.05", "0.03%"]
    assert lines["direct"][-2:] == ["160", "100.00%"]


def test_the_row_that_counts_is_set_beside_each_proxy(report: ModuleType) -> None:
    assert list(report.comparisons(canned())) == [(SDK, 25.0, 25.0), (PEER, 500.0, 500.0)]
    assert f"25.0 x {SDK}, at 1/25.0 of its CPU per call" in report.text(canned())
    assert f"500 x {PEER}, at 1/500 of its CPU per call" in report.text(canned())


def test_the_markdown_is_a_table_that_marks_the_row_that_counts(report: ModuleType) -> None:
    text = report.markdown(canned())
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 4
    assert {line.count("|") for line in rows} == {8}
    times = report.TIMES
    assert f"| **{SUBJECT}** | 12,500 | 250 µs | 1,234 ms | 80 µs | 61 MB | 25.0 |" in rows
    assert f"25.0 {times} {SDK}; 500 {times} {PEER}." in text


def test_the_markdown_names_the_machine_the_versions_and_what_each_peer_was_set_to(report: ModuleType) -> None:
    text = report.markdown(canned())
    assert "Machine: abacus, 2 cores; Python 3.11.7, wrk 4, mcp 2.3.0." in text
    assert "medians of 3 interleaved rounds of 2 s" in text
    assert f"- {PEER}: fastmcp 4.1.2; as it comes." in text


def test_a_peer_that_was_not_measured_is_named_and_has_no_row(report: ModuleType) -> None:
    assert "- gone: not measured: it did not print its URL" in report.markdown(canned())
    assert "not measured: gone: it did not print its URL" in report.text(canned())
    assert "gone: gone 9.9.9" not in report.markdown(canned())


@pytest.mark.parametrize("left", [{"direct"}, {SUBJECT}, {SDK, PEER}, {"direct", SUBJECT}])
def test_a_report_of_some_rows_only_is_written_without_the_missing_ratios(report: ModuleType, left: set[str]) -> None:
    told = canned()
    told["rows"] = {name: figures for name, figures in told["rows"].items() if name in left}
    assert list(report.comparisons(told)) == []
    for name in left:
        assert name in report.text(told)
        assert name in report.markdown(told)


@pytest.mark.parametrize(
    ("value", "text"),
    [(12_345.6, "12,346"), (100.0, "100"), (34.96, "35.0"), (0.5, "0.5"), (0.0512, "0.051"), (0.0, "0")],
)
def test_numbers_have_the_digits_that_they_are_worth(report: ModuleType, value: float, text: str) -> None:
    assert report.number(value) == text


def test_the_plot_has_a_bar_for_each_row_in_the_order_of_the_table(plot: ModuleType) -> None:
    bars = plot.bars(json.loads(json.dumps(canned())))
    assert [(bar.name, bar.calls_label, bar.cpu_label) for bar in bars] == [
        ("direct", "80,000", "10 µs"),
        (SUBJECT, "12,500", "80 µs"),
        (SDK, "500", "2.0 ms"),
        (PEER, "25.0", "40.0 ms"),
    ]
    assert len({bar.colour for bar in bars}) == 3, "the two proxies look alike, and nothing else does"


def test_the_axes_of_the_plot_hold_all_bars_and_their_figures(plot: ModuleType) -> None:
    least, most = plot.limits([25.0, 80_000.0])
    assert 0 < least < 25.0
    assert most > 2 * 80_000.0


def test_the_calls_that_the_metrics_tell_are_read_as_the_gateway_writes_them(report: ModuleType) -> None:
    import guarded

    measures = Measures()
    for tool, status in (("a", "success"), ("a", "success"), ("b", "success"), ("b", "error")):
        measures.call(tool, "fast", status)
    body, _ = Exposition(Source(measures, Gauges, lambda: Naming("onegate"))).text()
    assert guarded.successful(body.decode()) == 3
