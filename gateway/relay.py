"""What each MCP method means, with the catalog and the upstreams; neutral to era and transport."""

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

import anyio

from gateway.access import Access
from gateway.arrivals import Arrivals
from gateway.catalog import Catalog, Door, ToolRoute
from gateway.completion import complete
from gateway.errors import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    INVALID_REQUEST,
    Forbidden,
    McpError,
    Superseded,
    UnknownTool,
    unknown_method,
)
from gateway.hop import Hop, caller, digest, open_state, outward_links, seal_state
from gateway.once import Once
from gateway.patience import Patience
from gateway.request import Entrant, Request, text_param
from gateway.resources import read_resource
from gateway.seal import Sealer
from gateway.telemetry.observer import UNSEEN, Observer
from upstreams.headers import parameter_headers, parameter_mismatch
from upstreams.states import State
from upstreams.upstream import Upstream

Result = dict[str, Any]
Found = TypeVar("Found")

START_SECONDS: Final = 10.0  # so long a list waits for servers that are still making their first connection
CURSOR_PURPOSE: Final = "cursor"


class Relay:
    """Answers requests under one config from the present catalog; `swap` replaces that, a reload the whole relay."""

    def __init__(
        self,
        catalog: Catalog,
        upstreams: Mapping[str, Upstream],
        access: Access | None = None,
        start_seconds: float = START_SECONDS,
        observer: Observer | None = None,
    ):
        self.catalog = catalog
        self.upstreams = upstreams
        self.access = access or Access()
        self.observer = observer or Observer()
        self.sealer = Sealer()
        self.arrivals = Arrivals()
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
        use = request.use = self.observer.begin(request.method, request.params, request.caller)
        try:
            if not isinstance(request.params.get("_meta", {}), dict):
                raise McpError(INVALID_PARAMS, "Invalid params: _meta must be an object")
            relay = self
            while True:
                request.arrives_in(relay.arrivals)
                try:
                    result = await method(relay, request)
                    break
                except Superseded:
                    if relay._heir is None:
                        raise
                    relay = relay._heir
        except BaseException as exc:
            request.arrived()
            self.observer.failed(use, exc)
            raise
        request.arrived()
        self.observer.ended(use, result)
        return result

    async def forward(self, request: Request, hop: Hop) -> Result:
        """Send the request on to its upstream and return what that answers."""
        params, upstream = open_state(self.sealer, request, hop), self.upstreams[hop.server]
        if hop.server in self._replaced and self.starting:
            await self._patience.attempted([hop.server])
            if self._retired and upstream.state is not State.READY:
                raise Superseded  # replaced once more
        params, headers = request.use.sending(hop.server, params, hop.headers)
        request.arrived()  # from here on the upstream counts it
        result = await upstream.request(request.method, params, request.channel, hop.limits, headers)
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
        door = self.door(request.door)
        route = door.routes(kind).get(name)
        if route is None:
            return None
        decision = self.access.standing(door, kind, route, request.caller, request.filters)
        request.use.found(route.known_as, route.server)
        request.use.decided(decision)
        return None if decision.allowed or decision.hidden else Forbidden(name, "the policy does not allow it")

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
    name = text_param(request.params, "name")
    request.use.arguments = _object(request.params.get("arguments"))  # of a call that comes no further
    view = relay.access.known(relay.door(request.door), request.caller, request.filters)
    route = None if view is None else view.tools.get(name)
    if view is None or route is None:
        view, route = await _tool(relay, request, name)
    request.use.found(route.canonical, route.server)
    arguments = request.params.get("arguments")
    if arguments is not None and not isinstance(arguments, dict):
        raise McpError(INVALID_PARAMS, "Invalid params: arguments must be an object")
    given = arguments or {}
    if route.mirrored and request.headers is not None:
        mismatch = parameter_mismatch(route.mirrored, given, request.headers)
        if mismatch is not None:
            raise McpError(HEADER_MISMATCH, mismatch)
    outgoing = route.outgoing(given)
    request.use.arguments = outgoing
    if route.validate and (problem := route.check(outgoing)) is not None:
        return request.dialect.bad_arguments(problem)
    decision = relay.access.may_call(view, route, request.caller, outgoing)
    request.use.decided(decision)
    if not decision.allowed:  # the tool itself is no secret to this caller
        raise Forbidden(name, "the policy does not allow these arguments")
    relay.access.take(request.caller, route, time.monotonic())
    params = {**request.params, "name": route.own_name}
    if arguments is not None or outgoing:
        params["arguments"] = outgoing
    headers = parameter_headers(route.parameters, outgoing) if route.parameters else None
    hop = Hop(route.server, params, route.limits, headers)
    if request.once is None:
        result = await relay.forward(request, hop)
    else:
        result = await _forward_once(relay, request, request.once, hop)
    return outward_links(relay.door(request.door), route.server, result)


async def _forward_once(relay: Relay, request: Request, once: Once, hop: Hop) -> Result:
    """Send a call on, unless its idempotency key was used: whatever decides about a call has let it through."""
    try:
        return await once.answer(digest(hop), functools.partial(relay.forward, request, hop))
    except asyncio.CancelledError:
        request.use = UNSEEN  # it may go on, but as nobody's request
        raise


async def get_prompt(relay: Relay, request: Request) -> Result:
    """`prompts/get`: forward under the server's own name."""
    name = text_param(request.params, "name")
    route = await relay.found(request, lambda door: door.prompts.get(name))
    if route is None:
        raise relay.refused(request, "prompts", name) or McpError(INVALID_PARAMS, f"Unknown prompt: {name}")
    request.use.found(route.own_name, route.server)
    request.use.arguments = _object(request.params.get("arguments"))
    request.use.decided(relay.access.standing(relay.door(request.door), "prompts", route, request.caller))
    return await relay.forward(request, Hop(route.server, {**request.params, "name": route.own_name}))


LISTS: Final = {
    "tools/list": ("tools", "tools"),
    "prompts/list": ("prompts", "prompts"),
    "resources/list": ("resources", "resources"),
    "resources/templates/list": ("templates", "resourceTemplates"),
}

Method = Callable[[Relay, Request], Awaitable[Result]]

METHODS: Final[dict[str, Method]] = {
    **dict.fromkeys(LISTS, list_kind),
    "tools/call": call_tool,
    "prompts/get": get_prompt,
    "resources/read": read_resource,
    "completion/complete": complete,
}


def _object(value: Any) -> Mapping[str, Any] | None:
    return value if isinstance(value, dict) else None


def _as_it_is(item: Result) -> Result:
    return item


async def _tool(relay: Relay, request: Request, name: str) -> tuple[Door, ToolRoute]:
    """A tool and the view in which it is found, where that takes time. Raises `McpError`."""
    found = await relay.found(request, lambda view: (view, view.tools[name]) if name in view.tools else None)
    if found is None:
        raise relay.refused(request, "tools", name) or UnknownTool(name)
    return found
