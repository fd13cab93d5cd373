"""The HTTP listener of the doors: they and a few plain routes beside them, and an orderly end."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.openapi import PATH as OPENAPI
from gateway.openapi import document
from gateway.protected_resource import WELL_KNOWN
from gateway.transports.entrance import Entrance
from gateway.transports.exchange import Receive, Scope, Send
from gateway.transports.guard import header_map
from gateway.transports.http import UNKNOWN_HOST, HttpDoors, raw_path
from gateway.transports.listener import Listener
from gateway.transports.signals import on_stop
from gateway.transports.tool_api import PATHS as TOOL_API_PATHS
from gateway.transports.tool_api import ToolApi
from gateway.transports.turn import TURN

if TYPE_CHECKING:
    from gateway.app import Gateway

log = logging.getLogger("onegate.http")

SWEEP_SECONDS: Final = 60.0  # how late an idle session may end
NOT_HEEDED: Final = nullcontext()
CLOSE_SECONDS: Final = 4  # within the 5 s that an exit may take once calls have ended


class HttpServer:
    """One listener for one gateway."""

    def __init__(self, gateway: "Gateway", host: str, port: int) -> None:
        self._gateway = gateway
        self._doors = HttpDoors(gateway.service, gateway.config, host, self._entrance())
        self._tool_api = ToolApi(self._doors, gateway.service)
        gateway.renewed.append(self._renew)
        self._plain = Starlette(
            routes=[
                Route("/healthz", self._healthz),
                Route("/readyz", self._readyz),
                Route(OPENAPI, self._openapi),
                Route(WELL_KNOWN + "{door:path}", self._metadata),
            ],
        )
        self._listener = Listener(self, host, port, CLOSE_SECONDS)
        self._root = ""

    def bind(self) -> str:
        """Take the port; returns the URL of the main door. Raises OSError."""
        self._root = root = self._listener.bind()
        config = self._gateway.config.server
        path = config.path or next(iter(self._gateway.relay.catalog.doors), "")
        return (config.public_url.rstrip("/") if config.public_url else root) + path

    async def run(self, ready: Callable[[], None], hangup: AbstractContextManager[None] = NOT_HEEDED) -> None:
        """Serve until a stop signal, then drain: calls end, streams close, the listener goes.

        ``hangup`` is what gives SIGHUP its meaning; without it the signal stops.
        """
        stop = asyncio.Event()
        with on_stop(stop.set), hangup:
            async with asyncio.TaskGroup() as group, self._listener.serving():
                sweeping = group.create_task(self._sweep())
                log.info("listening on %s", self._root)
                ready()
                await stop.wait()
                await self._drain()
                sweeping.cancel()
        log.info("stopped")

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Route one connection event: doors to the raw entry, the rest to Starlette."""
        if scope["type"] != "http":
            return _nothing()
        path, executes = raw_path(scope), self._gateway.config.tool_api.enabled
        if path in PLAIN_PATHS or path.startswith(WELL_KNOWN) or (path == OPENAPI and executes):
            scope.pop(TURN, None)
            return self._plain(scope, receive, send)
        if path in TOOL_API_PATHS and executes:
            return self._tool_api(scope, receive, send)
        return self._doors(scope, receive, send)

    def _entrance(self) -> Entrance:
        gateway = self._gateway
        return Entrance(gateway.config, gateway.authenticator, gateway.relay.access)

    def _renew(self) -> None:
        self._doors.renew(self._gateway.config, self._entrance())

    async def _drain(self) -> None:
        service, seconds = self._gateway.service, self._gateway.config.server.drain
        service.draining = True
        log.info("stopping: waiting up to %g s for %d calls", seconds, service.in_flight)
        try:
            async with asyncio.timeout(seconds):
                await service.no_calls()
        except TimeoutError:
            log.warning("%d calls did not end in time", service.in_flight)
        service.close_streams()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self._doors.sessions.sweep()

    async def _metadata(self, request: Request) -> Response:
        """Where a client logs in for a door (RFC 9728); told to anybody, as it is needed before logging in."""
        path, seen = raw_path(request.scope), self._doors.seen(request.scope)
        doors, host = self._gateway.relay.catalog.doors, header_map(seen["headers"]).get("host")
        document = self._doors.entrance.metadata(path, doors, host, seen["scheme"])
        return Response(status_code=404) if document is None else JSONResponse(document)

    async def _openapi(self, request: Request) -> Response:
        """What the tool API takes and answers; told to anybody, as it says nothing of what is behind it."""
        if not self._doors.knows_host(request.scope):
            return JSONResponse({"error": {"type": "invalid_request_error", "message": UNKNOWN_HOST}}, 403)
        config = self._gateway.config
        mode = "none" if config.auth is None else config.auth.mode
        return JSONResponse(document(config.server.public_url, mode))

    async def _healthz(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _readyz(self, request: Request) -> Response:
        ready = self._gateway.ready()
        return JSONResponse({"status": "ready" if ready else "not ready"}, 200 if ready else 503)


PLAIN_PATHS: Final = frozenset({"/healthz", "/readyz"})


async def _nothing() -> None:
    return None
