"""Sans-io: bytes of a text/event-stream to events (WHATWG HTML, server-sent events); knows no HTTP and no MCP."""

from dataclasses import dataclass
from typing import Final

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"  # one may stand at the start of a stream

MIN_PIECE: Final = 16  # bytes: enough for a byte order mark, a field's name and its colon with a space


@dataclass(frozen=True, slots=True)
class Event:
    """One dispatched event. ``id`` is None when the event carries none, ``retry`` is in milliseconds."""

    name: str
    data: bytes
    id: str | None = None
    retry: int | None = None


class EventTooLarge(ValueError):
    """An event grew over the limit; the stream cannot be read further."""


class EventParser:
    """Takes chunks of any size; work is linear in the bytes, memory bounded by ``limit`` and one chunk."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tail: list[bytes] = []
        self._size = 0
        self._skip_newline = False
        self._first_line = True
        self._reset()

    def feed(self, chunk: bytes) -> list[Event]:
        """Return the events that ``chunk`` completes. Raises `EventTooLarge`."""
        if not chunk:
            return []
        if self._skip_newline and chunk.startswith(b"\n"):  # a CRLF cut between two chunks
            chunk = chunk[1:]
        self._skip_newline = chunk.endswith(b"\r")
        self._size += len(chunk)
        lines = chunk.splitlines(keepends=True) if b"\r" in chunk else chunk.split(b"\n")
        if b"\r" in chunk:
            lines = [line.rstrip(b"\r\n") for line in lines] + ([b""] if chunk[-1:] in b"\r\n" else [])
        self._keep(lines[0])
        events: list[Event] = []
        for following in lines[1:]:
            pieces, self._tail = self._tail, [following]
            self._line(pieces, events)
        if self._size > self._limit + len(chunk):
            raise EventTooLarge(f"an event over {self._limit} bytes")
        return events

    def _reset(self) -> None:
        self._name, self._data = "message", list[bytes]()
        self._id: str | None = None
        self._retry: int | None = None
        self._size = 0

    def _keep(self, piece: bytes) -> None:
        """Add to the unfinished line. The first piece is long enough to tell of itself that the line is data."""
        if len(self._tail) == 1 and len(self._tail[0]) < MIN_PIECE:
            self._tail[0] += piece
        else:
            self._tail.append(piece)

    def _line(self, pieces: list[bytes], events: list[Event]) -> None:
        if self._first_line:
            self._first_line = False
            pieces[0] = pieces[0].removeprefix(BYTE_ORDER_MARK)
        if len(pieces) > 1 and pieces[0].startswith(b"data:"):  # a long one, which is put together only once
            pieces[0] = pieces[0][5:].removeprefix(b" ")
            self._data.append(b"".join(pieces))
            return
        line = b"".join(pieces)
        if not line:
            if self._data or self._id is not None or self._retry is not None:
                events.append(Event(self._name, b"\n".join(self._data), self._id, self._retry))
            self._reset()
            return
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._name = value.decode("utf-8", "replace")
        elif field == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        elif field == b"retry" and value.isdigit() and len(value) < 10:
            self._retry = int(value)
