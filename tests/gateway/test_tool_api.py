"""Formats, content, ids and arrays of the tool API, from outside."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fixtures.live_gateway import LiveGateway, Message, call, live_gateway
from tests.fixtures.raw_upstream import RawUpstream, raw_upstream
from tests.fixtures.tool_api import FORMATS, as_told, checked, error, execute, item, output

IMAGE = {"type": "image", "data": "aGk=", "mimeType": "image/png"}
AUDIO = {"type": "audio", "data": "aGk=", "mimeType": "audio/wav"}
EMBEDDED = {"type": "resource", "resource": {"uri": "x://1", "text": "one"}}
LINK = {"type": "resource_link", "uri": "x://1", "name": "one"}
NEW = {"type": "hologram", "depth": 3}


@pytest.fixture(scope="module")
def upstream() -> Iterator[RawUpstream]:
    with raw_upstream("modern") as one:
        as_told(one)
        yield one


@pytest.fixture(scope="module")
def live(upstream: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    with live_gateway(tmp_path_factory.mktemp("gate"), {"mcpServers": {"up": {"url": upstream.url}}}) as one:
        yield one


def text(words: str) -> Message:
    return {"type": "text", "text": words}


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@pytest.mark.parametrize(
    ("query", "form"),
    [
        ("", "chat"),
        ("format=chat", "chat"),
        ("format=CHAT", "chat"),
        ("format=responses", "responses"),
        ("format=ResponSES", "responses"),
        ("format=chat&format=responses", "responses"),
        ("other=1", "chat"),
    ],
)
def test_the_format_is_chosen_by_the_query_in_any_case(live: LiveGateway, query: str, form: str) -> None:
    answer = execute(live, item("up_echo", '{"a":1}', form), query)
    assert (answer.status, answer.json) == (200, output('{"a": 1}', form))
    assert "x-mcp-is-error" not in answer.headers


@pytest.mark.parametrize("query", ["format=", "format=anthropic", "format=mcp", "format=chat%20", "content=blocks"])
def test_an_unknown_format_is_refused_with_those_there_are(
    live: LiveGateway, upstream: RawUpstream, query: str
) -> None:
    before = len(upstream.calls_seen())
    answer = execute(live, item("up_echo"), query)
    assert (answer.status, error(answer)["type"]) == (400, "invalid_request_error")
    assert " or " in error(answer)["message"]
    assert len(upstream.calls_seen()) == before


@pytest.mark.parametrize("kind", ["function_call", "function_call_output", None])
def test_a_call_of_the_responses_form_has_any_of_its_types(live: LiveGateway, kind: str | None) -> None:
    body = item("up_echo", form="responses")
    body = {key: value for key, value in {**body, "type": kind}.items() if value is not None}
    assert execute(live, body, "format=responses").json == output("{}", "responses")


@pytest.mark.parametrize("form", FORMATS)
def test_a_call_of_the_other_form_is_refused(live: LiveGateway, form: str) -> None:
    other = "responses" if form == "chat" else "chat"
    answer = execute(live, item("up_echo", form=other), f"format={form}")
    assert (answer.status, error(answer)["type"]) == (400, "invalid_request_error")


CONTENT: dict[str, tuple[Message, str]] = {
    "one text": ({"content": [text("one")]}, "one"),
    "several texts": ({"content": [text("one"), text(""), text("two\n")]}, "one\n\ntwo\n"),
    "none": ({"content": []}, ""),
    "structured only": ({"content": [], "structuredContent": {"a": ["ü", 2]}}, '{"a":["ü",2]}'),
    "structured and text": ({"content": [text("{}")], "structuredContent": {"a": 1}}, "{}"),
    "structured list": ({"content": [], "structuredContent": [1]}, "[1]"),
    "image": ({"content": [IMAGE]}, compact([IMAGE])),
    "text and image": ({"content": [text("see"), IMAGE]}, compact([text("see"), IMAGE])),
    "audio": ({"content": [AUDIO]}, compact([AUDIO])),
    "embedded": ({"content": [EMBEDDED]}, compact([EMBEDDED])),
    "link": ({"content": [LINK]}, compact([LINK])),
    "unknown": ({"content": [NEW]}, compact([NEW])),
    "structured and image": ({"content": [IMAGE], "structuredContent": {"a": 1}}, compact([IMAGE])),
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", CONTENT)
def test_content_of_every_kind_is_one_text(live: LiveGateway, kind: str, form: str) -> None:
    result, written = CONTENT[kind]
    answer = execute(live, item("up_give", json.dumps(result), form), f"format={form}")
    assert (answer.status, answer.json) == (200, output(written, form))


PARTS: dict[str, list[tuple[Message, Message]]] = {
    "chat": [
        (text("see"), text("see")),
        (IMAGE, {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}),
        (AUDIO, {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}),
        *((block, text(compact(block))) for block in (EMBEDDED, LINK, NEW)),
    ],
    "responses": [
        (text("see"), {"type": "input_text", "text": "see"}),
        (IMAGE, {"type": "input_image", "image_url": "data:image/png;base64,aGk="}),
        *((block, {"type": "input_text", "text": compact(block)}) for block in (AUDIO, EMBEDDED, LINK, NEW)),
    ],
}


@pytest.mark.parametrize("form", FORMATS)
def test_content_comes_in_the_formats_own_parts_where_they_are_asked_for(live: LiveGateway, form: str) -> None:
    given = json.dumps({"content": [block for block, _ in PARTS[form]]})
    answer = execute(live, item("up_give", given, form), f"format={form}&content=PARTS")
    assert answer.json == output([part for _, part in PARTS[form]], form)
    empty = execute(live, item("up_give", '{"content": []}', form), f"content=parts&format={form}")
    assert empty.json == output([], form)


@pytest.mark.parametrize("form", FORMATS)
def test_a_tools_own_error_is_a_result_that_a_header_marks(live: LiveGateway, form: str) -> None:
    failed = {"content": [text("no such file")], "isError": True}
    answer = execute(live, item("up_give", json.dumps(failed), form), f"format={form}")
    assert (answer.status, answer.json) == (200, output("no such file", form))
    assert answer.headers["x-mcp-is-error"] == "true"


@pytest.mark.parametrize("arguments", ["", "  \n", "{}", {}, None])
def test_blank_arguments_are_an_empty_object(live: LiveGateway, upstream: RawUpstream, arguments: Any) -> None:
    assert execute(live, item("up_echo", arguments)).json == output("{}")
    assert json.loads(upstream.calls_seen()[-1])["params"]["arguments"] == {}


def test_an_object_is_as_good_as_its_text(live: LiveGateway) -> None:
    given = {"path": ".", "deep": [{"ü": None}]}
    as_text, as_object = (execute(live, item("up_echo", one)) for one in (json.dumps(given), given))
    assert as_text.body == as_object.body


@pytest.mark.parametrize("call_id", ["", " ", '\u2028"\\', "日本語 \U0001f600", "null", "0", "x" * 100_000, "a\tb\x00"])
@pytest.mark.parametrize("form", FORMATS)
def test_an_id_comes_back_exactly(live: LiveGateway, form: str, call_id: str) -> None:
    assert execute(live, item("up_echo", "", form, call_id), f"format={form}").json == output("{}", form, call_id)
    (entry,) = execute(live, [item("nobody", "", form, call_id)], f"format={form}").json
    assert entry.pop("tool_call_id" if form == "chat" else "call_id") == call_id
    assert checked(entry["error"])["type"] == "tool_execution_error"


@pytest.mark.parametrize("form", FORMATS)
def test_calls_of_an_array_are_answered_in_its_order_each_by_itself(live: LiveGateway, form: str) -> None:
    broken = item("up_echo", "{", form, "broken")
    calls = [
        item("up_echo", '{"n":0}', form, "same"),
        item("nobody", "", form, "who"),
        item("up_echo", '{"n":1}', form, "same"),
        broken,
        5,
        item("up_strict", "{}", form, "strict"),
        item("up_give", json.dumps({"error": {"code": -32000, "message": "no"}}), form, "refused"),
        item("up_echo", '{"n":2}', form, "last"),
    ]
    answer = execute(live, calls, f"format={form}")
    entries = answer.json
    assert (answer.status, len(entries)) == (200, len(calls))
    assert [entries[0], entries[2], entries[7]] == [
        output(f'{{"n": {n}}}', form, call_id) for n, call_id in ((0, "same"), (1, "same"), (2, "last"))
    ]
    key = "tool_call_id" if form == "chat" else "call_id"
    failed = [(entries[at].get(key), checked(entries[at]["error"])["type"]) for at in (1, 3, 4, 5, 6)]
    assert failed == [
        ("who", "tool_execution_error"),
        ("broken", "invalid_request_error"),
        (None, "invalid_request_error"),
        ("strict", "invalid_request_error"),
        ("refused", "upstream_error"),
    ]
    assert entries[5]["error"]["param"] == "path"
    assert "x-mcp-is-error" not in answer.headers


def test_the_header_tells_of_a_tools_own_error_among_many_and_an_empty_array_is_answered(live: LiveGateway) -> None:
    failed = item("up_give", json.dumps({"content": [text("no")], "isError": True}))
    answer = execute(live, [item("up_echo"), failed])
    assert (answer.json[1], answer.headers["x-mcp-is-error"]) == (output("no"), "true")
    assert execute(live, []).json == []


def test_an_array_has_an_end(live: LiveGateway, upstream: RawUpstream) -> None:
    assert len(execute(live, [item("up_echo")] * 128).json) == 128
    before = len(upstream.calls_seen())
    answer = execute(live, [item("up_echo")] * 129)
    assert (answer.status, error(answer)["type"]) == (400, "invalid_request_error")
    assert len(upstream.calls_seen()) == before


def test_numbers_of_any_size_go_through_exactly(live: LiveGateway, upstream: RawUpstream) -> None:
    digits = b"123456789012345678901234567890"
    for arguments in (b'"{\\"n\\":%s}"' % digits, b'{"n":%s}' % digits):
        body = b'{"id":"c","type":"function","function":{"name":"up_echo","arguments":%s}}' % arguments
        assert execute(live, body).json["content"] == f'{{"n": {digits.decode()}}}'
        assert b'"n":' + digits in upstream.calls_seen()[-1]


def test_the_same_is_sent_on_as_for_a_call_over_mcp(live: LiveGateway, upstream: RawUpstream) -> None:
    execute(live, item("up_echo", '{"b": 1, "a": [2.50, "ü"]}'))
    live.post(call("up_echo", {"b": 1, "a": [2.50, "ü"]}))
    ours, theirs = (json.loads(body)["params"] for body in upstream.calls_seen()[-2:])
    for one in (ours, theirs):
        one.pop("_meta", None)
    assert ours == theirs == {"name": "echo", "arguments": {"b": 1, "a": [2.5, "ü"]}}
