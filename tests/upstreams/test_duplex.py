import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.fixtures.clock import fake_time, turns  # noqa: F401
from tests.fixtures.fakes import FakeChannel, Surroundings
from upstreams import wire
from upstreams.connection import Call
from upstreams.duplex import Duplex
from upstreams.errors import ConnectionLost, ErrorReply

pytestmark = pytest.mark.anyio


class Pipe:
    """A duplex and the far end of its pipe."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self.around = Surroundings(group)
        self.sent: list[dict[str, Any]] = []
        self.bad = 0
        self.broken = False
        self.group = group
        self.duplex = Duplex(self.around.wiring, self._send, self._on_bad)

    async def _send(self, data: bytes) -> None:
        if self.broken:
            raise ConnectionLost("broken pipe")
        self.sent.append(wire.loads(data))

    def _on_bad(self) -> None:
        self.bad += 1

    def receive(self, *messages: Any) -> None:
        for message in messages:
            self.duplex.receive(wire.dumps(message))

    async def start(self, method: str = "tools/call", **keys: Any) -> asyncio.Task[dict[str, Any]]:
        task = asyncio.ensure_future(self.duplex.request(Call(method, {}, **keys)))
        await turns(3)
        return task


@asynccontextmanager
async def pipe() -> AsyncIterator[Pipe]:
    async with asyncio.TaskGroup() as group:
        yield Pipe(group)


async def test_requests_and_replies_pair_up_though_they_overlap() -> None:
    async with pipe() as far:
        one, two = await far.start(), await far.start()
        ids = [message["id"] for message in far.sent]
        far.receive({"id": ids[1], "result": {"n": 2}}, {"id": ids[0], "result": {"n": 1}})
        assert (await one, await two) == ({"n": 1}, {"n": 2})


async def test_an_error_reply_is_raised() -> None:
    async with pipe() as far:
        call = await far.start()
        far.receive({"id": far.sent[0]["id"], "error": {"code": -7, "message": "no"}})
        with pytest.raises(ErrorReply, match="no"):
            await call


async def test_a_batch_is_taken_message_by_message() -> None:
    async with pipe() as far:
        one, two = await far.start(), await far.start()
        far.receive([{"id": message["id"], "result": {}} for message in far.sent] + [3])
        assert (await one, await two, far.bad) == ({}, {}, 1)


@pytest.mark.parametrize("data", [b"{", b"\xff", b'"text"', b"3", b"null", b"NaN"])
async def test_what_is_no_message_is_counted_and_dropped(data: bytes) -> None:
    async with pipe() as far:
        far.duplex.receive(data)
        assert (far.bad, far.around.notices) == (1, [])


async def test_a_cancelled_call_is_cancelled_at_the_server() -> None:
    async with pipe() as far:
        call = await far.start()
        call.cancel()
        await turns()
        assert far.sent[1]["method"] == "notifications/cancelled"
        assert far.sent[1]["params"]["requestId"] == far.sent[0]["id"]


async def test_initialize_is_never_cancelled() -> None:
    async with pipe() as far:
        call = await far.start("initialize")
        call.cancel()
        await turns()
        assert [message["method"] for message in far.sent] == ["initialize"]


async def test_an_answered_call_is_not_cancelled() -> None:
    async with pipe() as far:
        call = await far.start()
        far.receive({"id": far.sent[0]["id"], "error": {"code": 1, "message": "m"}})
        with pytest.raises(ErrorReply):
            await call
        await turns()
        assert len(far.sent) == 1


async def test_a_lost_pipe_fails_calls_in_flight_and_calls_to_come_and_is_told_once() -> None:
    async with pipe() as far:
        call = await far.start()
        far.duplex.lost("it died")
        far.duplex.lost("again")
        with pytest.raises(ConnectionLost, match="it died"):
            await call
        with pytest.raises(ConnectionLost, match="it died"):
            await far.duplex.request(Call("m", {}))
        assert (far.around.lost, len(far.sent)) == (["it died"], 1)


async def test_a_call_that_cannot_be_sent_fails_and_is_forgotten() -> None:
    async with pipe() as far:
        far.broken = True
        with pytest.raises(ConnectionLost, match="broken pipe"):
            await far.duplex.request(Call("m", {}))


async def test_a_servers_question_goes_to_the_only_client_and_its_answer_back() -> None:
    async with pipe() as far:
        channel = FakeChannel(answer={"action": "accept"})
        call = await far.start(channel=channel)
        far.receive({"id": "q", "method": "elicitation/create", "params": {"message": "?"}})
        await turns()
        assert channel.asked == [("elicitation/create", {"message": "?"})]
        assert far.sent[1] == {"jsonrpc": "2.0", "id": "q", "result": {"action": "accept"}}
        far.receive({"id": far.sent[0]["id"], "result": {}})
        await call


async def test_with_two_clients_in_flight_a_question_and_a_log_line_go_to_neither() -> None:
    async with pipe() as far:
        a, b = FakeChannel("a", answer={}), FakeChannel("b", answer={})
        one, two = await far.start(channel=a), await far.start(channel=b)
        far.receive({"id": 1, "method": "roots/list"}, {"method": "notifications/message", "params": {"data": "x"}})
        await turns()
        assert (a.asked, b.asked, a.heard, b.heard) == ([], [], [], [])
        assert far.sent[2]["error"]["code"] == -32601
        far.receive(*({"id": message["id"], "result": {}} for message in far.sent[:2]))
        await one
        await two


async def test_an_answer_that_comes_after_the_end_does_no_harm() -> None:
    async with pipe() as far:
        far.broken = True
        far.receive({"id": 1, "method": "ping"})
        await turns()
        assert far.sent == []


async def test_notifications_of_no_call_are_notices() -> None:
    async with pipe() as far:
        far.receive({"method": "notifications/tools/list_changed"}, {"method": "notifications/x", "params": [1]})
        assert far.around.notices == [("notifications/tools/list_changed", {}), ("notifications/x", {})]


async def test_progress_reaches_the_client_of_its_call() -> None:
    async with pipe() as far:
        channel = FakeChannel()
        task = asyncio.ensure_future(far.duplex.request(Call("m", {"_meta": {"progressToken": "t"}}, channel=channel)))
        await turns()
        token = far.sent[0]["params"]["_meta"]["progressToken"]
        far.receive({"method": "notifications/progress", "params": {"progressToken": token, "progress": 1}})
        assert channel.heard == [("notifications/progress", {"progressToken": "t", "progress": 1})]
        far.receive({"id": far.sent[0]["id"], "result": {}})
        await task


async def test_an_error_is_not_left_to_the_garbage_collector() -> None:
    async with pipe() as far:
        failed: list[weakref.ref[ErrorReply]] = []

        async def fails() -> None:
            try:
                await far.duplex.request(Call("tools/call", {}))
            except ErrorReply as exc:
                failed.append(weakref.ref(exc))

        gc.disable()
        try:
            calling = asyncio.ensure_future(fails())
            await turns(3)
            far.receive({"id": far.sent[-1]["id"], "error": {"code": 1, "message": "no"}})
            await calling
            assert failed[0]() is None
        finally:
            gc.enable()
