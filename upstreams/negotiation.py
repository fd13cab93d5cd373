"""Which eras an upstream speaks, and what each adds to a request; the only place upstream that knows versions."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import anyio

from upstreams.channel import NO_CHANNEL, ClientChannel
from upstreams.connection import Call, Connection
from upstreams.correlation import ASKABLE
from upstreams.errors import ConnectionLost, ErrorReply
from upstreams.headers import NAME_KEYS, NO_HEADERS, Fixed, encode_value

log = logging.getLogger("onegate.upstream")

MODERN: Final = ("2026-07-28",)
LEGACY: Final = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")  # newest first: what is offered
UNSUPPORTED_VERSION: Final = -32022

META: Final = "io.modelcontextprotocol/"
META_VERSION, META_CLIENT = META + "protocolVersion", META + "clientInfo"
META_CAPABILITIES, META_LOG_LEVEL = META + "clientCapabilities", META + "logLevel"
HOP_KEYS: Final = frozenset({META_VERSION, META_CLIENT, META_CAPABILITIES, META_LOG_LEVEL})
"""What a request's _meta says of one hop only; the rest of _meta (trace context, vendor keys) is carried."""

MAX_KEPT: Final = 256  # characters of a name whose headers are worth to be remembered
PATIENCE_SECONDS: Final = 2.0  # some servers never answer a method that they do not know
OWN_CAPABILITIES: Final[Mapping[str, Any]] = {"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {}}
RELAYED: Final = frozenset(ASKABLE.values())

Params = dict[str, Any]
Headers = Mapping[str, str]


@dataclass(slots=True)
class Peer:
    """One face of an upstream: how it is asked in one era, and what it said of itself."""

    face: str
    version: str
    connection: Connection
    capabilities: Mapping[str, Any]
    instructions: str | None
    info: Mapping[str, Any]
    own_info: Mapping[str, Any] = field(default_factory=dict)

    def request(
        self,
        method: str,
        params: Params,
        channel: ClientChannel = NO_CHANNEL,
        headers: Mapping[str, str] | None = None,
        extend: tuple[Callable[[], None], Callable[[], None]] | None = None,
    ) -> Awaitable[dict[str, Any]]:
        """What sends one request as this era writes it, and waits for its result; errors as `Connection.request`.

        ``extend`` moves the caller's time limit: the first at progress, the second while its client is asked.
        """
        stamped, era = STAMPS[self.face](self, method, params, channel)
        progressed, asked = extend or (None, None)
        return self.connection.request(
            Call(method, stamped, {**era, **headers} if headers else era, channel, progressed, asked)
        )

    async def notify(self, method: str, params: Params) -> None:
        """Send a notification; a modern server takes none but cancellation, which its connection sends."""
        if self.face == "legacy":
            await self.connection.notify(method, params, {})


def _stamp_modern(peer: Peer, method: str, params: Params, channel: ClientChannel) -> tuple[Params, Headers]:
    # What a legacy client can be asked needs a conversion between the eras; what cannot be done is not declared.
    able = channel.capabilities if channel.face == "modern" else {}
    given = params.get("_meta") or {}
    carried = not HOP_KEYS.issuperset(given)  # most say nothing else there
    meta = {key: value for key, value in given.items() if key not in HOP_KEYS} if carried else {}
    meta[META_VERSION] = peer.version
    meta[META_CLIENT] = peer.own_info
    meta[META_CAPABILITIES] = {key: value for key, value in able.items() if key in RELAYED} if able else {}
    if channel.log_level is not None:
        meta[META_LOG_LEVEL] = channel.log_level
    subject = str(params.get(NAME_KEYS[method], "")) if method in NAME_KEYS else None
    headers = _known_headers if subject is None or len(subject) <= MAX_KEPT else _modern_headers
    return {**params, "_meta": meta}, headers(peer.version, method, subject)


def _modern_headers(version: str, method: str, subject: str | None) -> dict[str, str]:
    headers = {"MCP-Protocol-Version": version, "Mcp-Method": method}
    return headers if subject is None else {**headers, "Mcp-Name": encode_value(subject)}


@lru_cache(maxsize=4096)
def _known_headers(version: str, method: str, subject: str | None) -> Fixed:
    return Fixed(_modern_headers(version, method, subject))


def _stamp_legacy(peer: Peer, method: str, params: Params, channel: ClientChannel) -> tuple[Params, Headers]:
    meta = params.get("_meta")
    if not meta or HOP_KEYS.isdisjoint(meta):
        return params, NO_HEADERS
    carried = {key: value for key, value in meta.items() if key not in HOP_KEYS}
    rest = {key: value for key, value in params.items() if key != "_meta"}
    return ({**rest, "_meta": carried} if carried else rest), NO_HEADERS


STAMPS: Final[dict[str, Callable[[Peer, str, Params, ClientChannel], tuple[Params, Headers]]]] = {
    "modern": _stamp_modern,
    "legacy": _stamp_legacy,
}


async def probe_modern(connection: Connection, own_info: Mapping[str, Any], version: str = MODERN[0]) -> Peer | None:
    """Ask `server/discover` (MCP 2026-07-28, server/discover); None when the answer is no sign of a modern server."""
    peer = Peer("modern", version, connection, {}, None, {}, own_info)
    try:
        result = await peer.request("server/discover", {})
    except ErrorReply as exc:
        if exc.code == UNSUPPORTED_VERSION and isinstance(exc.data, dict):
            offered = exc.data.get("supported")
            mutual = [one for one in MODERN if isinstance(offered, list) and one in offered and one != version]
            return await probe_modern(connection, own_info, mutual[0]) if mutual else None
        return None
    versions = result.get("supportedVersions")
    mutual = [one for one in MODERN if isinstance(versions, list) and one in versions]
    if not mutual:
        return None
    peer.version = mutual[0]
    meta = result.get("_meta")
    _describe(peer, result, (meta if isinstance(meta, dict) else {}).get(META + "serverInfo"))
    return peer


async def handshake(connection: Connection, own_info: Mapping[str, Any], version: str = LEGACY[0]) -> Peer:
    """Initialize a legacy server (MCP 2025-11-25, basic/lifecycle). Raises `ConnectionLost` with the reason."""
    peer = Peer("legacy", version, connection, {}, None, {}, own_info)
    params = {"protocolVersion": version, "capabilities": OWN_CAPABILITIES, "clientInfo": dict(own_info)}
    try:
        result = await peer.request("initialize", params)
    except ErrorReply as exc:
        raise ConnectionLost(f"it answered initialize with error {exc.code}: {exc.message}") from exc
    chosen = result.get("protocolVersion")
    if chosen not in LEGACY:
        raise ConnectionLost(f"it speaks protocol version {chosen!r}, which the gateway does not")
    peer.version = chosen
    _describe(peer, result, result.get("serverInfo"))
    headers = {} if chosen == LEGACY[-1] else {"MCP-Protocol-Version": chosen}  # the header came after 2024-11-05
    await connection.notify("notifications/initialized", {}, headers)
    opened = getattr(connection, "handshake_done", None)
    if opened is not None:
        opened(headers)
    return peer


async def negotiate_pipe(connection: Connection, own_info: Mapping[str, Any], protocol: str) -> dict[str, Peer]:
    """Find the one era of a process or stream, which its first request settles: modern if it speaks it.

    A server that leaves the probe unanswered is sent `initialize` too; whichever is answered counts.
    """
    if protocol in LEGACY:
        return {"legacy": await handshake(connection, own_info, protocol)}
    if protocol != "auto":
        return {"modern": await _required_modern(connection, own_info, protocol)}
    probe: asyncio.Future[Peer | None] = asyncio.get_running_loop().create_future()
    async with anyio.create_task_group() as group:
        group.start_soon(_probe_into, probe, connection, own_info)
        outcome = await _first_face(probe, connection, own_info)
        group.cancel_scope.cancel()
    if isinstance(outcome, ConnectionLost):
        raise outcome
    return {outcome.face: outcome}


async def _probe_into(
    probe: "asyncio.Future[Peer | None]", connection: Connection, own_info: Mapping[str, Any]
) -> None:
    try:
        probe.set_result(await probe_modern(connection, own_info))
    except ConnectionLost as exc:
        probe.set_exception(exc)


async def _first_face(
    probe: "asyncio.Future[Peer | None]", connection: Connection, own_info: Mapping[str, Any]
) -> Peer | ConnectionLost:
    done, _ = await asyncio.wait({probe}, timeout=PATIENCE_SECONDS)
    try:
        if done and (peer := probe.result()) is not None:
            return peer
        return await handshake(connection, own_info)
    except ConnectionLost as exc:
        # A modern server that was only slow to start refuses initialize, but it has answered the probe before that.
        late = probe.result() if probe.done() and probe.exception() is None else None
        return late or exc


async def negotiate_http(
    modern: Connection, legacy: Connection, own_info: Mapping[str, Any], protocol: str
) -> dict[str, Peer]:
    """Find every era that a URL speaks, each on a connection of its own: a client is then served in its own era.

    What a server says in ``supportedVersions`` does not tell whether it also takes `initialize`, so both are tried.
    """
    if protocol in LEGACY:
        return {"legacy": await handshake(legacy, own_info, protocol)}
    if protocol != "auto":
        return {"modern": await _required_modern(modern, own_info, protocol)}
    peers: dict[str, Peer] = {}
    refused = ""
    try:
        found = await probe_modern(modern, own_info)
        if found is not None:
            peers["modern"] = found
    except ConnectionLost as exc:
        if exc.nothing_sent:
            raise
        refused = str(exc)
    try:
        peers["legacy"] = await handshake(legacy, own_info)
    except ConnectionLost as exc:
        if not peers:
            raise
        log.debug("no legacy face: %s", exc)
    if not peers:
        raise ConnectionLost(refused or "it answers neither server/discover nor initialize")
    return peers


async def _required_modern(connection: Connection, own_info: Mapping[str, Any], protocol: str) -> Peer:
    if protocol not in MODERN:
        raise ConnectionLost(f"protocol {protocol!r} is none that the gateway speaks: {', '.join(MODERN + LEGACY)}")
    peer = await probe_modern(connection, own_info)
    if peer is None:
        raise ConnectionLost(f"it does not speak protocol version {protocol}")
    return peer


def _describe(peer: Peer, result: Mapping[str, Any], info: Any) -> None:
    capabilities, instructions = result.get("capabilities"), result.get("instructions")
    peer.capabilities = capabilities if isinstance(capabilities, dict) else {}
    peer.instructions = instructions if isinstance(instructions, str) else None
    peer.info = info if isinstance(info, dict) else {}
