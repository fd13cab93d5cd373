"""Running calls, questions and subscriptions of one identity, meddled with by another over HTTP."""

import json
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.fixtures.gate import JWT
from tests.fixtures.guarded import signed
from tests.fixtures.live_gateway import (
    JSON,
    Answer,
    LiveGateway,
    Message,
    call,
    head,
    live_gateway,
    read_events,
    request,
)
from tests.fixtures.raw_upstream import RawUpstream, raw_upstream, tool
from tests.fixtures.waiting import until

ADA, BOB = signed("admin", "ada"), signed("admin", "bob")
WAIT_SECONDS = 5.0


@pytest.fixture(scope="module")
def upstream() -> Iterator[RawUpstream]:
    with raw_upstream("legacy") as one:
        one.tools = [tool("ask"), tool("wait"), tool("hold"), tool("update")]
        one.answers_to |= {"resources/subscribe": {}, "resources/unsubscribe": {}}
        yield one


@pytest.fixture(scope="module")
def gate(upstream: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    config = {"mcpServers": {"a": {"url": upstream.url}}, "auth": {"jwt": [JWT]}}
    with live_gateway(tmp_path_factory.mktemp("gate"), config) as live:
        yield live


def within(gate: LiveGateway, who: Message, path: str = "/mcp") -> Message:
    """The headers of a new session of this identity."""
    about = {"protocolVersion": "2025-11-25", "capabilities": {"elicitation": {}}, "clientInfo": {"name": "t"}}
    return {**who, "Mcp-Session-Id": gate.post(request("initialize", about), who, path).headers["mcp-session-id"]}


def begun(gate: LiveGateway, message: Message, headers: Message) -> socket.socket:
    return gate.connect(head("POST", "/mcp", {**JSON, **headers}, json.dumps(message).encode()))


def strangers(gate: LiveGateway, mine: Message) -> list[tuple[Message, str]]:
    """Everybody else: with the stolen session, with one of his own, with another door's; and where each knocks."""
    stolen = {**BOB, "Mcp-Session-Id": mine["Mcp-Session-Id"]}
    elsewhere = within(gate, ADA, "/mcp/a")
    return [(stolen, "/mcp"), (within(gate, BOB), "/mcp"), (BOB, "/mcp"), (mine, "/mcp/a"), (elsewhere, "/mcp/a")]


def test_nobody_else_answers_the_question_of_a_call(gate: LiveGateway) -> None:
    mine = within(gate, ADA)
    with begun(gate, call("a_ask"), mine) as stream:
        question = read_events(stream, 1)[0]
        answer = {"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": {"by": "bob"}}}
        statuses = [gate.post(answer, who, path).status for who, path in strangers(gate, mine)]
        assert statuses == [404, 202, 400, 404, 202]
        own = {**answer, "result": {"action": "accept", "content": {"by": "ada"}}}
        assert gate.post(own, mine).status == 202
        text = read_events(stream, 1)[-1]["result"]["content"][0]["text"]
    assert json.loads(text)["content"] == {"by": "ada"}


def test_nobody_else_cancels_a_call(gate: LiveGateway, upstream: RawUpstream) -> None:
    mine, got = within(gate, ADA), list[Answer]()
    thread = threading.Thread(target=lambda: got.append(gate.post(call("a_wait", {}, 7), mine)))
    upstream.started.clear()
    upstream.release.clear()
    thread.start()
    try:
        assert upstream.started.wait(WAIT_SECONDS)
        cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
        statuses = [gate.post(cancel, who, path).status for who, path in strangers(gate, mine)]
        assert statuses == [404, 202, 400, 404, 202]
        assert (got, upstream.bodies("notifications/cancelled")) == ([], [])
    finally:
        upstream.release.set()
        thread.join(WAIT_SECONDS)
    assert got[0].json["result"] == {"content": []}


def test_of_two_calls_with_one_progress_token_each_hears_its_own(gate: LiveGateway, upstream: RawUpstream) -> None:
    upstream.release.clear()
    params = {"name": "a_hold", "arguments": {}, "_meta": {"progressToken": "same"}}
    streams = {name: begun(gate, request("tools/call", params), within(gate, who)) for name, who in CALLERS.items()}
    sent = until(lambda: len(seen := holds(upstream)) == 2 and seen, "both calls have arrived")
    assert len({one["_meta"]["progressToken"] for one in sent}) == 2
    for stream in streams.values():
        assert read_events(stream, 1)[0]["params"] == {"progressToken": "same", "progress": 1}
    upstream.release.set()
    for stream in streams.values():
        with stream:
            assert [event.get("method") for event in read_events(stream, 1)] == [None]


def holds(upstream: RawUpstream) -> list[Message]:
    called = [json.loads(body)["params"] for body in upstream.calls_seen()]
    return [params for params in called if params["name"] == "hold"]


CALLERS = {"ada": ADA, "bob": BOB}


def test_nobody_else_ends_a_subscription_or_hears_it(gate: LiveGateway) -> None:
    mine, other = within(gate, ADA), within(gate, BOB)
    uri = {"uri": "raw://one"}
    get = {"Accept": "text/event-stream"}
    streams = [gate.connect(head("GET", "/mcp", {**get, **headers})) for headers in (mine, other)]
    with streams[0] as ours, streams[1] as theirs:
        assert all(b"200 OK" in stream.recv(4096) for stream in streams)
        assert gate.post(request("resources/subscribe", uri), mine).code is None
        assert gate.post(request("resources/unsubscribe", uri), other).code is None
        stolen = {**BOB, "Mcp-Session-Id": mine["Mcp-Session-Id"]}
        assert gate.post(request("resources/unsubscribe", uri), stolen).status == 404
        update = call("a_update", {"uris": [uri["uri"]]})
        assert gate.post(update, BOB).code is None
        assert read_events(ours, 1)[0]["params"] == uri
        theirs.settimeout(0.2)
        with pytest.raises(TimeoutError):
            theirs.recv(1)
