"""Cuts a byte stream into lines. Sans-io: chunks in, lines out; it knows neither JSON nor processes."""


class LineSplitter:
    """Lines of one stream, each at most ``limit`` bytes; a longer one is dropped whole and counted in ``oversized``."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.oversized = 0
        self._rest = bytearray()
        self._dropping = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that ``chunk`` completes, without line ends and without blank lines."""
        first, *others = chunk.split(b"\n")
        self._keep(first)
        if not others:
            return []
        lines = [self._take(), *map(self._checked, others[:-1])]
        self._keep(others[-1])
        return [line for line in lines if line and not line.isspace()]

    def _keep(self, piece: bytes) -> None:
        """Append to the unfinished line: a bytearray grows in place, so many small pieces cost linear time."""
        if self._dropping:
            return
        # One byte above the limit may still turn out to be the "\r" of a line that fits.
        if len(self._rest) + len(piece) > self.limit + 1:
            self._dropping = True
            self._rest = bytearray()
        else:
            self._rest += piece

    def _take(self) -> bytes:
        if self._dropping:
            self._dropping = False
            self.oversized += 1
            return b""
        line, self._rest = bytes(self._rest), bytearray()
        return self._checked(line)

    def _checked(self, line: bytes) -> bytes:
        line = line.removesuffix(b"\r")
        if len(line) <= self.limit:
            return line
        self.oversized += 1
        return b""
