"""Remembers the heads of a connection's last requests, and what was found out of them. Pure; knows nothing of MCP."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from upstreams.framing import LENGTH, MAX_BYTES, KnownHead, known_head

MAX_HEADS: Final = 4  # a client that asks for nothing else than others did needs one

VARYING: Final = frozenset({LENGTH, b"mcp-name", b"traceparent", b"tracestate", b"x-idempotency-key"})
"""Headers that say something of one message: nothing that is found out of a head may depend on them."""

ASKED: Final = ("method", "raw_path", "query_string", "http_version")
"""What a scope says of the first line of a request."""

Header = tuple[bytes, bytes]


class Kept(Protocol):
    """What an application has found out of a head."""

    def serve(self, turn: Any) -> Awaitable[None] | None:
        """What serves another request with an equal head, a `Turn`; None where what was found out holds no longer."""
        ...


@dataclass(slots=True, eq=False)
class Head:
    """The head of an accepted request."""

    scope: dict[str, Any]
    """Its ASGI scope, without headers."""
    headers: list[Header]
    """Without the values of those that vary."""
    places: tuple[int, ...]
    """Where these are, in their order."""
    form: KnownHead | None = None
    """Its bytes, once it came in one piece with its body."""
    kept: Kept | None = None

    def headers_with(self, values: list[bytes]) -> list[Header]:
        """The headers of an equal head in which those that vary have these values."""
        headers = self.headers.copy()
        for place, value in zip(self.places, values):  # noqa: B905  # strict would cost more than the rest
            headers[place] = (headers[place][0], value)
        return headers


class Heads:
    """The heads that came last on one connection."""

    __slots__ = ("_heads",)

    def __init__(self) -> None:
        self._heads: list[Head] = []

    def read(self, data: bytes) -> tuple[Head, list[bytes], bytes] | None:
        """Read a whole request whose head is known: the head, the values that vary, the body.

        None for everything else: part of a request, more than one, another head.
        """
        for head in self._heads:
            if head.form is not None and (read := head.form.read(data)) is not None:
                return head, *read
        return None

    def of(self, scope: dict[str, Any]) -> Head | None:
        """The head of an accepted request, known from an equal one or new; None where its body has no length."""
        headers: list[Header] = scope["headers"].copy()
        places = tuple(place for place, (name, _) in enumerate(headers) if name in VARYING)
        names = [headers[place][0] for place in places]
        if LENGTH not in names or len(set(names)) < len(names):
            return None
        for place in places:
            headers[place] = (headers[place][0], b"")
        for head in self._heads:
            if head.headers == headers and all(head.scope[key] == scope[key] for key in ASKED):
                return head
        if sum(len(name) + len(value) for name, value in headers) > MAX_BYTES:
            return None
        head = Head({key: value for key, value in scope.items() if key != "headers"}, headers, places)
        self._heads = [head, *self._heads[: MAX_HEADS - 1]]
        return head

    def learn(self, head: Head, data: bytes) -> None:
        """The request with this head was all that came, in one piece."""
        form = known_head(data, VARYING)
        if form is not None and form.names == tuple(head.headers[place][0] for place in head.places):
            head.form = form
