"""Who gets in, what they carry further, how often they may call, and what forbidding tells, attacked over HTTP."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.fixtures.gate import JWT
from tests.fixtures.guarded import NARROW, POLICY, Guarded, guarded, signed
from tests.fixtures.live_gateway import JSON, Answer, Message, call, head, live_gateway, read_events, request
from tests.fixtures.tokens import AUDIENCE, ISSUER, jwk, jwks, make_key
from tests.fixtures.waiting import until

ADMIN, VIEWER = signed("admin", scope="tools.read"), signed("viewer")
WHERE = "/.well-known/oauth-protected-resource"
TRUSTING = {"allow": ['request.headers["x-team"] == "core"'], "trusted_headers": ["X-Team"], "on_deny": "forbid"}
STRICT = {
    "auth": {"mode": "strict", "scopes": ["mcp"], "jwt": [JWT]},
    "policy": {**POLICY, "on_deny": "forbid"},
    "routes": {
        "/scoped": {"upstreams": ["beta"], "scopes": ["tools.read", "tools.call"]},
        "/team": {"upstreams": ["alpha"], "policy": TRUSTING},
    },
    "rate_limits": [{"per": "identity_tool", "rate": "1/m", "tools": ["alpha_get-07"]}],
}
CALLER = signed("admin", scope="mcp other")


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded(tmp_path_factory.mktemp("gate"), "legacy", **STRICT) as one:
        yield one


def ask(gate: Guarded, who: Message, method: str, path: str = "/mcp", **params: Any) -> Answer:
    return gate.live.post(request(method, params), who, path)


@pytest.mark.parametrize("path", ["/mcp", "/mcp/alpha", "/none", "/mcp/none", "/"])
def test_who_does_not_get_in_learns_of_no_door(gate: Guarded, path: str) -> None:
    for who in ({}, {"Authorization": "Bearer x"}, signed("admin", aud="other"), signed("admin", exp=1)):
        for method in ("POST", "GET", "DELETE", "PUT"):
            answer = gate.live.http(method, path, {**JSON, **who}, b"not json" if method == "POST" else None)
            assert (answer.status, answer.code) == (401, -31401)
            told = f'resource_metadata="http://127.0.0.1:{gate.live.port}{WHERE}{path if path != "/" else ""}"'
            assert told in answer.headers["www-authenticate"]
            assert 'scope="mcp"' in answer.headers["www-authenticate"]
    assert ask(gate, CALLER, "ping", "/none").status == 404


def test_a_missing_scope_names_all_of_them_at_once(gate: Guarded) -> None:
    for who in (signed("admin"), CALLER, signed("admin", scope="mcp tools.read")):
        answer = ask(gate, who, "ping", "/scoped")
        assert (answer.status, answer.code) == (403, -31403)
        assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
        assert 'scope="mcp tools.read tools.call"' in answer.headers["www-authenticate"]
    assert ask(gate, signed("admin", scope="mcp tools.read tools.call"), "ping", "/scoped").status == 200


def test_every_door_has_its_metadata_and_nothing_else_has(gate: Guarded) -> None:
    for path, scopes in (("/mcp", ["mcp"]), ("/mcp/beta", ["mcp"]), ("/scoped", ["mcp", "tools.read", "tools.call"])):
        answer = gate.live.http("GET", WHERE + path, {})
        assert answer.json["resource"] == f"http://127.0.0.1:{gate.live.port}{path}"
        assert (answer.json["authorization_servers"], answer.json["scopes_supported"]) == ([ISSUER], scopes)
    for path in ("", "/none", "/mcp/", "/MCP"):
        assert gate.live.http("GET", WHERE + path, {}).status == 404


def test_two_credentials_of_one_kind_are_none(gate: Guarded) -> None:
    token = CALLER["Authorization"].encode()
    body = json.dumps(request("ping")).encode()
    twice = head("POST", "/mcp", {**JSON, **CALLER}, body).replace(b"\r\n", b"\r\nAuthorization: " + token + b"\r\n", 1)
    assert gate.live.raw(twice).status == 400
    query = gate.live.post(request("ping"), {}, "/mcp?access_token=" + CALLER["Authorization"].removeprefix("Bearer "))
    assert query.status == 401


def test_nothing_that_proves_the_caller_reaches_an_upstream(gate: Guarded) -> None:
    who = {**CALLER, "Cookie": "session=1", "X-Team": "core", "X-Forwarded-For": "1.2.3.4", "Proxy-Authorization": "x"}
    before = len(gate.upstreams["alpha"].seen)
    assert ask(gate, who, "tools/call", name="alpha_get-00").code is None
    assert gate.live.modern("tools/call", {"name": "alpha_get-00", "arguments": {}}, who).code is None
    sent = gate.upstreams["alpha"].seen[before:]
    assert len(sent) == 2
    for headers, body in sent:
        assert not {"authorization", "cookie", "x-team", "x-forwarded-for", "proxy-authorization"} & set(headers)
        assert CALLER["Authorization"].split(".")[-1].encode() not in body + repr(headers).encode()


def test_what_is_forbidden_says_so_in_every_way_of_speaking_and_what_is_unknown_does_not(gate: Guarded) -> None:
    viewer = signed("viewer", scope="mcp")
    before = gate.seen()
    for method, params in (
        ("tools/call", {"name": "alpha_drop-00"}),
        ("prompts/get", {"name": "alpha_plan-0"}),
        ("resources/read", {"uri": "alpha://shut/01"}),
    ):
        plain, modern = ask(gate, viewer, method, **params), gate.live.modern(method, params, viewer)
        assert (plain.status, plain.code, modern.status, modern.code) == (403, -31403, 200, -31403)
        assert plain.json["error"]["data"] == {"reason": "the policy does not allow it"}
    assert ask(gate, viewer, "tools/call", name="alpha_drop-zz").code == -32602
    assert gate.seen() == before


def test_a_trusted_header_is_the_only_one_that_counts_and_only_once(gate: Guarded) -> None:
    def count(who: Message) -> int:
        return len(ask(gate, {**CALLER, **who}, "tools/list", "/team").json["result"]["tools"])

    assert count({"X-Team": "core"}) == 22
    assert [count(who) for who in ({}, {"X-Team": "Core"}, {"X_Team": "core"}, {"X-Teams": "core"})] == [0, 0, 0, 0]
    body = json.dumps(request("tools/list")).encode()
    for first, second in ((b"core", b"other"), (b"other", b"core")):
        lines = b"\r\nX-Team: " + first + b"\r\nx-team: " + second + b"\r\n"
        answer = gate.live.raw(head("POST", "/team", {**JSON, **CALLER}, body).replace(b"\r\n", lines, 1))
        assert answer.status == 400


def test_too_many_calls_wait_each_identity_for_itself_at_every_door(gate: Guarded) -> None:
    ada, bob = signed("admin", "ada", scope="mcp"), signed("admin", "bob", scope="mcp")
    assert ask(gate, ada, "tools/call", name="alpha_get-07").code is None
    for answer in (
        ask(gate, ada, "tools/call", name="alpha_get-07"),
        ask(gate, ada, "tools/call", "/mcp/alpha", name="get-07"),
        gate.live.modern("tools/call", {"name": "alpha_get-07"}, ada),
        ask(gate, signed("admin", "ada", scope="mcp", extra=1), "tools/call", name="alpha_get-07"),
    ):
        assert (answer.status, answer.code) == (429, -31429)
        wait = answer.json["error"]["data"]["retry_after"]
        assert 1 <= wait <= 60
        assert answer.headers["retry-after"] == str(wait)
    assert ask(gate, bob, "tools/call", name="alpha_get-07").code is None
    assert ask(gate, ada, "tools/call", name="alpha_get-06").code is None


def test_lists_that_change_are_told_to_those_who_see_the_change(gate: Guarded) -> None:
    streams = {}
    about = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t"}}
    for role in ("admin", "viewer"):
        who = signed(role, f"{role}-listening", scope="mcp")
        mine = gate.live.post(request("initialize", about), who).headers["mcp-session-id"]
        get = {"Accept": "text/event-stream", **who, "Mcp-Session-Id": mine}
        streams[role] = gate.live.connect(head("GET", "/mcp", get))
        assert b"200 OK" in streams[role].recv(4096)
    change = {"name": "change", "inputSchema": {"type": "object"}}
    upstream = gate.live.gateway.upstreams["alpha"]
    seen = upstream.listing

    def publish(*names: str) -> None:
        items = {**seen.items, "tools": (*seen.items["tools"], *({**change, "name": name} for name in names))}
        gate.live.loop.call_soon_threadsafe(upstream.publish, replace(seen, items=items))

    with streams["admin"], streams["viewer"]:
        publish("get-new")
        assert read_events(streams["admin"], 1)[0]["method"] == "notifications/tools/list_changed"
        publish("get-new", "list-new")
        assert read_events(streams["viewer"], 1) == [{"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}]
        streams["viewer"].settimeout(0.2)
        with pytest.raises(TimeoutError):
            streams["viewer"].recv(1)  # there was one change for it, not two
    gate.live.loop.call_soon_threadsafe(upstream.publish, seen)


def test_a_key_that_reaches_nothing_of_a_forbidding_policy_hides_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    with guarded(tmp_path_factory.mktemp("gate"), policy={**POLICY, "on_deny": "forbid"}) as gate:
        who = {**signed("viewer"), "X-Api-Key": NARROW}
        assert ask(gate, who, "tools/call", name="alpha_get-00").code == -31403
        assert ask(gate, who, "tools/call", name="alpha_drop-00").code == -32602


def test_the_gateway_is_ready_when_the_keys_have_come_and_lets_nobody_in_before(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    key, come = make_key("ES256"), threading.Event()

    class Keys(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            come.wait(5.0)
            body = jwks(jwk(key, "k1"))
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Keys)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}/jwks.json"
    issuer = {"issuer": ISSUER, "audiences": [AUDIENCE], "jwks_url": url, "algorithms": ["ES256"]}
    config = {"mcpServers": {"off": {"command": "true", "disabled": False}}, "auth": {"jwt": [issuer]}}
    import jwt

    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": time.time() + 60}
    who = {"Authorization": f"Bearer {jwt.encode(claims, key, 'ES256', {'kid': 'k1'})}"}
    try:
        with live_gateway(tmp_path_factory.mktemp("gate"), config) as live:
            assert live.http("GET", "/readyz", {}).status == 503
            assert live.http("GET", "/healthz", {}).status == 200
            assert live.post(call("x")).status == 401
            come.set()
            until(lambda: live.http("GET", "/readyz", {}).status == 200, "the keys have come", 3.0)
            assert live.post(request("ping"), who).status == 200
    finally:
        come.set()
        server.shutdown()
        server.server_close()
        thread.join(5.0)
