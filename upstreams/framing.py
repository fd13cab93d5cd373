"""Heads of HTTP/1.1 that come again and again, with bodies of other lengths: known again without being parsed. Pure.

Whoever talks on a connection says the same of itself in each message. Equal bytes mean the same to a parser that is
between two messages, so what it said of a whole message once holds for the next whose head differs in its length alone.
"""

import re
from typing import Final

MAX_BYTES: Final = 4_096  # of one head: what is larger is no habit, and there may be thousands of connections
MAX_DIGITS: Final = 9

_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})\r\n", re.IGNORECASE)


class KnownHead:
    """A head up to the digits of its length, and after them."""

    __slots__ = ("back", "front")

    def __init__(self, front: bytes, back: bytes) -> None:
        self.front = front
        self.back = back

    def read(self, data: bytes) -> tuple[bytes, bytes] | None:
        """The digits of the length and the body, if ``data`` is one whole message with this head; else None."""
        if not data.startswith(self.front):
            return None
        start = len(self.front)
        end = data.find(b"\r", start, start + MAX_DIGITS + 1)
        digits = data[start:end]
        if not data.startswith(self.back, end) or not digits.isdigit():
            return None
        body = data[end + len(self.back) :]
        return (digits, body) if int(digits) == len(body) else None


def known_head(data: bytes) -> KnownHead | None:
    """The head of a message that a parser has accepted, if ``data`` is all of it and nothing else.

    None for one whose end is not told by a length alone (RFC 9112 §6).
    """
    end = data.find(b"\r\n\r\n", 0, MAX_BYTES) + 4
    found = _LENGTH.search(data, 0, end) if end >= 4 else None
    if found is None or int(found[1]) != len(data) - end or _LENGTH.search(data, found.end(1), end):
        return None
    first, last = found.span(1)
    return KnownHead(data[:first], data[last:end])
