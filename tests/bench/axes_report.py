"""Pure: sections of figures and verdicts in, their tables as text and as Markdown out; measures nothing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from targets import NOT_MEASURED, Sections, Verdict

TITLES = {
    "http": "Over HTTP",
    "telemetry": "Telemetry",
    "added": "Added to one call",
    "stdio": "On pipes",
    "lists": "tools/list",
    "memory": "Memory at rest",
    "start": "Start",
}
"""The sections in the order in which they are shown."""
NOTES = {
    "http": "The baseline is a call of 2026-07-28 with JWT and 10 rules over 16 connections, an HTTP upstream with "
    "plain JSON answers of 100 B and 20 tools; each other row changes what its name says. `CPU of first` is the CPU of "
    "a call beside that of the first row measured in the same rounds: the baseline, for catalogs that of 10 tools, for "
    "upstreams that of one. Those two have processes of their own in each round: how one lies in memory makes some "
    "percent, for as long as it lives.",
    "telemetry": "The baseline's call; `more` is the CPU of a call over that of the counterpart in the same round: of "
    "metrics over nothing counted, of the others over metrics.",
    "added": "One connection, JWT and 10 rules; in turn direct to the upstream and through the gateway. A call alone "
    "waits twice for a core that sleeps, where a direct one waits once; `cores kept awake` is without those waits.",
    "stdio": "`onegate stdio` with 10 rules, its upstream on stdio unless named; 16 calls in flight for calls/s and "
    "CPU, one at a time for p50 and p99; `cores kept awake` as above.",
    "lists": "One connection, JWT and 10 rules; beside an upstream that lists as many tools as the page has. Cold is "
    "the first list of a gateway that has just begun to listen: it waits for the upstream.",
    "memory": "A gateway that has answered one call; `over empty MB` is for 1,000 sessions.",
    "start": "From the start of the process, with one upstream.",
}
SIDES = {"<=": "\N{LESS-THAN OR EQUAL TO}", ">=": "\N{GREATER-THAN OR EQUAL TO}"}


def tables(sections: Sections) -> Iterator[str]:
    """For a terminal: a table for each section."""
    for name, rows in sections.items():
        width = max(map(len, rows), default=0) + 2
        yield f"\n{TITLES[name]}{'' if rows else f': {NOT_MEASURED}'}"
        if rows:
            header, *cells = grid(rows)
            yield " " * width + "".join(f"{figure:>14}" for figure in header)
            for row, values in zip(rows, cells, strict=True):
                yield f"{row:{width}}" + "".join(f"{value:>14}" for value in values)


def judged(verdicts: Iterable[Verdict]) -> Iterator[str]:
    """For a terminal: a line for each target."""
    for verdict in verdicts:
        target = verdict.target
        what = f"{target.section}: {target.row}: {target.figure} {target.side} {target.limit:,g}"
        yield f"target {what:78} {outcome(verdict)}"


def markdown_tables(sections: Sections) -> Iterator[str]:
    for name, rows in sections.items():
        yield from ("", f"### {TITLES[name]}", "", NOTES[name], "")
        if not rows:
            yield f"{NOT_MEASURED.capitalize()}."
            continue
        header, *cells = grid(rows)
        named = ([row, *values] for row, values in zip(rows, cells, strict=True))
        yield from markdown_rows(["", *map(pretty, header)], named)


def markdown_targets(verdicts: Iterable[Verdict]) -> Iterator[str]:
    rows = []
    for verdict in verdicts:
        target = verdict.target
        limit = f"{SIDES[target.side]} {target.limit:,g}"
        title = TITLES.get(target.section)  # the main table needs none
        what = f"{title}: {target.row}" if title else target.row
        rows.append([what, pretty(target.figure), limit, pretty(outcome(verdict))])
    yield from markdown_rows(["", "figure", "target", "seen"], rows, numbers=False)


def markdown_rows(header: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = True) -> Iterator[str]:
    """A table of Markdown; of numbers all columns but the first are set to the right."""
    yield f"| {' | '.join(header)} |"
    yield "|---|" + ("---:|" if numbers else "---|") * (len(header) - 1)
    yield from (f"| {' | '.join(row)} |" for row in rows)


def grid(rows: Mapping[str, Mapping[str, float]]) -> list[list[str]]:
    """The names of all figures that some row has, then each row's cells, of which some are empty."""
    figures = list(dict.fromkeys(figure for row in rows.values() for figure in row))
    cells = ([shown(figure, row[figure]) if figure in row else "" for figure in figures] for row in rows.values())
    return [figures, *cells]


def outcome(verdict: Verdict) -> str:
    """Whether it holds, the figure that was judged, and the one to be read with it."""
    target = verdict.target
    if verdict.value is None:
        return verdict.word
    further = "" if verdict.beside is None else f"; {target.beside}: {shown(target.beside, verdict.beside)}"
    return f"{verdict.word} ({shown(target.figure, verdict.value)}{further})"


def shown(figure: str, value: float) -> str:
    """A figure in as many digits as it is worth."""
    if figure.endswith(("p50 ms", "p99 ms")):
        return f"{value:,.3f}"
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:,.{digits}f}"


def pretty(text: str) -> str:
    """With signs that a terminal may lack."""
    return text.replace(" us", " \N{MICRO SIGN}s")
