"""The forms of tool calls, results and tools, without any HTTP."""

import json
from typing import Any

import pytest

from gateway.call_formats import FORMATS, content_parts, content_text
from gateway.errors import McpError

CHAT, RESPONSES = FORMATS["chat"], FORMATS["responses"]
IMAGE = {"type": "image", "data": "aGk=", "mimeType": "image/png"}
AUDIO = {"type": "audio", "data": "aGk=", "mimeType": "audio/wav"}
LINK = {"type": "resource_link", "uri": "x://1", "name": "one"}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def chat(**function: Any) -> dict[str, Any]:
    return {"id": "c", "type": "function", "function": {"name": "t", **function}}


@pytest.mark.parametrize("call_id", ["call_xyz789", "", " ", 'ü\u2028\\"', "x" * 100_000, "null"])
def test_an_id_goes_back_exactly(call_id: str) -> None:
    chat_call = CHAT.read({**chat(), "id": call_id})
    responses_call = RESPONSES.read({"type": "function_call", "call_id": call_id, "name": "t"})
    assert CHAT.write(chat_call.id, "") == {"role": "tool", "content": "", "tool_call_id": call_id}
    assert RESPONSES.write(responses_call.id, "")["call_id"] == call_id


@pytest.mark.parametrize(
    ("arguments", "read"),
    [
        ('{"path": "."}', {"path": "."}),
        ({"path": "."}, {"path": "."}),
        ("", {}),
        (" \n\t", {}),
        (None, {}),
        ("{}", {}),
        ('{"n": 12345678901234567890123}', {"n": 12345678901234567890123}),
    ],
)
def test_arguments_come_as_text_or_as_an_object(arguments: Any, read: Any) -> None:
    assert CHAT.read(chat(arguments=arguments)).arguments == read
    item = {"type": "function_call_output", "call_id": "c", "name": "t", "arguments": arguments}
    assert RESPONSES.read(item).arguments == read


@pytest.mark.parametrize("arguments", ["{", "[]", "5", '"x"', "null", "NaN", [], 5, True, '{"a": "\\ud800"}', "[" * 99])
def test_arguments_that_are_no_object_are_refused(arguments: Any) -> None:
    with pytest.raises(McpError) as refused:
        CHAT.read(chat(arguments=arguments))
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "item",
    [
        None,
        5,
        "call",
        {},
        {"type": "function", "function": {"name": "t"}},
        {"id": 5, "type": "function", "function": {"name": "t"}},
        {"id": "c", "type": "function"},
        {"id": "c", "type": "function", "function": {}},
        {"id": "c", "type": "function", "function": {"name": 5}},
        {"id": "c", "type": "other", "function": {"name": "t"}},
        {"type": "function_call", "call_id": "c", "name": "t"},
    ],
)
def test_what_is_no_call_in_chat_form_is_refused(item: Any) -> None:
    with pytest.raises(McpError):
        CHAT.read(item)


@pytest.mark.parametrize(
    "item",
    [{}, {"type": "message"}, {"call_id": "c"}, {"name": "t"}, {"type": "function_call", "name": "t"}, [], chat()],
)
def test_what_is_no_call_in_responses_form_is_refused(item: Any) -> None:
    with pytest.raises(McpError):
        RESPONSES.read(item)


@pytest.mark.parametrize(
    ("result", "written"),
    [
        ({"content": [text("one")]}, "one"),
        ({"content": [text("one"), text("two")]}, "one\ntwo"),
        ({"content": [text("one")], "structuredContent": {"a": 1}}, "one"),
        ({"content": [], "structuredContent": {"a": [1, "ü"]}}, '{"a":[1,"ü"]}'),
        ({"structuredContent": [1]}, "[1]"),
        ({"content": []}, ""),
        ({}, ""),
    ],
)
def test_a_result_is_one_text(result: dict[str, Any], written: str) -> None:
    assert content_text(result) == written


@pytest.mark.parametrize("blocks", [[IMAGE], [text("see"), IMAGE], [AUDIO, LINK], [{"type": "new", "x": 1}], ["odd"]])
def test_what_is_more_than_text_is_all_there(blocks: list[Any]) -> None:
    assert json.loads(content_text({"content": blocks})) == blocks


def test_parts_are_the_formats_own_and_the_rest_is_text() -> None:
    result = {"content": [text("see"), IMAGE, AUDIO, LINK]}
    assert content_parts(result, CHAT) == [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
        {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
        {"type": "text", "text": json.dumps(LINK, separators=(",", ":"))},
    ]
    assert content_parts(result, RESPONSES) == [
        {"type": "input_text", "text": "see"},
        {"type": "input_image", "image_url": "data:image/png;base64,aGk="},
        {"type": "input_text", "text": json.dumps(AUDIO, separators=(",", ":"))},
        {"type": "input_text", "text": json.dumps(LINK, separators=(",", ":"))},
    ]


def test_structured_content_alone_is_one_part() -> None:
    parts = content_parts({"content": [], "structuredContent": {"a": 1}}, RESPONSES)
    assert parts == [{"type": "input_text", "text": '{"a":1}'}]


def test_tools_are_written_as_a_request_to_a_model_takes_them() -> None:
    schema = {"type": "object", "properties": {"path": {"type": "string"}}}
    tool = {"name": "t", "description": "d", "inputSchema": schema, "annotations": {"readOnlyHint": True}}
    function = {"name": "t", "description": "d", "parameters": schema}
    assert CHAT.tool(tool) == {"type": "function", "function": function}
    assert RESPONSES.tool(tool) == {"type": "function", **function, "strict": False}
    assert CHAT.tool({"name": "t"})["function"]["parameters"] == {"type": "object", "properties": {}}


def test_structured_content_beside_blocks_says_the_same_once_more() -> None:
    result = {"content": [IMAGE], "structuredContent": {"content": [IMAGE]}}  # as servers with an output schema do
    assert json.loads(content_text(result)) == [IMAGE]
    assert len(content_parts(result, CHAT)) == 1


@pytest.mark.parametrize("block", ["odd", 5, None, {"type": "audio", "data": "x", "mimeType": []}, {"type": ["text"]}])
def test_a_block_of_no_known_form_is_a_part_of_text(block: Any) -> None:
    for form, kind in ((CHAT, "text"), (RESPONSES, "input_text")):
        said = json.dumps(block, separators=(",", ":"))
        assert content_parts({"content": [block]}, form) == [{"type": kind, "text": said}]


def test_what_is_no_call_may_still_have_an_id() -> None:
    assert CHAT.id_of({"id": "", "function": 5}) == {"tool_call_id": ""}
    assert RESPONSES.id_of({"call_id": "c"}) == {"call_id": "c"}
    assert [CHAT.id_of(item) for item in (None, [], {}, {"id": 5}, {"call_id": "c"})] == [{}] * 5
