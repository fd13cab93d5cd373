"""What is remembered of a connection's heads; that it changes no answer is seen in `test_http_attacks_again`."""

from typing import Any

import pytest

from gateway.transports.heads import MAX_HEADS, Heads
from upstreams.framing import MAX_BYTES


def scope(path: str = "/mcp", length: bytes = b"5", **others: Any) -> dict[str, Any]:
    headers = [(b"host", b"localhost"), (b"content-length", length), (b"accept", b"a/b")]
    asked = {"method": "POST", "raw_path": path.encode(), "query_string": b"", "http_version": "1.1"}
    return {**asked, "headers": headers, **others}


def data(path: str = "/mcp", body: bytes = b"hello") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\nAccept: a/b\r\n\r\n"
    return head.encode() + body


def test_an_equal_head_is_the_same_whatever_its_length() -> None:
    heads = Heads()
    first = heads.of(scope())
    assert first is not None
    assert heads.of(scope(length=b"12345")) is first
    assert first.headers_with([b"7"]) == scope(length=b"7")["headers"]


def test_what_belongs_to_one_message_makes_no_other_head() -> None:
    heads = Heads()
    named = [*scope()["headers"], (b"mcp-name", b"up_echo"), (b"traceparent", b"00-1")]
    first = heads.of(scope(headers=named))
    assert first is not None
    assert heads.of(scope(headers=[*named[:3], (b"mcp-name", b"up_other"), (b"traceparent", b"00-2")])) is first
    assert first.headers_with([b"5", b"up_echo", b"00-1"]) == named
    assert heads.of(scope(headers=[*named, (b"mcp-name", b"up_echo")])) is None


@pytest.mark.parametrize(
    "other",
    [
        scope("/mcq"),
        scope(method="PUT"),
        scope(query_string=b"a=1"),
        scope(http_version="1.0"),
        scope(headers=[*scope()["headers"], (b"x-a", b"1")]),
        scope(headers=[(b"host", b"other"), *scope()["headers"][1:]]),
        scope(headers=list(reversed(scope()["headers"]))),
    ],
)
def test_another_head_is_another(other: dict[str, Any]) -> None:
    heads = Heads()
    assert heads.of(scope()) is not heads.of(other)


@pytest.mark.parametrize(
    "headers",
    [
        [(b"host", b"localhost")],
        [(b"host", b"localhost"), (b"transfer-encoding", b"chunked")],
        [*scope()["headers"], (b"content-length", b"5")],
        [*scope()["headers"], (b"x-a", b"a" * MAX_BYTES)],
    ],
)
def test_nothing_is_remembered_of_heads_without_one_length_or_of_large_ones(headers: list[tuple[bytes, bytes]]) -> None:
    heads = Heads()
    assert heads.of(scope(headers=headers)) is None


def test_only_the_last_few_are_remembered() -> None:
    heads = Heads()
    first = heads.of(scope("/0"))
    for number in range(1, MAX_HEADS):
        heads.of(scope(f"/{number}"))
    assert heads.of(scope("/0")) is first
    heads.of(scope("/another"))
    assert heads.of(scope("/0")) is not first


def test_bytes_are_read_of_heads_that_came_in_one_piece() -> None:
    heads = Heads()
    assert heads.read(data()) is None
    head = heads.of(scope())
    assert head is not None
    assert heads.read(data()) is None
    heads.learn(head, data())
    assert heads.read(data(body=b"abc")) == (head, [b"3"], b"abc")
    assert heads.read(data("/mcq")) is None


def test_a_remembered_scope_has_no_headers_of_a_request() -> None:
    head = Heads().of(scope())
    assert head is not None
    assert "headers" not in head.scope
    assert (b"content-length", b"") in head.headers
