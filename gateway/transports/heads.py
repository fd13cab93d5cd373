"""Remembers the heads of a connection's last requests, and what was found out of them. Pure; knows nothing of MCP."""

from dataclasses import dataclass
from typing import Any, Final

from upstreams.framing import MAX_BYTES, KnownHead

MAX_HEADS: Final = 4  # a client alternates between few tools, if at all; each costs a comparison

LENGTH: Final = b"content-length"
ASKED: Final = ("method", "raw_path", "query_string", "http_version")
"""What a scope says of the first line of a request."""

Header = tuple[bytes, bytes]


@dataclass(slots=True, eq=False)
class Head:
    """The head of an accepted request."""

    scope: dict[str, Any]
    """Its ASGI scope, without headers."""
    headers: list[Header]
    """Without the digits of the length."""
    length_at: int
    """Which of the headers is the length."""
    form: KnownHead | None = None
    """Its bytes, once it came in one piece with its body."""
    kept: Any = None
    """What the application has found out of it, and heeds as long as that holds."""

    def headers_with(self, length: bytes) -> list[Header]:
        """The headers of an equal head with a body of this length."""
        headers = self.headers.copy()
        headers[self.length_at] = (LENGTH, length)
        return headers


class Heads:
    """The heads that came last on one connection."""

    __slots__ = ("_heads",)

    def __init__(self) -> None:
        self._heads: list[Head] = []

    def read(self, data: bytes) -> tuple[Head, bytes, bytes] | None:
        """Read a whole request whose head is known: the head, the digits of its length, its body.

        None for everything else: part of a request, more than one, another head.
        """
        for head in self._heads:
            if head.form is not None and (read := head.form.read(data)) is not None:
                return head, *read
        return None

    def of(self, scope: dict[str, Any]) -> Head | None:
        """The head of an accepted request, known from an equal one or new; None where its body has no length."""
        headers: list[Header] = scope["headers"].copy()
        places = [place for place, (name, _) in enumerate(headers) if name == LENGTH]
        if len(places) != 1 or sum(len(name) + len(value) for name, value in headers) > MAX_BYTES:
            return None
        headers[places[0]] = (LENGTH, b"")
        for head in self._heads:
            if head.headers == headers and all(head.scope[key] == scope[key] for key in ASKED):
                return head
        head = Head({key: value for key, value in scope.items() if key != "headers"}, headers, places[0])
        self._heads = [head, *self._heads[: MAX_HEADS - 1]]
        return head
