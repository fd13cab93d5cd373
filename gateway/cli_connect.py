"""Starts the servers of a config for one command, waits for them, and says how each fared; prints no result."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

import anyio

from gateway.cli_config import may_audit
from gateway.cli_output import note, waiting
from gateway.config import Config
from upstreams.listing import Listing
from upstreams.states import State

if TYPE_CHECKING:
    from gateway.app import Gateway
    from gateway.service import Service
    from upstreams.upstream import Upstream

START_SECONDS: Final = 60.0  # the first start of an npx or uvx server downloads it; nobody waits longer unasked
STDERR_LINES: Final = 10

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a server's start went: ``error`` and its last words on stderr are of the attempt that failed."""

    name: str
    state: str
    versions: tuple[str, ...]
    listing: Listing
    seconds: float | None
    error: str | None = None
    stderr: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether it takes no calls now."""
        return self.state != State.READY


def with_gateway(config: Config, use: "Callable[[Gateway, Service], Awaitable[T]]") -> T:
    """Run the gateway for as long as ``use`` takes; what ``use`` raises comes out, perhaps in an exception group."""
    from gateway.app import Gateway
    from gateway.app_serving import run

    may_audit(config)

    async def main() -> T:
        gateway = Gateway(replace(config, auth=None))  # nobody else is let in: no keys are fetched
        async with gateway.running() as service:
            return await use(gateway, service)

    result: T = run(main())
    return result


async def started(gateway: "Gateway", enough: Callable[[], bool] = lambda: False) -> list[Outcome]:
    """Wait, at most a minute, until every server is up or has failed, or until ``enough`` says so."""
    upstreams = list(gateway.upstreams.values())
    outcomes: dict[str, Outcome] = {}
    news = asyncio.Event()
    begun = time.monotonic()

    async def watch(one: "Upstream") -> None:
        await one.settled.wait()
        outcomes[one.name] = _outcome(one, time.monotonic() - begun)
        news.set()

    with waiting("starting the servers") as say:
        async with anyio.create_task_group() as group:
            for one in upstreams:
                group.start_soon(watch, one)
            with anyio.move_on_after(START_SECONDS):
                while len(outcomes) < len(upstreams) and not enough():
                    missing = [one.name for one in upstreams if one.name not in outcomes]
                    say(f"starting {', '.join(missing)}")
                    news.clear()
                    await news.wait()
            group.cancel_scope.cancel()
    return [outcomes.get(one.name) or _outcome(one, None) for one in upstreams]


def tell_failures(config: Config, outcomes: list[Outcome]) -> None:
    """Say on stderr which servers are missing and why."""
    for name, problem in config.disabled.items():
        note(f"onegate: {name} is disabled: {problem}")
    for one in outcomes:
        if one.failed:
            note(f"onegate: {one.name} did not start: {one.error}")


def _outcome(one: "Upstream", seconds: float | None) -> Outcome:
    ready = one.state is State.READY
    return Outcome(
        one.name,
        one.state.value,
        tuple(f"{peer.version} ({era})" for era, peer in one.peers.items()),
        one.listing,
        seconds if ready else None,
        None if ready else one.last_error or f"not ready after {START_SECONDS:g} s",
        () if ready else tuple(one.stderr()[-STDERR_LINES:]),
    )
