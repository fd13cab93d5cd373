"""Draws the benchmark's report: `.cache/bench-tools/bin/python tests/bench/plot.py REPORT.json PLOT.png`.

Two panels of bars on logarithmic scales, calls per second and CPU per call, one row each. `bars` is pure and needs no
library; the drawing needs matplotlib (requirements/bench.txt).
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from report import milliseconds, number

COLOURS = {"direct": "#9aa5b1", "onegate": "#2f6f9f", "proxy": "#c4b7a6"}
SUBJECT = "#174a70"
PIXELS, DOTS_PER_INCH = 1800, 200  # twice the 900 at which it is shown, for screens with dense pixels
ROW_INCHES, FRAME_INCHES = 0.27, 0.8
ROOM = 8.0  # the axis ends at so many times the longest bar: its figure is written behind it


@dataclass(frozen=True, slots=True)
class Bar:
    """One row in both panels."""

    name: str
    colour: str
    calls: float
    calls_label: str
    cpu_ms: float
    cpu_label: str


def bars(report: Mapping[str, Any]) -> list[Bar]:
    """The rows in the order of the table, the first on top."""
    return [
        Bar(
            name,
            SUBJECT if name == report["subject"] else COLOURS[row["kind"]],
            row["calls/s"],
            number(row["calls/s"]),
            row["CPU us/call"] / 1e3,
            milliseconds(row["CPU us/call"] / 1e3),
        )
        for name, row in report["rows"].items()
    ]


def limits(values: Sequence[float]) -> tuple[float, float]:
    """Where a logarithmic axis begins and ends, so that the shortest bar is seen and the longest one's figure fits."""
    return min(values) / 3, max(values) * ROOM


def draw(rows: Sequence[Bar], caption: str, target: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False})
    size = PIXELS / DOTS_PER_INCH, FRAME_INCHES + ROW_INCHES * len(rows)
    figure, axes = plt.subplots(1, 2, figsize=size, sharey=True, layout="constrained")
    panels = (
        ("calls per second", [row.calls for row in rows], [row.calls_label for row in rows]),
        ("CPU per call, ms", [row.cpu_ms for row in rows], [row.cpu_label for row in rows]),
    )
    for axis, (title, values, labels) in zip(axes, panels, strict=True):
        drawn = axis.barh(range(len(rows)), values, color=[row.colour for row in rows], height=0.72)
        axis.bar_label(drawn, labels, padding=2)
        axis.set_xscale("log")
        axis.set_xlim(*limits(values))
        axis.set_title(title, loc="left", fontsize=9)
        axis.tick_params(axis="y", length=0)
        axis.tick_params(axis="x", which="minor", length=0)
        axis.grid(axis="x", linewidth=0.3, color="#cccccc")
        axis.set_axisbelow(True)
    axes[0].set_yticks(range(len(rows)), [row.name for row in rows])
    axes[0].invert_yaxis()
    figure.supxlabel(caption, fontsize=7, color="#555555")
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=DOTS_PER_INCH)


def caption(report: Mapping[str, Any]) -> str:
    """What the reader has to know of the figures."""
    machine, settings = report["machine"], report["settings"]
    return (
        f"tools/call over HTTP, {settings['connections']} connections, one core for the process under test; "
        f"{machine['cpu']}, Python {machine['python']}; logarithmic scales"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("plot", type=Path)
    options = parser.parse_args()
    measured = json.loads(options.report.read_text())
    draw(bars(measured), caption(measured), options.plot)
