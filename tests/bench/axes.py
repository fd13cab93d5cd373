"""Measures the gateway along its axes: one thing changed at a time, beside a baseline; and what has its own target.

`PYTHONPATH=. python tests/bench/axes.py [--quick] [--only SECTION]`. Needs wrk; Linux only: costs are read from /proc.
"""

import argparse
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping

import axes_added
import axes_http
import axes_lists
import axes_memory
import axes_start
import axes_stdio
import calls
from axes_stage import Settings, settings
from axes_targets import Sections, verdicts
from processes import StartError

Rows = Mapping[str, Mapping[str, float]]

SECTIONS: Mapping[str, Callable[[Settings], Rows]] = {
    "http": axes_http.measure,
    "added": axes_added.measure,
    "stdio": axes_stdio.measure,
    "lists": axes_lists.measure,
    "memory": axes_memory.measure,
    "start": axes_start.measure,
}
TITLES = {
    "http": "HTTP, modern, HTTP upstream with JSON, JWT + 10 rules, 100 B, 16 connections, 20 tools, 1 upstream; and:",
    "added": "one connection, direct and through the gateway",
    "stdio": "on pipes; 16 calls in flight for calls/s and CPU, one at a time for p50 and p99",
    "lists": "tools/list, one connection",
    "memory": "memory at rest; over empty: for 1,000 sessions",
    "start": "from the start of the process, median and best",
}


def measure(options: argparse.Namespace) -> dict[str, Rows]:
    """Sections -> rows -> figures, the medians of the rounds. Raises `StartError` and `WrongAnswerError`."""
    chosen = settings(quick=options.quick, pinned=options.pin)
    only: str | None = getattr(options, "only", None)  # `run.py` has all sections
    names = list(SECTIONS) if only is None else [only]
    return {name: SECTIONS[name](chosen) for name in names}


def show(sections: Sections) -> None:
    """A table for each section, then the targets and whether they hold."""
    for line in lines(sections):
        print(line)


def lines(sections: Sections) -> Iterable[str]:
    for name, rows in sections.items():
        figures = list(dict.fromkeys(figure for row in rows.values() for figure in row))
        yield f"\n{TITLES[name]}"
        yield " " * 32 + "".join(f"{figure:>14}" for figure in figures)
        for row, values in rows.items():
            cells = (shown(figure, values[figure]) if figure in values else "" for figure in figures)
            yield f"{row:32}" + "".join(f"{cell:>14}" for cell in cells)
    yield ""
    for verdict in verdicts(sections):
        target = verdict.target
        what = f"{target.section}: {target.row}: {target.figure} {target.side} {target.limit:g}"
        yield f"target {what:62}{shown(target.figure, verdict.value):>10}  {'holds' if verdict.holds else 'MISSED'}"


def shown(figure: str, value: float) -> str:
    """A figure in as many digits as it is worth."""
    digits = 3 if figure.endswith(("p50 ms", "p99 ms")) else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{digits}f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a round of one second each: does it work?")
    parser.add_argument("--only", choices=list(SECTIONS), help="this section alone")
    parser.add_argument("--no-pin", dest="pin", action="store_false", help="leave the cores to the scheduler")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        print("wrk is missing: run scripts/system-packages.sh", file=sys.stderr)
        return 2
    try:
        show(measure(options))
    except (StartError, calls.WrongAnswerError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
