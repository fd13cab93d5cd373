"""Whole answers in one write, against what uvicorn itself would write."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from gateway.transports.exchange import Header
from gateway.transports.whole import whole_answer

pytestmark = pytest.mark.anyio


class Wire:
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def close(self) -> None:
        self.closed = True


def cycle_on(wire: Wire, method: str = "POST", *, keep_alive: bool = True) -> Any:
    done = SimpleNamespace(count=0)

    def on_response() -> None:
        done.count += 1

    cycle = RequestResponseCycle(
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


HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"2"), (b"x-request-id", b"abc")]


@pytest.mark.parametrize("method", ["POST", "GET", "HEAD"])
@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize("status", [200, 404, 503])
async def test_it_writes_what_uvicorn_would_in_one_piece(method: str, keep_alive: bool, status: int) -> None:
    own, other = Wire(), Wire()
    cycle = cycle_on(own, method, keep_alive=keep_alive)
    await whole_answer(cycle)(status, HEADERS, b"{}")
    theirs = cycle_on(other, method, keep_alive=keep_alive)
    await theirs.send({"type": "http.response.start", "status": status, "headers": HEADERS})
    await theirs.send({"type": "http.response.body", "body": b"{}"})
    assert b"".join(own.writes) == b"".join(other.writes)
    assert len(own.writes) == 1
    assert (own.closed, cycle.response_complete, cycle.ended.count) == (other.closed, True, theirs.ended.count)


@pytest.mark.parametrize("headers", [[(b"a", b"x\r\ny: z")], [(b"a", b"x\ny")]])
async def test_no_header_brings_another_line(headers: Sequence[Header]) -> None:
    wire = Wire()
    with pytest.raises(RuntimeError, match="line break"):
        await whole_answer(cycle_on(wire))(200, headers, b"")
    assert wire.writes == []


async def test_nothing_is_written_to_a_client_that_is_gone() -> None:
    wire = Wire()
    cycle = cycle_on(wire)
    cycle.disconnected = True
    await whole_answer(cycle)(200, HEADERS, b"{}")
    assert wire.writes == []


async def test_there_is_one_answer() -> None:
    cycle = cycle_on(Wire())
    answer = whole_answer(cycle)
    await answer(200, HEADERS, b"{}")
    with pytest.raises(RuntimeError, match="has started"):
        await answer(200, HEADERS, b"{}")


async def test_it_waits_while_the_client_takes_nothing() -> None:
    wire = Wire()
    cycle = cycle_on(wire)
    cycle.flow.pause_writing()
    answering = asyncio.ensure_future(whole_answer(cycle)(200, HEADERS, b"{}"))
    await asyncio.sleep(0)
    assert wire.writes == []
    cycle.flow.resume_writing()
    await answering
    assert len(wire.writes) == 1
