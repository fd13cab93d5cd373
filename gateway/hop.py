"""What changes on a request's way to its upstream and back: request state is sealed, URIs change their form. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.catalog import Door
from gateway.errors import INVALID_PARAMS, McpError
from gateway.request import Request
from gateway.seal import Sealer
from upstreams import wire

Result = dict[str, Any]

STATE_PURPOSE: Final = "request state"


@dataclass(slots=True)
class Hop:
    """One request as its upstream gets it. ``limits`` are the timeout and the most it extends to, in seconds."""

    server: str
    params: Result
    limits: tuple[float, float] | None = None
    headers: Mapping[str, str] | None = None


def caller(request: Request) -> list[str]:
    """Who asks, as a part of what sealed texts are bound to."""
    identity = request.caller.identity
    return [identity.kind, identity.issuer, identity.sub]


def open_state(sealer: Sealer, request: Request, hop: Hop) -> Result:
    """Give an upstream back the request state that it sent (MCP 2026-07-28, multi round-trip requests).

    Returns the parameters to send. Raises `McpError` for a state that was not sealed for this caller, door, upstream,
    method, subject and arguments.
    """
    state = hop.params.get("requestState")
    if state is None:
        return hop.params
    opened = sealer.open(STATE_PURPOSE, _binding(request, hop), state)
    if not isinstance(opened, list):
        raise McpError(INVALID_PARAMS, "Invalid params: requestState is unknown or belongs to another request")
    return {**hop.params, "requestState": opened[0]}


def seal_state(sealer: Sealer, request: Request, hop: Hop, result: Result) -> Result:
    """Seal the state that an upstream gives a client to carry."""
    if result.get("resultType") != "input_required" or "requestState" not in result:
        return result
    return {**result, "requestState": sealer.seal(STATE_PURPOSE, _binding(request, hop), [result["requestState"]])}


def _binding(request: Request, hop: Hop) -> list[str]:
    asked = {key: hop.params.get(key) for key in ("name", "uri", "arguments")}
    digest = hashlib.sha256(wire.dumps(asked)).hexdigest()
    return [*caller(request), request.door, hop.server, request.method, digest]


def digest(hop: Hop) -> bytes:
    """What the upstream is asked to do; metadata, such as a progress token, is another at a retry."""
    asked = {key: value for key, value in hop.params.items() if key != "_meta"}
    return hashlib.blake2b(wire.canonical([hop.server, asked]), digest_size=16).digest()


def outward_links(door: Door, server: str, result: Result) -> Result:
    """Rewrite the URIs of resources in a tool's result, where this server's URIs appear under another form."""
    content = result.get("content")
    if server not in door.marked or not isinstance(content, list):
        return result
    return {**result, "content": [_outward_block(door, server, block) for block in content]}


def _outward_block(door: Door, server: str, block: Any) -> Any:
    if not isinstance(block, dict):
        return block
    if block.get("type") == "resource_link" and isinstance(block.get("uri"), str):
        return {**block, "uri": door.outward(server, block["uri"])}
    inner = block.get("resource")
    if isinstance(inner, dict) and isinstance(inner.get("uri"), str):
        return {**block, "resource": {**inner, "uri": door.outward(server, inner["uri"])}}
    return block
