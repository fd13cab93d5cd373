"""What every era makes of a message: one self-contained request. Knows no transport, no session and no version."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.arrivals import Arrivals
from gateway.auth import for_ever
from gateway.errors import INVALID_PARAMS, InvalidArguments, McpError
from gateway.narrowing import Filter
from gateway.once import Once
from gateway.telemetry.observer import UNSEEN, Use
from policies.model import Caller
from upstreams.channel import NO_CHANNEL, ClientChannel, NoChannel

__all__ = ["NO_CHANNEL", "ClientChannel", "Dialect", "NoChannel", "Request"]

Tool = dict[str, Any]


def raise_it(error: InvalidArguments) -> dict[str, Any]:
    """Arguments that do not fit are a JSON-RPC error."""
    raise error


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one way of speaking MCP writes what the relay means.

    ``shape_tool`` makes an entry of tools/list fit, ``page_bytes`` bounds a page of a list (None: one page),
    ``bad_arguments`` returns the result for arguments that do not fit the schema, or raises.
    """

    name: str
    shape_tool: Callable[[Tool], Tool]
    page_bytes: int | None
    bad_arguments: Callable[[InvalidArguments], dict[str, Any]] = raise_it


@dataclass(frozen=True, slots=True)
class Entrant:
    """Who came in: what rules may know, what narrows it, and when its credential ends (since 1970)."""

    caller: Caller
    filters: tuple[Filter, ...] = ()
    ends: float | None = None
    lasts: Callable[[float], bool] = field(default=for_ever, compare=False)
    """Whether it would come in just the same at another time, under the same config."""


@dataclass(slots=True)
class Request:
    """One request of one caller at one door."""

    method: str
    params: dict[str, Any]
    caller: Caller
    door: str
    dialect: Dialect
    channel: ClientChannel = NO_CHANNEL
    headers: Mapping[str, str] | None = None
    """Where its era repeats arguments in headers: those that came with it, names in lower case."""
    filters: tuple[Filter, ...] = ()
    """What the caller's keys and its own headers narrow it to: every one must let a target through."""
    use: Use = UNSEEN
    """What is noted of it on its way."""
    arriving: Arrivals | None = None
    """Where it is counted until it reaches its upstream."""
    once: Once | None = None
    """Its idempotency key."""

    def arrives_in(self, arrivals: Arrivals) -> None:
        """It is on its way under this config, and no longer under another."""
        if self.arriving is not None:
            self.arriving.leave()
        self.arriving = arrivals
        arrivals.enter()

    def arrived(self) -> None:
        """It is on its way no longer."""
        if self.arriving is not None:
            self.arriving.leave()
            self.arriving = None


PAGE_BYTES: Final = 900_000  # SDK clients drop events over 1 MiB; the rest of the message needs room too


def text_param(params: Mapping[str, Any], key: str) -> str:
    """A parameter that must be text. Raises `McpError`."""
    value = params.get(key)
    if not isinstance(value, str):
        raise McpError(INVALID_PARAMS, f"Invalid params: missing required field '{key}'")
    return value
