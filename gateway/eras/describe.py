"""How the gateway presents itself to one client: capabilities and instructions, built from what its door shows."""

from typing import Any, Final

from gateway.catalog import KINDS
from gateway.relay import Relay
from gateway.request import Entrant
from upstreams.upstream import Upstream

LEGACY_CAPABILITIES: Final[dict[str, Any]] = {
    "tools": {"listChanged": True},
    "prompts": {"listChanged": True},
    "resources": {"listChanged": True, "subscribe": True},
    "completions": {},
    "logging": {},
}
"""A legacy client's view of them freezes at initialize, while servers may still start: so all of them, always."""


async def modern_capabilities(relay: Relay, door: str, entrant: Entrant) -> dict[str, Any]:
    """The union of what the servers of the caller's view have; everything while one of them was never seen."""
    if not all(relay.upstreams[name].known for name in relay.door(door).servers):
        return LEGACY_CAPABILITIES
    declared = {name for one in await _behind(relay, door, entrant) for name in one.listing.capabilities}
    return {name: value for name, value in LEGACY_CAPABILITIES.items() if name in declared}


async def instructions(relay: Relay, door: str, entrant: Entrant) -> str | None:
    """The instructions of the servers of the caller's view, each under its server's name; None when none has any."""
    texts = [(one.name, one.listing.instructions) for one in await _behind(relay, door, entrant)]
    parts = [f"## {name}\n\n{text.strip()}" for name, text in texts if text]
    return "\n\n".join(parts) or None


async def _behind(relay: Relay, door: str, entrant: Entrant) -> list[Upstream]:
    whole, view = relay.door(door), await relay.view_of(door, entrant)
    if view is whole:
        return [relay.upstreams[name] for name in whole.servers]
    # A server of which this caller sees nothing is not there for it, and says nothing either.
    seen = {route.server for kind in KINDS for route in view.routes(kind).values()}
    return [relay.upstreams[name] for name in whole.servers if name in seen]
