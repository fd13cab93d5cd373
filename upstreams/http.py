"""An upstream over Streamable HTTP: a POST for each message, answers as JSON or as an event stream.

Serves both eras (MCP 2025-11-25 and 2026-07-28, basic/transports); what an era adds to a request comes from its peer.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

from upstreams import wire
from upstreams.config import ServerEntry
from upstreams.connection import Call, Wiring
from upstreams.correlation import Correlator, answer, reply_outcome
from upstreams.errors import ConnectionLost, ErrorReply, SessionExpired, Unreachable
from upstreams.events import Event, EventParser, EventTooLarge
from upstreams.headers import Fixed
from upstreams.web import Answer, HttpStatus, WebClient, media_type, status_line

log = logging.getLogger("onegate.upstream")

POST_HEADERS: Final = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
SESSION_HEADER: Final = "Mcp-Session-Id"
RETRY_SECONDS: Final = 1.0  # until the server names its own
RETRY_LEAST_SECONDS: Final = 0.1  # a server that says 0 and closes at once would keep the event loop busy
RESUME_ATTEMPTS: Final = 5  # in a row that bring no event
MAX_MERGED: Final = 1_024  # one for each tool that is called
NO_STREAM: Final = frozenset({400, 404, 405, 406, 501})  # the server offers no GET stream


class HttpConnection:
    """One logical connection to a URL; a legacy one also holds a session and its stream."""

    def __init__(self, entry: ServerEntry, wiring: Wiring) -> None:
        assert entry.url is not None
        self._wiring = wiring
        self._web = WebClient(entry.url, entry.headers, wiring.max_message)
        self._calls = Correlator()
        self._standing: dict[str, str] = {}  # headers of every message once a legacy handshake is done
        self._session: dict[str, str] = {}
        self._merged: dict[Fixed, Fixed] = {}
        """The headers of calls with those that go with every message."""
        self._cancel_notice = False
        self._closed = False

    async def request(self, call: Call) -> dict[str, Any]:
        """See `Connection.request`."""
        message = self._calls.begin(call)
        answered = False
        try:
            outcome = await self._exchange(call, wire.dumps(message))
            answered = True
        except Unreachable as exc:
            answered = True  # nothing was sent, nothing is to be cancelled
            self._wiring.on_lost(str(exc))
            raise
        except (ConnectionLost, ErrorReply):
            answered = True
            raise
        finally:
            self._calls.end(call)
            if not answered and self._cancel_notice:  # on the modern wire, closing the stream has said it
                self._wiring.spawn(self._cancel, call.id)
        if isinstance(outcome, ErrorReply):
            try:
                raise outcome
            finally:
                del outcome  # its traceback holds this frame
        return outcome

    async def notify(self, method: str, params: dict[str, Any], headers: Mapping[str, str]) -> None:
        """See `Connection.notify`."""
        await self._post({"jsonrpc": "2.0", "method": method, "params": params}, headers)

    def handshake_done(self, headers: Mapping[str, str]) -> None:
        """Legacy only: from here on ``headers`` go with every message, and the server's own stream is opened."""
        self._stand(dict(headers), self._session)
        self._cancel_notice = True
        self._wiring.spawn(self._watch)

    def forget_session(self) -> None:
        """Legacy only: the server no longer knows the session; the next handshake opens another."""
        self._stand({}, {})

    async def close(self) -> None:
        """End the session (a legacy server is told) and close the pool."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._session:
                async with asyncio.timeout(1.0), self._web.send("DELETE", self._headers({})):
                    pass
        except (ConnectionLost, TimeoutError):
            log.debug("could not end the session", extra={"upstream": self._wiring.name})
        finally:
            await self._web.close()

    def kill(self) -> None:
        """Nothing of a remote server is held here."""

    def _stand(self, standing: dict[str, str], session: dict[str, str]) -> None:
        """From here on these go with every message."""
        self._standing, self._session = standing, session
        self._merged.clear()

    def _headers(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        if not isinstance(headers, Fixed):
            return self._all(headers)
        merged = self._merged.get(headers)
        if merged is None:
            if len(self._merged) >= MAX_MERGED:
                self._merged.clear()
            merged = self._merged[headers] = Fixed(self._all(headers))
        return merged

    def _all(self, headers: Mapping[str, str]) -> dict[str, str]:
        return {**POST_HEADERS, **self._standing, **self._session, **headers}

    async def _exchange(self, call: Call, body: bytes) -> dict[str, Any] | ErrorReply:
        response = await self._web.open("POST", self._headers(call.headers), body)
        try:
            if response.status >= 300 or response.status == 202:
                return await self._refusal(response)
            if call.method == "initialize" and SESSION_HEADER.lower() in response.headers:
                self._stand(self._standing, {SESSION_HEADER: response.headers[SESSION_HEADER.lower()]})
            if media_type(response) == "text/event-stream":
                return await self._stream(call, response)
            message = _parse(await self._web.read(response))
        finally:
            response.release()
        if not isinstance(message, dict) or message.get("id") != call.id:
            return ErrorReply(-32603, "The upstream's answer is no reply to the request")
        return reply_outcome(message)

    async def _refusal(self, response: Answer) -> ErrorReply:
        """Read what a status other than 200 means; raises when it is not a JSON-RPC error."""
        if response.status == 404 and self._session:
            raise SessionExpired("the upstream no longer knows the session")
        message = _parse(await self._web.read(response)) if media_type(response) == "application/json" else None
        if isinstance(message, dict) and isinstance(message.get("error"), dict):
            outcome = reply_outcome(message)
            if isinstance(outcome, ErrorReply):
                return outcome
        raise HttpStatus(response.status, status_line(response.status))

    async def _stream(self, call: Call, response: Answer) -> dict[str, Any] | ErrorReply:
        """Follow the call's stream, and its resumptions, to its reply."""
        last_id, retry, attempts = "", RETRY_SECONDS, 0
        current: Answer | None = response
        while True:
            known = last_id
            try:
                if current is None:
                    headers = {**self._headers({}), "Accept": "text/event-stream", "Last-Event-ID": last_id}
                    async with self._web.send("GET", headers) as resumed:
                        if resumed.status != 200:
                            raise HttpStatus(resumed.status, f"resuming failed: HTTP {resumed.status}")
                        outcome, last_id, retry = await self._follow(call, resumed, last_id, retry)
                else:
                    outcome, last_id, retry = await self._follow(call, current, last_id, retry)
            except EventTooLarge as exc:
                return ErrorReply(-32603, f"The upstream sent {exc}")
            if outcome is not None:
                return outcome
            attempts = attempts + 1 if last_id == known else 0
            if not last_id or attempts > RESUME_ATTEMPTS:
                raise ConnectionLost("the upstream closed the stream before it answered")
            current = None
            await asyncio.sleep(retry)

    async def _follow(
        self, call: Call, response: Answer, last_id: str, retry: float
    ) -> tuple[dict[str, Any] | ErrorReply | None, str, float]:
        """Read one stream; returns the reply (None if it ended before), the last event id, the retry in seconds."""
        parser = EventParser(self._web.max_message)
        while True:
            try:
                chunk = await response.chunk()
            except ConnectionLost:
                chunk = b""  # a stream that breaks is resumed like one that ends
            if not chunk:
                return None, last_id, retry
            for event in parser.feed(chunk):
                last_id = event.id or last_id
                retry = retry if event.retry is None else max(event.retry / 1000, RETRY_LEAST_SECONDS)
                message = _parse(event.data) if event.data else None
                if isinstance(message, dict) and (outcome := self._on_call(call, message)) is not None:
                    return outcome, last_id, retry

    def _on_call(self, call: Call, message: dict[str, Any]) -> dict[str, Any] | ErrorReply | None:
        """Take a message from a call's own stream: everything on it belongs to that call."""
        method = message.get("method")
        if not isinstance(method, str):
            return reply_outcome(message) if message.get("id") == call.id else None
        params = message.get("params")
        params = params if isinstance(params, dict) else {}
        if message.get("id") is not None:
            self._wiring.spawn(self._answer, call, message)
        elif method == "notifications/progress":
            if params.get("progressToken") == call.id:
                call.progress(params)
        elif method in ("notifications/message", "notifications/elicitation/complete"):
            call.channel.notify(method, params)
        else:
            self._wiring.on_notice(method, params)
        return None

    async def _watch(self) -> None:
        """Hold the legacy GET stream open: list changes and resource updates arrive there."""
        last_id, retry, session = "", RETRY_SECONDS, self._session
        while not self._closed and self._session is session:
            headers = {**self._headers({}), "Accept": "text/event-stream"}
            try:
                async with self._web.send("GET", {**headers, **({"Last-Event-ID": last_id} if last_id else {})}) as got:
                    if got.status == 404 and session:
                        self._wiring.on_expired()
                        return
                    if got.status in NO_STREAM or media_type(got) != "text/event-stream":
                        return
                    parser = EventParser(self._web.max_message)
                    while chunk := await got.chunk():
                        for event in parser.feed(chunk):
                            last_id = event.id or last_id
                            retry = retry if event.retry is None else max(event.retry / 1000, RETRY_LEAST_SECONDS)
                            self._unattributed(event)
            except Unreachable as exc:
                self._wiring.on_lost(str(exc))
                return
            except (ConnectionLost, EventTooLarge) as exc:
                log.debug("the upstream's stream broke: %s", exc, extra={"upstream": self._wiring.name})
            await asyncio.sleep(retry)

    def _unattributed(self, event: Event) -> None:
        message = _parse(event.data) if event.data else None
        if not isinstance(message, dict) or not isinstance(message.get("method"), str):
            return
        method, params = message["method"], message.get("params")
        if message.get("id") is not None:
            self._wiring.spawn(self._answer, None, message)
        elif method == "notifications/progress":
            self._calls.progress(params if isinstance(params, dict) else {})
        elif method == "notifications/message":
            self._calls.sole_channel().notify(method, params if isinstance(params, dict) else {})
        else:
            self._wiring.on_notice(method, params if isinstance(params, dict) else {})

    async def _answer(self, call: Call | None, message: dict[str, Any]) -> None:
        channel = call.channel if call else self._calls.sole_channel()
        self._calls.asking(channel)
        reply = await answer(channel, message)
        try:
            await self._post(reply, {})
        except ConnectionLost:
            log.debug("an answer could not be sent", extra={"upstream": self._wiring.name})

    async def _cancel(self, request_id: int) -> None:
        try:
            await self.notify(
                "notifications/cancelled", {"requestId": request_id, "reason": "the caller went away"}, {}
            )
        except ConnectionLost:
            log.debug("could not cancel a call", extra={"upstream": self._wiring.name})

    async def _post(self, message: dict[str, Any], headers: Mapping[str, str]) -> None:
        async with self._web.send("POST", self._headers(headers), wire.dumps(message)) as response:
            if response.status >= 400:
                raise HttpStatus(response.status, status_line(response.status))


def _parse(data: bytes) -> Any:
    try:
        return wire.loads(data)
    except ValueError:
        return None
