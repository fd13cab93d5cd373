"""One listening socket with uvicorn and our limits behind it; it knows no routes and no signals."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any, Final

import uvicorn

from gateway.config_telemetry import reachable
from gateway.transports.limits import LimitedProtocol

BACKLOG: Final = 2_048


class Listener:
    """Serves an ASGI application on one address; ``close_seconds`` bounds how long its answers under way may take."""

    def __init__(self, app: Any, host: str, port: int, close_seconds: int) -> None:
        self._app = app
        self._host, self._port = host, port
        self._close_seconds = close_seconds
        self._socket: socket.socket | None = None

    def bind(self) -> str:
        """Take the port; returns the URL of its root, one that can be opened. Raises OSError."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        # With its protocol named, asyncio switches Nagle off: a stream is many writes, and the next would wait 40 ms.
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
        return f"http://{reachable(self._host, listener.getsockname()[1])}"

    def close(self) -> None:
        """Give the port back where it was never served on."""
        if self._socket is not None:
            self._socket.close()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve within the block; then take no more connections and let the answers under way end."""
        assert self._socket is not None
        server = _Uvicorn(
            uvicorn.Config(
                self._app,
                interface="asgi3",
                loop="none",
                http=LimitedProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=self._close_seconds,
                timeout_keep_alive=75,
            )
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(server.serve(sockets=[self._socket]))
            await server.listening.wait()
            yield
            server.should_exit = True


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
