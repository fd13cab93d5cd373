"""MCP 2024-11-05 to 2025-11-25 for clients: initialize, then requests both ways within a session."""

import functools
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.changes import ResourceListener
from gateway.eras.describe import LEGACY_CAPABILITIES, instructions
from gateway.eras.envelope import LEGACY_VERSIONS, RESULT_FOR_BAD_ARGUMENTS, SERVER_INFO_KEY
from gateway.eras.modern import arguments_result, loud_enough
from gateway.eras.sessions import Outlet, Session
from gateway.errors import INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, McpError
from gateway.once import Once
from gateway.relay import Relay
from gateway.request import NO_CHANNEL, PAGE_BYTES, ClientChannel, Dialect, Request
from gateway.resources import find_to_follow
from gateway.service import Service
from upstreams.upstream import LEVELS

Message = dict[str, Any]
Result = dict[str, Any]

NOT_LEGACY: Final = ("resultType", "ttlMs", "cacheScope")


@dataclass(slots=True, eq=False)
class LegacyChannel:
    """The way back to a legacy client, on the stream of one of its requests."""

    session: Session
    outlet: Outlet
    face: str = "legacy"

    @property
    def client(self) -> Hashable:
        """The session: the same for all its requests."""
        return self.session

    @property
    def capabilities(self) -> Mapping[str, Any]:
        """What the client declared at initialize."""
        return self.session.capabilities

    @property
    def log_level(self) -> str | None:
        """The level of logging/setLevel, or None."""
        return self.session.log_level

    def notify(self, method: str, params: Message) -> None:
        """See `ClientChannel.notify`; a client that set no level gets every log message."""
        level = self.session.log_level
        if method != "notifications/message" or level is None or loud_enough(params, level):
            self.outlet.send({"jsonrpc": "2.0", "method": method, "params": params})

    async def ask(self, method: str, params: Message) -> Result:
        """See `ClientChannel.ask`."""
        return await self.session.ask(self.outlet, method, params)


def shape_tool(tool: Message) -> Message:
    """Leave out an output schema that is not an object's: legacy versions have no other."""
    schema = tool.get("outputSchema")
    if schema is None or (isinstance(schema, dict) and schema.get("type") == "object"):
        return tool
    return {key: value for key, value in tool.items() if key != "outputSchema"}


def _dialect(version: str) -> Dialect:
    if version in RESULT_FOR_BAD_ARGUMENTS:
        return Dialect(version, shape_tool, PAGE_BYTES, arguments_result)
    return Dialect(version, shape_tool, PAGE_BYTES)


DIALECTS: Final = {version: _dialect(version) for version in LEGACY_VERSIONS}


def negotiated(params: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The version to speak and the client's capabilities (MCP 2025-11-25, basic/lifecycle). Raises `McpError`."""
    requested, capabilities = params.get("protocolVersion"), params.get("capabilities")
    if not isinstance(requested, str):
        raise McpError(INVALID_PARAMS, "Invalid params: missing required field 'protocolVersion'")
    if capabilities is not None and not isinstance(capabilities, dict):
        raise McpError(INVALID_PARAMS, "Invalid params: capabilities must be an object")
    return (requested if requested in LEGACY_VERSIONS else LEGACY_VERSIONS[0]), capabilities or {}


async def initialize_result(service: Service, session: Session) -> Result:
    """The answer to initialize."""
    text = await instructions(service.relay, session.door, session.entrant)
    result = {
        "protocolVersion": session.version,
        "capabilities": LEGACY_CAPABILITIES,
        "serverInfo": service.info,
    }
    return {**result, "instructions": text} if text else result


def join(service: Service, session: Session) -> None:
    """From now on the session hears when the lists of its door change."""
    session.leave.append(service.changes.add(session))


async def answer_legacy(
    service: Service, session: Session, message: Message, outlet: Outlet, once: Once | None = None
) -> Result:
    """Answer one request of a session; returns the result for the wire, raises what the relay raises."""
    method = message["method"]
    params = message.get("params") or {}
    own = METHODS.get(method)
    if own is not None:
        return await own(service, session, params)
    request = _request(session, method, params, LegacyChannel(session, outlet))
    request.once = once
    return plain(await service.relay.handle(request))


def take_notification(session: Session, message: Message) -> None:
    """Take a notification of the client. Only cancellation means anything to the gateway."""
    params = message.get("params")
    if message["method"] == "notifications/cancelled" and isinstance(params, dict):
        cancel = session.in_flight.get(request_key(params.get("requestId")))
        if cancel is not None:
            cancel()


def request_key(request_id: Any) -> Hashable:
    """A request id as a key that keeps its type: 1 and "1" are two requests."""
    return (type(request_id).__name__, request_id if isinstance(request_id, str | int) else None)


def plain(result: Result) -> Result:
    """Write a result for the legacy wire."""
    if result.get("resultType") == "input_required":
        raise McpError(INTERNAL_ERROR, "The upstream needs input which it cannot ask of a client of this version")
    meta = result.get("_meta")
    if isinstance(meta, dict) and SERVER_INFO_KEY in meta:
        kept = {key: value for key, value in meta.items() if key != SERVER_INFO_KEY}
        result = {**result, "_meta": kept}
        if not kept:
            del result["_meta"]
    if any(key in result for key in NOT_LEGACY):
        return {key: value for key, value in result.items() if key not in NOT_LEGACY}
    return result


async def _ping(service: Service, session: Session, params: Message) -> Result:
    return {}


async def _initialize_again(service: Service, session: Session, params: Message) -> Result:
    raise McpError(INVALID_REQUEST, "This session is initialized already")


async def _set_level(service: Service, session: Session, params: Message) -> Result:
    """`logging/setLevel`: counts from the next call on, which also tells the upstream that serves it."""
    level = params.get("level")
    if level not in LEVELS:
        raise McpError(INVALID_PARAMS, f"Invalid params: level must be one of {', '.join(LEVELS)}")
    session.log_level = level
    return {}


async def _subscribe(service: Service, session: Session, params: Message) -> Result:
    relay = service.relay
    uri, server, own = await _place(relay, session, params)
    if uri in session.subscribed:
        return {}
    may = functools.partial(service.may_hear, session, server)
    hear = ResourceListener(session.resource_updated, uri, own, may)
    upstream = relay.upstreams[server]
    await upstream.subscribe(own, hear)
    session.subscribed[uri] = functools.partial(service.spawn, upstream.unsubscribe, own, hear)
    return {}


async def _unsubscribe(service: Service, session: Session, params: Message) -> Result:
    leave = session.subscribed.pop(str(params.get("uri")), None)
    if leave is not None:
        leave()
    return {}


async def _place(relay: Relay, session: Session, params: Message) -> tuple[str, str, str]:
    uri = params.get("uri")
    if not isinstance(uri, str):
        raise McpError(INVALID_PARAMS, "Invalid params: missing required field 'uri'")
    request = _request(session, "resources/subscribe", params, NO_CHANNEL)
    return uri, *await find_to_follow(relay, request, uri)


METHODS: Final = {
    "ping": _ping,
    "initialize": _initialize_again,
    "logging/setLevel": _set_level,
    "resources/subscribe": _subscribe,
    "resources/unsubscribe": _unsubscribe,
}


def _request(session: Session, method: str, params: Message, channel: ClientChannel) -> Request:
    entrant, dialect = session.entrant, DIALECTS[session.version]
    return Request(method, params, entrant.caller, session.door, dialect, channel, filters=entrant.filters)
