import asyncio
from typing import Any

import pytest

from tests.fixtures.clock import fake_time, now  # noqa: F401
from tests.fixtures.fakes import OWN_INFO, FakeChannel, FakeConnection, discovered, initialized, silence
from upstreams.channel import NO_CHANNEL
from upstreams.connection import Call
from upstreams.errors import ConnectionLost, ErrorReply, Unreachable
from upstreams.negotiation import (
    LEGACY,
    META_CAPABILITIES,
    META_CLIENT,
    META_LOG_LEVEL,
    META_VERSION,
    MODERN,
    PATIENCE_SECONDS,
    UNSUPPORTED_VERSION,
    Peer,
    handshake,
    negotiate_http,
    negotiate_pipe,
)

pytestmark = pytest.mark.anyio

NEW, OLD = MODERN[0], LEGACY[0]


async def over_pipe(connection: FakeConnection, protocol: str = "auto") -> dict[str, str]:
    peers = await negotiate_pipe(connection, OWN_INFO, protocol)
    return {face: peer.version for face, peer in peers.items()}


async def over_http(modern: FakeConnection, legacy: FakeConnection, protocol: str = "auto") -> dict[str, str]:
    peers = await negotiate_http(modern, legacy, OWN_INFO, protocol)
    return {face: peer.version for face, peer in peers.items()}


def speaks_modern(**more: Any) -> FakeConnection:
    return FakeConnection(server__discover=discovered(NEW), **more)


def speaks_legacy(version: str = OLD, **more: Any) -> FakeConnection:
    return FakeConnection(initialize=initialized(version), **more)


async def test_a_modern_pipe_is_modern_though_it_would_take_initialize_too() -> None:
    connection = speaks_modern(initialize=initialized(OLD))
    assert await over_pipe(connection) == {"modern": NEW}
    assert connection.methods == ["server/discover"]


async def test_a_legacy_pipe_is_initialized() -> None:
    connection = speaks_legacy()
    assert await over_pipe(connection) == {"legacy": OLD}
    assert connection.methods == ["server/discover", "initialize"]
    assert connection.notified == [("notifications/initialized", {}, {"MCP-Protocol-Version": OLD})]


async def test_a_url_of_both_eras_has_two_faces_each_on_a_connection_of_its_own() -> None:
    modern, legacy = speaks_modern(), speaks_legacy()
    assert await over_http(modern, legacy) == {"modern": NEW, "legacy": OLD}
    assert (modern.methods, legacy.methods) == (["server/discover"], ["initialize"])


@pytest.mark.parametrize(
    ("modern", "legacy", "faces"),
    [
        (speaks_modern(), FakeConnection(), {"modern": NEW}),
        (FakeConnection(), speaks_legacy(), {"legacy": OLD}),
        (FakeConnection(server__discover=ConnectionLost("HTTP 400")), speaks_legacy(), {"legacy": OLD}),
        (speaks_modern(), FakeConnection(initialize=ConnectionLost("HTTP 404")), {"modern": NEW}),
    ],
)
async def test_a_url_of_one_era_has_one_face(
    modern: FakeConnection, legacy: FakeConnection, faces: dict[str, str]
) -> None:
    assert await over_http(modern, legacy) == faces


async def test_a_url_of_no_era_says_why() -> None:
    with pytest.raises(ConnectionLost, match="answered initialize with error -32601"):
        await over_http(FakeConnection(), FakeConnection())


async def test_an_unreachable_url_is_tried_once() -> None:
    legacy = speaks_legacy()
    with pytest.raises(Unreachable):
        await over_http(FakeConnection(server__discover=Unreachable("refused")), legacy)
    assert legacy.sent == []


@pytest.mark.parametrize(
    "answer", [discovered("1999-01-01"), discovered(), {"supportedVersions": "x"}, {}, {"supportedVersions": [[1]]}]
)
async def test_disjoint_modern_versions_are_no_modern_face(answer: dict[str, Any]) -> None:
    assert await over_pipe(FakeConnection(server__discover=answer, initialize=initialized(OLD))) == {"legacy": OLD}


@pytest.mark.parametrize("version", ["1999-01-01", None, 5, [], NEW])
async def test_a_legacy_version_that_the_gateway_does_not_speak_is_refused(version: Any) -> None:
    with pytest.raises(ConnectionLost, match="which the gateway does not"):
        await handshake(FakeConnection(initialize={"protocolVersion": version}), OWN_INFO)


@pytest.mark.parametrize("version", LEGACY)
async def test_every_legacy_version_is_taken_and_the_header_sent_where_it_exists(version: str) -> None:
    connection = speaks_legacy(version)
    peer = await handshake(connection, OWN_INFO)
    assert peer.version == version
    assert connection.sent[0].params["protocolVersion"] == OLD
    header = {} if version == LEGACY[-1] else {"MCP-Protocol-Version": version}
    assert connection.notified == [("notifications/initialized", {}, header)]


async def test_a_pipe_that_is_silent_to_the_probe_is_initialized_after_a_moment() -> None:
    connection = speaks_legacy(server__discover=silence)
    assert await over_pipe(connection) == {"legacy": OLD}
    assert now() == pytest.approx(PATIENCE_SECONDS)
    assert connection.cancelled == ["server/discover"]


async def test_a_modern_server_that_starts_slowly_is_modern_all_the_same() -> None:
    async def late(call: Call) -> dict[str, Any]:
        await asyncio.sleep(PATIENCE_SECONDS + 1)
        return discovered(NEW)

    async def refused_later(call: Call) -> dict[str, Any]:
        await asyncio.sleep(2)
        raise ErrorReply(-32601, "no")

    assert await over_pipe(FakeConnection(server__discover=late, initialize=refused_later)) == {"modern": NEW}


async def test_a_pipe_that_ends_during_the_probe_is_lost() -> None:
    gone = ConnectionLost("it exited with code 1")
    with pytest.raises(ConnectionLost, match="exited with code 1"):
        await over_pipe(FakeConnection(server__discover=gone, initialize=gone))


async def test_a_pipe_that_answers_initialize_with_an_error_says_so() -> None:
    connection = FakeConnection(initialize=ErrorReply(-32000, "not today"))
    with pytest.raises(ConnectionLost, match="answered initialize with error -32000: not today"):
        await over_pipe(connection)


async def test_a_server_that_names_another_version_is_asked_again_in_that_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("upstreams.negotiation.MODERN", ("2099-01-01", NEW))

    def answer(call: Call) -> Any:
        if call.params["_meta"][META_VERSION] == NEW:
            return discovered(NEW)
        return ErrorReply(UNSUPPORTED_VERSION, "no", {"supported": [NEW], "requested": "2099-01-01"})

    connection = FakeConnection(server__discover=answer)
    peers = await negotiate_pipe(connection, OWN_INFO, "auto")
    assert peers["modern"].version == NEW


@pytest.mark.parametrize("data", [None, {}, {"supported": None}, {"supported": ["1999-01-01"]}, {"supported": [NEW]}])
async def test_a_server_that_refuses_every_version_is_not_asked_for_ever(data: Any) -> None:
    connection = speaks_legacy(server__discover=ErrorReply(UNSUPPORTED_VERSION, "no", data))
    assert await over_pipe(connection) == {"legacy": OLD}
    assert connection.methods == ["server/discover", "initialize"]


@pytest.mark.parametrize("version", LEGACY)
async def test_a_pinned_legacy_version_is_offered_and_no_probe_sent(version: str) -> None:
    for negotiated in (over_pipe, lambda one, protocol: over_http(FakeConnection(), one, protocol)):
        connection = speaks_legacy(version)
        assert await negotiated(connection, version) == {"legacy": version}
        assert connection.methods == ["initialize"]
        assert connection.sent[0].params["protocolVersion"] == version


async def test_a_pinned_modern_version_is_the_only_one_tried() -> None:
    connection = FakeConnection(initialize=initialized(OLD))
    with pytest.raises(ConnectionLost, match=f"does not speak protocol version {NEW}"):
        await over_pipe(connection, NEW)
    assert connection.methods == ["server/discover"]
    legacy = speaks_legacy()
    assert await over_http(speaks_modern(), legacy, NEW) == {"modern": NEW}
    assert legacy.sent == []


async def test_a_pinned_version_that_nobody_knows_is_refused_before_anything_is_sent() -> None:
    connection = speaks_modern()
    with pytest.raises(ConnectionLost, match="none that the gateway speaks"):
        await over_pipe(connection, "2001-01-01")
    assert connection.sent == []


async def test_what_a_server_says_of_itself_is_kept_and_nonsense_is_nothing() -> None:
    told = {**initialized(OLD), "instructions": "do this"}
    peer = await handshake(FakeConnection(initialize=told), OWN_INFO)
    assert (peer.instructions, peer.info) == ("do this", {"name": "fake"})
    nonsense = {"protocolVersion": OLD, "capabilities": [], "instructions": 5, "serverInfo": "x"}
    peer = await handshake(FakeConnection(initialize=nonsense), OWN_INFO)
    assert (peer.capabilities, peer.instructions, peer.info) == ({}, None, {})


async def sent(face: str, method: str, params: dict[str, Any], channel: Any = NO_CHANNEL) -> Call:
    connection = FakeConnection(**{method.replace("/", "__"): {}})
    await Peer(face, NEW, connection, {}, None, {}, OWN_INFO).request(method, params, channel)
    return connection.sent[0]


async def test_a_modern_request_carries_our_envelope_and_the_callers_own_meta() -> None:
    callers = {META_VERSION: "x", META_CLIENT: {"name": "theirs"}, "traceparent": "t", "vendor/x": 1}
    channel = FakeChannel(face="modern", capabilities={"elicitation": {"form": {}}, "vendor": {}}, log_level="warning")
    call = await sent("modern", "tools/call", {"name": "ünder", "extra": 1, "_meta": callers}, channel)
    assert call.params == {
        "name": "ünder",
        "extra": 1,
        "_meta": {
            "traceparent": "t",
            "vendor/x": 1,
            META_VERSION: NEW,
            META_CLIENT: OWN_INFO,
            META_CAPABILITIES: {"elicitation": {"form": {}}},
            META_LOG_LEVEL: "warning",
        },
    }
    assert call.headers["Mcp-Name"] == "=?base64?w7xuZGVy?="
    assert (call.headers["MCP-Protocol-Version"], call.headers["Mcp-Method"]) == (NEW, "tools/call")


async def test_what_a_legacy_client_can_be_asked_is_not_declared_to_a_modern_server() -> None:
    call = await sent("modern", "tools/list", {}, FakeChannel(face="legacy", capabilities={"sampling": {}}))
    assert call.params["_meta"][META_CAPABILITIES] == {}


async def test_a_legacy_request_loses_the_envelope_and_keeps_the_rest() -> None:
    call = await sent("legacy", "tools/call", {"name": "a", "_meta": {META_VERSION: NEW, "traceparent": "t"}})
    assert (call.params, dict(call.headers)) == ({"name": "a", "_meta": {"traceparent": "t"}}, {})
    assert (await sent("legacy", "tools/call", {"name": "a", "_meta": {META_VERSION: NEW}})).params == {"name": "a"}


async def test_only_a_legacy_server_is_sent_notifications() -> None:
    connection = FakeConnection()
    for face in ("modern", "legacy"):
        await Peer(face, NEW, connection, {}, None, {}).notify("notifications/x", {"face": face})
    assert connection.notified == [("notifications/x", {"face": "legacy"}, {})]
