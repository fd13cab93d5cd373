"""Requests that are none of the tool API's: bodies, methods, types, sizes and paths, from outside."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.live_gateway import LiveGateway, head, live_gateway, read_answer
from tests.fixtures.raw_upstream import RawUpstream, raw_upstream
from tests.fixtures.tool_api import EXECUTE, TOOLS, WHO, as_told, error, execute, item, said, say, settings


@pytest.fixture(scope="module")
def upstream() -> Iterator[RawUpstream]:
    with raw_upstream("modern") as one:
        as_told(one)
        yield one


@pytest.fixture(scope="module")
def live(upstream: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    with live_gateway(tmp_path_factory.mktemp("gate"), settings(upstream)) as one:
        yield one


def call_with(arguments: bytes) -> bytes:
    return b'{"id":"c","type":"function","function":{"name":"up_echo","arguments":%s}}' % arguments


BAD_BODIES = {
    "nothing": b"",
    "not JSON": b'{"id"',
    "two values": b"{} {}",
    "a text": b'"call"',
    "a number": b"5",
    "null": b"null",
    "no call": b"{}",
    "NaN": call_with(b'{"a":NaN}'),
    "NaN in the text": call_with(b'"{\\"a\\":NaN}"'),
    "Infinity": call_with(b'{"a":1e999}'),
    "a lone surrogate": call_with(b'{"a":"\\ud800"}'),
    "a lone surrogate in the text": call_with(b'"{\\"a\\":\\"\\\\ud800\\"}"'),
    "a lone surrogate in the id": b'{"id":"\\udfff","type":"function","function":{"name":"up_echo"}}',
    "bytes that are no UTF-8": call_with(b'{"a":"\xff"}'),
    "deep": call_with(b'{"a":' + b"[" * 70 + b"]" * 70 + b"}"),
    "deep in the text": call_with(b'"{\\"a\\":' + b"[" * 70 + b"]" * 70 + b'}"'),
    "endlessly deep": b"[" * 2_000,
    "endlessly deep in the text": call_with(b'"' + b"[" * 2_000 + b'"'),
    "arguments that are a list": call_with(b"[]"),
    "arguments that are a list in the text": call_with(b'"[1]"'),
    "an id that is a number": b'{"id":5,"type":"function","function":{"name":"up_echo"}}',
    "no name": b'{"id":"c","type":"function","function":{}}',
    "a digit too many": call_with(b'{"a":' + b"9" * 4_000 + b"x}"),
}


@pytest.mark.parametrize("kind", BAD_BODIES)
def test_a_body_that_is_no_call_is_refused_before_any_work(live: LiveGateway, upstream: RawUpstream, kind: str) -> None:
    before = len(upstream.seen)
    answer = say(live, BAD_BODIES[kind])
    assert said(answer) == (400, "invalid_request_error")
    assert len(upstream.seen) == before


def test_of_a_duplicate_key_one_value_is_decided_on_and_the_same_is_sent_on(
    live: LiveGateway, upstream: RawUpstream
) -> None:
    for pair in (b'"path":"/etc","path":"/tmp"', b'"path":"/tmp","path":"/etc"'):
        for arguments in (b"{%s}" % pair, b'"{%s}"' % pair.replace(b'"', b'\\"')):
            before = len(upstream.calls_seen())
            answer = say(live, call_with(arguments))
            sent = upstream.calls_seen()[before:]
            assert (answer.status, len(sent)) in ((200, 1), (403, 0))
            assert all(b'"path":"/tmp"' in one and b"/etc" not in one for one in sent)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        *((method, EXECUTE, "POST") for method in ("GET", "PUT", "DELETE", "OPTIONS", "PATCH")),
        *((method, TOOLS, "GET, HEAD") for method in ("POST", "DELETE", "OPTIONS")),
    ],
)
def test_another_method_is_told_which_there_are(live: LiveGateway, method: str, path: str, allow: str) -> None:
    answer = live.http(method, path, {**WHO, "Content-Type": "application/json"}, b"{}")
    assert said(answer) == (405, "invalid_request_error")
    assert answer.headers["allow"] == allow


@pytest.mark.parametrize("kind", ["text/plain", "", "application/xml", "multipart/form-data; boundary=x"])
def test_another_type_of_content_is_refused(live: LiveGateway, kind: str) -> None:
    answer = execute(live, item("up_echo"), headers={**WHO, "Content-Type": kind})
    assert said(answer) == (415, "invalid_request_error")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_its_size_is_refused(live: LiveGateway, chunked: bool) -> None:
    body = b" " * 5_000
    headers = {**WHO, "Content-Type": "application/json"}
    if chunked:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        framed = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        data = f"POST {EXECUTE} HTTP/1.1\r\nHost: localhost\r\n{lines}Transfer-Encoding: chunked\r\n\r\n".encode()
        data += framed
    else:
        data = head("POST", EXECUTE, headers, body)
    with live.connect(data) as connection:
        assert said(read_answer(connection)) == (413, "invalid_request_error")


@pytest.mark.parametrize("path", [EXECUTE + "/", TOOLS + "/", "/v1/mcp/tool%2Fexecute", "/V1/mcp/tools", "/v1/mcp"])
def test_a_path_beside_it_is_unknown(live: LiveGateway, path: str) -> None:
    assert live.post(item("up_echo"), path=path).status == 401
    assert live.post(item("up_echo"), WHO, path).status == 404


def test_without_a_door_to_everything_it_says_why_and_only_to_whom_it_let_in(
    upstream: RawUpstream, tmp_path: Path
) -> None:
    with live_gateway(tmp_path, settings(upstream, server={"path": None})) as live:
        assert said(execute(live, item("up_echo"))) == (401, "authentication_error")
        assert said(live.http("GET", TOOLS, {})) == (401, "authentication_error")
        for answer in (say(live, item("up_echo")), live.http("GET", TOOLS, WHO)):
            assert said(answer) == (404, "invalid_request_error")
            assert "server.path" in error(answer)["message"]


def test_it_stands_on_the_main_door_wherever_that_is(upstream: RawUpstream, tmp_path: Path) -> None:
    policy = {"allow": ['request.path == "/elsewhere"']}
    with live_gateway(tmp_path, settings(upstream, server={"path": "/elsewhere"}, policy=policy)) as live:
        assert say(live, item("up_echo")).status == 200
        answer = execute(live, item("up_echo"))
        assert answer.headers["www-authenticate"].endswith('oauth-protected-resource/elsewhere"')


def test_switched_off_its_paths_are_as_any_other(upstream: RawUpstream, tmp_path: Path) -> None:
    with live_gateway(tmp_path, settings(upstream, tool_api={"enabled": False})) as live:
        for method, path in (("POST", EXECUTE), ("GET", TOOLS)):
            for headers in ({}, WHO):
                off, other = (
                    live.http(method, one, {**headers, "Content-Type": "application/json"}, b"{}")
                    for one in (path, "/v1/other")
                )
                seen = [
                    (answer.status, str(answer.headers | {"x-request-id": ""}).replace(one, "PATH"), answer.body)
                    for one, answer in ((path, off), ("/v1/other", other))
                ]
                assert seen[0] == seen[1]
                assert off.status == (404 if headers else 401)
