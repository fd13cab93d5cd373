"""What each MCP method means, with the catalog and the upstreams; neutral to era and transport."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

import anyio

from gateway.access import Access
from gateway.catalog import Catalog, Door, ToolRoute
from gateway.completion import complete
from gateway.errors import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    Forbidden,
    McpError,
    ResourceNotFound,
    Superseded,
    unknown_method,
    unknown_tool,
)
from gateway.hop import Hop, caller, open_state, outward_links, seal_state
from gateway.patience import Patience
from gateway.request import Entrant, Request
from gateway.seal import Sealer
from gateway.uris import is_normal
from upstreams.errors import ErrorReply
from upstreams.headers import parameter_headers
from upstreams.states import State
from upstreams.upstream import Upstream

Result = dict[str, Any]
Found = TypeVar("Found")

START_SECONDS: Final = 10.0  # so long a list waits for servers that are still making their first connection
CURSOR_PURPOSE: Final = "cursor"
NOT_FOUND_CODES: Final = frozenset({-32002, -32602})
"""How upstreams of the two eras say that a resource is not there."""


class Relay:
    """Answers requests under one config from the present catalog; `swap` replaces that, a reload the whole relay."""

    def __init__(
        self,
        catalog: Catalog,
        upstreams: Mapping[str, Upstream],
        access: Access | None = None,
        start_seconds: float = START_SECONDS,
    ):
        self.catalog = catalog
        self.upstreams = upstreams
        self.access = access or Access()
        self.sealer = Sealer()
        self._patience = Patience(upstreams, start_seconds)
        self._swapped = asyncio.Event()
        self._retired = False
        self._heir: Relay | None = None
        self._replaced: frozenset[str] = frozenset()  # known from before, and not yet back

    async def handle(self, request: Request) -> Result:
        """Answer one request. Raises `McpError`, or an error of the upstream that served it."""
        method = METHODS.get(request.method)
        if method is None:
            raise unknown_method(request.method)
        if not isinstance(request.params.get("_meta", {}), dict):
            raise McpError(INVALID_PARAMS, "Invalid params: _meta must be an object")
        try:
            return await method(self, request)
        except Superseded:
            if self._heir is None:
                raise
            return await self._heir.handle(request)

    async def forward(self, request: Request, hop: Hop) -> Result:
        """Send the request on to its upstream and return what that answers."""
        params, upstream = open_state(self.sealer, request, hop), self.upstreams[hop.server]
        if hop.server in self._replaced and self.starting:
            await self._patience.attempted([hop.server])
            if self._retired and upstream.state is not State.READY:
                raise Superseded  # replaced once more
        result = await upstream.request(request.method, params, request.channel, hop.limits, hop.headers)
        return seal_state(self.sealer, request, hop, result)

    def swap(self, catalog: Catalog) -> None:
        """Answer from this catalog from now on."""
        self.catalog = catalog
        swapped, self._swapped = self._swapped, asyncio.Event()
        swapped.set()

    def succeed(self, former: "Relay") -> None:
        """Go on where the relay of another config ends: what that one sealed is opened here."""
        self.sealer = former.sealer
        waiting = (name for name, one in self.upstreams.items() if one.known and not one.settled.is_set())
        self._replaced = frozenset(waiting)
        self.begin()
        self._patience.extend(former._patience)

    def retire(self, heir: "Relay | None") -> None:
        """Only end what is under way: requests that wait for a server go over to the heir, or are told to ask again."""
        self._retired, self._heir = True, heir
        self.swap(self.catalog)

    def begin(self) -> None:
        """The upstreams are being started: from now on the patience of lists runs."""
        self._patience.begin()

    @property
    def starting(self) -> bool:
        """Whether some server may still make its first connection in time for a waiting list."""
        return self._patience.lasts

    async def settled(self, door: Door) -> None:
        """Wait, within the first seconds after start, until every server of the door is up or has failed."""
        if self.starting:
            await self._patience.attempted(door.servers)
            if self._retired:
                raise Superseded

    async def view(self, request: Request) -> Door:
        """The door as the caller of this request sees it: the only way in which names are looked up."""
        return await self.access.view(self.door(request.door), request.caller, request.filters)

    async def view_of(self, path: str, entrant: Entrant) -> Door:
        """The door as somebody sees it who has asked for nothing yet."""
        return await self.access.view(self.door(path), entrant.caller, entrant.filters)

    async def found(self, request: Request, look: Callable[[Door], Found | None]) -> Found | None:
        """What the caller's view has, or None; while servers are still starting, it may come in a moment."""
        found = look(await self.view(request))
        if found is not None or not self.starting:
            return found
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch, request, look, group.cancel_scope)
            await self._patience.attempted(self.door(request.door).servers)
            group.cancel_scope.cancel()
        if self._retired:
            raise Superseded
        return look(await self.view(request))

    async def _watch(self, request: Request, look: Callable[[Door], Any], scope: anyio.CancelScope) -> None:
        """End the scope once the look succeeds: whoever asks for what is there does not wait for the other servers."""
        while not self._retired and look(await self.view(request)) is None:
            await self._swapped.wait()
        scope.cancel()

    def refused(self, request: Request, kind: str, name: str) -> McpError | None:
        """The error for a name that the caller's view lacks, where policy does not hide it; else None."""
        return self.access.refusal(self.door(request.door), kind, name, request.caller, request.filters)

    def door(self, path: str) -> Door:
        """The door of this path in the present catalog. Raises `McpError` for one that a reload took away."""
        door = self.catalog.doors.get(path)
        if door is None:
            raise McpError(INVALID_REQUEST, "No door here", status=404)
        return door


async def list_kind(relay: Relay, request: Request) -> Result:
    """`tools/list` and its kin: a page of the merged list, in config order."""
    kind, key = LISTS[request.method]
    await relay.settled(relay.door(request.door))
    door = await relay.view(request)
    shape = request.dialect.shape_tool if kind == "tools" else _as_it_is
    binding = [door.path, door.view, kind, request.dialect.name, caller(request)]
    start = 0
    if (cursor := request.params.get("cursor")) is not None:
        opened = relay.sealer.open(CURSOR_PURPOSE, binding, cursor)
        if not isinstance(opened, list) or opened[0] != door.generations[kind]:
            raise McpError(INVALID_PARAMS, "Invalid params: the cursor is unknown or stale; list again from the start")
        start = opened[1]
    page, following = door.page(kind, shape, start, request.dialect.page_bytes)
    fresh = {"ttlMs": door.ttl[kind], "cacheScope": "private"}
    if following is None:
        return {key: page, **fresh}
    after = relay.sealer.seal(CURSOR_PURPOSE, binding, [door.generations[kind], following])
    return {key: page, "nextCursor": after, **fresh}


async def call_tool(relay: Relay, request: Request) -> Result:
    """`tools/call`: look up, complete and check the arguments, forward, and carry the result back as it is."""
    name = _text(request.params, "name")
    route = await _tool(relay, request, name)
    arguments = request.params.get("arguments")
    if arguments is not None and not isinstance(arguments, dict):
        raise McpError(INVALID_PARAMS, "Invalid params: arguments must be an object")
    given = arguments or {}
    request.check_headers(route.mirrored, given)
    outgoing = route.outgoing(given)
    if route.validate and (problem := route.check(outgoing)) is not None:
        return request.dialect.bad_arguments(problem)
    relay.access.may_call(relay.door(request.door), route, request.caller, outgoing)
    relay.access.take(request.caller, route, asyncio.get_running_loop().time())
    params = {**request.params, "name": route.own_name}
    if arguments is not None or outgoing:
        params["arguments"] = outgoing
    headers = parameter_headers(route.parameters, outgoing) if route.parameters else None
    result = await relay.forward(request, Hop(route.server, params, route.limits, headers))
    return outward_links(relay.door(request.door), route.server, result)


async def get_prompt(relay: Relay, request: Request) -> Result:
    """`prompts/get`: forward under the server's own name."""
    name = _text(request.params, "name")
    route = await relay.found(request, lambda door: door.prompts.get(name))
    if route is None:
        raise relay.refused(request, "prompts", name) or McpError(INVALID_PARAMS, f"Unknown prompt: {name}")
    return await relay.forward(request, Hop(route.server, {**request.params, "name": route.own_name}))


async def read_resource(relay: Relay, request: Request) -> Result:
    """`resources/read`: forward under the server's own URI; what it names comes back under ours."""
    uri = _text(request.params, "uri")
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


async def find_resource(relay: Relay, request: Request, uri: str) -> tuple[str, str]:
    """The server of a URI and the URI as it knows it. Raises `ResourceNotFound`, or `Forbidden`.

    A URI that is not listed must be in normal form, as another spelling could get around whatever is said of a place;
    and what policies say is said of the URI itself, not of the template that it comes from.
    """
    if uri not in relay.door(request.door).resources and not is_normal(uri):
        raise ResourceNotFound(uri)
    found = await relay.found(request, lambda door: door.resource(uri))
    door = relay.door(request.door)
    if found is None and len(door.servers) == 1 and door.resource(uri) is None:
        # Servers may read more than they list; with one server there is no doubt whom the URI is for.
        peer = relay.upstreams[door.servers[0]].peer
        found = (door.servers[0], uri) if peer is None or "resources" in peer.capabilities else None
    if found is None or (uri not in door.resources and found in door.respelled):
        raise relay.refused(request, "resources", uri) or ResourceNotFound(uri)
    decision = relay.access.may_read(door, *found, request.caller)
    if not decision.allowed:
        raise ResourceNotFound(uri) if decision.hidden else Forbidden(uri, "the policy does not allow it")
    return found


LISTS: Final = {
    "tools/list": ("tools", "tools"),
    "prompts/list": ("prompts", "prompts"),
    "resources/list": ("resources", "resources"),
    "resources/templates/list": ("templates", "resourceTemplates"),
}

METHODS: Final[dict[str, Callable[[Relay, Request], Awaitable[Result]]]] = {
    **dict.fromkeys(LISTS, list_kind),
    "tools/call": call_tool,
    "prompts/get": get_prompt,
    "resources/read": read_resource,
    "completion/complete": complete,
}


def _as_it_is(item: Result) -> Result:
    return item


def _text(params: Mapping[str, Any], key: str) -> str:
    value = params.get(key)
    if not isinstance(value, str):
        raise McpError(INVALID_PARAMS, f"Invalid params: missing required field '{key}'")
    return value


async def _tool(relay: Relay, request: Request, name: str) -> ToolRoute:
    route = await relay.found(request, lambda door: door.tools.get(name))
    if route is None:
        raise relay.refused(request, "tools", name) or unknown_tool(name)
    return route
