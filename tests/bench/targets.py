"""Which figures have a target, and whether it holds. Pure: sections in, verdicts out."""

import operator
from collections.abc import Mapping
from dataclasses import dataclass

Sections = Mapping[str, Mapping[str, Mapping[str, float]]]

AT_MOST, AT_LEAST = "<=", ">="
HOLDS = {AT_MOST: operator.le, AT_LEAST: operator.ge}
NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Target:
    """A limit of one figure, which is found under its section and row; `beside`: another one, to be shown with it."""

    section: str
    row: str
    figure: str
    side: str
    limit: float
    beside: str = ""


CALLS = "calls"
"""The section that is the main table."""
SUBJECT = "onegate, JWT + 10 rules, metrics"
TARGETS = (
    Target(CALLS, SUBJECT, "calls/s", AT_LEAST, 12_000),
    Target(CALLS, SUBJECT, "CPU us/call", AT_MOST, 80),
    Target(CALLS, SUBJECT, "x SDK proxy, 2026-07-28", AT_LEAST, 25),
    Target(CALLS, SUBJECT, "x FastMCP default, sessionless", AT_LEAST, 300),
    Target(CALLS, SUBJECT, "x FastMCP held open, sessionless", AT_LEAST, 10),
    Target(CALLS, "onegate, tool API", "calls/s", AT_LEAST, 8_000),
    Target("telemetry", "metrics", "more us", AT_MOST, 20, "std error us"),
    Target("telemetry", "metrics, traces at 1 %", "more us", AT_MOST, 5, "std error us"),
    Target("telemetry", "metrics, audit file", "more us", AT_MOST, 10, "std error us"),
    Target("added", "100 B", "added p50 ms", AT_MOST, 0.15),
    Target("added", "100 B, cores kept awake", "added p50 ms", AT_MOST, 0.15),
    Target("http", "upstream: stdio", "calls/s", AT_LEAST, 8_000),
    Target("stdio", "stdio -> stdio", "added p50 ms", AT_MOST, 0.15),
    Target("stdio", "stdio -> stdio, cores kept awake", "added p50 ms", AT_MOST, 0.15),
    Target("http", "catalog: 10,000 tools", "CPU of first", AT_MOST, 1.1),
    Target("http", "upstreams: 50", "CPU of first", AT_MOST, 1.1),
    Target("lists", "1,000 tools, warm", "p50 ms", AT_MOST, 1.0),
    Target("lists", "a page of 10,000 tools, warm", "p50 ms", AT_MOST, 1.0),
    Target("added", "1 MB", "added p50 ms", AT_MOST, 5.0),
    Target("added", "1 MB", "x payload", AT_MOST, 4.0),
    Target("memory", "idle sessions", "over empty MB", AT_MOST, 30.0),
    Target("memory", "empty", "MB", AT_MOST, 70.0),
    Target("start", "stdio: initialize answered", "ms", AT_MOST, 500.0),
    Target("start", "serve: listens", "ms", AT_MOST, 600.0),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target beside what was measured; None where it was not."""

    target: Target
    value: float | None
    beside: float | None = None

    @property
    def word(self) -> str:
        if self.value is None:
            return NOT_MEASURED
        return "holds" if HOLDS[self.target.side](self.value, self.target.limit) else "missed"


def verdicts(sections: Sections) -> list[Verdict]:
    """Those of the sections that are there. A figure that one lacks is told, and spoils not the others."""
    found = []
    for target in TARGETS:
        if target.section in sections:
            figures = sections[target.section].get(target.row, {})
            found.append(Verdict(target, figures.get(target.figure), figures.get(target.beside)))
    return found
