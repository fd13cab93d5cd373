import asyncio
import errno
import socket
import ssl
from typing import Any

import pytest

from tests.fixtures.byte_server import OK, Visit, asked, byte_server, closing, opened, pool_to, saying, whole
from tests.fixtures.clock import both_loops, until  # noqa: F401
from upstreams.errors import ConnectionLost, Unreachable
from upstreams.link import MAX_BUFFERED, MAX_HEAD, Link, reason
from upstreams.outbox import LARGE

pytestmark = pytest.mark.anyio

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BLOCK = b"x" * 2**16


class Wire(asyncio.Transport):
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (OK, 200, b"ok"),
        (CHUNKED + b"2\r\nab\r\n3;x=y\r\ncde\r\n0\r\n\r\n", 200, b"abcde"),
        (CHUNKED + b"0\r\n\r\n", 200, b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n", 304, b""),
        (b"HTTP/1.1 202\r\nContent-Length: 0\r\n\r\n", 202, b""),
        (b"HTTP/1.1 200 OK\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
    ],
)
async def test_a_framed_answer_ends_where_it_says_and_another_may_follow(
    answer: bytes, status: int, body: bytes
) -> None:
    async with byte_server(saying(answer, OK)) as server, pool_to(server.origin) as pool:
        first = await opened(pool)
        assert (first.status, await whole(first)) == (status, body)
        assert await asked(pool) == b"ok"
        assert len(server.visits) == 1


async def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    answer = b"HTTP/1.1 200 OK\r\n\r\none two"
    async with byte_server(closing(answer)) as server, pool_to(server.origin) as pool:
        assert await asked(pool) == b"one two"
        assert await asked(pool) == b"one two"
        assert len(server.visits) == 2


async def test_interim_answers_leave_no_trace() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    async with byte_server(saying(interim + OK, OK)) as server, pool_to(server.origin) as pool:
        answer = await opened(pool)
        assert (answer.status, answer.headers) == (200, {"content-length": "2"})
        assert await whole(answer) == b"ok"
        assert await asked(pool) == b"ok"
        assert len(server.visits) == 1


async def test_header_names_are_lower_case_and_repeated_ones_joined() -> None:
    head = b"HTTP/1.1 200 OK\r\nX-One: a\r\nx-one:  b \r\nX-NAME: \xe9\r\nContent-Length: 0\r\n\r\n"
    async with byte_server(saying(head)) as server, pool_to(server.origin) as pool:
        answer = await opened(pool)
        assert answer.headers == {"x-one": "a, b", "x-name": "é", "content-length": "0"}
        answer.release()


async def test_a_trailer_changes_no_header() -> None:
    trailed = CHUNKED + b"1\r\na\r\n0\r\nContent-Type: text/html\r\nTransfer-Encoding: x\r\n\r\n"
    async with byte_server(saying(trailed)) as server, pool_to(server.origin) as pool:
        answer = await opened(pool)
        assert await whole(answer) == b"a"
        assert answer.headers == {"transfer-encoding": "chunked"}


async def exchanged(link: Link, request: bytes) -> None:
    """Until the head of the answer is here."""
    link.send(request)
    while not link.head_done:
        await link.more()


async def test_an_answer_may_come_byte_by_byte() -> None:
    link = Link(lambda link: None)
    wire = Wire()
    link.connection_made(wire)
    exchange = asyncio.ensure_future(exchanged(link, b"request"))
    await until(lambda: wire.written == b"request")
    for byte in b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n":
        link.data_received(bytes([byte]))
    await exchange
    assert (link.status, await link.chunk(), await link.chunk()) == (200, b"abcde", b"")
    assert link.reusable


@pytest.mark.parametrize(
    "endless",
    [
        b"HTTP/1.1 200 OK\r\nX: " + BLOCK * 5,
        b"HTTP/1.1 200 " + BLOCK * 5,
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 50_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 12_000,
        CHUNKED + b"1\r\na\r\n0\r\nX: " + BLOCK * 9,
        CHUNKED + b"1\r\na\r\n1;" + BLOCK * 9,
    ],
)
async def test_headers_over_the_limit_break_the_connection(endless: bytes) -> None:
    async with byte_server(saying(endless)) as server, pool_to(server.origin) as pool:
        with pytest.raises(ConnectionLost, match=f"over {MAX_HEAD} bytes"):
            await asked(pool)
        await server.visits[0].ended.wait()


async def test_a_head_under_the_limit_and_a_body_of_any_size_are_taken() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\nX: " + BLOCK * 3 + b"\r\n\r\n"
    async with byte_server(saying(head + b"y" * 2_000_000)) as server, pool_to(server.origin) as pool:
        answer = await opened(pool)
        assert len(answer.headers["x"]) == 3 * len(BLOCK)
        assert len(await whole(answer)) == 2_000_000


@pytest.mark.parametrize(
    "said",
    [
        b"sesame\r\n\r\n",
        b"SSH-2.0-sesame\r\n",
        b"HTTP/1.1 sesame OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nsesame\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: sesame\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 6\r\n\r\nsesame",
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\nsesame",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: sesame\r\n\r\nsesame",
        CHUNKED + b"sesame\r\n",
        CHUNKED + b"1\r\nasesame",
    ],
)
async def test_what_is_no_http_is_told_without_a_word_of_it(said: bytes) -> None:
    async with byte_server(saying(said)) as server, pool_to(server.origin) as pool:
        with pytest.raises(ConnectionLost, match=r"^the connection broke: the answer is not HTTP$") as caught:
            await asked(pool)
        assert not isinstance(caught.value, Unreachable)
        await server.visits[0].ended.wait()


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nX: sesame",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nsesame",
        CHUNKED + b"6\r\nsesame\r\n",
    ],
)
async def test_a_server_that_closes_before_the_end_is_told_without_a_word_of_its_own(said: bytes) -> None:
    async with byte_server(closing(said)) as server, pool_to(server.origin) as pool:
        with pytest.raises(ConnectionLost, match=r"^the connection broke: the server closed the connection$") as caught:
            await asked(pool)
        assert not isinstance(caught.value, Unreachable)


async def test_a_connection_that_is_reset_is_lost() -> None:
    async def resets(visit: Visit) -> None:
        await visit.first_byte()  # the rest stays unread: closing is a reset
        await visit.say(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        visit.writer.transport.abort()

    async with byte_server(resets) as server, pool_to(server.origin) as pool:
        with pytest.raises(ConnectionLost, match=r"(?i)reset|pipe|closed"):
            await asked(pool, b"x" * 8_000_000)


async def test_what_nobody_reads_is_not_taken_in() -> None:
    size, sent, stuck = 50_000_000, 0, asyncio.Event()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size

    async def floods(visit: Visit) -> None:
        nonlocal sent
        await visit.request()
        await visit.say(head)
        while sent < size:
            visit.writer.write(b"x" * 500_000)
            try:
                async with asyncio.timeout(0.1):  # client and server share a thread: this long is for good
                    await visit.writer.drain()
            except TimeoutError:
                stuck.set()
                await visit.writer.drain()
            sent += 500_000
        stuck.set()
        await visit.left()

    async with byte_server(floods) as server, pool_to(server.origin) as pool:
        answer = await opened(pool)
        await stuck.wait()
        assert sent < size / 2  # what the kernel buffers, and little more
        taken = 0
        while chunk := await answer.chunk():
            taken += len(chunk)
        assert taken == size
        assert len(await answer.chunk()) == 0
        answer.release()


class Pausing(Wire):
    """A transport that knows whether it is being read."""

    reading = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


async def test_large_pieces_of_a_body_are_given_one_by_one_and_small_ones_together() -> None:
    link, wire = Link(lambda link: None), Pausing()
    link.connection_made(wire)
    link.send(b"request")
    small = [b"a", b"b" * 10, b"c" * MAX_BUFFERED]
    large = [b"d" * MAX_BUFFERED, b"e" * LARGE, b"f"]
    link.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % sum(map(len, small + large)))
    for piece in small:
        link.data_received(piece)
    assert not wire.reading
    assert await link.chunk() == b"".join(small)
    assert wire.reading
    for piece in large:
        link.data_received(piece)
    for piece in large:
        assert not wire.reading  # what is here is to be taken first
        assert await link.chunk() == piece
    assert wire.reading
    assert await link.chunk() == b""


async def test_a_reset_while_paused_is_told_once_the_rest_is_read() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 90000000\r\n\r\n"
    async with byte_server(closing(head + b"x" * 1_000_000)) as server, pool_to(server.origin) as pool:
        answer = await opened(pool)
        taken = 0
        with pytest.raises(ConnectionLost):  # noqa: PT012 - how many reads there are is up to the kernel
            while chunk := await answer.chunk():
                taken += len(chunk)
        assert taken == 1_000_000
        answer.release()


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "sesame"), "Connection refused"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (
            ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1)"),
            "TLS failed (no reason given)",
        ),
        (ConnectionResetError(), "the server closed the connection"),
        (ConnectionAbortedError("SSL handshake is taking too long"), "SSL handshake is taking too long"),
    ],
)
async def test_what_a_connection_failed_of_is_told_in_plain_words(failure: Exception, told: str) -> None:
    assert reason(failure) == told
