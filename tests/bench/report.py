"""Pure: the benchmark's report in, its table as text and as Markdown out; measures nothing.

A report holds `machine`, `settings`, `rows` (figures and `kind` by name), `subject` and `sdk` (names of rows, of which
either may be missing), `peers` (package, version and settings by row) and `not_measured` (why, by row).
"""

from collections.abc import Iterator, Mapping
from typing import Any

Report = Mapping[str, Any]

COLUMNS = ("calls/s", "p50 ms", "p99 ms", "CPU ms/call", "peak MB", "x SDK proxy", "of direct")
TIMES = "\N{MULTIPLICATION SIGN}"
TITLES = ("", "calls/s", "p50", "p99", "CPU per call", "peak memory", f"{TIMES} SDK proxy")


def ratio(report: Report, name: str, other: str | None) -> float | None:
    """How many times the calls of `other` a row answers; None when either was not measured."""
    rows = report["rows"]
    if name not in rows or other not in rows:
        return None
    return float(rows[name]["calls_per_second"] / rows[other]["calls_per_second"])


def comparisons(report: Report) -> Iterator[tuple[str, float, float]]:
    """Each proxy: its row, how many times its calls the subject answers, how many times the subject's CPU it takes."""
    subject, rows = report["subject"], report["rows"]
    for name, row in rows.items():
        calls = ratio(report, subject, name)
        if row["kind"] == "proxy" and calls is not None:
            yield name, calls, row["cpu_ms_per_call"] / rows[subject]["cpu_ms_per_call"]


def text(report: Report) -> str:
    """For a terminal: the table, the subject beside each proxy, and what was not measured."""
    rows = report["rows"]
    width = max(map(len, rows)) + 2
    direct = next((name for name, row in rows.items() if row["kind"] == "direct"), None)
    lines = [" " * width + "".join(f"{title:>13}" for title in COLUMNS)]
    for name, row in rows.items():
        to_sdk, to_direct = ratio(report, name, report["sdk"]), ratio(report, name, direct)
        cells = (
            number(row["calls_per_second"]),
            f"{row['p50_ms']:.2f}",
            f"{row['p99_ms']:.2f}",
            f"{row['cpu_ms_per_call']:.3f}",
            f"{row['peak_mb']:.0f}",
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


def markdown(report: Report) -> str:
    """For the README: the same, with the machine, the versions and what each peer was set to."""
    lines = ["| " + " | ".join(TITLES) + " |", "|---|" + "---:|" * (len(TITLES) - 1)]
    for name, row in report["rows"].items():
        to_sdk = ratio(report, name, report["sdk"])
        cells = (
            f"**{name}**" if name == report["subject"] else name,
            number(row["calls_per_second"]),
            milliseconds(row["p50_ms"]),
            milliseconds(row["p99_ms"]),
            milliseconds(row["cpu_ms_per_call"]),
            f"{row['peak_mb']:.0f} MB",
            "" if to_sdk is None else number(to_sdk),
        )
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", *conditions(report), "", *peers(report)]
    found = [f"{number(calls)} {TIMES} {name}" for name, calls, _ in comparisons(report)]
    if found:
        lines += ["", f"Calls of {report['subject']}: {'; '.join(found)}."]
    return "\n".join(lines) + "\n"


def conditions(report: Report) -> list[str]:
    """How and on what it was measured."""
    machine, settings = report["machine"], report["settings"]
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
    pinned = "the process under test on one core, load and upstream on another; " if settings["pinned"] else ""
    return [
        f"One tools/call over HTTP to one fast HTTP upstream with {settings['tools']} tools, {settings['connections']} "
        f"connections; {pinned}medians of {settings['rounds']} interleaved rounds of {settings['seconds']} s; every "
        "answer checked.",
        "",
        f"Machine: {machine['cpu']}, {machine['cores']} cores; "
        f"Python {machine['python']}, {machine['wrk']}, {libraries}.",
    ]


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
