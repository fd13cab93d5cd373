"""Calls that outlive the token that they were made with, against a real gateway."""

import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.fixtures.gate import JWT
from tests.fixtures.guarded import signed
from tests.fixtures.live_gateway import (
    ENVELOPE,
    JSON,
    Answer,
    LiveGateway,
    Message,
    call,
    head,
    live_gateway,
    modern_headers,
    read_answer,
    request,
)
from tests.fixtures.raw_upstream import RawUpstream, raw_upstream, tool
from tests.fixtures.waiting import until

LIFE_SECONDS = 1.0  # of a token: the calls under test have begun by then
SLACK_SECONDS = 5.0
EXPIRED = {"code": -31401, "message": "The token has expired"}


@pytest.fixture(scope="module")
def upstream() -> Iterator[RawUpstream]:
    with raw_upstream("legacy") as one:
        one.tools = [tool("hold"), tool("wait"), tool("ask"), tool("echo")]
        yield one


@pytest.fixture(scope="module")
def gate(upstream: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    config = {"mcpServers": {"a": {"url": upstream.url}}, "auth": {"jwt": [JWT]}}
    with live_gateway(tmp_path_factory.mktemp("gate"), config) as live:
        yield live


def initialized(gate: LiveGateway, who: Message) -> str:
    params = {"protocolVersion": "2025-11-25", "capabilities": {"elicitation": {}}, "clientInfo": {"name": "t"}}
    return gate.post(request("initialize", params), who).headers["mcp-session-id"]


def begun(gate: LiveGateway, message: Message, headers: Message) -> socket.socket:
    return gate.connect(head("POST", "/mcp", {**JSON, **headers}, json.dumps(message).encode()))


def ended(connection: socket.socket) -> list[Message]:
    """The events of a stream up to its clean end, within a bound."""
    connection.settimeout(LIFE_SECONDS + SLACK_SECONDS)
    answer = read_answer(connection)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")
    lines = [line for line in answer.body.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line.removeprefix(b"data: ")) for line in lines]


def test_the_stream_of_a_running_call_ends_with_its_token_and_so_does_the_call(
    gate: LiveGateway, upstream: RawUpstream
) -> None:
    ends = time.time() + LIFE_SECONDS
    who = signed("admin", "short", exp=ends)
    session = initialized(gate, who)
    meta = {"progressToken": "p"}
    in_modern = {"name": "a_hold", "arguments": {}, "_meta": {**ENVELOPE, **meta}}
    in_legacy = {"name": "a_hold", "arguments": {}, "_meta": meta}
    streams = [
        begun(gate, request("tools/call", in_modern, 1), {**who, **modern_headers("tools/call", in_modern)}),
        begun(gate, request("tools/call", in_legacy, 2), {**who, "Mcp-Session-Id": session}),
        begun(gate, call("a_ask", {}, 3), {**who, "Mcp-Session-Id": session}),
        begun(gate, call("a_hold", {}, 4), {**who, "Accept": "text/event-stream"}),
    ]
    for number, stream in enumerate(streams, 1):
        with stream:
            *before, last = ended(stream)
            assert time.time() >= ends - 0.05
            assert last == {"jsonrpc": "2.0", "id": number, "error": EXPIRED}
            assert [one["method"] for one in before] == FIRST[number - 1]
    cancelled = until(lambda: (said := upstream.bodies("notifications/cancelled")) and len(said) == 4 and said, "four")
    ids = {json.loads(body)["id"] for body in upstream.calls_seen()}
    assert {json.loads(body)["params"]["requestId"] for body in cancelled} == ids
    assert gate.post(request("ping"), {**who, "Mcp-Session-Id": session}).status == 401
    upstream.release.set()


FIRST = [["notifications/progress"], ["notifications/progress"], ["elicitation/create"], []]


def test_a_newer_token_of_the_same_caller_does_not_prolong_a_stream(gate: LiveGateway) -> None:
    who = signed("admin", "renewed", exp=time.time() + LIFE_SECONDS)
    session = initialized(gate, who)
    with begun(gate, call("a_ask", {}, 1), {**who, "Mcp-Session-Id": session}) as stream:
        newer = signed("admin", "renewed")
        assert gate.post(request("ping"), {**newer, "Mcp-Session-Id": session}).code is None
        assert ended(stream)[-1]["error"] == EXPIRED
    assert gate.post(request("ping"), {**newer, "Mcp-Session-Id": session}).code is None


def test_a_single_answer_is_given_to_whom_was_let_in(gate: LiveGateway, upstream: RawUpstream) -> None:
    upstream.started.clear()
    upstream.release.clear()
    who = signed("admin", "plain", exp=time.time() + LIFE_SECONDS)
    got: list[Answer] = []
    late = call("a_wait", {}, 5)
    thread = threading.Thread(target=lambda: got.append(gate.post(late, {**who, "Accept": "application/json"})))
    thread.start()
    assert upstream.started.wait(SLACK_SECONDS)
    until(lambda: gate.post(request("ping"), who).status == 401, "the token has expired", LIFE_SECONDS + SLACK_SECONDS)
    upstream.release.set()
    thread.join(SLACK_SECONDS)
    assert (got[0].status, got[0].json["result"]) == (200, {"content": []})
