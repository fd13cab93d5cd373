"""One HTTP answer: JSON, or a stream whose slow reader costs a bounded amount and nobody else."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.transports import exchange as module
from gateway.transports.exchange import KEEPALIVE, Exchange, accepts, frame

NOTE = {"jsonrpc": "2.0", "method": "notifications/message"}
REPLY = {"jsonrpc": "2.0", "id": 1, "result": {}}


class Client:
    """The other end of the two ASGI callables."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self.events: list[Any] = []
        self.reading = asyncio.Event()
        self.reading.set()
        self.hung_up = asyncio.Event()
        self.watched = asyncio.Event()
        self._sent = asyncio.Event()
        self._group = group
        self._tasks: list[asyncio.Task[None]] = []

    async def receive(self) -> dict[str, Any]:
        self.watched.set()
        await self.hung_up.wait()
        return {"type": "http.disconnect"}

    async def send(self, event: Any) -> None:
        await self.reading.wait()
        self.events.append(event)
        self._sent.set()

    async def until(self, done: Callable[[], bool]) -> None:
        while not done():
            await self._sent.wait()
            self._sent.clear()

    def spawn(self, work: Callable[..., Any], *args: Any) -> None:
        self._tasks.append(self._group.create_task(work(*args)))

    def exchange(self, streams: bool = True) -> Exchange:
        return Exchange(self.receive, self.send, self.spawn, streams=streams)

    def leave(self) -> None:
        for task in self._tasks:
            task.cancel()

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.events[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(event["body"] for event in self.events[1:])


def talk(play: Callable[[Client], Awaitable[None]]) -> None:
    """Play one conversation, within a bound."""

    async def bounded() -> None:
        async with asyncio.timeout(5.0), asyncio.TaskGroup() as group:
            client = Client(group)
            await play(client)
            client.leave()

    asyncio.run(bounded())


def test_an_answer_with_nothing_before_it_is_json() -> None:
    async def play(client: Client) -> None:
        exchange = client.exchange()
        exchange.add_header(b"mcp-session-id", b"s")
        await exchange.finish(400, REPLY)
        assert client.events[0]["status"] == 400
        assert client.headers[b"content-type"] == b"application/json"
        assert client.headers[b"content-length"] == str(len(client.body)).encode()
        assert client.headers[b"mcp-session-id"] == b"s"
        assert not exchange.send(NOTE)

    talk(play)


def test_a_notification_makes_the_answer_a_stream() -> None:
    async def play(client: Client) -> None:
        exchange = client.exchange()
        exchange.add_header(b"mcp-session-id", b"s")
        assert exchange.send(NOTE)
        await exchange.finish(200, REPLY)
        assert client.headers[b"content-type"] == b"text/event-stream"
        assert client.headers[b"x-accel-buffering"] == b"no"
        assert client.headers[b"mcp-session-id"] == b"s"
        assert client.body == frame(NOTE) + frame(REPLY)
        assert not client.events[-1].get("more_body")

    talk(play)


def test_a_client_that_takes_no_stream_gets_none() -> None:
    async def play(client: Client) -> None:
        exchange = client.exchange(streams=False)
        assert not exchange.send(NOTE)
        await exchange.finish(200, REPLY)
        assert client.headers[b"content-type"] == b"application/json"

    talk(play)


@pytest.mark.parametrize(("size", "most"), [(2**20, 9), (1, module.MAX_QUEUED_FRAMES + 1)])
def test_a_slow_reader_is_given_up_within_a_bound_and_once(size: int, most: int) -> None:
    async def play(client: Client) -> None:
        client.reading.clear()
        exchange, gone = client.exchange(), list[bool]()
        exchange.watch(lambda: gone.append(True))
        exchange.open()
        await asyncio.sleep(0)
        taken = 0
        while exchange.send_raw(b"x" * size):
            taken += 1
            assert taken <= most
        assert exchange.gone
        assert gone == [True]
        assert not exchange.send(NOTE)
        assert gone == [True]

    talk(play)


def test_a_reader_that_stalls_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALLED_SECONDS", 0.01)

    async def play(client: Client) -> None:
        exchange, gone = client.exchange(), asyncio.Event()
        exchange.watch(gone.set)
        exchange.send(NOTE)
        await client.until(lambda: len(client.events) == 2)
        client.reading.clear()
        exchange.send(NOTE)
        await gone.wait()
        await exchange.end()  # does not wait for what will never be read

    talk(play)


def test_the_end_of_a_stream_does_not_wait_for_a_reader_that_was_given_up() -> None:
    async def play(client: Client) -> None:
        client.reading.clear()
        exchange = client.exchange()
        while exchange.send_raw(b"x" * 2**20):
            pass
        await exchange.end()
        await exchange.follow()

    talk(play)


def test_a_silent_stream_is_kept_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.01)

    async def play(client: Client) -> None:
        exchange = client.exchange()
        exchange.watch(None)
        await client.until(lambda: client.events != [] and client.body.count(KEEPALIVE) >= 2)
        await exchange.finish(200, REPLY)
        assert client.body.endswith(frame(REPLY))

    talk(play)


def test_a_client_that_hangs_up_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.0)

    async def play(client: Client) -> None:
        exchange, gone = client.exchange(), asyncio.Event()
        exchange.watch(gone.set)
        client.hung_up.set()
        await gone.wait()
        assert exchange.gone

    talk(play)


def test_a_client_that_hangs_up_after_its_answer_is_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.0)

    async def play(client: Client) -> None:
        exchange, gone = client.exchange(), list[bool]()
        exchange.watch(lambda: gone.append(True))
        await client.watched.wait()
        await exchange.finish(200, REPLY)
        client.hung_up.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert gone == []

    talk(play)


@pytest.mark.parametrize(
    ("accept", "streams", "json"),
    [
        (None, True, True),
        ("*/*", True, True),
        ("text/event-stream", True, False),
        ("application/json", False, True),
        ("application/json, text/event-stream", True, True),
        ("TEXT/*;q=0.5 , image/png", True, False),
        ("application/*", False, True),
        ("", False, False),
        ("text/event-stream-x", False, False),
        ("nonsense,,;;", False, False),
    ],
)
def test_accept_is_read_by_media_range(accept: str | None, streams: bool, json: bool) -> None:
    headers = {} if accept is None else {"accept": accept}
    assert accepts(headers, "text/event-stream") is streams
    assert accepts(headers, "application/json") is json


@pytest.mark.parametrize("streamed", [True, False])
def test_what_bounds_a_stream_begins_with_it_and_ends_before_its_last_event(streamed: bool) -> None:
    async def run(client: Client) -> None:
        exchange, said = client.exchange(), list[str]()

        def begin() -> Callable[[], None]:
            said.append("begins")
            return lambda: said.append("ends")

        exchange.on_open = begin
        exchange.watch(None)
        if streamed:
            exchange.send(NOTE)
            exchange.send(NOTE)
            assert said == ["begins"]
        await exchange.finish(200, REPLY)
        assert said == (["begins", "ends"] if streamed else [])

    talk(run)
