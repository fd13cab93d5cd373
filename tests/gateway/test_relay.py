from typing import Any

import orjson
import pytest

from gateway.completion import MAX_COMPLETIONS
from gateway.errors import InvalidArguments, ResourceNotFound
from gateway.relay import METHODS
from gateway.request import Dialect
from policies.model import Identity
from tests.fixtures.clock import fake_time, now, turns  # noqa: F401
from tests.fixtures.fakes import FakeChannel, entry, tool
from tests.fixtures.house import House, error
from tests.fixtures.listings import config
from upstreams.errors import ErrorReply, UpstreamUnavailable

pytestmark = pytest.mark.anyio

NEEDS_X = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}


async def test_a_call_goes_to_its_server_under_its_own_name_and_the_result_comes_back_as_it_is() -> None:
    result = {"content": [{"type": "strange", "uri": "x"}], "vendor": {"a": [1]}, "isError": True}
    house = House(a={}, b=result)
    house.see("a", "x")
    house.see("b", "x")
    assert await house.ask("tools/call", name="b_x", arguments={"n": 1}, _meta={"k": 1}, extra=2) == result
    assert house.upstreams["a"].asked == []
    method, params, channel, limits, headers = house.upstreams["b"].asked[0]
    assert (method, params) == ("tools/call", {"name": "x", "arguments": {"n": 1}, "_meta": {"k": 1}, "extra": 2})
    assert (isinstance(channel, FakeChannel), limits, headers) == (True, (60.0, 600.0), None)


@pytest.mark.parametrize("name", ["x", "a_y", "A_X", "a_x ", "a_x\u200b", "", "a"])
async def test_an_unknown_tool_is_named_and_nobody_is_asked(name: str) -> None:
    house = House(a={})
    house.see("a", "x")
    found = await error(house.ask("tools/call", name=name))
    assert (found.code, found.message) == (-32602, f"Unknown tool: {name}")
    assert house.upstreams["a"].asked == []


@pytest.mark.parametrize("name", [None, 5, ["a_x"], {"a": 1}])
async def test_a_call_without_a_name_is_invalid(name: Any) -> None:
    house = House(a={})
    for method in ("tools/call", "prompts/get"):
        assert (await error(house.ask(method, name=name))).message == "Invalid params: missing required field 'name'"
    assert (await error(house.ask("resources/read", uri=name))).code == -32602


@pytest.mark.parametrize("method", ["", "tools/Call", "initialize", "ping", "vendor/x", "__class__"])
async def test_methods_that_are_not_in_the_table_are_unknown(method: str) -> None:
    assert (await error(House(a={}).ask(method))).code == -32601
    assert method not in METHODS


@pytest.mark.parametrize("arguments", [[], "x", 5, True])
async def test_arguments_that_are_no_object_are_refused(arguments: Any) -> None:
    house = House(a={})
    house.see("a", "x")
    assert (await error(house.ask("tools/call", name="a_x", arguments=arguments))).code == -32602


async def test_arguments_are_held_against_the_schema_and_the_dialect_says_what_then() -> None:
    house = House(a={})
    house.see("a", tool("x", inputSchema=NEEDS_X))
    with pytest.raises(InvalidArguments, match="missing required field 'x'"):
        await house.ask("tools/call", name="a_x")
    request = house.request("tools/call", name="a_x", arguments={})
    request.dialect = Dialect("other", lambda item: item, None, lambda problem: {"isError": True, "said": str(problem)})
    assert (await house.relay.handle(request))["isError"] is True
    assert house.upstreams["a"].asked == []
    await house.ask("tools/call", name="a_x", arguments={"x": 1})
    assert len(house.upstreams["a"].asked) == 1


async def test_arguments_are_not_checked_where_the_config_says_so() -> None:
    house = House(config(entry("a", validate_arguments=False)), a={})
    house.see("a", tool("x", inputSchema=NEEDS_X))
    await house.ask("tools/call", name="a_x")
    assert house.upstreams["a"].params == {"name": "x"}


async def test_arguments_of_the_config_are_added_before_the_check_and_mirrored_in_headers() -> None:
    schema = {
        "type": "object",
        "properties": {"org": {"type": "string", "x-mcp-header": "Org"}, "x": {"type": "integer"}},
        "required": ["org", "x"],
    }
    settings = {"overrides": {"x": {"arguments": {"set": {"org": "äcme"}, "default": {"x": 1}}, "timeout": "5s"}}}
    house = House(config(entry("a", tools=settings)), a={})
    house.see("a", tool("x", inputSchema=schema))
    request = house.request("tools/call", name="a_x")
    request.headers = {}  # nobody repeats in a header what the config sets
    await house.relay.handle(request)
    assert house.upstreams["a"].params["arguments"] == {"org": "äcme", "x": 1}
    assert house.upstreams["a"].asked[0][3:] == ((5.0, 600.0), {"Mcp-Param-Org": "=?base64?w6RjbWU=?="})


async def test_errors_of_an_upstream_pass_through() -> None:
    house = House(a=ErrorReply(-32602, "own words"), b=UpstreamUnavailable("b", "down"))
    house.see("a", "x")
    house.see("b", "x")
    with pytest.raises(ErrorReply, match="own words"):
        await house.ask("tools/call", name="a_x")
    with pytest.raises(UpstreamUnavailable):
        await house.ask("tools/call", name="b_x")


async def test_a_request_state_is_sealed_and_opens_only_for_the_same_request_of_the_same_caller() -> None:
    house = House(
        a=lambda params: (
            {"resultType": "input_required", "requestState": "secret"}
            if "requestState" not in params
            else {"content": []}
        )
    )
    house.see("a", "x", "y", prompts=["x"])
    sealed = (await house.ask("tools/call", name="a_x", arguments={"n": 1}))["requestState"]
    assert "secret" not in sealed
    again = {"name": "a_x", "arguments": {"n": 1}, "requestState": sealed, "inputResponses": {"q": {}}}
    assert await house.ask("tools/call", **again) == {"content": []}
    assert house.upstreams["a"].params == {**again, "name": "x", "requestState": "secret"}
    stranger = Identity("local", "another")
    for changes in (
        {"name": "a_y"},
        {"arguments": {"n": 2}},
        {"arguments": {"n": True}},
        {"requestState": sealed[:-2] + "AA"},
        {"requestState": "secret"},
        {"requestState": 5},
        {"requestState": ""},
        {"identity": stranger},
        {"door": "/mcp/a", "name": "x"},
    ):
        found = await error(house.ask("tools/call", **{**again, **changes}))
        assert found.message.startswith("Invalid params: requestState is unknown"), changes
    assert len(house.upstreams["a"].asked) == 2


async def test_a_list_is_paged_with_cursors_that_belong_to_caller_door_and_list() -> None:
    house = House(a={})
    house.see("a", *(f"t{at}" for at in range(20)), prompts=[f"p{at}" for at in range(40)])
    names, cursor, params = list[str](), None, dict[str, Any]()
    while True:
        page = await house.ask("tools/list", **params)
        names += [one["name"] for one in orjson.loads(orjson.dumps(page["tools"]))]
        cursor = page.get("nextCursor", None)
        if cursor is None:
            break
        params = {"cursor": cursor}
    assert names == [f"a_t{at}" for at in range(20)]
    cursor = (await house.ask("tools/list"))["nextCursor"]
    for changes in ({"door": "/mcp/a"}, {"identity": Identity("local", "x")}, {"cursor": ""}, {"cursor": 0}):
        found = await error(house.ask("tools/list", **{"cursor": cursor, **changes}))
        assert "stale" in found.message, changes
    assert "stale" in (await error(house.ask("prompts/list", cursor=cursor))).message


async def test_a_cursor_is_stale_once_its_own_list_changed_and_only_then() -> None:
    house = House(a={})
    tools = [f"t{at}" for at in range(20)]
    house.see("a", *tools)
    cursor = (await house.ask("tools/list"))["nextCursor"]
    house.see("a", *tools, prompts=["new"])
    await house.ask("tools/list", cursor=cursor)
    house.see("a", *tools[1:])
    assert "stale" in (await error(house.ask("tools/list", cursor=cursor))).message


async def test_prompts_are_routed_and_unknown_ones_named() -> None:
    house = House(a={"messages": []})
    house.see("a", prompts=["p"])
    assert await house.ask("prompts/get", name="a_p", arguments={"q": "1"}) == {"messages": []}
    assert house.upstreams["a"].params == {"name": "p", "arguments": {"q": "1"}}
    assert (await error(house.ask("prompts/get", name="p"))).message == "Unknown prompt: p"


async def test_resources_are_found_by_uri_by_template_and_under_a_mark() -> None:
    house = House(a={"contents": []}, b=lambda params: {"contents": [{"uri": params["uri"]}, {"uri": "other"}, 3]})
    house.see("a", resources=["x://1"])
    house.see("b", resources=["x://1"], templates=["y://{id}"])
    assert await house.ask("resources/read", uri="b+x://1") == {"contents": [{"uri": "b+x://1"}, {"uri": "other"}, 3]}
    assert house.upstreams["b"].params == {"uri": "x://1"}
    await house.ask("resources/read", uri="y://7")
    assert house.upstreams["b"].params == {"uri": "y://7"}
    await house.ask("resources/read", uri="x://1")
    assert house.upstreams["a"].params == {"uri": "x://1"}
    with pytest.raises(ResourceNotFound, match="Resource not found: z://1"):
        await house.ask("resources/read", uri="z://1")


@pytest.mark.parametrize("code", [-32002, -32602])
async def test_a_resource_that_an_upstream_does_not_find_is_not_found_in_our_words(code: int) -> None:
    house = House(a=ErrorReply(code, "no such file /secret/path"))
    house.see("a", resources=["x://1"])
    with pytest.raises(ResourceNotFound, match="Resource not found: x://1"):
        await house.ask("resources/read", uri="x://1")


async def test_with_one_server_an_unlisted_uri_is_for_it_if_it_has_resources() -> None:
    house = House(a={"contents": []}, b={})
    with pytest.raises(ResourceNotFound):
        await house.ask("resources/read", "/mcp/a", uri="x://unlisted")
    house.upstreams["a"].peer.capabilities = {"resources": {}}
    assert await house.ask("resources/read", "/mcp/a", uri="x://unlisted") == {"contents": []}


async def test_links_in_a_result_are_those_of_this_door() -> None:
    content = [
        {"type": "resource_link", "uri": "x://1", "name": "n"},
        {"type": "resource", "resource": {"uri": "x://1", "text": "t"}},
        {"type": "resource_link", "uri": "x://2"},
        {"type": "text", "text": "x://1"},
        "odd",
    ]
    house = House(a={}, b={"content": content})
    house.see("a", resources=["x://1"])
    house.see("b", "t", resources=["x://1"])
    got = (await house.ask("tools/call", name="b_t"))["content"]
    assert got[0]["uri"] == "b+x://1"
    assert got[1]["resource"] == {"uri": "b+x://1", "text": "t"}
    assert got[2:] == content[2:]
    assert (await house.ask("tools/call", "/mcp/b", name="t"))["content"] == content


async def test_completion_is_routed_by_prompt_template_or_resource() -> None:
    house = House(a={"completion": {"values": ["v"]}}, b={"completion": {"values": ["w"]}})
    house.see("a", prompts=["p"], templates=["x://{id}"], resources=["y://1"])
    house.see("b", templates=["x://{id}"])
    for ref, own in (
        ({"type": "ref/prompt", "name": "a_p", "title": "T"}, {"type": "ref/prompt", "name": "p", "title": "T"}),
        ({"type": "ref/resource", "uri": "x://{id}"}, {"type": "ref/resource", "uri": "x://{id}"}),
        ({"type": "ref/resource", "uri": "y://1"}, {"type": "ref/resource", "uri": "y://1"}),
    ):
        assert (await house.ask("completion/complete", ref=ref, argument={}))["completion"]["values"] == ["v"]
        assert house.upstreams["a"].params["ref"] == own
    await house.ask("completion/complete", ref={"type": "ref/resource", "uri": "b+x://{id}"})
    assert house.upstreams["b"].params["ref"]["uri"] == "x://{id}"


async def test_completion_of_what_is_not_there_is_refused_and_never_asked() -> None:
    house = House(a={})
    assert (await error(house.ask("completion/complete"))).code == -32602
    found = await error(house.ask("completion/complete", ref={"type": "ref/prompt", "name": "p"}))
    assert found.message == "Unknown prompt: p"
    with pytest.raises(ResourceNotFound):
        await house.ask("completion/complete", ref={"type": "ref/resource", "uri": "x://1"})
    assert house.upstreams["a"].asked == []


async def test_completion_is_empty_where_the_server_has_none_and_cut_at_a_hundred() -> None:
    house = House(a={"completion": {"values": [str(at) for at in range(150)], "total": 150}})
    house.see("a", prompts=["p"])
    ref = {"type": "ref/prompt", "name": "a_p"}
    found = (await house.ask("completion/complete", ref=ref))["completion"]
    assert (len(found["values"]), found["hasMore"], found["total"]) == (MAX_COMPLETIONS, True, 150)
    house.upstreams["a"].peer.capabilities = {}
    assert (await house.ask("completion/complete", ref=ref))["completion"]["values"] == []
