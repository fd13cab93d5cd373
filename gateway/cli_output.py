"""What people and pipes get to see: lines, tables, JSON, a spinner; knows terminals and nothing of the gateway.

Rich is imported only to draw on a terminal: a pipe does not wait for it.
"""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Final, Protocol

from gateway.logs import escaped

if TYPE_CHECKING:
    from rich.console import Console

OK, FAILED, USAGE, INTERRUPTED, PIPE_CLOSED = 0, 1, 2, 130, 141  # the last two as shells count signals

STYLES: Final = {"ready": "green", "waiting": "red", "resting": "red", "starting": "yellow"}


class Mistake(Exception):
    """Something that the user can mend; its text is one to three lines."""

    def __init__(self, text: str, code: int = FAILED) -> None:
        super().__init__(text)
        self.code = code


class Progress(Protocol):
    """What a waiting command says of itself."""

    def __call__(self, text: str) -> None: ...


def prepare_streams() -> None:
    """No character that comes from a server may end the program: what a stream cannot hold is spelled out.

    A stream that the program was started without becomes the null device.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - it lives as long as we do
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is None:
            continue
        if stream.isatty():
            reconfigure(errors="backslashreplace")
        else:
            reconfigure(encoding="utf-8", errors="backslashreplace")


def out(text: str) -> None:
    """Write a line of the result, now."""
    print(text, flush=True)


def note(text: str) -> None:
    """Tell the person beside the result, on stderr; safe for a terminal."""
    print(escaped(text, keep="\n"), file=sys.stderr, flush=True)


def out_json(value: Any) -> None:
    """Write the result as indented JSON."""
    out(json.dumps(value, ensure_ascii=False, indent=2))


def out_text(text: str) -> None:
    """Write text of a server: as it is into a pipe, without control sequences on a terminal."""
    out(escaped(text, keep="\n\t") if sys.stdout.isatty() else text)


def out_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, heading: Sequence[str] | None = None) -> None:
    """Draw a table on a terminal; in a pipe write tab-separated lines, under ``heading`` if there is one."""
    if not sys.stdout.isatty():
        for row in [heading, *rows] if heading else rows:
            out("\t".join(escaped(cell) for cell in row))
        return
    from rich.table import Table
    from rich.text import Text

    bold = "bold" if colourful(sys.stdout) else ""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=bold)
    for name in header:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(escaped(cell), style=STYLES.get(cell, "")) for cell in row))
    _console(sys.stdout).print(table)
    sys.stdout.flush()


def out_stderr(name: str, lines: Sequence[str]) -> None:
    """Write what a server said last on stderr, if anything."""
    if lines:
        out(escaped(f"\nlast lines of {name} on stderr:", keep="\n"))
    for line in lines:
        out(escaped(f"  {line}"))


@contextmanager
def waiting(text: str) -> Iterator[Progress]:
    """Show a spinner on stderr while the block runs, if a person is watching; yields how to change its text."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.text import Text

    with _console(sys.stderr).status(Text(escaped(text))) as status:
        yield lambda text: status.update(Text(escaped(text)))


def colourful(stream: IO[str]) -> bool:
    """Whether colour is wanted there (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def close_stdout() -> None:
    """Nobody reads on: let nothing fail when Python flushes stdout at its end."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)


def first_line(text: object) -> str:
    """The first line of a description that says something."""
    lines = text.strip().splitlines() if isinstance(text, str) else []
    return lines[0].strip() if lines else ""


def _console(stream: IO[str]) -> "Console":
    from rich.console import Console

    return Console(file=stream, highlight=False, no_color=not colourful(stream))
