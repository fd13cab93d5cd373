"""The routes of the admin listener: metrics, status, health. It reads the gateway, and no request changes anything."""

import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

import anyio
from starlette.responses import Response

from gateway.admin_gate import Gate, Refusal
from gateway.auth_claims import identity_of
from gateway.status import Source, snapshot
from gateway.status_page import Sight, page, tool_shown
from gateway.transports.exchange import Receive, Scope, Send
from gateway.transports.guard import header_map
from gateway.transports.turn import TURN
from gateway.views import visible_tools

log = logging.getLogger("onegate.http")

Metrics = Callable[[str | None], tuple[bytes, str]]
"""Takes the Accept header, returns body and content type. Called on a thread: it must copy what it iterates over."""

HEADERS: Final = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
}
ASSETS: Final = Path(__file__).with_name("assets")
HEALTH: Final = "/healthz"
METHODS: Final = ("GET", "HEAD")
MAX_FIELDS: Final = 8  # of a query; the page's own has one
SHOWN_TOOLS: Final = 300


class Admin:
    """The ASGI application."""

    def __init__(self, source: Source, gate: Gate, metrics: Metrics) -> None:
        self._source = source
        self._gate = gate
        self._metrics = metrics
        self._one = anyio.CapacityLimiter(1)  # who reads often takes turns with nobody but other readers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; whatever goes wrong is answered here."""
        if scope["type"] != "http":
            return
        scope.pop(TURN, None)
        try:
            answer = await self._answer(scope)
        except Exception:
            log.exception("a request of the admin listener failed")
            answer = _text(500, "It failed; the log says why")
        await answer(scope, receive, send)

    async def _answer(self, scope: Scope) -> Response:
        path, headers = scope["path"], scope["headers"]
        if path != HEALTH:
            refusal = self._gate.misdirected(headers) or self._gate.unauthorized(headers)
            if refusal is not None:
                # Whoever tries tokens is seen in the metrics, and by whoever has the right one.
                self._source.gateway.telemetry.observer.measures.auth_failure(refusal.status)
                return _refused(refusal)
        route = ROUTES.get(path)
        if route is None:
            return _text(404, "Nothing here; see /status")
        if scope["method"] not in METHODS:
            return _text(405, "Only GET and HEAD", {"allow": ", ".join(METHODS)})
        return await route(self, scope)

    async def health(self, scope: Scope) -> Response:
        """Alive; needs no token and says nothing else."""
        return _json({"status": "ok"})

    async def front(self, scope: Scope) -> Response:
        """Lead to the page."""
        return _text(307, "See /status", {"location": "/status"})

    async def metrics(self, scope: Scope) -> Response:
        """What Prometheus scrapes."""
        accept = header_map(scope["headers"]).get("accept")
        body, kind = await anyio.to_thread.run_sync(self._metrics, accept, limiter=self._one)
        return _answer(200, body, kind)

    async def document(self, scope: Scope) -> Response:
        """The snapshot itself."""
        return _json(snapshot(self._source, time.time()))

    async def status(self, scope: Scope) -> Response:
        """The page; ``?as=CLAIMS`` shows the tools that a token with these claims would see."""
        try:
            fields = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=MAX_FIELDS)
        except ValueError as exc:
            return _text(400, f"Bad query: {exc}")
        sight = await self._sight(fields.get("as", [""])[-1].strip())
        document = snapshot(self._source, time.time())
        body = await anyio.to_thread.run_sync(page, document, sight, limiter=self._one)
        return _answer(400 if sight.wrong else 200, body.encode("utf-8", "replace"), "text/html; charset=utf-8")

    async def style(self, scope: Scope) -> Response:
        """The page's style sheet."""
        return _answer(200, _asset("status.css"), "text/css; charset=utf-8")

    async def script(self, scope: Scope) -> Response:
        """What keeps the page fresh."""
        return _answer(200, _asset("status.js"), "text/javascript; charset=utf-8")

    async def _sight(self, claims: str) -> Sight:
        gateway = self._source.gateway
        try:
            who = identity_of(claims) if claims else None
        except ValueError as exc:
            return Sight(claims, wrong=str(exc))
        routes = await visible_tools(gateway.config, gateway.service, who)
        return Sight(claims, [tool_shown(one.server, one.shown) for one in routes[:SHOWN_TOOLS]], len(routes))


ROUTES: Final[Mapping[str, Callable[[Admin, Scope], Awaitable[Response]]]] = {
    HEALTH: Admin.health,
    "/": Admin.front,
    "/metrics": Admin.metrics,
    "/status": Admin.status,
    "/status.json": Admin.document,
    "/status.css": Admin.style,
    "/status.js": Admin.script,
}


@cache
def _asset(name: str) -> bytes:
    return (ASSETS / name).read_bytes()


def _refused(refusal: Refusal) -> Response:
    challenge = {} if refusal.challenge is None else {"www-authenticate": refusal.challenge}
    return _text(refusal.status, refusal.text, challenge)


def _json(value: Any) -> Response:
    return _answer(200, json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace"), "application/json")


def _text(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    return _answer(status, f"{text}\n".encode(), "text/plain; charset=utf-8", headers)


def _answer(status: int, body: bytes, kind: str, headers: Mapping[str, str] | None = None) -> Response:
    return Response(body, status, {**HEADERS, **(headers or {}), "content-type": kind})
