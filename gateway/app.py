"""The composition root: the only file that names concrete classes. Builds one gateway from a config and runs it."""

import asyncio
import functools
import logging
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import anyio
from anyio.abc import TaskGroup

from gateway import __version__
from gateway.access import Access
from gateway.changes import Changes
from gateway.config import Config
from gateway.doors import CatalogBuilder
from gateway.relay import Relay
from gateway.request import Entrant
from gateway.service import Service
from policies.limits import RateLimits
from policies.model import Caller
from upstreams.supervisor import Supervisor
from upstreams.upstream import Upstream

if TYPE_CHECKING:
    from gateway.auth import Authenticator

log = logging.getLogger("onegate.mcp")

STOP_SECONDS: Final = 10.0  # over the stop ladder of a process, which ends with the process gone
STDIO_STOP_SECONDS: Final = 0.7  # a desktop client that quits waits no longer
REAP_SECONDS: Final = 2.0  # what is killed is gone in milliseconds


class Gateway:
    """The upstreams, the catalog over them, and the service that the transports share."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.upstreams = {name: Upstream(entry, self._changed) for name, entry in config.servers.items()}
        own_info = {"name": "onegate", "version": __version__}
        self._supervisors = [
            Supervisor(upstream, own_info, config.server.max_message) for upstream in self.upstreams.values()
        ]
        self._builder = CatalogBuilder(config)
        self._group: TaskGroup | None = None
        self._empty = self._builder.empty()
        access = Access(config.policy, config.route_policies, RateLimits(config.rate_limits))
        self.relay = Relay(self._empty, self.upstreams, access)
        self.authenticator = _authenticator(config)
        info = {"name": config.name, "version": __version__}
        self.service = Service(self.relay, Changes(), info, self._spawn)

    @asynccontextmanager
    async def running(self, stop_seconds: float = STOP_SECONDS) -> AsyncIterator[Service]:
        """Start every upstream side by side; at the end stop them side by side, and kill what takes too long."""
        async with anyio.create_task_group() as group:
            self._group = group
            self.relay.begin()
            for supervisor in self._supervisors:
                group.start_soon(supervisor.run)
            if self.authenticator is not None:
                group.start_soon(self.authenticator.run)
            try:
                yield self.service
            finally:
                for supervisor in self._supervisors:
                    supervisor.stop()
                if not await self._stopped_within(stop_seconds):
                    for supervisor in self._supervisors:
                        supervisor.kill()
                    await self._stopped_within(REAP_SECONDS)
                group.cancel_scope.cancel()

    def ready(self) -> bool:
        """Whether requests are taken and every required upstream is up."""
        required = (one for one in self.upstreams.values() if one.entry.required)
        if self.authenticator is not None and not self.authenticator.ready:
            return False
        return not self.service.draining and all(one.state == "ready" for one in required)

    async def _stopped_within(self, seconds: float) -> bool:
        with anyio.move_on_after(seconds, shield=True):
            for supervisor in self._supervisors:
                await supervisor.stopped.wait()
            return True
        return False

    def _changed(self, upstream: Upstream) -> None:
        """A listing is new: swap in a catalog made from it, and tell whoever sees another list now."""
        before = self.relay.catalog
        listings = {name: one.listing for name, one in self.upstreams.items() if one.known}
        # While servers make their first connections the config's order settles names; later an owner keeps its.
        owners = self._empty if self.relay.starting else before
        after = self._builder.build(listings, upstream.name, before, owners)
        self.relay.swap(after)
        self._spawn(self.service.changes.announce, before, after, self.relay.access)

    def _spawn(self, work: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        if self._group is not None and not self._group.cancel_scope.cancel_called:
            self._group.start_soon(functools.partial(_guarded, work, *args))


async def serve(config: Config, host: str, port: int, ready: Callable[[str], None]) -> int:
    """Serve over HTTP until a signal ends it; ``ready`` is called once, with the URL.

    Raises OSError when the port is taken.
    """
    from gateway.transports.server import HttpServer

    gateway = Gateway(config)
    server = HttpServer(gateway, host, port)
    url = server.bind()
    async with gateway.running():
        await server.run(functools.partial(ready, url))
    return 0


async def serve_stdio(config: Config) -> int:
    """Serve one client on stdin and stdout until stdin closes or a signal ends it."""
    from gateway.transports.signals import until_signal
    from gateway.transports.stdio import StdioDoor

    gateway = Gateway(config)
    async with gateway.running(STDIO_STOP_SECONDS) as service:
        path = main_door(gateway)
        entrant = Entrant(Caller(config.local, path=path))
        door = StdioDoor(service, path, entrant, config.server.max_message)
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


def _authenticator(config: Config) -> "Authenticator | None":
    if config.auth is None:
        return None
    from gateway.auth import Authenticator

    return Authenticator(config.auth, config.source, config.server.public_url)


async def _guarded(work: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
    """One background task that fails must not take the gateway with it."""
    try:
        await work(*args)
    except Exception:
        log.exception("a background task failed")
