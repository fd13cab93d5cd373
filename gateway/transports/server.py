"""The HTTP listener: uvicorn with limits, the doors beside a few plain routes, and an orderly end."""

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final

import uvicorn
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
from gateway.transports.limits import LimitedProtocol
from gateway.transports.signals import on_stop
from gateway.transports.tool_api import PATHS as TOOL_API_PATHS
from gateway.transports.tool_api import ToolApi

if TYPE_CHECKING:
    from gateway.app import Gateway

log = logging.getLogger("onegate.http")

BACKLOG: Final = 2_048
SWEEP_SECONDS: Final = 60.0  # how late an idle session may end
NOT_HEEDED: Final = nullcontext()
CLOSE_SECONDS: Final = 4  # within the 5 s that an exit may take once calls have ended


class HttpServer:
    """One listener for one gateway."""

    def __init__(self, gateway: "Gateway", host: str, port: int) -> None:
        self._gateway = gateway
        self._host, self._port = host, port
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
        self._socket: socket.socket | None = None

    def bind(self) -> str:
        """Take the port; returns the URL of the main door. Raises OSError."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        # With its protocol named, asyncio switches Nagle off: an answer is two writes, and the second would wait 40 ms.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._host, self._port))
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
        listener.setblocking(False)
        self._socket = listener
        config = self._gateway.config.server
        path = config.path or next(iter(self._gateway.relay.catalog.doors), "")
        if config.public_url:
            return config.public_url.rstrip("/") + path
        host = "127.0.0.1" if self._host in ("0.0.0.0", "") else self._host  # noqa: S104  a URL that can be opened
        return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}{path}"

    async def run(self, ready: Callable[[], None], hangup: AbstractContextManager[None] = NOT_HEEDED) -> None:
        """Serve until a stop signal, then drain: calls end, streams close, the listener goes.

        ``hangup`` is what gives SIGHUP its meaning; without it the signal stops.
        """
        assert self._socket is not None
        server = _Uvicorn(
            uvicorn.Config(
                self,
                loop="none",
                http=LimitedProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,  # it would trust what the environment names, and change what we judge
                timeout_graceful_shutdown=CLOSE_SECONDS,
                timeout_keep_alive=75,
            )
        )
        stop = asyncio.Event()
        with on_stop(stop.set), hangup:
            async with asyncio.TaskGroup() as group:
                serving = group.create_task(server.serve(sockets=[self._socket]))
                sweeping = group.create_task(self._sweep())
                await server.listening.wait()
                ready()
                await stop.wait()
                await self._drain()
                server.should_exit = True
                await serving
                sweeping.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Route one connection event: doors to the raw entry, the rest to Starlette."""
        if scope["type"] != "http":
            return
        path, executes = raw_path(scope), self._gateway.config.tool_api.enabled
        if path in PLAIN_PATHS or path.startswith(WELL_KNOWN) or (path == OPENAPI and executes):
            await self._plain(scope, receive, send)
        elif path in TOOL_API_PATHS and executes:
            await self._tool_api(scope, receive, send)
        else:
            await self._doors(scope, receive, send)

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


class _Uvicorn(uvicorn.Server):
    """uvicorn without its signal handlers, and with a word when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    def capture_signals(self) -> Any:
        return nullcontext()
