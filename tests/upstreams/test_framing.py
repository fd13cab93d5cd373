"""What is read without a parser is what a parser would read, held against llhttp over generated messages."""

import random
from typing import Any

import httptools
import pytest

from upstreams.framing import LENGTH, MAX_BYTES, known_head

REQUEST = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nAccept: a/b\r\n\r\nhello"
NAMED = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Name: up_echo\r\nContent-Length: 5\r\nAccept: a/b\r\n\r\nhello"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: a/b\r\ncontent-length: 5\r\n\r\nhello"
LAST = b"HTTP/1.1 200 OK\r\nContent-Length:\t5\r\n\r\nhello"


class Parsed:
    """What llhttp makes of bytes: the messages, and whether it was left within one."""

    def __init__(self, data: bytes, kind: type) -> None:
        self.messages: list[tuple[list[tuple[bytes, bytes]], bytes]] = []
        self.within = False
        self.failed = False
        try:
            kind(self).feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.failed = True

    def on_message_begin(self) -> None:
        self.within = True
        self.messages.append(([], b""))

    def on_header(self, name: bytes, value: bytes) -> None:
        self.messages[-1][0].append((name, value))

    def on_body(self, body: bytes) -> None:
        headers, before = self.messages[-1]
        self.messages[-1] = headers, before + body

    def on_message_complete(self) -> None:
        self.within = False


VARYING = frozenset({b"mcp-name", b"date"})
KINDS: dict[bytes, Any] = {
    NAMED: httptools.HttpRequestParser,
    REQUEST: httptools.HttpRequestParser,
    ANSWER: httptools.HttpResponseParser,
    LAST: httptools.HttpResponseParser,
}
PIECES = [b"\r\n", b"\r", b"\n", b" ", b"\t", b"0", b"9", b"5", b"-", b"+", b",", b":", b"", b"hello", b"\0"]
PIECES += [b"another", b"an other", b"\xff", b"Mcp-Name: up_echo\r\n", b"Mcp-Name:", b"up_echo"]
PIECES += [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"content-length:5\r\n", b"\r\n\r\n"]


def mutated(message: bytes, chance: random.Random) -> bytes:
    data = message
    for _ in range(chance.randint(0, 3)):
        at = chance.randrange(len(data) + 1)
        data = data[:at] + chance.choice(PIECES) + data[at + chance.randint(0, 3) :]
    if chance.random() < 0.5:  # another length with the body that it says, or nearly
        size = chance.choice([0, 1, 5, 12, 345])
        data = data.replace(b"5\r\n", b"%d\r\n" % size, 1).replace(
            b"hello", b"x" * (size + chance.choice([0, 0, 0, 1, -1]))
        )
    return data


def lasting(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [header for header in headers if header[0].lower() not in VARYING | {LENGTH}]


@pytest.mark.parametrize("message", KINDS)
def test_what_is_read_is_what_a_parser_reads(message: bytes) -> None:
    chance, hits = random.Random(7), 0
    head = known_head(message, VARYING)
    assert head is not None
    wanted = [
        header for header in Parsed(message, KINDS[message]).messages[0][0] if header[0].lower() != b"content-length"
    ]
    for _ in range(20_000):
        data = mutated(message, chance)
        read = head.read(data)
        if read is None:
            continue
        hits += 1
        parsed = Parsed(data, KINDS[message])
        assert not parsed.failed
        assert not parsed.within
        [(headers, body)] = parsed.messages
        assert body == read[1]
        assert lasting(headers) == lasting(wanted)
        found = {name.lower(): value for name, value in headers}
        assert [found[name] for name in head.names] == read[0]
        assert int(found[b"content-length"]) == len(body)
    assert hits > 500


@pytest.mark.parametrize("message", KINDS)
def test_a_head_is_only_known_where_one_length_frames_the_message(message: bytes) -> None:
    chance = random.Random(11)
    for _ in range(20_000):
        data = mutated(message, chance)
        parsed = Parsed(data, KINDS[message])
        if parsed.failed or parsed.within or len(parsed.messages) != 1:
            continue  # a head is asked for only of what a parser has accepted as one message
        head = known_head(data, VARYING)
        read = None if head is None else head.read(data)
        assert (head is None) == (read is None)
        assert read is None or read[1] == parsed.messages[0][1]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        REQUEST[:-1],
        REQUEST + b"x",
        REQUEST + REQUEST,
        REQUEST.replace(b"hello", b""),
        REQUEST.replace(b": 5", b": +5"),
        REQUEST.replace(b": 5", b": 5 "),
        REQUEST.replace(b": 5", b": 0000000005"),
        REQUEST.replace(b": 5", b": "),
        REQUEST.replace(b": 5", "：٥".encode()),  # noqa: RUF001  # a digit, but none of HTTP's
        REQUEST.replace(b"/mcp", b"/mcq"),
    ],
)
def test_everything_else_is_left_to_the_parser(data: bytes) -> None:
    head = known_head(REQUEST, VARYING)
    assert head is not None
    assert head.read(data) is None


@pytest.mark.parametrize(
    "data",
    [
        REQUEST.replace(b"Content-Length: 5\r\n", b""),
        REQUEST.replace(b"Accept", b"Content-Length: 5\r\nAccept"),
        NAMED.replace(b"Accept", b"mcp-name: up_echo\r\nAccept"),
        REQUEST.replace(b"a/b", b"a" * MAX_BYTES),
        REQUEST + b"x",
        REQUEST[:-1],
        REQUEST[:-7],
    ],
)
def test_no_head_is_remembered_of_what_a_length_alone_does_not_end(data: bytes) -> None:
    assert known_head(data, VARYING) is None


def test_a_body_may_hold_what_looks_like_a_head() -> None:
    head = known_head(REQUEST, VARYING)
    assert head is not None
    body = b"\r\n\r\nContent-Length: 3\r\n\r\n"
    sent = REQUEST.replace(b": 5", b": %d" % len(body)).replace(b"hello", body)
    assert head.read(sent) == ([b"%d" % len(body)], body)


@pytest.mark.parametrize("value", [b"", b" x", b"x ", b"\xe9", b"a\tb", b"\t", b"a\rb", b"x" * 2_000])
def test_values_that_are_not_plain_words_are_left_to_the_parser(value: bytes) -> None:
    head = known_head(NAMED, VARYING)
    assert head is not None
    assert head.read(NAMED.replace(b"up_echo", b"up_other")) == ([b"up_other", b"5"], b"hello")
    assert head.read(NAMED.replace(b"up_echo", b"an other")) == ([b"an other", b"5"], b"hello")
    assert head.read(NAMED.replace(b"up_echo", value)) is None
