"""The list of the tool API: each caller's tools in the forms that requests to models take, from outside."""

import json
from collections.abc import Iterator

import pytest

from tests.fixtures.gate import JWT
from tests.fixtures.guarded import BUILD, signed
from tests.fixtures.live_gateway import Answer, LiveGateway, Message, live_gateway, request
from tests.fixtures.raw_upstream import RawUpstream, raw_upstream, tool
from tests.fixtures.tool_api import STRICT, TOOLS, as_told, error, execute, item, listed
from tests.fixtures.waiting import until

POLICY = {"allow": ['jwt.role == "admin"', 'mcp.tool.name == "echo"']}
ADMIN = signed("admin")


@pytest.fixture(scope="module")
def upstream() -> Iterator[RawUpstream]:
    with raw_upstream("modern", "legacy") as one:
        as_told(one)
        one.tools.append({"name": "bare", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}})
        yield one


@pytest.fixture(scope="module")
def live(upstream: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    config = {
        "mcpServers": {"up": {"url": upstream.url}},
        "auth": {"mode": "optional", "jwt": [JWT]},
        "policy": POLICY,
    }
    with live_gateway(tmp_path_factory.mktemp("gate"), config) as one:
        yield one


def get(live: LiveGateway, query: str = "", headers: Message | None = None, method: str = "GET") -> Answer:
    return live.http(method, TOOLS + query, headers or {})


def over_mcp(live: LiveGateway, headers: Message) -> list[Message]:
    tools: list[Message] = live.post(request("tools/list"), headers).json["result"]["tools"]
    return tools


@pytest.mark.parametrize("query", ["", "?format=chat", "?format=CHAT"])
def test_tools_come_in_the_form_of_chat_completions(live: LiveGateway, query: str) -> None:
    tools = {one["function"]["name"]: one for one in get(live, query, ADMIN).json["tools"]}
    function = {"name": "up_strict", "description": "the tool strict", "parameters": STRICT}
    assert tools["up_strict"] == {"type": "function", "function": function}
    assert tools["up_bare"]["function"] == {"name": "up_bare", "parameters": {"type": "object"}}


def test_tools_come_in_the_form_of_responses(live: LiveGateway) -> None:
    tools = {one["name"]: one for one in get(live, "?format=responses", ADMIN).json["tools"]}
    function = {"name": "up_strict", "description": "the tool strict", "parameters": STRICT}
    assert tools["up_strict"] == {"type": "function", **function, "strict": False}


def test_tools_come_as_mcp_has_them(live: LiveGateway) -> None:
    assert get(live, "?format=mcp", ADMIN).json == {"tools": over_mcp(live, ADMIN)}


@pytest.mark.parametrize("query", ["?format=", "?format=openai", "?format=chat,mcp"])
def test_an_unknown_form_is_refused(live: LiveGateway, query: str) -> None:
    answer = get(live, query, ADMIN)
    assert (answer.status, error(answer)["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize("who", [ADMIN, signed("developer"), {}])
def test_everybody_gets_the_list_that_mcp_gives_them_and_may_call_it(live: LiveGateway, who: Message) -> None:
    names = [one["name"] for one in over_mcp(live, who)]
    for form in ("chat", "responses", "mcp"):
        assert listed(live, f"format={form}", who) == names
    assert execute(live, item("up_echo"), headers=who).status == 200
    assert execute(live, item("up_bare"), headers=who).status == (200 if "up_bare" in names else 403)


def test_who_has_the_list_is_not_sent_it_again(live: LiveGateway) -> None:
    first = get(live, headers=ADMIN)
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "private, no-cache"
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = get(live, headers={**ADMIN, "If-None-Match": known})
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
        assert "content-length" not in again.headers
    assert get(live, headers={**ADMIN, "If-None-Match": '"other"'}).body == first.body


def test_every_list_has_its_own_tag(live: LiveGateway) -> None:
    tags = [get(live, f"?format={form}", who).headers["etag"] for form in ("chat", "mcp") for who in (ADMIN, {})]
    assert len(set(tags)) == 4
    other = get(live, headers={"If-None-Match": tags[0]})
    assert (other.status, [one["function"]["name"] for one in other.json["tools"]]) == (200, ["up_echo"])


def test_a_tag_is_told_to_nobody_who_may_not_list(live: LiveGateway) -> None:
    answer = get(live, headers={"X-Api-Key": BUILD, "If-None-Match": "*"})
    assert (answer.status, error(answer)["type"]) == (401, "authentication_error")
    assert "etag" not in answer.headers


def test_only_the_head_is_sent_where_only_that_is_asked_for(live: LiveGateway) -> None:
    whole, head = get(live, headers=ADMIN), get(live, headers=ADMIN, method="HEAD")
    for answer in (whole, head):
        answer.headers.pop("x-request-id")
    assert (head.status, head.headers, head.body) == (200, whole.headers, b"")


def test_what_a_server_says_of_a_change_is_seen_in_the_next_list(live: LiveGateway, upstream: RawUpstream) -> None:
    before = get(live, headers=ADMIN)
    upstream.tools.append(tool("fresh"))
    assert execute(live, item("up_fresh"), headers=ADMIN).status == 403
    assert live.modern("tools/call", {"name": "up_change", "arguments": {}}, ADMIN).status == 200
    until(lambda: "up_fresh" in listed(live, headers=ADMIN), "the list has it")
    after = get(live, headers={**ADMIN, "If-None-Match": before.headers["etag"]})
    assert (after.status, len(after.json["tools"])) == (200, len(before.json["tools"]) + 1)
    assert execute(live, item("up_fresh"), headers=ADMIN).status == 200
    assert json.loads(get(live, "?format=mcp", ADMIN).body)["tools"] == over_mcp(live, ADMIN)
