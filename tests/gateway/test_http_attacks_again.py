"""Requests that are equal to one before on their connection, once that should no longer be let through; and such as
differ from it in one thing that decides."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from gateway.api_keys import new_key
from gateway.transports.entrance import Entrance
from tests.fixtures.again import LIST, PING, Talk, on_loop, plainly, reload, talk
from tests.fixtures.gate import JWT, entry
from tests.fixtures.guarded import signed
from tests.fixtures.live_gateway import JSON, Answer, LiveGateway, Message, call, head, live_gateway, read_answer
from tests.fixtures.raw_upstream import RawUpstream, raw_upstream, tool
from tests.fixtures.tokens import AUDIENCE, ISSUER, jwk, jwks, make_key, token
from tests.fixtures.waiting import until

KEY, ENTRY = new_key("ci")
LIFE_SECONDS = 1.0  # of a token that ends under test
CLIENT = "203.0.113.7"
ROLES: Message = {
    "allow": [
        'jwt.role == "reader" && mcp.tool.name == "echo"',
        'jwt.role == "writer" && mcp.tool.name == "shut"',
        'identity.kind == "api_key"',
        'identity.kind == "anonymous" && mcp.tool.name == "open"',
        f'source.address == "{CLIENT}" && mcp.tool.name == "far"',
        'request.headers["x-team"] == "red" && mcp.tool.name == "red"',
    ],
    "trusted_headers": ["X-Team"],
}
SERVER = {"drain": "1s", "allowed_hosts": ["gw.example", "127.0.0.1"], "allowed_origins": ["http://page.example"]}
BESIDE = {"upstreams": ["a"]}
ENDS = time.time() + 3_000
READER, WRITER = signed("reader", "same", exp=ENDS), signed("writer", "same", exp=ENDS)


def settings(upstream: RawUpstream, **sections: Any) -> Message:
    auth = {"mode": "optional", "jwt": [JWT], "api_keys": [entry(ENTRY)]}
    server = {**SERVER, "trusted_proxies": ["127.0.0.0/8"], **sections.pop("server", {})}
    usual = {"auth": auth, "policy": ROLES, "routes": {"/beside": BESIDE}}
    return {"mcpServers": {"a": {"url": upstream.url}}, "server": server, **usual, **sections}


@pytest.fixture(scope="module")
def upstream() -> Iterator[RawUpstream]:
    with raw_upstream("legacy") as one:
        one.tools = [tool(name) for name in ("echo", "shut", "open", "far", "red", "wait")]
        yield one


@pytest.fixture(scope="module")
def gate(upstream: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    with live_gateway(tmp_path_factory.mktemp("gate"), settings(upstream)) as live:
        yield live


@pytest.fixture
def again(gate: LiveGateway) -> Iterator[Talk]:
    with talk(gate) as one:
        yield one


def tools(answer: Answer) -> list[str]:
    return [one["name"].removeprefix("a_") for one in answer.json["result"]["tools"]]


def test_who_was_let_in_is_not_asked_again_under_the_same_config(
    gate: LiveGateway, again: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without which nothing here would show anything."""
    asked, admit = list[str](), Entrance.admit

    async def counted(self: Entrance, scope: Any, headers: Any, path: str) -> Any:
        asked.append(path)
        return await admit(self, scope, headers, path)

    monkeypatch.setattr(Entrance, "admit", counted)
    for message in (PING, LIST, PING, call("a_echo"), LIST):
        assert again.ask(message, READER).code is None
    assert len(asked) == 1
    with talk(gate, remembered=False) as afresh:
        assert [afresh.ask(PING, READER).status for _ in range(3)] == [200] * 3
    assert len(asked) == 4


def test_a_token_that_has_ended_is_not_taken_again(again: Talk) -> None:
    ends = time.time() + LIFE_SECONDS
    who = signed("reader", exp=ends)
    assert [tools(again.ask(LIST, who)) for _ in range(3)] == [["echo"]] * 3
    until(lambda: time.time() > ends, "the token has ended")
    answer = again.ask(LIST, who)
    assert (answer.status, answer.json["error"]["message"]) == (401, "The token has expired")
    assert again.ask(LIST, READER).status == 200


KEYED, PAGE = {"X-Api-Key": KEY}, {"Origin": "http://page.example"}
NARROW = {"jwt": [JWT], "api_keys": [{**entry(ENTRY), "tools": {"include": ["a_open"]}}]}
RELOADS: dict[str, tuple[Message, Message, str, int | list[str]]] = {
    "the key is gone": (KEYED, {"auth": {"jwt": [JWT]}}, "/mcp", 401),
    "the key is narrowed": (KEYED, {"auth": NARROW}, "/mcp", ["open"]),
    "everybody needs a credential": ({}, {"auth": {"mode": "strict", "jwt": [JWT]}}, "/mcp", 401),
    "another audience": (READER, {"auth": {"jwt": [{**JWT, "audiences": ["other"]}]}}, "/mcp", 401),
    "another secret": (READER, {"auth": {"jwt": [{**JWT, "secret": "x" * 64}]}}, "/mcp", 401),
    "a scope is needed": (READER, {"routes": {"/beside": {**BESIDE, "scopes": ["more"]}}}, "/beside", 403),
    "another policy": (READER, {"policy": {**ROLES, "deny": ['mcp.tool.name == "echo"']}}, "/mcp", []),
    "another host": ({"Host": "gw.example"}, {"server": {"allowed_hosts": ["127.0.0.1"]}}, "/mcp", 403),
    "another origin": (PAGE, {"server": {"allowed_origins": []}}, "/mcp", 403),
    "no proxies": ({"X-Forwarded-For": CLIENT}, {"server": {"trusted_proxies": []}}, "/mcp", ["open"]),
    "other proxies": ({"X-Forwarded-For": CLIENT}, {"server": {"trusted_proxies": ["10.0.0.1"]}}, "/mcp", ["open"]),
    "a smaller body": (READER, {"server": {"max_body": "40B"}}, "/mcp", 413),
    "the door is gone": (READER, {"routes": {}}, "/beside", 404),
    "a header that is not read": ({"X-Team": "red"}, {"policy": {"allow": ROLES["allow"][:-1]}}, "/mcp", ["open"]),
}


@pytest.fixture(scope="module")
def changing(upstream: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    with live_gateway(tmp_path_factory.mktemp("changing"), settings(upstream)) as live:
        yield live


@pytest.mark.parametrize("what", RELOADS)
def test_a_reload_holds_for_requests_that_were_let_in_before(
    changing: LiveGateway, upstream: RawUpstream, what: str, tmp_path: Path
) -> None:
    headers, changes, path, expected = RELOADS[what]
    reload(changing, tmp_path, settings(upstream))
    with talk(changing) as again, talk(changing) as other:
        before = [plainly(again.ask(LIST, headers, path)) for _ in range(3)]
        assert (before[0][0], before[1:]) == (200, before[:1] * 2)
        for config in (settings(upstream, **changes), settings(upstream), settings(upstream, **changes)):
            reload(changing, tmp_path, config)
            answers = [plainly(one.ask(LIST, headers, path)) for one in (again, again, other)]
            assert answers[1:] == answers[:1] * 2
            if config == settings(upstream):
                assert answers == before
                continue
            status, _, body = answers[0]
            found = Answer(status, {}, body)
            assert (tools(found) if isinstance(expected, list) else status) == expected


class Keys(BaseHTTPRequestHandler):
    """Gives out the key set that its server holds."""

    def do_GET(self) -> None:
        body: bytes = self.server.keys  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_a_key_that_left_the_issuer_takes_its_remembered_heads_along(upstream: RawUpstream, tmp_path: Path) -> None:
    old, new = make_key("RS256", "old"), make_key("RS256", "new")
    server = HTTPServer(("127.0.0.1", 0), Keys)
    server.keys = jwks(jwk(old, "old"))  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/jwks"
    issuer = {"issuer": ISSUER, "audiences": [AUDIENCE], "jwks_url": url, "algorithms": ["RS256"]}
    who, newer = (
        {"Authorization": f"Bearer {token(key, 'RS256', {'kid': name}, exp=ENDS, role='reader')}"}
        for key, name in ((old, "old"), (new, "new"))
    )
    try:
        with (
            live_gateway(tmp_path, settings(upstream, auth={"jwt": [issuer]})) as live,
            talk(live) as again,
            talk(live) as other,
        ):
            assert [tools(again.ask(LIST, who)) for _ in range(2)] == [["echo"]] * 2
            server.keys = jwks(jwk(new, "new"))  # type: ignore[attr-defined]
            assert other.ask(LIST, newer).status == 200  # has the keys fetched anew
            assert [again.ask(LIST, who).status for _ in range(2)] == [401, 401]
            assert again.ask(LIST, newer).status == 200
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_gateway_that_is_about_to_stop_takes_no_more_of_a_client_it_knows(gate: LiveGateway, again: Talk) -> None:
    assert [again.ask(LIST, READER).status for _ in range(2)] == [200, 200]
    try:
        on_loop(gate, lambda: setattr(gate.gateway.service, "draining", True))
        answers = [again.ask(LIST, READER) for _ in range(2)]
        assert [(one.status, one.headers["retry-after"]) for one in answers] == [(503, "1")] * 2
    finally:
        on_loop(gate, lambda: setattr(gate.gateway.service, "draining", False))
    assert again.ask(LIST, READER).status == 200


def test_tokens_of_one_length_are_not_taken_for_each_other(again: Talk) -> None:
    assert len(READER["Authorization"]) == len(WRITER["Authorization"])
    signature = READER["Authorization"].rpartition(".")[2]
    forged = {"Authorization": WRITER["Authorization"].rpartition(".")[0] + "." + signature}
    for _ in range(3):
        assert tools(again.ask(LIST, READER)) == ["echo"]
        assert tools(again.ask(LIST, WRITER)) == ["shut"]
        assert again.ask(LIST, forged).status == 401
        assert tools(again.ask(LIST)) == ["open"]
        assert len(tools(again.ask(LIST, KEYED))) == 6
        assert again.ask(LIST, {"X-Api-Key": KEY[:-1] + ("a" if KEY[-1] != "a" else "b")}).status == 401


ECHO = call("a_echo", {"x": 1})
OTHERS: dict[str, tuple[Message, int]] = {
    "another host": ({"Host": "evil.example"}, 403),
    "another origin": ({"Origin": "http://evil.example"}, 403),
    "a forwarded host": ({"X-Forwarded-Host": "evil.example"}, 403),
    "a forwarded address": ({"X-Forwarded-For": CLIENT}, 200),
    "only other tools": ({"X-Mcp-Include-Tools": "a_shut"}, 200),
    "no server": ({"X-Mcp-Include-Clients": "none"}, 200),
    "two credentials": ({"Authorization": READER["Authorization"] + "\r\nAuthorization: Bearer x"}, 400),
    "two origins": ({"Origin": "http://page.example\r\nOrigin: http://page.example"}, 400),
    "two types": ({"Content-Type": "application/json\r\nContent-Type: application/json"}, 400),
    "a trusted header twice": ({"X-Team": "red\r\nX-Team: red"}, 400),
    "a session that is none": ({"Mcp-Session-Id": "x"}, 404),
    "another version": ({"MCP-Protocol-Version": "2026-07-28"}, 400),
    "a type that a page may send": ({"Content-Type": "text/plain"}, 415),
    "a form": ({"Content-Type": "application/x-www-form-urlencoded", "Authorization": None}, 415),
    "no type": ({"Content-Type": None}, 415),
    "a stream and nothing else": ({"Accept": "text/event-stream"}, 200),
    "anything": ({"Accept": None}, 200),
    "no credential": ({"Authorization": None}, 200),
    "another scheme": ({"Authorization": "Basic eDp5"}, 401),
    "a key that is none": ({"X-Api-Key": "x"}, 401),
}


@pytest.mark.parametrize("what", OTHERS)
def test_one_other_header_is_judged_as_on_a_connection_of_which_nothing_is_known(
    gate: LiveGateway, again: Talk, what: str
) -> None:
    changes, status = OTHERS[what]
    other = {**READER, **changes}
    for message in (LIST, ECHO):
        usual = [plainly(again.ask(message, READER)) for _ in range(2)]
        with talk(gate, remembered=False) as afresh:
            wanted = plainly(afresh.ask(message, other))
            assert wanted[0] == status or (status == 200 and message is ECHO)
            assert usual == [plainly(afresh.ask(message, READER))] * 2
        for _ in range(3):
            assert plainly(again.ask(message, other)) == wanted
            assert plainly(again.ask(message, READER)) == usual[0]


def test_an_idempotency_key_counts_and_may_not_come_twice(again: Talk, upstream: RawUpstream) -> None:
    keyed = {**READER, "X-Idempotency-Key": "k-1"}
    before = len(upstream.calls_seen())
    assert [again.ask(ECHO, keyed).status for _ in range(3)] == [200] * 3
    assert len(upstream.calls_seen()) == before + 1
    twice = {**READER, "X-Idempotency-Key": "k-1\r\nX-Idempotency-Key: k-1"}
    assert [again.ask(ECHO, twice).status for _ in range(3)] == [400] * 3


@pytest.mark.parametrize("path", ["/mcp/", "/mcp?x=1", "/MCP", "/mcp/a", "/beside", "/nowhere", "/healthz"])
def test_another_path_is_another_request(gate: LiveGateway, again: Talk, path: str) -> None:
    usual = [plainly(again.ask(LIST, READER)) for _ in range(2)]
    with talk(gate, remembered=False) as afresh:
        wanted = plainly(afresh.ask(LIST, READER, path))
    assert [plainly(again.ask(LIST, READER, path)) for _ in range(2)] == [wanted] * 2
    assert plainly(again.ask(LIST, READER)) == usual[0]


@pytest.mark.parametrize("remembered", [True, False])
def test_a_body_that_is_too_large_is_refused_whoever_sends_it(gate: LiveGateway, remembered: bool) -> None:
    most = gate.gateway.config.server.max_body
    large = json.dumps(PING).encode().ljust(most + 1)
    with talk(gate, remembered=remembered) as again:
        assert [again.ask(PING, READER).status for _ in range(2)] == [200, 200]
        assert again.ask(large[:-1], READER).status == 200
        assert again.ask(large, READER).status == 413
    with talk(gate, remembered=remembered) as again:
        assert [again.ask(PING, READER).status for _ in range(2)] == [200, 200]
        named = {"Host": f"127.0.0.1:{gate.port}", **JSON, **READER, "Content-Length": str(most + 1)}
        again.connection.sendall(head("POST", "/mcp", named))
        assert read_answer(again.connection).status == 413  # at once: nobody waits for it to come
