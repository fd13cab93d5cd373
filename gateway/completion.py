"""`completion/complete`: whose suggestions to ask for, and which of them the caller may know (MCP 2025-11-25)."""

import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from gateway.catalog import Door
from gateway.errors import INVALID_PARAMS, McpError, ResourceNotFound
from gateway.hop import Hop
from gateway.request import Request
from gateway.uris import is_normal

if TYPE_CHECKING:
    from gateway.relay import Relay

Result = dict[str, Any]

MAX_COMPLETIONS: Final = 100  # MCP 2025-11-25, server/utilities/completion

_EXPRESSION: Final = re.compile(r"\{([+#./;?&]?)([^{}]+)\}")
_FRONTS: Final = {"": "", "+": "", "#": "#", ".": ".", "/": "/", ";": ";{name}=", "?": "?{name}=", "&": "&{name}="}
"""What each operator puts in front of a value (RFC 6570 §3.2)."""
_RESERVED: Final = ":/?#[]@!$&'()*+,;="


async def complete(relay: "Relay", request: Request) -> Result:
    """`completion/complete`: route by what is referred to (MCP 2025-11-25, server/utilities/completion)."""
    ref = request.params.get("ref")
    if not isinstance(ref, dict):
        raise McpError(INVALID_PARAMS, "Invalid params: missing required field 'ref'")
    if ref.get("type") == "ref/prompt":
        prompt = await relay.found(request, lambda door: door.prompts.get(str(ref.get("name"))))
        if prompt is None:
            raise McpError(INVALID_PARAMS, f"Unknown prompt: {ref.get('name')}")
        server, own = prompt.server, {**ref, "name": prompt.own_name}
    else:
        uri = str(ref.get("uri"))
        found = await relay.found(request, lambda door: _template_or_resource(door, uri))
        if found is None:
            raise ResourceNotFound(uri)
        server, own = found[0], {**ref, "uri": found[1]}
    peer = relay.upstreams[server].peer
    if peer is not None and "completions" not in peer.capabilities:
        return {"completion": {"values": [], "total": 0, "hasMore": False}}
    result = await relay.forward(request, Hop(server, {**request.params, "ref": own}))
    completion = result.get("completion")
    values = completion.get("values") if isinstance(completion, dict) else None
    if isinstance(values, list) and ref.get("type") == "ref/resource":
        known = [one for one in values if _may_know(relay, request, server, own["uri"], one)]
        if len(known) < len(values):  # nor is said how many there are
            values = known
            result = {**result, "completion": {"values": values, "hasMore": False}}
    if isinstance(values, list) and len(values) > MAX_COMPLETIONS:
        return {**result, "completion": {**result["completion"], "values": values[:MAX_COMPLETIONS], "hasMore": True}}
    return result


def _may_know(relay: "Relay", request: Request, server: str, template: str, value: Any) -> bool:
    """Whether a completed value names a resource that the caller may read; of what names none, nothing is said."""
    argument, context = (_object(request.params.get(key)) for key in ("argument", "context"))
    given: dict[Any, Any] = {**_object(context.get("arguments")), argument.get("name"): value}
    if any(one[2] not in given for one in _EXPRESSION.finditer(template)):
        return True
    # Whoever expands it may encode what RFC 6570 says, or nothing.
    uris = {_EXPRESSION.sub(partial(_expanded, given, encode), template) for encode in (_encoded, _as_it_is)}
    door = relay.door(request.door)
    return all(relay.access.may_read(door, server, uri, request.caller).allowed for uri in uris)


def _expanded(given: Result, encode: Callable[[str, str], str], found: "re.Match[str]") -> str:
    operator, name = found[1], found[2]
    return _FRONTS[operator].format(name=name) + encode(operator, str(given[name]))


def _encoded(operator: str, value: str) -> str:
    return quote(value, safe=_RESERVED if operator in ("+", "#") else "")


def _as_it_is(operator: str, value: str) -> str:
    return value


def _object(value: Any) -> Result:
    return value if isinstance(value, dict) else {}


def _template_or_resource(door: Door, uri: str) -> tuple[str, str] | None:
    template = door.templates.get(uri)
    if template is not None:
        return template.server, template.own_name
    return door.resource(uri) if uri in door.resources or is_normal(uri) else None
