"""Heads of HTTP/1.1 that come again and again: known without being parsed anew. Pure.

Whoever talks on a connection says the same of itself in each message, but for a few headers that belong to the message.
Equal bytes mean the same to a parser that is between two messages, and a value that holds no line break ends no line:
so what it said of one whole message once holds for the next whose head differs only in such values.
"""

import re
from typing import Final

MAX_BYTES: Final = 4_096  # of one head: what is larger is no habit, and there may be thousands of connections
MAX_VALUE: Final = 1_024
LENGTH: Final = b"content-length"

MAX_DIGITS: Final = 9

_SPACE: Final = 0x20
_PRINTED: Final = bytes(range(_SPACE, 0x7F))
_LINE: Final = re.compile(rb"\r\n([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n]*)(?=\r\n)")


class KnownHead:
    """A head without the values of the headers ``names`` (in lower case, in their order), the length among them."""

    __slots__ = ("_first", "_rest", "_start", "names")

    def __init__(self, first: bytes, rest: list[tuple[bytes, bytes]]) -> None:
        self._first = first
        self._start = len(first)
        self._rest = [(name == LENGTH, behind, len(behind)) for name, behind in rest]  # what stands behind each value
        self.names = tuple(name for name, _ in rest)

    def read(self, data: bytes) -> tuple[list[bytes], bytes] | None:
        """The values and the body, if ``data`` is one whole message with this head; else None."""
        if not data.startswith(self._first):
            return None
        at, length = self._start, -1
        values: list[bytes] = []
        for is_length, behind, size in self._rest:
            end = data.find(b"\r", at, at + MAX_VALUE)
            if end < 0 or not data.startswith(behind, end):
                return None
            value = data[at:end]
            if is_length:
                if not value.isdigit() or len(value) > MAX_DIGITS:
                    return None
                length = int(value)
            elif not value or value[0] == _SPACE or value[-1] == _SPACE or value.translate(None, _PRINTED):
                return None
            values.append(value)
            at = end + size
        return (values, data[at:]) if len(data) - at == length else None


def known_head(data: bytes, varying: frozenset[bytes]) -> KnownHead | None:
    """The head of a message that a parser has accepted, if ``data`` is all of it and nothing else.

    The values of headers in ``varying`` and of the length may be others in the next. None for a message whose end is
    not told by a length alone (RFC 9112 §6), and where one of those headers comes twice.
    """
    end = data.find(b"\r\n\r\n", 0, MAX_BYTES) + 4
    if end < 4:
        return None
    slots = [
        (match[1].lower(), *match.span(2))
        for match in _LINE.finditer(data, 0, end - 2)
        if match[1].lower() in varying or match[1].lower() == LENGTH
    ]
    names = [name for name, _, _ in slots]
    if LENGTH not in names or len(set(names)) < len(names):
        return None
    stops = [start for _, start, _ in slots[1:]] + [end]
    rest = [(name, data[last:stop]) for (name, _, last), stop in zip(slots, stops, strict=True)]
    head = KnownHead(data[: slots[0][1]], rest)
    return None if head.read(data) is None else head
