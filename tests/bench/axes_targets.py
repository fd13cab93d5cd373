"""Which figures of the axes have a target, and whether it holds. Pure: sections in, verdicts out."""

import operator
from collections.abc import Mapping
from dataclasses import dataclass

Sections = Mapping[str, Mapping[str, Mapping[str, float]]]

AT_MOST, AT_LEAST = "<=", ">="
HOLDS = {AT_MOST: operator.le, AT_LEAST: operator.ge}


@dataclass(frozen=True, slots=True)
class Target:
    """A limit of one figure, which is found under its section and row."""

    section: str
    row: str
    figure: str
    side: str
    limit: float


TARGETS = (
    Target("added", "100 B", "added p50 ms", AT_MOST, 0.15),
    Target("http", "upstream: stdio", "calls/s", AT_LEAST, 8_000),
    Target("stdio", "stdio -> stdio", "added p50 ms", AT_MOST, 0.15),
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
    """A target beside what was measured."""

    target: Target
    value: float

    @property
    def holds(self) -> bool:
        return bool(HOLDS[self.target.side](self.value, self.target.limit))


def verdicts(sections: Sections) -> list[Verdict]:
    """Those of the sections that were measured; a row or figure that one lacks raises KeyError: it has been renamed."""
    measured = [target for target in TARGETS if target.section in sections]
    return [Verdict(target, sections[target.section][target.row][target.figure]) for target in measured]
