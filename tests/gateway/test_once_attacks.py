"""Idempotency keys from outside, at every HTTP door: what repeats, what does not, and what nobody gets out of them."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fixtures.guarded import signed
from tests.fixtures.live_gateway import (
    JSON,
    Message,
    call,
    head,
    request,
)
from tests.fixtures.repeated import (
    ADMIN,
    BUILD,
    EXECUTE,
    HEADER,
    KEYS,
    MCP,
    NARROW,
    WAYS,
    WIDER,
    Ask,
    Stage,
    chat,
    chat_call,
    conflict,
    fresh,
    legacy,
    modern,
    staged,
)
from tests.fixtures.waiting import until


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("once")) as on:
        yield on


@pytest.fixture
def on(shared: Stage) -> Stage:
    shared.up.seen.clear()
    shared.up.release.clear()
    shared.up.started.clear()
    return shared


@WAYS
def test_a_repeat_gets_the_first_answer_and_the_upstream_is_asked_once(on: Stage, ask: Ask) -> None:
    headers = fresh()
    first, again = ask(on, headers), ask(on, headers)
    assert first.status == again.status == 200
    assert first.body == again.body
    assert on.made() == 1
    assert first.headers["x-request-id"] != again.headers["x-request-id"]
    assert ask(on, fresh()).body != first.body
    assert ask(on, ADMIN).body != first.body


@WAYS
@pytest.mark.parametrize("name", ["up_fail", "up_error"])
def test_an_error_of_the_tool_or_its_server_is_an_answer_too(on: Stage, ask: Ask, name: str) -> None:
    headers = fresh()
    first, again = ask(on, headers, name), ask(on, headers, name)
    assert (first.status, first.body) == (again.status, again.body)
    assert first.headers.get("x-mcp-is-error") == again.headers.get("x-mcp-is-error")
    assert on.made() == 1


@WAYS
def test_all_who_ask_at_once_share_one_call(on: Stage, ask: Ask) -> None:
    headers, many = fresh(), 20
    with ThreadPoolExecutor(many) as pool:
        asked = [pool.submit(ask, on, headers, "up_wait") for _ in range(many)]
        assert on.up.started.wait(10)
        until(lambda: on.waiting() == many, "all of them wait")
        assert on.made() == 1
        on.up.release.set()
        answers = {one.result(10).body for one in asked}
    assert len(answers) == 1
    assert on.made() == 1
    assert on.running() == 0


@WAYS
def test_another_body_under_the_key_is_refused(on: Stage, ask: Ask) -> None:
    headers = fresh()
    first = ask(on, headers, a=1)
    for name, arguments in [
        ("up_count", {}),
        ("up_count", {"a": 2}),
        ("up_count", {"a": 1.0}),
        ("up_count", {"a": True}),
        ("up_count", {"a": "1"}),
        ("up_count", {"a": 1, "b": None}),
        ("up_guarded", {"a": 1}),
    ]:
        assert conflict(ask(on, headers, name, **arguments)), arguments
    assert on.made() == 1
    assert ask(on, headers, a=1).body == first.body


@MCP
def test_ids_metadata_and_the_order_of_members_do_not_make_another_body(on: Stage, ask: Ask) -> None:
    headers = fresh()
    first = ask(on, headers, a=1, b={"c": 2, "d": 3})
    assert ask(on, headers, b={"d": 3, "c": 2}, a=1).body == first.body
    assert on.made() == 1


def test_a_retry_may_have_another_id_and_progress_token(on: Stage) -> None:
    headers = fresh()
    answers = []
    for number in (1, 2):
        message = call("up_count", request_id=number)
        message["params"]["_meta"] = {"progressToken": number}
        answers.append(on.live.post(message, headers).json)
    assert [answer.pop("id") for answer in answers] == [1, 2]
    assert answers[0] == answers[1]
    assert on.made() == 1


def test_the_bytes_of_a_body_count_in_the_tool_api(on: Stage) -> None:
    headers = fresh()
    body = json.dumps(chat_call())
    first = on.live.post(body.encode(), headers, EXECUTE)
    assert conflict(on.live.post(body.replace("c1", "c2").encode(), headers, EXECUTE))
    assert conflict(on.live.post(body.encode() + b" ", headers, EXECUTE))
    assert on.live.post(body.encode(), headers, EXECUTE).body == first.body
    assert on.made() == 1


def test_a_key_is_of_one_door_and_one_form(on: Stage) -> None:
    headers = fresh()
    bodies = json.dumps(chat_call()).encode(), json.dumps(call("up_count")).encode()
    response = {"type": "function_call", "call_id": "c1", "name": "up_count", "arguments": "{}"}
    answers = [
        on.live.post(bodies[1], headers),
        on.live.post(call("count"), headers, "/other"),
        on.live.post(call("count"), headers, "/mcp/up"),
        modern(on, headers),
        legacy(on, headers),
        on.live.post(bodies[0], headers, EXECUTE),
        on.live.post(bodies[0], headers, EXECUTE + "?content=parts"),
        on.live.post(response, headers, EXECUTE + "?format=responses"),
    ]
    assert [(answer.status, "error" in answer.json) for answer in answers] == [(200, False)] * len(answers)
    assert on.made() == len(answers)
    on.live.post(bodies[0], headers, EXECUTE + "?format=CHAT&content=text")
    assert on.made() == len(answers)


@WAYS
def test_another_identity_other_claims_and_other_filters_run_anew(on: Stage, ask: Ask) -> None:
    key = {HEADER: f"key-{next(KEYS)}"}
    callers: list[Mapping[str, str]] = [
        ADMIN,
        signed("admin", "eve"),
        signed("developer", "admin"),
        signed("admin", teams=[1]),
        signed("admin", teams=[True]),
        signed("admin", teams=[1.0]),
        {**ADMIN, "X-Api-Key": NARROW},
        {**ADMIN, "X-Api-Key": WIDER},
        {**ADMIN, "X-MCP-Include-Clients": "up"},
        {**ADMIN, "X-MCP-Include-Clients": "*,up"},
        {**ADMIN, "X-MCP-Include-Tools": "up_*"},
        {**ADMIN, "X-BF-MCP-Include-Tools": "up_count"},
    ]
    if ask is not legacy:  # whose greeting the helper sends under the token alone
        callers += [{"X-Api-Key": NARROW}, {"X-Api-Key": BUILD}]
    bodies = [ask(on, {**caller, **key}).body for caller in callers]
    # `*` names the one server that there is, so it lets through what its name does.
    assert len(set(bodies)) == on.made() == len(callers) - 1
    assert [ask(on, {**caller, **key}).body for caller in callers] == bodies


@WAYS
def test_a_fresh_token_of_the_same_caller_finds_its_answer(on: Stage, ask: Ask) -> None:
    key = {HEADER: f"key-{next(KEYS)}"}
    tokens = [signed("admin", exp=4_000_000_000 + at, iat=at, nbf=at, jti=f"j{at}") for at in range(1, 4)]
    assert len({ask(on, {**one, **key}).body for one in tokens}) == 1
    assert on.made() == 1


@WAYS
def test_who_has_no_name_has_no_key(on: Stage, ask: Ask) -> None:
    for key in ("key", "", "x" * 500):
        assert ask(on, {HEADER: key}).status == ask(on, {HEADER: key}).status == 200
    assert on.made() == 6


@WAYS
@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "caf\xe9", "del\x7f"])
def test_a_key_that_is_none_is_refused(on: Stage, ask: Ask, key: str) -> None:
    assert ask(on, {**ADMIN, HEADER: key}).status == 400
    assert on.made() == 0


@pytest.mark.parametrize("key", ["x" * 255, "!", "a b", "~,;=\"'", " padded "])
def test_any_printable_key_is_one(on: Stage, key: str) -> None:
    key = key.replace("!", f"!{next(KEYS)}")
    assert chat(on, {**ADMIN, HEADER: key}, key=key).body == chat(on, {**ADMIN, HEADER: key.strip()}, key=key).body
    assert on.made() == 1


@pytest.mark.parametrize("path", ["/mcp", EXECUTE])
@pytest.mark.parametrize("value", ["k", "other"])
def test_a_key_that_comes_twice_is_refused(on: Stage, path: str, value: str) -> None:
    body = json.dumps(call("up_count") if path == "/mcp" else chat_call()).encode()
    data = head("POST", path, {**JSON, **ADMIN, HEADER: "k", HEADER.lower(): value}, body)
    assert on.live.raw(data).status == 400
    assert on.made() == 0


@pytest.mark.parametrize("bad", [b"nul\0", b"line\r bare", b"bell\x07"])
def test_control_characters_never_get_through(on: Stage, bad: bytes) -> None:
    body = json.dumps(call("up_count")).encode()
    data = head("POST", "/mcp", {**JSON, **ADMIN, HEADER: "KEY"}, body).replace(b"KEY", bad)
    assert on.live.raw(data).status == 400
    assert on.made() == 0


@pytest.mark.parametrize("method", ["tools/list", "prompts/get", "ping"])
def test_only_calls_heed_the_header(on: Stage, method: str) -> None:
    params = {"name": "up_greet"} if method == "prompts/get" else {}
    for _ in range(2):
        answer = on.live.post(request(method, params), {**ADMIN, HEADER: ""})
        assert (answer.status, answer.code) == (200, None)
    if method == "prompts/get":
        assert len(on.up.bodies("prompts/get")) == 2


@WAYS
def test_neither_the_key_nor_the_header_reaches_the_upstream(on: Stage, ask: Ask) -> None:
    headers = fresh()
    ask(on, headers)
    sent, body = next((sent, body) for sent, body in on.up.seen if b"tools/call" in body)
    assert headers[HEADER] not in f"{sent} {body!r}"
    assert HEADER.lower() not in sent


def test_what_asks_for_input_is_not_kept(on: Stage) -> None:
    headers = fresh()
    first, again = modern(on, headers, "up_input"), modern(on, headers, "up_input")
    assert first.json["result"]["resultType"] == again.json["result"]["resultType"] == "input_required"
    assert on.made() == 2
    params = {
        "name": "up_input",
        "arguments": {},
        "requestState": again.json["result"]["requestState"],
        "inputResponses": {"q": {"action": "accept"}},
    }
    assert on.live.modern("tools/call", params, headers).json["result"]["resultType"] == "input_required"
    on.up.calls["input"] = on.up.calls["count"]
    assert on.live.modern("tools/call", params, headers).status == 200
    assert on.live.modern("tools/call", params, headers).status == 200
    assert on.made() == 4
    assert conflict(modern(on, headers, "up_input"))


@WAYS
def test_what_fails_before_the_upstream_is_asked_leaves_the_key_free(on: Stage, ask: Ask) -> None:
    headers = fresh()
    assert "up_nothing" in ask(on, headers, "up_nothing").body.decode()
    assert ask(on, headers).status == 200
    assert on.made() == 1


def test_every_call_of_an_array_runs_once_and_those_that_failed_are_tried_again(on: Stage) -> None:
    headers = fresh()
    items = [chat_call("up_count"), chat_call("up_nothing"), chat_call("up_count"), chat_call("up_error")]
    first, again = (on.live.post(items, headers, EXECUTE) for _ in range(2))
    assert first.json == again.json
    assert [("error" in item) for item in first.json] == [False, True, False, True]
    assert first.json[0] != first.json[2]
    assert on.made() == 3
    for other in ([*items, chat_call("up_count")], items[:1], items[::-1], items[0]):
        assert conflict(on.live.post(other, headers, EXECUTE))
    assert on.made() == 3


def test_every_call_of_a_batch_runs_once(on: Stage) -> None:
    params = {"protocolVersion": "2025-03-26", "capabilities": {}, "clientInfo": {"name": "t"}}
    session = on.live.post(request("initialize", params), ADMIN).headers["mcp-session-id"]
    headers = {**fresh(), "Mcp-Session-Id": session}

    def ask(*messages: Message) -> dict[int, Message]:
        return {one.pop("id"): one for one in on.live.post(list(messages), headers).json}

    first = ask(call("up_count"), request("ping", request_id=2), call("up_count", request_id=3))
    again = ask(call("up_count"), request("ping", request_id=2), call("up_count", request_id=3))
    assert first == again
    assert first[1] != first[3]
    assert on.made() == 2
    retried = [call("up_count", request_id=11), request("ping", request_id=12), call("up_count", request_id=13)]
    retried[2]["params"]["_meta"] = {"progressToken": 5}
    renamed = ask(*retried)
    assert renamed[13] == first[3]
    more = ask(call("up_count"), request("ping", request_id=2), call("up_count", request_id=3), call("up_count", {}, 4))
    assert [more[number]["error"]["code"] for number in (1, 3, 4)] == [-32602] * 3
    assert on.made() == 2
