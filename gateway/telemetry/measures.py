"""Counts and durations of what was served. Pure: plain numbers in tables, no library, no clock, no I/O.

A call adds to two or three numbers here; what reads them (scrapes, the status page) makes all the objects.
"""

from bisect import bisect_left
from collections.abc import Hashable
from typing import Final, TypeVar

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Upper bounds of a histogram's buckets in seconds: from a fast tool to the longest call that is usual."""

STATUSES: Final = ("success", "error", "denied", "timeout", "rate_limited", "unavailable")

MAX_SERIES: Final = 20_000  # of one table of counts; a catalog holds at most 10,000 tools a server
MAX_HISTOGRAMS: Final = 2_000  # of one table: each is 20 lines of a scrape, which must end within seconds
MAX_ROLES: Final = 100  # they come out of tokens: whoever issues these decides how many there are
MAX_ROLE: Final = 128  # characters, for the same reason
OTHER: Final = "(other)"
UNKNOWN: Final = "(unknown)"
"""The tool of a call whose name nobody knows: parentheses cannot be in a real one."""

Key = TypeVar("Key", bound=Hashable)
Ending = tuple[str, str, str, str, bool]
"""How a call ended: tool, upstream, status, type of error, and whether it was sent to the upstream."""


class Histogram:
    """Durations in seconds, counted by bucket; the last bucket is everything over the last bound."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self.put(bisect_left(BOUNDS, seconds), seconds)

    def put(self, bucket: int, seconds: float) -> None:
        """Count one whose bucket is known."""
        self.counts[bucket] += 1
        self.total += seconds

    @property
    def count(self) -> int:
        """How many were counted."""
        return sum(self.counts)


class Measures:
    """Everything counted since the start of the process; reloads go on counting."""

    def __init__(self) -> None:
        self.calls: dict[tuple[str, str, str], int] = {}
        """(tool, upstream, status) -> calls."""
        self.durations: dict[tuple[str, str], Histogram] = {}
        """(tool, upstream) -> what calls that were sent to the upstream took."""
        self.denials: dict[tuple[str, str], int] = {}
        """(tool, role) -> calls that policy refused."""
        self.operations: dict[tuple[str, str, str], Histogram] = {}
        """(method, tool, type of error) -> what requests took in the gateway; the latter two may be empty."""
        self.auth_failures: dict[str, int] = {}
        """HTTP status -> requests that were not let in."""
        self.audit_refused = 0
        """Calls refused because the audit file could not keep up."""
        self._roles: set[str] = set()
        self._endings: dict[Ending, tuple[tuple[str, str, str], tuple[Histogram, ...]]] = {}

    def tool_call(self, ending: "Ending", seconds: float) -> None:
        """Count one tools/call of a known tool in every table that it belongs in."""
        found = self._endings.get(ending)
        if found is None:
            tool, upstream, status, error, sent = ending
            self.call(tool, upstream, status)
            self.operation("tools/call", tool, error, seconds)
            if sent:
                self.duration(tool, upstream, seconds)
            self._endings_of(ending)
            return
        key, histograms = found
        self.calls[key] += 1
        bucket = bisect_left(BOUNDS, seconds)
        for histogram in histograms:
            histogram.put(bucket, seconds)

    def _endings_of(self, ending: "Ending") -> None:
        """Remember where calls that end like this are counted, if there was room in all tables."""
        tool, upstream, status, error, sent = ending
        operation, duration = self.operations.get(("tools/call", tool, error)), self.durations.get((tool, upstream))
        if operation is None or (sent and duration is None) or (tool, upstream, status) not in self.calls:
            return
        histograms = (operation, duration) if sent and duration is not None else (operation,)
        self._endings[ending] = (tool, upstream, status), histograms

    def call(self, tool: str, upstream: str, status: str) -> None:
        """Count one tools/call by how it ended."""
        _count(self.calls, (tool, upstream, status), (OTHER, "", status))

    def duration(self, tool: str, upstream: str, seconds: float) -> None:
        """Count what a call took that went to its upstream."""
        _histogram(self.durations, (tool, upstream), (OTHER, "")).add(seconds)

    def denial(self, tool: str, role: str) -> None:
        """Count one call that policy refused."""
        role = _label(role)
        if role not in self._roles:
            if len(self._roles) >= MAX_ROLES:
                role = OTHER
            else:
                self._roles.add(role)
        _count(self.denials, (tool, role), (OTHER, role))

    def operation(self, method: str, tool: str, error: str, seconds: float) -> None:
        """Count what one request took, from its first look at the catalog to its result."""
        _histogram(self.operations, (method, tool, error), (method, OTHER, error)).add(seconds)

    def auth_failure(self, status: int) -> None:
        """Count one request that was not let in."""
        key = str(status)
        self.auth_failures[key] = self.auth_failures.get(key, 0) + 1


def _label(text: str) -> str:
    """As much as a label holds; half of a surrogate pair, which JSON can spell and UTF-8 cannot, is replaced."""
    text = text[:MAX_ROLE]
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _count(table: dict[Key, int], key: Key, overflow: Key) -> None:
    known = table.get(key)
    if known is None and len(table) >= MAX_SERIES:
        key, known = overflow, table.get(overflow)
    table[key] = (known or 0) + 1


def _histogram(table: dict[Key, Histogram], key: Key, overflow: Key) -> Histogram:
    found = table.get(key)
    if found is None:
        if len(table) >= MAX_HISTOGRAMS:
            key = overflow
        found = table.setdefault(key, Histogram())
    return found
