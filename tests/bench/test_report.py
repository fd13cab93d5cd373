"""What the benchmark's report says of figures that are known: ratios, peers that are missing, the bars of the plot."""

import json
from typing import Any

import axes
import guarded
import plot
import pytest
import report

from gateway.telemetry.exposition import Exposition
from gateway.telemetry.gauges import Gauges, Naming, Source
from gateway.telemetry.measures import Measures

HOW_OFTEN = {"rounds": 3, "seconds": 1, "pair_rounds": 8, "pair_seconds": 2}
HOW_MANY = {"stdio_calls": 2_000, "starts": 5, "sessions": 1_000}
SECTIONS = {"memory": {"empty": {"MB": 71.5}, "idle sessions": {"MB": 90.0, "over empty MB": 20.25}}, "start": {}}
SUBJECT, SDK, PEER = "onegate, JWT + 10 rules, metrics", "SDK proxy, 2026-07-28", "FastMCP default, sessionless"


def row(kind: str, calls: float, cpu: float) -> dict[str, Any]:
    times = {"p50 ms": 0.25, "p99 ms": 1234.5}
    return {"kind": kind, "calls/s": calls, "CPU us/call": cpu, "peak MB": 61.4, **times}


def canned() -> dict[str, Any]:
    """A report as `run.py` writes it, with figures that are easily divided."""
    return {
        "machine": {"cpu": "abacus", "cores": 2, "python": "3.11.7", "wrk": "wrk 4", "libraries": {"mcp": "2.3.0"}}
        | {"load_average_before": [0.5, 0.4, 0.3]},
        "settings": {"connections": 16, "rounds": 3, "seconds": 2, "pinned": True, "tools": 20, "quick": False}
        | {"axes": HOW_OFTEN | HOW_MANY},
        "rows": {
            "direct": row("direct", 80_000.0, 10.0),
            SUBJECT: row("onegate", 12_500.0, 80.0),
            SDK: row("proxy", 500.0, 2_000.0),
            PEER: row("proxy", 25.0, 40_000.0),
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


def test_the_table_for_a_terminal_has_the_ratios_to_the_sdk_proxy_and_to_the_direct_call() -> None:
    lines = {line.split("  ")[0]: line.split() for line in report.text(canned()).splitlines()}
    assert lines[SUBJECT][-7:] == ["12,500", "0.25", "1234.50", "80.0", "61", "25.0", "15.62%"]
    assert lines[PEER][-2:] == ["0.05", "0.03%"]
    assert lines["direct"][-2:] == ["160", "100.00%"]


def test_the_row_that_counts_is_set_beside_each_proxy() -> None:
    assert list(report.comparisons(canned())) == [(SDK, 25.0, 25.0), (PEER, 500.0, 500.0)]
    assert f"25.0 x {SDK}, at 1/25.0 of its CPU per call" in report.text(canned())
    assert f"500 x {PEER}, at 1/500 of its CPU per call" in report.text(canned())


def test_the_markdown_is_a_table_that_marks_the_row_that_counts() -> None:
    text = report.markdown(canned())
    rows = [line for line in text.partition("\n## Targets")[0].splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 4
    assert {line.count("|") for line in rows} == {8}
    times = report.TIMES
    assert f"| **{SUBJECT}** | 12,500 | 250 µs | 1,234 ms | 80 µs | 61 MB | 25.0 |" in rows
    assert f"25.0 {times} {SDK}; 500 {times} {PEER}." in text


def test_the_markdown_names_the_machine_the_versions_and_what_each_peer_was_set_to() -> None:
    text = report.markdown(canned())
    assert "Machine: abacus, 2 cores, load average 0.5 before; Python 3.11.7, wrk 4, mcp 2.3.0." in text
    assert "16 connections; rounds: 3 of 2 s." in text
    assert f"- {PEER}: fastmcp 4.1.2; as it comes." in text


def test_the_page_has_the_axes_and_says_of_each_target_whether_it_holds() -> None:
    lines = report.markdown(canned() | {"axes": SECTIONS, "inside": {"one rule, us": 1.234}}).splitlines()
    assert [line for line in lines if line.startswith("#")] == [
        "# Benchmarks",
        "## One call, over HTTP",
        "### What each peer was set to",
        "## Axes",
        "### Memory at rest",
        "### Start",
        "## Targets",
        "## Parts, within one process and with nothing sent",
    ]
    assert "| idle sessions | 90.0 | 20.2 |" in lines
    assert "| empty | 71.5 |  |" in lines
    assert "Not measured." in lines
    assert f"| {SUBJECT} | calls/s | \N{GREATER-THAN OR EQUAL TO} 12,000 | holds (12,500) |" in lines
    assert f"| {SUBJECT} | x {PEER} | \N{GREATER-THAN OR EQUAL TO} 300 | holds (500) |" in lines
    assert "| Memory at rest: empty | MB | \N{LESS-THAN OR EQUAL TO} 70 | missed (71.5) |" in lines
    assert "| Start: serve: listens | ms | \N{LESS-THAN OR EQUAL TO} 600 | not measured |" in lines
    assert f"| one rule | 1.23 {report.MICRO} |" in lines


def test_a_terminal_gets_the_same_tables_and_verdicts(capsys: pytest.CaptureFixture[str]) -> None:
    axes.show(SECTIONS, report.judged_sections(canned() | {"axes": SECTIONS}))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["idle", "sessions", "90.0", "20.2"] in lines
    assert ["Start:", "not", "measured"] in lines
    assert f"target calls: {SUBJECT}: CPU us/call <= 80 holds (80.0)".split() in lines
    assert ["target", "memory:", "empty:", "MB", "<=", "70", "missed", "(71.5)"] in lines


def test_a_quick_run_says_that_its_figures_are_no_measure() -> None:
    quick = canned()
    assert "no measure" not in report.markdown(quick)
    quick["settings"]["quick"] = True
    assert "no measure" in report.markdown(quick)


def test_a_peer_that_was_not_measured_is_named_and_has_no_row() -> None:
    assert "- gone: not measured: it did not print its URL" in report.markdown(canned())
    assert "not measured: gone: it did not print its URL" in report.text(canned())
    assert "gone: gone 9.9.9" not in report.markdown(canned())


@pytest.mark.parametrize("left", [{"direct"}, {SUBJECT}, {SDK, PEER}, {"direct", SUBJECT}])
def test_a_report_of_some_rows_only_is_written_without_the_missing_ratios(left: set[str]) -> None:
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
def test_numbers_have_the_digits_that_they_are_worth(value: float, text: str) -> None:
    assert report.number(value) == text


def test_the_plot_has_a_bar_for_each_row_in_the_order_of_the_table() -> None:
    bars = plot.bars(json.loads(json.dumps(canned())))
    assert [(bar.name, bar.calls_label, bar.cpu_label) for bar in bars] == [
        ("direct", "80,000", "10 µs"),
        (SUBJECT, "12,500", "80 µs"),
        (SDK, "500", "2.0 ms"),
        (PEER, "25.0", "40.0 ms"),
    ]
    assert len({bar.colour for bar in bars}) == 3, "the two proxies look alike, and nothing else does"


def test_the_axes_of_the_plot_hold_all_bars_and_their_figures() -> None:
    least, most = plot.limits([25.0, 80_000.0])
    assert 0 < least < 25.0
    assert most > 2 * 80_000.0


def test_the_calls_that_the_metrics_tell_are_read_as_the_gateway_writes_them() -> None:
    measures = Measures()
    for tool, status in (("a", "success"), ("a", "success"), ("b", "success"), ("b", "error")):
        measures.call(tool, "fast", status)
    body, _ = Exposition(Source(measures, Gauges, lambda: Naming("onegate"))).text()
    assert guarded.successful(body.decode()) == 3
