"""Streamable HTTP for clients: a raw ASGI entry for the doors. Turns a request into one JSON object and back.

Which era serves a message, in this order: a version header that is not legacy, or an envelope: modern. A session id:
legacy. `initialize`: a new session. Anything that needs no client: sessionless.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from weakref import ref

from gateway.config import Config
from gateway.eras.envelope import LEGACY_VERSIONS, VERSION_HEADER, is_modern
from gateway.eras.sessions import Sessions
from gateway.errors import (
    INVALID_REQUEST,
    SESSIONLESS_STATUS,
    McpError,
    Refused,
    http_status,
    to_error,
)
from gateway.request import Entrant
from gateway.service import Service
from gateway.telemetry.current import SERVING, Serving
from gateway.transports import http_eras
from gateway.transports.bodies import Bodies
from gateway.transports.entrance import Entrance, NotAdmitted
from gateway.transports.exchange import WATCH_SECONDS, Exchange, Message, Receive, Scope, Send, accepts
from gateway.transports.guard import Guard, header_map, repeats
from gateway.transports.heads import VARYING
from gateway.transports.inbound import SESSION_HEADER, Again, Inbound, Settled, check_message, parsed, resume
from gateway.transports.proxies import Proxies
from gateway.transports.turn import TURN, Turn
from policies.model import ANONYMOUS, Caller
from upstreams.alarms import Alarms

log = logging.getLogger("onegate.http")

SINGLE: Final = (b"authorization", b"origin", b"content-type", b"mcp-session-id")
"""Headers that decide something: of two, a proxy in front may have judged the other one."""
UNKNOWN_HOST: Final = "Host not allowed; see server.allowed_hosts"

NOBODY: Final = Entrant(Caller(ANONYMOUS))


class HttpDoors:
    """The ASGI application of all doors."""

    def __init__(self, service: Service, config: Config, host: str, entrance: Entrance) -> None:
        self.service = service
        self.entrance = entrance
        self.sessions = Sessions()
        self._host = host
        self._watches = Alarms(WATCH_SECONDS)
        self._take(config)
        service.closers[self.sessions.end_all] = None
        service.sessions = self.sessions.__len__

    def renew(self, config: Config, entrance: Entrance) -> None:
        """Go on under another config; sessions whose door it does not have any more end."""
        self.entrance = entrance
        self._take(config)
        self.sessions.end_elsewhere(self.service.relay.catalog.doors)

    def _take(self, config: Config) -> None:
        self._guard = Guard(config, self._host)
        self._proxies = Proxies(config.server.trusted_proxies) if config.server.trusted_proxies else None
        self._bodies = Bodies(config.server.max_body)
        self.main_path = config.server.path
        self._discovery_on_get = config.server.discovery_on_get

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; whatever goes wrong is answered here."""
        await self._serve(self.inbound(scope, receive, send, raw_path(scope)))

    def again(self, turn: Turn, settled: Settled) -> Awaitable[None] | None:
        """Serve another request with an equal head; None where what that had settled holds no longer."""
        inbound = self.inbound_again(turn, settled)
        return None if inbound is None else self._serve(inbound)

    async def _serve(self, inbound: Inbound) -> None:
        SERVING.set(inbound.serving)
        self.service.begin()
        try:
            if inbound.settled is None:
                await self.check(inbound, self.again)
            if inbound.door not in self.service.relay.catalog.doors:
                raise McpError(INVALID_REQUEST, "No door here", status=404)
            verb = VERBS.get(inbound.method)
            if verb is None:
                await inbound.not_allowed("GET, POST, DELETE")
            else:
                await verb(self, inbound)
        except asyncio.CancelledError:
            if not inbound.exchange.gone:
                raise
            resume()  # it was the client's hanging up that cancelled us
        except McpError as exc:
            await inbound.refuse(exc, SESSIONLESS_STATUS)
        except Exception as exc:
            log.exception("a request failed")
            await inbound.refuse(to_error(exc, inbound.request_id), SESSIONLESS_STATUS)
        finally:
            self.service.end()
            inbound.serving.finish()

    def inbound(self, scope: Scope, receive: Receive, send: Send, door: str) -> Inbound:
        """One request, nothing of it checked."""
        turn: Turn | None = scope.pop(TURN, None)
        headers = header_map(scope["headers"])
        exchange = Exchange(receive, send, self.service.spawn, accepts(headers, "text/event-stream"), turn)
        serving = self._serving(exchange, headers)
        inbound = Inbound(
            self.service, self.sessions, scope["method"], door, headers, NOBODY, exchange, serving, receive
        )
        inbound.made, inbound.turn = scope, turn
        return inbound

    def inbound_again(self, turn: Turn, settled: Settled) -> Inbound | None:
        """One request with a head that an equal one has settled before; None where that holds no longer."""
        entrant, entrance = settled.entrant, self.entrance
        if settled.entrance() is not entrance or not entrant.lasts(time.time()):
            return None
        headers, receive = settled.headers_with(turn.values), turn.receive
        send: Send = turn.send  # type: ignore[assignment]  # uvicorn names each event
        exchange = Exchange(receive, send, self.service.spawn, settled.streams, turn)
        serving = self._serving(exchange, headers)
        inbound = Inbound(
            self.service, self.sessions, turn.method, settled.door, headers, entrant, exchange, serving, receive
        )
        inbound.turn, inbound.settled, inbound.admitted_by = turn, settled, entrance
        serving.passed("gateway.authenticate")
        return inbound

    def _serving(self, exchange: Exchange, headers: Mapping[str, str]) -> Serving:
        exchange.watches = self._watches
        serving = Serving(headers, None if self.service.relay.observer.tracing is None else [])
        exchange.add_header(b"x-request-id", serving.request_id.encode())
        return serving

    async def check(self, inbound: Inbound, again: Again) -> None:
        """Look at everything of a request that comes before its path and body. Raises `McpError`.

        ``again`` is what serves the next one with an equal head.
        """
        headers, made, entrance = inbound.headers, inbound.scope, self.entrance
        if len(headers) != len(inbound.raw_headers):
            _refuse_repeated(inbound)
        self._check_host(headers)
        if self._proxies is not None:
            inbound.made = self.seen(made)
            headers = inbound.headers = header_map(inbound.raw_headers)
            self._check_host(headers)  # a page can send X-Forwarded-Host, and a proxy may pass it on: both must be ours
        if not self._guard.allows_origin(headers.get("origin"), headers.get("host")):
            raise McpError(INVALID_REQUEST, "Origin not allowed; see server.allowed_origins", status=403)
        await self.admit(inbound)  # 401 comes before 404
        if self.entrance is entrance:  # else one config has looked at Host, and another at who calls
            self._keep(inbound, made, again)

    def _keep(self, inbound: Inbound, made: Scope, again: Again) -> None:
        """Remember what was found out of a request's head, unless rules read of it what may vary."""
        head = None if inbound.turn is None else inbound.turn.head
        trusted = self.service.relay.access.policies(inbound.door).trusted_headers
        if head is None or any(name.encode("latin-1") in VARYING for name in trusted):
            return
        streams = accepts(inbound.headers, "text/event-stream")
        seen = {} if inbound.scope is made else {key: inbound.scope[key] for key in ("client", "scheme", "headers")}
        varying = tuple(head.headers[place][0].decode("latin-1") for place in head.places)
        headers = dict(inbound.headers)
        head.kept = Settled(ref(self.entrance), inbound.entrant, inbound.door, headers, varying, streams, seen, again)

    async def admit(self, inbound: Inbound) -> None:
        """Let the caller in under the present config: the policy of one never judges whom another one let in.

        Asked again ahead of what a request has waited for, it keeps out whose credential has ended meanwhile.
        Raises `McpError`.
        """
        ended = inbound.entrant.ends is not None and inbound.entrant.ends <= time.time()
        while ended or inbound.admitted_by is not self.entrance:
            ended, entrance = False, self.entrance
            try:
                with inbound.serving.stage("gateway.authenticate"):
                    inbound.entrant = await entrance.admit(inbound.scope, inbound.headers, inbound.door)
            except NotAdmitted as exc:
                self.service.relay.observer.measures.auth_failure(http_status(exc, SESSIONLESS_STATUS))
                raise
            inbound.admitted_by = entrance  # not before it is: calls of one body ask side by side

    def seen(self, scope: Scope) -> Scope:
        """The request as its client made it, where trusted proxies tell."""
        return scope if self._proxies is None else self._proxies.seen_through(scope)

    def knows_host(self, scope: Scope) -> bool:
        """Whether the Host of a request is ours, as it came and as its client sent it."""
        return all(self._guard.allows_host(header_map(one["headers"]).get("host")) for one in (scope, self.seen(scope)))

    def _check_host(self, headers: Mapping[str, str]) -> None:
        if not self._guard.allows_host(headers.get("host")):
            raise McpError(INVALID_REQUEST, UNKNOWN_HOST, status=403)

    async def post(self, inbound: Inbound) -> None:
        """Serve the message of a POST in its era."""
        message = parsed(await self.body(inbound))
        inbound.serving.passed("gateway.receive")
        if isinstance(message, list):
            if self.service.draining:
                raise Refused("The gateway is about to stop")
            await http_eras.batch(inbound, message)
            return
        check_message(message)
        inbound.reply_id = message.get("id") if "method" in message else None
        if self.service.draining and "method" in message and "id" in message:
            raise Refused("The gateway is about to stop")  # answers and cancellations still matter to running calls
        if is_modern(message, inbound.headers):
            await http_eras.modern(inbound, message)
        elif SESSION_HEADER in inbound.headers:
            await http_eras.legacy(inbound, message)
        elif message.get("method") == "initialize":
            await http_eras.initialize(inbound, message)
        else:
            await http_eras.sessionless(inbound, message)

    async def body(self, inbound: Inbound) -> bytes:
        """The body of a POST, within its limit. Raises `McpError`."""
        here = self._bodies.here(inbound)
        if here is not None:
            return here
        read = await self._bodies.read(inbound)
        await self.admit(inbound)  # a reload may have come before the body
        return read

    async def get(self, inbound: Inbound) -> None:
        """The stream of a legacy session; for everybody else there is none."""
        if self._discovery_on_get and SESSION_HEADER not in inbound.headers:
            listing: Message = {"jsonrpc": "2.0", "id": None, "method": "tools/list"}
            await http_eras.sessionless(inbound, listing)
            return
        version = inbound.headers.get(VERSION_HEADER, LEGACY_VERSIONS[0])
        if version not in LEGACY_VERSIONS or SESSION_HEADER not in inbound.headers:
            await inbound.not_allowed("POST")
            return
        if not accepts(inbound.headers, "text/event-stream"):
            raise McpError(INVALID_REQUEST, "Accept must allow text/event-stream", status=406)
        await http_eras.session_stream(inbound)

    async def delete(self, inbound: Inbound) -> None:
        """End a legacy session."""
        version = inbound.headers.get(VERSION_HEADER, LEGACY_VERSIONS[0])
        if version not in LEGACY_VERSIONS:
            await inbound.not_allowed("POST")
            return
        if SESSION_HEADER not in inbound.headers:
            raise McpError(INVALID_REQUEST, "Mcp-Session-Id is missing", status=400)
        await http_eras.end_session(inbound)


VERBS: Final[dict[str, Callable[[HttpDoors, Inbound], Awaitable[None]]]] = {
    "POST": HttpDoors.post,
    "GET": HttpDoors.get,
    "DELETE": HttpDoors.delete,
}


def _refuse_repeated(inbound: Inbound) -> None:
    for name in SINGLE:
        if repeats(inbound.raw_headers, name):
            raise McpError(INVALID_REQUEST, f"The {name.decode()} header comes more than once", status=400)


def raw_path(scope: Scope) -> str:
    """The path as it was sent: a decoded one could name another route than the client, or a proxy, meant."""
    raw = scope.get("raw_path")
    return raw.decode("latin-1") if isinstance(raw, bytes) else str(scope["path"])
