"""What the HTTP server refuses before the application sees a request: too slow, too much, or open to two readings.

Knows bytes and timers; it must not know MCP, doors or identities. What llhttp refuses already (two lengths, a length
beside a transfer encoding, folded or malformed headers, bare line feeds) ends here with 400 as well.
"""

import asyncio
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gateway.transports.exchange import WHOLE
from gateway.transports.whole import whole_answer

log = logging.getLogger("onegate.http")

Headers = Sequence[tuple[bytes, bytes]]

# Origin form alone (RFC 9112 §3.2.1): visible ASCII after a slash, no fragment.
TARGET = re.compile(rb'/[!"$-~]*')
# An escape that is none, or that hides a control character; only the path is decoded for routing.
BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})|%[01][0-9A-Fa-f]|%7[Ff]")
# uri-host and port (RFC 9110 §7.2), without the characters that no name or address has.
HOST = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
VERSIONS = frozenset({"1.0", "1.1"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer to what is not let in; the connection ends with it."""

    status: int
    reason: str


MALFORMED = Refusal(400, "Malformed HTTP request")
BAD_VERSION = Refusal(400, "Unknown HTTP version")
BAD_TARGET = Refusal(400, "Bad request target")
BAD_HOST = Refusal(400, "Missing, repeated or bad Host header")
BAD_FRAMING = Refusal(400, "Bad Transfer-Encoding")
TOO_MANY_REQUESTS = Refusal(400, "Too many requests wait on this connection")
ENCODED = Refusal(415, "Content-Encoding is not accepted")
HEAD_TOO_LARGE = Refusal(431, "Request line and headers are too large")
HEAD_TOO_SLOW = Refusal(408, "The request headers took too long")
BODY_TOO_SLOW = Refusal(408, "The request body took too long")


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with limits of time and size; the attributes are seconds, bytes and counts."""

    head_seconds = 15.0
    body_seconds = 30.0
    stall_seconds = 60.0  # a client that takes nothing of its answer for so long is gone, and holds our memory
    linger_seconds = 1.0  # a client that still sends reads our answer only if we do not reset the connection
    max_head = 64 * 1024
    max_headers = 200
    max_pipelined = 16  # requests sent ahead of their answers cost memory at once

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stage = 0  # grows with each complete head and body: even while a head is due, odd while a body is
        self._held = 0  # bytes received since the parser last gave anything out
        self._unsettled = 0  # bytes received since no request was half here: no head can be longer
        self._upgrading = False
        self._refusal: Refusal | None = None  # why a callback stopped the parser
        self._refused = False
        self._timer: asyncio.TimerHandle | None = None
        self._timed_stage = -1
        self._stall: asyncio.TimerHandle | None = None  # runs while the client takes too little
        self._unsent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        self._end_stall()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unsent = self.transport.get_write_buffer_size()
        self._stall = self.loop.call_later(self.stall_seconds, self._check_stall)

    def resume_writing(self) -> None:
        self._end_stall()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._unset_keepalive_if_required()
        self._held += len(data)
        self._unsettled += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._feed_without_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(self._refusal or MALFORMED)
        else:
            self._after_data()

    def _feed_without_upgrade(self, rest: bytes) -> None:
        """Read the request again as if it asked for no upgrade, which a server may do (RFC 9110 §7.8).

        The parser skips the body of such a request and reads nothing after it.
        """
        version = self.parser.get_http_version().encode("ascii")
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self._upgrading = False
        self._held = 0
        self.data_received(b"\r\n".join([*lines, b"", rest]))

    def _after_data(self) -> None:
        if self._held > self.max_head:
            self._refuse(HEAD_TOO_LARGE)
        elif self._held or self._stage & 1:
            self._watch()
        else:
            self._unsettled = 0
            if self._timer is not None:
                self._watch()

    # Called by the parser; an exception stops it.

    def on_headers_complete(self) -> None:
        self._refusal = self._judge()
        if self._refusal is not None:
            raise ValueError(self._refusal.reason)
        self._upgrading = self.parser.should_upgrade()
        if self._upgrading:
            return
        super().on_headers_complete()
        self.scope[WHOLE] = whole_answer(self.cycle)  # type: ignore[typeddict-unknown-key]
        self.headers = []  # trailers are not headers: they must not reach the list that the application reads
        self._stage += 1
        self._held = 0

    def on_body(self, body: bytes) -> None:
        self._held = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._upgrading:
            return
        self._stage += 1
        self._held = 0
        super().on_message_complete()

    def _judge(self) -> Refusal | None:
        version = self.parser.get_http_version()
        if version not in VERSIONS:
            return BAD_VERSION
        if len(self.headers) > self.max_headers or (
            self._unsettled > self.max_head and _size(self.url, self.headers) > self.max_head
        ):
            return HEAD_TOO_LARGE
        if len(self.pipeline) >= self.max_pipelined:
            return TOO_MANY_REQUESTS
        if self.parser.get_method() == b"CONNECT" or not _is_plain(self.url):
            return BAD_TARGET
        return _judge_headers(version, self.headers)

    # Time.

    def _watch(self) -> None:
        """Have one timer for the stage, while the client is what we wait for."""
        answering = self.cycle is not None and not self.cycle.response_complete
        if not self._stage & 1 and answering and not self._held:
            self._unwatch()
        elif self._timer is None or self._timed_stage != self._stage:
            self._unwatch()
            self._timed_stage = self._stage
            self._timer = self.loop.call_later(self._seconds(), self._expire)

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _seconds(self) -> float:
        return self.body_seconds if self._stage & 1 else self.head_seconds

    def _expire(self) -> None:
        if self.flow.read_paused:  # we do not read, so the client is not to blame
            self._timer = self.loop.call_later(self._seconds(), self._expire)
        elif self._stage & 1:
            self._refuse(BODY_TOO_SLOW)
        elif self._held:
            self._refuse(HEAD_TOO_SLOW)
        else:
            self.transport.close()

    def _check_stall(self) -> None:
        """Closing would wait for the client, so a connection that nothing leaves any more is aborted."""
        unsent = self.transport.get_write_buffer_size()
        if unsent >= self._unsent:
            self.transport.abort()
            return
        self._unsent = unsent
        self._stall = self.loop.call_later(self.stall_seconds, self._check_stall)

    def _end_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    # The answer.

    def _refuse(self, refusal: Refusal) -> None:
        """Answer and close, but never inside or ahead of another answer."""
        self._refused = True
        self._unwatch()
        log.debug("refused: %d %s", refusal.status, refusal.reason)
        cycle = self.cycle
        if not self._stage & 1 and cycle is not None and not cycle.response_complete:
            cycle.keep_alive = False  # earlier requests get their answers; with the last one the connection ends
            return
        if self._stage & 1:
            if self.pipeline or cycle.response_started:
                self.transport.close()
                return
            cycle.disconnected = True
            cycle.message_event.set()
        self._answer(refusal)

    def _answer(self, refusal: Refusal) -> None:
        body = refusal.reason.encode("ascii") + b"\n"
        self.transport.write(
            b"%scontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
            % (STATUS_LINE[refusal.status], len(body), body)
        )
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._timer = self.loop.call_later(self.linger_seconds, self.transport.close)
        else:
            self.transport.close()


def _size(url: bytes, headers: Headers) -> int:
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers)


def _is_plain(target: bytes) -> bool:
    if TARGET.fullmatch(target) is None:
        return False
    return b"%" not in target or BAD_ESCAPE.search(target.partition(b"?")[0]) is None


def _judge_headers(version: str, headers: Headers) -> Refusal | None:
    found = dict(headers)
    host = found.get(b"host")
    if host is None:
        if version == "1.1":
            return BAD_HOST
    elif HOST.fullmatch(host) is None or (len(found) != len(headers) and _repeated(b"host", headers)):
        return BAD_HOST
    if b"content-encoding" in found:
        return ENCODED
    if b"transfer-encoding" in found:
        # Another coding, or any under HTTP/1.0, is read differently by the proxy in front (RFC 9112 §6.1).
        plain = found[b"transfer-encoding"].lower() == b"chunked" and version == "1.1"
        if not plain or _repeated(b"transfer-encoding", headers):
            return BAD_FRAMING
    return None


def _repeated(name: bytes, headers: Headers) -> bool:
    return [header[0] for header in headers].count(name) > 1
