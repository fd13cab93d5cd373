"""An answer whose head is known from the one before is what a parser makes of it, whatever comes around it."""

import asyncio
from typing import Any

import pytest

from tests.fixtures.clock import real_time  # noqa: F401
from upstreams.link import VARYING, Link

pytestmark = pytest.mark.anyio

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
Seen = tuple[int, bytes, dict[str, str], bool]
"""Status, body, headers but for the length, and whether another exchange may follow."""


DATED = b"HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2029 00:00:%02d GMT\r\nContent-Type: a/b\r\nContent-Length: %d\r\n\r\n%b"


def said(body: bytes, second: int = 0) -> bytes:
    """An answer as a server repeats it."""
    return DATED % (second, len(body), body)


class Wire(asyncio.Transport):
    """A transport to nowhere."""

    def write(self, data: Any) -> None:
        """Nobody reads it."""

    def abort(self) -> None:
        """There is nothing to end."""

    def is_closing(self) -> bool:
        return False


class Told:
    """A link whose answers are fed to it; ``known`` counts those that were not parsed."""

    def __init__(self) -> None:
        self.link, self.known = Link(lambda link: None), 0
        self.link.connection_made(Wire())
        take = self.link._take_known

        def counted(*known: Any) -> None:
            self.known += 1
            take(*known)

        self.link._take_known = counted  # type: ignore[method-assign]

    def answered(self, *pieces: bytes) -> Seen:
        """Ask, and be answered with these pieces."""
        self.link.send(b"request")
        for piece in pieces:
            self.link.data_received(piece)
        assert self.link.complete
        body = self.link.whole()
        assert body is not None
        headers = {name: value for name, value in self.link.headers.items() if name.encode() not in VARYING}
        return self.link.status, body, headers, self.link.reusable


def fresh(*pieces: bytes) -> Seen:
    """What a link makes of an answer that has seen none before."""
    return Told().answered(*pieces)


@pytest.mark.parametrize("body", [b"ok", b"", b"x" * 70_000, said(b"inner"), b"\r\n\r\n"])
async def test_an_answer_with_a_head_that_is_known_is_what_it_would_be_without(body: bytes) -> None:
    told = Told()
    for answer in (said(b"first"), said(body), said(b"last")):
        assert told.answered(answer) == fresh(answer)
    assert told.known == 2


async def test_an_answer_with_a_known_head_may_be_cut_anywhere() -> None:
    answer = said(b"hello")
    for place in range(1, len(answer)):
        told = Told()
        for pieces in ([answer], [answer[:place], answer[place:]], [answer]):
            assert told.answered(*pieces) == fresh(answer), place


OTHERS = {
    "another date": said(b"ok", 7),
    "another status": said(b"ok").replace(b"200 OK", b"404 No"),
    "an accepted notification": b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "chunks": CHUNKED + b"2\r\nab\r\n0\r\n\r\n",
    "an older version": said(b"ok").replace(b"1.1", b"1.0"),
    "the last one": said(b"ok").replace(b"Date", b"Connection: close\r\nDate"),
    "a header more": said(b"ok").replace(b"Date", b"Mcp-Session-Id: x\r\nDate"),
    "an interim answer before it": b"HTTP/1.1 100 Continue\r\n\r\n" + said(b"ok"),
    "an interim answer with a length": said(b"", 1).replace(b"200 OK", b"103 Hints") + said(b"ok"),
    "bytes behind it": said(b"ok") + b"HTT",
    "a second answer": said(b"ok") + said(b"more"),
}


@pytest.mark.parametrize("what", OTHERS)
async def test_another_answer_between_those_that_are_known_is_seen_as_it_is(what: str) -> None:
    other, told = OTHERS[what], Told()
    assert told.answered(said(b"one")) == told.answered(said(b"one")) == fresh(said(b"one"))
    assert told.known == 1
    assert told.answered(other) == fresh(other)
    if told.link.reusable:
        assert told.answered(other) == fresh(other)
        assert told.answered(said(b"two")) == fresh(said(b"two"))


async def test_an_interim_answer_is_never_the_head_of_what_follows_it() -> None:
    """Its length, which it should not have, says nothing (RFC 9110 §15.2): what follows is the answer."""
    told, follows = Told(), (said(b"first"), said(b"other one"))
    for answer in follows * 2:
        interim = b"HTTP/1.1 103 Hints\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer
        assert told.answered(interim) == fresh(answer)


@pytest.mark.parametrize("more", [said(b"more"), b"H", b"rubbish\r\n\r\n", said(b"more", 3)])
async def test_what_comes_behind_a_known_answer_ends_the_connection(more: bytes) -> None:
    told = Told()
    told.answered(said(b"one"))
    told.answered(said(b"two"))
    told.link.data_received(more)
    assert not told.link.reusable


async def test_a_body_that_is_shorter_than_its_length_is_waited_for() -> None:
    told = Told()
    told.answered(said(b"one"))
    told.link.send(b"request")
    told.link.data_received(said(b"hello")[:-2])
    assert (told.link.complete, told.link.reusable, told.known) == (False, False, 0)
    told.link.data_received(b"lo")
    assert (told.link.whole(), told.link.reusable) == (b"hello", True)


async def test_headers_of_a_known_answer_are_nobodys_to_change() -> None:
    told = Told()
    told.answered(said(b"one"))
    for _ in range(2):
        assert told.answered(said(b"two"))[2] == {"content-type": "a/b"}
        told.answered(OTHERS["a header more"])
