"""What is written later goes out whole, in order and before an end, whatever happens to others meanwhile."""

import asyncio
import gc
import random
import socket
import struct
import weakref
from typing import Any

import pytest

from tests.fixtures.clock import both_loops, until  # noqa: F401
from upstreams.outbox import Outbox, Sender, sender_for

pytestmark = pytest.mark.anyio


class Wire(asyncio.Transport):
    """A transport that notes what it is told; one that is gone raises, as uvloop's does."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[bytes | str] = []
        self.gone = False

    def write(self, data: Any) -> None:
        if self.gone:
            raise RuntimeError("the handler is closed")
        self.told.append(data)

    def write_eof(self) -> None:
        self.told.append("eof")

    def close(self) -> None:
        self.told.append("close")

    def abort(self) -> None:
        self.told.append("abort")

    def is_closing(self) -> bool:
        return "close" in self.told or "abort" in self.told

    def get_write_buffer_size(self) -> int:
        return 17


def senders(count: int) -> tuple[list[Wire], list[Sender]]:
    wires = [Wire() for _ in range(count)]
    loop = asyncio.get_running_loop()
    return wires, [sender_for(wire, loop) for wire in wires]


async def test_what_is_written_soon_goes_out_at_the_end_of_the_turn() -> None:
    [wire], [sender] = senders(1)
    sender.write_soon(b"a")
    assert wire.told == []
    await asyncio.sleep(0)
    assert wire.told == [b"a"]
    await asyncio.sleep(0)
    assert wire.told == [b"a"]


@pytest.mark.parametrize("last", ["write", "write_eof", "close"])
async def test_it_goes_out_ahead_of_what_comes_after_it(last: str) -> None:
    [wire], [sender] = senders(1)
    sender.write_soon(b"a")
    sender.write_soon(b"b")
    getattr(sender, last)(*([b"c"] if last == "write" else []))
    wanted = {"write": b"c", "write_eof": "eof", "close": "close"}[last]
    assert wire.told == [b"a", b"b", wanted]
    await asyncio.sleep(0)
    assert wire.told == [b"a", b"b", wanted]


async def test_an_abort_takes_back_what_has_not_gone_out() -> None:
    [wire, other], [sender, beside] = senders(2)
    sender.write_soon(b"a")
    beside.write_soon(b"b")
    sender.abort()
    await asyncio.sleep(0)
    assert (wire.told, other.told) == (["abort"], [b"b"])
    assert sender.is_closing()


async def test_any_mixture_keeps_its_order_on_each_connection() -> None:
    chance = random.Random(3)
    wires, all_senders = senders(20)
    wanted: list[list[bytes]] = [[] for _ in wires]
    for number in range(2_000):
        at, data = chance.randrange(20), b"%d" % number
        wanted[at].append(data)
        chance.choice([all_senders[at].write_soon, all_senders[at].write_soon, all_senders[at].write])(data)
        if chance.random() < 0.05:
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [wire.told for wire in wires] == wanted


async def test_many_go_out_together_and_in_the_order_in_which_they_were_written() -> None:
    order = list[int]()
    wires, all_senders = senders(300)
    for at, wire in enumerate(wires):
        wire.write = lambda data, at=at: order.append(at)  # type: ignore[method-assign, misc]
    for sender in reversed(all_senders):
        sender.write_soon(b"a")
    await asyncio.sleep(0)
    assert order == list(reversed(range(300)))


async def test_what_is_written_while_others_go_out_goes_out_as_well() -> None:
    [first, second], [one, other] = senders(2)
    first.write = lambda data: other.write_soon(b"answer")  # type: ignore[method-assign, misc]
    one.write_soon(b"question")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert second.told == [b"answer"]


async def test_one_that_is_gone_keeps_nobody_elses_back() -> None:
    [first, gone, last], [one, away, other] = senders(3)
    for sender in (one, away, other):
        sender.write_soon(b"a")
    gone.gone = True
    await asyncio.sleep(0)
    assert (first.told, gone.told, last.told) == ([b"a"], [], [b"a"])
    other.write_soon(b"b")
    await asyncio.sleep(0)
    assert last.told == [b"a", b"b"]


async def test_a_client_that_resets_its_connection_takes_no_answer_of_others_along() -> None:
    """Over real sockets: what waits for a connection that ends in the same turn of the loop."""
    loop, arrived = asyncio.get_running_loop(), list[Any]()

    class Server(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            arrived.append((self, sender_for(transport, loop)))
            self.lost = loop.create_future()

        def connection_lost(self, exc: Exception | None) -> None:
            self.lost.set_result(exc)

    server = await loop.create_server(Server, "127.0.0.1", 0)
    clients = []
    for count in (1, 2):
        clients.append(socket.create_connection(server.sockets[0].getsockname()))
        await until(lambda count=count: len(arrived) == count)
    (protocol, doomed), (_, sender) = arrived
    clients[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    clients[0].close()
    await protocol.lost
    doomed.write_soon(b"nobody is there")
    sender.write_soon(b"answer")
    with clients[1]:
        clients[1].setblocking(False)
        async with asyncio.timeout(5):
            assert await loop.sock_recv(clients[1], 100) == b"answer"
    sender.close()
    server.close()


async def test_everything_else_is_the_transports() -> None:
    [wire], [sender] = senders(1)
    assert sender.get_write_buffer_size() == 17
    assert not sender.is_closing()
    wire.close()
    assert sender.is_closing()


async def test_all_of_one_loop_share_one_outbox_and_no_other_loops() -> None:
    loop, other = asyncio.get_running_loop(), asyncio.new_event_loop()
    try:
        boxes = {id(sender_for(Wire(), loop).outbox) for _ in range(5)}
        assert len(boxes) == 1
        foreign = sender_for(Wire(), other)
        assert id(foreign.outbox) not in boxes
    finally:
        other.close()


def test_a_loop_is_not_kept_by_its_outbox() -> None:
    async def write() -> None:
        sender_for(wire, asyncio.get_running_loop()).write_soon(b"a")

    loop, wire = asyncio.new_event_loop(), Wire()
    loop.run_until_complete(write())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None
    assert wire.told == [b"a"]


async def test_an_outbox_asks_for_a_turn_only_where_something_waits() -> None:
    box, wires = Outbox(asyncio.get_running_loop()), [Wire(), Wire()]
    one, other = (Sender(wire, box) for wire in wires)
    box.flush()
    one.write_soon(b"a")
    box.flush()
    other.write_soon(b"b")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [wire.told for wire in wires] == [[b"a"], [b"b"]]
