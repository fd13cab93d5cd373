"""Requests whose heads are remembered, cut and mixed in every way: each is answered as if nothing were remembered."""

import asyncio
import random
from itertools import pairwise

import pytest

from tests.fixtures.clock import fake_time, turns  # noqa: F401
from tests.fixtures.fed import Fed, answers
from tests.gateway.test_limits import REFUSED

pytestmark = pytest.mark.anyio


def post(body: bytes = b"hello", path: str = "/a", more: bytes = b"") -> bytes:
    head = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n%s\r\n" % (path.encode(), len(body), more)
    return head + body


CHUNKS = b"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
OWN = b"POST /a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\nok"
GET = b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"
MIXED = [
    post(),
    post(b""),
    post(b"x" * 12),
    post(b"he", "/b"),
    OWN,
    post(post(b"inner")),
    GET,
    CHUNKS,
    post(more=b"Connection: Upgrade\r\nUpgrade: h2c\r\n"),
    b"POST /a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\nconnection: Upgrade\r\n\r\nok",
    post(more=b"X-A: 1\r\n"),
    post(b"ab"),
]
VALUES = [b"a", b"bb", b" c ", b"", b"\xff", b"a\tb", b"a b", b"x" * 1_100, b"5\r\nX-A: 1", b"1\r\nMcp-Name: 2"]
NAMED = [post(size * b"x", more=b"Mcp-Name: %s\r\nTraceparent: 1\r\n" % value) for value in VALUES for size in (1, 5)]
CLOSING = post(b"last", more=b"Connection: close\r\n")


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The pieces between these places."""
    return [data[one:other] for one, other in pairwise([0, *places, len(data)])]


@pytest.mark.parametrize("settle", [True, False], ids=["answered between", "at once"])
async def test_a_cut_anywhere_changes_no_answer(settle: bool) -> None:
    stream = b"".join([*MIXED, CLOSING, post(b"after the end")])
    wanted = await answers([stream])
    assert wanted[0].count(b"HTTP/1.1 200") == len(MIXED) + 1
    assert wanted == await answers([stream], remembers=False)
    for place in range(1, len(stream)):
        assert await answers(cut(stream, [place]), settle=settle) == wanted, place


@pytest.mark.parametrize("seed", range(8))
async def test_many_cuts_change_no_answer(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(40):
        asked = [chance.choice(chance.choice([MIXED, NAMED])) for _ in range(12)]
        stream, starts = b"".join(asked), [0]
        for one in asked:
            starts.append(starts[-1] + len(one))
        whole = [place for place in starts[1:-1] if chance.random() < 0.7]  # mostly one request in one piece
        places = {*whole, *chance.sample(range(1, len(stream)), chance.randint(0, 6))}
        pieces = cut(stream, sorted(places))
        assert await answers(pieces) == await answers(asked, remembers=False), pieces


async def test_requests_that_are_equal_but_for_their_length_are_not_parsed_again() -> None:
    fed = Fed()
    for size in (5, 0, 1, 2000, 5):
        await fed.feed(post(b"x" * size))
    assert fed.known == 4
    fed.end()


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("together", [False, True], ids=["apart", "in one piece"])
async def test_what_is_refused_is_refused_behind_a_remembered_request(what: str, together: bool) -> None:
    status, data = REFUSED[what]
    good = b"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello"
    alone, _ = await answers([good])
    refusal, closed = await answers([data])
    assert refusal.startswith(b"HTTP/1.1 %d" % status)
    fed = Fed()
    assert await fed.feed(good, good) == alone * 2
    said = await fed.feed(*([good + data] if together else [good, data]))
    if together:  # its answer comes, and the connection ends with it
        assert said.replace(b"connection: close\r\n", b"") == alone * 3
    else:
        assert said == alone * 3 + refusal
    assert fed.wire.closed or not closed
    assert fed.known == (1 if together else 2)
    fed.end()


@pytest.mark.parametrize(
    "other",
    [
        post().replace(b"Host: localhost\r\n", b"Host: localhost\r\nHost: localhost\r\n"),
        post(more=b"Content-Length: 5\r\n"),
        post(more=b"Transfer-Encoding: chunked\r\n"),
        post(more=b"Content-Encoding: gzip\r\n"),
        post().replace(b"/a", b"http://localhost/a"),
        post().replace(b": 5", b": +5"),
        post().replace(b"1.1", b"2.0"),
        b"x" + post(),
    ],
)
async def test_what_was_added_to_a_good_head_is_seen(other: bytes) -> None:
    refusal, _ = await answers([other])
    assert refusal.startswith(b"HTTP/1.1 4")
    fed = Fed()
    good = await fed.feed(post(), post())
    assert await fed.feed(other) == good + refusal
    fed.end()


async def test_a_head_within_another_is_no_request() -> None:
    """What follows the start of a request belongs to it, also where it looks like a request that is known."""
    begun = b"POST /b HTTP/1.1\r\nHost: localhost\r\nX-A: "
    for before in ([], [post()], [post(), post(b"other")]):
        pieces = [*before, post(b"first", "/c") + begun, post(), post()]
        assert await answers(pieces) == await answers(pieces, remembers=False)


async def test_the_rest_of_a_request_is_no_head() -> None:
    """A request that was cut is never known by its second part, which begins where whoever sent it liked."""
    begun, rest = b"POST /b HTTP/1.1\r\nX-A: ", post()
    pieces = [post(b"first", "/c") + begun, rest, rest, rest]
    assert await answers(pieces) == await answers(pieces, remembers=False)


async def test_answers_keep_their_order_while_one_is_held_up() -> None:
    fed, held = Fed(), post(b"", "/hold")
    before = await fed.feed(post(), post(), held + post(b"1"), post(b"2"), post(b"3") + CLOSING, post(b"late"))
    assert before.count(b"HTTP/1.1 200") == 2
    fed.release.set()
    await turns()
    said = fed.wire.written[len(before) :]
    places = [said.index(b'"body": "%s"' % one.hex().encode()) for one in (b"", b"1", b"2", b"3", b"last")]
    assert places == sorted(places)
    assert said.count(b"HTTP/1.1 200") == 5
    assert said.count(b"connection: close") == 1
    assert fed.wire.closed
    fed.end()


async def test_who_ends_a_remembered_connection_is_heard() -> None:
    for closing in (CLOSING, CLOSING.replace(b"1.1", b"1.0"), post(more=b"Connection: close\r\nX-A: 1\r\n")):
        fed = Fed()
        await fed.feed(post(), post(), closing)
        assert fed.wire.closed
        assert b"connection: close" in fed.wire.written
        fed.end()
    fed = Fed()
    before = await fed.feed(CLOSING, CLOSING)
    assert (before.count(b"200 OK"), fed.wire.closed) == (1, True)
    fed.end()


@pytest.mark.parametrize("behind", [b"", post(), post() * 3], ids=["alone", "one behind", "three behind"])
async def test_who_is_served_hears_of_the_end_whatever_waits_behind(behind: bytes) -> None:
    fed = Fed()
    await fed.feed(post(), post(b"", "/watch") + behind)
    fed.end()
    await turns()
    assert fed.left == ["/watch"]


async def test_the_time_for_a_head_ends_with_a_head_that_is_known() -> None:
    fed, early = Fed(), post(path="/early")
    await fed.feed(post(b"", "/hold"), settle=False)
    fed.release.set()
    await turns()
    fed.release.clear()
    await fed.feed(early[:-3], early[-3:])  # answered before its end: from then on the next head is due
    before = await fed.feed(post(b"1", "/hold"))
    assert fed.known == 1
    await asyncio.sleep(fed.protocol.head_seconds + 1)
    assert not fed.wire.closed
    fed.release.set()
    await turns()
    assert fed.wire.written[len(before) :].startswith(b"HTTP/1.1 200")
    fed.end()


@pytest.mark.parametrize("answered", [False, True], ids=["one that waits", "one that is answered"])
async def test_the_time_for_a_head_begins_behind_a_request_in_the_same_read(answered: bool) -> None:
    fed = Fed()
    before = await fed.feed(post(), post(b"", "/a" if answered else "/hold") + b"POST /a HTT")
    await asyncio.sleep(fed.protocol.head_seconds + 0.1)
    fed.release.set()
    await turns()
    said = fed.wire.written[len(before) :]
    assert said.startswith(b"HTTP/1.1 408" if answered else b"HTTP/1.1 200")
    await asyncio.sleep(fed.protocol.linger_seconds + 0.1)
    assert fed.wire.closed
    fed.end()


SCRAPS = [
    b"\r\n",
    b"\r",
    b"POST /a HTTP/1.1\r\n",
    b"Host: localhost\r\n",
    b"X-A: ",
    b"Content-Length: 5\r\n",
    b"hello",
    b"\0",
]
SCRAPS += [post(path="/early"), post(path="/early")[:-2], post()[:30], post()[30:], post()[:-1], post() + b"\r\n"]


def mixture(chance: random.Random) -> list[bytes]:
    """Whole requests in pieces of their own, with scraps before, behind and between them."""
    pieces = [post(), post(b"x" * chance.choice([0, 1, 5]))]
    for _ in range(chance.randint(2, 8)):
        piece = chance.choice(chance.choice([MIXED, NAMED])) if chance.random() < 0.7 else chance.choice(SCRAPS)
        if chance.random() < 0.3:
            piece += chance.choice(SCRAPS)
        if chance.random() < 0.1:
            at = chance.randrange(len(piece))
            piece = piece[:at] + chance.choice(SCRAPS) + piece[at:]
        pieces.append(piece)
    return pieces


@pytest.mark.parametrize("seed", range(4))
async def test_no_mixture_is_answered_otherwise_than_without_memory(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(150):
        pieces = mixture(chance)
        settle = chance.random() < 0.8
        wanted = await answers(pieces, remembers=False, settle=settle)
        assert await answers(pieces, settle=settle) == wanted, pieces
