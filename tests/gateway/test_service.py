import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gateway.changes import Changes
from gateway.eras.sessions import Session
from gateway.request import Entrant
from gateway.service import Service
from gateway.transports.stdio import StdioDoor
from policies.model import ANONYMOUS, Caller
from tests.fixtures.clock import fake_time, turns  # noqa: F401

pytestmark = pytest.mark.anyio


def service() -> Service:
    relay: Any = None
    return Service(relay, Changes(), {}, lambda work, *args: None)


@contextmanager
def serving(here: Service) -> Iterator[None]:
    here.begin()
    try:
        yield
    finally:
        here.end()


async def test_requests_are_counted_however_they_end() -> None:
    here = service()

    def fail() -> None:
        with serving(here):
            assert here.in_flight == 1
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (here.in_flight, here.calm.is_set()) == (0, True)


def test_the_session_of_stdio_is_counted_until_it_ends() -> None:
    here, entrant = service(), Entrant(Caller(ANONYMOUS))
    assert here.sessions() == 0
    door = StdioDoor(here, "/mcp", entrant, 1_000)
    assert here.sessions() == 0
    door._session = Session("stdio", entrant, "/mcp", "any", {})
    assert here.sessions() == 1
    door._session.end()
    assert here.sessions() == 0


async def test_the_end_waits_for_calls_and_not_for_those_who_only_listen() -> None:
    here = service()
    with serving(here), here.listening():
        with serving(here):
            waiting = asyncio.ensure_future(here.no_calls())
            await turns()
            assert not waiting.done()
        await turns()
        assert waiting.done()


async def test_a_request_that_becomes_a_stream_is_waited_for_no_longer() -> None:
    here = service()
    with serving(here):
        waiting = asyncio.ensure_future(here.no_calls())
        await turns()
        assert not waiting.done()
        with here.listening():
            await turns()
            assert waiting.done()


async def test_every_stream_is_ended_though_it_takes_itself_out() -> None:
    here, ended = service(), list[str]()

    def first() -> None:
        ended.append("first")
        del here.closers[first]

    here.closers = {first: None, lambda: ended.append("second"): None}
    here.close_streams()
    assert ended == ["first", "second"]
