"""What becomes of calls when a legacy server has forgotten its session."""

import asyncio
from typing import Any

import pytest

from tests.fixtures.clock import fake_time  # noqa: F401
from tests.fixtures.fakes import FakeChannel, FakeConnection, initialized, ready, silence
from upstreams.connection import Call
from upstreams.errors import ConnectionLost, SessionExpired, UpstreamTimeout, UpstreamUnavailable
from upstreams.listing import KINDS
from upstreams.negotiation import LEGACY

pytestmark = pytest.mark.anyio


class Forgetful(FakeConnection):
    """A server that has forgotten the session until it is initialized anew."""

    def __init__(self, **answers: Any) -> None:
        super().__init__(
            initialize=self._open,
            tools__call=self._call,
            **{"resources__subscribe": {}, "logging__setLevel": {}, **answers},
        )
        self.session = False

    async def _open(self, call: Call) -> Any:
        await asyncio.sleep(1)
        self.session = True
        return initialized(call.params["protocolVersion"])

    async def _call(self, call: Call) -> Any:
        known = self.session
        await asyncio.sleep(0.1)
        return {"ok": True} if known else SessionExpired("unknown session")


async def test_a_forgotten_session_is_renewed_once_for_all_and_each_call_sent_again_once() -> None:
    connection = Forgetful()
    upstream = ready(connection)
    results = await asyncio.gather(*(upstream.request("tools/call", {}) for _ in range(5)))
    assert results == [{"ok": True}] * 5
    assert (len(connection.of("initialize")), len(connection.of("tools/call")), connection.forgotten) == (1, 10, 1)
    assert upstream.dirty == set(KINDS)
    assert upstream.wake.is_set()


async def test_a_call_that_comes_while_a_session_is_renewed_waits_for_the_new_one() -> None:
    connection = Forgetful()
    upstream = ready(connection)
    first = asyncio.ensure_future(upstream.request("tools/call", {}))
    await asyncio.sleep(0.5)
    assert len(connection.of("tools/call")) == 1
    assert await upstream.request("tools/call", {}) == await first == {"ok": True}
    assert len(connection.of("tools/call")) == 3  # the first one twice


async def test_a_renewed_session_keeps_its_version_subscriptions_and_log_level() -> None:
    connection = Forgetful()
    upstream = ready(connection)
    await upstream.subscribe("x://1", print)
    connection.sent.clear()
    await upstream.request("tools/call", {}, FakeChannel(log_level="info"))
    assert connection.of("initialize")[0].params["protocolVersion"] == LEGACY[1]
    assert [call.params["uri"] for call in connection.of("resources/subscribe")] == ["x://1"]
    assert [call.params["level"] for call in connection.of("logging/setLevel")] == ["info", "info"]


async def test_a_session_that_is_forgotten_again_fails_the_call_after_one_try() -> None:
    connection = Forgetful()
    upstream = ready(connection)
    connection.answers["tools/call"] = SessionExpired("again")
    with pytest.raises(UpstreamUnavailable):
        await upstream.request("tools/call", {})
    assert len(connection.of("tools/call")) == 2


@pytest.mark.parametrize("answer", [ConnectionLost("HTTP 503"), silence])
async def test_a_session_that_cannot_be_renewed_breaks_the_connection_so_that_it_is_made_anew(answer: Any) -> None:
    connection = Forgetful()
    connection.answers["initialize"] = answer
    upstream, told = ready(connection, timeout="5s"), list[str]()

    def broken(reason: str) -> None:
        told.append(reason)
        upstream.peers = {}

    upstream.broken = broken
    calls = [asyncio.ensure_future(upstream.request("tools/call", {})) for _ in range(3)]
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(one) for one in done} <= {UpstreamUnavailable, UpstreamTimeout}
    assert len(told) == 1
    assert len(connection.of("initialize")) == 1
