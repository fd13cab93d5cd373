"""Remembers the heads of a connection's last requests: the same bytes mean the same, and need no second look.

A client says the same of itself with each request; of a tool's calls only the length of the body differs. Pure: bytes
in, what was found out of equal ones out. Knows HTTP framing (RFC 9112 §6), nothing of what is asked.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

MAX_HEADS: Final = 4  # a client alternates between few tools, if at all; each costs a comparison
MAX_BYTES: Final = 4_096  # of one head: what is larger is no client's habit, and there may be thousands of connections
MAX_DIGITS: Final = 9

LENGTH: Final = b"content-length"
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})\r\n", re.IGNORECASE)


@dataclass(slots=True, eq=False)
class Head:
    """The head of an accepted request up to the digits of its length, and after them."""

    front: bytes
    back: bytes
    scope: dict[str, Any]
    """Its ASGI scope, without headers."""
    headers: list[tuple[bytes, bytes]]
    length_at: int
    """Which of the headers is the length."""
    kept: Any = None
    """What the application has found out of it, and heeds as long as that holds."""

    def headers_with(self, length: bytes) -> list[tuple[bytes, bytes]]:
        """The headers of an equal head with a body of this length."""
        headers = self.headers.copy()
        headers[self.length_at] = (LENGTH, length)
        return headers


class Heads:
    """The heads that came last on one connection."""

    __slots__ = ("_heads",)

    def __init__(self) -> None:
        self._heads: list[Head] = []

    def find(self, data: bytes) -> tuple[Head, bytes, bytes] | None:
        """Read a whole request whose head is known: the head, the digits of its length, its body.

        None for everything else: part of a request, more than one, another head.
        """
        for head in self._heads:
            if data.startswith(head.front):
                start = len(head.front)
                end = data.find(b"\r", start, start + MAX_DIGITS + 1)
                digits = data[start:end]
                if data.startswith(head.back, end) and digits.isdigit():
                    body = data[end + len(head.back) :]
                    if int(digits) == len(body):
                        return head, digits, body
        return None

    def keep(self, data: bytes, scope: dict[str, Any]) -> Head | None:
        """Remember the head of a request that was accepted, if it is all that is in ``data``, head and body."""
        end = data.find(b"\r\n\r\n", 0, MAX_BYTES) + 4
        found = _LENGTH.search(data, 0, end) if end >= 4 else None
        if found is None or int(found[1]) != len(data) - end:
            return None
        headers = scope["headers"]
        places = [place for place, (name, _) in enumerate(headers) if name == LENGTH]
        if len(places) != 1:
            return None
        known = {key: value for key, value in scope.items() if key != "headers"}
        first, last = found.span(1)
        head = Head(data[:first], data[last:end], known, headers, places[0])
        self._heads = [head, *self._heads[: MAX_HEADS - 1]]
        return head
