"""Cursors and request states of one identity in the hands of another, over HTTP: they count as ones that never were."""

from collections.abc import Iterator, Mapping

import pytest

from gateway.api_keys import new_key
from tests.fixtures.gate import JWT, entry
from tests.fixtures.guarded import signed
from tests.fixtures.live_gateway import Answer, LiveGateway, Message, live_gateway, request
from tests.fixtures.pages import small_pages
from tests.fixtures.raw_upstream import RawUpstream, raw_upstream, tool

OTHER_ISSUER = "https://other.example.com"
ADA_KEY, ADA_ENTRY = new_key("ada")
ADA = signed("admin", "ada")
STRANGERS = {
    "another subject": signed("admin", "bob"),
    "the same subject of another issuer": signed("admin", "ada", iss=OTHER_ISSUER),
    "a key of the same name": {"X-Api-Key": ADA_KEY},
    "nobody": {},
}
FORGED = "A" * 120
WORDS = "upstream-state"

Who = Mapping[str, str]


def needs_input(params: Message) -> Message:
    if "requestState" not in params:
        return {"resultType": "input_required", "requestState": WORDS, "inputRequests": {}}
    return {"content": [{"type": "text", "text": params["requestState"]}]}


@pytest.fixture(scope="module")
def upstream() -> Iterator[RawUpstream]:
    with raw_upstream("modern") as one:
        one.tools = [tool(f"t{number}") for number in range(10)] + [tool("input")]
        one.calls["input"] = needs_input
        yield one


@pytest.fixture(scope="module")
def gate(upstream: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    config = {
        "mcpServers": {"a": {"url": upstream.url, "prefix": "x"}},
        "routes": {"/twin": {"upstreams": ["a"], "prefix": "always"}},
        "auth": {
            "mode": "optional",
            "jwt": [JWT, {**JWT, "issuer": OTHER_ISSUER}],
            "api_keys": [{**entry(ADA_ENTRY), "claims": {"sub": "ada", "role": "admin"}}],
        },
    }
    with small_pages(), live_gateway(tmp_path_factory.mktemp("gate"), config) as live:
        yield live


def listed(gate: LiveGateway, cursor: str | None, who: Who, path: str = "/mcp") -> Answer:
    return gate.modern("tools/list", {} if cursor is None else {"cursor": cursor}, who, path)


def retried(gate: LiveGateway, state: str | None, who: Who, path: str = "/mcp") -> Answer:
    params = {"name": "x_input", "arguments": {}, **({} if state is None else {"requestState": state})}
    return gate.modern("tools/call", params, who, path)


@pytest.mark.parametrize("path", ["/mcp", "/twin"])
@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_cursor_of_another_identity_is_one_that_never_was(gate: LiveGateway, stranger: str, path: str) -> None:
    who = STRANGERS[stranger]
    mine, theirs = (listed(gate, None, one).json["result"]["nextCursor"] for one in (ADA, who))
    forged = listed(gate, FORGED, who, path)
    assert (forged.status, forged.code) == (400, -32602)
    stolen = listed(gate, mine, who, path)
    assert (stolen.status, stolen.body) == (forged.status, forged.body)
    assert listed(gate, theirs, ADA, path).body == listed(gate, FORGED, ADA, path).body
    assert listed(gate, mine, signed("admin", "ada", jti="renewed")).code is None
    assert listed(gate, mine, ADA, "/twin").body == listed(gate, FORGED, ADA, "/twin").body


@pytest.mark.parametrize("stranger", STRANGERS)
def test_neither_is_a_cursor_in_a_session(gate: LiveGateway, stranger: str) -> None:
    about = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t"}}

    def within(who: Who, cursor: str | None = None) -> Answer:
        session = gate.post(request("initialize", about), who).headers["mcp-session-id"]
        params = {} if cursor is None else {"cursor": cursor}
        return gate.post(request("tools/list", params), {**who, "Mcp-Session-Id": session})

    mine = within(ADA).json["result"]["nextCursor"]
    assert within(ADA, mine).code is None
    stolen, forged = within(STRANGERS[stranger], mine), within(STRANGERS[stranger], FORGED)
    assert stolen.code == -32602
    assert (stolen.status, stolen.body) == (forged.status, forged.body)


@pytest.mark.parametrize("path", ["/mcp", "/twin"])
@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_request_state_of_another_identity_is_one_that_never_was(
    gate: LiveGateway, upstream: RawUpstream, stranger: str, path: str
) -> None:
    who = STRANGERS[stranger]
    mine, theirs = (retried(gate, None, one).json["result"]["requestState"] for one in (ADA, who))
    before = len(upstream.seen)
    forged = retried(gate, FORGED, who, path)
    assert (forged.status, forged.code) == (400, -32602)
    stolen = retried(gate, mine, who, path)
    assert (stolen.status, stolen.body) == (forged.status, forged.body)
    assert retried(gate, theirs, ADA, path).body == retried(gate, FORGED, ADA, path).body
    assert retried(gate, mine, ADA, "/twin").body == retried(gate, FORGED, ADA, "/twin").body
    assert len(upstream.seen) == before
    again = retried(gate, mine, signed("admin", "ada", jti="renewed"))
    assert again.json["result"]["content"][0]["text"] == WORDS
