"""Pure: what keeps a gateway from being ready, in words; it knows the states of upstreams and asks nobody."""

from collections.abc import Iterable

from upstreams.states import State
from upstreams.upstream import Upstream


def obstacles(draining: bool, has_keys: bool, upstreams: Iterable[Upstream]) -> list[str]:
    """Why requests are not taken, or not all of them can be served; empty when the gateway is ready."""
    found = ["the gateway is about to stop"] if draining else []
    found += [] if has_keys else ["the keys of an issuer have not come yet"]
    down = (one for one in upstreams if one.entry.required and one.state is not State.READY)
    return [*found, *(f"{one.name} is required and {one.state.value}" for one in down)]
