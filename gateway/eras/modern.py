"""MCP 2026-07-28 for clients: one self-contained request, one complete result; no session, nothing remembered."""

import asyncio
import functools
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from gateway.changes import ResourceListener
from gateway.eras.describe import instructions, modern_capabilities
from gateway.eras.envelope import MODERN_VERSIONS, SERVER_INFO_KEY, SUBSCRIPTION_KEY
from gateway.errors import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    RESOURCE_NOT_FOUND,
    URL_ELICITATION,
    InvalidArguments,
    McpError,
    ResourceNotFound,
    Superseded,
)
from gateway.once import Once
from gateway.request import PAGE_BYTES, Dialect, Entrant, Request
from gateway.resources import find_to_follow
from gateway.service import Service, at_end
from upstreams.channel import METHOD_NOT_FOUND
from upstreams.errors import ErrorReply
from upstreams.upstream import LEVELS, Upstream

Message = dict[str, Any]
Result = dict[str, Any]

CACHEABLE: Final = frozenset(
    {"server/discover", "tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read"}
)
COMPLETE: Final = {"resultType": "complete"}
FRESH: Final = {**COMPLETE, "ttlMs": 0, "cacheScope": "private"}
FILTERS: Final = {
    "toolsListChanged": "notifications/tools/list_changed",
    "promptsListChanged": "notifications/prompts/list_changed",
    "resourcesListChanged": "notifications/resources/list_changed",
}
REPLACED_CODES: Final = {RESOURCE_NOT_FOUND: INVALID_PARAMS, URL_ELICITATION: INTERNAL_ERROR}
"""Codes of older servers that this version has no more, and what is said instead."""
MAX_SUBSCRIBED: Final = 1_000  # URIs on one stream


class Outlet(Protocol):
    """The stream on which a request's notifications go, ahead of its answer."""

    def send(self, message: Message) -> bool:
        """Queue a message; False when this client cannot be sent any."""
        ...


@dataclass(slots=True, eq=False)
class ModernCall:
    """One modern request as the transport received it, and the way back to its client (see `ClientChannel`).

    Notifications go on the request's own stream, and requests never. ``capabilities`` and ``log_level`` are those of
    its envelope, ``client`` is equal for requests of what is surely one client; without HTTP ``headers`` is None.
    """

    message: Message
    capabilities: Mapping[str, Any]
    log_level: str | None
    entrant: Entrant
    door: str
    outlet: Outlet
    client: Hashable
    headers: Mapping[str, str] | None = None
    once: Once | None = None
    face: str = "modern"

    def notify(self, method: str, params: Message) -> None:
        """See `ClientChannel.notify`; log messages below the level that the request asked for are dropped."""
        if method != "notifications/message" or loud_enough(params, self.log_level):
            self.outlet.send({"jsonrpc": "2.0", "method": method, "params": params})

    async def ask(self, method: str, params: Message) -> Result:
        """Refuse: the modern wire has no requests to clients."""
        raise ErrorReply(METHOD_NOT_FOUND, f"This client cannot be asked {method} during a call")


async def answer_modern(service: Service, call: ModernCall) -> Result:
    """Answer one request whose envelope was checked; returns the stamped result, raises what the relay raises."""
    method = call.message["method"]
    if method in OWN:
        return stamp(service, method, await OWN[method](service, call))
    try:
        result = await service.relay.handle(_request(call))
    except ResourceNotFound as exc:
        raise McpError(INVALID_PARAMS, exc.message, exc.data) from exc  # the code of this version
    except ErrorReply as exc:
        if exc.code in REPLACED_CODES:
            raise McpError(REPLACED_CODES[exc.code], exc.message, exc.data, status=200) from exc
        raise
    return stamp(service, method, result)


def stamp(service: Service, method: str, result: Result) -> Result:
    """Write a result for the modern wire."""
    meta = result.get("_meta")
    own = {SERVER_INFO_KEY: service.info}
    fresh = method in CACHEABLE and result.get("resultType") != "input_required"
    stamped = {**(FRESH if fresh else COMPLETE), **result}
    stamped["_meta"] = {**meta, **own} if isinstance(meta, dict) else own
    return stamped


def loud_enough(params: Mapping[str, Any], level: str | None) -> bool:
    """Tell whether a log message reaches a client that asked for ``level`` (None: it asked for none)."""
    if level not in LEVELS:
        return False
    severity = params.get("level")
    return severity not in LEVELS or LEVELS.index(severity) >= LEVELS.index(level)


def shape_tool(tool: Message) -> Message:
    """Leave out what this version has no more: task execution."""
    return {key: value for key, value in tool.items() if key != "execution"} if "execution" in tool else tool


def arguments_result(error: InvalidArguments) -> Result:
    """Arguments that do not fit, as a result that the model reads (MCP 2025-11-25, server/tools, error handling)."""
    return {
        "content": [{"type": "text", "text": error.message}],
        "isError": True,
        "_meta": {"onegate/error": {"code": error.code, **error.data}},
    }


DIALECT: Final = Dialect("modern", shape_tool, PAGE_BYTES, arguments_result)


async def _discover(service: Service, call: ModernCall) -> Result:
    text = await instructions(service.relay, call.door, call.entrant)
    result = {
        "supportedVersions": list(MODERN_VERSIONS),
        "capabilities": await modern_capabilities(service.relay, call.door, call.entrant),
        "serverInfo": service.info,
    }
    return {**result, "instructions": text} if text else result


def _request(call: ModernCall) -> Request:
    return Request(
        call.message["method"],
        call.message["params"],
        call.entrant.caller,
        call.door,
        DIALECT,
        call,
        call.headers,
        call.entrant.filters,
        once=call.once,
    )


class _Subscription:
    """One open listen stream: hears of changes and writes them out, tagged with the id of its request."""

    def __init__(self, call: ModernCall, methods: frozenset[str]) -> None:
        self.door = call.door
        self.entrant = call.entrant
        self._outlet = call.outlet
        self._tag = {SUBSCRIPTION_KEY: call.message["id"]}
        self._methods = methods
        self._early: list[tuple[str, Message]] | None = []
        self.ended = asyncio.Event()

    def list_changed(self, method: str) -> None:
        """See `Listener`."""
        if method in self._methods:
            self.write(method, {})

    def resource_updated(self, uri: str) -> None:
        """Say that a resource changed."""
        self.write("notifications/resources/updated", {"uri": uri})

    def part(self) -> None:
        """See `Listener`."""
        self.ended.set()

    def acknowledge(self, honoured: Message) -> None:
        """Write the first frame, and then what was heard before it."""
        early, self._early = self._early or [], None
        self.write("notifications/subscriptions/acknowledged", {"notifications": honoured})
        for method, params in early:
            self.write(method, params)

    def write(self, method: str, params: Message) -> None:
        """Send one tagged notification, not before the acknowledgement."""
        if self._early is not None:
            self._early.append((method, params))
            return
        self._outlet.send({"jsonrpc": "2.0", "method": method, "params": {**params, "_meta": self._tag}})


async def _listen(service: Service, call: ModernCall) -> Result:
    """`subscriptions/listen`: acknowledge, then write changes until the client goes or the gateway stops."""
    asked = call.message["params"].get("notifications")
    if not isinstance(asked, dict):
        raise McpError(INVALID_PARAMS, "Invalid params: missing required field 'notifications'")
    honoured: Message = {key: True for key in FILTERS if asked.get(key) is True}
    request = _request(call)
    relay = service.relay
    uris = asked.get("resourceSubscriptions")
    uris = [uri for uri in uris if isinstance(uri, str)][:MAX_SUBSCRIBED] if isinstance(uris, list) else []
    places = {uri: await find_to_follow(relay, request, uri) for uri in dict.fromkeys(uris)}
    if places:
        honoured["resourceSubscriptions"] = list(places)
    methods = frozenset(FILTERS[key] for key in honoured if key in FILTERS)
    subscription = _Subscription(call, methods)
    end = subscription.ended.set
    leave = service.changes.add(subscription)
    service.closers[end] = None
    expiry = at_end(call.entrant, end)
    taken: list[tuple[Upstream, str, Any]] = []
    try:
        if relay is not service.relay:
            raise Superseded  # what was looked up is of another config
        for uri, (server, own) in places.items():
            may = functools.partial(service.may_hear, subscription, server)
            hear = ResourceListener(subscription.resource_updated, uri, own, may)
            await relay.upstreams[server].subscribe(own, hear)
            taken.append((relay.upstreams[server], own, hear))
        subscription.acknowledge(honoured)  # from now on nothing is missed
        with service.listening():
            await subscription.ended.wait()
    finally:
        leave()
        expiry()
        service.closers.pop(end, None)
        for upstream, own, hear in taken:
            service.spawn(upstream.unsubscribe, own, hear)
    return {"_meta": {SUBSCRIPTION_KEY: call.message["id"]}}


OWN: Final = {"server/discover": _discover, "subscriptions/listen": _listen}
"""What this era answers itself."""
