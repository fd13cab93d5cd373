"""The last words of a child process, safe to print. Sans-io: chunks of its stderr in, escaped lines out."""

from collections import deque

LINES = 50  # enough for a Python traceback
CHARACTERS = 500
BYTES = 4 * CHARACTERS  # a character of UTF-8 has at most four
LOGGED_PER_SECOND = 20  # a child that shouts must not fill the log


class StderrTail:
    """A ring of the last lines, and which new lines may be logged now."""

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque(maxlen=LINES)
        self._rest = b""
        self._second = -1
        self._logged = 0
        self._left_out = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Keep the lines that ``chunk`` completes, each cut to ``BYTES``, and return them (raw, for ``loggable``)."""
        first, *others = chunk.split(b"\n")
        self._rest += first[: BYTES - len(self._rest)]
        if not others:
            return []
        lines = [self._rest, *(line[:BYTES] for line in others[:-1])]
        self._rest = others[-1][:BYTES]
        kept = [line for line in lines if line and not line.isspace()]
        self._lines.extend(kept)
        return kept

    def loggable(self, lines: list[bytes], now: float) -> list[str]:
        """The escaped lines that fit this second, after a line that counts those left out before."""
        allowed: list[str] = []
        if int(now) != self._second:
            if self._left_out:
                allowed.append(f"({self._left_out} lines left out)")
            self._second, self._logged, self._left_out = int(now), 0, 0
        fitting = lines[: LOGGED_PER_SECOND - self._logged]
        self._logged += len(fitting)
        self._left_out += len(lines) - len(fitting)
        return allowed + [escaped(line) for line in fitting]

    def lines(self) -> list[str]:
        """The last lines, oldest first, an unfinished one included."""
        rest = [self._rest] if self._rest and not self._rest.isspace() else []
        return [escaped(line) for line in [*self._lines, *rest][-LINES:]]

    def last(self) -> str:
        """The last line, or nothing."""
        lines = self.lines()
        return lines[-1] if lines else ""


def escaped(line: bytes) -> str:
    """Text of ``line`` with every character that is not printable spelled out: controls, bidirectional, zero-width."""
    text = line.rstrip().decode("utf-8", "backslashreplace")
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return text[:CHARACTERS]
