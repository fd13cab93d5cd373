"""Pure: the benchmark's report in, its main table as text, and all of it as Markdown out; measures nothing.

A report holds `machine`, `settings`, `rows` (figures and `kind` by name), `subject` and `sdk` (names of rows, of which
either may be missing), `peers` (package, version and settings by row), `not_measured` (why, by row), `axes` (sections)
and `inside` (figures by names that end in their units).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from axes_report import markdown_rows, markdown_tables, markdown_targets
from targets import CALLS, verdicts

Report = Mapping[str, Any]

COLUMNS = ("calls/s", "p50 ms", "p99 ms", "CPU us/call", "peak MB", "x SDK proxy", "of direct")
TIMES = "\N{MULTIPLICATION SIGN}"
MICRO = "\N{MICRO SIGN}s"
TITLES = ("", "calls/s", "p50", "p99", "CPU per call", "peak memory", f"{TIMES} SDK proxy")


def ratio(report: Report, name: str, other: str | None) -> float | None:
    """How many times the calls of `other` a row answers; None when either was not measured."""
    rows = report["rows"]
    if name not in rows or other not in rows:
        return None
    return float(rows[name]["calls/s"] / rows[other]["calls/s"])


def comparisons(report: Report) -> Iterator[tuple[str, float, float]]:
    """Each proxy: its row, how many times its calls the subject answers, how many times the subject's CPU it takes."""
    subject, rows = report["subject"], report["rows"]
    for name, row in rows.items():
        calls = ratio(report, subject, name)
        if row["kind"] == "proxy" and calls is not None:
            yield name, calls, row["CPU us/call"] / rows[subject]["CPU us/call"]


def text(report: Report) -> str:
    """For a terminal: the table, the subject beside each proxy, and what was not measured."""
    rows = report["rows"]
    width = max(map(len, rows)) + 2
    direct = next((name for name, row in rows.items() if row["kind"] == "direct"), None)
    lines = [" " * width + "".join(f"{title:>13}" for title in COLUMNS)]
    for name, row in rows.items():
        to_sdk, to_direct = ratio(report, name, report["sdk"]), ratio(report, name, direct)
        cells = (
            number(row["calls/s"]),
            f"{row['p50 ms']:.2f}",
            f"{row['p99 ms']:.2f}",
            number(row["CPU us/call"]),
            f"{row['peak MB']:.0f}",
            "" if to_sdk is None else number(to_sdk),
            "" if to_direct is None else f"{to_direct:.2%}",
        )
        lines.append(name.ljust(width) + "".join(f"{cell:>13}" for cell in cells))
    found = list(comparisons(report))
    if found:
        lines += ["", f"{report['subject']}:"]
        lines += [f"{number(calls):>9} x {name}, at 1/{number(cpu)} of its CPU per call" for name, calls, cpu in found]
    lines += [f"not measured: {name}: {why}" for name, why in report["not_measured"].items()]
    return "\n".join(lines)


def judged_sections(report: Report) -> dict[str, Any]:
    """All sections in which a target may stand: the main table, where the gateway was measured, and the axes."""
    subject, rows = report["subject"], report["rows"]
    if subject not in rows:
        return {**report["axes"]}
    table = {name: {**row} for name, row in rows.items()}
    table[subject] |= {f"x {name}": calls for name, calls, _ in comparisons(report)}
    return {CALLS: table, **report["axes"]}


def markdown(report: Report) -> str:
    """A page: the machine, the versions, each table, and whether the targets hold."""
    lines = ["# Benchmarks", "", *conditions(report), "", "## One call, over HTTP", ""]
    lines += [*table(report), "", *said_of_table(report)]
    if found := peers(report):
        lines += ["", "### What each peer was set to", "", *found]
    if report["axes"]:
        lines += ["", "## Axes", "", *said_of_axes(report), *markdown_tables(report["axes"])]
    if judged := verdicts(judged_sections(report)):
        lines += ["", "## Targets", "", *markdown_targets(judged)]
    if report["inside"]:
        lines += ["", "## Parts, within one process and with nothing sent", "", *inside(report["inside"])]
    return "\n".join(lines) + "\n"


def table(report: Report) -> Iterator[str]:
    """The main table of Markdown; the row that counts is bold."""
    rows = []
    for name, row in report["rows"].items():
        to_sdk = ratio(report, name, report["sdk"])
        cells = (
            f"**{name}**" if name == report["subject"] else name,
            number(row["calls/s"]),
            milliseconds(row["p50 ms"]),
            milliseconds(row["p99 ms"]),
            milliseconds(row["CPU us/call"] / 1e3),
            f"{row['peak MB']:.0f} MB",
            "" if to_sdk is None else number(to_sdk),
        )
        rows.append(cells)
    return markdown_rows(TITLES, rows)


def conditions(report: Report) -> list[str]:
    """On what it was measured, and what holds for all of it."""
    machine, settings = report["machine"], report["settings"]
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
    pinned = "The process under test has one core, load and upstream share another. " if settings["pinned"] else ""
    lines = [
        "Made by `make bench`, in one run. " + pinned + "Loads take turns, round by round; figures are medians of the "
        "rounds, and every answer is checked. CPU is what the kernel charges to the process under test.",
        "",
        f"Machine: {machine['cpu']}, {machine['cores']} cores, load average {machine['load_average_before'][0]} "
        f"before; Python {machine['python']}, {machine['wrk']}, {libraries}.",
    ]
    quick = ["", "**A quick run, to see that it works: its figures are no measure.**"] if settings["quick"] else []
    return lines + quick


def said_of_table(report: Report) -> list[str]:
    settings = report["settings"]
    lines = [
        f"One tools/call to one fast HTTP upstream with {settings['tools']} tools, {settings['connections']} "
        f"connections; rounds: {settings['rounds']} of {settings['seconds']} s."
    ]
    found = [f"{number(calls)} {TIMES} {name}" for name, calls, _ in comparisons(report)]
    return [*lines, "", f"Calls of {report['subject']}: {'; '.join(found)}."] if found else lines


def said_of_axes(report: Report) -> list[str]:
    axes = report["settings"]["axes"]
    return [
        f"Rounds: {axes['rounds']} of {axes['seconds']} s, on pipes of {axes['stdio_calls']:,} calls one at a time and "
        f"more in flight; for telemetry {axes['pair_rounds']} of {axes['pair_seconds']} s. Starts of each kind: "
        f"{axes['starts']}; sessions: {axes['sessions']:,}."
    ]


def inside(figures: Mapping[str, float]) -> Iterator[str]:
    rows = []
    for name, value in figures.items():
        what, _, unit = name.rpartition(", ")
        rows.append([what, f"{value:,.2f} {unit.replace('us', MICRO)}"])
    return markdown_rows(["", "cost"], rows)


def peers(report: Report) -> list[str]:
    """What each was set to, or why it is missing."""
    known = report["peers"]
    lines = [
        f"- {name}: {known[name]['package']} {known[name]['version']}; {known[name]['settings']}."
        for name in report["rows"]
        if name in known
    ]
    return lines + [f"- {name}: not measured: {why}" for name, why in report["not_measured"].items()]


def number(value: float) -> str:
    """Two digits at least: 12,345; 123; 12.3; 1.2; 0.05."""
    for least, digits in ((100, 0), (0.1, 1)):
        if value >= least:
            return f"{value:,.{digits}f}"
    return f"{value:.2g}"


def milliseconds(value: float) -> str:
    """In the unit in which it is read best."""
    if value < 1:
        return f"{value * 1000:.0f} µs"
    return f"{value:.1f} ms" if value < 100 else f"{value:,.0f} ms"
