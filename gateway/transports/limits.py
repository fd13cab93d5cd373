"""The HTTP server's side of one connection: uvicorn's protocol, with limits of time and size, and a memory for heads.

Knows bytes and timers; it must not know MCP, doors or identities. What llhttp refuses ends here with 400.
"""

import asyncio
import logging
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gateway.transports.heads import Head, Heads
from gateway.transports.malformed import (
    BAD_TARGET,
    BAD_VERSION,
    BODY_TOO_SLOW,
    HEAD_TOO_LARGE,
    HEAD_TOO_SLOW,
    MALFORMED,
    TOO_MANY_REQUESTS,
    VERSIONS,
    Refusal,
    is_plain,
    judge_headers,
    size_of,
)
from gateway.transports.stall import Stall
from gateway.transports.turn import Turn
from upstreams.outbox import sender_for

log = logging.getLogger("onegate.http")


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with limits of time and size; the attributes are seconds, bytes and counts."""

    head_seconds = 15.0
    body_seconds = 30.0
    stall_seconds = 60.0  # a client that takes nothing of its answer for so long is gone, and holds our memory
    linger_seconds = 1.0  # a client that still sends reads our answer only if we do not reset the connection
    max_head = 64 * 1024
    max_headers = 200
    max_pipelined = 16  # requests sent ahead of their answers cost memory at once

    scope: Any  # of the request that came last; holds its turn, which the type of uvicorn does not know
    cycle: Turn

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stage = 0  # grows with each complete head and body: even while a head is due, odd while a body is
        self._held = 0  # bytes received since the parser last gave anything out
        self._unsettled = 0  # bytes received since no request was half here: no head can be longer
        self._upgrading = False
        self._heads = Heads()
        self._served: Turn | None = None  # the last one began; with requests sent ahead `cycle` is another
        self._idle_since = 0.0
        self._refusal: Refusal | None = None  # why a callback stopped the parser
        self._refused = False
        self._timer: asyncio.TimerHandle | None = None
        self._timed_stage = -1
        self._stall = Stall()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(sender_for(transport, self.loop))  # type: ignore[arg-type]
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        self._stall.end()
        self._unset_keepalive_if_required()
        if self._served is not None:
            self._served.leave()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall.begin(self.loop, self.transport, self.stall_seconds)

    def resume_writing(self) -> None:
        self._stall.end()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        calm = not self._held and not self._stage & 1 and (self.cycle is None or self.cycle.response_complete)
        known = self._heads.read(data) if calm else None
        if known is not None:
            self._stage += 2
            self._unwatch()  # the head that was due is here
            self._begin_again(*known)
            return
        expected = self._stage + 2 if calm else None
        self._held += len(data)
        self._unsettled += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._feed_without_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(self._refusal or MALFORMED)
        else:
            if self._stage == expected and not self._held and self.cycle.head is not None:
                self._heads.learn(self.cycle.head, data)
            self._after_data()

    def _begin_again(self, head: Head, values: list[bytes], body: bytes) -> None:
        """A request came whose head is known: what the parser would say of it has been said."""
        self.cycle = turn = Turn.again(self, head, values, body)
        self._start_asgi_task(turn, self.app)

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

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._held = self._held or 1  # behind the end of another in one read: a head is half here from now on

    def on_headers_complete(self) -> None:
        self._refusal = self._judge()
        if self._refusal is not None:
            raise ValueError(self._refusal.reason)
        self._upgrading = self.parser.should_upgrade()
        if self._upgrading:
            return
        self._begin()
        self.headers = []  # trailers are not headers: they must not reach the list that the application reads
        self._stage += 1
        self._held = 0

    def _begin(self) -> None:
        """A head is here, and nothing is wrong with it."""
        version = self.parser.get_http_version()
        path, _, query = self.url.partition(b"?")
        target = path.decode("ascii")
        self.scope.update(
            http_version=version,
            method=self.parser.get_method().decode("ascii"),
            path=unquote(target) if "%" in target else target,
            raw_path=path,
            query_string=query,
        )
        turn = Turn.first(self, self.scope, version != "1.0" and self.parser.should_keep_alive())
        turn.waiting_for_100_continue = self.expect_100_continue
        if turn.keep_alive and self.scope["method"] == "POST" and not self.expect_100_continue:
            turn.head = self._heads.of(self.scope)
        former, self.cycle = self.cycle, turn
        if former is None or former.response_complete:
            self._start_asgi_task(turn, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((turn, self.app))

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
            self._unsettled > self.max_head and size_of(self.url, self.headers) > self.max_head
        ):
            return HEAD_TOO_LARGE
        if len(self.pipeline) >= self.max_pipelined:
            return TOO_MANY_REQUESTS
        if self.parser.get_method() == b"CONNECT" or not is_plain(self.url):
            return BAD_TARGET
        return judge_headers(version, self.headers)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._served = cycle
        cycle.task = task = self.loop.create_task(cycle.serve(app))
        self.tasks.add(task)

    def on_response_complete(self) -> None:
        """The answer is written: the next request's turn, or the wait for one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._keep_alive_for(self.timeout_keep_alive)

    # Time.

    def _keep_alive_for(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that was idle for long enough; one timer goes on over many requests."""
        self.timeout_keep_alive_task = None
        if self.transport.is_closing() or self._held or self._stage & 1 or not self.cycle.response_complete:
            return  # set again after the next answer
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._keep_alive_for(left)
        else:
            self.transport.close()

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
