"""`resources/read`, and whose a URI is: the only way in which URIs of clients are looked up."""

from typing import TYPE_CHECKING, Any, Final

from gateway.access import within
from gateway.errors import Forbidden, ResourceNotFound
from gateway.hop import Hop
from gateway.request import Request, text_param
from gateway.uris import is_normal
from upstreams.errors import ErrorReply

if TYPE_CHECKING:
    from gateway.relay import Relay

Result = dict[str, Any]

NOT_FOUND_CODES: Final = frozenset({-32002, -32602})
"""How upstreams of the two eras say that a resource is not there."""


async def read_resource(relay: "Relay", request: Request) -> Result:
    """`resources/read`: forward under the server's own URI; what it names comes back under ours."""
    uri = text_param(request.params, "uri")
    server, own = await find_resource(relay, request, uri)
    try:
        result = await relay.forward(request, Hop(server, {**request.params, "uri": own}))
    except ErrorReply as exc:
        if exc.code in NOT_FOUND_CODES:
            raise ResourceNotFound(uri) from exc
        raise
    contents = result.get("contents")
    if own != uri and isinstance(contents, list):
        mapped = [{**one, "uri": uri} if isinstance(one, dict) and one.get("uri") == own else one for one in contents]
        return {**result, "contents": mapped}
    return result


async def find_to_follow(relay: "Relay", request: Request, uri: str) -> tuple[str, str]:
    """`find_resource` for somebody who wants to hear of a resource: each URI is a decision of its own."""
    with relay.observer.deciding(request.method, {"uri": uri}, request.caller) as request.use:
        return await find_resource(relay, request, uri)


async def find_resource(relay: "Relay", request: Request, uri: str) -> tuple[str, str]:
    """The server of a URI and the URI as it knows it. Raises `ResourceNotFound`, or `Forbidden`.

    A URI that is not listed must be in normal form, as another spelling could get around whatever is said of a place;
    and what policies say is said of the URI itself, not of the template that it comes from.
    """
    if uri not in relay.door(request.door).resources and not is_normal(uri):
        raise ResourceNotFound(uri)
    found = await relay.found(request, lambda door: door.resource(uri))
    door = relay.door(request.door)
    if found is None and len(door.servers) == 1 and door.resource(uri) is None:
        found = _unlisted(relay, request, door.servers[0], uri)
    if found is None or (uri not in door.resources and found in door.respelled):
        raise relay.refused(request, "resources", uri) or ResourceNotFound(uri)
    decision = relay.access.may_read(door, *found, request.caller)
    request.use.found(found[1], found[0])
    request.use.decided(decision)
    if not decision.allowed:
        raise ResourceNotFound(uri) if decision.hidden else Forbidden(uri, "the policy does not allow it")
    return found


def _unlisted(relay: "Relay", request: Request, server: str, uri: str) -> tuple[str, str] | None:
    """Servers may read more than they list; with one server there is no doubt whom the URI is for."""
    peer = relay.upstreams[server].peer
    able = peer is None or "resources" in peer.capabilities
    return (server, uri) if able and within(request.filters, server) else None
