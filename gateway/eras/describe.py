"""How the gateway presents itself to one client: capabilities and instructions, built from what its door shows."""

from typing import Any, Final

from gateway.relay import Relay
from upstreams.upstream import Upstream

LEGACY_CAPABILITIES: Final[dict[str, Any]] = {
    "tools": {"listChanged": True},
    "prompts": {"listChanged": True},
    "resources": {"listChanged": True, "subscribe": True},
    "completions": {},
    "logging": {},
}
"""A legacy client's view of them freezes at initialize, while servers may still start: so all of them, always."""


def modern_capabilities(relay: Relay, door: str) -> dict[str, Any]:
    """The union of what the door's servers have; everything while one of them was never seen."""
    upstreams = _behind(relay, door)
    if not all(one.known for one in upstreams):
        return LEGACY_CAPABILITIES
    declared = {name for one in upstreams for name in one.listing.capabilities}
    return {name: value for name, value in LEGACY_CAPABILITIES.items() if name in declared}


def instructions(relay: Relay, door: str) -> str | None:
    """The instructions of the door's servers, each under its server's name; None when none has any."""
    texts = [(one.name, one.listing.instructions) for one in _behind(relay, door)]
    parts = [f"## {name}\n\n{text.strip()}" for name, text in texts if text]
    return "\n\n".join(parts) or None


def _behind(relay: Relay, door: str) -> list[Upstream]:
    return [relay.upstreams[name] for name in relay.door(door).servers]
