"""Measures the gateway along its axes: one thing changed at a time, beside a baseline; and what has its own target.

`PYTHONPATH=. python tests/bench/axes.py [--quick] [--only SECTION]`. Needs wrk; Linux only: costs are read from /proc.
"""

import argparse
import http.client
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping

import axes_added
import axes_http
import axes_lists
import axes_memory
import axes_start
import axes_stdio
import axes_telemetry
import calls
from axes_report import judged, tables
from axes_stage import Settings, settings
from loading import Figures
from processes import StartError
from targets import Sections, verdicts

SECTIONS: Mapping[str, Callable[[Settings], dict[str, Figures]]] = {
    "http": axes_http.measure,
    "telemetry": axes_telemetry.measure,
    "added": axes_added.measure,
    "stdio": axes_stdio.measure,
    "lists": axes_lists.measure,
    "memory": axes_memory.measure,
    "start": axes_start.measure,
}
FAILURES = (StartError, calls.WrongAnswerError, OSError, subprocess.SubprocessError, http.client.HTTPException)


def measure(options: argparse.Namespace) -> dict[str, dict[str, Figures]]:
    """Sections -> rows -> figures, the medians of the rounds. One that fails is empty, and why is on stderr."""
    chosen = settings(quick=options.quick, pinned=options.pin)
    only: str | None = getattr(options, "only", None)  # `run.py` has all sections
    found: dict[str, dict[str, Figures]] = {}
    for name in SECTIONS if only is None else [only]:
        try:
            found[name] = SECTIONS[name](chosen)
        except FAILURES as error:
            print(f"{name}: not measured: {error}", file=sys.stderr)
            found[name] = {}
    return found


def show(sections: Sections, others: Sections | None = None) -> None:
    """A table for each section, then whether the targets hold, those of other sections first."""
    for line in (*tables(sections), "", *judged(verdicts({**(others or {}), **sections}))):
        print(line)


def facts(options: argparse.Namespace) -> dict[str, int]:
    """How often and how long, for the report."""
    chosen = settings(quick=options.quick, pinned=options.pin)
    names = ("rounds", "seconds", "pair_rounds", "pair_seconds", "stdio_calls", "starts", "sessions")
    return {name: getattr(chosen, name) for name in names}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a round of one second each: does it work?")
    parser.add_argument("--only", choices=list(SECTIONS), help="this section alone")
    parser.add_argument("--no-pin", dest="pin", action="store_false", help="leave the cores to the scheduler")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        print("wrk is missing: run scripts/system-packages.sh", file=sys.stderr)
        return 2
    sections = measure(options)
    show(sections)
    return 0 if all(sections.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
