"""Hostile JSON-RPC bodies, sent to a real gateway: refused before any work, or forwarded exactly as decided."""

import json
from collections.abc import Iterator

import pytest

from tests.fixtures.live_gateway import LiveGateway, call, head, live_gateway, read_answer, request
from tests.fixtures.raw_upstream import RawUpstream, raw_upstream

MAX_BODY = 16 * 1024
OVER = b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"' + b"x" * MAX_BODY + b'"}}'


@pytest.fixture(scope="module")
def upstream() -> Iterator[RawUpstream]:
    with raw_upstream("modern") as one:
        yield one


@pytest.fixture(scope="module")
def gate(upstream: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    config = {"mcpServers": {"up": {"url": upstream.url}}, "server": {"max_body": f"{MAX_BODY}B", "drain": "1s"}}
    with live_gateway(tmp_path_factory.mktemp("gate"), config) as live:
        yield live


def nested(depth: int, inside: str) -> bytes:
    """A call whose message nests ``depth`` deep."""
    around = 3  # message, params, arguments
    deep = "[" * (depth - around) + inside + "]" * (depth - around)
    return json.dumps(call("up_echo", {"x": "?"})).replace('"?"', deep).encode()


def test_body_over_the_limit_is_413(gate: LiveGateway) -> None:
    assert gate.post(OVER).status == 413


def test_chunked_body_over_the_limit_is_413(gate: LiveGateway) -> None:
    headers = (
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
    )
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(OVER), OVER)
    assert gate.raw(headers.encode() + b"\r\n" + body).status == 413


def test_chunked_body_within_the_limit_is_served(gate: LiveGateway) -> None:
    body = json.dumps(request("ping")).encode()
    headers = (
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
    )
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\nX-Trailer: y\r\n\r\n"
    assert gate.raw(headers.encode() + b"\r\n" + chunks).json["result"] == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[",
        b"nonsense",
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":NaN}}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":-Infinity}}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":1e400}}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"\xff"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"\xed\xa0\x80"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"\\ud800"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"\\udc00":1}}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":1234567890123456789012,"y":"\\ud800"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":1234567890123456789012,"y":NaN}}',
        b'\xef\xbb\xbf{"jsonrpc":"2.0","id":1,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping"} {}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"a\x00b"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":' + b"1" * 400 + b"}}",
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":' + b"1" * 5_000 + b"}}",
        b"[" * 5_000,
        nested(65, ""),
        nested(65, "1"),
        nested(66, "{}"),
        nested(900, "1"),
    ],
    ids=lambda body: ascii(body[:60]),
)
def test_what_is_not_json_is_refused(gate: LiveGateway, upstream: RawUpstream, body: bytes) -> None:
    before = len(upstream.seen)
    answer = gate.post(body)
    assert (answer.status, answer.code) == (400, -32700)
    assert len(upstream.seen) == before


def test_nesting_of_64_is_served(gate: LiveGateway) -> None:
    assert gate.post(nested(64, "")).code is None
    assert gate.post(nested(64, "1")).code is None


@pytest.mark.parametrize(
    "change",
    [
        {"id": None},
        {"id": True},
        {"id": 1.5},
        {"id": 1.0},
        {"id": [1]},
        {"id": {}},
        {"params": []},
        {"params": None},
        {"params": "x"},
        {"method": 5},
        {"method": None},
        {"jsonrpc": "1.0"},
        {"jsonrpc": 2.0},
        {"jsonrpc": None},
    ],
    ids=str,
)
def test_what_is_no_request_is_refused(gate: LiveGateway, change: dict[str, object]) -> None:
    answer = gate.post({**call("up_echo"), **change})
    assert (answer.status, answer.code) == (400, -32600)


@pytest.mark.parametrize("body", [b"5", b'"x"', b"null", b"true", b"{}", b'{"jsonrpc":"2.0"}'], ids=ascii)
def test_what_is_no_message_is_refused(gate: LiveGateway, body: bytes) -> None:
    answer = gate.post(body)
    assert (answer.status, answer.code) == (400, -32600)


@pytest.mark.parametrize(
    "request_id", ["", "x", 0, -1, 2**53 + 1, 2**63, 2**64, -(2**80), 10**300], ids=lambda one: repr(one)[:20]
)
def test_ids_come_back_unchanged_in_value_and_type(gate: LiveGateway, request_id: object) -> None:
    answer = gate.post(request("ping", None, request_id)).json["id"]
    assert answer == request_id
    assert type(answer) is type(request_id)


@pytest.mark.parametrize("version", ["2025-06-18", "2025-11-25"])
def test_batch_is_refused_where_the_version_has_none(gate: LiveGateway, upstream: RawUpstream, version: str) -> None:
    session, before = gate.session(version=version), len(upstream.seen)
    answer = gate.legacy(session, [call("up_echo")])
    assert (answer.status, answer.code) == (400, -32600)
    assert gate.post([call("up_echo")]).status == 400
    assert len(upstream.seen) == before


def test_batch_is_served_where_the_version_has_it(gate: LiveGateway) -> None:
    session = gate.session(version="2025-03-26")
    answers = gate.legacy(session, [request("ping", None, 1), request("ping", None, "1")]).json
    assert sorted(str(type(one["id"])) for one in answers) == ["<class 'int'>", "<class 'str'>"]


def test_batch_with_one_bad_message_does_no_work(gate: LiveGateway, upstream: RawUpstream) -> None:
    session, before = gate.session(version="2025-03-26"), len(upstream.seen)
    assert gate.legacy(session, [call("up_echo"), {"id": True}]).status == 400
    assert gate.legacy(session, []).status == 400
    assert gate.legacy(session, [request("ping")] * 257).status == 400
    assert len(upstream.seen) == before


@pytest.mark.parametrize("in_batch", [False, True])
def test_a_fault_of_ours_tells_the_client_nothing_and_the_log_all(
    gate: LiveGateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, in_batch: bool
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the password is swordfish")

    session = gate.session(version="2025-03-26")
    monkeypatch.setattr(gate.gateway.relay.access, "may_call", broken)
    with caplog.at_level("ERROR", "onegate.http"):
        answer = gate.legacy(session, [call("up_echo")] if in_batch else call("up_echo"))
    told = answer.json[0] if in_batch else answer.json
    data = {"request_id": answer.headers["x-request-id"]}
    assert told["error"] == {"code": -32603, "message": "Internal error", "data": data}
    assert "swordfish" in caplog.text


def test_a_gateway_that_stops_takes_no_batch_and_no_request(gate: LiveGateway, upstream: RawUpstream) -> None:
    session, before = gate.session(version="2025-03-26"), len(upstream.seen)
    gate.gateway.service.draining = True
    try:
        for message in ([call("up_echo")], call("up_echo")):
            answer = gate.legacy(session, message)
            assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, -31503, "1")
    finally:
        gate.gateway.service.draining = False
    assert len(upstream.seen) == before


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (b'{"name":"nothing","name":"up_echo","arguments":{"a":1,"a":2}}', b'"arguments":{"a":2}'),
        (b'{"arguments":{"a":1},"name":"up_echo","arguments":{"b":2}}', b'"arguments":{"b":2}'),
        (b'{"name":"up_echo","\\u006eame":"up_echo","arguments":{}}', b'"arguments":{}'),
    ],
)
def test_of_duplicate_keys_only_the_one_that_was_decided_on_is_forwarded(
    gate: LiveGateway, upstream: RawUpstream, body: bytes, sent: bytes
) -> None:
    answer = gate.post(b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":' + body + b"}")
    assert answer.code is None
    forwarded = upstream.calls_seen()[-1]
    assert sent in forwarded
    assert forwarded.count(b'"name":"echo"') == 1
    assert b"nothing" not in forwarded
    assert forwarded.count(b'"arguments"') == 1


def test_of_duplicate_names_a_refused_one_is_not_forwarded(gate: LiveGateway, upstream: RawUpstream) -> None:
    before = len(upstream.seen)
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"up_echo","name":"nothing"}}'
    assert gate.post(body).code == -32602
    assert len(upstream.seen) == before


@pytest.mark.parametrize(
    "number", [2**53 + 1, 2**63, 2**64 - 1, 2**64, -(2**63) - 1, 10**40, 10**300 + 7], ids=int.bit_length
)
def test_integers_of_any_size_arrive_unchanged(gate: LiveGateway, upstream: RawUpstream, number: int) -> None:
    answer = gate.post(call("up_echo", {"n": number}))
    digits = json.dumps(number).encode()
    assert b'"n":' + digits in upstream.calls_seen()[-1]
    assert digits in answer.body


@pytest.mark.parametrize("arguments", [[], "x", 5, True])
def test_arguments_that_are_no_object_are_refused(gate: LiveGateway, upstream: RawUpstream, arguments: object) -> None:
    before = len(upstream.seen)
    assert gate.post(request("tools/call", {"name": "up_echo", "arguments": arguments})).code == -32602
    assert len(upstream.seen) == before


@pytest.mark.parametrize("name", ["nothing", "UP_ECHO", "up_echo ", "up_écho", "echo", "", "up_echo\x00", "up_secret"])
def test_hidden_and_unknown_names_get_the_same_answer(gate: LiveGateway, name: str) -> None:
    answer = gate.post(call(name))
    assert answer.status == 200
    assert answer.json == {
        "jsonrpc": "2.0",
        "id": 1,
        "error": {"code": -32602, "message": f"Unknown tool: {name}"},
    }


@pytest.mark.parametrize("name", [None, 5, ["up_echo"], {"name": "up_echo"}])
def test_a_name_that_is_no_text_is_refused(gate: LiveGateway, name: object) -> None:
    assert gate.post(request("tools/call", {"name": name})).code == -32602


@pytest.mark.parametrize("meta", [5, "x", [], True, None, 0])
def test_meta_that_is_no_object_is_refused(gate: LiveGateway, upstream: RawUpstream, meta: object) -> None:
    before = len(upstream.seen)
    session = gate.session()
    for name in ("up_echo", "nothing"):
        message = request("tools/call", {"name": name, "_meta": meta})
        assert gate.post(message).code == -32602
        assert gate.legacy(session, message).code == -32602
    assert len(upstream.seen) == before


def test_initialize_with_bad_params_is_answered_under_its_own_id(gate: LiveGateway) -> None:
    answer = gate.post(request("initialize", {}, "my id"))
    assert (answer.json["id"], answer.code) == ("my id", -32602)


def test_initialize_without_an_id_opens_no_session(gate: LiveGateway) -> None:
    message = request("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}})
    del message["id"]
    answer = gate.post(message)
    assert answer.status == 400
    assert "mcp-session-id" not in answer.headers


def test_expect_100_continue_is_answered_before_the_body(gate: LiveGateway) -> None:
    body = json.dumps(request("ping")).encode()
    headers = {"Content-Type": "application/json", "Expect": "100-continue", "Content-Length": str(len(body))}
    with gate.connect(head("POST", "/mcp", headers)) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        assert read_answer(connection).json["result"] == {}
