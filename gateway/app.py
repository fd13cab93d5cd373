"""The composition root: the only file that names concrete classes. Builds one gateway from a config and runs it."""

import functools
import logging
from collections.abc import AsyncIterator, Callable, Container, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import anyio
from anyio.abc import TaskGroup

from gateway import __version__
from gateway.access import Access
from gateway.app_gauges import gauges
from gateway.arrivals import Arrivals
from gateway.changes import Changes
from gateway.config import Config
from gateway.doors import CatalogBuilder
from gateway.readiness import obstacles
from gateway.relay import Relay
from gateway.reload import unchanged
from gateway.service import Service
from gateway.telemetry.assembly import Telemetry
from policies.limits import RateLimits
from upstreams.config import ServerEntry
from upstreams.supervisor import Supervisor
from upstreams.upstream import Upstream

if TYPE_CHECKING:
    from gateway.auth import Authenticator

log = logging.getLogger("onegate.mcp")

STOP_SECONDS: Final = 10.0  # over the stop ladder of a process, which ends with the process gone
TELL_SECONDS: Final = 2.0  # for the last spans and audit lines
RELOAD_SECONDS: Final = 3.0  # a server whose entry changed is mostly back by then; lists wait no longer for it
REAP_SECONDS: Final = 2.0  # what is killed is gone in milliseconds


class Gateway:
    """The upstreams, the catalog over them, and the service that the transports share."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.telemetry = Telemetry(config)
        self.upstreams = {name: self._new_upstream(entry) for name, entry in config.servers.items()}
        self._supervisors = {name: _supervisor(one, config) for name, one in self.upstreams.items()}
        self._leaving: set[Supervisor] = set()
        self._formers: list[Arrivals] = []
        self._builder = CatalogBuilder(config)
        self._group: TaskGroup | None = None
        self._empty = self._builder.empty()
        self._first = True
        self.authenticator = _authenticator(config)
        self._authenticating = anyio.CancelScope()
        access = _access(config, RateLimits(config.rate_limits))
        relay = Relay(self._empty, self.upstreams, access, observer=self.telemetry.observer)
        self.service = Service(relay, Changes(), _info(config), self._spawn)
        self.renewed: list[Callable[[], None]] = []
        """Called in the same step in which another config is taken."""

    @property
    def relay(self) -> Relay:
        """What answers requests under the present config."""
        return self.service.relay

    @asynccontextmanager
    async def running(self, stop_seconds: float = STOP_SECONDS) -> AsyncIterator[Service]:
        """Start every upstream side by side; at the end stop them side by side, and kill what takes too long."""
        tell = self.telemetry.running(functools.partial(gauges, self), min(stop_seconds / 2, TELL_SECONDS))
        async with tell, anyio.create_task_group() as group:
            self._group = group
            self.relay.begin()
            for supervisor in self._supervisors.values():
                group.start_soon(supervisor.run)
            self._authenticate()
            try:
                yield self.service
            finally:
                await self._stop(stop_seconds)
                group.cancel_scope.cancel()

    def reload(self, config: Config) -> None:
        """Serve another config from the next request on; what is under way ends under the one it began with.

        All of it is taken in one step. Raises ConfigError, with nothing changed, for a file that cannot be used.
        """
        authenticator, old, former = _authenticator(config), self.config, self.relay
        self.telemetry.prepare(config)
        if authenticator is not None and self.authenticator is not None:
            authenticator.inherit(self.authenticator)
        same = unchanged(old, config)
        upstreams = {name: self._upstream(entry, same) for name, entry in config.servers.items()}
        builder = CatalogBuilder(config, self._builder)
        known = {name: one.listing for name, one in upstreams.items() if one.known}
        limits = former.access.limits if config.rate_limits == old.rate_limits else RateLimits(config.rate_limits)
        catalog = builder.rebuild(known, former.catalog)
        relay = Relay(catalog, upstreams, _access(config, limits), RELOAD_SECONDS, self.telemetry.observer)
        relay.succeed(former)
        self.config, self.upstreams, self.authenticator = config, upstreams, authenticator
        self._builder, self._first = builder, False
        self.telemetry.renew(config)
        self.service.relay, self.service.info = relay, _info(config)
        former.retire(relay if config.auth == old.auth else None)
        self._formers = [*(one for one in self._formers if one.busy), former.arrivals]
        self._supervise(same)
        self._authenticate()
        for renew in self.renewed:
            renew()
        fresh_start = config.auth != old.auth  # who may listen is asked again
        self.service.changes.part(lambda one: fresh_start or one.door not in catalog.doors)
        self._spawn(self.service.changes.announce_reload, former.catalog, former.access, relay.catalog, relay.access)

    def ready(self) -> bool:
        """Whether requests are taken and every required upstream is up."""
        return not self.obstacles()

    def obstacles(self) -> list[str]:
        """What keeps it from being ready, for operators."""
        has_keys = self.authenticator is None or self.authenticator.ready
        return obstacles(self.service.draining, has_keys, self.upstreams.values())

    async def _stop(self, seconds: float) -> None:
        supervisors = self._all()
        for supervisor in supervisors:
            supervisor.stop()
        if not await self._stopped_within(seconds):
            for supervisor in supervisors:
                supervisor.kill()
            await self._stopped_within(REAP_SECONDS)

    async def _stopped_within(self, seconds: float) -> bool:
        with anyio.move_on_after(seconds, shield=True):
            for supervisor in self._all():
                await supervisor.stopped.wait()
            return True
        return False

    def _changed(self, upstream: Upstream) -> None:
        """A listing is new: swap in a catalog made from it, and tell whoever sees another list now."""
        if self.upstreams.get(upstream.name) is not upstream:
            return  # a reload has replaced it, and it only ends its calls
        before = self.relay.catalog
        listings = {name: one.listing for name, one in self.upstreams.items() if one.known}
        # While servers make their first connections the config's order settles names; later an owner keeps its.
        owners = self._empty if self._first and self.relay.starting else before
        after = self._builder.build(listings, upstream.name, before, owners)
        self.relay.swap(after)
        self._spawn(self.service.changes.announce, before, after, self.relay.access)

    def _upstream(self, entry: ServerEntry, same: Container[str]) -> Upstream:
        former = self.upstreams.get(entry.name)
        if former is not None and entry.name in same:
            return former
        upstream = self._new_upstream(entry)
        if former is not None:
            upstream.inherit(former)
        return upstream

    def _new_upstream(self, entry: ServerEntry) -> Upstream:
        return Upstream(entry, self._changed, self.telemetry.redactor)

    def _supervise(self, same: Container[str]) -> None:
        """Retire the supervisors of what was removed or changed, start those of what is new."""
        for name in [name for name in self._supervisors if name not in same]:
            leaving = self._supervisors.pop(name)
            self._leaving.add(leaving)
            self._spawn(self._retire, leaving)
        for name, upstream in self.upstreams.items():
            if name not in self._supervisors:
                self._supervisors[name] = _supervisor(upstream, self.config)
                self._spawn(self._supervisors[name].run)
            self._supervisors[name].max_message = self.config.server.max_message

    async def _retire(self, supervisor: Supervisor) -> None:
        await supervisor.retire(self.config.server.drain, self._arrived)
        await supervisor.stopped.wait()
        self._leaving.discard(supervisor)

    async def _arrived(self) -> None:
        """Wait until every request that was taken under a config before this one is with its upstream."""
        for arrivals in list(self._formers):
            await arrivals.over()

    def _all(self) -> list[Supervisor]:
        return [*self._supervisors.values(), *self._leaving]

    def _authenticate(self) -> None:
        """Let the present authenticator keep its keys fresh, and no other."""
        self._authenticating.cancel()
        self._authenticating = anyio.CancelScope()
        if self.authenticator is not None:
            self._spawn(_within, self._authenticating, self.authenticator.run)

    def _spawn(self, work: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        if self._group is not None and not self._group.cancel_scope.cancel_called:
            self._group.start_soon(functools.partial(_guarded, work, *args))


def _info(config: Config) -> dict[str, Any]:
    return {"name": config.name, "version": __version__}


def _access(config: Config, limits: RateLimits) -> Access:
    return Access(config.policy, config.route_policies, limits)


def _supervisor(upstream: Upstream, config: Config) -> Supervisor:
    return Supervisor(upstream, {"name": "onegate", "version": __version__}, config.server.max_message)


def _authenticator(config: Config) -> "Authenticator | None":
    if config.auth is None:
        return None
    from gateway.auth import Authenticator

    return Authenticator(config.auth, config.source, config.server.public_url)


async def _within(scope: anyio.CancelScope, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with scope:
        await work()


async def _guarded(work: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
    """One background task that fails must not take the gateway with it."""
    try:
        await work(*args)
    except Exception:
        log.exception("a background task failed")
