"""Rules that fail while they run, and arguments that the config adds, attacked over HTTP."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fixtures.gate import JWT
from tests.fixtures.guarded import signed
from tests.fixtures.live_gateway import Answer, LiveGateway, Message, live_gateway, request
from tests.fixtures.raw_upstream import RawUpstream, raw_upstream, tool

RULE = "jwt.level > 3"
BY_ARGUMENT = 'mcp.tool.name == "counted" && mcp.tool.arguments.n > 3'
POLICIES: Message = {
    "/deny": {"deny": [RULE]},
    "/require": {"require": [RULE]},
    "/allow": {"allow": [RULE, 'mcp.tool.name == "open"', 'mcp.prompt.name == "open"', 'mcp.resource.uri == "raw://open"']},
    "/deny-args": {"deny": [BY_ARGUMENT]},
    "/require-args": {"require": [BY_ARGUMENT.replace("&&", "?") + " : true"]},
    "/allow-args": {"allow": [BY_ARGUMENT, 'mcp.tool.name == "open"']},
    "/costly": {"deny": ["mcp.tool.arguments.names.exists(x, mcp.tool.arguments.text.contains(x))"]},
    "/adds": {
        "deny": [
            'mcp.tool.name == "deploy" && has(mcp.tool.arguments.env) && mcp.tool.arguments.env == "prod"',
            'has(mcp.tool.arguments.org) && mcp.tool.arguments.org == "acme" && mcp.tool.name == "locked"',
        ]
    },
}  # fmt: skip
LISTS = {
    "tools/list": ("tools", "name", {"open", "counted", "deploy", "locked"}),
    "prompts/list": ("prompts", "name", {"open", "shut"}),
    "resources/list": ("resources", "uri", {"raw://open", "raw://shut"}),
    "resources/templates/list": ("resourceTemplates", "uriTemplate", {"raw://notes/{id}"}),
}
USES = [
    ("tools/call", "name", "open"),
    ("tools/call", "name", "counted"),
    ("prompts/get", "name", "open"),
    ("prompts/get", "name", "shut"),
    ("resources/read", "uri", "raw://open"),
    ("resources/read", "uri", "raw://shut"),
    ("resources/read", "uri", "raw://notes/7"),
]
ERRORS: list[Message] = [{"level": "9"}, {"level": [9]}, {"level": None}, {"level": {}}, {"level": True}, {}]
NOT_THERE = {-32602, -32002}


@pytest.fixture(scope="module")
def upstream() -> Iterator[RawUpstream]:
    with raw_upstream("legacy") as one:
        one.tools = [tool(name) for name in ("open", "counted", "deploy", "locked")]
        one.answers_to |= {
            "prompts/list": {"prompts": [{"name": "open"}, {"name": "shut"}]},
            "resources/list": {"resources": [{"uri": f"raw://{name}", "name": name} for name in ("open", "shut")]},
            "resources/templates/list": {"resourceTemplates": [{"uriTemplate": "raw://notes/{id}", "name": "n"}]},
        }
        yield one


@pytest.fixture(scope="module")
def gate(upstream: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    added = {
        "deploy": {"arguments": {"default": {"env": "prod"}, "set": {"org": "acme"}}},
        "locked": {"arguments": {"set": {"org": "acme"}}},
    }
    config = {
        "mcpServers": {"a": {"url": upstream.url, "tools": {"overrides": added}}},
        "routes": {path: {"upstreams": ["a"], "policy": policy} for path, policy in POLICIES.items()},
        "auth": {"jwt": [JWT]},
        "policy": "allow_all",
    }
    with live_gateway(tmp_path_factory.mktemp("gate"), config) as live:
        yield live


def caller(claims: Message) -> Message:
    return signed("any", f"with {json.dumps(claims)}", **claims)


def shown(gate: LiveGateway, path: str, who: Message, method: str) -> set[str]:
    key, name, _ = LISTS[method]
    return {one[name] for one in gate.post(request(method), who, path).json["result"][key]}


@pytest.mark.parametrize("claims", ERRORS, ids=json.dumps)
@pytest.mark.parametrize("path", ["/deny", "/require"])
def test_a_guard_that_fails_lets_nothing_through_in_lists_and_calls(
    gate: LiveGateway, upstream: RawUpstream, path: str, claims: Message
) -> None:
    who, before = caller(claims), len(upstream.seen)
    for method in LISTS:
        assert shown(gate, path, who, method) == set()
    for method, key, name in USES:
        refused = [gate.post(request(method, {key: name}), who, path), gate.modern(method, {key: name}, who, path)]
        assert all(one.code in NOT_THERE for one in refused)
        for answer, none in zip(refused, never_was(gate, path, who, method, key), strict=True):
            assert answer.body == none.body.replace(b"never", name.encode())
    assert len(upstream.seen) == before


def never_was(gate: LiveGateway, path: str, who: Message, method: str, key: str) -> list[Answer]:
    params = {key: "never"}
    return [gate.post(request(method, params), who, path), gate.modern(method, params, who, path)]


@pytest.mark.parametrize(("path", "level"), [("/deny", 1), ("/require", 9), ("/allow", 9)])
def test_the_same_rule_that_does_not_fail_lets_through(gate: LiveGateway, path: str, level: int) -> None:
    who = caller({"level": level})
    for method, (_, _, every) in LISTS.items():
        assert shown(gate, path, who, method) == every
    assert all(gate.post(request(method, {key: name}), who, path).code is None for method, key, name in USES)


@pytest.mark.parametrize("claims", ERRORS, ids=json.dumps)
def test_an_allow_that_fails_is_only_not_true(gate: LiveGateway, claims: Message) -> None:
    who = caller(claims)
    assert [shown(gate, "/allow", who, method) for method in LISTS] == [{"open"}, {"open"}, {"raw://open"}, set()]
    for method, key, name in USES:
        answer = gate.post(request(method, {key: name}), who, "/allow")
        assert (answer.code is None) == (name in ("open", "raw://open"))


def call(gate: LiveGateway, path: str, name: str, arguments: Message) -> Answer:
    return gate.post(request("tools/call", {"name": name, "arguments": arguments}), caller({}), path)


@pytest.mark.parametrize("arguments", [{"n": "9"}, {"n": None}, {"n": [9]}, {"n": {}}, {"n": True}, {}], ids=json.dumps)
def test_so_it_is_with_a_rule_that_fails_on_arguments(
    gate: LiveGateway, upstream: RawUpstream, arguments: Message
) -> None:
    before = len(upstream.seen)
    for path, good in (("/deny-args", 1), ("/require-args", 9), ("/allow-args", 9)):
        assert "counted" in shown(gate, path, caller({}), "tools/list")
        assert call(gate, path, "counted", arguments).code == -31403
        assert len(upstream.seen) == before
        assert call(gate, path, "counted", {"n": good}).code is None
        assert call(gate, path, "open", arguments).code is None
        before = len(upstream.seen)


@pytest.mark.parametrize(
    "arguments", [b'{"n":1,"x":"a\\u0000"}', b'{"n":1,"a\\u0000":1}', b'{"n":1,"x":[["\\u0000"]]}']
)
def test_arguments_that_no_rule_can_judge_are_refused_where_a_rule_reads_them(
    gate: LiveGateway, upstream: RawUpstream, arguments: bytes
) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"counted","arguments":%s}}' % arguments
    before = len(upstream.seen)
    assert gate.post(body, caller({}), "/deny-args").code == -31403
    assert len(upstream.seen) == before
    assert gate.post(body, caller({}), "/mcp/a").code is None


def test_a_rule_that_would_loop_over_large_arguments_gives_up_and_denies(
    gate: LiveGateway, upstream: RawUpstream
) -> None:
    before = len(upstream.seen)
    assert call(gate, "/costly", "open", {"text": "ab" * 100_000, "names": ["abc"] * 5_000}).code == -31403
    assert len(upstream.seen) == before
    assert call(gate, "/costly", "open", {"text": "ab", "names": ["abc"]}).code is None


def sent(upstream: RawUpstream) -> Any:
    return json.loads(upstream.calls_seen()[-1])["params"]["arguments"]


@pytest.mark.parametrize("arguments", [{}, {"org": "other"}, {"org": None}, {"org": ""}, {"ORG": "x"}, {"org": "acme"}])
def test_a_rule_on_an_argument_that_the_config_sets_holds_whatever_the_client_sends(
    gate: LiveGateway, upstream: RawUpstream, arguments: Message
) -> None:
    before = len(upstream.seen)
    for path, answer in (("/adds", -31403), ("/mcp/a", None)):
        assert call(gate, path, "locked", arguments).code == answer
        modern = gate.modern("tools/call", {"name": "locked", "arguments": arguments}, caller({}), path)
        assert modern.code == answer
        assert len(upstream.seen) == before + (0 if answer else 2)
    assert sent(upstream)["org"] == "acme"
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"locked","arguments":null}}'
    for raw in (body, body.replace(b',"arguments":null', b"")):
        assert gate.post(raw, caller({}), "/adds").code == -31403


def test_a_rule_on_an_argument_decides_on_the_default_or_on_the_value_that_beats_it(
    gate: LiveGateway, upstream: RawUpstream
) -> None:
    for arguments in ({}, {"env": "prod"}, {"ENV": "dev"}):
        before = len(upstream.seen)
        assert call(gate, "/adds", "deploy", arguments).code == -31403
        assert len(upstream.seen) == before
    for value in ("dev", None, "Prod", ["prod"]):
        assert call(gate, "/adds", "deploy", {"env": value}).code is None
        assert sent(upstream) == {"env": value, "org": "acme"}
    twice = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"deploy","arguments":{"env":%s,"env":%s}}}'
    for first, second in ((b'"dev"', b'"prod"'), (b'"prod"', b'"dev"')):
        answer, before = gate.post(twice % (first, second), caller({}), "/adds"), len(upstream.seen)
        assert answer.code in (None, -31403)
        assert answer.code is not None or sent(upstream)["env"] == "dev"
        assert len(upstream.seen) == before
