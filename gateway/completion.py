"""`completion/complete`: whose suggestions to ask for, and which of them the caller may know (MCP 2025-11-25)."""

import re
from typing import TYPE_CHECKING, Any, Final

from gateway.catalog import Door
from gateway.errors import INVALID_PARAMS, McpError, ResourceNotFound
from gateway.hop import Hop
from gateway.request import Request

if TYPE_CHECKING:
    from gateway.relay import Relay

Result = dict[str, Any]

MAX_COMPLETIONS: Final = 100  # MCP 2025-11-25, server/utilities/completion


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
        values = [one for one in values if _may_know(relay, request, server, own["uri"], one)]
        result = {**result, "completion": {**result["completion"], "values": values}}
    if isinstance(values, list) and len(values) > MAX_COMPLETIONS:
        return {**result, "completion": {**result["completion"], "values": values[:MAX_COMPLETIONS], "hasMore": True}}
    return result


def _may_know(relay: "Relay", request: Request, server: str, template: str, value: Any) -> bool:
    """Whether a completed value names a resource that the caller may read; of what names none, nothing is said."""
    argument = request.params.get("argument")
    name = argument.get("name") if isinstance(argument, dict) else None
    uri = re.sub(r"\{[+#./;?&]?" + re.escape(str(name)) + r"\}", lambda _: str(value), template)
    if "{" in uri:
        return True
    return relay.access.may_read(relay.door(request.door), server, uri, request.caller).allowed


def _template_or_resource(door: Door, uri: str) -> tuple[str, str] | None:
    template = door.templates.get(uri)
    return (template.server, template.own_name) if template is not None else door.resource(uri)
