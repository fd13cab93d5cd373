"""Each target finds its figure among what the benchmark measures, by the names as they are now; nothing is loaded here.

All sections run through as they are, between servers that are said to run and answers that are said to come.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import axes
import axes_report
import axes_rounds
import axes_stage
import axes_start
import axes_stdio
import axes_telemetry
import calls
import guarded
import loading
import pytest
import report
import run
from axes_sessions import Sessions
from peer_rows import PEERS
from processes import Server
from targets import AT_LEAST, AT_MOST, CALLS, TARGETS, Target, Verdict, verdicts

OPTIONS = argparse.Namespace(quick=True, pin=False, no_gateway=False, no_peers=True, no_axes=False, tools=20)
NEVER_CALLED = "http://127.0.0.1:9/mcp"
ANSWER = {"result": {"content": [{"type": "text", "text": calls.TEXT}], "tools": [{"name": "fast_echo"}]}}
FIGURES = {"calls/s": 9_000.0, "p50 ms": 1.5, "p99 ms": 4.5, "CPU us/call": 100.0, "peak MB": 60.0}
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the benchmark reads costs from /proc")


class Pipes:
    """A stdio server that answers at once."""

    pid = os.getpid()

    def initialize(self) -> None:
        pass

    def one_by_one(self, params: object, count: int) -> list[float]:
        return [0.001] * count

    def in_flight(self, params: object, count: int, at_once: int) -> float:
        return 1.0


@contextmanager
def said_to_run(name: str, command: Sequence[str], log: Path) -> Iterator[Server]:
    yield Server(name, NEVER_CALLED, os.getpid())


@contextmanager
def said_to_listen(command: Sequence[str], log: Path) -> Iterator[Pipes]:
    yield Pipes()


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "post", lambda call: (200, "session", json.dumps(ANSWER)))
    monkeypatch.setattr(Sessions, "open", lambda sessions: {"Mcp-Session-Id": "session"})
    monkeypatch.setattr(Sessions, "listen", lambda sessions, headers: None)
    monkeypatch.setattr(axes_rounds, "load", lambda *arguments: FIGURES)
    for module in (axes_stage, run):
        monkeypatch.setattr(module, "running", said_to_run)
    for module in (axes_start, axes_stdio):
        monkeypatch.setattr(module, "client", said_to_listen)


def main_table() -> dict[str, Any]:
    """The report of a run in which all rows and peers have the same figures."""
    with ExitStack() as stack:
        stage = run.start(stack, OPTIONS)
    server = Server("peer", NEVER_CALLED, os.getpid())
    call = calls.sessionless(NEVER_CALLED, "echo")
    stage.rows.extend(loading.Row(peer.row, server, call, "proxy") for peer in PEERS)
    options = argparse.Namespace(**vars(OPTIONS), rounds=1, seconds=1)
    return run.report_of(stage, {row.name: [FIGURES] for row in stage.rows}, options)


@ON_LINUX
@pytest.mark.timeout(30)
@pytest.mark.usefixtures("nothing_runs")
def test_each_target_is_a_figure_that_is_measured() -> None:
    sections = axes.measure(OPTIONS)
    assert set(sections) == set(axes.SECTIONS)
    judged = verdicts(report.judged_sections(main_table() | {"axes": sections}))
    assert [verdict.target for verdict in judged] == list(TARGETS)
    assert not [verdict.target for verdict in judged if verdict.value is None]
    assert not [verdict.target for verdict in judged if verdict.target.beside and verdict.beside is None]


@ON_LINUX
@pytest.mark.timeout(30)
@pytest.mark.usefixtures("nothing_runs")
def test_a_section_that_fails_is_empty_and_spoils_not_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(settings: object) -> None:
        raise calls.WrongAnswerError("no pages")

    monkeypatch.setattr(axes, "SECTIONS", {**axes.SECTIONS, "lists": fail})
    sections = axes.measure(OPTIONS)
    assert [name for name, rows in sections.items() if not rows] == ["lists"]
    assert capsys.readouterr().err == "lists: not measured: no pages\n"
    words = {verdict.target.section: verdict.word for verdict in verdicts(sections)}
    assert words["lists"] == "not measured"
    assert words["memory"] != "not measured"


def test_the_row_that_counts_is_the_one_that_has_the_targets() -> None:
    assert guarded.SUBJECT in {target.row for target in TARGETS if target.section == CALLS}


def test_every_section_has_a_title_and_says_what_it_holds() -> None:
    assert set(axes_report.TITLES) == set(axes_report.NOTES) == set(axes.SECTIONS)


@pytest.mark.parametrize(
    ("side", "value", "word"),
    [
        (AT_MOST, 2.0, "holds"),
        (AT_MOST, 2.1, "missed"),
        (AT_LEAST, 2.0, "holds"),
        (AT_LEAST, 1.9, "missed"),
        (AT_LEAST, None, "not measured"),
    ],
)
def test_a_target_holds_up_to_its_limit(side: str, value: float | None, word: str) -> None:
    assert Verdict(Target("section", "row", "figure", side, 2.0), value).word == word


def test_only_targets_of_sections_that_are_there_are_judged_and_a_figure_that_lacks_is_told() -> None:
    target = TARGETS[0]
    assert verdicts({}) == []
    judged = verdicts({target.section: {"another name": {target.figure: 1.0}}})
    assert {verdict.word for verdict in judged} == {"not measured"}


def test_a_difference_is_taken_pair_by_pair_and_says_how_sure_it_is() -> None:
    def rounds(*costs: float) -> list[dict[str, float]]:
        return [{axes_telemetry.CPU: cost} for cost in costs]

    found = axes_telemetry.difference(rounds(110, 220, 330), rounds(100, 200, 300))
    assert found == {axes_telemetry.MORE: 20, axes_telemetry.ERROR: pytest.approx(10 / 3**0.5)}
    assert axes_telemetry.difference(rounds(110), rounds(100)) == {axes_telemetry.MORE: 10}, (
        "one pair says not how sure"
    )
