"""A gateway on its transports, from the first signal of life to the last: over HTTP, or on a pair of pipes."""

import asyncio
import functools
import gc
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio

from gateway import logs
from gateway.app import Gateway
from gateway.app_gauges import gauges
from gateway.config import Config
from gateway.reload import Reader, signature, watch
from gateway.request import Entrant
from policies.model import Caller

if TYPE_CHECKING:
    from gateway.reload import Reading
    from gateway.transports.admin_server import AdminServer

STDIO_STOP_SECONDS: Final = 0.7  # a desktop client that quits waits no longer


async def serve(config: Config, host: str, port: int, ready: Callable[[str], None]) -> int:
    """Serve over HTTP until a signal ends it; ``ready`` is called once, with the URL.

    Raises OSError when it cannot listen where it is told to.
    """
    from gateway.transports.server import NOT_HEEDED, HttpServer
    from gateway.transports.signals import on_hangup

    gateway = Gateway(config)
    server = HttpServer(gateway, host, port)
    url = server.bind()

    def take(new: Config) -> None:
        if not gateway.service.draining:
            gateway.reload(new)  # first: it may refuse
            logs.renew(new.telemetry.log)

    def hung_up() -> None:
        gateway.telemetry.reopen()
        asked.set()

    asked, reader = asyncio.Event(), Reader(lambda: gateway.config, take, host)
    admin = admin_server(gateway, lambda: reader.latest)
    admin.bind()
    hangup = on_hangup(hung_up) if signature(config.source) is not None else NOT_HEEDED
    async with gateway.running(), _watched(config.source, asked, reader), admin.serving():
        gc.freeze()  # what is loaded by now stays: the collector need not look at it again
        await server.run(functools.partial(ready, url), hangup)
    return 0


def admin_server(gateway: Gateway, reading: "Callable[[], Reading | None]") -> "AdminServer":
    """What operators look at the gateway through; ``reading`` is how its config was last read again."""
    from gateway.status import Source
    from gateway.transports.admin_server import AdminServer

    metrics = gateway.telemetry.exposition(functools.partial(gauges, gateway)).text
    return AdminServer(Source(gateway, reading, gateway.telemetry.redactor.redact), metrics)


async def serve_stdio(config: Config) -> int:
    """Serve one client on stdin and stdout until stdin closes or a signal ends it."""
    from gateway.transports.signals import until_signal
    from gateway.transports.stdio import StdioDoor

    gateway = Gateway(config)
    async with gateway.running(STDIO_STOP_SECONDS) as service:
        path = main_door(gateway)
        entrant = Entrant(Caller(config.local, path=path))
        door = StdioDoor(service, path, entrant, config.server.max_message)

        def take(new: Config) -> None:
            gateway.reload(replace(new, auth=None))
            logs.renew(new.telemetry.log)
            present = main_door(gateway)
            door.renew(present, Entrant(Caller(new.local, path=present)))

        async with _watched(config.source, asyncio.Event(), Reader(lambda: gateway.config, take)):
            await until_signal(door.serve)
    return 0


def main_door(gateway: Gateway) -> str:
    """The door that shows everything, or the first one where the config has removed it."""
    doors = gateway.relay.catalog.doors
    path = gateway.config.server.path
    return path if path is not None else next(iter(doors))


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """Run under uvloop where there is one."""
    if sys.platform == "win32":
        return asyncio.run(main)
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


@asynccontextmanager
async def _watched(path: Path, asked: asyncio.Event, reread: Reader) -> AsyncIterator[None]:
    """Read the config again within the block whenever its file changes or ``asked`` is set; the demo has no file."""
    async with anyio.create_task_group() as group:
        if signature(path) is not None:
            group.start_soon(watch, path, asked, reread)
        yield
        group.cancel_scope.cancel()
