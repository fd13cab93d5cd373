"""Cursors and request states that were changed or belong to something else, against a real gateway."""

from collections.abc import Iterator

import pytest

from tests.fixtures.live_gateway import Answer, LiveGateway, Message, live_gateway, request
from tests.fixtures.pages import small_pages
from tests.fixtures.raw_upstream import RawUpstream, raw_upstream, tool


@pytest.fixture(scope="module")
def old() -> Iterator[RawUpstream]:
    with raw_upstream("legacy") as one:
        one.tools = [tool("echo"), tool("ask"), tool("wait")]
        yield one


@pytest.fixture(scope="module")
def new() -> Iterator[RawUpstream]:
    with raw_upstream("modern") as one:
        one.tools = [tool(f"t{number}") for number in range(20)] + [tool("input"), tool("other")]
        for name in ("input", "other"):
            one.calls[name] = needs_input
        yield one


def needs_input(params: Message) -> Message:
    """Asks for input once, then says with which state it was called again."""
    state = params.get("requestState")
    if state is None:
        return {"resultType": "input_required", "requestState": "upstream-state", "inputRequests": {}}
    return {"content": [{"type": "text", "text": state}]}


@pytest.fixture(scope="module")
def gate(old: RawUpstream, new: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    config = {
        "mcpServers": {"old": {"url": old.url}, "new": {"url": new.url}},
        "routes": {"/twin": {"upstreams": ["new"]}},
    }
    with small_pages(), live_gateway(tmp_path_factory.mktemp("gate"), config) as live:
        yield live


def tampered(text: str) -> list[str]:
    """Texts that are nearly the one that was sealed."""
    middle = len(text) // 2
    flipped = text[:middle] + ("A" if text[middle] != "A" else "B") + text[middle + 1 :]
    return [flipped, text[:-1], text[1:], text + "A", text * 2, text[::-1], text[:16], "=" * 8, "é" * 8, "\x00"]


def test_a_cursor_of_another_door_kind_or_era_is_refused(gate: LiveGateway) -> None:
    cursor = gate.modern("tools/list", path="/mcp/new").json["result"]["nextCursor"]
    assert gate.modern("tools/list", {"cursor": cursor}, path="/mcp/new").code is None
    assert gate.modern("tools/list", {"cursor": cursor}, path="/mcp").code == -32602
    assert gate.modern("tools/list", {"cursor": cursor}, path="/twin").code == -32602
    for kind in ("prompts/list", "resources/list", "resources/templates/list"):
        assert gate.modern(kind, {"cursor": cursor}, path="/mcp/new").code == -32602
    session = gate.session("/mcp/new")
    assert gate.legacy(session, request("tools/list", {"cursor": cursor}), "/mcp/new").code == -32602


def test_a_tampered_cursor_is_refused(gate: LiveGateway) -> None:
    cursor = gate.modern("tools/list").json["result"]["nextCursor"]
    for bad in [*tampered(cursor), "", "0", "1", "x" * 100_000, 5, 0, True, [], {}, cursor + "\n"]:
        answer = gate.modern("tools/list", {"cursor": bad})
        assert (answer.status, answer.code) == (400, -32602), bad


def test_pages_hold_every_tool_once(gate: LiveGateway) -> None:
    names, cursor = [], None
    for _ in range(100):
        params = {} if cursor is None else {"cursor": cursor}
        result = gate.modern("tools/list", params).json["result"]
        names += [one["name"] for one in result["tools"]]
        cursor = result.get("nextCursor")
        if cursor is None:
            break
    assert names == gate_names(gate)
    assert len(set(names)) == 25


def gate_names(gate: LiveGateway) -> list[str]:
    return [one["name"] for one in gate.post(request("tools/list")).json["result"]["tools"]]


def state_of(gate: LiveGateway, path: str = "/mcp", name: str = "new_input") -> str:
    """A sealed state, as the gateway gives it to a client."""
    state: str = gate.modern("tools/call", {"name": name, "arguments": {"a": 1}}, path=path).json["result"][
        "requestState"
    ]
    return state


def retry(gate: LiveGateway, state: object, path: str = "/mcp", **changes: object) -> Answer:
    params = {"name": "new_input", "arguments": {"a": 1}, "requestState": state, **changes}
    return gate.modern("tools/call", params, path=path)


def test_a_request_state_comes_back_to_its_upstream_and_is_not_readable_on_the_way(gate: LiveGateway) -> None:
    state = state_of(gate)
    assert "upstream-state" not in state
    assert retry(gate, state).json["result"]["content"][0]["text"] == "upstream-state"


def test_a_request_state_is_bound_to_tool_arguments_and_door(gate: LiveGateway, new: RawUpstream) -> None:
    state = state_of(gate)
    before = len(new.calls_seen())
    refused = [
        retry(gate, state, name="new_other"),
        retry(gate, state, arguments={"a": 2}),
        retry(gate, state, arguments={}),
        retry(gate, state, arguments={"a": True}),
        retry(gate, state, arguments={"a": 1.0}),
        retry(gate, state, path="/twin", name="input"),
        retry(gate, state, path="/mcp/new", name="input"),
        gate.modern("resources/read", {"uri": "raw://one", "requestState": state}, path="/mcp/new"),
        gate.modern("prompts/get", {"name": "new_greet", "requestState": state}),
        gate.post(request("tools/call", {"name": "old_echo", "arguments": {"a": 1}, "requestState": state})),
    ]
    assert [answer.code for answer in refused] == [-32602] * len(refused)
    assert len(new.calls_seen()) == before


def test_a_tampered_request_state_never_reaches_the_upstream(gate: LiveGateway, new: RawUpstream) -> None:
    state, cursor = state_of(gate), gate.modern("tools/list").json["result"]["nextCursor"]
    before = len(new.seen)
    for bad in [*tampered(state), cursor, "", "upstream-state", 5, True, [], {"state": state}]:
        answer = retry(gate, bad)
        assert (answer.status, answer.code) == (400, -32602), bad
    assert len(new.seen) == before


def test_an_unknown_door_and_a_hidden_server_answer_alike(gate: LiveGateway) -> None:
    answers = [gate.post(request("ping"), path=path) for path in ("/mcp/none", "/mcp/secret", "/none")]
    assert {(one.status, one.body) for one in answers} == {(404, answers[0].body)}
