"""Every promise of who may do what, attacked from outside over HTTP."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fixtures.guarded import BUILD, NARROW, Guarded, guarded, signed
from tests.fixtures.live_gateway import JSON, Answer, Message, call, head, read_events, request
from tests.fixtures.tokens import token

ADMIN, DEVELOPER, VIEWER = signed("admin"), signed("developer"), signed("viewer")
STREAM = {"Accept": "text/event-stream"}


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded(tmp_path_factory.mktemp("gate"), "legacy") as one:
        yield one


def ask(gate: Guarded, who: Message, method: str, path: str = "/mcp", **params: Any) -> Answer:
    return gate.live.post(request(method, params), who, path)


def names(gate: Guarded, who: Message, path: str = "/mcp") -> list[str]:
    return [one["name"] for one in ask(gate, who, "tools/list", path).json["result"]["tools"]]


def session(gate: Guarded, who: Message, path: str = "/mcp") -> str:
    about = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t"}}
    answer = gate.live.post(request("initialize", about), who, path)
    assert answer.status == 200, answer
    return answer.headers["mcp-session-id"]


@pytest.mark.parametrize(
    "name",
    ["ALPHA_get-00", "alpha_GET-00", "alpha_get-00 ", " alpha_get-00", "alpha_get-00\u200b", "alpha_get\u201000",
     "\uff41lpha_get-00", "alpha_get-0\u0660", "alpha_get-00\x00", "alpha_get-00\n", "alpha.get-00", "get-00", ""],
)  # fmt: skip
def test_a_name_is_taken_exactly_as_it_is(gate: Guarded, name: str) -> None:
    before = gate.seen()
    for who in (ADMIN, DEVELOPER, VIEWER):
        answer = gate.live.post(call(name), who)
        assert (answer.status, answer.json["error"]) == (200, {"code": -32602, "message": f"Unknown tool: {name}"})
    assert gate.seen() == before


def test_of_a_duplicate_key_one_value_is_decided_on_and_the_same_is_forwarded(gate: Guarded) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{%s,"arguments":{%s}}}'
    for params, arguments in (
        (b'"name":"alpha_get-00","name":"alpha_drop-00"', b""),
        (b'"name":"alpha_drop-00","name":"alpha_get-00"', b""),
    ):
        before = len(gate.upstreams["alpha"].calls_seen())
        answer = gate.live.post(body % (params, arguments), DEVELOPER)
        sent = gate.upstreams["alpha"].calls_seen()[before:]
        assert answer.status in (200, 400)
        assert [json.loads(one)["params"]["name"] for one in sent] == (["get-00"] if answer.code is None else [])
    for arguments in (b'"force":false,"force":true', b'"force":true,"force":false'):
        before = len(gate.upstreams["beta"].calls_seen())
        answer = gate.live.post(body % (b'"name":"beta_list-00"', arguments), ADMIN)
        sent = gate.upstreams["beta"].calls_seen()[before:]
        assert all(json.loads(one)["params"]["arguments"] == {"force": False} for one in sent)
        assert len(sent) == (answer.code is None)


def test_a_call_denied_for_its_arguments_says_so_and_never_arrives(gate: Guarded) -> None:
    before = gate.seen()
    params: Message = {"name": "beta_list-00", "arguments": {"force": True}}
    plain = ask(gate, ADMIN, "tools/call", **params)
    legacy = gate.live.post(request("tools/call", params), {**ADMIN, "Mcp-Session-Id": session(gate, ADMIN)})
    modern = gate.live.modern("tools/call", params, ADMIN)
    assert (plain.status, legacy.status, modern.status) == (403, 200, 200)
    for answer in (plain, legacy, modern):
        assert answer.code == -31403
        assert answer.json["error"]["data"] == {"reason": "the policy does not allow these arguments"}
    assert gate.seen() == before


@pytest.mark.parametrize(
    "arguments", [{}, {"env": "prod"}, {"env": ["dev"]}, {"env": True}, {"env": None}, {"ENV": "dev"}]
)
def test_arguments_that_a_rule_stumbles_over_do_not_open(gate: Guarded, arguments: Message) -> None:
    key = {"X-Api-Key": BUILD}
    assert "beta_run-00" in names(gate, key)
    assert ask(gate, key, "tools/call", name="beta_run-00", arguments=arguments).code == -31403
    assert ask(gate, key, "tools/call", name="beta_run-00", arguments={"env": "dev"}).code is None


@pytest.mark.parametrize("force", ["true", 1, 1.0, [True], {"a": True}, None])
def test_a_deny_that_cannot_be_worked_out_denies_and_types_are_not_mixed(gate: Guarded, force: Any) -> None:
    answer = ask(gate, ADMIN, "tools/call", name="beta_list-00", arguments={"force": force})
    assert answer.code in (None, -31403)  # another type is not true
    again = ask(gate, ADMIN, "tools/call", name="beta_list-00", arguments={"force": True})
    assert again.code == -31403


@pytest.mark.parametrize(
    "uri",
    [
        "alpha://shut/01",
        "ALPHA://open/01",
        "alpha://OPEN/01",
        "alpha://open/../shut/01",
        "alpha://open/%2e%2e/shut/01",
        "alpha://open%2f01",
        "alpha://notes/7",
        "alpha://notes/%37",
        "alpha://%6Eotes/7",
        "alpha://n%6ftes/7",
        "alpha://notes/../vault/1",
        "alpha://vault/1",
        "alpha://notes/7%00",
        "alpha://notes/ 7",
    ],
)
def test_no_spelling_of_a_hidden_resource_reaches_it(gate: Guarded, uri: str) -> None:
    before = len(gate.upstreams["alpha"].bodies("resources/read"))
    for path in ("/mcp", "/mcp/alpha", "/narrow"):
        answer = ask(gate, DEVELOPER, "resources/read", path, uri=uri)
        assert answer.json["error"]["message"] == f"Resource not found: {uri}"
    assert len(gate.upstreams["alpha"].bodies("resources/read")) == before


def test_completed_values_that_name_what_is_hidden_are_left_out_and_not_counted(gate: Guarded) -> None:
    params = {"ref": {"type": "ref/resource", "uri": "alpha://notes/{id}"}, "argument": {"name": "id", "value": ""}}
    for path in ("/mcp", "/mcp/alpha"):
        found = ask(gate, DEVELOPER, "completion/complete", path, **params).json["result"]["completion"]
        assert found == {"values": ["6", "8"], "hasMore": False}


def test_a_subscription_hears_nothing_of_what_is_hidden(gate: Guarded) -> None:
    mine = session(gate, DEVELOPER)
    headers = {**DEVELOPER, "Mcp-Session-Id": mine}
    hidden = gate.live.post(request("resources/subscribe", {"uri": "alpha://shut/01"}), headers)
    assert hidden.json["error"]["message"] == "Resource not found: alpha://shut/01"
    assert gate.live.post(request("resources/subscribe", {"uri": "alpha://notes/7"}), headers).code == -32002
    assert gate.live.post(request("resources/subscribe", {"uri": "alpha://open/01"}), headers).code is None


def test_a_cursor_or_session_of_another_identity_counts_as_none(gate: Guarded) -> None:
    mine = session(gate, DEVELOPER)
    others = [ADMIN, VIEWER, {"X-Api-Key": BUILD}, {}, signed("developer", "other")]
    for who in others:
        for method in ("POST", "GET", "DELETE"):
            body = json.dumps(request("ping")).encode() if method == "POST" else None
            answer = gate.live.http(method, "/mcp", {**JSON, **who, "Mcp-Session-Id": mine}, body)
            assert (answer.status, answer.json["error"]["message"]) == (404, "Session not found")
    assert gate.live.post(request("ping"), {**DEVELOPER, "Mcp-Session-Id": mine}).status == 200


def test_a_session_sees_with_the_newest_token_of_its_caller(gate: Guarded) -> None:
    mine = session(gate, signed("admin", "eve"))
    for role, count in (("viewer", 16), ("admin", 32), ("nobody", 0)):
        answer = gate.live.post(request("tools/list"), {**signed(role, "eve"), "Mcp-Session-Id": mine})
        assert len(answer.json["result"]["tools"]) == count
    dropped = gate.live.post(call("alpha_drop-00"), {**signed("viewer", "eve"), "Mcp-Session-Id": mine})
    assert dropped.json["error"]["message"] == "Unknown tool: alpha_drop-00"


def test_a_key_beside_a_token_only_narrows_and_must_be_valid(gate: Guarded) -> None:
    both = {**ADMIN, "X-Api-Key": NARROW}
    assert set(names(gate, both)) == {name for name in names(gate, ADMIN) if name.startswith("alpha_get-")}
    assert names(gate, {**VIEWER, "X-Api-Key": NARROW}) == []
    assert set(names(gate, {**VIEWER, "X-Api-Key": BUILD})) == set(names(gate, VIEWER))
    assert ask(gate, {**ADMIN, "X-Api-Key": "og_wrong"}, "tools/list").status == 401
    mine = session(gate, both)
    assert gate.live.post(call("alpha_drop-00"), {**both, "Mcp-Session-Id": mine}).code == -32602


@pytest.mark.parametrize(
    "more",
    [{"X-Role": "admin"}, {"X-Forwarded-For": "127.0.0.1"}, {"Forwarded": "for=127.0.0.1"}, {"Cookie": "role=admin"},
     {"X-Forwarded-User": "admin"}, {"Mcp-Name": "alpha_drop-00"}, {"X-Http-Method-Override": "PUT"}],
)  # fmt: skip
def test_no_header_and_no_query_widens(gate: Guarded, more: dict[str, str]) -> None:
    assert names(gate, {**VIEWER, **more}) == names(gate, VIEWER)
    secret = token(role="admin", sub="admin", exp=time.time() + 60)
    for query in (f"?access_token={secret}", f"?token={secret}", "?role=admin", f"?api_key={NARROW}"):
        assert names(gate, {}, "/mcp" + query) == names(gate, {}) == ["alpha_list-00", "beta_list-00"]


@pytest.mark.parametrize("role", [True, 1, 1.0, "1", ["admin"], {"admin": True}, None, "Admin", "admin "])
def test_a_claim_of_another_type_or_spelling_is_another_value(gate: Guarded, role: Any) -> None:
    assert names(gate, signed(role, "mallory")) == []
    assert len(names(gate, ADMIN)) == 32


def test_instructions_and_capabilities_are_those_of_visible_servers(gate: Guarded) -> None:
    for who, words in (
        (ADMIN, "## alpha\n\nwords of alpha\n\n## beta\n\nwords of beta"),
        ({**ADMIN, "X-Api-Key": NARROW}, "## alpha\n\nwords of alpha\n\n## beta\n\nwords of beta"),
        (signed("nobody"), None),
    ):
        found = gate.live.modern("server/discover", {}, who).json["result"]
        assert found.get("instructions") == words
        assert bool(found["capabilities"]) is (words is not None)
        about = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t"}}
        assert gate.live.post(request("initialize", about), who).json["result"].get("instructions") == words


@pytest.mark.alone
def test_streams_end_when_their_token_does(gate: Guarded) -> None:
    short = signed("admin", "short", exp=int(time.time()) + 2)
    mine = session(gate, short)
    params = {"notifications": {"toolsListChanged": True}}
    listen = gate.live.connect(modern_listen(params, short))
    stream = gate.live.connect(head("GET", "/mcp", {**STREAM, **short, "Mcp-Session-Id": mine}))
    with listen, stream:
        assert read_events(listen, 1)[0]["method"] == "notifications/subscriptions/acknowledged"
        began = time.monotonic()
        for connection in (listen, stream):
            connection.settimeout(3.0)
            data = b""
            while not data.endswith(b"0\r\n\r\n"):
                chunk = connection.recv(65536)
                assert chunk, data
                data += chunk
        assert time.monotonic() - began < 3.0
    answer = gate.live.post(request("ping"), {**short, "Mcp-Session-Id": mine})
    assert (answer.status, answer.code) == (401, -31401)


def modern_listen(params: Message, who: Message) -> bytes:
    from tests.fixtures.live_gateway import ENVELOPE, modern_headers

    body = json.dumps(request("subscriptions/listen", {**params, "_meta": ENVELOPE})).encode()
    return head("POST", "/mcp", {**JSON, **who, **modern_headers("subscriptions/listen", params)}, body)
