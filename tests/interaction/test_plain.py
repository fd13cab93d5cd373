"""Lists, calls, prompts, resources and completions, between every client and every server, within and across eras."""

import json
from typing import Any

import anyio
import mcp_types as types
import pytest
from mcp.shared.exceptions import MCPError

from tests.fixtures.interaction_content import BLOCKS, ECHO, PROMPTS, RESOURCES, TEMPLATES, TOOLS
from tests.fixtures.interaction_stage import LEGACY, MODERN, SECONDS, Caller, plain

pytestmark = pytest.mark.anyio


async def test_a_client_is_served_in_its_own_era(caller: Caller) -> None:
    assert caller.client.protocol_version == {"legacy": LEGACY, "modern": MODERN}[caller.pair.era]
    assert caller.client.server_info is not None
    assert caller.client.server_info.name == "onegate"


async def test_every_page_of_the_servers_tools_is_listed_in_order(caller: Caller) -> None:
    names = [tool.name for tool in await caller.own("tools")]
    assert names[: len(TOOLS)] == [caller.name(tool["name"]) for tool in TOOLS]


async def test_a_tool_definition_arrives_as_the_server_wrote_it(caller: Caller) -> None:
    echo = (await caller.own("tools"))[0]
    assert plain(echo) == {**ECHO, "name": caller.name("echo")}


async def test_prompts_are_listed_as_the_server_wrote_them(caller: Caller) -> None:
    listed = [plain(prompt) for prompt in await caller.own("prompts")]
    assert listed[: len(PROMPTS)] == [{**prompt, "name": caller.name(prompt["name"])} for prompt in PROMPTS]


async def test_resources_are_listed_as_the_server_wrote_them(caller: Caller) -> None:
    listed = [plain(resource) for resource in await caller.own("resources")]
    assert listed[: len(RESOURCES)] == [{**resource, "uri": caller.uri(resource["uri"])} for resource in RESOURCES]


async def test_resource_templates_are_listed_as_the_server_wrote_them(caller: Caller) -> None:
    listed = [plain(template) for template in await caller.own("resource_templates")]
    assert listed == [{**one, "uriTemplate": caller.uri(one["uriTemplate"])} for one in TEMPLATES]


async def test_structured_content_and_vendor_meta_travel_both_ways(caller: Caller) -> None:
    arguments: dict[str, Any] = {"deep": {"list": [1, 2.5, None, True, "ü\u2028"]}}
    meta: Any = {"vendor.example/trace": {"id": "t-1"}}
    result = await caller.call("echo", arguments, meta=meta)
    expected = {"given": arguments, "meta": meta}
    assert result.structured_content == expected
    assert json.loads(result.content[0].text) == expected  # type: ignore[union-attr]
    assert (result.meta or {})["vendor.example/answer"] == {"deep": [1, 2]}


async def test_an_integer_beyond_64_bits_keeps_every_digit(caller: Caller) -> None:
    result = await caller.call("echo", {"number": 2**64 + 1})
    assert result.structured_content == {"given": {"number": 2**64 + 1}, "meta": {}}


async def test_every_content_type_arrives_whole(caller: Caller) -> None:
    result = await caller.call("content")
    assert [plain(block) for block in result.content] == BLOCKS


async def test_a_tool_that_fails_says_so_in_its_result(caller: Caller) -> None:
    result = await caller.call("fail")
    assert result.is_error
    assert [plain(block) for block in result.content] == [{"type": "text", "text": "it went wrong"}]


async def test_an_error_of_the_server_keeps_its_code_and_data(caller: Caller) -> None:
    with pytest.raises(MCPError) as caught:
        await caller.call("refuse")
    assert (caught.value.error.code, caught.value.error.message) == (-31999, "refused by the server")
    assert caught.value.error.data == {"why": ["because"]}


async def test_a_name_that_no_server_has_is_an_unknown_tool(caller: Caller) -> None:
    with pytest.raises(MCPError) as caught:
        await caller.call("nothing")
    assert caught.value.error.code == types.INVALID_PARAMS
    assert caught.value.error.message == f"Unknown tool: {caller.name('nothing')}"


async def test_arguments_against_the_schema_are_told_to_the_model(caller: Caller) -> None:
    result = await caller.call("log")
    assert result.is_error
    assert result.content[0].text == "Invalid params: missing required field 'message'"  # type: ignore[union-attr]


async def test_a_prompt_is_got_with_its_arguments(caller: Caller) -> None:
    with anyio.fail_after(SECONDS):
        result = await caller.client.get_prompt(caller.name("greet"), {"who": "Ada", "tone": "warm"})
    blocks = [plain(message)["content"] for message in result.messages]
    assert blocks == [{"type": "text", "text": 'greet: {"tone": "warm", "who": "Ada"}'}, BLOCKS[1], BLOCKS[4]]
    assert (result.meta or {})["vendor.example/prompt"] == 1


async def test_a_prompt_without_its_argument_is_refused_by_the_server(caller: Caller) -> None:
    with anyio.fail_after(SECONDS), pytest.raises(MCPError, match="Missing argument: who"):
        await caller.client.get_prompt(caller.name("greet"))


@pytest.mark.parametrize(
    ("own", "body"),
    [("note://a", {"text": "Note a"}), ("note://b", {"blob": "AAEC"}), ("note://item/7", {"text": "Item 7"})],
)
async def test_a_resource_is_read_under_the_uri_that_the_client_knows(
    caller: Caller, own: str, body: dict[str, str]
) -> None:
    with anyio.fail_after(SECONDS):
        result = await caller.client.read_resource(caller.uri(own))
    [contents] = [plain(one) for one in result.contents]
    assert contents["uri"] == caller.uri(own)
    assert body.items() <= contents.items()


async def test_a_resource_that_is_not_there_has_the_error_of_the_clients_era(caller: Caller) -> None:
    uri = caller.uri("nothing://here")
    with anyio.fail_after(SECONDS), pytest.raises(MCPError) as caught:
        await caller.client.read_resource(uri)
    assert caught.value.error.code == {"legacy": -32002, "modern": types.INVALID_PARAMS}[caller.pair.era]
    assert caught.value.error.data == {"uri": uri}


async def test_an_argument_of_a_prompt_is_completed(caller: Caller) -> None:
    ref = types.PromptReference(type="ref/prompt", name=caller.name("greet"))
    with anyio.fail_after(SECONDS):
        result = await caller.client.complete(ref, {"name": "who", "value": "a"})
    assert result.completion.values == ["ada", "alan"]


async def test_a_variable_of_a_template_is_completed(caller: Caller) -> None:
    ref = types.ResourceTemplateReference(type="ref/resource", uri=caller.uri("note://item/{id}"))
    with anyio.fail_after(SECONDS):
        result = await caller.client.complete(ref, {"name": "id", "value": "b"})
    assert result.completion.values == ["barbara"]
