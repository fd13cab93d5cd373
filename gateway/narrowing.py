"""What a request asks to see no more than: headers in, filters out. Pure; they can only narrow what policy grants.

Anybody may send them, so their globs are not `fnmatch`'s, which makes a regular expression of each, takes seconds where
one is long, and keeps it: here `*` alone means something.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from gateway.errors import INVALID_REQUEST, McpError

CLIENTS: Final = frozenset({b"x-mcp-include-clients", b"x-bf-mcp-include-clients"})
TOOLS: Final = frozenset({b"x-mcp-include-tools", b"x-bf-mcp-include-tools"})
NAMES: Final = frozenset(name.decode() for name in CLIENTS | TOOLS)
# Of one request, all its headers together: there may be thousands of tools, and each is compared with all of them.
MAX_HEADERS: Final = 8
MAX_PARTS: Final = 256
MAX_INNER: Final = 16  # globs with more than a star at their end, for which nothing is faster than one after another
MAX_GLOB: Final = 129  # a name has 64 characters at most, and stars fit before, between and after them


class Filter(Protocol):
    """What a caller is narrowed to, by its API key or its own wish. Equal filters let the same through; hashable."""

    @property
    def terms(self) -> tuple[Any, ...]:
        """What it is made of, as texts and lists of them: equal, also in order, for equal filters of a kind."""
        ...

    def lets(self, server: str, canonical: str) -> bool:
        """Whether a tool is within it."""
        ...

    def lets_others(self, server: str) -> bool:
        """Whether the prompts and resources of a server are."""
        ...


@dataclass(frozen=True, slots=True)
class Narrowing:
    """One such header. ``servers`` are those that it names; ``globs`` are on canonical tool names, None for any."""

    servers: frozenset[str]
    globs: tuple[str, ...] | None
    names: frozenset[str] = field(init=False, repr=False, compare=False)
    fronts: tuple[str, ...] = field(init=False, repr=False, compare=False)
    inner: tuple[str, ...] = field(init=False, repr=False, compare=False)
    """The globs by what it takes to compare them: without a star, with one at the end, and all others."""

    def __post_init__(self) -> None:
        globs = self.globs or ()
        starred = {glob: glob.find("*") for glob in globs}
        fronts = tuple(glob[:-1] for glob, at in starred.items() if at == len(glob) - 1)
        object.__setattr__(self, "names", frozenset(glob for glob, at in starred.items() if at < 0))
        object.__setattr__(self, "fronts", fronts)
        object.__setattr__(self, "inner", tuple(glob for glob, at in starred.items() if 0 <= at < len(glob) - 1))

    @property
    def terms(self) -> tuple[Any, ...]:
        """See `Filter`."""
        return (sorted(self.servers), self.globs)

    def lets(self, server: str, canonical: str) -> bool:
        """See `Filter`."""
        if self.globs is None:
            return server in self.servers
        if canonical in self.names or canonical.startswith(self.fronts):
            return True
        return any(_fits(canonical, glob) for glob in self.inner)

    def lets_others(self, server: str) -> bool:
        """See `Filter`."""
        return server in self.servers


def narrowings(headers: Iterable[tuple[bytes, bytes]], prefixes: Mapping[str, str]) -> tuple[Narrowing, ...]:
    """The filters of a request: each header narrows by itself, also one that comes twice or under both its names.

    ``prefixes`` are those of the servers' tools. Raises `McpError`.
    """
    asked = [(name, _parts(value)) for name, value in headers if name in CLIENTS | TOOLS]
    if len(asked) > MAX_HEADERS:
        raise _over(f"come over {MAX_HEADERS} times")
    if sum(len(parts) for _, parts in asked) > MAX_PARTS:
        raise _over(f"name over {MAX_PARTS}")
    found = tuple(_narrowing(name, parts, prefixes) for name, parts in asked)
    if sum(len(one.inner) for one in found) > MAX_INNER:
        raise _over(f"hold over {MAX_INNER} globs with more than a star at the end")
    return found


def _parts(value: bytes) -> list[str]:
    parts = (part.strip(" \t") for part in value.decode("latin-1").split(","))
    return list(dict.fromkeys(part for part in parts if part))


def _over(what: str) -> McpError:
    return McpError(INVALID_REQUEST, f"The headers that narrow the request {what}", status=400)


def _narrowing(name: bytes, parts: Sequence[str], prefixes: Mapping[str, str]) -> Narrowing:
    if name in CLIENTS:
        servers = prefixes if "*" in parts else (server for server in prefixes if server in parts)
        return Narrowing(frozenset(servers), None)
    named = (server for server, prefix in prefixes.items() if any(_names(part, prefix) for part in parts))
    globs = dict.fromkeys(re.sub(r"\*+", "*", part) for part in parts)
    return Narrowing(frozenset(named), tuple(glob for glob in globs if len(glob) <= MAX_GLOB))


def _names(glob: str, prefix: str) -> bool:
    """Whether a glob on tools is about a server: its prompts and resources go with its tools."""
    return glob == "*" or glob.startswith(f"{prefix}_")


def _fits(name: str, glob: str) -> bool:
    """Whether what stands between the stars is in a name, one after another; each is taken where it comes first."""
    first, *pieces = glob.split("*")
    if not pieces:
        return name == glob
    last = pieces.pop()
    at, end = len(first), len(name) - len(last)
    if at > end or not (name.startswith(first) and name.endswith(last)):
        return False
    for piece in pieces:
        at = name.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True
