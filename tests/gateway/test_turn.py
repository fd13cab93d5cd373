"""Whole answers in one write, against what uvicorn itself would write."""

import asyncio
import gc
import weakref
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from gateway.transports.exchange import Header
from gateway.transports.turn import Turn
from upstreams.outbox import LARGE

pytestmark = pytest.mark.anyio


class Wire:
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    write_soon = write

    def close(self) -> None:
        self.closed = True


def uvicorns_cycle(wire: Wire, method: str, *, keep_alive: bool) -> Any:
    done = SimpleNamespace(count=0)

    def on_response() -> None:
        done.count += 1

    cycle: Any = RequestResponseCycle(
        scope={"type": "http", "method": method},  # type: ignore[arg-type]
        transport=wire,  # type: ignore[arg-type]
        flow=FlowControl(wire),  # type: ignore[arg-type]
        logger=None,  # type: ignore[arg-type]
        access_logger=None,  # type: ignore[arg-type]
        access_log=False,
        default_headers=[],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=keep_alive,
        on_response=on_response,
    )
    cycle.ended = done
    return cycle


def turn_on(wire: Wire, method: str = "POST", *, keep_alive: bool = True, body: bytes | None = None) -> Any:
    ended = SimpleNamespace(count=0)

    def on_response_complete() -> None:
        ended.count += 1

    connection = SimpleNamespace(
        transport=wire,
        flow=FlowControl(wire),
        logger=None,
        on_response_complete=on_response_complete,
        tasks=set(),
    )
    turn: Any = Turn.first(connection, {"type": "http", "method": method}, keep_alive, body)  # type: ignore[arg-type]
    turn.ended = ended
    return turn


HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"2"), (b"x-request-id", b"abc")]


@pytest.mark.parametrize("method", ["POST", "GET", "HEAD"])
@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize("status", [200, 404, 503])
async def test_it_writes_what_uvicorn_would_in_one_piece(method: str, keep_alive: bool, status: int) -> None:
    own, other = Wire(), Wire()
    turn = turn_on(own, method, keep_alive=keep_alive)
    turn.answer(status, HEADERS, b"{}")
    theirs = uvicorns_cycle(other, method, keep_alive=keep_alive)
    await theirs.send({"type": "http.response.start", "status": status, "headers": HEADERS})
    await theirs.send({"type": "http.response.body", "body": b"{}"})
    assert b"".join(own.writes) == b"".join(other.writes)
    assert len(own.writes) == 1
    assert (own.closed, turn.response_complete, turn.ended.count) == (other.closed, True, theirs.ended.count)


@pytest.mark.parametrize("method", ["POST", "HEAD"])
@pytest.mark.parametrize("keep_alive", [True, False])
async def test_a_large_body_follows_its_head_and_is_not_copied(method: str, keep_alive: bool) -> None:
    own, other, body = Wire(), Wire(), b"x" * (LARGE + 1)
    headers = [(b"content-length", b"%d" % len(body))]
    turn_on(own, method, keep_alive=keep_alive).answer(200, headers, body)
    theirs = uvicorns_cycle(other, method, keep_alive=keep_alive)
    await theirs.send({"type": "http.response.start", "status": 200, "headers": headers})
    await theirs.send({"type": "http.response.body", "body": body})
    assert b"".join(own.writes) == b"".join(other.writes)
    assert own.closed == other.closed
    assert method == "HEAD" or own.writes[-1] is body


@pytest.mark.parametrize("status", [200, 500])
async def test_a_stream_is_written_as_uvicorn_would(status: int) -> None:
    own, other = Wire(), Wire()
    for cycle in (turn_on(own), uvicorns_cycle(other, "POST", keep_alive=True)):
        await cycle.send({"type": "http.response.start", "status": status, "headers": HEADERS[:1]})
        await cycle.send({"type": "http.response.body", "body": b"{}", "more_body": True})
        await cycle.send({"type": "http.response.body", "body": b""})
        assert (cycle.response_complete, cycle.ended.count) == (True, 1)
    assert own.writes == other.writes


@pytest.mark.parametrize("headers", [[(b"a", b"x\r\ny: z")], [(b"a", b"x\ny")]])
async def test_no_header_brings_another_line(headers: Sequence[Header]) -> None:
    wire = Wire()
    with pytest.raises(RuntimeError, match="line break"):
        turn_on(wire).answer(200, headers, b"")
    assert wire.writes == []


async def test_nothing_is_written_to_a_client_that_is_gone() -> None:
    wire = Wire()
    turn = turn_on(wire)
    turn.disconnected = True
    turn.answer(200, HEADERS, b"{}")
    assert wire.writes == []


async def test_there_is_one_answer() -> None:
    turn = turn_on(Wire())
    turn.answer(200, HEADERS, b"{}")
    with pytest.raises(RuntimeError, match="has started"):
        turn.answer(200, HEADERS, b"{}")


async def test_it_is_held_up_while_the_client_takes_nothing() -> None:
    turn = turn_on(Wire())
    turn.flow.pause_writing()
    assert turn.held_up
    freed = asyncio.ensure_future(turn.free())
    await asyncio.sleep(0)
    assert not freed.done()
    turn.flow.resume_writing()
    await freed
    assert not turn.held_up


async def test_a_whole_body_is_given_once_and_then_the_end_is_waited_for() -> None:
    turn = turn_on(Wire(), body=b"abc")
    assert await turn.receive() == {"type": "http.request", "body": b"abc", "more_body": False}
    assert turn.take_body() is None
    ending = asyncio.ensure_future(turn.receive())
    await asyncio.sleep(0)
    assert not ending.done()
    turn.disconnected = True
    turn.message_event.set()
    assert await ending == {"type": "http.disconnect"}


async def test_a_body_that_comes_in_parts_is_given_in_parts() -> None:
    turn = turn_on(Wire())
    turn.body += b"ab"
    turn.message_event.set()
    assert turn.take_body() is None
    assert await turn.receive() == {"type": "http.request", "body": b"ab", "more_body": True}
    turn.body += b"c"
    turn.more_body = False
    turn.message_event.set()
    assert await turn.receive() == {"type": "http.request", "body": b"c", "more_body": False}


async def test_who_is_gone_has_no_body() -> None:
    turn = turn_on(Wire(), body=b"abc")
    turn.disconnected = True
    assert turn.take_body() is None
    assert await turn.receive() == {"type": "http.disconnect"}


class Failure(Exception):
    """What an application fails with."""


async def test_what_an_application_fails_with_is_not_left_to_the_garbage_collector() -> None:
    failed: list[weakref.ref[Failure]] = []

    async def fails(*_: Any) -> None:
        failure = Failure()
        failed.append(weakref.ref(failure))
        try:
            raise failure
        finally:
            del failure  # its traceback holds this frame

    wire = Wire()
    turn = turn_on(wire)
    turn.logger = SimpleNamespace(error=lambda *_, **__: None)
    turn.task = None
    gc.disable()
    try:
        await turn.serve(fails)
        assert failed[0]() is None
    finally:
        gc.enable()
    assert b"".join(wire.writes).startswith(b"HTTP/1.1 500 ")
